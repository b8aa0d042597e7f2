/*
 * relay_request.c -- the way there: the client's request, checked, written anew and streamed to the
 * backend.
 *
 * Invariant: until a byte of the request was accepted by send(), all of it that was handed over is
 * in r->request, so that any method may be sent again.
 */
#include <string.h>

#include "proxy/backend.h"
#include "proxy/relay.h"
#include "proxy/relay_parts.h"
#include "proxy/rewrite.h"
#include "proxy/worker.h"

/* Why this request may not be forwarded, or REASON_NONE. */
static enum reason relay_check(const struct relay *r)
{
	const struct http_head *h = &r->req_head;
	const struct config_proxy *cfg = &r->w->cfg->proxy;

	if (h->method == HTTP_METHOD_CONNECT)
		return REASON_METHOD_REFUSED;
	if (h->minor == 1 && !h->host_present && cfg->missing_host == CONFIG_MISSING_HOST_REJECT)
		return REASON_MISSING_HOST;
	if (cfg->max_body_bytes > 0 && h->framing == HTTP_BODY_LENGTH &&
	    h->content_length > cfg->max_body_bytes)
		return REASON_BODY_TOO_LARGE;
	if (h->max_forwards == 0)
		return REASON_ANSWERED_HERE;
	return REASON_NONE;
}

static bool relay_write_request(struct relay *r)
{
	const struct config_proxy *cfg = &r->w->cfg->proxy;
	char ip[ADDR_TEXT_MAX];
	struct rewrite_request ctx = {
		.client_ip = ip,
		.client_ip_len = addr_format_ip(&r->client->peer, ip),
		.proto = r->client->tls != NULL ? "https" : "http",
		.backend_authority = cfg->backend.authority,
		.backend_authority_len = strlen(cfg->backend.authority),
		.host_from_backend = cfg->host_header == CONFIG_HOST_HEADER_BACKEND,
	};

	if (r->client->tls != NULL)
		ctx.client_subject = tls_verified_subject(r->client->tls);
	if (ctx.client_subject != NULL)
		ctx.client_subject_len = strlen(ctx.client_subject);
	if (cfg->request_ids == CONFIG_REQUEST_IDS_MAKE) {
		request_ids_choose(&r->ids, &r->req_head, buf_at(&r->raw),
				   r->w->shared->trace_prefix, r->x.rec.id);
		ctx.ids = &r->ids;
	}
	buf_reset(&r->request, r->request.cap);
	if (!buf_reserve(&r->request, rewrite_request_max(&r->req_head, &ctx)))
		return false;
	r->request.len =
		(uint32_t)rewrite_request(&r->req_head, buf_at(&r->raw), &ctx, r->request.data);
	return true;
}

/* The last byte of the request was accepted by the backend's socket. */
static void relay_note_request_sent(struct relay *r)
{
	struct byte_range *range = &r->x.rec.backend.request;

	range_reach(range, r->up->conn.sent_off);
	if (r->x.request == REQUEST_DONE && !r->up_broken && conn_pending(&r->up->conn) == 0 &&
	    r->request_sent == r->request.len) {
		exchange_moment(&r->x, MOMENT_BACKEND_REQUEST_END, r->w->now_ns);
		/* The packet just sent says how far we read: when it is over, nothing does so soon. */
		tap_position(r->w->tap, &r->up->conn);
	} else if (tap_active(r->w->tap)) {
		tap_progress(r->w->tap, &r->told_request, r->x.rec.id, &r->up->conn,
			     TAP_PART_BACKEND_REQUEST, range->first, range->past, r->w->now_ns);
	}
}

/* Hand bytes to the backend's socket; the first part is the unsent rest of r->request. */
static void relay_send_backend(struct relay *r, struct iovec *parts, int count)
{
	struct conn *up = &r->up->conn;

	parts[0] =
		(struct iovec){r->request.data + r->request_sent, r->request.len - r->request_sent};
	worker_clock(r->w);
	if (!byte_range_exists(&r->x.rec.backend.request)) {
		range_begin(&r->x.rec.backend.request, conn_next_off(up));
		if (tap_active(r->w->tap))
			tap_begin(r->w->tap, r->x.rec.id, up, TAP_PART_BACKEND_REQUEST,
				  conn_next_off(up), r->x.rec.attempts, r->request.data,
				  r->request.len);
	}
	r->request_sent = r->request.len;
	r->backend_moved = true;
	/* An answer may have come before the connection broke: it is read before giving up. */
	if (!conn_send(up, parts, count)) {
		r->up_broken = true;
		up->readable = true;
	}
	relay_note_request_sent(r);
}

void relay_tell_shared(struct relay *r, size_t behind)
{
	struct conn *c = r->client;
	bool shares = behind > 0;

	if (LIKELY(c->tls == NULL) || (!shares && !c->shares) || !tap_active(r->w->tap))
		return;
	c->shares = shares;
	tap_shared(r->w->tap, c, shares ? conn_first_off(c, behind) : UINT64_MAX);
}

/*
 * The last byte of the request was read. Bytes behind it are the next one's: the tap is told where
 * this one ends, since its end record comes much later.
 */
static void relay_request_done(struct relay *r, size_t behind)
{
	struct exchange *x = &r->x;

	exchange_set_request(x, REQUEST_DONE);
	exchange_moment(x, MOMENT_REQUEST_END, r->client_read_ns);
	relay_tell_shared(r, behind);
	if (behind > 0 && tap_active(r->w->tap))
		tap_part(r->w->tap, x->rec.id, r->client, TAP_PART_CLIENT_REQUEST,
			 x->rec.client.request.first, r->used_off, false, true);
}

/* Pass body bytes on; returns how many were used. They may be changed in place. */
static size_t relay_take_body(struct relay *r, char *bytes, size_t len)
{
	const size_t all = len;
	uint64_t max = r->w->cfg->proxy.max_body_bytes;
	size_t room = r->request.len < RELAY_REPLAY_MAX ? RELAY_REPLAY_MAX - r->request.len : 0;
	size_t used = 0, out_len = 0, tail_len = 0;
	const char *tail = NULL;
	struct iovec parts[3];
	enum http_progress p;

	if (r->request_sent == 0)
		len = MIN(len, room);
	p = http_body_filter(&r->req_body, bytes, len, &used, &out_len, &tail, &tail_len);
	if (used > 0) {
		r->body_begun = true;
		r->used_off = conn_past_off(r->client, all - used);
	}
	range_reach(&r->x.rec.client.request, r->used_off);
	r->x.rec.request_body_bytes = r->req_body.payload_bytes;
	if (p == HTTP_BAD) {
		range_reach(&r->x.rec.client.request, conn_past_off(r->client, 0));
		relay_fail(r, r->req_body.no_memory ? REASON_NO_MEMORY : REASON_BAD_REQUEST);
		return used;
	}
	if (max > 0 && r->req_body.payload_bytes > max) {
		relay_fail(r, REASON_BODY_TOO_LARGE);
		return used;
	}
	if (p == HTTP_DONE)
		relay_request_done(r, all - used);
	else if (all == used)
		relay_tell_shared(r, 0);
	if (r->request_sent == 0 || (r->replayable && out_len + tail_len <= room)) {
		if (!buf_append(&r->request, bytes, out_len) ||
		    !buf_append(&r->request, tail, tail_len)) {
			relay_fail(r, REASON_NO_MEMORY);
			return used;
		}
		relay_send_backend(r, parts, 1);
		return used;
	}
	r->replayable = false;
	parts[1] = (struct iovec){bytes, out_len};
	parts[2] = (struct iovec){(void *)(uintptr_t)tail, tail_len};
	relay_send_backend(r, parts, tail_len > 0 ? 3 : 2);
	return used;
}

size_t relay_start(struct relay *r, char *rest, size_t len)
{
	struct exchange *x = &r->x;
	enum reason why;

	r->started = true;
	r->used_off = conn_past_off(r->client, len + buf_left(r->in));
	if (r->w->cfg->proxy.max_requests > 0 && r->client->nth >= r->w->cfg->proxy.max_requests)
		x->close_client = true;
	http_body_init(&r->req_body, r->req_head.framing, r->req_head.content_length,
		       HTTP_BODY_AS_IS, r->w->cfg->proxy.max_header_bytes);
	r->soap_request = relay_watch(r, SOAP_REQUEST, &r->req_head, buf_at(&r->raw), &r->req_body);
	exchange_set_request(x, REQUEST_BODY);
	if (http_body_done(&r->req_body))
		relay_request_done(r, len + buf_left(r->in));
	why = relay_check(r);
	/* What follows a CONNECT may be meant for its tunnel: it must not become a request. */
	if (why == REASON_METHOD_REFUSED)
		x->close_client = true;
	if (why == REASON_NONE &&
	    (!http_body_forbid_named(&r->req_body, &r->req_head, buf_at(&r->raw)) ||
	     !relay_write_request(r)))
		why = REASON_NO_MEMORY;
	if (why != REASON_NONE) {
		relay_fail(r, why);
		return 0;
	}
	/* With TLS nobody knows how many bytes its records will take. */
	if (r->req_head.framing == HTTP_BODY_LENGTH && len != r->req_head.content_length &&
	    r->client->tls == NULL && tap_active(r->w->tap))
		tap_part(r->w->tap, x->rec.id, r->client, TAP_PART_CLIENT_REQUEST,
			 x->rec.client.request.first, r->used_off + r->req_head.content_length,
			 true, false);
	backend_start(r);
	if (r->up_ready && x->request == REQUEST_BODY && len > 0)
		return relay_take_body(r, rest, len);
	return 0;
}

/* Read once from the client, as far as the request goes. */
static bool relay_read_body(struct relay *r)
{
	struct worker *w = r->w;
	size_t used;
	ssize_t n;

	if (buf_left(r->in) > 0) {
		used = relay_take_body(r, buf_at(r->in), buf_left(r->in));
		buf_consume(r->in, used);
		return true;
	}
	if (!r->client->readable)
		return false;
	n = conn_read(r->client, w->scratch, r->client_read_size);
	if (n == CONN_AGAIN)
		return false;
	if (n < 0) {
		relay_fail(r, n == CONN_EOF ? REASON_CLIENT_EOF : relay_client_reason(r));
		return true;
	}
	r->client_read_ns = worker_clock(w);
	r->client_read_moved = true;
	w->budget_bytes -= n;
	used = relay_take_body(r, w->scratch, (size_t)n);
	if (r->up != NULL)
		r->client_read_size =
			relay_next_read_size(r->client_read_size, r->client, &r->up->conn);
	if (used < (size_t)n && r->x.request != REQUEST_CUT &&
	    !buf_append(r->in, w->scratch + used, (size_t)n - used)) {
		/* The next request's first bytes are lost. */
		r->x.close_client = true;
		relay_fail(r, REASON_NO_MEMORY);
	}
	return true;
}

/*
 * The response is on its way, and nobody takes the rest of the body any more. A client that reads
 * only when it has sent all would wait for us, as we for it: so it is read and thrown away.
 */
static bool relay_discard_body(struct relay *r)
{
	struct exchange *x = &r->x;
	ssize_t n;

	if (x->request != REQUEST_BODY ||
	    (x->response != RESPONSE_BODY && x->response != RESPONSE_DONE) || !r->client->readable)
		return false;
	x->close_client = true;
	n = conn_read(r->client, r->w->scratch, WORKER_SCRATCH);
	if (n == CONN_AGAIN)
		return false;
	if (n == CONN_EOF)
		exchange_set_request(x, REQUEST_CUT);
	else if (n < 0)
		relay_fail(r, relay_client_reason(r));
	else
		r->w->budget_bytes -= n;
	return true;
}

bool relay_request(struct relay *r)
{
	struct iovec part;
	struct conn *up;

	if (!r->up_ready || r->up_broken)
		return relay_discard_body(r);
	up = &r->up->conn;
	if (conn_pending(up) > 0) {
		size_t before = conn_pending(up);

		if (up->writable)
			worker_clock(r->w);
		if (!conn_flush(up))
			r->up_broken = up->readable = true;
		if (conn_pending(up) < before)
			r->backend_moved = true;
		relay_note_request_sent(r);
		if (conn_pending(up) > 0)
			return r->up_broken;
	}
	if (r->x.request == REQUEST_BODY && relay_read_body(r))
		return true;
	if (r->up == NULL || r->request_sent == r->request.len)
		return false;
	relay_send_backend(r, &part, 1);
	return true;
}
