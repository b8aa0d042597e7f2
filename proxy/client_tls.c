/*
 * client_tls.c -- what comes before a client's first request where the listener speaks TLS.
 *
 * A handshake that fails is an exchange without a request: it has a line in the log.
 */
#include "proxy/client_parts.h"

#include "proxy/relay.h"
#include "proxy/worker.h"

bool client_tls_begin(struct client *c, const struct accepted *a)
{
	struct tls *tls;

	c->state = a->tls ? CLIENT_TLS : CLIENT_IDLE;
	if (!a->tls)
		return true;
	tls = tls_new(c->w->tls_io, c->w->tls, TLS_ACCEPTS, &c->conn);
	if (tls != NULL)
		conn_begin_tls(&c->conn, tls);
	return tls != NULL;
}

/* The handshake did not come to its end: that is an exchange without a request. */
static void client_tls_failed(struct client *c, enum reason why)
{
	if (c->conn.read_off == 0) {
		client_close(c, why, false);
		return;
	}
	timeout_clear(&c->w->timeouts, &c->phase_limit);
	tap_tls(c->w->tap, &c->conn, tls_marks_of(c->conn.tls));
	c->relay = relay_new(c->w, &c->conn, &c->in, client_wake, c);
	if (c->relay == NULL) {
		client_turn_away(c, NULL, 0, why);
		return;
	}
	client_set(c, CLIENT_EXCHANGE);
	relay_refuse(c->relay, why);
	/* An alert is on its way: a close with bytes unread would overtake it. */
	c->relay->ending = RELAY_LINGER;
}

/* HTTP has come on a port of TLS: it is answered as what it is. */
static void client_is_plain(struct client *c, const char *bytes, size_t len)
{
	c->is_plain_on_tls = true;
	conn_describe(&c->conn);
	client_set(c, CLIENT_IDLE);
	if (!buf_append(&c->in, bytes, len))
		client_close(c, REASON_NO_MEMORY, false);
}

bool client_tls_shake(struct client *c)
{
	const char *bytes = NULL;
	size_t len = 0;

	switch (conn_handshake(&c->conn, &bytes, &len)) {
	case TLS_HANDSHAKE_MORE:
		return false;
	case TLS_HANDSHAKE_DONE:
		tap_tls(c->w->tap, &c->conn, c->conn.tls_marks);
		client_set(c, CLIENT_IDLE);
		if (c->refused)
			client_refuse(c);
		return true;
	case TLS_HANDSHAKE_FAILED:
		client_tls_failed(c, tls_unverified(c->conn.tls) ? REASON_TLS_UNVERIFIED
								 : REASON_TLS_HANDSHAKE);
		return true;
	case TLS_HANDSHAKE_PLAIN:
		client_is_plain(c, bytes, len);
		return true;
	}
	return false;
}

void client_tls_over(struct client *c)
{
	conn_abandon_tls(&c->conn, "the handshake took too long");
	client_tls_failed(c, REASON_TLS_TIMEOUT);
}
