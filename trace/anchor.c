/*
 * anchor.c -- positions wait for the packets that prove them.
 *
 * A position says where the kernel stood at one moment, in offsets; packets say where it stood
 * before and after that moment, in sequence numbers. Only what both sides pin down is believed.
 * Never looks at a clock: stamps are compared with stamps.
 *
 * Invariant: of the packets that the ring does not hold any more only the highest numbers are kept
 * (gone); they are all stamped up to gone_ns. Stamps in the ring do not descend.
 */
#include "trace/anchor.h"

#include <stdlib.h>

#include "trace/packet.h"
#include "trace/seqnum.h"

#define RING      32U
#define QUESTIONS 4U

/* The highest sequence number of a kind, if one was seen. */
struct top {
	bool known;
	uint32_t seq;
};

struct tops {
	struct top our_end; /* past our data */
	struct top our_ack;
	struct top peer_end;
	struct top peer_ack;
};

/* A position, and what the packets have said to it so far. */
struct question {
	struct anchor_position at;
	bool is_ready;       /* packets up to after_ns have been looked at: what follows is valid */
	bool is_quiet;       /* none is stamped in the margin before it, or within it */
	bool is_ahead;       /* bytes beyond our_ack were captured up to after_ns */
	struct top our_ack;  /* of packets stamped before it */
	struct top peer_ack; /* of packets stamped up to after_ns */
	struct tops tops;    /* of all packets before number `next` */
	uint32_t next;
	bool has_first;
	bool is_doubtful;           /* first may be a repetition, or not the first byte */
	struct anchor_packet first; /* the peer's first data after it */
};

enum way_state {
	WAY_UNKNOWN,
	WAY_FOUND,
	WAY_SURE, /* by a SYN, or by two positions that agree */
	WAY_WITHDRAWN,
};

struct way {
	enum way_state state;
	struct anchor_point at;
};

struct anchor {
	uint64_t watched_ns;
	uint64_t newest_ns;
	uint64_t gone_ns; /* 0: nothing is gone */
	struct tops gone;
	uint32_t oldest; /* numbers of packets in the ring: [oldest, count) */
	uint32_t count;
	unsigned question_count;
	struct question questions[QUESTIONS];
	struct way ways[ANCHOR_WAYS];
	struct anchor_packet ring[RING];
};

struct anchor *anchor_new(uint64_t watched_ns)
{
	struct anchor *a = calloc(1, sizeof(*a));

	if (a != NULL)
		a->watched_ns = watched_ns;
	return a;
}

void anchor_free(struct anchor *a)
{
	free(a);
}

void anchor_know(struct anchor *a, enum anchor_way way)
{
	a->ways[way].state = WAY_SURE;
}

bool anchor_is_done(const struct anchor *a)
{
	for (unsigned w = 0; w < ANCHOR_WAYS; w++)
		if (a->ways[w].state != WAY_SURE && a->ways[w].state != WAY_WITHDRAWN)
			return false;
	return true;
}

/* ---- numbers --------------------------------------------------------------------------------- */

static void raise_top(struct top *t, uint32_t seq)
{
	if (t->known && !seq_after(seq, t->seq))
		return;
	t->known = true;
	t->seq = seq;
}

/* Data or the end of it: what takes sequence numbers. */
static uint32_t span_of(const struct anchor_packet *p)
{
	return p->len + ((p->flags & TCP_FIN) != 0);
}

static void add_to_tops(struct tops *t, const struct anchor_packet *p)
{
	if (span_of(p) > 0)
		raise_top(p->is_ours ? &t->our_end : &t->peer_end, p->seq + span_of(p));
	if (p->flags & TCP_ACK)
		raise_top(p->is_ours ? &t->our_ack : &t->peer_ack, p->ack);
}

/* ---- what was found -------------------------------------------------------------------------- */

static void tell(struct anchor *a, enum anchor_way way, uint32_t seq, uint64_t off,
		 struct anchor_news *news)
{
	struct way *w = &a->ways[way];
	struct anchor_point at = {.seq = seq, .off = off};

	if (w->state == WAY_UNKNOWN) {
		w->state = WAY_FOUND;
		w->at = at;
		news->change[way] = ANCHOR_FOUND;
		news->at[way] = at;
	} else if (w->state == WAY_FOUND &&
		   seq - (uint32_t)off != w->at.seq - (uint32_t)w->at.off) {
		w->state = WAY_WITHDRAWN;
		/* What is found and withdrawn at once was never told. */
		news->change[way] =
			news->change[way] == ANCHOR_FOUND ? ANCHOR_NOTHING : ANCHOR_WITHDRAWN;
	} else if (w->state == WAY_FOUND && off != w->at.off) {
		w->state = WAY_SURE;
	}
}

/* ---- before and within the position ---------------------------------------------------------- */

static bool is_in_margin(const struct question *q, uint64_t ts_ns)
{
	return ts_ns + ANCHOR_MARGIN_NS >= q->at.before_ns;
}

/*
 * All packets stamped up to after_ns are known now. False: some are gone that would have to be
 * looked at.
 */
static bool make_ready(const struct anchor *a, struct question *q)
{
	q->is_ready = true;
	if (a->gone_ns >= q->at.before_ns)
		return false;
	q->tops = a->gone;
	q->our_ack = a->gone.our_ack;
	q->is_quiet = !is_in_margin(q, a->watched_ns) && !is_in_margin(q, a->gone_ns);
	for (q->next = a->oldest; q->next < a->count; q->next++) {
		const struct anchor_packet *p = &a->ring[q->next % RING];

		if (p->ts_ns > q->at.after_ns)
			break;
		if (is_in_margin(q, p->ts_ns))
			q->is_quiet = false;
		if (p->is_ours && (p->flags & TCP_ACK) && p->ts_ns < q->at.before_ns)
			raise_top(&q->our_ack, p->ack);
		add_to_tops(&q->tops, p);
	}
	q->peer_ack = q->tops.peer_ack;
	q->is_ahead = q->our_ack.known && q->tops.peer_end.known &&
		      seq_after(q->tops.peer_end.seq, q->our_ack.seq);
	return true;
}

/* ---- after it -------------------------------------------------------------------------------- */

static bool was_read(const struct question *q)
{
	return q->at.inq == 0 && q->at.drained;
}

/* Has this number been acknowledged before t0, and nothing beyond it come up to t1? */
static bool is_reached(const struct question *q, uint32_t seq)
{
	return q->our_ack.known && !q->is_ahead && q->our_ack.seq == seq;
}

static void look_at_peers(struct anchor *a, struct question *q, const struct anchor_packet *p,
			  struct anchor_news *news)
{
	if (span_of(p) == 0)
		return;
	if (q->has_first) {
		if (seq_before(p->seq, q->first.seq))
			q->is_doubtful = true;
		return;
	}
	q->has_first = true;
	q->first = *p;
	/* One byte may be a keep-alive's, from before the place where the peer stands. */
	q->is_doubtful = p->len < 2;
	if (was_read(q) && is_reached(q, p->seq))
		tell(a, ANCHOR_PEERS, p->seq, q->at.read_off, news);
}

/* An ACK of ours below the first data of the peer, or a second copy told of: not the next byte. */
static void look_at_our_ack(struct question *q, const struct anchor_packet *p)
{
	if (q->has_first && (p->is_dsack || seq_before(p->ack, q->first.seq)))
		q->is_doubtful = true;
}

/* Is d the first packet that was made after the position, and does S stand at its seq? */
static bool proves_sent(const struct question *q, const struct anchor_packet *d)
{
	if (q->tops.our_end.known && seq_before(d->seq, q->tops.our_end.seq))
		return false;
	if (q->tops.peer_ack.known && seq_before(d->seq, q->tops.peer_ack.seq))
		return false;
	if (q->at.outq == 0)
		return true;
	return q->peer_ack.known && d->seq == q->peer_ack.seq + q->at.outq;
}

/* The seq of R, when the connection was quiet around the position. */
static bool find_quiet(const struct question *q, const struct anchor_packet *d, uint32_t *seq)
{
	*seq = q->has_first ? q->first.seq : d->ack;
	if (!q->is_quiet || (q->our_ack.known && q->our_ack.seq != *seq))
		return false;
	if (!q->has_first)
		return true;
	return !q->is_doubtful && q->at.outq == 0 && q->first.ack == d->seq &&
	       !seq_before(d->ack, q->first.seq + q->first.len);
}

static void decide(struct anchor *a, const struct question *q, const struct anchor_packet *d,
		   struct anchor_news *news)
{
	uint32_t seq;

	if (!proves_sent(q, d))
		return;
	tell(a, ANCHOR_OURS, d->seq, q->at.sent_off, news);
	if (!was_read(q) || !(d->flags & TCP_ACK))
		return;
	if (is_reached(q, d->ack))
		tell(a, ANCHOR_PEERS, d->ack, q->at.read_off, news);
	else if (find_quiet(q, d, &seq))
		tell(a, ANCHOR_PEERS, seq, q->at.read_off, news);
}

/* Look at all that has come. True: it has said what it can. */
static bool is_answered(struct anchor *a, struct question *q, struct anchor_news *news)
{
	if (a->newest_ns <= q->at.after_ns)
		return false;
	if (!q->is_ready && !make_ready(a, q))
		return true;
	for (; q->next < a->count; q->next++) {
		struct anchor_packet p = a->ring[q->next % RING];

		if (p.is_ours && p.len > 0) {
			if (q->has_first && p.is_dsack)
				q->is_doubtful = true;
			decide(a, q, &p, news);
			return true;
		}
		if (p.is_ours)
			look_at_our_ack(q, &p);
		else
			look_at_peers(a, q, &p, news);
		add_to_tops(&q->tops, &p);
	}
	return false;
}

static void answer(struct anchor *a, struct anchor_news *news)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < a->question_count; i++) {
		if (is_answered(a, &a->questions[i], news))
			continue;
		if (kept != i)
			a->questions[kept] = a->questions[i];
		kept++;
	}
	a->question_count = kept;
}

/* ---- what comes in --------------------------------------------------------------------------- */

void anchor_position(struct anchor *a, const struct anchor_position *p)
{
	if (p->before_ns <= a->watched_ns || p->after_ns < p->before_ns || anchor_is_done(a))
		return;
	if (a->question_count == QUESTIONS) {
		for (unsigned i = 1; i < QUESTIONS; i++)
			a->questions[i - 1] = a->questions[i];
		a->question_count--;
	}
	a->questions[a->question_count++] = (struct question){.at = *p};
}

void anchor_lost(struct anchor *a, uint64_t ns)
{
	a->watched_ns = MAX(a->watched_ns, ns);
	a->question_count = 0;
	a->oldest = a->count;
	a->gone = (struct tops){0};
	a->gone_ns = 0;
}

static void remember(struct anchor *a, const struct anchor_packet *p)
{
	if (a->count - a->oldest == RING) {
		const struct anchor_packet *old = &a->ring[a->oldest % RING];

		add_to_tops(&a->gone, old);
		a->gone_ns = old->ts_ns;
		a->oldest++;
	}
	a->ring[a->count % RING] = *p;
	a->count++;
	a->newest_ns = p->ts_ns;
}

bool anchor_packet(struct anchor *a, const struct anchor_packet *p, struct anchor_news *news)
{
	*news = (struct anchor_news){0};
	if (p->flags & (TCP_SYN | TCP_RST))
		return false;
	/* Out of order: what was said of the packets before it may have been wrong. */
	if (p->ts_ns < a->newest_ns)
		anchor_lost(a, a->newest_ns);
	else
		remember(a, p);
	answer(a, news);
	return news->change[ANCHOR_OURS] != ANCHOR_NOTHING ||
	       news->change[ANCHOR_PEERS] != ANCHOR_NOTHING;
}
