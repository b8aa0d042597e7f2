/*
 * label.c -- names what a segment is.
 *
 * "f" is the side that sent it, "r" the other. What caused a retransmission stands nowhere on the
 * wire: it is concluded from what the sender had been told before (duplicate ACKs, SACK) and from
 * the silence before it; what cannot be told gets no such word. Keeps no payload, asks no clock.
 *
 * Invariant: a copy or a duplicate changes nothing.
 */
#include "trace/label.h"

#include <stdlib.h>

#include "trace/seqnum.h"

#define DUP_ACKS_LOSS 3                 /* RFC 5681 */
#define RTO_MIN_NS    (200 * NS_PER_MS) /* no stack's timer is shorter by much */
#define PROBE_MIN_NS  (2 * NS_PER_MS)   /* before a tail-loss probe, when no round trip is known */
#define IP_IDS_NEAR   4096 /* ids of one connection that were given one after another */

struct facts {
	struct label *l;
	struct label_side *f, *r;
	const struct segment *seg;
	const struct label_facts *map;
	uint32_t len;
	uint32_t end;
	bool takes_numbers; /* payload, SYN or FIN */
};

static const struct {
	const char *word, *meaning;
} words[LABEL_COUNT] = {
#define LABEL_WORD(name, word, meaning) {word, meaning},
	LABELS(LABEL_WORD)
#undef LABEL_WORD
};

const char *label_word(unsigned index)
{
	return words[index].word;
}

const char *label_meaning(unsigned index)
{
	return words[index].meaning;
}

void label_fini(struct label *l)
{
	for (unsigned i = 0; i < 2; i++) {
		free(l->side[i].sacks);
		l->side[i].sacks = NULL;
	}
}

void label_resume(struct label *l, unsigned from, uint32_t next, uint32_t acked)
{
	struct label_side *f = &l->side[from];

	f->has_next = true;
	f->next = next;
	f->has_acked = true;
	f->acked = acked;
}

/* ---- why was it sent again? ------------------------------------------------------------------ */

/* The peer has told that something is missing which this segment carries. */
static bool is_asked_for(const struct facts *x)
{
	const struct label_side *r = x->r;

	if (sacks_above(r->sacks, x->end) || x->f->recovers)
		return true;
	return r->has_acked && r->dup_acks >= DUP_ACKS_LOSS && !seq_after(x->seg->seq, r->acked);
}

/* How long neither side had sent anything that could have caused it. */
static uint64_t silence_ns(const struct facts *x)
{
	uint64_t last_ns = MAX(x->f->sent_ns, x->r->last_ns);

	return x->seg->ts_ns > last_ns ? x->seg->ts_ns - last_ns : 0;
}

static bool is_tail(const struct facts *x)
{
	return x->end == x->f->next && (!x->r->has_acked || seq_after(x->end, x->r->acked));
}

static bool may_probe(const struct facts *x)
{
	return x->l->side[0].permits_sack && x->l->side[1].permits_sack && !x->f->has_probed &&
	       !(x->seg->flags & TCP_SYN);
}

static bool was_held(const struct facts *x)
{
	const struct label_side *r = x->r;

	if (x->map->new_bytes > 0 || !r->has_acked)
		return false;
	return !seq_after(x->end, r->acked) || sacks_hold(r->sacks, x->seg->seq, x->end);
}

static unsigned cause_of(const struct facts *x)
{
	struct label_side *f = x->f;
	uint64_t silent_ns = silence_ns(x), rtt_ns = x->l->rtt_ns;
	bool is_quiet = silent_ns >= MAX(RTO_MIN_NS, rtt_ns + rtt_ns / 2);
	bool is_asked = is_asked_for(x);

	if (is_asked && !is_quiet && !f->has_timed_out) {
		f->recovers = true;
		f->recover = f->next;
		return LABEL_FAST;
	}
	if (!is_asked && !f->has_timed_out && is_tail(x) && may_probe(x) &&
	    silent_ns >= MAX(rtt_ns, PROBE_MIN_NS)) {
		f->has_probed = true;
		return LABEL_TLP;
	}
	if (is_quiet && !f->has_timed_out) {
		f->has_timed_out = true;
		f->reloss = f->next;
	}
	return f->has_timed_out ? LABEL_RTO : 0;
}

static unsigned label_again(const struct facts *x)
{
	unsigned label = LABEL_RETRANSMISSION | cause_of(x);

	if (was_held(x))
		label |= LABEL_SPURIOUS;
	if (x->map->new_bytes > 0 && x->map->old_bytes > 0)
		label |= LABEL_PARTIAL;
	return label;
}

/*
 * Bytes that were not seen before, below others that were: were they overtaken, or sent again after
 * they were lost before the capture? The sender's own marks tell: timestamps, then the IP id; else
 * what it had been told, and the time.
 */
static bool was_sent_later(const struct facts *x)
{
	const struct label_side *f = x->f;
	int32_t ticks = f->has_ts && x->seg->has_ts ? seq_diff(x->seg->tsval, f->next_tsval) : 0;
	int16_t ids = (int16_t)(x->seg->ip_id - f->next_ip_id);

	if (ticks != 0)
		return ticks > 0;
	if (x->seg->ip_id != 0 && f->next_ip_id != 0 && ids > -IP_IDS_NEAR && ids < IP_IDS_NEAR)
		return ids > 0;
	if (x->seg->ts_ns <= f->next_ns)
		return false;
	return is_asked_for(x) && x->seg->ts_ns - f->next_ns >= MAX(x->l->rtt_ns, PROBE_MIN_NS);
}

/* ---- payload, SYN, FIN ----------------------------------------------------------------------- */

static bool faces_zero_window(const struct facts *x)
{
	return x->r->has_acked && x->r->window == 0;
}

/* One byte at the peer's zero window, or the last byte before it that it has acknowledged. */
static unsigned label_one_byte(const struct facts *x)
{
	const struct label_side *r = x->r;
	unsigned label = x->map->new_bytes > 0 ? LABEL_NEW : 0;

	if (x->len != 1 || !r->has_acked || (x->seg->flags & (TCP_SYN | TCP_FIN)))
		return 0;
	if (faces_zero_window(x) && x->seg->seq == r->acked)
		return label | LABEL_ZERO_WINDOW_PROBE;
	if (x->f->has_next && x->end == x->f->next && x->end == r->acked)
		return LABEL_KEEP_ALIVE;
	return 0;
}

static bool fills_window(const struct facts *x)
{
	const struct label_side *r = x->r;

	return x->len > 0 && x->map->new_bytes > 0 && r->has_acked && r->window > 0 &&
	       x->end == r->acked + r->window;
}

static unsigned label_numbers(const struct facts *x)
{
	const struct label_side *f = x->f;
	unsigned label = label_one_byte(x);
	bool is_old = x->map->old_bytes > 0;

	if (label != 0)
		return label;
	if (x->map->new_bytes > 0)
		label |= LABEL_NEW;
	else if (f->has_next && !seq_after(x->end, f->next))
		is_old = true;
	if (fills_window(x))
		label |= LABEL_WINDOW_FULL;
	if (!f->has_next)
		return label;
	if (is_old)
		return label | label_again(x);
	if (seq_after(x->seg->seq, f->next))
		return label | LABEL_GAP;
	if (seq_before(x->seg->seq, f->next))
		label |= was_sent_later(x) ? label_again(x) : LABEL_OUT_OF_ORDER;
	return label;
}

static void note_numbers(const struct facts *x)
{
	struct label_side *f = x->f;

	f->sent_ns = x->seg->ts_ns;
	if (f->has_next && !seq_after(x->end, f->next))
		return;
	f->has_next = true;
	f->next = x->end;
	f->next_ns = x->seg->ts_ns;
	f->has_ts = x->seg->has_ts;
	f->next_tsval = x->seg->tsval;
	f->next_ip_id = (uint16_t)x->seg->ip_id;
}

/* ---- ACKs ------------------------------------------------------------------------------------ */

/* RFC 2883: the first block tells of what lies below the ACK, or within the second. */
static bool tells_of_twice(const struct segment *seg)
{
	if (seg->sack_count == 0)
		return false;
	if (seq_before(seg->sack[0].left, seg->ack))
		return true;
	return seg->sack_count > 1 && !seq_before(seg->sack[0].left, seg->sack[1].left) &&
	       !seq_after(seg->sack[0].right, seg->sack[1].right);
}

/* True: they told something new. */
static bool note_sacks(const struct facts *x, bool is_twice)
{
	struct label_side *f = x->f;
	const struct segment *seg = x->seg;
	bool is_new = false;

	if (f->sacks == NULL)
		f->sacks = calloc(1, sizeof(*f->sacks));
	for (unsigned i = is_twice; i < seg->sack_count && f->sacks != NULL; i++)
		if (!seq_before(seg->sack[i].left, seg->ack))
			is_new |= sacks_add(f->sacks, seg->sack[i].left, seg->sack[i].right);
	return is_new;
}

/* It sends nothing and acknowledges no more than before. */
static unsigned label_same_ack(const struct facts *x, bool has_sacks)
{
	struct label_side *f = x->f;
	const struct label_side *r = x->r;
	bool is_outstanding = r->has_next && seq_after(r->next, x->seg->ack);
	bool is_same = x->map->window == f->window;

	if ((r->last & LABEL_ZERO_WINDOW_PROBE) && x->map->window == 0)
		return LABEL_ZERO_WINDOW_PROBE_ACK;
	if ((r->last & LABEL_KEEP_ALIVE) && is_same)
		return LABEL_KEEP_ALIVE_ACK;
	if (is_outstanding && (has_sacks || (is_same && x->map->window > 0))) {
		f->dup_acks++;
		return LABEL_DUP_ACK;
	}
	if (!is_same && x->map->window > 0)
		return LABEL_WINDOW_UPDATE;
	return LABEL_ACK;
}

static inline void note_progress(struct label_side *f, struct label_side *r, uint32_t ack)
{
	f->has_acked = true;
	f->acked = ack;
	f->dup_acks = 0;
	r->has_probed = false;
	if (f->sacks != NULL)
		sacks_drop(f->sacks, f->acked);
	if (r->recovers && !seq_before(f->acked, r->recover))
		r->recovers = false;
	if (r->has_timed_out && !seq_before(f->acked, r->reloss))
		r->has_timed_out = false;
}

/* A keep-alive or a probe of Linux: no payload, one before what is acknowledged. */
static unsigned label_one_before(const struct facts *x)
{
	const struct label_side *f = x->f, *r = x->r;
	uint32_t seq = x->seg->seq;

	if (!f->has_next || !r->has_acked || (seq != f->next - 1 && seq != r->acked - 1))
		return 0;
	return faces_zero_window(x) ? LABEL_ZERO_WINDOW_PROBE : LABEL_KEEP_ALIVE;
}

static unsigned label_ack(const struct facts *x)
{
	const struct segment *seg = x->seg;
	struct label_side *f = x->f;
	bool is_more = !f->has_acked || seq_after(seg->ack, f->acked);
	bool is_twice = tells_of_twice(seg), has_sacks = false;
	unsigned label = x->takes_numbers ? 0 : label_one_before(x);

	if (seg->sack_count > 0)
		has_sacks = note_sacks(x, is_twice);
	if (is_twice)
		label |= LABEL_D_SACK;
	if (x->r->has_next && seq_after(seg->ack, x->r->next))
		label |= LABEL_ACK_UNSEEN;
	if (x->map->window == 0 && !(seg->flags & TCP_SYN))
		label |= LABEL_ZERO_WINDOW;
	if (!x->takes_numbers && !(label & (LABEL_KEEP_ALIVE | LABEL_ZERO_WINDOW_PROBE)))
		label |=
			!is_more && seg->ack == f->acked ? label_same_ack(x, has_sacks) : LABEL_ACK;
	if (is_more)
		note_progress(f, x->r, seg->ack);
	f->window = x->map->window;
	return label;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void note_handshake(const struct facts *x, unsigned from)
{
	struct label *l = x->l;
	const struct segment *seg = x->seg;

	if (seg->flags & TCP_SYN) {
		x->f->permits_sack = seg->sack_permitted;
		if (!(seg->flags & TCP_ACK))
			l->syn_ns = seg->ts_ns;
	} else if (from == 0 && l->syn_ns != 0 && l->rtt_ns == 0 && seg->ts_ns > l->syn_ns) {
		l->rtt_ns = seg->ts_ns - l->syn_ns;
	}
}

/*
 * The next bytes, or an ACK of more, and nothing else: nearly all there is. What the long way would
 * find and keep of it, with fewer steps; 0: it is not that.
 */
static uint32_t label_plain(struct label_side *f, struct label_side *r, const struct segment *seg,
			    const struct label_facts *map)
{
	uint32_t len = seg->payload_len, end = seg->seq + len;
	bool is_more;

	if ((seg->flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK)) != TCP_ACK || !f->has_next ||
	    !f->has_acked || !r->has_next || seg->seq != f->next || map->window == 0 ||
	    seg->sack_count > 0 || map->is_copy || map->is_again)
		return 0;
	is_more = seq_after(seg->ack, f->acked);
	if (seq_after(seg->ack, r->next) || (r->has_acked && seq_after(r->acked, f->next)) ||
	    (len == 0 && !is_more) || len == 1)
		return 0;
	if (len > 0 && (map->new_bytes != len || (r->has_acked && end - r->acked >= r->window)))
		return 0;
	if (is_more)
		note_progress(f, r, seg->ack);
	f->window = map->window;
	f->last_ns = seg->ts_ns;
	if (len == 0)
		return f->last = LABEL_ACK;
	f->sent_ns = f->next_ns = seg->ts_ns;
	f->next = end;
	f->has_ts = seg->has_ts;
	f->next_tsval = seg->tsval;
	f->next_ip_id = (uint16_t)seg->ip_id;
	return f->last = LABEL_NEW;
}

uint32_t label_closely(struct label *l, const struct segment *seg, unsigned from,
		       const struct label_facts *map)
{
	struct facts x = {.l = l,
			  .f = &l->side[from],
			  .r = &l->side[1 - from],
			  .seg = seg,
			  .map = map,
			  .len = seg->payload_len,
			  .end = seg->seq + seg->payload_len + ((seg->flags & TCP_SYN) != 0) +
				 ((seg->flags & TCP_FIN) != 0)};
	uint32_t label = 0;

	if (map->is_copy)
		return LABEL_CAPTURE_DUPLICATE;
	if (seg->flags & TCP_RST)
		return LABEL_RST;
	if (map->is_again)
		return LABEL_DUPLICATE;
	if (seg->flags & TCP_SYN)
		label |= LABEL_SYN;
	if (seg->flags & TCP_FIN)
		label |= LABEL_FIN;
	x.takes_numbers = x.end != seg->seq;
	if (x.takes_numbers)
		label |= label_numbers(&x);
	if (seg->flags & TCP_ACK)
		label |= label_ack(&x);
	if (x.takes_numbers)
		note_numbers(&x);
	note_handshake(&x, from);
	x.f->last_ns = seg->ts_ns;
	x.f->last = label;
	return label;
}

uint32_t label_add(struct label *l, const struct segment *seg, unsigned from,
		   const struct label_facts *map)
{
	bool is_timed = l->rtt_ns != 0 || l->syn_ns == 0; /* else the handshake is going on */
	uint32_t label = is_timed ? label_plain(&l->side[from], &l->side[1 - from], seg, map) : 0;

	return label != 0 ? label : label_closely(l, seg, from, map);
}
