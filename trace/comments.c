/*
 * comments.c -- looks a packet's bytes up among the exchanges of its connection, and writes the
 * comments. Written by hand: it is done for every packet.
 *
 * Every exchange on a connection has its bytes behind those of the exchange before it, so the
 * search goes from near the place where the last one ended.
 */
#include "trace/comments.h"

#include <stdlib.h>

#include "common/put.h"
#include "trace/ledger.h"

/* ---- told? ----------------------------------------------------------------------------------- */

static bool conn_told(const struct comment_place *p, const struct conn *c)
{
	bool ours = track_our_side(p->track, c) == p->from;

	if (p->len > 0 && !conn_has_told(c, ours, p->off + p->len))
		return false;
	return p->acked_past <= p->acked_from || conn_has_told(c, !ours, p->acked_past);
}

bool comments_are_told(const struct comment_place *p)
{
	const struct track *t = p->track;

	if (t == NULL || (p->len == 0 && p->acked_past <= p->acked_from))
		return true;
	if (t->flow == NULL || !p->is_known)
		return true;
	for (unsigned leg = 0; leg < 2; leg++)
		if (t->conn[leg] != NULL && conn_told(p, t->conn[leg]))
			return true;
	return false;
}

/* ---- text ------------------------------------------------------------------------------------ */

/* Bytes of one direction that the packet carries or acknowledges. */
struct span {
	uint64_t from;
	uint64_t to;
	bool is_ack;
};

/* One part of one exchange, as far as the packet touches it. */
struct touch {
	const struct exchange *x;
	enum tap_leg leg;
	enum part_kind kind;
	uint64_t first; /* of the part */
	uint64_t past;  /* UINT64_MAX: not known yet */
	bool is_ack;
	uint64_t from; /* touched bytes */
	uint64_t to;
};

/* What stands between the id and the bytes. */
static const struct pcapng_comment middles[2][PART_KINDS][2] = {
#define MIDDLE(text)                   \
	{                              \
		text, sizeof(text) - 1 \
	}
#define MIDDLES(before)                                        \
	{                                                      \
		MIDDLE(before " off="), MIDDLE(before " ack=") \
	}
	{
		[PART_REQUEST] = MIDDLES(" leg=client part=request"),
		[PART_INTERIM] = MIDDLES(" leg=client part=interim"),
		[PART_RESPONSE] = MIDDLES(" leg=client part=response"),
		[PART_TUNNEL_UP] = MIDDLES(" leg=client part=tunnel-up"),
		[PART_TUNNEL_DOWN] = MIDDLES(" leg=client part=tunnel-down"),
	},
	{
		[PART_REQUEST] = MIDDLES(" leg=backend part=request"),
		[PART_INTERIM] = MIDDLES(" leg=backend part=interim"),
		[PART_RESPONSE] = MIDDLES(" leg=backend part=response"),
		[PART_TUNNEL_UP] = MIDDLES(" leg=backend part=tunnel-up"),
		[PART_TUNNEL_DOWN] = MIDDLES(" leg=backend part=tunnel-down"),
	},
};

void comment_ids_fini(struct comment_ids *ids)
{
	free(ids->at);
	*ids = (struct comment_ids){0};
}

static void note_id(struct comment_ids *ids, uint64_t id)
{
	for (uint32_t i = ids->count; i > 0; i--)
		if (ids->at[i - 1] == id)
			return;
	if (ids->count == ids->cap) {
		uint32_t cap = ids->cap > 0 ? 2 * ids->cap : 16;
		uint64_t *grown = realloc(ids->at, cap * sizeof(*grown));

		if (grown == NULL)
			return;
		ids->at = grown;
		ids->cap = cap;
	}
	ids->at[ids->count++] = id;
}

static void write_touch(const struct touch *t, struct comments *out)
{
	const struct pcapng_comment *middle = &middles[t->leg == TAP_BACKEND][t->kind][t->is_ack];
	char *text = out->text[out->count], *p = text;

	if (out->ids != NULL)
		note_id(out->ids, t->x->id);
	if (out->count == COMMENTS_MAX) {
		out->more++;
		return;
	}
	p = PUT(p, "req=");
	p = put_hex64(p, t->x->id);
	p = put_bytes(p, middle->text, middle->len);
	if (!t->is_ack) {
		p = put_decimal(p, t->from - t->first);
		*p++ = '-';
	}
	p = put_decimal(p, t->to - t->first);
	if (t->past != UINT64_MAX) {
		p = PUT(p, " of ");
		p = put_decimal(p, t->past - t->first);
	}
	out->at[out->count++] = (struct pcapng_comment){text, (size_t)(p - text)};
}

static void write_more(struct comments *out)
{
	char *text = out->text[COMMENTS_MAX], *p = text;

	if (out->more == 0)
		return;
	p = PUT(p, "and ");
	p = put_decimal(p, out->more);
	p = PUT(p, " more");
	out->at[out->count++] = (struct pcapng_comment){text, (size_t)(p - text)};
}

/* ---- search ---------------------------------------------------------------------------------- */

/* Where the bytes of one part begin and end as known now. False: there are none. */
static inline bool part_bounds(const struct conn_use *u, enum tap_leg leg, enum part_kind kind,
			       uint64_t *first, uint64_t *past)
{
	const struct byte_range *r = use_range(u, kind);

	if (!byte_range_exists(r))
		return false;
	*first = r->first;
	*past = r->past;
	/* Interim responses are told as a whole; of an open part the end is not known. */
	if (u->x->open_parts != 0 && kind != PART_INTERIM &&
	    (u->x->open_parts >> tap_part_of(leg, kind) & 1) != 0)
		*past = UINT64_MAX;
	return true;
}

/* Where the use's bytes of one direction begin and end. False: it has none there. */
static bool use_bounds(const struct conn *c, uint32_t i, bool ours, uint64_t *first, uint64_t *past)
{
	const struct part_way *way = part_way(c->leg, ours);
	uint64_t part_first, part_past;

	*first = UINT64_MAX;
	*past = 0;
	for (unsigned k = 0; k < way->count; k++) {
		if (!part_bounds(conn_use(c, i), c->leg, way->kinds[k], &part_first, &part_past))
			continue;
		*first = MIN(*first, part_first);
		*past = MAX(*past, part_past);
	}
	return *past > *first;
}

/* Of the uses before `high`, is this the last with bytes, and do they end at or below off? */
static bool ends_below(const struct conn *c, bool ours, uint32_t high, uint64_t off)
{
	uint64_t first, past;

	while (high > 0)
		if (use_bounds(c, --high, ours, &first, &past))
			return past <= off;
	return true;
}

/* The first from i on whose bytes end above off. */
static uint32_t next_use(const struct conn *c, uint32_t i, bool ours, uint64_t off)
{
	uint64_t first, past;

	while (i < c->use_count && (!use_bounds(c, i, ours, &first, &past) || past <= off))
		i++;
	return i;
}

/*
 * Index of the first use whose bytes end above off. Packets come nearly in the order of their
 * bytes, so the search goes from where the last one of this direction ended, in growing steps back
 * and in single ones forth. Uses without bytes tell nothing and are stepped over.
 */
static uint32_t find_use(const struct conn *c, bool ours, uint64_t off)
{
	uint32_t low = MIN(c->near[ours], c->use_count), high = low, step = 1;
	uint64_t first, past;

	if (!c->overlaps && low < c->use_count && use_bounds(c, low, ours, &first, &past) &&
	    first <= off)
		return past > off ? low : next_use(c, low + 1, ours, off);
	while (low > 0 && !ends_below(c, ours, low, off)) {
		high = low - 1;
		low = low > step ? low - step : 0;
		step *= 2;
	}
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (ends_below(c, ours, middle + 1, off))
			low = middle + 1;
		else
			high = middle;
	}
	return next_use(c, low, ours, off);
}

/* Where the bytes of the uses behind i begin: what is open reaches no further. */
static uint64_t next_first(const struct conn *c, uint32_t i, bool ours)
{
	uint64_t first, past;

	while (++i < c->use_count)
		if (use_bounds(c, i, ours, &first, &past))
			return first;
	return UINT64_MAX;
}

/* What of one use [from, to) touches. */
static void write_use(const struct conn *c, uint32_t i, bool ours, const struct span *s,
		      struct comments *out)
{
	const struct part_way *way = part_way(c->leg, ours);
	const struct conn_use *u = conn_use(c, i);

	for (unsigned k = 0; k < way->count; k++) {
		struct touch t = {
			.x = u->x, .leg = c->leg, .kind = way->kinds[k], .is_ack = s->is_ack};

		if (!part_bounds(u, c->leg, t.kind, &t.first, &t.past))
			continue;
		t.from = MAX(s->from, t.first);
		t.to = MIN(s->to, t.past != UINT64_MAX ? t.past : next_first(c, i, ours));
		if (t.from < t.to)
			write_touch(&t, out);
	}
}

/*
 * Of an ordinary connection, whose messages follow one another: one use, one part of known length,
 * and the span lies within. True: that was all.
 */
static bool write_within(const struct conn *c, bool ours, uint32_t i, const struct span *s,
			 struct comments *out)
{
	const struct conn_use *u = conn_use(c, i);
	struct touch t = {.x = u->x,
			  .leg = c->leg,
			  .kind = (c->leg == TAP_BACKEND) == ours ? PART_REQUEST : PART_RESPONSE,
			  .is_ack = s->is_ack,
			  .from = s->from,
			  .to = s->to};
	const struct byte_range *r = use_range(u, t.kind);

	if (u->x->open_parts != 0 || s->from < r->first || s->to > r->past || s->to <= s->from)
		return false;
	t.first = r->first;
	t.past = r->past;
	write_touch(&t, out);
	return true;
}

/* Every part of one direction that the span touches. */
static void write_touched(struct conn *c, bool ours, const struct span *s, struct comments *out)
{
	uint32_t i = c->near[ours];

	if (!c->overlaps && i < c->use_count && write_within(c, ours, i, s, out))
		return;
	if (!c->overlaps && i + 1 < c->use_count && write_within(c, ours, i + 1, s, out)) {
		c->near[ours] = i + 1;
		return;
	}
	i = find_use(c, ours, s->from);
	c->near[ours] = i;
	for (; i < c->use_count; i++) {
		uint64_t first, past;

		if (!use_bounds(c, i, ours, &first, &past))
			continue;
		if (first >= s->to)
			return;
		write_use(c, i, ours, s, out);
		/* What is open may reach less far, and others may share a record with what is not. */
		if (past >= s->to && past != UINT64_MAX && !c->overlaps)
			return;
	}
}

void comments_write(const struct comment_place *p, struct comments *out)
{
	const struct span carried = {p->off, p->off + p->len, false};
	const struct span acked = {p->acked_from, p->acked_past, true};
	const struct track *t = p->track;

	out->count = 0;
	out->more = 0;
	if (out->ids != NULL)
		out->ids->count = 0;
	if (t == NULL || t->flow == NULL || !p->is_known)
		return;
	for (unsigned leg = 0; leg < 2; leg++) {
		struct conn *c = t->conn[leg];
		bool ours;

		if (c == NULL || c->use_count == 0)
			continue;
		ours = track_our_side(t, c) == p->from;
		if (carried.to > carried.from)
			write_touched(c, ours, &carried, out);
		if (acked.to > acked.from)
			write_touched(c, !ours, &acked, out);
	}
	write_more(out);
}
