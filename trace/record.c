/*
 * record.c -- writes findings as JSON. Decides nothing but how a value is written.
 *
 * By hand, like the access log's lines: room for the longest line is made sure of once, and every
 * function here writes at p and returns where the next byte goes.
 */
#include "trace/record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/put.h"
#include "trace/verdict.h"

/* A leg without its frames; what else stands in a line; one frame; one id. */
#define LEG_MAX   2048
#define FIXED_MAX 4096
#define FRAME_MAX 11
#define ID_MAX    19

void record_text_fini(struct record_text *t)
{
	free(t->at);
	*t = (struct record_text){0};
}

/* ---- values ---------------------------------------------------------------------------------- */

static char *put_text(char *p, const char *text)
{
	return json_put_string(p, text, strlen(text));
}

static char *put_text_or_null(char *p, const char *text)
{
	return text != NULL ? put_text(p, text) : PUT(p, "null");
}

/* A word of our own: nothing in it is escaped. */
static char *put_word(char *p, const char *word)
{
	*p++ = '"';
	p = put_bytes(p, word, strlen(word));
	*p++ = '"';
	return p;
}

static char *put_run(char *p, uint32_t run)
{
	*p++ = '"';
	p = put_hex32(p, run);
	*p++ = '"';
	return p;
}

static char *put_id(char *p, uint64_t id)
{
	*p++ = '"';
	p = put_hex64(p, id);
	*p++ = '"';
	return p;
}

static char *put_clock(char *p, uint64_t real_ns)
{
	*p++ = '"';
	clock_format(real_ns, p);
	p += CLOCK_TEXT_LEN;
	*p++ = '"';
	return p;
}

static char *put_addr(char *p, const struct addr *a)
{
	if (a->family == ADDR_NONE)
		return PUT(p, "null");
	*p++ = '"';
	p += addr_format(a, p);
	*p++ = '"';
	return p;
}

static char *put_frames(char *p, const uint32_t *frames, uint32_t count)
{
	*p++ = '[';
	for (uint32_t i = 0; i < count; i++) {
		if (i > 0)
			*p++ = ',';
		p = put_decimal(p, frames[i]);
	}
	*p++ = ']';
	return p;
}

/* ---- a leg ----------------------------------------------------------------------------------- */

static char *put_handshake(char *p, const struct handshake_finding *h)
{
	if (h->count == 0)
		return PUT(p, ",\"handshake\":null");
	p = PUT(p, ",\"handshake\":{\"frames\":");
	p = put_frames(p, h->frames, h->count);
	p = PUT(p, ",\"us\":");
	p = h->is_timed ? put_decimal(p, h->us) : PUT(p, "null");
	*p++ = '}';
	return p;
}

static char *put_tls_message(char *p, const struct tls_finding *t, enum tls_mark mark)
{
	const struct tls_message_finding *m = &t->at[mark];
	uint64_t us;

	*p++ = ',';
	p = put_word(p, tls_mark_word(mark));
	if (m->frames.count == 0)
		return PUT(p, ":null");
	p = PUT(p, ":{\"frames\":");
	p = put_frames(p, m->frames.frames, m->frames.count);
	p = PUT(p, ",\"us\":");
	p = tls_finding_us(t, mark, &us) ? put_decimal(p, us) : PUT(p, "null");
	*p++ = '}';
	return p;
}

static char *put_known(char *p, uint8_t value)
{
	if (value == TLS_UNKNOWN)
		return PUT(p, "null");
	return value ? PUT(p, "true") : PUT(p, "false");
}

static char *put_tls(char *p, const struct tls_finding *t)
{
	uint64_t us;

	if (t == NULL)
		return PUT(p, ",\"tls\":null");
	p = PUT(p, ",\"tls\":{\"version\":");
	if (t->marks.version != 0)
		p = put_word(p, tls_version_word(t->marks.version));
	else
		p = PUT(p, "null");
	p = PUT(p, ",\"resumed\":");
	p = put_known(p, t->marks.resumed);
	p = PUT(p, ",\"failed\":");
	p = put_known(p, t->marks.failed);
	for (unsigned i = 0; i < TLS_MARK_COUNT; i++)
		p = put_tls_message(p, t, i);
	p = PUT(p, ",\"us\":");
	p = tls_finding_total_us(t, &us) ? put_decimal(p, us) : PUT(p, "null");
	*p++ = '}';
	return p;
}

static char *put_close(char *p, const struct close_finding *c)
{
	if (c->by == NULL)
		return PUT(p, ",\"close\":null");
	p = PUT(p, ",\"close\":{\"by\":");
	p = put_word(p, c->by);
	p = PUT(p, ",\"how\":");
	p = put_word(p, c->how);
	p = PUT(p, ",\"frames\":");
	p = put_frames(p, c->frames, c->count);
	*p++ = '}';
	return p;
}

/* Rounded down, also below zero. */
static int64_t us_between(uint64_t from_ns, uint64_t to_ns)
{
	int64_t ns = (int64_t)(to_ns - from_ns);

	return ns >= 0 ? ns / 1000 : -((-ns + 999) / 1000);
}

static char *put_ack(char *p, const struct part_finding *part)
{
	const struct stream_range *s = &part->seen;

	if (s->acked_frame == 0) {
		p = PUT(p, ",\"acked_in\":null,\"acked_us\":null");
	} else {
		p = PUT(p, ",\"acked_in\":");
		p = put_decimal(p, s->acked_frame);
		p = PUT(p, ",\"acked_us\":");
		if (s->last_frame != 0 && !part->ack_is_doubtful)
			p = put_signed(p, us_between(s->last_ns, s->acked_ns));
		else
			p = PUT(p, "null");
	}
	if (part->ack_why == NULL)
		return p;
	p = PUT(p, ",\"ack_why\":");
	return put_word(p, part->ack_why);
}

/* Its key stands before. */
static char *put_part(char *p, const struct part_finding *part)
{
	const struct stream_range *s = &part->seen;

	if (!part->exists || !s->known)
		return PUT(p, "null");
	p = PUT(p, "{\"seq\":");
	p = put_decimal(p, part->range.first + 1);
	p = PUT(p, ",\"len\":");
	p = put_decimal(p, part->range.past - part->range.first);
	p = PUT(p, ",\"next_seq\":");
	p = put_decimal(p, part->range.past + 1);
	p = PUT(p, ",\"frames\":");
	p = put_frames(p, s->carried.frames, s->carried.count);
	p = put_ack(p, part);
	p = PUT(p, ",\"retransmitted_bytes\":");
	p = put_decimal(p, s->repeated_bytes);
	p = PUT(p, ",\"retransmitted_in\":");
	p = put_frames(p, s->repeated.frames, s->repeated.count);
	p = PUT(p, ",\"missing_bytes\":");
	p = put_decimal(p, s->missing_bytes);
	*p++ = '}';
	return p;
}

static char *put_stream(char *p, const struct flow *f, const char *anchor)
{
	p = PUT(p, ",\"stream\":");
	p = f != NULL ? put_decimal(p, f->number) : PUT(p, "null");
	p = PUT(p, ",\"anchor\":");
	return put_word(p, anchor != NULL ? anchor : "none");
}

static char *put_leg_body(char *p, const struct leg_finding *e, bool is_try)
{
	p = put_stream(p, e->place.flow, e->anchor);
	p = put_handshake(p, &e->handshake);
	if (!is_try)
		p = put_tls(p, e->tls);
	p = PUT(p, ",\"request\":");
	p = put_part(p, &e->part[PART_REQUEST]);
	p = PUT(p, ",\"interim\":");
	p = put_part(p, &e->part[PART_INTERIM]);
	p = PUT(p, ",\"response\":");
	p = put_part(p, &e->part[PART_RESPONSE]);
	if (e->part[PART_TUNNEL_UP].exists || e->part[PART_TUNNEL_DOWN].exists) {
		p = PUT(p, ",\"tunnel\":{\"up\":");
		p = put_part(p, &e->part[PART_TUNNEL_UP]);
		p = PUT(p, ",\"down\":");
		p = put_part(p, &e->part[PART_TUNNEL_DOWN]);
		*p++ = '}';
	}
	p = tally_put(p, e->has_tally ? e->tally : NULL);
	return put_close(p, &e->close);
}

static char *put_leg_begin(char *p, const struct leg_finding *e)
{
	p = PUT(p, "{\"conn\":");
	p = put_decimal(p, e->place.leg->conn);
	p = PUT(p, ",\"nth\":");
	return put_decimal(p, e->place.leg->nth);
}

/* ---- an exchange ----------------------------------------------------------------------------- */

static char *put_client(char *p, const struct finding *e)
{
	if (e->client.place.leg == NULL)
		return PUT(p, ",\"client\":null");
	p = PUT(p, ",\"client\":");
	p = put_leg_begin(p, &e->client);
	p = put_leg_body(p, &e->client, false);
	*p++ = '}';
	return p;
}

static char *put_tries(char *p, const struct finding *e)
{
	bool is_first = true;

	p = PUT(p, ",\"tries\":[");
	for (unsigned i = 0; i < e->x->tries_count; i++) {
		if (e->tries[i].place.leg == NULL)
			continue;
		if (!is_first)
			*p++ = ',';
		is_first = false;
		p = put_leg_begin(p, &e->tries[i]);
		p = put_leg_body(p, &e->tries[i], true);
		p = PUT(p, ",\"end\":");
		p = put_text(p, e->x->tries[i].end);
		*p++ = '}';
	}
	*p++ = ']';
	return p;
}

static char *put_backend(char *p, const struct finding *e)
{
	if (e->backend.place.leg == NULL)
		return PUT(p, ",\"backend\":null");
	p = PUT(p, ",\"backend\":");
	p = put_leg_begin(p, &e->backend);
	p = e->backend.place.leg->reused != 0 ? PUT(p, ",\"reused\":true,\"attempts\":")
					      : PUT(p, ",\"reused\":false,\"attempts\":");
	p = put_decimal(p, e->x->attempts);
	p = put_leg_body(p, &e->backend, false);
	p = put_tries(p, e);
	*p++ = '}';
	return p;
}

static char *put_us(char *p, int64_t us)
{
	return us != PHASE_UNKNOWN ? put_signed(p, us) : PUT(p, "null");
}

static char *put_why(char *p, const struct phases *f)
{
	if (f->why == NULL)
		return p;
	p = PUT(p, ",\"phases_why\":\"");
	if (f->why_word != NULL) {
		p = put_bytes(p, f->why_word, strlen(f->why_word));
		p = PUT(p, ": ");
	}
	p = put_bytes(p, f->why, strlen(f->why));
	*p++ = '"';
	return p;
}

static char *put_overlap(char *p, const struct phases *f)
{
	bool is_first = true;

	if (f->moved == 0)
		return PUT(p, ",\"overlap\":null");
	p = PUT(p, ",\"overlap\":{");
	for (unsigned m = 0; m < PHASE_MOMENTS; m++) {
		if ((f->moved >> m & 1) == 0)
			continue;
		if (!is_first)
			*p++ = ',';
		is_first = false;
		p = put_word(p, phase_moment_word(m));
		*p++ = ':';
		p = put_signed(p, f->raw_us[m]);
	}
	*p++ = '}';
	return p;
}

static char *put_phases(char *p, const struct phases *f)
{
	if (!f->any) {
		p = PUT(p, ",\"phases_us\":null");
	} else {
		p = PUT(p, ",\"phases_us\":{\"total\":");
		p = put_us(p, f->total_us);
		for (unsigned i = 0; i < PHASES; i++) {
			*p++ = ',';
			p = put_word(p, phase_word(i));
			*p++ = ':';
			p = put_us(p, f->us[i]);
		}
		*p++ = '}';
	}
	p = put_why(p, f);
	return put_overlap(p, f);
}

/* Only phases in which something was lost. */
static char *put_lost(char *p, const struct finding *e)
{
	bool is_first = true;

	if (!e->has_lost)
		return p;
	p = PUT(p, ",\"lost_us\":{");
	for (unsigned i = 0; i < PHASES; i++) {
		const uint64_t *us = e->lost_us[i];

		if (us[WAIT_RETRANSMISSION] + us[WAIT_ZERO_WINDOW] == 0)
			continue;
		if (!is_first)
			*p++ = ',';
		is_first = false;
		p = put_word(p, phase_word(i));
		p = PUT(p, ":{\"retransmission\":");
		p = put_decimal(p, us[WAIT_RETRANSMISSION]);
		p = PUT(p, ",\"zero_window\":");
		p = put_decimal(p, us[WAIT_ZERO_WINDOW]);
		*p++ = '}';
	}
	*p++ = '}';
	return p;
}

static size_t put_exchange(char *out, const struct finding *e, const char *dump)
{
	char *p = PUT(out, "{\"v\":1,\"run\":");

	p = e->client.place.from_packets ? PUT(p, "null") : put_run(p, e->x->run);
	p = PUT(p, ",\"id\":");
	p = put_id(p, e->x->id);
	p = PUT(p, ",\"dump\":");
	p = put_text_or_null(p, dump);
	p = PUT(p, ",\"start\":");
	p = put_clock(p, e->x->start_ns);
	p = PUT(p, ",\"status\":");
	p = e->x->status != 0 ? put_decimal(p, e->x->status) : PUT(p, "null");
	p = PUT(p, ",\"end\":");
	p = put_text(p, e->x->end);
	p = put_client(p, e);
	p = put_backend(p, e);
	p = put_phases(p, &e->phases);
	p = put_lost(p, e);
	p = PUT(p, ",\"verdict\":");
	p = put_text_or_null(p, verdict_word(&e->phases));
	p = PUT(p, ",\"drops\":");
	p = put_decimal(p, e->drops);
	if (e->tap_drops > 0) {
		p = PUT(p, ",\"tap_drops\":");
		p = put_decimal(p, e->tap_drops);
	}
	if (e->is_hurried)
		p = PUT(p, ",\"hurried\":true");
	p = PUT(p, "}\n");
	return (size_t)(p - out);
}

/* ---- a connection ---------------------------------------------------------------------------- */

static char *put_conn_name(char *p, const struct record_conn *r)
{
	const struct conn *c = r->e->conn;

	p = PUT(p, "{\"v\":1,\"run\":");
	if (r->e->from_packets)
		p = PUT(p, "null");
	else if (c != NULL || r->has_run)
		p = put_run(p, c != NULL ? c->run : r->run);
	else
		p = PUT(p, "null");
	p = PUT(p, ",\"dump\":");
	p = put_text_or_null(p, r->dump);
	if (c == NULL)
		return PUT(p, ",\"leg\":\"client\",\"conn\":null");
	p = c->leg == TAP_CLIENT ? PUT(p, ",\"leg\":\"client\",\"conn\":")
				 : PUT(p, ",\"leg\":\"backend\",\"conn\":");
	return put_decimal(p, c->number);
}

static char *put_conn_ends(char *p, const struct conn_finding *e)
{
	assert(e->conn != NULL || e->flow != NULL);
	p = PUT(p, ",\"local\":");
	p = put_addr(p, e->conn != NULL ? &e->conn->local : &e->flow->side[e->our_side].addr);
	p = PUT(p, ",\"peer\":");
	p = put_addr(p, e->conn != NULL ? &e->conn->peer : &e->flow->side[1 - e->our_side].addr);
	if (e->conn != NULL && e->conn->is_bound && !e->from_packets && e->flow != NULL) {
		p = PUT(p, ",\"matched\":\"bytes\",\"wire\":{\"local\":");
		p = put_addr(p, &e->flow->side[e->our_side].addr);
		p = PUT(p, ",\"peer\":");
		p = put_addr(p, &e->flow->side[1 - e->our_side].addr);
		*p++ = '}';
	}
	p = PUT(p, ",\"opened\":");
	if (e->conn != NULL && e->conn->opened_ns != 0)
		return put_clock(p, e->conn->opened_ns);
	return PUT(p, "null");
}

/*
 * What the tap alone tells is left out where the log tells of an exchange: of a connection on which
 * nothing but a failed attempt was made.
 */
static const struct tls_finding *conn_tls(const struct conn *c)
{
	if (c == NULL || c->tls == NULL || (c->exchanges > 0 && !c->tls->is_claimed))
		return NULL;
	return c->tls;
}

static char *put_conn_flow(char *p, const struct conn_finding *e)
{
	struct handshake_finding handshake = {0};
	struct close_finding close = {0};
	struct leg_place place = {.which = e->conn != NULL ? e->conn->leg : TAP_CLIENT,
				  .flow = e->flow,
				  .our_side = e->our_side,
				  .from_packets = e->from_packets};

	if (e->flow != NULL) {
		handshake_gather(&handshake, e->flow);
		close_gather(&close, &place, UINT64_MAX);
	}
	p = put_handshake(p, &handshake);
	p = put_tls(p, conn_tls(e->conn));
	p = put_close(p, &close);
	p = PUT(p, ",\"history\":");
	if (e->flow == NULL)
		return PUT(p, "null");
	return json_put_string(p, e->flow->history, e->flow->history_len);
}

static uint32_t ids_of(const struct conn *c)
{
	return c != NULL ? (uint32_t)MIN(c->id_cap, c->exchanges) : 0;
}

static char *put_conn_exchanges(char *p, const struct conn *c)
{
	p = PUT(p, ",\"exchanges\":");
	p = put_decimal(p, c != NULL ? c->exchanges : 0);
	p = PUT(p, ",\"ids\":[");
	for (uint32_t i = 0; i < ids_of(c); i++) {
		if (i > 0)
			*p++ = ',';
		p = put_id(p, c->ids[i]);
	}
	*p++ = ']';
	return p;
}

/* What has to be added to Wireshark's number, modulo 2^32, to get ours. */
static char *put_shift(char *p, const struct flow_side *s)
{
	uint32_t isn;

	if (!stream_isn(s->stream, &isn))
		return PUT(p, "null");
	return put_decimal(p, (uint32_t)(s->ws_base - isn));
}

static bool is_shifted(const struct flow_side *s)
{
	uint32_t isn;

	return !stream_isn(s->stream, &isn) || isn != s->ws_base;
}

/* Each direction has its own; where the numbers are the same, one 0 stands for both. */
static char *put_shifts(char *p, const struct flow *f, unsigned our_side)
{
	p = PUT(p, ",\"ws_shift\":");
	if (f == NULL ||
	    (!stream_anchored(f->side[0].stream) && !stream_anchored(f->side[1].stream)))
		return PUT(p, "null");
	if (!is_shifted(&f->side[0]) && !is_shifted(&f->side[1]))
		return PUT(p, "0");
	p = PUT(p, "{\"local\":");
	p = put_shift(p, &f->side[our_side]);
	p = PUT(p, ",\"peer\":");
	p = put_shift(p, &f->side[1 - our_side]);
	*p++ = '}';
	return p;
}

static size_t put_conn(char *out, const struct record_conn *r)
{
	const struct flow *f = r->e->flow;
	char *p = put_conn_name(out, r);

	p = put_stream(p, f, f != NULL ? flow_anchor(f, UINT64_MAX) : NULL);
	p = put_conn_ends(p, r->e);
	p = put_conn_flow(p, r->e);
	p = put_conn_exchanges(p, r->e->conn);
	p = put_shifts(p, f, r->e->our_side);
	p = PUT(p, "}\n");
	return (size_t)(p - out);
}

/* ---- room ------------------------------------------------------------------------------------ */

static bool text_reserve(struct record_text *t, size_t need)
{
	char *grown;

	if (need <= t->cap)
		return true;
	need = MAX(need, 2 * t->cap);
	grown = realloc(t->at, need);
	if (grown == NULL)
		return false;
	t->at = grown;
	t->cap = need;
	return true;
}

static size_t name_max(const char *dump)
{
	return dump != NULL ? 6 * strlen(dump) : 0;
}

static size_t tls_frames(const struct tls_finding *t)
{
	size_t frames = 0;

	for (unsigned i = 0; t != NULL && i < TLS_MARK_COUNT; i++)
		frames += t->at[i].frames.count;
	return frames;
}

static size_t leg_max(const struct leg_finding *e)
{
	size_t frames = tls_frames(e->tls);

	for (unsigned kind = 0; kind < PART_KINDS; kind++) {
		const struct stream_range *s = &e->part[kind].seen;

		if (e->part[kind].exists)
			frames += s->carried.count + s->repeated.count;
	}
	return LEG_MAX + frames * FRAME_MAX + tally_max(e->has_tally ? e->tally : NULL);
}

bool record_exchange(struct record_text *out, const struct finding *e, const char *dump)
{
	size_t need = FIXED_MAX + name_max(dump) + leg_max(&e->client) + leg_max(&e->backend);

	for (unsigned i = 0; i < e->x->tries_count; i++)
		need += leg_max(&e->tries[i]);
	if (!text_reserve(out, need))
		return false;
	out->len = put_exchange(out->at, e, dump);
	return true;
}

bool record_conn(struct record_text *out, const struct record_conn *r)
{
	size_t need = FIXED_MAX + name_max(r->dump) + ids_of(r->e->conn) * ID_MAX +
		      tls_frames(conn_tls(r->e->conn)) * FRAME_MAX;

	if (!text_reserve(out, need))
		return false;
	out->len = put_conn(out->at, r);
	return true;
}
