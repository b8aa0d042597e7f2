/*
 * client.c -- the states of a client connection between accept and close.
 *
 * Heads are read here, exchanges are the relay's. Requests that were pipelined wait in `in` until
 * the exchange before them is over, so that answers leave in order.
 */
#include "proxy/client_parts.h"

#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "proxy/access_log.h"
#include "proxy/relay.h"
#include "proxy/relay_parts.h"
#include "proxy/worker.h"

#define CLIENT_HEAD_READ (64 * 1024)

/* The first byte of TLS (RFC 8446 section 5.1), and of no HTTP. */
#define TLS_CONTENT_HANDSHAKE 0x16

static void client_speaks(struct client *c)
{
	if (c->is_mute)
		TAILQ_REMOVE(&c->w->mute, c, mute);
	c->is_mute = false;
}

void client_set(struct client *c, enum client_state to)
{
	assert(c->state != CLIENT_CLOSED);
	assert(to != CLIENT_HEAD || c->state == CLIENT_IDLE);
	assert(to != CLIENT_TLS);
	c->state = to;
	/* Those that are mute stay so while all they have done is to greet. */
	if (to != CLIENT_HEAD && !(to == CLIENT_IDLE && c->is_mute))
		client_speaks(c);
}

void client_close(struct client *c, enum reason why, bool reset)
{
	struct worker *w = c->w;

	if (c->state == CLIENT_CLOSED)
		return;
	if (c->relay != NULL) {
		if (c->relay->begun) {
			if (c->relay->x.response < RESPONSE_DONE || conn_pending(&c->conn) > 0)
				relay_fail(c->relay, why);
			reset |= c->relay->ending == RELAY_RESET;
			relay_report(c->relay);
		}
		relay_free(c->relay);
		c->relay = NULL;
	}
	timeout_clear(&w->timeouts, &c->phase_limit);
	timeout_clear(&w->timeouts, &c->linger_limit);
	if (c->is_again)
		TAILQ_REMOVE(&w->again, c, again);
	tap_close(w->tap, &c->conn, reason_info(why)->word);
	TAILQ_REMOVE(&w->conns, &c->conn, all);
	conn_close(&c->conn, reset);
	buf_fini(&c->in);
	client_set(c, CLIENT_CLOSED);
	TAILQ_REMOVE(&w->clients, c, link);
	TAILQ_INSERT_TAIL(&w->dead, c, link);
	w->client_count--;
	if (c->refused)
		w->refused_count--;
	atomic_fetch_sub_explicit(&w->load, 1, memory_order_relaxed);
}

void client_reap(struct worker *w)
{
	struct client *c;

	while ((c = TAILQ_FIRST(&w->dead)) != NULL) {
		TAILQ_REMOVE(&w->dead, c, link);
		free(c);
	}
}

/* Our direction ends; the other is read until it ends or falls silent. */
static void client_linger(struct client *c)
{
	struct timeouts *ts = &c->w->timeouts;

	if (!conn_shutdown(&c->conn) || c->conn.peer_closed) {
		client_close(c, REASON_DONE, false);
		return;
	}
	buf_fini(&c->in);
	client_set(c, CLIENT_LINGER);
	timeout_set(ts, &c->phase_limit, TIMEOUT_LINGER_QUIET, c->w->now_ns);
	timeout_set(ts, &c->linger_limit, TIMEOUT_LINGER_TOTAL, c->w->now_ns);
}

/* Returns false when there is nothing more to do now. */
static bool client_discard(struct client *c)
{
	ssize_t n;

	/* The last that TLS has to say may not have fitted. */
	if (conn_pending(&c->conn) > 0 && !conn_flush(&c->conn)) {
		client_close(c, REASON_DONE, false);
		return false;
	}
	if (!c->conn.readable)
		return false;
	n = conn_discard(&c->conn, c->w->scratch, WORKER_SCRATCH);
	if (n == CONN_AGAIN)
		return false;
	if (n < 0) {
		client_close(c, REASON_DONE, false);
		return false;
	}
	c->w->budget_bytes -= n;
	timeout_set(&c->w->timeouts, &c->phase_limit, TIMEOUT_LINGER_QUIET, c->w->now_ns);
	return true;
}

static void client_idle(struct client *c)
{
	client_set(c, CLIENT_IDLE);
	c->in_looked_at = false;
	if (buf_left(&c->in) == 0)
		buf_fini(&c->in);
	timeout_set(&c->w->timeouts, &c->phase_limit, TIMEOUT_IDLE, c->w->now_ns);
}

/* Has a byte of a next request come? It may not have been signalled yet. */
static bool client_has_more(const struct client *c)
{
	return buf_left(&c->in) > 0 || conn_peek(&c->conn) > 0;
}

/* The exchange is over: report it, and go on as it says. */
static void client_exchange_over(struct client *c)
{
	struct relay *r = c->relay;
	enum relay_ending ending = r->ending;
	enum reason why = r->x.why;

	c->read_ns = r->client_read_ns;
	relay_report(r);
	relay_free(r);
	c->relay = NULL;
	switch (ending) {
	case RELAY_KEEP:
		/* The client was told that it may go on: what it has sent gets an answer yet. */
		if (c->w->stop != WORKER_RUNS && !client_has_more(c))
			client_linger(c);
		else
			client_idle(c);
		break;
	case RELAY_LINGER:
		client_linger(c);
		break;
	case RELAY_CLOSE:
		client_close(c, why, false);
		break;
	case RELAY_RESET:
		client_close(c, why, true);
		break;
	}
}

void client_wake(void *arg)
{
	struct client *c = arg;

	/* A limit of the whole exchange may strike while its head is still being read. */
	if (c->state == CLIENT_HEAD && c->relay->x.request == REQUEST_CUT) {
		timeout_clear(&c->w->timeouts, &c->phase_limit);
		client_set(c, CLIENT_EXCHANGE);
	}
	client_run(c);
}

static enum reason fault_reason(enum http_fault fault)
{
	switch (fault) {
	case HTTP_FAULT_METHOD_UNKNOWN:
		return REASON_METHOD_UNKNOWN;
	case HTTP_FAULT_VERSION:
		return REASON_VERSION_REFUSED;
	case HTTP_FAULT_CODING:
		return REASON_CODING_REFUSED;
	case HTTP_FAULT_TARGET_TOO_LONG:
		return REASON_TARGET_TOO_LONG;
	case HTTP_FAULT_TOO_LARGE:
		return REASON_HEAD_TOO_LARGE;
	case HTTP_FAULT_MEMORY:
		return REASON_NO_MEMORY;
	case HTTP_FAULT_NONE:
	case HTTP_FAULT_SYNTAX:
	case HTTP_FAULT_HOST:
		break;
	}
	return REASON_BAD_REQUEST;
}

void client_turn_away(struct client *c, const char *bytes, size_t len, enum reason why)
{
	size_t skip = http_empty_lines(bytes, len);

	worker_lacks(c->w, "request");
	if (len > 0 && (skip == len || (skip == len - 1 && bytes[skip] == '\r'))) {
		/* Empty lines alone are no request, nor is what may become one more. */
		client_close(c, why, false);
		return;
	}
	timeout_clear(&c->w->timeouts, &c->phase_limit);
	relay_turn_away(c->w, &c->conn, c->read_ns, bytes, len, why);
	client_linger(c);
}

/*
 * A first byte is there, of a head or of blank lines before one: from now on it has a relay.
 * bytes[0, len) is what there is so far.
 */
static bool client_head_begin(struct client *c, const char *bytes, size_t len)
{
	c->relay = relay_new(c->w, &c->conn, &c->in, client_wake, c);
	if (c->relay == NULL) {
		client_turn_away(c, bytes, len, REASON_NO_MEMORY);
		return false;
	}
	client_set(c, CLIENT_HEAD);
	return true;
}

/* No memory to keep what has come of a head. */
static void client_head_lost(struct client *c)
{
	if (!c->relay->begun) {
		client_close(c, REASON_NO_MEMORY, false);
		return;
	}
	timeout_clear(&c->w->timeouts, &c->phase_limit);
	client_set(c, CLIENT_EXCHANGE);
	relay_fail(c->relay, REASON_NO_MEMORY);
	buf_fini(&c->in);
}

/* Why the head that begins at bytes is refused. */
static enum reason client_head_fault(const struct client *c, const char *bytes)
{
	if (c->is_plain_on_tls)
		return REASON_PLAIN_ON_TLS;
	if (c->conn.tls == NULL && c->conn.nth == 1 && *bytes == TLS_CONTENT_HANDSHAKE)
		return REASON_TLS_ON_PLAIN;
	return fault_reason(c->relay->req_head.fault);
}

/* bytes[0, len) is the message so far; from_in: they are c->in, else the worker's scratch. */
static void client_take_head(struct client *c, char *bytes, size_t len, bool from_in)
{
	struct relay *r = c->relay;
	enum http_progress p;
	size_t used;

	r->client_read_ns = c->read_ns;
	p = relay_read_head(r, bytes, len);
	if (p == HTTP_MORE && !(c->is_plain_on_tls && r->begun)) {
		c->in_looked_at = true;
		if (r->begun)
			client_speaks(c);
		if (!from_in && !buf_append(&c->in, bytes, len))
			client_head_lost(c);
		else if (!r->begun && c->w->stop != WORKER_RUNS)
			client_close(c, REASON_SHUTDOWN, false); /* empty lines */
		else if (r->begun && c->phase_limit.what != TIMEOUT_HEADER)
			timeout_set(&c->w->timeouts, &c->phase_limit, TIMEOUT_HEADER, c->w->now_ns);
		return;
	}
	timeout_clear(&c->w->timeouts, &c->phase_limit);
	client_set(c, CLIENT_EXCHANGE);
	c->in_looked_at = false;
	if (p == HTTP_BAD || c->is_plain_on_tls) {
		relay_fail(r, client_head_fault(c, bytes));
		buf_fini(&c->in);
		return;
	}
	used = r->req_head.len;
	if (from_in) {
		buf_consume(&c->in, used);
		/* A head that came in pieces does not cost its buffer for the whole exchange. */
		if (buf_left(&c->in) == 0)
			buf_fini(&c->in);
		(void)relay_start(r, NULL, 0);
		return;
	}
	used += relay_start(r, bytes + used, len - used);
	if (used < len && !buf_append(&c->in, bytes + used, len - used)) {
		/* Bytes of the body, or of the next request, are lost. */
		r->x.close_client = true;
		relay_fail(r, REASON_NO_MEMORY);
	}
}

static void client_eof(struct client *c, bool error)
{
	if (c->relay == NULL || !c->relay->begun)
		client_close(c, error ? REASON_CLIENT_RESET : REASON_CLIENT_CLOSED, false);
	else
		client_close(c, error ? relay_client_reason(c->relay) : REASON_CLIENT_EOF, false);
}

/* No more than its limit is kept of a head that comes in pieces. */
static size_t client_head_room(const struct client *c)
{
	size_t left = buf_left(&c->in);
	size_t max = c->w->cfg->proxy.max_header_bytes;

	if (left == 0 || left >= max)
		return CLIENT_HEAD_READ;
	return MIN(max - left, (size_t)CLIENT_HEAD_READ);
}

/* Read on in a head. Returns false when there is nothing more to do now. */
static bool client_read_head(struct client *c)
{
	struct worker *w = c->w;
	ssize_t n;

	if (buf_left(&c->in) > 0 && !c->in_looked_at) {
		if (c->relay == NULL && !client_head_begin(c, buf_at(&c->in), buf_left(&c->in)))
			return true;
		client_take_head(c, buf_at(&c->in), buf_left(&c->in), true);
		return true;
	}
	if (UNLIKELY(conn_pending(&c->conn) > 0) && !conn_flush(&c->conn)) {
		client_eof(c, true);
		return false;
	}
	if (!c->conn.readable && (c->state == CLIENT_IDLE || !conn_recheck(&c->conn)))
		return false;
	n = conn_read(&c->conn, w->scratch, client_head_room(c));
	if (n == CONN_AGAIN)
		return false;
	if (n < 0) {
		client_eof(c, n == CONN_ERROR);
		return false;
	}
	c->read_ns = worker_clock(w);
	w->budget_bytes -= n;
	if (c->relay == NULL && !client_head_begin(c, w->scratch, (size_t)n))
		return true;
	if (buf_left(&c->in) == 0) {
		client_take_head(c, w->scratch, (size_t)n, false);
		return true;
	}
	if (!buf_append(&c->in, w->scratch, (size_t)n)) {
		client_head_lost(c);
		return true;
	}
	client_take_head(c, buf_at(&c->in), buf_left(&c->in), true);
	return true;
}

void client_refuse(struct client *c)
{
	timeout_clear(&c->w->timeouts, &c->phase_limit);
	c->relay = relay_new(c->w, &c->conn, &c->in, client_wake, c);
	if (c->relay == NULL) {
		client_turn_away(c, NULL, 0, REASON_OVERLOAD);
		return;
	}
	relay_refuse(c->relay, REASON_OVERLOAD);
	client_set(c, CLIENT_EXCHANGE);
}

static void client_requeue(struct client *c)
{
	if (c->is_again)
		return;
	c->is_again = true;
	TAILQ_INSERT_TAIL(&c->w->again, c, again);
}

/* One step. Returns false when there is nothing more to do now. */
static bool client_step(struct client *c)
{
	switch (c->state) {
	case CLIENT_TLS:
		return client_tls_shake(c);
	case CLIENT_IDLE:
	case CLIENT_HEAD:
		return client_read_head(c);
	case CLIENT_EXCHANGE:
		switch (relay_run(c->relay)) {
		case RELAY_FINISHED:
			client_exchange_over(c);
			return true;
		case RELAY_AGAIN:
			return true;
		case RELAY_WAIT:
			return false;
		}
		return false;
	case CLIENT_LINGER:
		return client_discard(c);
	case CLIENT_CLOSED:
		break;
	}
	return false;
}

void client_run(struct client *c)
{
	struct worker *w = c->w;
	int steps = WORKER_BUDGET_STEPS;

	w->budget_bytes = WORKER_BUDGET_BYTES;
	while (client_step(c)) {
		if (c->state == CLIENT_CLOSED)
			return;
		if (w->budget_bytes <= 0 || --steps == 0) {
			client_requeue(c);
			return;
		}
	}
}

static void client_event(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;

	(void)fd;
	worker_clock(c->w);
	conn_note_event(&c->conn, what);
	if (c->state == CLIENT_EXCHANGE && (what & (EV_READ | EV_CLOSED)))
		conn_look_for_error(&c->conn);
	client_run(c);
}

static void client_phase_over(struct timeout *t, enum timeout_class what)
{
	struct client *c =
		(struct client *)(void *)((char *)t - offsetof(struct client, phase_limit));

	if (what == TIMEOUT_HEADER && c->relay != NULL && c->relay->begun) {
		client_set(c, CLIENT_EXCHANGE);
		relay_fail(c->relay, REASON_HEADER_TIMEOUT);
		client_run(c);
		return;
	}
	if (c->state == CLIENT_TLS) {
		client_tls_over(c);
		client_run(c);
		return;
	}
	client_close(c, what == TIMEOUT_LINGER_QUIET ? REASON_DONE : REASON_IDLE_TIMEOUT, false);
}

static void client_linger_over(struct timeout *t, enum timeout_class what)
{
	struct client *c =
		(struct client *)(void *)((char *)t - offsetof(struct client, linger_limit));

	(void)what;
	client_close(c, REASON_DONE, false);
}

void client_drain(struct client *c)
{
	if (c->state == CLIENT_TLS || (c->state == CLIENT_IDLE && !client_has_more(c)) ||
	    (c->state == CLIENT_HEAD && !c->relay->begun && conn_peek(&c->conn) <= 0))
		client_close(c, REASON_SHUTDOWN, false);
}

static void client_conn_init(struct worker *w, struct conn *conn, const struct accepted *a)
{
	int one = 1;

	conn->fd = a->fd;
	conn->leg = TAP_CLIENT;
	conn->id = worker_next_conn(w);
	conn->opened_ns = a->opened_ns;
	conn->local = a->local;
	conn->peer = a->peer;
	/* What came with the connection is there already: it is tried before the first event. */
	conn->readable = conn->writable = true;
	(void)setsockopt(a->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	conn_describe(conn);
}

/* No memory for a client, or no event: an answer, where it needs no handshake, and the end. */
static void client_conn_turn_away(struct worker *w, struct conn *conn, bool tls)
{
	ssize_t n;

	worker_lacks(w, "connection");
	tap_open(w->tap, conn);
	relay_turn_away(w, conn, w->now_ns, NULL, 0, tls ? REASON_TLS_HANDSHAKE : REASON_NO_MEMORY);
	/* A close with bytes unread would be an RST, which may overtake the answer. */
	n = conn_shutdown(conn) ? conn_discard(conn, w->scratch, WORKER_SCRATCH) : 0;
	tap_close(w->tap, conn, reason_info(REASON_NO_MEMORY)->word);
	conn_close(conn, n == CONN_ERROR);
}

bool client_new(struct worker *w, const struct accepted *a, bool refuse)
{
	struct client *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		struct conn conn = {0};

		client_conn_init(w, &conn, a);
		client_conn_turn_away(w, &conn, a->tls);
		return false;
	}
	client_conn_init(w, &c->conn, a);
	c->w = w;
	c->read_ns = w->now_ns;
	timeout_init(&c->phase_limit, client_phase_over);
	timeout_init(&c->linger_limit, client_linger_over);
	if (!client_tls_begin(c, a) || !conn_watch(&c->conn, w->base, client_event, c)) {
		client_conn_turn_away(w, &c->conn, a->tls);
		free(c);
		return false;
	}
	TAILQ_INSERT_TAIL(&w->conns, &c->conn, all);
	TAILQ_INSERT_TAIL(&w->clients, c, link);
	w->client_count++;
	tap_open(w->tap, &c->conn);
	c->refused = refuse;
	w->refused_count += refuse;
	if (refuse && c->state != CLIENT_TLS) {
		client_refuse(c);
		client_run(c);
		return true;
	}
	timeout_set(&w->timeouts, &c->phase_limit, TIMEOUT_HEADER, w->now_ns);
	c->is_mute = true;
	c->came_ns = w->now_ns;
	TAILQ_INSERT_TAIL(&w->mute, c, mute);
	client_run(c);
	return true;
}
