/*
 * finding.c -- gathers, leg by leg, what the flows hold of an exchange.
 *
 * Changes no flow. The same flows give the same findings however much later they are gathered,
 * because everything is asked "up to settled".
 */
#include "trace/finding.h"

#include <stdlib.h>
#include <string.h>

/* An exchange's own time. */
struct exchange_times {
	uint64_t begin_ns;
	uint64_t done_ns;
	uint64_t settled_ns;
};

static inline const struct stream *stream_of(const struct leg_place *p, enum part_kind kind)
{
	unsigned side = part_is_ours(p->which, kind) ? p->our_side : 1 - p->our_side;

	return p->flow->side[side].stream;
}

static inline bool part_exists(const struct leg_record *leg, enum part_kind kind)
{
	const struct byte_range *r = leg_range(leg, kind);

	return byte_range_exists(r) && r->past > r->first;
}

/* ---- when it is done ------------------------------------------------------------------------- */

/* False: something of the leg is still on its way. */
static bool leg_is_done(const struct leg_place *p, uint64_t known_ns, uint64_t *done_ns)
{
	if (p->leg == NULL || p->flow == NULL)
		return true;
	for (unsigned kind = 0; kind < PART_KINDS; kind++) {
		const struct stream *s;
		uint64_t ns;

		if (!part_exists(p->leg, kind))
			continue;
		s = stream_of(p, kind);
		if (!stream_anchored_at(s, known_ns))
			continue;
		ns = stream_acked_ns(s, leg_range(p->leg, kind)->past);
		if (ns == 0)
			ns = p->flow->closed_ns;
		if (ns == 0)
			return false;
		*done_ns = MAX(*done_ns, ns);
	}
	return true;
}

bool finding_is_open_ended(const struct exchange_record *x, const struct finding_places *places)
{
	return places->client.flow != NULL && !places->client.from_packets &&
	       (x->at_us[MOMENT_RESPONSE_END] == MOMENT_NEVER ||
		byte_range_exists(&x->client.tunnel_up) ||
		byte_range_exists(&x->client.tunnel_down));
}

uint64_t finding_done_ns(const struct exchange_record *x, const struct finding_places *places,
			 uint64_t known_ns)
{
	uint64_t done_ns = 1; /* nothing to follow: done since ever */

	if (finding_is_open_ended(x, places)) {
		done_ns = places->client.flow->closed_ns;
		if (done_ns == 0)
			return 0;
	}
	if (!leg_is_done(&places->client, known_ns, &done_ns) ||
	    !leg_is_done(&places->backend, known_ns, &done_ns))
		return 0;
	for (unsigned i = 0; i < x->tries_count; i++)
		if (!leg_is_done(&places->tries[i], known_ns, &done_ns))
			return 0;
	return done_ns;
}

/* ---- handshake and close --------------------------------------------------------------------- */

const char *flow_anchor(const struct flow *f, uint64_t ns)
{
	const char *word = "none";

	for (unsigned i = 0; i < 2; i++) {
		if (!stream_anchored_at(f->side[i].stream, ns))
			continue;
		if (stream_is_late(f->side[i].stream))
			return "position";
		word = f->is_counted ? "first-packet" : "syn";
	}
	return word;
}

void handshake_gather(struct handshake_finding *h, const struct flow *f)
{
	const uint32_t frames[3] = {f->syn_frame, f->syn_ack_frame, f->ack_frame};

	*h = (struct handshake_finding){0};
	if (f->syn_frame == 0 && f->syn_ack_frame == 0)
		return;
	for (unsigned i = 0; i < ARRAY_LEN(frames); i++)
		if (frames[i] != 0)
			h->frames[h->count++] = frames[i];
	h->is_timed = f->syn_frame != 0 && f->ack_frame != 0 && f->ack_ns >= f->syn_ns &&
		      !f->is_handshake_doubtful;
	if (h->is_timed)
		h->us = (f->ack_ns - f->syn_ns) / NS_PER_US;
}

static void add_frame(struct close_finding *c, uint32_t frame, uint64_t ns, uint64_t until_ns)
{
	unsigned i = c->count;

	if (frame == 0 || ns > until_ns)
		return;
	while (i > 0 && c->frames[i - 1] > frame)
		i--;
	if (i > 0 && c->frames[i - 1] == frame)
		return;
	memmove(c->frames + i + 1, c->frames + i, (c->count - i) * sizeof(c->frames[0]));
	c->frames[i] = frame;
	c->count++;
}

/* The stamp of the first sign of the end. */
static uint64_t close_began_ns(const struct flow *f)
{
	const struct flow_side *s = &f->side[f->closed_by];

	return f->how == FLOW_FIN ? s->fin_ns : s->rst_ns;
}

static const char *closer(const struct leg_place *p)
{
	if (p->flow->closed_by != p->our_side)
		return p->which == TAP_CLIENT ? "client" : "backend";
	return p->from_packets ? "server" : "proxy";
}

void close_gather(struct close_finding *c, const struct leg_place *p, uint64_t until_ns)
{
	const struct flow *f = p->flow;

	*c = (struct close_finding){0};
	if (f->how == FLOW_OPEN || close_began_ns(f) > until_ns)
		return;
	c->how = f->how == FLOW_FIN ? "fin" : "rst";
	c->by = closer(p);
	for (unsigned i = 0; i < 2; i++) {
		const struct flow_side *s = &f->side[i];

		add_frame(c, s->fin_frame, s->fin_ns, until_ns);
		add_frame(c, s->fin_ack_frame, s->fin_ack_ns, until_ns);
		add_frame(c, s->rst_frame, s->rst_ns, until_ns);
	}
}

/* ---- one leg --------------------------------------------------------------------------------- */

static const char *why_no_ack(const struct leg_place *p, uint64_t settled_ns)
{
	for (unsigned i = 0; i < 2; i++)
		if (p->flow->side[i].rst_frame != 0 && p->flow->side[i].rst_ns <= settled_ns)
			return "reset";
	return "not-seen";
}

static void part_gather(struct leg_finding *e, enum part_kind kind, uint64_t settled_ns)
{
	struct part_finding *part = &e->part[kind];

	part->exists = part_exists(e->place.leg, kind);
	if (!part->exists)
		return;
	part->ack_why = NULL;
	part->ack_is_doubtful = false;
	part->range = *leg_range(e->place.leg, kind);
	stream_range_reset(&part->seen);
	if (e->place.flow == NULL)
		return;
	stream_query(stream_of(&e->place, kind), &part->range, settled_ns, &part->seen);
	if (part->seen.known && part->seen.acked_frame == 0)
		part->ack_why = why_no_ack(&e->place, settled_ns);
}

/*
 * The end of a connection belongs to the exchanges in whose own time it began: between the first
 * byte and the moment all is done. And to the last exchange on it also when it followed within the
 * time that counts (a FIN sent right behind a response is captured after the ACK of that response).
 */
static bool close_belongs(const struct leg_place *p, const struct exchange_times *t)
{
	uint64_t began_ns = close_began_ns(p->flow);

	return began_ns >= t->begin_ns && began_ns <= (p->is_last ? t->settled_ns : t->done_ns);
}

static void leg_gather(struct leg_finding *e, const struct leg_place *place, uint64_t settled_ns)
{
	e->place = *place;
	e->anchor = NULL;
	e->handshake.count = 0;
	e->tls = place->leg != NULL && place->leg->nth == 1 ? place->tls : NULL;
	e->close.by = NULL;
	e->lost_ns = 0;
	e->has_tally = false;
	for (unsigned kind = 0; kind < PART_KINDS && place->leg == NULL; kind++)
		e->part[kind].exists = false;
	if (place->leg == NULL)
		return;
	for (unsigned kind = 0; kind < PART_KINDS; kind++)
		part_gather(e, kind, settled_ns);
	if (place->flow == NULL)
		return;
	e->anchor = flow_anchor(place->flow, settled_ns);
	if (place->leg->nth == 1)
		handshake_gather(&e->handshake, place->flow);
}

static bool is_closing(const struct leg_place *p)
{
	return p->flow != NULL && p->flow->how != FLOW_OPEN;
}

static void leg_close(struct leg_finding *e, const struct exchange_times *t)
{
	const struct leg_place *p = &e->place;

	if (p->leg == NULL || !is_closing(p))
		return;
	if (close_belongs(p, t))
		close_gather(&e->close, p, t->settled_ns);
}

static void leg_fini(struct leg_finding *e)
{
	for (unsigned kind = 0; kind < PART_KINDS; kind++)
		stream_range_fini(&e->part[kind].seen);
	free(e->tally);
	e->tally = NULL;
}

/* ---- labels ---------------------------------------------------------------------------------- */

/* Of a TLS handshake made for it: from the connection's first byte to the last of its messages. */
static bool tls_range(const struct leg_finding *e, bool ours, struct byte_range *range)
{
	*range = (struct byte_range){0};
	for (unsigned i = 0; e->tls != NULL && i < TLS_MARK_COUNT; i++)
		if (tls_mark_is_ours(e->place.which, i) == ours && e->tls->at[i].frames.count > 0)
			range->past = MAX(range->past, e->tls->marks.at[i].past);
	return range->past > 0;
}

/* From the first byte of the leg that goes one way to the last. False: none can be told. */
static bool way_range(const struct leg_finding *e, bool ours, struct byte_range *range)
{
	const struct part_way *way = part_way(e->place.which, ours);
	bool any = tls_range(e, ours, range);

	for (unsigned k = 0; k < way->count; k++) {
		const struct part_finding *p = &e->part[way->kinds[k]];

		if (!p->exists || !p->seen.known)
			continue;
		range->first = any ? MIN(range->first, p->range.first) : p->range.first;
		range->past = any ? MAX(range->past, p->range.past) : p->range.past;
		any = true;
	}
	return any;
}

static bool tally_ready(struct leg_finding *e)
{
	if (e->tally == NULL)
		e->tally = malloc(sizeof(*e->tally));
	if (e->tally != NULL && !e->has_tally)
		tally_reset(e->tally);
	e->has_tally = e->tally != NULL;
	return e->has_tally;
}

/* What was before its time concerns the first exchange of a connection, with the handshake. */
static void leg_tally(struct leg_finding *e, uint64_t begin_ns, uint64_t settled_ns)
{
	const struct leg_place *p = &e->place;

	if (p->leg == NULL || p->flow == NULL)
		return;
	for (unsigned ours = 0; ours < 2; ours++) {
		const struct part_way *way = part_way(p->which, ours);
		const struct stream *s = stream_of(p, way->kinds[0]);
		struct byte_range range;

		if (stream_has_notes(s) && way_range(e, ours, &range) && tally_ready(e))
			stream_tally(s, &range, p->leg->nth == 1 ? 0 : begin_ns, settled_ns,
				     e->tally);
	}
}

static uint64_t begin_ns_of(const struct finding *e)
{
	uint64_t first_ns = finding_first_ns(e);

	return first_ns != 0 ? MIN(first_ns, e->x->start_ns) : e->x->start_ns;
}

static bool leg_has_notes(const struct leg_finding *e)
{
	const struct flow *f = e->place.flow;

	return f != NULL &&
	       (stream_has_notes(f->side[0].stream) || stream_has_notes(f->side[1].stream));
}

static void tallies_gather(struct finding *e)
{
	bool any = leg_has_notes(&e->client) || leg_has_notes(&e->backend);
	uint64_t begin_ns;

	for (unsigned i = 0; i < e->x->tries_count; i++)
		any = any || leg_has_notes(&e->tries[i]);
	if (!any)
		return;
	begin_ns = begin_ns_of(e);
	leg_tally(&e->client, begin_ns, e->settled_ns);
	leg_tally(&e->backend, begin_ns, e->settled_ns);
	for (unsigned i = 0; i < e->x->tries_count; i++)
		leg_tally(&e->tries[i], begin_ns, e->settled_ns);
}

/* ---- time lost ------------------------------------------------------------------------------- */

static void leg_waits(const struct leg_finding *e, uint64_t settled_ns, struct waits *out)
{
	const struct leg_place *p = &e->place;

	if (p->leg == NULL || !leg_has_notes(e))
		return;
	for (unsigned ours = 0; ours < 2; ours++) {
		const struct part_way *way = part_way(p->which, ours);
		const struct stream *s = stream_of(p, way->kinds[0]);
		uint64_t opened_ns =
			p->leg->nth == 1 && ours == (p->which == TAP_BACKEND) ? p->flow->syn_ns : 0;
		struct byte_range range;

		if (stream_has_notes(s) && way_range(e, ours, &range))
			(void)!stream_waits(s, &range, opened_ns, settled_ns, out);
	}
}

/* Each piece of the total, as far as bytes waited in it. */
static void lost_gather(struct finding *e)
{
	const uint64_t *cut_ns = e->phases.cut_ns;

	e->has_lost = false;
	waits_reset(&e->waits);
	leg_waits(&e->client, e->settled_ns, &e->waits);
	leg_waits(&e->backend, e->settled_ns, &e->waits);
	if (!waits_any(&e->waits) || !e->phases.any)
		return;
	memset(e->lost_us, 0, sizeof(e->lost_us));
	for (unsigned i = 0; i < PHASE_PIECES; i++) {
		for (unsigned kind = 0; kind < WAIT_KINDS; kind++) {
			uint64_t us = 0;

			if (cut_ns[i] != 0 && cut_ns[i + 1] != 0)
				us = waits_within(&e->waits, kind, cut_ns[i], cut_ns[i + 1]) /
				     NS_PER_US;
			e->lost_us[phase_of_piece(i)][kind] += us;
			e->has_lost = e->has_lost || us > 0;
		}
	}
}

/* ---- losses ---------------------------------------------------------------------------------- */

/*
 * Behind a loss, the first frame that was captured with a byte or its ACK need not be the first that
 * was sent: which frame it is stands, when it was is not known.
 */
static void leg_doubt(struct leg_finding *leg, const struct finding *e,
		      const struct finding_losses *losses)
{
	if (leg->place.leg == NULL || leg->place.flow == NULL)
		return;
	leg->lost_ns = losses->first(losses->arg, leg->place.flow, e->lost_from_ns, e->settled_ns);
	for (unsigned kind = 0; kind < PART_KINDS && leg->lost_ns != 0; kind++) {
		struct part_finding *p = &leg->part[kind];

		p->ack_is_doubtful = p->exists && p->seen.acked_ns >= leg->lost_ns;
	}
}

static void doubt(struct finding *e, const struct finding_losses *losses)
{
	if (losses == NULL)
		return;
	e->lost_from_ns = losses->from_ns(losses->arg, e);
	leg_doubt(&e->client, e, losses);
	leg_doubt(&e->backend, e, losses);
	for (unsigned i = 0; i < e->x->tries_count; i++)
		leg_doubt(&e->tries[i], e, losses);
}

/* ---- phases ---------------------------------------------------------------------------------- */

static void set_moment(struct phase_input *in, enum phase_moment m, const struct leg_finding *leg,
		       uint64_t ns)
{
	if (ns == 0)
		in->state[m] = MOMENT_UNSEEN;
	else if (leg->lost_ns != 0 && ns >= leg->lost_ns)
		in->state[m] = MOMENT_DOUBTFUL;
	else
		in->state[m] = MOMENT_SEEN;
	in->at_ns[m] = ns;
}

/* One of the moments of a part. */
static void set_part(struct phase_input *in, enum phase_moment m, const struct leg_finding *leg,
		     enum part_kind kind, uint64_t ns)
{
	if (leg->part[kind].exists)
		set_moment(in, m, leg, ns);
}

/* 0: no packet showed it. With TLS the backend was ready after the last Finished. */
static uint64_t handshake_end_ns(const struct leg_finding *b)
{
	const struct flow *f = b->place.flow;
	uint64_t tls_ns;

	if (b->tls == NULL)
		return f->ack_ns;
	tls_ns = tls_finding_end_ns(b->tls);
	return tls_ns != 0 ? MAX(f->ack_ns, tls_ns) : 0;
}

/* Only a handshake that was made for this exchange counts. */
static void set_handshake(struct phase_input *in, const struct leg_finding *b)
{
	const struct flow *f = b->place.flow;
	bool was_used = b->part[PART_REQUEST].exists;
	uint64_t end_ns;

	if (b->place.leg == NULL || b->place.leg->nth != 1)
		return;
	in->state[MOMENT_B_SYN] = in->state[MOMENT_B_H] = MOMENT_UNSEEN;
	if (f == NULL)
		return;
	if (f->syn_frame != 0)
		set_moment(in, MOMENT_B_SYN, b, f->syn_ns);
	end_ns = handshake_end_ns(b);
	if (end_ns == 0 && !was_used && f->how == FLOW_RST)
		end_ns = f->closed_ns;
	if (end_ns != 0)
		set_moment(in, MOMENT_B_H, b, end_ns);
	else if (!was_used)
		in->state[MOMENT_B_H] = MOMENT_ABSENT;
}

static void phases_gather(struct finding *e)
{
	const struct leg_finding *c = &e->client, *b = &e->backend;
	const struct stream_range *cr = &c->part[PART_REQUEST].seen;
	const struct stream_range *cp = &c->part[PART_RESPONSE].seen;
	const struct stream_range *br = &b->part[PART_REQUEST].seen;
	const struct stream_range *bp = &b->part[PART_RESPONSE].seen;
	struct phase_input in = {.is_one_leg = c->place.from_packets};

	set_part(&in, MOMENT_C_R0, c, PART_REQUEST, cr->first_ns);
	set_part(&in, MOMENT_C_R1, c, PART_REQUEST, cr->last_ns);
	set_part(&in, MOMENT_B_R1, b, PART_REQUEST, br->last_ns);
	set_part(&in, MOMENT_B_P0, b, PART_RESPONSE, bp->first_ns);
	set_part(&in, MOMENT_B_P1, b, PART_RESPONSE, bp->last_ns);
	set_part(&in, MOMENT_C_P0, c, PART_RESPONSE, cp->first_ns);
	set_part(&in, MOMENT_C_P1, c, PART_RESPONSE, cp->last_ns);
	set_part(&in, MOMENT_C_P1A, c, PART_RESPONSE, cp->acked_ns);
	set_handshake(&in, b);
	phases_compute(&in, &e->phases);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static bool any_is_closing(const struct finding *e)
{
	bool any = is_closing(&e->client.place) || is_closing(&e->backend.place);

	for (unsigned i = 0; i < e->x->tries_count; i++)
		any = any || is_closing(&e->tries[i].place);
	return any;
}

static struct exchange_times times_of(const struct finding *e, const struct finding_places *places,
				      uint64_t end_ns)
{
	struct exchange_times t = {.begin_ns = begin_ns_of(e),
				   .done_ns = finding_done_ns(e->x, places, e->settled_ns),
				   .settled_ns = e->settled_ns};

	t.done_ns = t.done_ns != 0 ? MAX(end_ns, t.done_ns) : t.settled_ns;
	return t;
}

static void closes_gather(struct finding *e, const struct finding_places *places, uint64_t end_ns)
{
	struct exchange_times t;

	if (!any_is_closing(e))
		return;
	t = times_of(e, places, end_ns);
	leg_close(&e->client, &t);
	leg_close(&e->backend, &t);
	for (unsigned i = 0; i < e->x->tries_count; i++)
		leg_close(&e->tries[i], &t);
}

void finding_gather(struct finding *e, const struct exchange_record *x,
		    const struct finding_places *places, uint64_t end_ns, uint64_t settled_ns)
{
	e->x = x;
	e->settled_ns = settled_ns;
	e->drops = 0;
	leg_gather(&e->client, &places->client, settled_ns);
	leg_gather(&e->backend, &places->backend, settled_ns);
	for (unsigned i = 0; i < x->tries_count; i++)
		leg_gather(&e->tries[i], &places->tries[i], settled_ns);
	doubt(e, places->losses);
	closes_gather(e, places, end_ns);
	tallies_gather(e);
	phases_gather(e);
	lost_gather(e);
}

void finding_fini(struct finding *e)
{
	waits_fini(&e->waits);
	leg_fini(&e->client);
	leg_fini(&e->backend);
	for (unsigned i = 0; i < FINDING_TRIES; i++)
		leg_fini(&e->tries[i]);
}

uint64_t finding_first_ns(const struct finding *e)
{
	const struct leg_finding *const legs[] = {&e->client, &e->backend};
	uint64_t first_ns = 0;

	for (unsigned i = 0; i < ARRAY_LEN(legs); i++) {
		for (unsigned kind = 0; kind < PART_KINDS; kind++) {
			const struct part_finding *p = &legs[i]->part[kind];
			uint64_t ns = p->exists ? p->seen.begun_ns : 0;

			if (ns != 0 && (first_ns == 0 || ns < first_ns))
				first_ns = ns;
		}
	}
	return first_ns;
}
