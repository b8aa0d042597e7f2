/*
 * tap_hub.c -- the tap's control socket.
 *
 * Whoever connects is a guest until it has said attach; of those who did, one is the tracer and all
 * others hear that the tap is busy. Never trusts either: a malformed message ends its connection,
 * and nothing is waited for. What the tracer's socket does not take is told again with the next
 * clock (endpoints) or left out (clocks).
 *
 * Invariant: at most one guest is the tracer (hub->tracer), and the clock ticks only for it.
 */
#include "proxy/tap_hub.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "common/clock.h"
#include "common/log.h"
#include "proxy/tap_message.h"

#define BACKLOG         8
#define GUESTS_MAX      8 /* with the tracer */
#define ATTACH_WAIT_S   5
#define ENDPOINTS_MAX   256
#define REPLY_MAX       4096 /* of what a tracer sends here: attach, ready */
#define ACCEPTS_AT_ONCE GUESTS_MAX

struct guest {
	LIST_ENTRY(guest) all;
	struct tap_hub *hub;
	int fd;
	struct event readable;
};

LIST_HEAD(guest_list, guest);

struct tap_hub {
	struct event_base *base;
	struct tap_hub_calls calls;
	struct sockaddr_un address;
	dev_t dev; /* the socket's name in the file system, to unlink no other */
	ino_t ino;
	uint32_t run;
	unsigned workers;
	int fd;
	struct event acceptable;
	struct event tick; /* every second while there is a tracer, and to accept again */
	struct guest_list guests;
	unsigned guest_count;
	struct guest *tracer; /* or NULL */
	bool is_ready;        /* the tracer has said so */
	bool with_secrets;    /* the tracer gets them */
	bool endpoints_due;
	uint64_t sent; /* messages to this tracer so far */
};

/* ---- what is sent ---------------------------------------------------------------------------- */

/* A control message being put together. */
struct outgoing {
	uint8_t bytes[sizeof(struct tap_message) + sizeof(struct tap_hello) +
		      ENDPOINTS_MAX * sizeof(struct tap_endpoint)];
	size_t len;
};

_Static_assert(sizeof(((struct outgoing *)0)->bytes) <= TAP_MESSAGE_MAX, "one message");

static void outgoing_begin(struct outgoing *o, const struct tap_hub *h, uint64_t number)
{
	struct tap_message head = tap_message_head(h->run, TAP_CONTROL);

	head.number = number;
	memcpy(o->bytes, &head, sizeof(head));
	o->len = sizeof(head);
}

static void outgoing_add(struct outgoing *o, const void *record, size_t len)
{
	memcpy(o->bytes + o->len, record, len);
	o->len += len;
}

static void outgoing_add_endpoints(struct outgoing *o, const struct tap_hub *h)
{
	struct tap_endpoint endpoints[ENDPOINTS_MAX];
	uint64_t now_ns = clock_mono_ns();
	unsigned count;

	memset(endpoints, 0, sizeof(endpoints));
	count = h->calls.endpoints(h->calls.arg, endpoints, ENDPOINTS_MAX);
	for (unsigned i = 0; i < count; i++) {
		endpoints[i].r = tap_record_head(TAP_ENDPOINT, sizeof(endpoints[i]), now_ns);
		endpoints[i].last = i + 1 == count;
		outgoing_add(o, &endpoints[i], sizeof(endpoints[i]));
	}
}

/* Send with descriptors. False: not taken, or not there any more (errno). */
static bool outgoing_send(const struct outgoing *o, int to, const int *fds, unsigned fd_count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(TAP_DESCRIPTORS_MAX * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = (void *)(uintptr_t)o->bytes, .iov_len = o->len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (fd_count > 0) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
	}
	do
		n = sendmsg(to, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n >= 0;
}

static bool send_to_tracer(struct tap_hub *h, const struct outgoing *o, const int *fds,
			   unsigned fd_count)
{
	if (!outgoing_send(o, h->tracer->fd, fds, fd_count))
		return false;
	h->sent++;
	return true;
}

static void send_clock(struct tap_hub *h)
{
	struct outgoing o;
	struct tap_clock clock = {
		.r = tap_record_head(TAP_CLOCK, sizeof(clock), clock_mono_ns()),
		.real_ns = clock_real_ns(),
	};

	outgoing_begin(&o, h, h->sent);
	outgoing_add(&o, &clock, sizeof(clock));
	(void)send_to_tracer(h, &o, NULL, 0);
}

static void send_endpoints(struct tap_hub *h)
{
	struct outgoing o;

	outgoing_begin(&o, h, h->sent);
	outgoing_add_endpoints(&o, h);
	h->endpoints_due = !send_to_tracer(h, &o, NULL, 0);
}

static void send_busy(const struct tap_hub *h, const struct guest *g)
{
	struct outgoing o;
	struct tap_record busy = tap_record_head(TAP_BUSY, sizeof(busy), clock_mono_ns());

	outgoing_begin(&o, h, 0);
	outgoing_add(&o, &busy, sizeof(busy));
	(void)outgoing_send(&o, g->fd, NULL, 0);
}

/*
 * HELLO with the endpoints and the descriptors; those that one message cannot carry follow in
 * messages without records.
 */
static bool send_hello(struct tap_hub *h, const int *theirs)
{
	struct outgoing o;
	struct tap_hello hello = {
		.r = tap_record_head(TAP_HELLO, sizeof(hello), clock_mono_ns()),
		.real_ns = clock_real_ns(),
		.pid = (uint32_t)getpid(),
		.workers = h->workers,
		.tells = h->with_secrets ? TAP_WANT_SECRETS : 0,
	};
	unsigned done = 0;

	outgoing_begin(&o, h, 0);
	outgoing_add(&o, &hello, sizeof(hello));
	outgoing_add_endpoints(&o, h);
	do {
		unsigned count = MIN(h->workers - done, TAP_DESCRIPTORS_MAX);

		if (!send_to_tracer(h, &o, theirs + done, count))
			return false;
		done += count;
		outgoing_begin(&o, h, h->sent);
	} while (done < h->workers);
	return true;
}

/* ---- attaching ------------------------------------------------------------------------------- */

static void close_all(const int *fds, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
}

/* A pair for each worker: ours in fds[0, workers), the tracer's behind them. */
static bool make_pairs(int *fds, unsigned workers)
{
	for (unsigned i = 0; i < workers; i++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) !=
		    0) {
			int error = errno;

			close_all(fds, i);
			close_all(fds + workers, i);
			errno = error;
			return false;
		}
		fds[i] = pair[0];
		fds[workers + i] = pair[1];
	}
	return true;
}

/* h->tracer gets its descriptors, the workers theirs. False with errno: it cannot be served. */
static bool attach_tracer(struct tap_hub *h)
{
	int *fds = calloc(2 * (size_t)h->workers, sizeof(*fds));
	bool said;

	if (fds == NULL)
		return false;
	if (!make_pairs(fds, h->workers)) {
		free(fds);
		return false;
	}
	said = send_hello(h, fds + h->workers);
	close_all(fds + h->workers, h->workers);
	for (unsigned i = 0; said && i < h->workers; i++)
		h->calls.give(h->calls.arg, i, fds[i], h->with_secrets);
	if (!said)
		close_all(fds, h->workers);
	free(fds);
	return said;
}

static void guest_free(struct guest *g)
{
	LIST_REMOVE(g, all);
	g->hub->guest_count--;
	event_del(&g->readable);
	close(g->fd);
	free(g);
}

/* The guest goes; when it was the tracer, everybody is told. */
static void guest_end(struct guest *g)
{
	struct tap_hub *h = g->hub;
	bool was_tracer = g == h->tracer;

	guest_free(g);
	if (!was_tracer)
		return;
	h->tracer = NULL;
	if (h->calls.gone != NULL)
		h->calls.gone(h->calls.arg);
}

static void tick_arm(struct tap_hub *h)
{
	struct timeval second = {.tv_sec = 1};

	event_add(&h->tick, &second);
}

static bool wants_secrets(const struct cursor *body)
{
	struct cursor c = *body;

	cursor_skip(&c, offsetof(struct tap_attach, wants) - sizeof(struct tap_record));
	return (cursor_native32(&c) & TAP_WANT_SECRETS) != 0;
}

/* body: of its TAP_ATTACH. False: the guest is to be closed. */
static bool guest_attach(struct guest *g, const struct cursor *body)
{
	struct tap_hub *h = g->hub;

	if (h->tracer != NULL) {
		send_busy(h, g);
		return false;
	}
	h->tracer = g;
	h->sent = 0;
	h->is_ready = h->endpoints_due = false;
	h->with_secrets = h->calls.with_secrets && wants_secrets(body);
	if (!attach_tracer(h)) {
		log_warning("tap %s: the tracer cannot be served: %s", h->address.sun_path,
			    strerror(errno));
		h->tracer = NULL;
		return false;
	}
	/* It may stay silent now. */
	event_remove_timer(&g->readable);
	tick_arm(h);
	return true;
}

/* ---- what is heard --------------------------------------------------------------------------- */

/* False: the guest is to be closed. */
static bool guest_hears(struct guest *g, uint16_t type, const struct cursor *body)
{
	struct tap_hub *h = g->hub;
	size_t attach_body = sizeof(struct tap_attach) - sizeof(struct tap_record);

	if (g != h->tracer)
		return type == TAP_ATTACH && cursor_left(body) >= attach_body &&
		       guest_attach(g, body);
	if (type == TAP_READY && !h->is_ready) {
		h->is_ready = true;
		h->calls.ready(h->calls.arg);
	}
	return true;
}

static bool guest_takes(struct guest *g, const uint8_t *bytes, size_t len)
{
	struct cursor message, body;
	enum tap_next next;
	uint16_t type;

	if (!tap_message_open(bytes, len, &message)) {
		log_warning("tap %s: a message of another version, or of no tracer",
			    g->hub->address.sun_path);
		return false;
	}
	while ((next = tap_message_next(&message, &type, &body)) == TAP_NEXT_RECORD)
		if (!guest_hears(g, type, &body))
			return false;
	return next == TAP_NEXT_END;
}

static void on_guest(evutil_socket_t fd, short what, void *arg)
{
	struct guest *g = arg;
	uint8_t bytes[REPLY_MAX];
	ssize_t n;

	if (what & EV_TIMEOUT) {
		guest_end(g);
		return;
	}
	n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_TRUNC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || (size_t)n > sizeof(bytes) || !guest_takes(g, bytes, (size_t)n))
		guest_end(g);
}

/* ---- accepting ------------------------------------------------------------------------------- */

static void guest_new(struct tap_hub *h, int fd)
{
	struct guest *g = h->guest_count < GUESTS_MAX ? calloc(1, sizeof(*g)) : NULL;
	struct timeval wait = {.tv_sec = ATTACH_WAIT_S};

	if (g == NULL) {
		close(fd);
		return;
	}
	g->hub = h;
	g->fd = fd;
	LIST_INSERT_HEAD(&h->guests, g, all);
	h->guest_count++;
	event_assign(&g->readable, h->base, fd, EV_READ | EV_PERSIST, on_guest, g);
	if (event_add(&g->readable, &wait) != 0)
		guest_free(g);
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct tap_hub *h = arg;

	(void)what;
	for (unsigned i = 0; i < ACCEPTS_AT_ONCE; i++) {
		int guest = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (guest >= 0) {
			guest_new(h, guest);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			   errno == ENOMEM) {
			/* The one who waits would wake us without end. */
			event_del(&h->acceptable);
			tick_arm(h);
			return;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			return;
		}
	}
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct tap_hub *h = arg;

	(void)fd;
	(void)what;
	if (!event_pending(&h->acceptable, EV_READ, NULL))
		event_add(&h->acceptable, NULL);
	if (h->tracer == NULL)
		return;
	send_clock(h);
	if (h->endpoints_due)
		send_endpoints(h);
	tick_arm(h);
}

/* ---- the listening socket -------------------------------------------------------------------- */

/* Nobody listens at this name any more: connecting is refused. */
static bool is_stale(const struct sockaddr_un *address)
{
	struct stat st;
	int fd, error;

	if (lstat(address->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	error = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ? 0 : errno;
	close(fd);
	return error == ECONNREFUSED;
}

static bool bind_path(struct tap_hub *h)
{
	const struct sockaddr *address = (const struct sockaddr *)&h->address;

	/* Linux takes the name's mode from the socket's: no umask(), which all threads share. */
	if (fchmod(h->fd, 0600) != 0)
		return false;
	if (bind(h->fd, address, sizeof(h->address)) == 0)
		return true;
	if (errno != EADDRINUSE)
		return false;
	if (!is_stale(&h->address)) {
		errno = EADDRINUSE;
		return false;
	}
	return unlink(h->address.sun_path) == 0 && bind(h->fd, address, sizeof(h->address)) == 0;
}

static bool open_socket(struct tap_hub *h)
{
	struct stat st;

	h->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (h->fd < 0 || !bind_path(h))
		return false;
	if (lstat(h->address.sun_path, &st) == 0) {
		h->dev = st.st_dev;
		h->ino = st.st_ino;
	}
	return listen(h->fd, BACKLOG) == 0;
}

static const char *bind_error(int error)
{
	return error == EADDRINUSE ? "in use: another flowproxy listens there, or it is no socket"
				   : strerror(error);
}

struct tap_hub *tap_hub_new(struct event_base *base, const char *path, uint32_t run,
			    unsigned workers, const struct tap_hub_calls *calls)
{
	struct tap_hub *h = calloc(1, sizeof(*h));

	if (h == NULL) {
		log_error("tap %s: no memory", path);
		return NULL;
	}
	*h = (struct tap_hub){
		.base = base, .calls = *calls, .run = run, .workers = workers, .fd = -1};
	h->address.sun_family = AF_UNIX;
	LIST_INIT(&h->guests);
	if (strlen(path) >= sizeof(h->address.sun_path)) {
		log_error("tap %s: the path is too long: at most %zu bytes", path,
			  sizeof(h->address.sun_path) - 1);
		free(h);
		return NULL;
	}
	memcpy(h->address.sun_path, path, strlen(path));
	event_assign(&h->tick, base, -1, 0, on_tick, h);
	if (!open_socket(h)) {
		log_error("tap %s: %s", path, bind_error(errno));
		if (h->fd >= 0)
			close(h->fd);
		free(h);
		return NULL;
	}
	event_assign(&h->acceptable, base, h->fd, EV_READ | EV_PERSIST, on_acceptable, h);
	event_add(&h->acceptable, NULL);
	return h;
}

void tap_hub_free(struct tap_hub *h)
{
	struct guest *g, *next;
	struct stat st;

	if (h == NULL)
		return;
	for (g = LIST_FIRST(&h->guests); g != NULL; g = next) {
		next = LIST_NEXT(g, all);
		guest_free(g);
	}
	event_del(&h->tick);
	event_del(&h->acceptable);
	close(h->fd);
	if (lstat(h->address.sun_path, &st) == 0 && st.st_dev == h->dev && st.st_ino == h->ino)
		(void)unlink(h->address.sun_path);
	free(h);
}

void tap_hub_endpoints_changed(struct tap_hub *h)
{
	if (h->tracer != NULL)
		send_endpoints(h);
}
