/*
 * relay.c -- the life of a relay: made for a request, run in turns, failed, over. Which side is being
 * waited for, and for how long, is decided here in one place.
 *
 * The bytes move in relay_request.c and relay_response.c.
 */
#include "proxy/relay.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "proxy/answer.h"
#include "proxy/backend.h"
#include "proxy/reflection.h"
#include "proxy/relay_parts.h"
#include "proxy/worker.h"

#define RELAY_READ_FIRST (64 * 1024)
#define RELAY_READ_LEAST (16 * 1024)
#define RELAY_RAW_KEPT   (4 * 1024)

static struct relay *relay_of(struct timeout *t, size_t member)
{
	return (struct relay *)(void *)((char *)t - member);
}

static void relay_body_over(struct timeout *t, enum timeout_class what)
{
	struct relay *r = relay_of(t, offsetof(struct relay, body_limit));

	relay_fail(r, what == TIMEOUT_TUNNEL ? REASON_TUNNEL_TIMEOUT : REASON_BODY_TIMEOUT);
	r->wake(r->wake_arg);
}

/*
 * A socket tells of room only when a good part of its buffer is free, which may be megabytes: a slow
 * peer has taken bytes meanwhile. Without an earlier look, all taken means that it was so at once.
 */
static bool relay_peer_took(const struct conn *c, struct relay_taken *last)
{
	uint64_t off = conn_taken(c);
	bool more = off > last->off && (last->looked || off < c->sent_off);

	*last = (struct relay_taken){.off = off, .looked = true};
	return more;
}

static void relay_send_over(struct timeout *t, enum timeout_class what)
{
	struct relay *r = relay_of(t, offsetof(struct relay, send_limit));

	if (relay_peer_took(r->client, &r->client_took)) {
		timeout_set(&r->w->timeouts, t, what, r->w->now_ns);
		return;
	}
	relay_fail(r, REASON_CLIENT_STALLED);
	r->wake(r->wake_arg);
}

static void relay_backend_over(struct timeout *t, enum timeout_class what)
{
	struct relay *r = relay_of(t, offsetof(struct relay, backend_limit));

	if (what == TIMEOUT_BACKEND && r->up != NULL &&
	    relay_peer_took(&r->up->conn, &r->up_took)) {
		timeout_set(&r->w->timeouts, t, what, r->w->now_ns);
		return;
	}
	if (what == TIMEOUT_RESOLVE)
		relay_fail(r, REASON_RESOLVE_FAILED);
	else if (what == TIMEOUT_CONNECT)
		backend_connect_over(r);
	else if (r->up != NULL && conn_pending(&r->up->conn) > 0)
		relay_fail(r, REASON_BACKEND_STALLED);
	else
		relay_fail(r, REASON_BACKEND_TIMEOUT);
	r->wake(r->wake_arg);
}

static void relay_request_over(struct timeout *t, enum timeout_class what)
{
	struct relay *r = relay_of(t, offsetof(struct relay, request_limit));

	(void)what;
	relay_fail(r, REASON_REQUEST_TIMEOUT);
	r->wake(r->wake_arg);
}

static void relay_look(struct timeout *t, enum timeout_class what)
{
	struct relay *r = relay_of(t, offsetof(struct relay, look_limit));

	(void)what;
	if (conn_recheck(r->client))
		r->wake(r->wake_arg);
}

/* What differs from zero at the begin of every exchange; memory of an earlier one is kept. */
static void relay_prepare(struct relay *r, struct conn *client, struct buf *in)
{
	r->begun = r->started = false;
	r->ending = RELAY_KEEP;
	r->client = client;
	r->in = in;
	r->up = NULL;
	r->up_ready = r->up_broken = r->resolving = r->fresh_only = false;
	r->request_sent = 0;
	r->replayable = true;
	r->ids.own_request_id = r->ids.own_traceparent = false;
	r->body_begun = r->resp_begun = r->ends_by_close = false;
	r->soap_request = r->soap_response = NULL;
	r->up_read_size = r->client_read_size = RELAY_READ_FIRST;
	buf_reset(&r->backend_fragment, RELAY_FRAGMENT_KEPT);
	r->has_backend_tls = false;
	r->client_read_moved = r->client_send_moved = r->backend_moved = r->tunnel_moved = false;
	r->tunnel = r->tunnel_up_closed = r->tunnel_down_closed = false;
	r->tunnel_end = REASON_DONE;
	r->client_took = (struct relay_taken){0};
	r->told_request = r->told_response = (struct tap_throttle){0};
	r->x = (struct exchange){.why = REASON_DONE};
	timeout_init(&r->body_limit, relay_body_over);
	timeout_init(&r->send_limit, relay_send_over);
	timeout_init(&r->backend_limit, relay_backend_over);
	timeout_init(&r->request_limit, relay_request_over);
	timeout_init(&r->look_limit, relay_look);
}

void relay_destroy(struct relay *r)
{
	http_head_fini(&r->req_head);
	http_head_fini(&r->resp_head);
	http_body_fini(&r->req_body);
	http_body_fini(&r->resp_body);
	buf_fini(&r->raw);
	buf_fini(&r->request);
	buf_fini(&r->resp_raw);
	buf_fini(&r->backend_fragment);
	free(r);
}

struct relay *relay_new(struct worker *w, struct conn *client, struct buf *in,
			void (*wake)(void *arg), void *arg)
{
	struct http_limits limits = {w->cfg->proxy.max_header_bytes, w->cfg->proxy.max_headers};
	struct relay *r = TAILQ_FIRST(&w->free_relays);

	if (r != NULL) {
		TAILQ_REMOVE(&w->free_relays, r, link);
		w->free_relay_count--;
	} else {
		r = calloc(1, sizeof(*r));
		if (r == NULL)
			return NULL;
	}
	r->w = w;
	r->wake = wake;
	r->wake_arg = arg;
	relay_prepare(r, client, in);
	if (!http_head_init(&r->req_head, HTTP_REQUEST, &limits, HTTP_METHOD_OTHER, false)) {
		relay_destroy(r);
		return NULL;
	}
	return r;
}

void relay_free(struct relay *r)
{
	struct worker *w = r->w;

	backend_drop(r, REASON_ABANDONED);
	if (UNLIKELY(r->soap_request != NULL || r->soap_response != NULL)) {
		soap_reader_free(r->soap_request);
		soap_reader_free(r->soap_response);
	}
	timeout_clear(&w->timeouts, &r->body_limit);
	timeout_clear(&w->timeouts, &r->send_limit);
	timeout_clear(&w->timeouts, &r->request_limit);
	timeout_clear(&w->timeouts, &r->look_limit);
	if (w->free_relay_count >= WORKER_RELAYS_KEPT) {
		relay_destroy(r);
		return;
	}
	/* Hundreds may be kept: none keeps what only a large message needed. */
	http_head_slim(&r->req_head);
	http_head_slim(&r->resp_head);
	http_body_fini(&r->req_body);
	http_body_fini(&r->resp_body);
	buf_reset(&r->raw, RELAY_RAW_KEPT);
	buf_reset(&r->request, RELAY_REPLAY_MAX);
	buf_reset(&r->resp_raw, RELAY_RAW_KEPT);
	TAILQ_INSERT_HEAD(&w->free_relays, r, link);
	w->free_relay_count++;
}

static void relay_begin(struct relay *r, const char *bytes, size_t len)
{
	struct worker *w = r->w;
	struct conn *c = r->client;
	struct leg_record leg;
	/* they belong to no request; a bare CR or LF is a fault, and of this one */
	size_t skip = http_empty_lines(bytes, len);

	conn_leg(c, &leg);
	/* A pipelined request's first byte may have been read a while ago. */
	exchange_begin(&r->x, exchange_id(w->shared->id_seed, w->index, w->exchanges++),
		       w->shared->run, clock_real_ns() - (clock_mono_ns() - r->client_read_ns),
		       r->client_read_ns, &leg);
	range_begin(&r->x.rec.client.request, conn_first_off(c, len - skip));
	range_reach(&r->x.rec.client.request, conn_past_off(c, 0));
	r->begun = true;
	timeout_set(&w->timeouts, &r->request_limit, TIMEOUT_REQUEST, w->now_ns);
	if (tap_active(w->tap))
		tap_begin(w->tap, r->x.rec.id, c, TAP_PART_CLIENT_REQUEST,
			  r->x.rec.client.request.first, 0, bytes + skip, len - skip);
}

void relay_refuse(struct relay *r, enum reason why)
{
	r->client_read_ns = r->w->now_ns;
	relay_begin(r, NULL, 0);
	relay_fail(r, why);
}

enum http_progress relay_read_head(struct relay *r, const char *bytes, size_t len)
{
	enum http_progress p;

	p = http_head_read(&r->req_head, bytes, len);
	if (!r->begun && (http_head_started(&r->req_head) || p == HTTP_BAD))
		relay_begin(r, bytes, len);
	if (r->begun)
		range_reach(&r->x.rec.client.request,
			    conn_past_off(r->client, p == HTTP_DONE ? len - r->req_head.len : 0));
	if (p == HTTP_MORE && r->begun)
		relay_tell_shared(r, 0);
	if (p != HTTP_MORE) {
		size_t keep = p == HTTP_DONE ? r->req_head.len : len;

		/* The log quotes from it; without memory it quotes nothing. */
		if (!buf_append(&r->raw, bytes, keep)) {
			r->req_head.fault = HTTP_FAULT_MEMORY;
			return HTTP_BAD;
		}
	}
	return p;
}

uint32_t relay_next_read_size(uint32_t size, const struct conn *from, const struct conn *to)
{
	if (conn_pending(to) > 0)
		return RELAY_READ_LEAST;
	if (!from->drained && size < WORKER_SCRATCH)
		return size * 2;
	return size;
}

/* Write the answer into w->head. Returns its length, 0 when memory ran out. */
static size_t relay_write_answer(struct relay *r, enum reason why, size_t *body_len)
{
	const struct http_head *h = &r->req_head;
	struct worker *w = r->w;
	uint64_t now_s = clock_real_ns() / NS_PER_S;
	bool close = r->x.close_client;
	bool reflected = why == REASON_ANSWERED_HERE && h->method == HTTP_METHOD_TRACE;
	enum answer_form form = r->started ? answer_form_of(h, buf_at(&r->raw)) : ANSWER_TEXT;

	buf_reset(&w->head, w->head.cap);
	if (!buf_reserve(&w->head, reflected ? reflection_max(h) : ANSWER_MAX))
		return 0;
	if (reflected)
		return reflection_write(h, buf_at(&r->raw), close, now_s, w->head.data, body_len);
	return answer_write(why, form, r->x.rec.id, close, h->method == HTTP_METHOD_HEAD, now_s,
			    w->head.data, body_len);
}

struct soap_reader *relay_watch(const struct relay *r, enum soap_side side,
				const struct http_head *h, const char *bytes,
				struct http_body *body)
{
	struct soap_reader *reader = NULL;

	if (r->w->cfg->log.soap == CONFIG_SOAP_FULL && !http_body_done(body))
		reader = soap_reader_new(side, h, bytes);
	if (reader != NULL)
		http_body_watch(body, soap_reader_feed, reader);
	return reader;
}

static void relay_answer(struct relay *r, enum reason why)
{
	struct exchange *x = &r->x;
	struct worker *w = r->w;
	struct iovec part;
	size_t body_len = 0;

	if (x->request != REQUEST_DONE || !r->req_head.keep_alive || w->stop != WORKER_RUNS ||
	    why == REASON_SHUTDOWN || r->req_head.minor == 0)
		x->close_client = true;
	part.iov_len = relay_write_answer(r, why, &body_len);
	if (part.iov_len == 0) {
		exchange_set_response(x, RESPONSE_CUT);
		r->ending = RELAY_CLOSE;
		return;
	}
	part.iov_base = w->head.data;
	x->rec.status = reason_info(why)->status;
	x->rec.response_body_bytes = body_len;
	exchange_set_response(x, RESPONSE_DONE);
	relay_send_client(r, &part, 1);
}

void relay_fail(struct relay *r, enum reason why)
{
	struct exchange *x = &r->x;
	bool cut = x->response == RESPONSE_BODY ||
		   (x->response == RESPONSE_DONE && conn_pending(r->client) > 0);
	bool closing_framing = (x->response == RESPONSE_TUNNEL && conn_pending(r->client) > 0) ||
			       (cut && r->ends_by_close);
	uint16_t status = exchange_fail(x, why);

	backend_drop(r, why);
	if (status != 0) {
		relay_answer(r, why);
		return;
	}
	x->close_client = true;
	r->ending = closing_framing ? RELAY_RESET : RELAY_CLOSE;
	if (x->response != RESPONSE_CUT)
		exchange_set_response(x, RESPONSE_CUT);
}

/* Is nothing left to do? Then r->ending says how the client connection goes on. */
static bool relay_over(struct relay *r)
{
	struct exchange *x = &r->x;

	if (x->response == RESPONSE_CUT)
		return true;
	if (x->response != RESPONSE_DONE || conn_pending(r->client) > 0)
		return false;
	exchange_moment(x, MOMENT_RESPONSE_END, r->w->now_ns);
	if (x->request < REQUEST_DONE) {
		/* An early response that is complete: the rest of the request has no taker. */
		backend_drop(r, REASON_ABANDONED);
		exchange_set_request(x, REQUEST_CUT);
	}
	if (x->request == REQUEST_CUT)
		x->close_client = true;
	r->ending = x->close_client ? RELAY_LINGER : RELAY_KEEP;
	return true;
}

/* The spare is in use within this call alone, so that one is always enough. */
void relay_turn_away(struct worker *w, struct conn *client, uint64_t read_ns, const char *bytes,
		     size_t len, enum reason why)
{
	struct relay *r = w->spare_relay;
	struct buf none = {0};

	r->w = w;
	relay_prepare(r, client, &none);
	r->client_read_ns = read_ns;
	relay_begin(r, bytes, len);
	relay_fail(r, why);
	if (!relay_over(r))
		relay_fail(r, REASON_CLIENT_STALLED);
	timeout_clear(&w->timeouts, &r->request_limit);
	relay_report(r);
}

/* One limit: begin it when its class changed or its own kind of progress was made. */
static void relay_limit(struct relay *r, struct timeout *t, enum timeout_class what, bool moved)
{
	if (what == TIMEOUT_NONE)
		timeout_clear(&r->w->timeouts, t);
	else if (t->what != what || moved)
		timeout_set(&r->w->timeouts, t, what, r->w->now_ns);
}

/* The limit of a peer that is to take bytes begins: how far it has come. Asked for slow ones only. */
static void relay_look_taken(const struct conn *c, const struct timeout *t, bool moved,
			     struct relay_taken *last)
{
	if ((t->what == TIMEOUT_NONE || moved) && (conn_pending(c) > 0 || last->looked))
		*last = (struct relay_taken){.off = conn_taken(c), .looked = true};
}

/* The client may keep its body back until the backend has told it to go on. */
static bool relay_owes_continue(const struct relay *r)
{
	return r->req_head.expect_continue && r->x.response == RESPONSE_WAIT &&
	       r->x.interim_count == 0 && !r->body_begun;
}

/* The one place where it is decided which side is being waited for. */
static void relay_limits(struct relay *r)
{
	const struct exchange *x = &r->x;
	enum timeout_class body = TIMEOUT_NONE, backend = TIMEOUT_NONE, out = TIMEOUT_NONE;

	if (x->response == RESPONSE_TUNNEL) {
		body = TIMEOUT_TUNNEL;
	} else {
		if (conn_pending(r->client) > 0)
			out = TIMEOUT_SEND;
		if (r->up_ready && conn_pending(&r->up->conn) > 0)
			backend = TIMEOUT_BACKEND;
		else if (r->up_ready && !r->up_broken && x->request == REQUEST_BODY &&
			 !relay_owes_continue(r))
			body = TIMEOUT_BODY;
		else if (r->up_ready && out == TIMEOUT_NONE)
			backend = TIMEOUT_BACKEND;
		else if (r->resolving || (r->up != NULL && !r->up_ready))
			backend = r->backend_limit.what; /* one attempt's, not to be prolonged */
	}
	relay_limit(r, &r->body_limit, body,
		    body == TIMEOUT_TUNNEL ? r->tunnel_moved : r->client_read_moved);
	if (out == TIMEOUT_SEND)
		relay_look_taken(r->client, &r->send_limit, r->client_send_moved, &r->client_took);
	relay_limit(r, &r->send_limit, out, r->client_send_moved);
	if (backend == TIMEOUT_BACKEND)
		relay_look_taken(&r->up->conn, &r->backend_limit, r->backend_moved, &r->up_took);
	if (r->up_ready || backend == TIMEOUT_NONE)
		relay_limit(r, &r->backend_limit, backend, r->backend_moved);
	/* An RST that came together with the last bytes: asked for late, since most answers are fast. */
	relay_limit(r, &r->look_limit, r->client->unsure ? TIMEOUT_LOOK : TIMEOUT_NONE, false);
	r->client_read_moved = r->client_send_moved = r->backend_moved = r->tunnel_moved = false;
}

enum reason relay_client_reason(const struct relay *r)
{
	return conn_lacks_memory(r->client) ? REASON_NO_MEMORY : REASON_CLIENT_RESET;
}

/* Send what the client has not taken. */
static void relay_flush_client(struct relay *r)
{
	size_t before = conn_pending(r->client);

	if (before == 0 || !r->client->writable)
		return;
	worker_clock(r->w);
	if (!conn_flush(r->client))
		relay_fail(r, relay_client_reason(r));
	else if (conn_pending(r->client) < before)
		r->client_send_moved = true;
}

enum relay_result relay_run(struct relay *r)
{
	bool moved = true;

	while (moved) {
		/* A tunnel sees to its client itself: what it sent before an error still counts. */
		if (r->x.response != RESPONSE_TUNNEL) {
			relay_flush_client(r);
			if (!relay_over(r) && r->client->error != 0)
				relay_fail(r, relay_client_reason(r));
		}
		if (relay_over(r))
			return RELAY_FINISHED;
		if (r->w->budget_bytes <= 0) {
			relay_limits(r);
			return RELAY_AGAIN;
		}
		if (r->x.response == RESPONSE_TUNNEL) {
			moved = relay_tunnel(r);
			continue;
		}
		backend_check(r);
		moved = relay_request(r);
		moved |= relay_response(r);
		moved |= !moved && r->up_ready && conn_recheck(&r->up->conn);
		moved |= !moved && r->x.request == REQUEST_BODY && conn_recheck(r->client);
		moved |= relay_over(r);
	}
	relay_limits(r);
	return RELAY_WAIT;
}

void relay_resolved(struct relay *r)
{
	TAILQ_REMOVE(&r->w->resolving, r, link);
	r->resolving = false;
	timeout_clear(&r->w->timeouts, &r->backend_limit);
	backend_start(r);
	r->wake(r->wake_arg);
}
