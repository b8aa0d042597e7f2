/*
 * relay_response.c -- the backend's response on its way to the client.
 *
 * Never forwards a byte of a head as it came: heads are read and written anew. Invariant: the
 * backend is read only while the client has taken everything.
 */
#include "proxy/relay_parts.h"

#include <string.h>

#include "common/clock.h"
#include "proxy/backend.h"
#include "proxy/relay.h"
#include "proxy/rewrite.h"
#include "proxy/worker.h"

/* Bodies up to this size are copied behind their head: one send() of one piece. */
#define RELAY_JOIN_MAX (8 * 1024)

void relay_send_client(struct relay *r, const struct iovec *parts, int count)
{
	struct conn *c = r->client;
	struct byte_range *range = &r->x.rec.client.response;

	worker_clock(r->w);
	range_begin(range, conn_next_off(c));
	r->client_send_moved = true;
	if (!conn_send(c, parts, count)) {
		range_reach(range, c->sent_off);
		relay_fail(r, relay_client_reason(r));
		return;
	}
	range_reach(range, c->sent_off);
}

static bool response_head_prepare(struct relay *r)
{
	const struct config_proxy *cfg = &r->w->cfg->proxy;
	struct http_limits limits = {cfg->max_header_bytes, cfg->max_headers};

	return http_head_init(&r->resp_head, HTTP_RESPONSE, &limits, r->req_head.method,
			      r->req_head.upgrade_websocket);
}

/*
 * An interim response, complete at bytes, and `behind` bytes after it: pass it on, or swallow it for
 * HTTP/1.0.
 */
static void response_interim(struct relay *r, const char *bytes, size_t behind)
{
	struct exchange *x = &r->x;
	struct worker *w = r->w;
	struct rewrite_response ctx = {.connection = REWRITE_CONNECTION_NONE};
	struct conn *c = r->client;
	struct iovec part;

	range_begin(&x->rec.backend.interim, r->resp_first);
	range_reach(&x->rec.backend.interim, conn_past_off(&r->up->conn, behind));
	x->rec.at_us[MOMENT_BACKEND_RESPONSE_START] = MOMENT_NEVER;
	x->interim_count++;
	x->interim_bytes += r->resp_head.len;
	r->resp_first = conn_first_off(&r->up->conn, behind);
	if (x->interim_count > RELAY_INTERIM_COUNT_MAX ||
	    x->interim_bytes > RELAY_INTERIM_BYTES_MAX) {
		relay_fail(r, REASON_TOO_MANY_INTERIM);
		return;
	}
	if (r->req_head.minor == 0)
		return;
	buf_reset(&w->head, w->head.cap);
	if (!buf_reserve(&w->head, rewrite_response_max(&r->resp_head))) {
		relay_fail(r, REASON_NO_MEMORY);
		return;
	}
	part.iov_base = w->head.data;
	part.iov_len = rewrite_response(&r->resp_head, bytes, &ctx, w->head.data);
	range_begin(&x->rec.client.interim, conn_next_off(c));
	worker_clock(w);
	r->client_send_moved = true;
	if (!conn_send(c, &part, 1)) {
		range_reach(&x->rec.client.interim, c->sent_off);
		relay_fail(r, relay_client_reason(r));
		return;
	}
	range_reach(&x->rec.client.interim, conn_next_off(c));
}

/* Does the client connection end with this response, and what does its head say of it? */
static enum rewrite_connection response_connection(struct relay *r)
{
	const struct config_proxy *cfg = &r->w->cfg->proxy;
	const struct http_head *q = &r->req_head, *h = &r->resp_head;
	struct exchange *x = &r->x;
	bool length_known = h->framing == HTTP_BODY_NONE || h->framing == HTTP_BODY_LENGTH;

	if (h->status == 101)
		return REWRITE_CONNECTION_UPGRADE;
	if (!q->keep_alive || x->request != REQUEST_DONE || h->framing == HTTP_BODY_UNTIL_CLOSE ||
	    r->w->stop != WORKER_RUNS || (q->minor == 0 && !length_known) ||
	    (cfg->max_age_ms > 0 &&
	     clock_real_ns() - r->client->opened_ns > cfg->max_age_ms * NS_PER_MS))
		x->close_client = true;
	if (x->close_client)
		return REWRITE_CONNECTION_CLOSE;
	return q->minor == 0 ? REWRITE_CONNECTION_KEEP_ALIVE : REWRITE_CONNECTION_NONE;
}

/* The last byte of the response was read, and `behind` bytes after it. */
static void response_complete(struct relay *r, size_t behind)
{
	struct exchange *x = &r->x;
	struct upstream *u = r->up;
	const struct http_head *h = &r->resp_head;
	bool reusable = behind == 0 && h->keep_alive && h->framing != HTTP_BODY_UNTIL_CLOSE &&
			x->rec.at_us[MOMENT_BACKEND_REQUEST_END] != MOMENT_NEVER &&
			(u->conn.drained || conn_is_quiet(&u->conn));

	range_reach(&x->rec.backend.response, conn_past_off(&u->conn, behind));
	exchange_moment(x, MOMENT_BACKEND_RESPONSE_END, r->w->now_ns);
	if (h->keep_alive_timeout_s != UINT32_MAX) {
		if (h->keep_alive_timeout_s <= 1)
			reusable = false;
		u->idle_max_ns = (h->keep_alive_timeout_s - 1ULL) * NS_PER_S;
	}
	if (x->request == REQUEST_DONE || reusable)
		backend_release(r, reusable);
	else
		backend_drop(r, REASON_DONE);
}

/* What the tap wants to know of a response that goes on after this read. */
static void response_tell_begin(struct relay *r)
{
	struct tap *tap = r->w->tap;
	const struct exchange_record *rec = &r->x.rec;
	uint64_t left = r->resp_body.left;

	if (!tap_active(tap) || r->up == NULL)
		return;
	tap_begin(tap, rec->id, r->client, TAP_PART_CLIENT_RESPONSE, rec->client.response.first, 0,
		  NULL, 0);
	if (r->resp_head.framing != HTTP_BODY_LENGTH)
		return;
	if (r->up->conn.tls == NULL)
		tap_part(tap, rec->id, &r->up->conn, TAP_PART_BACKEND_RESPONSE,
			 rec->backend.response.first, r->up->conn.read_off + left, true, false);
	if (r->client->tls == NULL)
		tap_part(tap, rec->id, r->client, TAP_PART_CLIENT_RESPONSE,
			 rec->client.response.first, conn_next_off(r->client) + left, true, false);
}

static void response_tell_progress(struct relay *r)
{
	const struct exchange_record *rec = &r->x.rec;

	if (!tap_active(r->w->tap) || r->up == NULL)
		return;
	tap_progress(r->w->tap, &r->told_response, rec->id, r->client, TAP_PART_CLIENT_RESPONSE,
		     rec->client.response.first, r->client->sent_off, r->w->now_ns);
}

/*
 * The rest of what was read, after a final head that is written in w->head (head_len > 0) or in the midst
 * of the body.
 */
static void response_body(struct relay *r, size_t head_len, char *bytes, size_t len)
{
	struct worker *w = r->w;
	struct exchange *x = &r->x;
	size_t used = 0, out_len = 0, tail_len = 0;
	const char *tail = NULL;
	struct iovec parts[3];
	int count = 0;
	enum http_progress p = HTTP_DONE;

	if (!http_body_done(&r->resp_body))
		p = http_body_filter(&r->resp_body, bytes, len, &used, &out_len, &tail, &tail_len);
	x->rec.response_body_bytes = r->resp_body.payload_bytes;
	if (p == HTTP_BAD) {
		relay_fail(r, r->resp_body.no_memory ? REASON_NO_MEMORY : REASON_BAD_RESPONSE);
		return;
	}
	if (head_len > 0 && out_len + tail_len > 0 && out_len + tail_len <= RELAY_JOIN_MAX) {
		memcpy(w->head.data + head_len, bytes, out_len);
		if (tail_len > 0)
			memcpy(w->head.data + head_len + out_len, tail, tail_len);
		head_len += out_len + tail_len;
		out_len = tail_len = 0;
	}
	if (head_len > 0)
		parts[count++] = (struct iovec){w->head.data, head_len};
	if (out_len > 0)
		parts[count++] = (struct iovec){bytes, out_len};
	if (tail_len > 0)
		parts[count++] = (struct iovec){(void *)(uintptr_t)tail, tail_len};
	if (p == HTTP_DONE) {
		response_complete(r, len - used);
		exchange_set_response(x, RESPONSE_DONE);
	} else {
		exchange_set_response(x, RESPONSE_BODY);
	}
	if (count > 0)
		relay_send_client(r, parts, count);
	if (p == HTTP_MORE && head_len > 0)
		response_tell_begin(r);
	else
		response_tell_progress(r);
}

/* A final head is complete at bytes[0, head.len); the body begins behind it. */
static void response_final(struct relay *r, char *bytes, size_t len)
{
	struct worker *w = r->w;
	struct http_head *h = &r->resp_head;
	struct rewrite_response ctx = {.now_s = clock_real_ns() / NS_PER_S};
	enum http_body_output output = HTTP_BODY_AS_IS;
	size_t head_len;

	ctx.connection = response_connection(r);
	if (r->req_head.minor == 0 && h->framing == HTTP_BODY_CHUNKED)
		output = HTTP_BODY_DECODED;
	r->ends_by_close = h->framing == HTTP_BODY_UNTIL_CLOSE || output == HTTP_BODY_DECODED;
	ctx.drop_chunked = r->req_head.minor == 0;
	buf_reset(&w->head, w->head.cap);
	if (!buf_reserve(&w->head, rewrite_response_max(h) + RELAY_JOIN_MAX)) {
		relay_fail(r, REASON_NO_MEMORY);
		return;
	}
	head_len = rewrite_response(h, bytes, &ctx, w->head.data);
	range_begin(&r->x.rec.backend.response, r->resp_first);
	http_body_init(&r->resp_body, h->framing, h->content_length, output,
		       w->cfg->proxy.max_header_bytes);
	if (!http_body_forbid_named(&r->resp_body, h, bytes)) {
		relay_fail(r, REASON_NO_MEMORY);
		return;
	}
	r->soap_response = relay_watch(r, SOAP_RESPONSE, h, bytes, &r->resp_body);
	if (h->status == 101 && r->x.rec.at_us[MOMENT_BACKEND_REQUEST_END] == MOMENT_NEVER) {
		/* It cannot have read what it agrees to: what is still to be sent is no tunnel's. */
		relay_fail(r, REASON_BAD_RESPONSE);
		return;
	}
	if (h->status == 101) {
		relay_tunnel_open(r, head_len, bytes + h->len, len - h->len);
		return;
	}
	/* A malformed first piece of the body is still answered with 502: status is set once the
	 * head is sure to leave. */
	response_body(r, head_len, bytes + h->len, len - h->len);
	if (r->x.rec.status == 0)
		r->x.rec.status = h->status;
}

static enum reason response_fault(enum http_fault fault)
{
	switch (fault) {
	case HTTP_FAULT_TOO_LARGE:
	case HTTP_FAULT_TARGET_TOO_LONG:
		return REASON_RESPONSE_HEAD_TOO_LARGE;
	case HTTP_FAULT_MEMORY:
		return REASON_NO_MEMORY;
	default:
		return REASON_BAD_RESPONSE;
	}
}

/* Bytes while no final head has been seen; interim heads may precede it in the same read. */
static void response_head(struct relay *r, char *bytes, size_t len)
{
	bool kept = buf_left(&r->resp_raw) > 0;

	if (kept) {
		if (!buf_append(&r->resp_raw, bytes, len)) {
			relay_fail(r, REASON_NO_MEMORY);
			return;
		}
		bytes = buf_at(&r->resp_raw);
		len = buf_left(&r->resp_raw);
	}
	while (len > 0 && r->up != NULL && r->x.response == RESPONSE_WAIT) {
		enum http_progress p = http_head_read(&r->resp_head, bytes, len);

		if (p == HTTP_BAD) {
			relay_fail(r, response_fault(r->resp_head.fault));
			return;
		}
		exchange_moment(&r->x, MOMENT_BACKEND_RESPONSE_START, r->w->now_ns);
		if (p == HTTP_MORE) {
			if (!kept && !buf_append(&r->resp_raw, bytes, len))
				relay_fail(r, REASON_NO_MEMORY);
			else if (kept)
				buf_consume(&r->resp_raw, buf_left(&r->resp_raw) - len);
			return;
		}
		if (r->resp_head.status >= 200 || r->resp_head.status == 101) {
			response_final(r, bytes, len);
			break;
		}
		response_interim(r, bytes, len - r->resp_head.len);
		bytes += r->resp_head.len;
		len -= r->resp_head.len;
		if (r->up != NULL && !response_head_prepare(r))
			relay_fail(r, REASON_NO_MEMORY);
	}
	buf_reset(&r->resp_raw, r->resp_raw.cap);
}

/* The backend ended its direction, or its connection failed. */
static void response_ended(struct relay *r, ssize_t n)
{
	enum reason why = n == CONN_EOF ? REASON_BACKEND_EOF : REASON_BACKEND_RESET;
	bool truncated = r->up->conn.truncated;

	if (n == CONN_ERROR && r->up->conn.error == EPROTO)
		why = REASON_BACKEND_TLS_FAILED;
	if (n == CONN_ERROR && conn_lacks_memory(&r->up->conn))
		why = REASON_NO_MEMORY;
	if (r->x.response == RESPONSE_WAIT) {
		backend_failed(r, why);
	} else if (n == CONN_EOF && !truncated && r->resp_head.framing == HTTP_BODY_UNTIL_CLOSE) {
		response_complete(r, 0);
		exchange_set_response(&r->x, RESPONSE_DONE);
	} else {
		relay_fail(r, why);
	}
}

bool relay_response(struct relay *r)
{
	struct worker *w = r->w;
	struct conn *up;
	ssize_t n;

	if (!r->up_ready || r->request_sent == 0 || r->x.response > RESPONSE_BODY ||
	    conn_pending(r->client) > 0 || !r->up->conn.readable)
		return false;
	up = &r->up->conn;
	n = conn_read(up, w->scratch, r->up_read_size);
	if (n == CONN_AGAIN)
		return false;
	worker_clock(w);
	if (n < 0) {
		response_ended(r, n);
		return true;
	}
	w->budget_bytes -= n;
	r->backend_moved = true;
	if (!r->resp_begun) {
		r->resp_begun = true;
		r->resp_first = conn_first_off(up, (size_t)n);
		if (!response_head_prepare(r)) {
			relay_fail(r, REASON_NO_MEMORY);
			return true;
		}
		if (tap_active(w->tap))
			tap_begin(w->tap, r->x.rec.id, up, TAP_PART_BACKEND_RESPONSE, r->resp_first,
				  r->x.rec.attempts, w->scratch, (size_t)n);
	}
	/* Behind an interim response something of TLS alone may have come before this one. */
	if (r->x.response == RESPONSE_WAIT && buf_left(&r->resp_raw) == 0)
		r->resp_first = conn_first_off(up, (size_t)n);
	if (r->x.response == RESPONSE_WAIT)
		response_head(r, w->scratch, (size_t)n);
	else
		response_body(r, 0, w->scratch, (size_t)n);
	r->up_read_size = relay_next_read_size(r->up_read_size, up, r->client);
	return true;
}
