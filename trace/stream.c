/*
 * stream.c -- map byte offsets of one TCP direction to captured segments.
 *
 * Positions are 64 bits wide and count from the first sequence number seen, which stands at
 * POS_START; an offset is a position less zero_pos, which stream_anchor() finds. So what came
 * before the anchor needs no second look. Keeps no payload, knows no HTTP, asks no clock.
 *
 * Invariant: pieces are sorted by position and do not overlap; each names the first frame that
 * carried its bytes. Repeats are sorted by position. Acks ascend, in position as in frame.
 */
#include "trace/stream.h"

#include <stdlib.h>
#include <string.h>

#include "trace/mark_list.h"
#include "trace/seqnum.h"

/* Its low 32 bits are zero: the first sequence number seen is that of every multiple of 2^32. */
#define POS_START (1ULL << 62)

/* So many marks of a kind are kept while no place is known: nobody says what is needed of them. */
#define UNPLACED_MAX 32768U

struct stream {
	struct mark_list pieces;  /* bytes seen */
	struct mark_list repeats; /* bytes seen again */
	struct mark_list acks;    /* pos: all bytes below it are acknowledged */
	struct notes notes;       /* labels */
	uint32_t base_seq;        /* sequence number of POS_START */
	uint32_t longest_repeat;
	uint64_t zero_pos;  /* position of offset 0; 0 until anchored */
	uint64_t floor_pos; /* forgotten below */
	uint64_t end_pos;   /* past the highest byte seen */
	uint64_t acked_pos;
	uint64_t fin_pos;
	uint64_t from_ns;       /* zero_pos is known since then */
	uint64_t void_ns;       /* and is void since then; 0: it is not */
	uint64_t first_ack_pos; /* when it was not captured from the start; else 0 */
	uint64_t shed_pos;      /* what stood below was given up before a place was known */
	bool based;
	bool anchored;
	bool late;
	bool acked_known;
	bool fin_known;
};

struct stream *stream_new(void)
{
	return calloc(1, sizeof(struct stream));
}

void stream_free(struct stream *s)
{
	if (s == NULL)
		return;
	mark_list_fini(&s->pieces);
	mark_list_fini(&s->repeats);
	mark_list_fini(&s->acks);
	notes_fini(&s->notes);
	free(s);
}

bool stream_anchored(const struct stream *s)
{
	return s->anchored;
}

bool stream_anchored_at(const struct stream *s, uint64_t ns)
{
	return s->zero_pos != 0 && s->from_ns <= ns && (s->void_ns == 0 || ns < s->void_ns);
}

bool stream_isn(const struct stream *s, uint32_t *isn)
{
	*isn = s->base_seq + (uint32_t)s->zero_pos - 1;
	return s->anchored;
}

bool stream_is_late(const struct stream *s)
{
	return s->late;
}

size_t stream_memory(const struct stream *s)
{
	return sizeof(*s) + mark_list_memory(&s->pieces) + mark_list_memory(&s->repeats) +
	       mark_list_memory(&s->acks) + notes_memory(&s->notes);
}

static void set_base(struct stream *s, uint32_t seq)
{
	if (s->based)
		return;
	s->based = true;
	s->base_seq = seq;
	s->end_pos = POS_START;
}

/* What the peer acknowledged is surely near; what was sent is, when ACKs were not captured. */
static uint64_t near_pos(const struct stream *s)
{
	if (s->acked_known && s->end_pos < s->acked_pos + (1ULL << 31))
		return s->acked_pos;
	return s->end_pos;
}

static uint64_t pos_of_seq(const struct stream *s, uint32_t seq, uint64_t near)
{
	return (uint64_t)seq_to_off(seq, s->base_seq, near);
}

/* Index of the first piece that ends above pos. */
static uint32_t find_piece(const struct stream *s, uint64_t pos)
{
	uint32_t i = mark_list_find(&s->pieces, pos);

	if (i > 0 && mark_past(mark_list_get(&s->pieces, i - 1)) > pos)
		i--;
	return i;
}

/* Index of the first repeat that may reach above pos. */
static uint32_t find_repeat(const struct stream *s, uint64_t pos)
{
	uint64_t reach = s->longest_repeat;

	return mark_list_find(&s->repeats, pos > reach ? pos - reach : 0);
}

/* Drop what ends at or below pos, cut what reaches above it, and forget ACKs below ack_pos. */
static void drop_below(struct stream *s, uint64_t pos, uint64_t ack_pos)
{
	struct mark *m;

	mark_list_drop(&s->pieces, find_piece(s, pos));
	if (s->pieces.count > 0 && (m = mark_list_get(&s->pieces, 0))->pos < pos) {
		m->len -= (uint32_t)(pos - m->pos);
		m->pos = pos;
	}
	while (s->repeats.count > 0 && mark_past(mark_list_get(&s->repeats, 0)) <= pos)
		mark_list_drop(&s->repeats, 1);
	mark_list_drop(&s->acks, mark_list_find(&s->acks, ack_pos));
	if (s->notes.count > 0)
		notes_forget(&s->notes, pos);
}

/* An ACK that stands at offset 0 is the SYN's. */
static void set_zero(struct stream *s, uint64_t zero_pos)
{
	s->anchored = true;
	s->zero_pos = zero_pos;
	s->floor_pos = MAX(zero_pos, s->shed_pos);
	s->end_pos = MAX(s->end_pos, zero_pos);
	if (s->acked_known ? s->acked_pos < zero_pos : !s->late) {
		s->acked_known = true;
		s->acked_pos = zero_pos;
	}
	drop_below(s, zero_pos, zero_pos + 1);
}

void stream_anchor(struct stream *s, uint32_t isn)
{
	if (s->zero_pos != 0)
		return;
	s->first_ack_pos = 0;
	set_base(s, isn + 1);
	set_zero(s, pos_of_seq(s, isn + 1, POS_START));
}

void stream_anchor_at(struct stream *s, uint32_t seq, uint64_t off, uint64_t from_ns)
{
	uint64_t pos;

	if (s->zero_pos != 0 || off >= POS_START / 2)
		return;
	set_base(s, seq);
	pos = pos_of_seq(s, seq, near_pos(s));
	s->late = true;
	s->from_ns = from_ns;
	set_zero(s, pos - off);
}

void stream_unanchor(struct stream *s, uint64_t from_ns)
{
	if (!s->late || !s->anchored)
		return;
	s->anchored = false;
	s->void_ns = from_ns;
}

/*
 * A keep-alive of one byte repeats the last one that was acknowledged. When the capture has missed
 * that byte and those before it, what the probe carries is not taken for the stream's.
 */
static bool is_probe(const struct stream *s, uint64_t pos, uint64_t past)
{
	return past - pos == 1 && s->acked_known && past == s->acked_pos && pos > s->end_pos;
}

/* Give up the older half. */
static void shed(struct stream *s, const struct mark_list *l)
{
	s->shed_pos = MAX(s->shed_pos, mark_list_get(l, l->count / 2)->pos);
	s->floor_pos = s->shed_pos;
	drop_below(s, s->shed_pos, s->shed_pos);
}

static inline void shed_unplaced(struct stream *s, const struct mark_list *l)
{
	if (UNLIKELY(l->count >= UNPLACED_MAX) && s->zero_pos == 0)
		shed(s, l);
}

static bool add_repeat(struct stream *s, const struct mark *m)
{
	if (m->len == 0)
		return true;
	s->longest_repeat = MAX(s->longest_repeat, m->len);
	return mark_list_insert(&s->repeats, mark_list_find(&s->repeats, m->pos + 1), m);
}

/* Walk the pieces that m overlaps: gaps between them become pieces of m, the rest is repeated. */
static bool add_overlapping(struct stream *s, const struct mark *m, struct stream_place *place)
{
	uint64_t at = m->pos, past = mark_past(m);
	struct mark old = *m;
	uint32_t i = find_piece(s, at);

	old.len = 0;
	while (at < past) {
		const struct mark *piece =
			i < s->pieces.count ? mark_list_get(&s->pieces, i) : NULL;
		struct mark gap = *m;
		uint64_t until;

		if (piece != NULL && piece->pos <= at) {
			until = MIN(past, mark_past(piece));
			place->old_bytes += (uint32_t)(until - at);
			old.len += (uint32_t)(until - at);
		} else {
			until = piece != NULL ? MIN(past, piece->pos) : past;
			gap.pos = at;
			gap.len = (uint32_t)(until - at);
			if (!mark_list_insert(&s->pieces, i, &gap) || !add_repeat(s, &old))
				return false;
			place->new_bytes += gap.len;
			old.pos = until;
			old.len = 0;
		}
		at = until;
		i++;
	}
	return add_repeat(s, &old);
}

bool stream_add(struct stream *s, uint32_t frame, uint64_t ts_ns, uint32_t seq, uint32_t len,
		struct stream_place *place)
{
	struct mark m = {.ts_ns = ts_ns, .frame = frame};
	uint64_t past, seen;
	bool kept;

	set_base(s, seq);
	m.pos = pos_of_seq(s, seq, near_pos(s));
	past = MAX(m.pos + len, s->zero_pos);
	m.pos = MAX(m.pos, s->zero_pos);
	*place = (struct stream_place){.known = s->anchored};
	if (s->anchored)
		place->off = m.pos - s->zero_pos;
	if (past == m.pos || is_probe(s, m.pos, past))
		return true;
	if (past > s->fin_pos)
		s->fin_known = false; /* the FIN was none of this stream */
	seen = MIN(past, MAX(m.pos, s->floor_pos));
	place->old_bytes = (uint32_t)(seen - m.pos);
	m.pos = seen;
	m.len = (uint32_t)(past - seen);
	if (m.pos >= s->end_pos && m.len > 0) {
		kept = mark_list_insert(&s->pieces, s->pieces.count, &m);
		place->new_bytes = kept ? m.len : 0;
	} else {
		kept = add_overlapping(s, &m, place);
	}
	s->end_pos = MAX(s->end_pos, past);
	shed_unplaced(s, &s->pieces);
	return kept;
}

void stream_locate(const struct stream *s, uint32_t seq, struct stream_place *place)
{
	*place = (struct stream_place){.known = s->anchored};
	if (s->anchored)
		place->off = MAX(pos_of_seq(s, seq, near_pos(s)), s->zero_pos) - s->zero_pos;
}

bool stream_ack(struct stream *s, uint32_t frame, uint64_t ts_ns, uint32_t ack, uint64_t *from,
		uint64_t *past)
{
	struct mark m = {.ts_ns = ts_ns, .frame = frame};

	*from = 0;
	*past = 0;
	set_base(s, ack);
	m.pos = pos_of_seq(s, ack, near_pos(s));
	if (s->fin_known && m.pos > s->fin_pos)
		m.pos = s->fin_pos;
	if (s->acked_known && m.pos <= s->acked_pos)
		return true;
	if (!mark_list_insert(&s->acks, s->acks.count, &m))
		return false;
	if (s->anchored && s->acked_known) {
		*from = s->acked_pos - s->zero_pos;
		*past = m.pos - s->zero_pos;
	}
	if (!s->acked_known)
		s->first_ack_pos = m.pos;
	s->acked_known = true;
	s->acked_pos = m.pos;
	shed_unplaced(s, &s->acks);
	return true;
}

/* An ACK of the FIN that came before it has counted one byte too many. */
void stream_fin(struct stream *s, uint32_t seq)
{
	uint64_t pos;
	struct mark *last;

	set_base(s, seq);
	pos = pos_of_seq(s, seq, near_pos(s));
	if (s->fin_known || pos < s->end_pos || (s->acked_known && pos + 1 < s->acked_pos))
		return;
	s->fin_known = true;
	s->fin_pos = pos;
	if (!s->acked_known || s->acked_pos <= pos)
		return;
	s->acked_pos = pos;
	if (s->acks.count == 0)
		return;
	last = mark_list_get(&s->acks, s->acks.count - 1);
	if (s->acks.count > 1 ? (last - 1)->pos >= pos : s->anchored && s->zero_pos >= pos)
		mark_list_drop_last(&s->acks);
	else
		last->pos = pos;
}

bool stream_note(struct stream *s, uint32_t seq, const struct note *note)
{
	struct note n = *note;

	set_base(s, seq);
	n.pos = pos_of_seq(s, seq, near_pos(s));
	return n.pos < s->floor_pos || notes_add(&s->notes, &n);
}

bool stream_has_notes(const struct stream *s)
{
	return s->notes.count > 0;
}

void stream_tally(const struct stream *s, const struct byte_range *range, uint64_t from_ns,
		  uint64_t until_ns, struct tally *t)
{
	if (stream_anchored_at(s, until_ns))
		notes_tally(&s->notes, range->first + s->zero_pos, range->past + s->zero_pos,
			    from_ns, until_ns, t);
}

/*
 * When bytes that were sent again at again_ns had been missed first: when they were carried before,
 * or, if that was not captured, when the bytes behind them were. 0: nothing tells.
 */
static uint64_t missed_since(const struct stream *s, uint64_t pos, uint64_t past, uint64_t again_ns)
{
	uint64_t since_ns = 0;

	for (uint32_t i = find_piece(s, pos); i < s->pieces.count; i++) {
		const struct mark *m = mark_list_get(&s->pieces, i);

		if (m->ts_ns < again_ns && (since_ns == 0 || m->ts_ns < since_ns))
			since_ns = m->ts_ns;
		if (m->pos >= past || (mark_past(m) >= past && since_ns != 0))
			break;
	}
	return since_ns;
}

/* When the byte was carried after after_ns; 0: it was not up to until_ns. */
static uint64_t carried_after(const struct stream *s, uint64_t pos, uint64_t after_ns,
			      uint64_t until_ns)
{
	uint32_t i = find_piece(s, pos);
	const struct mark *m = i < s->pieces.count ? mark_list_get(&s->pieces, i) : NULL;

	return m != NULL && m->pos <= pos && m->ts_ns > after_ns && m->ts_ns <= until_ns ? m->ts_ns
											 : 0;
}

static bool add_wait(const struct stream *s, const struct note *n, uint64_t opened_ns,
		     uint64_t until_ns, struct waits *out)
{
	uint64_t other_ns;

	if (n->label & LABEL_ZERO_WINDOW) {
		other_ns = carried_after(s, n->pos, n->ts_ns, until_ns);
		if (other_ns != 0 && !waits_add(out, WAIT_ZERO_WINDOW, n->ts_ns, other_ns))
			return false;
	}
	if ((n->label & (LABEL_RETRANSMISSION | LABEL_SPURIOUS)) != LABEL_RETRANSMISSION)
		return true;
	other_ns = missed_since(s, n->pos, n->pos + n->len, n->ts_ns);
	if (other_ns == 0 && n->pos == s->zero_pos)
		other_ns = opened_ns;
	return other_ns == 0 || waits_add(out, WAIT_RETRANSMISSION, other_ns, n->ts_ns);
}

bool stream_waits(const struct stream *s, const struct byte_range *range, uint64_t opened_ns,
		  uint64_t until_ns, struct waits *out)
{
	uint64_t first = range->first + s->zero_pos, past = range->past + s->zero_pos;
	bool kept = true;

	if (!stream_anchored_at(s, until_ns))
		return true;
	for (uint32_t i = notes_find(&s->notes, first); i < s->notes.count; i++) {
		const struct note *n = notes_get(&s->notes, i);

		if (n->pos >= past)
			break;
		if (n->pos + n->len > first && n->ts_ns <= until_ns)
			kept &= add_wait(s, n, opened_ns, until_ns, out);
	}
	return kept;
}

bool stream_has_sent(const struct stream *s, uint32_t ack)
{
	return s->based && pos_of_seq(s, ack, near_pos(s)) <= s->end_pos + s->fin_known;
}

static void query_carried(const struct stream *s, uint64_t first, uint64_t past, uint64_t until_ns,
			  struct stream_range *out)
{
	for (uint32_t i = find_piece(s, first); i < s->pieces.count; i++) {
		const struct mark *m = mark_list_get(&s->pieces, i);

		if (m->pos >= past)
			break;
		if (m->ts_ns > until_ns)
			continue;
		out->missing_bytes -= MIN(past, mark_past(m)) - MAX(first, m->pos);
		out->known &= frame_list_add(&out->carried, m->frame);
		if (out->begun_ns == 0 || m->ts_ns < out->begun_ns)
			out->begun_ns = m->ts_ns;
		if (m->pos <= first) {
			out->first_frame = m->frame;
			out->first_ns = m->ts_ns;
		}
		if (mark_past(m) >= past) {
			out->last_frame = m->frame;
			out->last_ns = m->ts_ns;
		}
	}
}

static void query_repeated(const struct stream *s, uint64_t first, uint64_t past, uint64_t until_ns,
			   struct stream_range *out)
{
	if (s->repeats.count == 0)
		return;
	for (uint32_t i = find_repeat(s, first); i < s->repeats.count; i++) {
		const struct mark *m = mark_list_get(&s->repeats, i);
		uint64_t from = MAX(first, m->pos), to = MIN(past, mark_past(m));

		if (m->pos >= past)
			break;
		if (from >= to || m->ts_ns > until_ns)
			continue;
		out->repeated_bytes += to - from;
		out->known &= frame_list_add(&out->repeated, m->frame);
	}
}

/* The first ACK that covers [0, past), or NULL. */
static const struct mark *find_ack(const struct stream *s, uint64_t past)
{
	uint32_t i = mark_list_find(&s->acks, past);

	return i < s->acks.count ? mark_list_get(&s->acks, i) : NULL;
}

/*
 * The capture began in the middle: what the first ACK in it covers may have been acknowledged
 * before, unless the last byte was seen.
 */
static bool is_first_ack(const struct stream *s, uint64_t past, const struct stream_range *r)
{
	return !s->late || past > s->first_ack_pos || r->last_frame != 0;
}

void stream_query(const struct stream *s, const struct byte_range *range, uint64_t until_ns,
		  struct stream_range *out)
{
	uint64_t first = range->first + s->zero_pos, past = range->past + s->zero_pos;
	const struct mark *ack;

	if (!stream_anchored_at(s, until_ns) || first < s->shed_pos)
		return;
	out->known = true;
	if (range->past <= range->first)
		return;
	out->missing_bytes = past - first;
	query_carried(s, first, past, until_ns, out);
	query_repeated(s, first, past, until_ns, out);
	ack = find_ack(s, past);
	if (ack != NULL && ack->ts_ns <= until_ns && is_first_ack(s, past, out)) {
		out->acked_frame = ack->frame;
		out->acked_ns = ack->ts_ns;
	}
	if (!out->known) /* no memory for the lists: nothing is claimed */
		stream_range_reset(out);
}

void stream_range_reset(struct stream_range *r)
{
	r->carried.count = r->repeated.count = 0;
	*r = (struct stream_range){.carried = r->carried, .repeated = r->repeated};
}

void stream_range_fini(struct stream_range *r)
{
	frame_list_fini(&r->carried);
	frame_list_fini(&r->repeated);
}

uint64_t stream_acked_ns(const struct stream *s, uint64_t past)
{
	const struct mark *ack =
		s->zero_pos != 0 && past > 0 ? find_ack(s, past + s->zero_pos) : NULL;

	return ack != NULL ? ack->ts_ns : 0;
}

uint64_t stream_end_off(const struct stream *s)
{
	return s->zero_pos != 0 ? s->end_pos - s->zero_pos : 0;
}

void stream_fetch(const struct stream *s)
{
	if (s->pieces.count > 0)
		__builtin_prefetch(mark_list_get(&s->pieces, 0));
	if (s->acks.count > 0)
		__builtin_prefetch(mark_list_get(&s->acks, 0));
}

/* The ACK that stands at off may still be the first to cover what ends there. */
void stream_forget(struct stream *s, uint64_t off)
{
	if (s->zero_pos == 0 || off + s->zero_pos <= s->floor_pos)
		return;
	s->floor_pos = off + s->zero_pos;
	drop_below(s, s->floor_pos, s->floor_pos);
}

bool frame_list_add(struct frame_list *l, uint32_t frame)
{
	uint32_t i = l->count;

	if (l->count == l->cap) {
		uint32_t cap = l->cap == 0 ? 8 : l->cap * 2;
		uint32_t *frames = realloc(l->frames, (size_t)cap * sizeof(*frames));

		if (frames == NULL)
			return false;
		l->frames = frames;
		l->cap = cap;
	}
	while (i > 0 && l->frames[i - 1] > frame)
		i--;
	if (i > 0 && l->frames[i - 1] == frame)
		return true;
	memmove(l->frames + i + 1, l->frames + i, (l->count - i) * sizeof(*l->frames));
	l->frames[i] = frame;
	l->count++;
	return true;
}

void frame_list_fini(struct frame_list *l)
{
	free(l->frames);
	*l = (struct frame_list){0};
}
