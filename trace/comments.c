/*
 * comments.c -- looks a packet's bytes up among the exchanges of its connection, and writes the
 * comments. Written by hand: it is done for every packet.
 *
 * Every exchange on a connection has its bytes behind those of the exchange before it, so the
 * search goes from near the place where the last one ended.
 */
#include "trace/comments.h"

#include <string.h>

#include "trace/ledger.h"

/* ---- told? ----------------------------------------------------------------------------------- */

static bool conn_told(const struct comment_place *p, const struct conn *c)
{
	bool ours = track_our_side(p->track, c) == p->from;

	if (p->len > 0 && p->off + p->len > conn_told_past(c, ours))
		return false;
	return p->acked_past <= p->acked_from || p->acked_past <= conn_told_past(c, !ours);
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

static char *put_text(char *p, const char *text)
{
	size_t len = strlen(text);

	memcpy(p, text, len);
	return p + len;
}

static char *put_u64(char *p, uint64_t v)
{
	char digits[20];
	size_t n = sizeof(digits);

	do {
		digits[--n] = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	memcpy(p, digits + n, sizeof(digits) - n);
	return p + (sizeof(digits) - n);
}

static char *put_hex64(char *p, uint64_t v)
{
	for (unsigned i = 16; i-- > 0; v >>= 4)
		p[i] = "0123456789abcdef"[v & 15];
	return p + 16;
}

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

static char *next_text(struct comments *out)
{
	if (out->count == COMMENTS_MAX) {
		out->more++;
		return NULL;
	}
	out->at[out->count] = out->text[out->count];
	return out->text[out->count++];
}

static void write_touch(const struct touch *t, struct comments *out)
{
	char *p = next_text(out);

	if (p == NULL)
		return;
	p = put_text(p, "req=");
	p = put_hex64(p, t->x->x.id);
	p = put_text(p, t->leg == TAP_CLIENT ? " leg=client part=" : " leg=backend part=");
	p = put_text(p, part_word(t->kind));
	p = put_text(p, t->is_ack ? " ack=" : " off=");
	if (!t->is_ack) {
		p = put_u64(p, t->from - t->first);
		*p++ = '-';
	}
	p = put_u64(p, t->to - t->first);
	if (t->past != UINT64_MAX) {
		p = put_text(p, " of ");
		p = put_u64(p, t->past - t->first);
	}
	*p = '\0';
}

static void write_more(struct comments *out)
{
	char *p = out->text[COMMENTS_MAX];

	if (out->more == 0)
		return;
	p = put_text(p, "and ");
	p = put_u64(p, out->more);
	p = put_text(p, " more");
	*p = '\0';
	out->at[out->count++] = out->text[COMMENTS_MAX];
}

/* ---- search ---------------------------------------------------------------------------------- */

/* The bytes of one part as they are known now. False: there are none. */
static bool part_bounds(const struct conn_use *u, enum tap_leg leg, enum part_kind kind,
			struct touch *t)
{
	const struct byte_range *r = leg_range(u->leg, kind);
	unsigned bit = 1U << tap_part_of(leg, kind);

	if (!byte_range_exists(r))
		return false;
	t->x = u->x;
	t->leg = leg;
	t->kind = kind;
	t->first = r->first;
	t->past = r->past;
	/* Interim responses are told as a whole; of an open part the end is not known. */
	if (kind != PART_INTERIM && (u->x->open_parts & bit) != 0)
		t->past = UINT64_MAX;
	return true;
}

/* Where the use's bytes of one direction begin and end. False: it has none there. */
static bool use_bounds(const struct conn *c, uint32_t i, bool ours, uint64_t *first, uint64_t *past)
{
	struct touch t;

	*first = UINT64_MAX;
	*past = 0;
	for (unsigned kind = 0; kind < PART_KINDS; kind++) {
		if (part_is_ours(c->leg, kind) != ours ||
		    !part_bounds(conn_use(c, i), c->leg, kind, &t))
			continue;
		*first = MIN(*first, t.first);
		*past = MAX(*past, t.past);
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

/*
 * Index of the first use whose bytes end above off. Live it is one of the last, so the search goes
 * from there in growing steps. Uses without bytes tell nothing and are stepped over.
 */
static uint32_t find_use(const struct conn *c, bool ours, uint64_t off)
{
	uint32_t low = c->use_count, high = c->use_count, step = 1;

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
	return low;
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

/* Every part that [from, to) of one direction touches. */
static void write_touched(const struct conn *c, bool ours, uint64_t from, uint64_t to, bool is_ack,
			  struct comments *out)
{
	for (uint32_t i = find_use(c, ours, from); i < c->use_count; i++) {
		uint64_t first, past;

		if (use_bounds(c, i, ours, &first, &past) && first >= to)
			return;
		for (unsigned kind = 0; kind < PART_KINDS; kind++) {
			struct touch t = {.is_ack = is_ack};

			if (part_is_ours(c->leg, kind) != ours ||
			    !part_bounds(conn_use(c, i), c->leg, kind, &t))
				continue;
			t.from = MAX(from, t.first);
			t.to = MIN(to, t.past != UINT64_MAX ? t.past : next_first(c, i, ours));
			if (t.from < t.to)
				write_touch(&t, out);
		}
	}
}

void comments_write(const struct comment_place *p, struct comments *out)
{
	const struct track *t = p->track;

	out->count = 0;
	out->more = 0;
	if (t == NULL || t->flow == NULL || !p->is_known)
		return;
	for (unsigned leg = 0; leg < 2; leg++) {
		const struct conn *c = t->conn[leg];
		bool ours;

		if (c == NULL || c->use_count == 0)
			continue;
		ours = track_our_side(t, c) == p->from;
		if (p->len > 0)
			write_touched(c, ours, p->off, p->off + p->len, false, out);
		if (p->acked_past > p->acked_from)
			write_touched(c, !ours, p->acked_from, p->acked_past, true, out);
	}
	write_more(out);
}
