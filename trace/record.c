/*
 * record.c -- writes findings as JSON. Decides nothing but how a value is written.
 */
#include "trace/record.h"

#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "trace/verdict.h"

#define TEXT_FIRST 8192

void record_text_fini(struct record_text *t)
{
	free(t->at);
	*t = (struct record_text){0};
}

static void put_text_or_null(struct json *j, const char *text)
{
	if (text != NULL)
		json_text(j, text);
	else
		json_null(j);
}

static void put_frames(struct json *j, const uint32_t *frames, uint32_t count)
{
	json_array_begin(j);
	for (uint32_t i = 0; i < count; i++)
		json_u64(j, frames[i]);
	json_array_end(j);
}

static void put_handshake(struct json *j, const struct handshake_finding *h)
{
	json_key(j, "handshake");
	if (h->count == 0) {
		json_null(j);
		return;
	}
	json_object_begin(j);
	json_key(j, "frames");
	put_frames(j, h->frames, h->count);
	json_key(j, "us");
	if (h->is_timed)
		json_u64(j, h->us);
	else
		json_null(j);
	json_object_end(j);
}

static void put_close(struct json *j, const struct close_finding *c)
{
	json_key(j, "close");
	if (c->by == NULL) {
		json_null(j);
		return;
	}
	json_object_begin(j);
	json_key(j, "by");
	json_text(j, c->by);
	json_key(j, "how");
	json_text(j, c->how);
	json_key(j, "frames");
	put_frames(j, c->frames, c->count);
	json_object_end(j);
}

/* Rounded down, also below zero. */
static int64_t us_between(uint64_t from_ns, uint64_t to_ns)
{
	int64_t ns = (int64_t)(to_ns - from_ns);

	return ns >= 0 ? ns / 1000 : -((-ns + 999) / 1000);
}

static void put_ack(struct json *j, const struct part_finding *p)
{
	const struct stream_range *s = &p->seen;

	json_key(j, "acked_in");
	if (s->acked_frame != 0)
		json_u64(j, s->acked_frame);
	else
		json_null(j);
	json_key(j, "acked_us");
	if (s->acked_frame != 0 && s->last_frame != 0)
		json_i64(j, us_between(s->last_ns, s->acked_ns));
	else
		json_null(j);
	if (p->ack_why != NULL) {
		json_key(j, "ack_why");
		json_text(j, p->ack_why);
	}
}

static void put_part(struct json *j, const char *key, const struct part_finding *p)
{
	const struct stream_range *s = &p->seen;

	json_key(j, key);
	if (!p->exists || !s->known) {
		json_null(j);
		return;
	}
	json_object_begin(j);
	json_key(j, "seq");
	json_u64(j, p->range.first + 1);
	json_key(j, "len");
	json_u64(j, p->range.past - p->range.first);
	json_key(j, "next_seq");
	json_u64(j, p->range.past + 1);
	json_key(j, "frames");
	put_frames(j, s->carried.frames, s->carried.count);
	put_ack(j, p);
	json_key(j, "retransmitted_bytes");
	json_u64(j, s->repeated_bytes);
	json_key(j, "retransmitted_in");
	put_frames(j, s->repeated.frames, s->repeated.count);
	json_key(j, "missing_bytes");
	json_u64(j, s->missing_bytes);
	json_object_end(j);
}

static void put_stream(struct json *j, const struct flow *f, bool is_anchored)
{
	json_key(j, "stream");
	if (f != NULL)
		json_u64(j, f->number);
	else
		json_null(j);
	json_key(j, "anchor");
	json_text(j, is_anchored ? "syn" : "none");
}

static void put_leg_body(struct json *j, const struct leg_finding *e)
{
	put_stream(j, e->place.flow, e->is_anchored);
	put_handshake(j, &e->handshake);
	put_part(j, "request", &e->part[PART_REQUEST]);
	put_part(j, "interim", &e->part[PART_INTERIM]);
	put_part(j, "response", &e->part[PART_RESPONSE]);
	if (e->part[PART_TUNNEL_UP].exists || e->part[PART_TUNNEL_DOWN].exists) {
		json_key(j, "tunnel");
		json_object_begin(j);
		put_part(j, "up", &e->part[PART_TUNNEL_UP]);
		put_part(j, "down", &e->part[PART_TUNNEL_DOWN]);
		json_object_end(j);
	}
	put_close(j, &e->close);
}

static void put_leg_begin(struct json *j, const struct leg_finding *e)
{
	json_object_begin(j);
	json_key(j, "conn");
	json_u64(j, e->place.leg->conn);
	json_key(j, "nth");
	json_u64(j, e->place.leg->nth);
}

static void put_client(struct json *j, const struct finding *e)
{
	json_key(j, "client");
	if (e->client.place.leg == NULL) {
		json_null(j);
		return;
	}
	put_leg_begin(j, &e->client);
	put_leg_body(j, &e->client);
	json_object_end(j);
}

static void put_tries(struct json *j, const struct finding *e)
{
	json_key(j, "tries");
	json_array_begin(j);
	for (unsigned i = 0; i < e->x->tries_count; i++) {
		if (e->tries[i].place.leg == NULL)
			continue;
		put_leg_begin(j, &e->tries[i]);
		put_leg_body(j, &e->tries[i]);
		json_key(j, "end");
		json_text(j, e->x->tries[i].end);
		json_object_end(j);
	}
	json_array_end(j);
}

static void put_backend(struct json *j, const struct finding *e)
{
	json_key(j, "backend");
	if (e->backend.place.leg == NULL) {
		json_null(j);
		return;
	}
	put_leg_begin(j, &e->backend);
	json_key(j, "reused");
	json_bool(j, e->backend.place.leg->reused != 0);
	json_key(j, "attempts");
	json_u64(j, e->x->attempts);
	put_leg_body(j, &e->backend);
	put_tries(j, e);
	json_object_end(j);
}

static void put_us(struct json *j, const char *key, int64_t us)
{
	json_key(j, key);
	if (us != PHASE_UNKNOWN)
		json_i64(j, us);
	else
		json_null(j);
}

static void put_why(struct json *j, const struct phases *p)
{
	char why[160];
	size_t len = 0;

	if (p->why == NULL)
		return;
	if (p->why_word != NULL) {
		len = strlen(p->why_word);
		memcpy(why, p->why_word, len);
		memcpy(why + len, ": ", 2);
		len += 2;
	}
	memcpy(why + len, p->why, strlen(p->why));
	len += strlen(p->why);
	json_key(j, "phases_why");
	json_string(j, why, len);
}

static void put_phases(struct json *j, const struct phases *p)
{
	json_key(j, "phases_us");
	if (!p->any) {
		json_null(j);
	} else {
		json_object_begin(j);
		put_us(j, "total", p->total_us);
		for (unsigned i = 0; i < PHASES; i++)
			put_us(j, phase_word(i), p->us[i]);
		json_object_end(j);
	}
	put_why(j, p);
	json_key(j, "overlap");
	if (p->moved == 0) {
		json_null(j);
		return;
	}
	json_object_begin(j);
	for (unsigned m = 0; m < PHASE_MOMENTS; m++) {
		if ((p->moved >> m & 1) == 0)
			continue;
		json_key(j, phase_moment_word(m));
		json_i64(j, p->raw_us[m]);
	}
	json_object_end(j);
}

static void put_exchange(struct json *j, const struct finding *e, const char *dump)
{
	json_object_begin(j);
	json_key(j, "v");
	json_u64(j, 1);
	json_key(j, "run");
	json_hex32(j, e->x->run);
	json_key(j, "id");
	json_hex64(j, e->x->id);
	json_key(j, "dump");
	put_text_or_null(j, dump);
	json_key(j, "start");
	json_clock(j, e->x->start_ns);
	json_key(j, "status");
	if (e->x->status != 0)
		json_u64(j, e->x->status);
	else
		json_null(j);
	json_key(j, "end");
	json_text(j, e->x->end);
	put_client(j, e);
	put_backend(j, e);
	put_phases(j, &e->phases);
	json_key(j, "verdict");
	put_text_or_null(j, verdict_word(&e->phases));
	json_key(j, "drops");
	json_u64(j, e->drops);
	json_object_end(j);
	json_newline(j);
}

/* ---- connections ----------------------------------------------------------------------------- */

static void put_conn_name(struct json *j, const struct record_conn *r)
{
	const struct conn *c = r->e->conn;

	json_key(j, "v");
	json_u64(j, 1);
	json_key(j, "run");
	if (c != NULL || r->has_run)
		json_hex32(j, c != NULL ? c->run : r->run);
	else
		json_null(j);
	json_key(j, "dump");
	put_text_or_null(j, r->dump);
	json_key(j, "leg");
	json_text(j, c == NULL || c->leg == TAP_CLIENT ? "client" : "backend");
	json_key(j, "conn");
	if (c != NULL)
		json_u64(j, c->number);
	else
		json_null(j);
}

static void put_conn_ends(struct json *j, const struct conn_finding *e)
{
	json_key(j, "local");
	json_addr(j, e->conn != NULL ? &e->conn->local : &e->flow->side[e->our_side].addr);
	json_key(j, "peer");
	json_addr(j, e->conn != NULL ? &e->conn->peer : &e->flow->side[1 - e->our_side].addr);
	json_key(j, "opened");
	if (e->conn != NULL && e->conn->opened_ns != 0)
		json_clock(j, e->conn->opened_ns);
	else
		json_null(j);
}

static void put_conn_flow(struct json *j, const struct conn_finding *e)
{
	struct handshake_finding handshake = {0};
	struct close_finding close = {0};
	enum tap_leg leg = e->conn != NULL ? e->conn->leg : TAP_CLIENT;

	if (e->flow != NULL) {
		handshake_gather(&handshake, e->flow);
		close_gather(&close, e->flow, leg, e->our_side, UINT64_MAX);
	}
	put_handshake(j, &handshake);
	put_close(j, &close);
	json_key(j, "history");
	if (e->flow != NULL)
		json_string(j, e->flow->history, e->flow->history_len);
	else
		json_null(j);
}

static void put_conn_exchanges(struct json *j, const struct conn *c)
{
	json_key(j, "exchanges");
	json_u64(j, c != NULL ? c->exchanges : 0);
	json_key(j, "ids");
	json_array_begin(j);
	for (uint32_t i = 0; c != NULL && i < c->id_cap && i < c->exchanges; i++)
		json_hex64(j, c->ids[i]);
	json_array_end(j);
}

static void put_conn(struct json *j, const struct record_conn *r)
{
	const struct flow *f = r->e->flow;

	json_object_begin(j);
	put_conn_name(j, r);
	put_stream(j, f, f != NULL && flow_is_anchored(f));
	put_conn_ends(j, r->e);
	put_conn_flow(j, r->e);
	put_conn_exchanges(j, r->e->conn);
	json_key(j, "ws_shift");
	if (f != NULL && f->syn_frame != 0 && f->syn_ack_frame != 0)
		json_u64(j, 0);
	else
		json_null(j);
	json_object_end(j);
	json_newline(j);
}

/* ---- room ------------------------------------------------------------------------------------ */

/* Twice as much, from what was too little. */
static bool text_grow(struct record_text *t)
{
	size_t cap = t->cap > 0 ? 2 * t->cap : TEXT_FIRST;
	char *grown = realloc(t->at, cap);

	if (grown == NULL)
		return false;
	t->at = grown;
	t->cap = cap;
	return true;
}

bool record_exchange(struct record_text *out, const struct finding *e, const char *dump)
{
	struct json j;

	if (out->cap == 0 && !text_grow(out))
		return false;
	for (;;) {
		json_init(&j, out->at, out->cap);
		put_exchange(&j, e, dump);
		if (!j.full)
			break;
		if (!text_grow(out))
			return false;
	}
	out->len = json_len(&j);
	return true;
}

bool record_conn(struct record_text *out, const struct record_conn *r)
{
	struct json j;

	if (out->cap == 0 && !text_grow(out))
		return false;
	for (;;) {
		json_init(&j, out->at, out->cap);
		put_conn(&j, r);
		if (!j.full)
			break;
		if (!text_grow(out))
			return false;
	}
	out->len = json_len(&j);
	return true;
}
