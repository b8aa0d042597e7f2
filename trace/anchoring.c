/*
 * anchoring.c -- which positions are asked for, when, and whose flow they are for.
 *
 * Decides nothing about sequence numbers: that is anchor.c's. Asks for all positions when it is told
 * of connections older than the tap, again when the captures are old enough for the rule that needs
 * a quiet time, and after packets were lost; and for single ones while they have traffic and their
 * last position did not help.
 *
 * Invariant: c->unanchored is the entry whose conn is c, and stands in `idle` or `busy`.
 */
#include "trace/anchoring.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "trace/seqnum.h"

#define IFACES_MAX   64U
#define QUIET_NS     (ANCHOR_MARGIN_NS + 10 * NS_PER_MS)
#define ASK_AGAIN_NS (200 * NS_PER_MS)
#define KEPT_MAX     4U
#define ALL_AGAIN_NS NS_PER_S

struct unanchored {
	TAILQ_ENTRY(unanchored) link;
	struct conn *conn;
	struct anchor *anchor; /* NULL: no packet of it yet */
	const struct track *track;
	unsigned our_side;
	uint64_t lost_ns; /* the anchor knows of losses up to here */
	uint64_t told_ns; /* of its newest position */
	bool is_busy;
	uint8_t kept_count;
	struct anchor_position kept[KEPT_MAX]; /* while there is no anchor: the newest ones */
};

TAILQ_HEAD(unanchored_list, unanchored);

struct anchoring {
	struct anchoring_calls calls;
	uint64_t watched_ns;
	uint64_t lost_ns[IFACES_MAX];
	struct unanchored_list idle;
	struct unanchored_list busy; /* had packets since they were asked for */
	uint64_t ask_all_ns;         /* when all are to be asked for; 0: not at all */
	uint64_t ask_all_then_ns;    /* and when afterwards */
	uint64_t asked_all_ns;
	uint64_t asked_ns; /* single ones */
};

struct anchoring *anchoring_new(const struct anchoring_calls *calls, uint64_t watched_ns)
{
	struct anchoring *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return NULL;
	g->calls = *calls;
	g->watched_ns = watched_ns;
	TAILQ_INIT(&g->idle);
	TAILQ_INIT(&g->busy);
	return g;
}

static void free_all(struct unanchored_list *list)
{
	struct unanchored *u;

	while ((u = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, u, link);
		anchor_free(u->anchor);
		free(u);
	}
}

/* The connections may be gone by now. */
void anchoring_free(struct anchoring *g)
{
	if (g == NULL)
		return;
	free_all(&g->idle);
	free_all(&g->busy);
	free(g);
}

/* ---- entries --------------------------------------------------------------------------------- */

static void set_busy(struct anchoring *g, struct unanchored *u, bool is_busy)
{
	if (u->is_busy == is_busy)
		return;
	TAILQ_REMOVE(u->is_busy ? &g->busy : &g->idle, u, link);
	TAILQ_INSERT_TAIL(is_busy ? &g->busy : &g->idle, u, link);
	u->is_busy = is_busy;
}

/* Without the memory it stays as unknown as it is. */
static struct unanchored *entry_of(struct anchoring *g, struct conn *c)
{
	struct unanchored *u = c->unanchored;

	if (u != NULL)
		return u;
	u = calloc(1, sizeof(*u));
	if (u == NULL)
		return NULL;
	u->conn = c;
	c->unanchored = u;
	TAILQ_INSERT_TAIL(&g->idle, u, link);
	return u;
}

void anchoring_forget(struct anchoring *g, struct conn *c)
{
	struct unanchored *u = c->unanchored;

	if (u == NULL)
		return;
	TAILQ_REMOVE(u->is_busy ? &g->busy : &g->idle, u, link);
	c->unanchored = NULL;
	anchor_free(u->anchor);
	free(u);
}

static void finish(struct anchoring *g, struct conn *c)
{
	anchoring_forget(g, c);
	g->calls.anchored(g->calls.arg, c->worker, c->number);
}

/* ---- asking ---------------------------------------------------------------------------------- */

void anchoring_open(struct anchoring *g, struct conn *c, uint16_t worker, bool is_live)
{
	c->worker = worker;
	if (!is_live || entry_of(g, c) == NULL || g->ask_all_ns != 0 || g->asked_all_ns != 0)
		return;
	g->ask_all_ns = g->watched_ns;
	g->ask_all_then_ns = g->watched_ns + QUIET_NS;
}

void anchoring_lost(struct anchoring *g, uint32_t iface, uint64_t ns)
{
	g->lost_ns[iface % IFACES_MAX] = ns;
	if (TAILQ_EMPTY(&g->idle) && TAILQ_EMPTY(&g->busy))
		return;
	g->ask_all_ns = MAX(ns + QUIET_NS, g->asked_all_ns + ALL_AGAIN_NS);
	g->ask_all_then_ns = 0;
}

static void ask_single(struct anchoring *g, uint64_t now_ns)
{
	struct unanchored *u;

	g->asked_ns = now_ns;
	while ((u = TAILQ_FIRST(&g->busy)) != NULL) {
		set_busy(g, u, false);
		if (u->told_ns + ASK_AGAIN_NS <= now_ns)
			g->calls.ask(g->calls.arg, u->conn->worker, u->conn->number);
	}
}

void anchoring_run(struct anchoring *g, uint64_t now_ns)
{
	if (g->ask_all_ns != 0 && g->ask_all_ns <= now_ns) {
		g->ask_all_ns = g->ask_all_then_ns;
		g->ask_all_then_ns = 0;
		g->asked_all_ns = now_ns;
		g->calls.ask(g->calls.arg, 0, 0);
	}
	if (!TAILQ_EMPTY(&g->busy) && g->asked_ns + ASK_AGAIN_NS <= now_ns)
		ask_single(g, now_ns);
}

bool anchoring_is_waiting(const struct anchoring *g)
{
	return g->ask_all_ns != 0;
}

/* ---- positions ------------------------------------------------------------------------------- */

static bool is_known_by_syn(const struct flow *f, unsigned side)
{
	return stream_anchored(f->side[side].stream) && !stream_is_late(f->side[side].stream);
}

static bool is_whole(const struct flow *f)
{
	return is_known_by_syn(f, 0) && is_known_by_syn(f, 1);
}

/*
 * Packets are seen later than positions, by which time some exchanges may be over: the position
 * before the first of them is worth most. Of an idle connection the newest stands for all.
 */
static void keep(struct unanchored *u, const struct anchor_position *p)
{
	const struct anchor_position *last = u->kept_count > 0 ? &u->kept[u->kept_count - 1] : NULL;

	if (last != NULL && last->sent_off == p->sent_off && last->read_off == p->read_off) {
		u->kept_count--;
	} else if (u->kept_count == KEPT_MAX) {
		memmove(u->kept, u->kept + 1, (KEPT_MAX - 1) * sizeof(u->kept[0]));
		u->kept_count--;
	}
	u->kept[u->kept_count++] = *p;
}

void anchoring_position(struct anchoring *g, struct conn *c, const struct tap_position *p)
{
	struct unanchored *u = c->unanchored;
	const struct anchor_position at = {
		.before_ns = p->before_real_ns,
		.after_ns = p->after_real_ns,
		.sent_off = p->sent_off,
		.read_off = p->read_off,
		.inq = p->inq,
		.outq = p->outq,
		.drained = p->drained != 0,
	};

	if (u == NULL || (c->track != NULL && is_whole(c->track->flow))) {
		finish(g, c);
		return;
	}
	u->told_ns = at.before_ns;
	if (u->anchor != NULL) {
		anchor_position(u->anchor, &at);
		return;
	}
	keep(u, &at);
}

/* ---- packets --------------------------------------------------------------------------------- */

/*
 * The entry begins to follow this flow. What came of it before was not looked at: when this is not
 * its first segment, only positions from now on are of use.
 */
static bool follow(struct anchoring *g, struct unanchored *u, struct track *t,
		   const struct segment *seg, bool is_first)
{
	const struct flow *f = t->flow;

	anchor_free(u->anchor);
	u->anchor = anchor_new(is_first ? g->watched_ns : seg->ts_ns);
	if (u->anchor == NULL)
		return false;
	u->track = t;
	u->our_side = track_our_side(t, u->conn);
	u->lost_ns = 0;
	t->anchoring = TRACK_ANCHORING;
	if (is_known_by_syn(f, u->our_side))
		anchor_know(u->anchor, ANCHOR_OURS);
	if (is_known_by_syn(f, 1 - u->our_side))
		anchor_know(u->anchor, ANCHOR_PEERS);
	for (unsigned i = 0; i < u->kept_count; i++)
		anchor_position(u->anchor, &u->kept[i]);
	u->kept_count = 0;
	return true;
}

static void note_losses(const struct anchoring *g, struct unanchored *u, const struct track *t,
			uint32_t iface)
{
	uint64_t lost_ns = g->lost_ns[iface % IFACES_MAX];

	for (uint32_t i = 0; i < t->iface_count; i++)
		lost_ns = MAX(lost_ns, g->lost_ns[t->iface[i].iface % IFACES_MAX]);
	if (lost_ns <= u->lost_ns)
		return;
	u->lost_ns = lost_ns;
	anchor_lost(u->anchor, lost_ns);
}

/* The first block of a D-SACK stands below the ACK (RFC 2883 section 4). */
static bool is_dsack(const struct segment *seg)
{
	return seg->sack_count > 0 && seq_before(seg->sack[0].left, seg->ack);
}

static void note_news(const struct anchor_news *news, unsigned our_side, unsigned from,
		      struct anchor_note *note)
{
	*note = (struct anchor_note){0};
	for (unsigned way = 0; way < ANCHOR_WAYS; way++) {
		unsigned side = way == ANCHOR_OURS ? our_side : 1 - our_side;
		enum anchor_note_end end = side == from ? NOTE_SENDER : NOTE_RECEIVER;

		note->change[end] = news->change[way];
		note->at[end] = news->at[way];
	}
}

void anchoring_apply(const struct anchor_note *note, struct flow *f, unsigned from, uint64_t ts_ns)
{
	for (unsigned end = 0; end < NOTE_ENDS; end++) {
		struct stream *s = f->side[end == NOTE_SENDER ? from : 1 - from].stream;

		if (note->change[end] == ANCHOR_FOUND)
			stream_anchor_at(s, note->at[end].seq, note->at[end].off, ts_ns);
		else if (note->change[end] == ANCHOR_WITHDRAWN)
			stream_unanchor(s, ts_ns);
	}
}

/* The connection that the flow is, when it is named and not known as a whole. */
static struct unanchored *entry_for(struct anchoring *g, struct track *t)
{
	struct conn *c = t->conn[t->conn[TAP_CLIENT] != NULL ? TAP_CLIENT : TAP_BACKEND];

	if (c == NULL)
		return NULL;
	if (is_whole(t->flow)) {
		t->anchoring = TRACK_ANCHORING_OVER;
		return NULL;
	}
	return entry_of(g, c);
}

bool anchoring_segment(struct anchoring *g, struct track *t, const struct segment *seg,
		       const struct flow_place *place, struct anchor_note *note)
{
	struct unanchored *u = entry_for(g, t);
	const struct anchor_packet p = {.ts_ns = seg->ts_ns,
					.seq = seg->seq,
					.ack = seg->ack,
					.len = seg->payload_len,
					.flags = seg->flags,
					.is_ours = u != NULL &&
						   place->from == track_our_side(t, u->conn),
					.is_dsack = is_dsack(seg)};
	struct anchor_news news;
	bool any;

	if (u == NULL)
		return false;
	if ((u->anchor == NULL || u->track != t || place->fresh) &&
	    !follow(g, u, t, seg, place->fresh))
		return false;
	note_losses(g, u, t, seg->iface);
	set_busy(g, u, true);
	any = anchor_packet(u->anchor, &p, &news);
	if (any) {
		note_news(&news, u->our_side, place->from, note);
		anchoring_apply(note, t->flow, place->from, seg->ts_ns);
	}
	if (anchor_is_done(u->anchor)) {
		t->anchoring = TRACK_ANCHORING_OVER;
		finish(g, u->conn);
	}
	return any;
}
