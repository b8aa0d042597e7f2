/*
 * http_pairs.c -- from segments to ordered bytes, direction by direction; gaps and time.
 *
 * What a message is, http_reader.c knows; which response answers which request, http_turns.c.
 *
 * Invariant: a track's `http` points to a connection in `all`, or is NULL; a connection stands in
 * `waiting` when bytes are missing that were acknowledged.
 */
#include "trace/http_pairs.h"

#include <assert.h>
#include <stdlib.h>

#include "common/http_observe.h"
#include "trace/http_conn.h"
#include "trace/http_tls.h"
#include "trace/seqnum.h"

struct http_pairs *http_pairs_new(const struct http_pairs_calls *calls)
{
	struct http_pairs *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->calls = *calls;
	TAILQ_INIT(&p->all);
	TAILQ_INIT(&p->waiting);
	return p;
}

/* ---- connections ----------------------------------------------------------------------------- */

/* How many bytes are kept for it, in the sum of all. */
static void count_kept(struct http_conn *c)
{
	uint64_t kept = c->dir[0].pieces.bytes + c->dir[1].pieces.bytes;

	c->pairs->kept_bytes += kept - c->counted_bytes;
	c->counted_bytes = kept;
}

static void stop_waiting(struct http_conn *c)
{
	if (c->is_waiting)
		TAILQ_REMOVE(&c->pairs->waiting, c, waiting);
	c->is_waiting = false;
}

static void free_conn(struct http_conn *c)
{
	struct http_exchange *e;

	stop_waiting(c);
	while ((e = TAILQ_FIRST(&c->open)) != NULL) {
		TAILQ_REMOVE(&c->open, e, link);
		free(e);
	}
	for (unsigned side = 0; side < 2; side++) {
		reassembly_fini(&c->dir[side].pieces);
		http_reader_fini(&c->dir[side].reader);
	}
	count_kept(c);
	http_tls_free(c->tls);
	TAILQ_REMOVE(&c->pairs->all, c, all);
	free(c);
}

void http_pairs_free(struct http_pairs *p)
{
	struct http_conn *c, *next;

	if (p == NULL)
		return;
	for (c = TAILQ_FIRST(&p->all); c != NULL; c = next) {
		next = TAILQ_NEXT(c, all);
		free_conn(c);
	}
	head_memo_fini(&p->heads);
	free(p);
}

/* Both readers begin there; what is not whole from its first byte on is lost at first. */
static void set_client(struct http_conn *c, unsigned client)
{
	c->view.client = client;
	for (unsigned side = 0; side < 2; side++) {
		struct http_direction *d = &c->dir[side];

		http_reader_init(&d->reader, side == client ? HTTP_REQUEST : HTTP_RESPONSE,
				 d->pieces.next);
		if (c->had_loss)
			d->reader.state = HTTP_READER_LOST;
	}
}

static struct http_conn *new_conn(struct http_pairs *p, struct track *t)
{
	const struct flow *f = t->flow;
	struct http_conn *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		p->count.lost++;
		return NULL;
	}
	c->pairs = p;
	c->view.track = t;
	TAILQ_INIT(&c->open);
	TAILQ_INSERT_TAIL(&p->all, c, all);
	/* A SYN or its answer: all that follows is there from the first byte on, and who asks is known. */
	c->had_loss = f->syn_frame == 0 && f->syn_ack_frame == 0;
	if (c->had_loss)
		c->view.client = CLIENT_UNKNOWN;
	else
		set_client(c, 0);
	t->http = c;
	return c;
}

/* No more of this flow is looked at. */
static void drop_conn(struct http_conn *c)
{
	struct track *t = c->view.track;

	t->http = NULL;
	t->is_passed = true;
	t->is_kept = false;
	free_conn(c);
}

/* ---- ordered bytes --------------------------------------------------------------------------- */

static uint64_t read_piece(struct http_conn *c, unsigned side, const struct piece *p)
{
	if (c->view.client == CLIENT_UNKNOWN || c->is_hopeless)
		return p->len;
	if (UNLIKELY(c->tls == NULL && http_tls_begins(c, side, p)) && !http_tls_start(c))
		c->is_hopeless = true;
	if (LIKELY(c->tls == NULL))
		return http_turns_read(c, side, p);
	http_tls_read(c, side, p);
	return p->len;
}

/* Read what is kept, as far as it can be. True: something was read. */
static bool pump_side(struct http_conn *c, unsigned side)
{
	struct reassembly *r = &c->dir[side].pieces;
	struct piece p;
	bool moved = false;

	while (reassembly_first(r, &p)) {
		uint64_t used = read_piece(c, side, &p);

		if (used > 0)
			reassembly_take(r, used);
		moved = moved || used > 0;
		if (used < p.len)
			break;
	}
	return moved;
}

static void close_side(struct http_conn *c, unsigned side)
{
	struct http_direction *d = &c->dir[side];

	if (!d->has_fin || d->is_closed || d->pieces.next < d->fin_off ||
	    c->view.client == CLIENT_UNKNOWN || c->tls != NULL)
		return;
	d->is_closed = true;
	http_turns_close(c, side, d->fin_ns);
}

/* Each direction may have waited for the other. */
static void pump(struct http_conn *c)
{
	bool moved;

	do {
		moved = pump_side(c, 0);
		moved = pump_side(c, 1) || moved;
		close_side(c, 0);
		close_side(c, 1);
	} while (moved);
}

/* len bytes behind what was read will not come. */
static void pass_gap(struct http_conn *c, unsigned side, uint64_t len, uint64_t ts_ns)
{
	struct http_direction *d = &c->dir[side];
	struct piece gap = {.off = d->pieces.next, .len = len, .ts_ns = ts_ns};

	while (gap.len > 0) {
		uint64_t used = read_piece(c, side, &gap);

		if (used == 0) /* it waits for the other side: that is over now */
			break;
		reassembly_take(&d->pieces, used);
		gap.off += used;
		gap.len -= used;
	}
}

/* Bytes missing before the next that is kept, or before the end of what was sent for sure. */
static uint64_t any_gap(const struct http_direction *d)
{
	/* What was acknowledged last may be a FIN's number. */
	uint64_t end = d->has_fin ? d->fin_off : d->acked - (d->acked > 0);

	if (d->pieces.first != NULL)
		return reassembly_gap(&d->pieces);
	return end > d->pieces.next ? end - d->pieces.next : 0;
}

/* The first gap is given up, the client's before the server's, who waits for it. False: there is none. */
static bool give_up_gap(struct http_conn *c, uint64_t ts_ns)
{
	for (unsigned i = 0; i < 2; i++) {
		unsigned side = c->view.client == 1 ? 1 - i : i;
		uint64_t next = c->dir[side].pieces.next;

		pass_gap(c, side, any_gap(&c->dir[side]), ts_ns);
		if (c->dir[side].pieces.next > next)
			return true;
	}
	return false;
}

/* Room is needed: a gap is given up; where there is none, what one side waits for from the other. */
static void force(struct http_conn *c, uint64_t ts_ns)
{
	bool was_over = c->is_over;

	c->is_over = was_over || !give_up_gap(c, ts_ns);
	pump(c);
	c->is_over = was_over;
}

static void keep_piece(struct http_conn *c, unsigned side, struct piece *p)
{
	struct http_direction *d = &c->dir[side];

	/* Of a body only the length matters. */
	if (p->off - d->reader.off + p->len <= http_reader_certain(&d->reader))
		p->bytes = NULL;
	for (unsigned tries = 0; !reassembly_keep(&d->pieces, p) && tries < 64; tries++)
		force(c, p->ts_ns);
}

static void add_piece(struct http_conn *c, unsigned side, struct piece *p)
{
	struct http_direction *d = &c->dir[side];
	uint64_t used;

	if (p->off + p->len <= d->pieces.next)
		return;
	if (p->off < d->pieces.next) {
		uint64_t old = d->pieces.next - p->off;

		p->off += old;
		p->len -= old;
		p->is_first = false;
		if (p->bytes != NULL)
			p->bytes += old;
	}
	if (!reassembly_is_next(&d->pieces, p)) {
		keep_piece(c, side, p);
		return;
	}
	used = read_piece(c, side, p);
	reassembly_take(&d->pieces, used);
	if (used == p->len)
		return;
	p->off += used;
	p->len -= used;
	if (p->bytes != NULL)
		p->bytes += used;
	p->is_first = p->is_first && used == 0;
	keep_piece(c, side, p);
}

/* ---- gaps ------------------------------------------------------------------------------------ */

/* Bytes missing at the front of this side that the other has acknowledged. */
static uint64_t acked_gap(const struct http_direction *d)
{
	uint64_t gap = d->acked > d->pieces.next ? d->acked - d->pieces.next : 0;

	if (d->pieces.first != NULL)
		return MIN(gap, reassembly_gap(&d->pieces));
	return gap > 0 && !d->has_fin ? gap - 1 : gap; /* the last may be a FIN's number */
}

static void note_gap(struct http_direction *d, uint64_t ts_ns)
{
	if (acked_gap(d) == 0) {
		d->gap_ns = 0;
	} else if (d->gap_ns == 0 || d->gap_off != d->pieces.next) {
		d->gap_ns = MAX(ts_ns, 1);
		d->gap_off = d->pieces.next;
	}
}

static void note_gaps(struct http_conn *c, uint64_t ts_ns)
{
	note_gap(&c->dir[0], ts_ns);
	note_gap(&c->dir[1], ts_ns);
	if (c->dir[0].gap_ns == 0 && c->dir[1].gap_ns == 0) {
		stop_waiting(c);
	} else if (!c->is_waiting) {
		c->is_waiting = true;
		TAILQ_INSERT_TAIL(&c->pairs->waiting, c, waiting);
	}
}

/* Give up what has been missing for long enough. */
static void settle_gaps(struct http_conn *c, uint64_t ns)
{
	for (unsigned side = 0; side < 2; side++) {
		struct http_direction *d = &c->dir[side];

		if (d->gap_ns != 0 && d->gap_ns + HTTP_GRACE_NS <= ns)
			pass_gap(c, side, acked_gap(d), ns);
	}
	pump(c);
}

/* ---- the end of a connection ----------------------------------------------------------------- */

/* Everything that is kept is read, over all gaps; at last nobody waits for anybody. */
static void read_rest(struct http_conn *c, uint64_t ts_ns)
{
	pump(c);
	while (give_up_gap(c, ts_ns))
		pump(c);
	c->is_over = true;
	pump(c);
	while (give_up_gap(c, ts_ns))
		pump(c);
}

static const char *end_word(const struct http_conn *c)
{
	const struct flow *f = c->view.track->flow;

	if (f->how == FLOW_OPEN)
		return "not-captured";
	if (f->how == FLOW_RST || f->side[0].rst_frame != 0 || f->side[1].rst_frame != 0)
		return f->side[c->view.client].rst_frame != 0 ? "client-reset" : "backend-reset";
	return f->closed_by == c->view.client ? "client-eof" : "backend-eof";
}

static void finish(struct http_conn *c, uint64_t ts_ns)
{
	read_rest(c, ts_ns);
	if (c->tls != NULL)
		http_tls_end(c);
	else if (c->view.client != CLIENT_UNKNOWN)
		http_turns_end(c, end_word(c), ts_ns);
	drop_conn(c);
}

/* ---- segments -------------------------------------------------------------------------------- */

/* The payload's place in its direction, without what stands before offset 0. */
static bool place_piece(const struct segment *seg, const struct flow_place *place, struct piece *p)
{
	uint32_t len = place->data.new_bytes + place->data.old_bytes;
	uint32_t before = seg->payload_len - MIN(len, seg->payload_len);

	if (len == 0 || !place->data.known || (seg->flags & TCP_RST))
		return false;
	*p = (struct piece){.off = place->data.off, .len = len, .ts_ns = seg->ts_ns};
	if (before < seg->payload_captured)
		p->bytes = (const char *)seg->payload + before;
	p->is_first = before == 0;
	return true;
}

/* Capture that begins in the midst of a connection: who sends a request line is the client. */
static void find_client(struct http_conn *c, unsigned from, const struct piece *p)
{
	if (p->is_first && p->bytes != NULL &&
	    http_observe_line(HTTP_REQUEST, p->bytes, p->len) == HTTP_SIGHT_YES) {
		for (unsigned side = 0; side < 2; side++)
			c->dir[side].pieces.next = MAX(c->dir[side].pieces.next,
						       side == from ? p->off : c->dir[side].acked);
		set_client(c, from);
	} else if (++c->misses > HTTP_MISSES_MAX) {
		c->is_hopeless = true;
	}
}

/* What the segment itself acknowledges of that side; what was captured before it may have done more. */
static uint64_t ack_of(const struct http_conn *c, const struct segment *seg, unsigned side)
{
	const struct flow_side *s = &c->view.track->flow->side[side];
	uint64_t acked = c->dir[side].acked;
	int64_t off;

	if (!s->isn_known || !(seg->flags & TCP_ACK))
		return acked;
	off = seq_to_off(seg->ack, s->isn + 1, acked);
	return off > 0 ? MIN((uint64_t)off, acked) : 0;
}

static void add_payload(struct http_conn *c, const struct segment *seg,
			const struct flow_place *place, struct piece *p)
{
	struct http_direction *d = &c->dir[place->from];
	const struct http_direction *other = &c->dir[1 - place->from];
	uint64_t captured = seg->payload_captured -
			    MIN(seg->payload_captured, seg->payload_len - (uint32_t)p->len);
	struct piece cut = *p;

	p->ack = cut.ack = ack_of(c, seg, 1 - place->from);
	p->is_quiet = cut.is_quiet = p->ack >= other->seen;
	d->seen = MAX(d->seen, p->off + p->len);
	if (c->view.client == CLIENT_UNKNOWN)
		find_client(c, place->from, p);
	if (c->view.client == CLIENT_UNKNOWN) {
		d->pieces.next = MAX(d->pieces.next, p->off + p->len);
		return;
	}
	if (captured >= p->len || p->bytes == NULL) {
		add_piece(c, place->from, p);
		return;
	}
	p->len = captured;
	cut.off += captured;
	cut.len -= captured;
	cut.bytes = NULL;
	cut.is_first = false;
	add_piece(c, place->from, p);
	add_piece(c, place->from, &cut);
}

static void note_fin(struct http_conn *c, const struct segment *seg, unsigned from)
{
	struct http_direction *d = &c->dir[from];
	uint32_t base = c->view.track->flow->side[from].isn + 1;
	uint32_t seq = seg->seq + ((seg->flags & TCP_SYN) != 0) + seg->payload_len;

	if (d->has_fin || c->view.track->flow->side[from].fin_frame != seg->frame)
		return;
	d->has_fin = true;
	d->fin_ns = seg->ts_ns;
	d->fin_off = (uint64_t)MAX(seq_to_off(seq, base, MAX(d->seen, d->pieces.next)), 0);
}

/* True: its connection is needed for what seg is. */
static bool is_worth_it(const struct segment *seg)
{
	return seg->payload_len > 0 && (seg->flags & TCP_RST) == 0;
}

/* True: it is known to speak TLS, and what comes is encrypted. */
static bool pass_encrypted(struct http_conn *c, const struct flow_place *place)
{
	if (c->tls == NULL || !http_tls_is_told(c->tls))
		return false;
	if (place->data.known)
		c->pairs->calls.passed(c->pairs->calls.arg, &c->view, place->from, place->data.off);
	if (c->view.track->flow->closed_ns != 0)
		drop_conn(c);
	return true;
}

void http_pairs_segment(struct http_pairs *p, struct track *t, const struct segment *seg,
			const struct flow_place *place)
{
	struct http_conn *c = t->http;
	struct piece piece;

	if (place->copy || t->is_passed)
		return;
	if (c == NULL && is_worth_it(seg))
		c = new_conn(p, t);
	if (c == NULL || UNLIKELY(pass_encrypted(c, place)))
		return;
	if (place->acked_past > place->acked_from)
		c->dir[1 - place->from].acked =
			MAX(c->dir[1 - place->from].acked, place->acked_past);
	if (place_piece(seg, place, &piece))
		add_payload(c, seg, place, &piece);
	if (seg->flags & TCP_FIN)
		note_fin(c, seg, place->from);
	pump(c);
	if (UNLIKELY(c->tls != NULL))
		http_tls_settle(c);
	note_gaps(c, seg->ts_ns);
	count_kept(c);
	if (t->flow->closed_ns != 0)
		finish(c, seg->ts_ns);
	else if (c->is_hopeless)
		drop_conn(c);
	else if (p->kept_bytes > HTTP_KEPT_MAX)
		force(c, seg->ts_ns);
}

/* ---- time ------------------------------------------------------------------------------------ */

void http_pairs_clock(struct http_pairs *p, uint64_t ns)
{
	struct http_conn *c = TAILQ_FIRST(&p->waiting), *next;

	for (; c != NULL; c = next) {
		uint64_t first_ns = UINT64_MAX;

		next = TAILQ_NEXT(c, waiting);
		for (unsigned side = 0; side < 2; side++)
			if (c->dir[side].gap_ns != 0)
				first_ns = MIN(first_ns, c->dir[side].gap_ns);
		if (first_ns + HTTP_GRACE_NS > ns)
			break;
		settle_gaps(c, ns);
		stop_waiting(c);
		/* What is still missing there waits anew. */
		c->dir[0].gap_ns = c->dir[1].gap_ns = 0;
		note_gaps(c, ns);
		count_kept(c);
		if (c->is_hopeless)
			drop_conn(c);
	}
}

void http_pairs_end(struct http_pairs *p)
{
	struct http_conn *c, *next;

	for (c = TAILQ_FIRST(&p->all); c != NULL; c = next) {
		next = TAILQ_NEXT(c, all);
		finish(c, c->view.track->flow->last_ns);
	}
}

void http_pairs_counters(const struct http_pairs *p, struct http_pairs_counters *out)
{
	*out = p->count;
}
