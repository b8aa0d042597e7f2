/*
 * conn.c -- reading, writing and closing of one socket.
 *
 * Edge triggered: a short read or EAGAIN means that the next event will tell of more. A peer that is
 * closing is read on until end-of-file, since its FIN brings no second edge.
 */
#include "proxy/conn.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/conn_parts.h"

bool conn_watch(struct conn *c, struct event_base *base, event_callback_fn fn, void *arg)
{
	if (event_assign(&c->event, base, c->fd,
			 EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, fn, arg) != 0)
		return false;
	return event_add(&c->event, NULL) == 0;
}

void conn_look_for_error(struct conn *c)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (c->error == 0 && getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0)
		c->error = error;
}

void conn_take_urgent(int fd)
{
	int one = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
}

/* recv() stops before an urgent byte, however much stands behind it. */
static bool is_before_urgent(const struct conn *c)
{
	int at_mark = 0;

	return ioctl(c->fd, SIOCATMARK, &at_mark) == 0 && at_mark != 0;
}

bool conn_recheck(struct conn *c)
{
	/* What has been signalled since then stays: reading on tells of it. */
	if (!c->unsure || c->readable)
		return false;
	c->unsure = false;
	conn_look_for_error(c);
	if (c->error == 0 && !is_before_urgent(c))
		return false;
	c->readable = true;
	return true;
}

void conn_note_event(struct conn *c, short what)
{
	if (what & (EV_READ | EV_CLOSED))
		c->readable = true;
	if (what & EV_WRITE)
		c->writable = true;
	if (what & EV_CLOSED)
		c->peer_closing = true;
}

ssize_t conn_recv(struct conn *c, char *bytes, size_t cap)
{
	ssize_t n;

	do {
		n = recv(c->fd, bytes, cap, 0);
	} while (n < 0 && errno == EINTR);
	if (n > 0) {
		c->read_off += (uint64_t)n;
		c->drained = (size_t)n < cap;
		c->unsure = c->drained && !c->peer_closing;
		if (c->unsure)
			c->readable = false;
		return n;
	}
	c->readable = c->unsure = false;
	if (n == 0) {
		c->peer_closing = c->peer_closed = true;
		/* The first failure is EPIPE when the peer's FIN had come before its RST. */
		if (c->error != 0 && c->error != EPIPE)
			return CONN_ERROR;
		return CONN_EOF;
	}
	if (errno == EAGAIN || errno == EWOULDBLOCK) {
		c->drained = true;
		if (c->error != 0)
			return CONN_ERROR;
		return CONN_AGAIN;
	}
	c->error = errno;
	return CONN_ERROR;
}

ssize_t conn_read(struct conn *c, char *bytes, size_t cap)
{
	return LIKELY(c->tls == NULL) ? conn_recv(c, bytes, cap) : conn_read_tls(c, bytes, cap);
}

ssize_t conn_discard(struct conn *c, char *bytes, size_t cap)
{
	return conn_recv(c, bytes, cap);
}

bool conn_is_quiet(struct conn *c)
{
	char bytes[1024];

	if (c->peer_closing || c->peer_closed || c->error != 0)
		return false;
	if (LIKELY(c->tls == NULL))
		return conn_peek(c) == CONN_AGAIN;
	c->readable = true; /* what has come may not have been signalled yet */
	return conn_read(c, bytes, sizeof(bytes)) == CONN_AGAIN;
}

ssize_t conn_peek(const struct conn *c)
{
	char byte;
	ssize_t n;

	if (UNLIKELY(c->tls != NULL) && tls_has_more(c->tls))
		return 1;
	do {
		n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		return n;
	if (n == 0)
		return CONN_EOF;
	return errno == EAGAIN || errno == EWOULDBLOCK ? CONN_AGAIN : CONN_ERROR;
}

/* What the socket takes now of the parts; 0 on EAGAIN, -1 on failure. */
static ssize_t conn_try(struct conn *c, const struct iovec *parts, int count)
{
	ssize_t n;

	if (c->error != 0)
		return -1;
	if (!c->writable)
		return 0;
	do {
		if (count == 1) {
			n = send(c->fd, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL);
		} else {
			struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)parts,
					   .msg_iovlen = (size_t)count};

			n = sendmsg(c->fd, &m, MSG_NOSIGNAL);
		}
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		c->writable = false;
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return 0;
		c->error = errno;
		return -1;
	}
	c->sent_off += (uint64_t)n;
	return n;
}

/* Keep what is left of the parts after the first `taken` bytes. */
static bool conn_keep(struct conn *c, const struct iovec *parts, int count, size_t taken)
{
	for (int i = 0; i < count; i++) {
		if (taken >= parts[i].iov_len) {
			taken -= parts[i].iov_len;
			continue;
		}
		if (!buf_append(&c->out, (const char *)parts[i].iov_base + taken,
				parts[i].iov_len - taken)) {
			c->error = ENOMEM;
			return false;
		}
		taken = 0;
	}
	return true;
}

static size_t parts_len(const struct iovec *parts, int count)
{
	size_t total = 0;

	for (int i = 0; i < count; i++)
		total += parts[i].iov_len;
	return total;
}

bool conn_send_plain(struct conn *c, const struct iovec *parts, int count)
{
	size_t total = parts_len(parts, count);
	ssize_t n = 0;

	if (total == 0)
		return true;
	if (conn_pending(c) == 0) {
		n = conn_try(c, parts, count);
		if (n < 0)
			return false;
		if ((size_t)n == total)
			return true;
		c->writable = false;
	}
	return conn_keep(c, parts, count, (size_t)n);
}

bool conn_send(struct conn *c, const struct iovec *parts, int count)
{
	if (LIKELY(c->tls == NULL))
		return conn_send_plain(c, parts, count);
	return parts_len(parts, count) == 0 || conn_send_tls(c, parts, count);
}

bool conn_flush(struct conn *c)
{
	while (conn_pending(c) > 0 && c->writable) {
		struct iovec part = {buf_at(&c->out), conn_pending(c)};
		ssize_t n = conn_try(c, &part, 1);

		if (n < 0)
			return false;
		if ((size_t)n < part.iov_len)
			c->writable = false;
		buf_consume(&c->out, (size_t)n);
	}
	if (conn_pending(c) == 0 && c->out.cap > 0)
		buf_fini(&c->out);
	if (UNLIKELY(c->ending) && conn_pending(c) == 0) {
		c->ending = false;
		(void)shutdown(c->fd, SHUT_WR);
	}
	return true;
}

uint64_t conn_taken(const struct conn *c)
{
	int queued = 0;

	if (ioctl(c->fd, SIOCOUTQ, &queued) != 0 || queued < 0 || (uint64_t)queued > c->sent_off)
		return c->sent_off;
	return c->sent_off - (uint64_t)queued;
}

void conn_leg(struct conn *c, struct leg_record *leg)
{
	*leg = leg_record_none();
	leg->conn = c->id;
	leg->nth = ++c->nth;
	leg->opened_ns = c->opened_ns;
	leg->local = c->local;
	leg->peer = c->peer;
}

static void conn_forget_fragment(struct conn *c)
{
	free(c->fragment);
	c->fragment = NULL;
	c->fragment_len = 0;
}

void conn_describe(struct conn *c)
{
	struct buf tls = {0};
	bool known = c->tls != NULL && tls_describe(c->tls, &tls);
	struct access_text said = {known ? buf_at(&tls) : NULL, buf_left(&tls)};
	size_t room = ACCESS_FRAGMENT_MAX + said.len;
	char *text = malloc(room), *fitting;

	conn_forget_fragment(c);
	if (text != NULL) {
		c->fragment_len = (uint16_t)access_fragment(&c->local, &c->peer, c->opened_ns,
							    &said, text, room);
		fitting = realloc(text, MAX(c->fragment_len, 1));
		c->fragment = fitting != NULL ? fitting : text;
	}
	buf_fini(&tls);
}

bool conn_shutdown(struct conn *c)
{
	if (UNLIKELY(c->tls != NULL)) {
		if (!conn_end_tls(c))
			return false;
		c->ending = conn_pending(c) > 0;
		if (c->ending)
			return true;
	}
	return shutdown(c->fd, SHUT_WR) == 0;
}

void conn_close(struct conn *c, bool reset)
{
	if (c->fd < 0)
		return;
	if (event_initialized(&c->event))
		event_del(&c->event);
	if (UNLIKELY(c->tls != NULL))
		conn_close_tls(c, reset);
	conn_forget_fragment(c);
	if (reset) {
		struct linger now = {.l_onoff = 1, .l_linger = 0};

		(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	}
	close(c->fd);
	c->fd = -1;
	buf_fini(&c->out);
}
