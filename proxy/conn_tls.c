/*
 * conn_tls.c -- TLS over the socket of a connection.
 *
 * One recv() serves as many records as came together, and all records of a call leave in one send().
 */
#include "proxy/conn_parts.h"

#include <string.h>

/* What TLS wants sent. */
static bool conn_send_records(struct conn *c)
{
	const struct iovec records = tls_output(c->tls);
	bool fine = conn_send_plain(c, &records, 1);

	tls_output_done(c->tls);
	return fine;
}

/*
 * With TLS, what was received together can be given in one read: of large ones so much is received
 * that a record which was incomplete before fits in as well.
 */
static size_t conn_tls_room(size_t cap)
{
	return MIN((size_t)TLS_INPUT_MAX,
		   cap >= 2 * TLS_PLAINTEXT_MAX ? cap - TLS_PLAINTEXT_MAX : cap);
}

/* What follows is TLS's own: the last that is sent. */
static void conn_note_notice(struct conn *c)
{
	if (c->notify_off == 0)
		c->notify_off = conn_next_off(c);
}

/* As what TLS has failed. */
static int conn_tls_error(const struct conn *c)
{
	return tls_lacks_memory(c->tls) ? ENOMEM : EPROTO;
}

static ssize_t conn_tls_ended(struct conn *c, ssize_t how)
{
	c->readable = c->unsure = false;
	if (how == TLS_CLOSED) {
		c->peer_closed = true;
		return CONN_EOF;
	}
	/* An alert is the reason of the reset behind it. */
	if (!conn_lacks_memory(c))
		c->error = conn_tls_error(c);
	conn_describe(c); /* the log says why */
	return CONN_ERROR;
}

/* What is received only serves what could not be read without. */
ssize_t conn_read_tls(struct conn *c, char *bytes, size_t cap)
{
	for (;;) {
		ssize_t n = tls_read(c->tls, bytes, cap);

		/* What is sent now is an alert, and no message's. */
		if (n == TLS_FAILED)
			conn_note_notice(c);
		if (!conn_send_records(c) && n == TLS_AGAIN)
			return CONN_ERROR;
		if (n > 0) {
			if (tls_has_more(c->tls)) {
				c->readable = true;
				c->drained = false;
			}
			return n;
		}
		if (n != TLS_AGAIN)
			return conn_tls_ended(c, n);
		if (!c->readable)
			return CONN_AGAIN;
		n = conn_recv(c, tls_input(c->tls), conn_tls_room(cap));
		if (n == CONN_EOF)
			c->truncated = true;
		if (n <= 0)
			return n;
		tls_received(c->tls, (size_t)n);
	}
}

bool conn_send_tls(struct conn *c, const struct iovec *parts, int count)
{
	bool fine = tls_write(c->tls, parts, count);

	if (!conn_send_records(c))
		return false;
	if (!fine && c->error == 0)
		c->error = conn_tls_error(c);
	return fine;
}

void conn_begin_tls(struct conn *c, struct tls *tls)
{
	c->tls = tls;
}

/* A client that was told http:// sends a method, or an empty line before one. */
static bool looks_like_http(char first)
{
	return (first >= 'A' && first <= 'Z') || (first >= 'a' && first <= 'z') || first == '\r' ||
	       first == '\n';
}

static enum tls_handshake conn_handshake_over(struct conn *c, enum tls_handshake how)
{
	if (tls_has_more(c->tls))
		c->readable = true;
	if (how == TLS_HANDSHAKE_FAILED && tls_lacks_memory(c->tls) && c->error == 0)
		c->error = ENOMEM;
	c->tls_marks = tls_marks_of(c->tls);
	conn_describe(c);
	return how;
}

void conn_abandon_tls(struct conn *c, const char *why)
{
	tls_abandon(c->tls, why);
	(void)conn_handshake_over(c, TLS_HANDSHAKE_FAILED);
}

static enum tls_handshake conn_handshake_ended(struct conn *c, const char *why)
{
	conn_abandon_tls(c, why);
	return TLS_HANDSHAKE_FAILED;
}

enum tls_handshake conn_handshake(struct conn *c, const char **bytes, size_t *len)
{
	for (;;) {
		enum tls_handshake how = tls_handshake(c->tls);
		ssize_t n;

		if (!conn_send_records(c) || !conn_flush(c))
			return conn_handshake_ended(c, strerrordesc_np(c->error));
		if (how != TLS_HANDSHAKE_MORE)
			return conn_handshake_over(c, how);
		if (!c->readable && !conn_recheck(c))
			return TLS_HANDSHAKE_MORE;
		n = conn_recv(c, tls_input(c->tls), TLS_INPUT_MAX);
		if (n == CONN_AGAIN)
			return TLS_HANDSHAKE_MORE;
		if (n < 0)
			return conn_handshake_ended(
				c, n == CONN_EOF ? "the peer closed during the handshake"
						 : strerrordesc_np(c->error));
		if (c->leg == TAP_CLIENT && c->read_off == (uint64_t)n &&
		    looks_like_http(*tls_input(c->tls))) {
			*bytes = tls_input(c->tls);
			*len = (size_t)n;
			tls_free(c->tls);
			c->tls = NULL;
			return TLS_HANDSHAKE_PLAIN;
		}
		tls_received(c->tls, (size_t)n);
	}
}

bool conn_end_tls(struct conn *c)
{
	conn_note_notice(c);
	tls_close_notify(c->tls);
	return conn_send_records(c);
}

/*
 * A close_notify is the last that the peer hears, also one that has ended its own direction and may
 * still read; when it does not fit any more, it hears nothing.
 */
void conn_close_tls(struct conn *c, bool reset)
{
	if (!reset && c->error == 0 && conn_pending(c) == 0) {
		tls_close_notify(c->tls);
		(void)!conn_send_records(c);
	}
	tls_free(c->tls);
	c->tls = NULL;
	c->tls_marks = NULL;
}
