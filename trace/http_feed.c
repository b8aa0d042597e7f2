/*
 * http_feed.c -- says what http_pairs finds in the words of the tap: open, begin, part, end.
 */
#include "trace/http_feed.h"

#include <stdlib.h>
#include <string.h>

#include "common/json.h"

#define RUN_NONE 0 /* no proxy ran */

struct http_feed {
	struct correlate *correlate;
	struct http_pairs *pairs;
	struct lines *exchanges;
	uint64_t lost;
	uint64_t tls_count;
	uint64_t tls[HTTP_FEED_TLS_MAX];
};

/* Six texts of six bytes a byte at most, and what else stands in a line. */
#define LINE_MAX_BYTES (6 * 6 * HTTP_TEXT_MAX + 2048)

/* ---- the line -------------------------------------------------------------------------------- */

static void put_text(struct json *j, const char *key, const struct http_text *t)
{
	json_key(j, key);
	if (t->bytes != NULL)
		json_string(j, t->bytes, t->len);
	else
		json_null(j);
}

static void put_range(struct json *j, const char *key, const struct byte_range *r)
{
	json_key(j, key);
	if (!byte_range_exists(r)) {
		json_null(j);
		return;
	}
	json_array_begin(j);
	json_u64(j, r->first);
	json_u64(j, r->past);
	json_array_end(j);
}

static void put_request(struct json *j, const struct http_exchange *e)
{
	char version[4] = {'1', '.', (char)('0' + e->minor), '\0'};

	json_key(j, "v");
	json_u64(j, 1);
	json_key(j, "run");
	json_null(j);
	json_key(j, "id");
	json_hex64(j, e->x.id);
	json_key(j, "start");
	json_clock(j, e->x.start_ns);
	put_text(j, "method", &e->method_text);
	put_text(j, "target", &e->target);
	json_key(j, "version");
	json_text(j, version);
	put_text(j, "host", &e->host);
	put_text(j, "request_id", &e->request_id);
	put_text(j, "traceparent", &e->traceparent);
	json_key(j, "soap");
	json_object_begin(j);
	put_text(j, "action", &e->soap_action);
	json_key(j, "operation");
	json_null(j);
	json_key(j, "fault");
	json_null(j);
	json_object_end(j);
	if (e->method_text.is_cut || e->target.is_cut || e->host.is_cut || e->request_id.is_cut ||
	    e->traceparent.is_cut || e->soap_action.is_cut) {
		json_key(j, "cut");
		json_bool(j, true);
	}
}

static void put_client(struct json *j, const struct http_exchange *e)
{
	const struct leg_record *leg = &e->x.client;

	json_key(j, "client");
	json_object_begin(j);
	json_key(j, "conn");
	json_u64(j, leg->conn);
	json_key(j, "nth");
	json_u64(j, leg->nth);
	json_key(j, "local");
	json_addr(j, &leg->local);
	json_key(j, "peer");
	json_addr(j, &leg->peer);
	json_key(j, "opened");
	json_clock(j, leg->opened_ns);
	json_key(j, "tls");
	json_null(j);
	put_range(j, "request", &leg->request);
	put_range(j, "interim", &leg->interim);
	put_range(j, "response", &leg->response);
	if (e->is_tunnel) {
		json_key(j, "tunnel");
		json_object_begin(j);
		put_range(j, "up", &leg->tunnel_up);
		put_range(j, "down", &leg->tunnel_down);
		json_object_end(j);
	}
	json_object_end(j);
}

static void put_moments(struct json *j, const struct exchange_record *x)
{
	static const char *const keys[MOMENT_COUNT] = {
		"request_end",          "backend_ready",
		"backend_request_end",  "backend_response_start",
		"backend_response_end", "response_end"};

	json_key(j, "at_us");
	json_object_begin(j);
	for (unsigned i = 0; i < MOMENT_COUNT; i++) {
		json_key(j, keys[i]);
		if (x->at_us[i] != MOMENT_NEVER)
			json_i64(j, x->at_us[i]);
		else
			json_null(j);
	}
	json_object_end(j);
}

static void put_line(struct json *j, const struct http_exchange *e)
{
	json_object_begin(j);
	put_request(j, e);
	json_key(j, "status");
	if (e->x.status != 0)
		json_u64(j, e->x.status);
	else
		json_null(j);
	json_key(j, "end");
	json_text(j, e->x.end);
	put_client(j, e);
	json_key(j, "backend");
	json_null(j);
	put_moments(j, &e->x);
	json_key(j, "bytes");
	json_object_begin(j);
	json_key(j, "request_body");
	json_u64(j, e->x.request_body_bytes);
	json_key(j, "response_body");
	json_u64(j, e->x.response_body_bytes);
	json_object_end(j);
	json_object_end(j);
	json_newline(j);
}

static void write_line(struct http_feed *f, const struct http_exchange *e)
{
	char text[LINE_MAX_BYTES];
	struct json j;

	json_init(&j, text, sizeof(text));
	put_line(&j, e);
	if (j.full)
		f->lost++;
	else
		lines_add(f->exchanges, text, json_len(&j));
}

/* ---- in the tap's words ---------------------------------------------------------------------- */

static void on_opened(void *arg, const struct http_conn_view *c)
{
	struct http_feed *f = arg;
	const struct flow *flow = c->track->flow;
	struct tap_open open = {
		.conn = c->number,
		.leg = TAP_CLIENT,
		.opened_ns = flow->syn_frame != 0 ? flow->syn_ns : flow->first_ns,
		.local = flow->side[1 - c->client].addr,
		.peer = flow->side[c->client].addr,
	};

	correlate_open(f->correlate, RUN_NONE, &open);
	correlate_bind(f->correlate, RUN_NONE, c->number, c->track, 1 - c->client);
}

static void tell_part(struct http_feed *f, const struct http_conn_view *c, uint64_t id,
		      enum tap_part part, uint64_t first, uint64_t past)
{
	struct tap_part_known known = {
		.id = id, .conn = c->number, .first = first, .past = past, .part = (uint8_t)part};

	if (past > first)
		ledger_part(correlate_ledger(f->correlate), RUN_NONE, &known);
}

static void tell_begin(struct http_feed *f, const struct http_conn_view *c,
		       const struct http_exchange *e, enum tap_part part, uint64_t first)
{
	struct tap_begin begin = {.id = e->x.id,
				  .conn = c->number,
				  .first = first,
				  .nth = e->x.client.nth,
				  .part = (uint8_t)part};

	correlate_begin(f->correlate, RUN_NONE, &begin, e->x.start_ns);
}

static void on_begun(void *arg, const struct http_conn_view *c, const struct http_exchange *e)
{
	uint64_t first = e->x.client.request.first;

	tell_begin(arg, c, e, TAP_PART_CLIENT_REQUEST, first);
	tell_part(arg, c, e->x.id, TAP_PART_CLIENT_REQUEST, first, e->request_past);
}

static void on_answered(void *arg, const struct http_conn_view *c, const struct http_exchange *e,
			uint64_t first)
{
	tell_begin(arg, c, e, TAP_PART_CLIENT_RESPONSE, first);
	tell_part(arg, c, e->x.id, TAP_PART_CLIENT_RESPONSE, first, e->response_past);
}

static void on_ended(void *arg, const struct http_conn_view *c, const struct http_exchange *e)
{
	struct http_feed *f = arg;

	(void)c;
	write_line(f, e);
	correlate_read_exchange(f->correlate, &e->x, e->end_ns);
}

static void on_passed(void *arg, const struct http_conn_view *c, unsigned side, uint64_t off)
{
	struct http_feed *f = arg;

	correlate_pass(f->correlate, c->track, side, off);
}

static void on_tls(void *arg, const struct http_conn_view *c, const struct tls_marks *m)
{
	struct http_feed *f = arg;

	if (f->tls_count < HTTP_FEED_TLS_MAX)
		f->tls[f->tls_count] = c->number;
	f->tls_count++;
	correlate_read_tls(f->correlate, RUN_NONE, c->number, m);
}

/* ---- life ------------------------------------------------------------------------------------ */

struct http_feed *http_feed_new(struct correlate *c, struct lines *exchanges)
{
	struct http_feed *f = calloc(1, sizeof(*f));
	struct http_pairs_calls calls = {
		.arg = f,
		.opened = on_opened,
		.begun = on_begun,
		.answered = on_answered,
		.ended = on_ended,
		.passed = on_passed,
		.tls = on_tls,
	};

	if (f == NULL)
		return NULL;
	f->correlate = c;
	f->exchanges = exchanges;
	f->pairs = http_pairs_new(&calls);
	if (f->pairs == NULL) {
		free(f);
		return NULL;
	}
	return f;
}

void http_feed_free(struct http_feed *f)
{
	if (f == NULL)
		return;
	http_pairs_free(f->pairs);
	free(f);
}

struct http_pairs *http_feed_pairs(struct http_feed *f)
{
	return f->pairs;
}

void http_feed_counters(const struct http_feed *f, struct http_feed_counters *out)
{
	*out = (struct http_feed_counters){.lost = f->lost, .tls_count = f->tls_count};
	memcpy(out->tls, f->tls, sizeof(out->tls));
	http_pairs_counters(f->pairs, &out->pairs);
}
