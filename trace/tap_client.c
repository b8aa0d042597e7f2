/*
 * tap_client.c -- sockets of the tap.
 *
 * Invariant: sockets[0] is the control connection; a socket that ended has fd -1.
 */
#include "trace/tap_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

#define ATTACH_MS   5000
#define WORKERS_MAX 4096
/* Captures have to be drained as well: what is left is read in the next turn. */
#define MESSAGES_AT_ONCE 256
/* The proxy sends what is a millisecond old: after so long a silence there was nothing to tell. */
#define SILENCE_NS (20 * NS_PER_MS)

/* As many as a message can carry. */
#define TOLD_MAX ((TAP_MESSAGE_MAX - sizeof(struct tap_message)) / sizeof(struct tap_ask))

struct tap_socket {
	int fd;
	uint64_t dropped;
	uint64_t mono_ns;  /* of the last record */
	uint64_t heard_ns; /* when a message was read last, monotonic */
	uint64_t number;   /* of our next message, to a worker */
	uint32_t told_count;
	uint32_t told_cap;
	struct tap_ask *told; /* waits to be sent */
};

struct tap_client {
	struct tap_calls calls;
	struct tap_calls caller;
	struct tap_socket *sockets;
	unsigned count;
	unsigned wanted; /* with all workers; 0 until the hello came */
	bool is_busy;
	uint64_t number;  /* of our next message */
	uint64_t real_ns; /* a pair of the proxy's clocks */
	uint64_t mono_ns;
	uint8_t message[TAP_MESSAGE_MAX];
};

/* ---- what concerns the sockets themselves ---------------------------------------------------- */

static void on_hello(void *arg, const struct tap_message *m, const struct tap_hello *r)
{
	struct tap_client *t = arg;

	t->wanted = MIN(r->workers, WORKERS_MAX) + 1;
	t->real_ns = r->real_ns;
	t->mono_ns = r->r.mono_ns;
	if (t->caller.hello != NULL)
		t->caller.hello(t->caller.arg, m, r);
}

static void on_clock(void *arg, const struct tap_message *m, const struct tap_clock *r)
{
	struct tap_client *t = arg;

	t->real_ns = r->real_ns;
	t->mono_ns = r->r.mono_ns;
	if (t->caller.clock != NULL)
		t->caller.clock(t->caller.arg, m, r);
}

static void on_busy(void *arg, const struct tap_message *m)
{
	struct tap_client *t = arg;

	(void)m;
	t->is_busy = true;
}

static void on_endpoint(void *arg, const struct tap_message *m, const struct tap_endpoint *r)
{
	struct tap_client *t = arg;

	if (t->caller.endpoint != NULL)
		t->caller.endpoint(t->caller.arg, m, r);
}

static bool add_socket(struct tap_client *t, int fd)
{
	struct tap_socket *grown = realloc(t->sockets, (t->count + 1) * sizeof(*grown));

	if (grown == NULL)
		return false;
	t->sockets = grown;
	t->sockets[t->count++] = (struct tap_socket){.fd = fd};
	return true;
}

/* ---- attaching ------------------------------------------------------------------------------- */

static bool send_record(struct tap_client *t, struct tap_record *record, size_t len, uint16_t type)
{
	struct tap_message m = {.magic = TAP_MAGIC,
				.version = TAP_VERSION,
				.worker = TAP_CONTROL,
				.number = t->number++};
	uint8_t bytes[sizeof(m) + sizeof(struct tap_attach)];
	ssize_t n;

	record->type = type;
	record->len = (uint32_t)len;
	record->mono_ns = clock_mono_ns();
	memcpy(bytes, &m, sizeof(m));
	memcpy(bytes + sizeof(m), record, len);
	do
		n = send(t->sockets[0].fd, bytes, sizeof(m) + len, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n >= 0;
}

static bool connect_control(struct tap_client *t, const char *path, char err[TAP_CLIENT_ERROR_MAX])
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		snprintf(err, TAP_CLIENT_ERROR_MAX, "--tap %s: the path is too long for a socket",
			 path);
		return false;
	}
	memcpy(sun.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) != 0) {
		snprintf(err, TAP_CLIENT_ERROR_MAX,
			 "--tap %s: %s (is there a flowproxy that runs with this control socket?)",
			 path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return false;
	}
	if (!add_socket(t, fd)) {
		snprintf(err, TAP_CLIENT_ERROR_MAX, "no memory");
		close(fd);
		return false;
	}
	return true;
}

/* Take the descriptors that came with a message. */
static bool take_descriptors(struct tap_client *t, struct msghdr *h)
{
	bool taken = true;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (!add_socket(t, fd)) {
				close(fd);
				taken = false;
			}
		}
	}
	return taken;
}

/* One message with descriptors, within the time that is left. Its length; 0: the end; -1: errno. */
static ssize_t receive_patiently(struct tap_client *t, uint64_t until_ns)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(TAP_DESCRIPTORS_MAX * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = t->message, .iov_len = sizeof(t->message)};
	struct msghdr h = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control.bytes,
			   .msg_controllen = sizeof(control.bytes)};
	struct pollfd p = {.fd = t->sockets[0].fd, .events = POLLIN};
	ssize_t n;

	for (;;) {
		uint64_t now_ns = clock_mono_ns();

		if (now_ns >= until_ns) {
			errno = ETIMEDOUT;
			return -1;
		}
		if (poll(&p, 1, (int)((until_ns - now_ns) / NS_PER_MS) + 1) <= 0)
			continue;
		n = recvmsg(t->sockets[0].fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n >= 0 || (errno != EINTR && errno != EAGAIN))
			break;
	}
	if (n > 0 && !take_descriptors(t, &h)) {
		errno = ENOMEM;
		return -1;
	}
	return n;
}

/* Read until the hello and a descriptor for each worker have come. */
static bool await_hello(struct tap_client *t, const char *path, char err[TAP_CLIENT_ERROR_MAX])
{
	uint64_t until_ns = clock_mono_ns() + ATTACH_MS * NS_PER_MS;

	while (t->wanted == 0 || t->count < t->wanted) {
		ssize_t n = receive_patiently(t, until_ns);
		const char *fault;

		if (n <= 0) {
			snprintf(err, TAP_CLIENT_ERROR_MAX, "--tap %s: %s", path,
				 n < 0 ? strerror(errno)
				       : "the proxy refuses: is it of the same version?");
			return false;
		}
		fault = tap_read(t->message, (size_t)n, &t->calls, &t->sockets[0].mono_ns);
		if (t->is_busy)
			fault = "another tracer is attached to this proxy";
		else if (fault == NULL && t->wanted == 0)
			fault = "the proxy did not answer with a hello";
		if (fault != NULL) {
			snprintf(err, TAP_CLIENT_ERROR_MAX, "--tap %s: %s", path, fault);
			return false;
		}
	}
	return true;
}

struct tap_client *tap_client_attach(const char *path, const struct tap_calls *calls,
				     char err[TAP_CLIENT_ERROR_MAX])
{
	struct tap_client *t = calloc(1, sizeof(*t));
	struct tap_attach attach = {
		.pid = (uint32_t)getpid(),
		.wants = calls->secret != NULL ? TAP_WANT_SECRETS : 0,
	};

	if (t == NULL) {
		snprintf(err, TAP_CLIENT_ERROR_MAX, "no memory");
		return NULL;
	}
	t->caller = *calls;
	t->calls = (struct tap_calls){.arg = t,
				      .hello = on_hello,
				      .clock = on_clock,
				      .endpoint = on_endpoint,
				      .busy = on_busy};
	if (!connect_control(t, path, err))
		goto fail;
	if (!send_record(t, &attach.r, sizeof(attach), TAP_ATTACH)) {
		snprintf(err, TAP_CLIENT_ERROR_MAX, "--tap %s: %s", path, strerror(errno));
		goto fail;
	}
	if (await_hello(t, path, err))
		return t;
fail:
	tap_client_free(t);
	return NULL;
}

void tap_client_free(struct tap_client *t)
{
	if (t == NULL)
		return;
	for (unsigned i = 0; i < t->count; i++) {
		if (t->sockets[i].fd >= 0)
			close(t->sockets[i].fd);
		free(t->sockets[i].told);
	}
	free(t->sockets);
	free(t);
}

bool tap_client_ready(struct tap_client *t)
{
	struct tap_attach ready = {0};

	return send_record(t, &ready.r, sizeof(ready.r), TAP_READY);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void tell_worker(struct tap_socket *s, enum tap_type type, uint64_t conn)
{
	if (s->fd < 0 || s->told_count == TOLD_MAX)
		return;
	if (s->told_count == s->told_cap) {
		uint32_t cap = s->told_cap > 0 ? MIN(2 * s->told_cap, TOLD_MAX) : 16;
		struct tap_ask *grown = realloc(s->told, cap * sizeof(*grown));

		if (grown == NULL)
			return;
		s->told = grown;
		s->told_cap = cap;
	}
	s->told[s->told_count++] = (struct tap_ask){.r = {.type = (uint16_t)type,
							  .len = sizeof(struct tap_ask),
							  .mono_ns = clock_mono_ns()},
						    .conn = conn};
}

void tap_client_tell(struct tap_client *t, enum tap_type type, uint16_t worker, uint64_t conn)
{
	if (conn != 0 && worker + 1U < t->count)
		tell_worker(&t->sockets[worker + 1U], type, conn);
	for (unsigned i = 1; i < t->count && conn == 0; i++)
		tell_worker(&t->sockets[i], type, conn);
}

static void flush_socket(struct tap_socket *s, uint16_t worker)
{
	struct tap_message m = {
		.magic = TAP_MAGIC, .version = TAP_VERSION, .worker = worker, .number = s->number};
	struct iovec parts[] = {{&m, sizeof(m)}, {s->told, s->told_count * sizeof(*s->told)}};
	struct msghdr h = {.msg_iov = parts, .msg_iovlen = ARRAY_LEN(parts)};
	ssize_t n;

	do
		n = sendmsg(s->fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0) /* a socket that is no more is noticed by reading it */
		return;
	s->number++;
	s->told_count = 0;
}

void tap_client_flush(struct tap_client *t)
{
	for (unsigned i = 1; i < t->count; i++)
		if (t->sockets[i].told_count > 0 && t->sockets[i].fd >= 0)
			flush_socket(&t->sockets[i], (uint16_t)(i - 1));
}

/* ---- reading --------------------------------------------------------------------------------- */

unsigned tap_client_count(const struct tap_client *t)
{
	return t->count;
}

int tap_client_fd(const struct tap_client *t, unsigned i)
{
	return t->sockets[i].fd;
}

static void end_socket(struct tap_socket *s)
{
	close(s->fd);
	s->fd = -1;
}

static bool read_message(struct tap_client *t, unsigned i, size_t len)
{
	struct tap_socket *s = &t->sockets[i];
	const struct tap_calls *calls = i == 0 ? &t->calls : &t->caller;
	struct tap_message m;
	const char *fault;

	if (tap_read_head(t->message, len, &m))
		s->dropped = m.dropped;
	fault = tap_read(t->message, len, calls, &s->mono_ns);
	if (t->caller.secret != NULL)
		explicit_bzero(t->message, len);
	if (fault == NULL)
		return true;
	log_error("the tap is not read on: %s", fault);
	return false;
}

bool tap_client_drain(struct tap_client *t, unsigned i)
{
	struct tap_socket *s = &t->sockets[i];
	unsigned messages = 0;

	while (s->fd >= 0 && messages < MESSAGES_AT_ONCE) {
		ssize_t n = recv(s->fd, t->message, sizeof(t->message), MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0 || !read_message(t, i, (size_t)n)) {
			end_socket(s);
			return false;
		}
		messages++;
	}
	if (messages > 0)
		s->heard_ns = clock_mono_ns();
	return s->fd >= 0;
}

uint64_t tap_client_real_ns(const struct tap_client *t, uint64_t mono_ns)
{
	return t->real_ns + (mono_ns - t->mono_ns);
}

uint64_t tap_client_told_ns(const struct tap_client *t, uint64_t now_ns)
{
	uint64_t mono_ns = clock_mono_ns();
	uint64_t told_ns = now_ns;

	for (unsigned i = 1; i < t->count; i++) {
		const struct tap_socket *s = &t->sockets[i];

		if (s->fd < 0)
			continue;
		if (s->heard_ns + SILENCE_NS > mono_ns)
			told_ns = MIN(told_ns, tap_client_real_ns(t, s->mono_ns));
		else
			told_ns = MIN(told_ns, now_ns - SILENCE_NS);
	}
	return told_ns;
}

uint64_t tap_client_dropped(const struct tap_client *t)
{
	uint64_t dropped = 0;

	for (unsigned i = 0; i < t->count; i++)
		dropped += t->sockets[i].dropped;
	return dropped;
}
