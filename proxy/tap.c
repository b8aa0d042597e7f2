/*
 * tap.c -- a worker's end of the tap: writes records into the ring, sends its messages, and answers
 * what the tracer asks.
 *
 * Never waits for the tracer and never fails the worker: whatever goes wrong on the socket ends the
 * tap (tap_detach), and the proxy goes on without. A send costs more than a record, so records
 * leave together: when 16 KiB wait, or by a timer when the oldest is about 1 ms old.
 *
 * Invariant: fd >= 0 exactly while a tracer is attached, and then ring, inbox and asked exist.
 */
#include "proxy/tap.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "common/clock.h"
#include "common/log.h"
#include "proxy/tap_asked.h"
#include "proxy/tap_message.h"
#include "proxy/tap_ring.h"
#include "proxy/tap_secrets.h"

#define SEND_BYTES         16384
#define SEND_AGE_NS        NS_PER_MS
#define MEMORY_PAUSE_NS    (10 * NS_PER_MS)
#define SOCKET_BUFFER      (1024 * 1024)
#define MESSAGES_PER_EVENT 4
#define POSITIONS_AT_ONCE  64
#define POSITIONS_PAUSE_NS NS_PER_MS
#define FREE_WAIT_NS       (100 * NS_PER_MS)
#define PROGRESS_BYTES     65536
#define PROGRESS_PAUSE_NS  (100 * NS_PER_MS)

enum tap_sending {
	SENDING_FREE,         /* whoever commits a record may send */
	SENDING_WAITS_SOCKET, /* full: the write event goes on */
	SENDING_WAITS_MEMORY, /* the kernel had none: the timer goes on */
};

struct tap {
	struct conn_list *conns;
	struct event_base *base;
	uint32_t run;
	uint16_t worker;
	int fd; /* -1: no tracer */
	enum tap_sending sending;
	bool is_timed;      /* the timer is armed */
	uint64_t oldest_ns; /* of the records that wait, monotonic; 0: none */
	struct tap_ring ring;
	bool with_secrets;
	bool has_said; /* that secrets are lost */
	struct tap_secrets secrets;
	struct tap_asked *asked;
	uint8_t *inbox; /* TAP_MESSAGE_MAX bytes */
	struct event readable;
	struct event writable;
	struct event timer;
	struct event due; /* positions that are due are told in portions */
};

bool tap_active(const struct tap *t)
{
	return t->fd >= 0;
}

/* The tracer is gone, or has to go: as if there had never been one. */
static void tap_detach(struct tap *t)
{
	event_del(&t->readable);
	event_del(&t->writable);
	event_del(&t->timer);
	event_del(&t->due);
	close(t->fd);
	t->fd = -1;
	tap_ring_fini(&t->ring);
	tap_secrets_fini(&t->secrets);
	tap_asked_free(t->asked);
	free(t->inbox);
	t->asked = NULL;
	t->inbox = NULL;
}

static void event_add_after(struct event *e, uint64_t ns)
{
	struct timeval tv = {.tv_usec = (suseconds_t)(ns / NS_PER_US)};

	event_add(e, &tv);
}

static void timer_arm(struct tap *t, uint64_t ns)
{
	t->is_timed = true;
	event_add_after(&t->timer, ns);
}

/* ---- sending --------------------------------------------------------------------------------- */

/* What a failed send means: wait until the socket takes more, try again soon, or the end. */
static void send_failed(struct tap *t, int error)
{
	if (error == EAGAIN) {
		t->sending = SENDING_WAITS_SOCKET;
		event_add(&t->writable, NULL);
	} else if (error == ENOBUFS || error == ENOMEM) {
		t->sending = SENDING_WAITS_MEMORY;
		timer_arm(t, MEMORY_PAUSE_NS);
	} else {
		if (error != EPIPE && error != ECONNRESET)
			log_warning("tap of worker %u: %s: the tracer is let go", t->worker,
				    strerror(error));
		tap_detach(t);
	}
}

/* Send all that waits and the socket takes. The tracer may be gone afterwards. */
static void tap_flush(struct tap *t)
{
	const void *message;
	size_t len;

	t->sending = SENDING_FREE;
	while ((message = tap_ring_message(&t->ring, &len)) != NULL) {
		ssize_t n = send(t->fd, message, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n >= 0) {
			tap_ring_sent(&t->ring);
			(void)tap_secrets_move(&t->secrets, &t->ring);
		} else if (errno != EINTR) {
			send_failed(t, errno);
			return;
		}
	}
	t->oldest_ns = 0;
}

/* A record stands in the ring since now_ns. The tracer may be gone afterwards. */
static void tap_commit(struct tap *t, uint64_t now_ns)
{
	if (t->sending != SENDING_FREE)
		return;
	if (tap_ring_exceeds(&t->ring, SEND_BYTES)) {
		tap_flush(t);
		return;
	}
	if (t->oldest_ns == 0)
		t->oldest_ns = now_ns;
	if (!t->is_timed)
		timer_arm(t, SEND_AGE_NS);
}

/*
 * The timer stays armed when the records that armed it have left already, and may find younger
 * ones: it waits for those, unless they are half way there.
 */
static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct tap *t = arg;
	uint64_t age_ns;

	(void)fd;
	(void)what;
	t->is_timed = false;
	if (t->sending == SENDING_WAITS_SOCKET)
		return;
	if (t->sending == SENDING_FREE) {
		if (t->oldest_ns == 0)
			return;
		age_ns = clock_mono_ns() - t->oldest_ns;
		if (age_ns < SEND_AGE_NS / 2) {
			timer_arm(t, SEND_AGE_NS - age_ns);
			return;
		}
	}
	tap_flush(t);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	tap_flush(arg);
}

/* Where a record goes, behind all secrets; NULL: dropped. */
static char *tap_room(struct tap *t, size_t len)
{
	if (LIKELY(!tap_secrets_wait(&t->secrets)) || tap_secrets_move(&t->secrets, &t->ring))
		return tap_ring_add(&t->ring, len);
	tap_ring_drop(&t->ring);
	return NULL;
}

/* Add a record of what happened at mono_ns; its head is filled in here. */
static void tap_add_of(struct tap *t, enum tap_type type, void *record, size_t len,
		       uint64_t mono_ns, uint64_t now_ns)
{
	struct tap_record head = tap_record_head(type, len, mono_ns);
	char *at = tap_room(t, len);

	if (at == NULL)
		return;
	memcpy(record, &head, sizeof(head));
	memcpy(at, record, len);
	tap_commit(t, now_ns);
}

static void tap_add(struct tap *t, enum tap_type type, void *record, size_t len)
{
	uint64_t now_ns = clock_mono_ns();

	tap_add_of(t, type, record, len, now_ns, now_ns);
}

/* ---- records --------------------------------------------------------------------------------- */

static void add_open(struct tap *t, const struct conn *c, bool live)
{
	struct tap_open open = {
		.conn = c->id,
		.opened_ns = c->opened_ns,
		.read_off = c->read_off,
		.sent_off = c->sent_off,
		.local = c->local,
		.peer = c->peer,
		.leg = (uint8_t)c->leg,
		.live = live,
	};

	tap_add(t, TAP_OPEN, &open, sizeof(open));
}

void tap_open(struct tap *t, const struct conn *c)
{
	if (tap_active(t))
		add_open(t, c, false);
}

void tap_tls(struct tap *t, const struct conn *c, const struct tls_marks *m)
{
	struct tap_tls tls = {.conn = c->id, .sent_off = c->sent_off, .tls = *m};

	if (tap_active(t))
		tap_add(t, TAP_TLS, &tls, sizeof(tls));
}

void tap_shared(struct tap *t, const struct conn *c, uint64_t off)
{
	struct tap_shared shared = {.conn = c->id, .off = off};

	if (tap_active(t))
		tap_add(t, TAP_SHARED, &shared, sizeof(shared));
}

static void put_word(char out[24], const char *word)
{
	size_t len = strnlen(word, 23);

	memcpy(out, word, len);
}

void tap_close(struct tap *t, const struct conn *c, const char *end)
{
	struct tap_close close = {
		.conn = c->id,
		.read_off = c->read_off,
		.sent_off = c->sent_off,
		.leg = (uint8_t)c->leg,
	};

	if (!tap_active(t))
		return;
	tap_asked_remove(t->asked, c->id);
	put_word(close.end, end);
	tap_add(t, TAP_CLOSE, &close, sizeof(close));
}

void tap_secret(struct tap *t, const struct conn *c, const char *line, size_t len)
{
	uint64_t now_ns;

	if (!tap_active(t) || !t->with_secrets || !tap_secrets_is_useful(line, len))
		return;
	now_ns = clock_mono_ns();
	if (tap_secrets_add(&t->secrets, &t->ring, c->id, line, len, now_ns)) {
		tap_commit(t, now_ns);
		return;
	}
	tap_ring_drop(&t->ring);
	if (!t->has_said)
		log_warning("tap of worker %u: no memory for secrets: the dump will not open whole",
			    t->worker);
	t->has_said = true;
}

void tap_begin(struct tap *t, uint64_t id, const struct conn *c, enum tap_part part, uint64_t first,
	       uint8_t attempt, const char *head, size_t head_len)
{
	struct tap_begin begin = {
		.id = id,
		.conn = c->id,
		.first = first,
		.nth = c->nth,
		.part = (uint8_t)part,
		.attempt = attempt,
	};

	if (!tap_active(t))
		return;
	begin.head_len = (uint8_t)MIN(head_len, sizeof(begin.head));
	if (begin.head_len > 0)
		memcpy(begin.head, head, begin.head_len);
	tap_add(t, TAP_BEGIN, &begin, sizeof(begin));
}

void tap_begun(struct tap *t, uint64_t id, const struct conn *c, enum tap_part part, uint64_t first,
	       uint8_t attempt, uint64_t start_mono_ns)
{
	struct tap_begin begin = {
		.id = id,
		.conn = c->id,
		.first = first,
		.nth = c->nth,
		.part = (uint8_t)part,
		.attempt = attempt,
	};

	if (tap_active(t))
		tap_add_of(t, TAP_BEGIN, &begin, sizeof(begin), start_mono_ns, clock_mono_ns());
}

void tap_progress(struct tap *t, struct tap_throttle *last, uint64_t id, const struct conn *c,
		  enum tap_part part, uint64_t first, uint64_t past, uint64_t now_ns)
{
	struct tap_progress progress = {
		.id = id,
		.conn = c->id,
		.first = first,
		.past = past,
		.part = (uint8_t)part,
	};

	if (!tap_active(t) || past < MAX(last->told_past, first) + PROGRESS_BYTES ||
	    now_ns < last->told_ns + PROGRESS_PAUSE_NS)
		return;
	last->told_past = past;
	last->told_ns = now_ns;
	tap_add(t, TAP_PROGRESS, &progress, sizeof(progress));
}

void tap_part(struct tap *t, uint64_t id, const struct conn *c, enum tap_part part, uint64_t first,
	      uint64_t past, bool declared, bool complete)
{
	struct tap_part_known known = {
		.id = id,
		.conn = c->id,
		.first = first,
		.past = past,
		.part = (uint8_t)part,
		.declared = declared,
		.complete = complete,
	};

	if (tap_active(t))
		tap_add(t, TAP_PART, &known, sizeof(known));
}

/* Returns where the next record goes. */
static char *put_tls(char *at, uint64_t conn, const struct tls_marks *m, uint64_t now_ns)
{
	struct tap_tls tls = {
		.r = tap_record_head(TAP_TLS, sizeof(tls), now_ns), .conn = conn, .tls = *m};

	memcpy(at, &tls, sizeof(tls));
	return at + sizeof(tls);
}

/* The largest record of an exchange: copied once, to where it is sent from. */
void tap_end(struct tap *t, const struct exchange_record *x, const struct tls_marks *client,
	     const struct tls_marks *backend)
{
	const size_t len = tap_end_len(x->tries_count);
	const size_t tls_len =
		((client != NULL) + (size_t)(backend != NULL)) * sizeof(struct tap_tls);
	struct tap_record head;
	uint64_t now_ns;
	char *at;

	if (!tap_active(t))
		return;
	now_ns = clock_mono_ns();
	head = tap_record_head(TAP_END, (uint32_t)len, now_ns);
	at = tap_room(t, len + tls_len);
	if (at == NULL)
		return;
	memcpy(at, &head, sizeof(head));
	memcpy(at + sizeof(head), x, len - sizeof(head));
	at += len;
	if (UNLIKELY(client != NULL))
		at = put_tls(at, x->client.conn, client, now_ns);
	if (UNLIKELY(backend != NULL))
		(void)put_tls(at, x->backend.conn, backend, now_ns);
	tap_commit(t, now_ns);
}

/* ---- positions ------------------------------------------------------------------------------- */

/*
 * An end takes a sequence number that no offset counts, and SIOCINQ hides the peer's. It may have
 * come a moment ago, and no event have told of it yet.
 */
static uint8_t tcp_state(int fd)
{
	uint8_t state; /* the first field of struct tcp_info */
	socklen_t len = sizeof(state);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &len) == 0 ? state : TCP_CLOSE;
}

/* The order is the contract's: t0, sent, read, SIOCINQ, SIOCOUTQ, t1 (design section 7). */
static void add_position(struct tap *t, const struct conn *c)
{
	struct tap_position position = {
		.conn = c->id,
		.before_real_ns = clock_real_ns(),
		.sent_off = c->sent_off,
		.read_off = c->read_off,
	};
	int inq, outq;
	uint8_t state;

	if (c->fd < 0 || ioctl(c->fd, SIOCINQ, &inq) != 0 || ioctl(c->fd, SIOCOUTQ, &outq) != 0)
		return;
	state = tcp_state(c->fd);
	if (state != TCP_ESTABLISHED && state != TCP_CLOSE_WAIT)
		return;
	position.drained = c->drained && state == TCP_ESTABLISHED;
	position.after_real_ns = clock_real_ns();
	position.inq = (uint32_t)inq;
	position.outq = (uint32_t)outq;
	tap_add(t, TAP_POSITION, &position, sizeof(position));
}

void tap_position(struct tap *t, const struct conn *c)
{
	if (tap_active(t) && tap_asked_has(t->asked, c->id))
		add_position(t, c);
}

/* Some of those that are due, so that requests need not wait for thousands of them. */
static void on_due(evutil_socket_t fd, short what, void *arg)
{
	struct tap *t = arg;
	const struct conn *c;

	(void)fd;
	(void)what;
	for (unsigned i = 0; i < POSITIONS_AT_ONCE && t->sending == SENDING_FREE; i++) {
		c = tap_asked_take_due(t->asked);
		if (c == NULL)
			return;
		add_position(t, c);
		if (!tap_active(t))
			return;
	}
	if (tap_asked_is_due(t->asked))
		event_add_after(&t->due, POSITIONS_PAUSE_NS);
}

/* ---- what the tracer says -------------------------------------------------------------------- */

/* False: not a message of ours. */
static bool take_message(struct tap *t, size_t len)
{
	struct cursor message, body;
	enum tap_next next;
	uint16_t type;

	if (!tap_message_open(t->inbox, len, &message))
		return false;
	while ((next = tap_message_next(&message, &type, &body)) == TAP_NEXT_RECORD) {
		uint64_t conn;

		if (type != TAP_ASK && type != TAP_ANCHORED)
			continue;
		conn = tap_body_u64(&body);
		if (body.failed)
			return false;
		if (type == TAP_ASK)
			tap_asked_want(t->asked, conn);
		else
			tap_asked_remove(t->asked, conn);
	}
	return next == TAP_NEXT_END;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct tap *t = arg;

	(void)what;
	for (unsigned i = 0; i < MESSAGES_PER_EVENT; i++) {
		ssize_t n = recv(fd, t->inbox, TAP_MESSAGE_MAX, MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n > TAP_MESSAGE_MAX || (n > 0 && !take_message(t, (size_t)n))) {
			log_warning("tap of worker %u: malformed message: the tracer is let go",
				    t->worker);
			n = 0;
		}
		if (n <= 0) {
			tap_detach(t);
			return;
		}
	}
	tap_asked_resolve(t->asked, t->conns);
	if (tap_asked_is_due(t->asked) && !event_pending(&t->due, EV_TIMEOUT, NULL))
		event_add_after(&t->due, 0);
}

/* ---- a tap's life ---------------------------------------------------------------------------- */

struct tap *tap_new(struct event_base *base, uint16_t worker, uint32_t run, struct conn_list *conns)
{
	struct tap *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->base = base;
	t->conns = conns;
	t->run = run;
	t->worker = worker;
	t->fd = -1;
	return t;
}

/* A large socket buffer for a stall of the tracer; without the right to it, less is fine. */
static void grow_socket_buffer(int fd)
{
	int bytes = SOCKET_BUFFER;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) != 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

void tap_attach(struct tap *t, int fd, bool with_secrets)
{
	const struct conn *c;

	if (tap_active(t))
		tap_detach(t);
	t->fd = fd;
	t->sending = SENDING_FREE;
	t->is_timed = false;
	t->oldest_ns = 0;
	t->with_secrets = with_secrets;
	t->has_said = false;
	t->asked = tap_asked_new();
	t->inbox = malloc(TAP_MESSAGE_MAX);
	event_assign(&t->readable, t->base, fd, EV_READ | EV_PERSIST, on_readable, t);
	event_assign(&t->writable, t->base, fd, EV_WRITE, on_writable, t);
	event_assign(&t->timer, t->base, -1, 0, on_timer, t);
	event_assign(&t->due, t->base, -1, 0, on_due, t);
	if (!tap_ring_init(&t->ring, t->run, t->worker) || t->asked == NULL || t->inbox == NULL ||
	    event_add(&t->readable, NULL) != 0) {
		log_warning("tap of worker %u: no memory: the tracer is let go", t->worker);
		tap_detach(t);
		return;
	}
	grow_socket_buffer(fd);
	TAILQ_FOREACH(c, t->conns, all) {
		add_open(t, c, true);
		if (tap_active(t) && c->tls_marks != NULL)
			tap_tls(t, c, c->tls_marks);
		if (!tap_active(t))
			return;
	}
}

/* What still waits is worth a moment: it tells how the last exchanges ended. */
static void flush_patiently(struct tap *t)
{
	uint64_t until_ns = clock_mono_ns() + FREE_WAIT_NS;

	tap_flush(t);
	while (tap_active(t) && t->sending != SENDING_FREE) {
		struct pollfd p = {.fd = t->fd, .events = POLLOUT};
		uint64_t now_ns = clock_mono_ns();

		if (now_ns >= until_ns)
			return;
		(void)poll(&p, t->sending == SENDING_WAITS_SOCKET ? 1 : 0,
			   (int)((until_ns - now_ns) / NS_PER_MS) + 1);
		tap_flush(t);
	}
}

void tap_free(struct tap *t)
{
	if (t == NULL)
		return;
	if (tap_active(t))
		flush_patiently(t);
	if (tap_active(t))
		tap_detach(t);
	free(t);
}
