/*
 * http_feed.c -- says what http_pairs finds in the words of the tap: open, begin, part, end.
 */
#include "trace/http_feed.h"

#include <stdlib.h>
#include <string.h>

#include "trace/http_line.h"

#define RUN_NONE 0 /* no proxy ran */

struct http_feed {
	struct correlate *correlate;
	struct http_pairs *pairs;
	struct lines *exchanges;
	uint64_t lost;
	uint64_t tls_count;
	uint64_t tls[HTTP_FEED_TLS_MAX];
};

static void write_line(struct http_feed *f, const struct http_exchange *e)
{
	char text[HTTP_LINE_MAX];

	lines_add(f->exchanges, text, http_line_put(text, e));
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
