/*
 * correlate.c -- decides when an exchange is settled, in which order exchanges are given out, and
 * what of the streams is still needed afterwards.
 *
 * The invariant stands in correlate_state.h.
 */
#include "trace/correlate.h"

#include <stdlib.h>
#include <string.h>

#include "trace/correlate_state.h"
#include "trace/tls_finding.h"

/* What a TLS handshake takes of one direction, generously, and the memory for its segments. */
#define HANDSHAKE_BYTES_MAX  65536
#define HANDSHAKE_MEMORY_MAX 8192

static void on_conn_opened(void *arg, struct conn *conn)
{
	struct correlate *c = arg;

	unwanted_remove(&c->unwanted, &conn->local, &conn->peer);
	track_find(c->flows, conn);
}

struct correlate *correlate_new(struct flow_table *flows, const struct correlate_options *o)
{
	struct correlate *c = calloc(1, sizeof(*c));
	struct ledger_calls calls = {.arg = c, .opened = on_conn_opened};

	if (c == NULL)
		return NULL;
	c->o = *o;
	c->flows = flows;
	TAILQ_INIT(&c->unnamed);
	TAILQ_INIT(&c->closing);
	exchange_room(&c->record);
	c->ledger = ledger_new(&calls);
	if (c->ledger == NULL) {
		free(c);
		return NULL;
	}
	return c;
}

static bool free_track(struct flow *f, void *arg)
{
	(void)arg;
	if (f->user != NULL) {
		((struct track *)f->user)->flow = NULL;
		track_unref(f->user);
	}
	f->user = NULL;
	return true;
}

void correlate_free(struct correlate *c)
{
	if (c == NULL)
		return;
	flow_table_visit(c->flows, free_track, NULL);
	ledger_free(c->ledger);
	due_fini(&c->due);
	heap_fini(&c->endings);
	unwanted_fini(&c->unwanted);
	drops_fini(&c->drops);
	finding_fini(&c->finding);
	free(c);
}

struct ledger *correlate_ledger(struct correlate *c)
{
	return c->ledger;
}

/* ---- losses of the capture ------------------------------------------------------------------- */

static bool showed(const struct flow *f, uint32_t iface, uint64_t until_ns)
{
	const struct track *t = f->user;

	for (uint32_t i = 0; t != NULL && i < t->iface_count; i++)
		if (t->iface[i].iface == iface && t->iface[i].first_ns <= until_ns)
			return true;
	return false;
}

struct flow_until {
	const struct flow *flow;
	uint64_t until_ns;
};

static bool flow_lost_on(const void *arg, uint32_t iface)
{
	const struct flow_until *f = arg;

	return showed(f->flow, iface, f->until_ns);
}

uint64_t correlate_first_loss(const struct correlate *c, const struct flow *f, uint64_t from_ns,
			      uint64_t until_ns)
{
	const struct flow_until showing = {f, until_ns};

	return drops_first(&c->drops, from_ns, until_ns, flow_lost_on, &showing);
}

static uint64_t first_loss(const void *arg, const struct flow *f, uint64_t from_ns,
			   uint64_t until_ns)
{
	return correlate_first_loss(arg, f, from_ns, until_ns);
}

/* ---- segments -------------------------------------------------------------------------------- */

static bool is_listener(const struct correlate *c, const struct addr *a)
{
	for (uint32_t i = 0; i < c->listener_count; i++) {
		const struct addr *l = &c->listeners[i];

		if (addr_equal(l, a) || (addr_is_wildcard(l) && l->port == a->port))
			return true;
	}
	return ledger_is_listener(c->ledger, a);
}

static struct track *add_track(struct correlate *c, const struct flow_place *place)
{
	struct track *t = track_new(place->flow);

	if (t == NULL) {
		c->count.lost++;
		return NULL;
	}
	t->is_remnant = !place->fresh;
	t->is_kept = c->o.reads_http;
	for (uint8_t side = 0; side < 2; side++)
		if (is_listener(c, &place->flow->side[side].addr))
			t->listener_side = side;
	if (c->o.is_live)
		correlate_link_unnamed(c, t);
	return t;
}

/*
 * Offline: nobody knows the connection yet, and most are nobody's. The first bytes are kept all the
 * same: a TLS handshake may be long over when the first exchange begins.
 */
static void forget_unnamed(struct stream *s, uint64_t off)
{
	if (off >= HANDSHAKE_BYTES_MAX || stream_memory(s) > HANDSHAKE_MEMORY_MAX)
		stream_forget(s, off);
}

struct track *correlate_segment(struct correlate *c, const struct segment *seg,
				const struct flow_place *place)
{
	struct flow *f = place->flow;
	struct track *t = f->user != NULL ? f->user : add_track(c, place);

	if (t == NULL)
		return NULL;
	track_name(c->ledger, t);
	track_saw_iface(t, seg->iface, seg->ts_ns);
	c->has_note = c->o.anchoring != NULL && anchoring_concerns(t, seg, place) &&
		      anchoring_segment(c->o.anchoring, t, seg, place, &c->note);
	if (f->ack_frame == seg->frame && c->drops.count > 0)
		f->is_handshake_doubtful = first_loss(c, f, f->syn_ns, f->ack_ns) != 0;
	if (!c->o.is_live && !t->is_kept && !track_is_named(t) && place->data.known)
		forget_unnamed(f->side[place->from].stream, place->data.off);
	if (f->closed_ns != 0 && !t->is_ended) {
		t->is_ended = true;
		correlate_track_ends(c, t, later(f->closed_ns, c->o.hold_ns));
	}
	return t;
}

const struct anchor_note *correlate_note(const struct correlate *c)
{
	return c->has_note ? &c->note : NULL;
}

void correlate_noted(struct correlate *c, const struct anchor_note *note, uint64_t ts_ns,
		     const struct flow_place *place)
{
	c->has_note = true;
	c->note = *note;
	anchoring_apply(note, place->flow, place->from, ts_ns);
}

bool correlate_is_unwanted(struct correlate *c, const struct segment *seg)
{
	if (!unwanted_has(&c->unwanted, &seg->src, &seg->dst))
		return false;
	if ((seg->flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return true;
	unwanted_remove(&c->unwanted, &seg->src, &seg->dst);
	return false;
}

void correlate_drops(struct correlate *c, uint32_t iface, uint64_t ts_ns, uint32_t count)
{
	if (count > 0 && !drops_add(&c->drops, iface, ts_ns, count))
		c->count.lost++;
}

/* ---- what the proxy told --------------------------------------------------------------------- */

void correlate_listener(struct correlate *c, const struct addr *a)
{
	for (uint32_t i = 0; i < c->listener_count; i++)
		if (addr_equal(&c->listeners[i], a))
			return;
	if (c->listener_count < LISTENERS_MAX)
		c->listeners[c->listener_count++] = *a;
}

void correlate_open(struct correlate *c, uint32_t run, const struct tap_open *open)
{
	if (!ledger_open(c->ledger, run, open))
		c->count.lost++;
}

void correlate_tap_lost(struct correlate *c, uint64_t from_ns, uint64_t to_ns, uint64_t count)
{
	tap_losses_add(&c->tap_losses, from_ns, to_ns, count);
}

void correlate_close(struct correlate *c, uint32_t run, const struct tap_close *close)
{
	struct conn *conn = ledger_close(c->ledger, run, close);

	if (conn == NULL || conn->closing_ns != 0)
		return;
	conn->closing_ns = later(MAX(c->clock_ns, 1), PATIENCE_NS);
	TAILQ_INSERT_TAIL(&c->closing, conn, closing);
}

void correlate_tls(struct correlate *c, uint32_t run, uint64_t conn, const struct tls_marks *m)
{
	if (!ledger_tls(c->ledger, run, conn, m))
		c->count.lost++;
}

void correlate_position(struct correlate *c, uint32_t run, const struct tap_position *p)
{
	struct conn *conn = ledger_conn(c->ledger, run, p->conn);

	if (conn != NULL && c->o.anchoring != NULL)
		anchoring_position(c->o.anchoring, conn, p);
}

void correlate_begin(struct correlate *c, uint32_t run, const struct tap_begin *begin,
		     uint64_t real_ns)
{
	if (!ledger_begin(c->ledger, run, begin, real_ns))
		c->count.lost++;
}

void correlate_await(struct correlate *c, struct exchange *x, uint64_t due_ns)
{
	if (due_push(&c->due, due_ns, x->id, x))
		return;
	c->count.lost++;
	ledger_give_out(c->ledger, x);
}

void correlate_exchange(struct correlate *c, const struct exchange_record *record)
{
	struct exchange *x = ledger_end(c->ledger, record);

	if (x == NULL)
		c->count.lost++;
	else
		correlate_await(c, x, later(x->end_ns, c->o.hold_ns));
}

void correlate_bind(struct correlate *c, uint32_t run, uint64_t number, struct track *t,
		    unsigned our_side)
{
	struct conn *conn = ledger_conn(c->ledger, run, number);

	if (conn != NULL)
		track_bind(t, conn, our_side);
}

void correlate_read_exchange(struct correlate *c, const struct exchange_record *record,
			     uint64_t end_ns)
{
	struct exchange *x = ledger_end(c->ledger, record);

	if (x == NULL) {
		c->count.lost++;
		return;
	}
	x->end_ns = MAX(x->end_ns, end_ns);
	correlate_await(c, x, later(x->end_ns, c->o.hold_ns));
}

/* ---- giving exchanges out -------------------------------------------------------------------- */

static void place_leg(struct correlate *c, const struct exchange *x, const struct leg_record *leg,
		      struct conn *conn, uint64_t until_ns, struct leg_place *p)
{
	struct track *t;

	if (leg->conn == 0)
		return;
	p->leg = leg;
	if (conn == NULL)
		return;
	p->is_last = conn->last_nth <= leg->nth;
	p->from_packets = c->o.reads_http;
	t = track_resolve(c->flows, conn, x->start_ns, until_ns);
	if (t == NULL)
		return;
	p->flow = t->flow;
	p->our_side = track_our_side(t, conn);
}

/* r is what is known of x. */
static void place_legs(struct correlate *c, const struct exchange *x,
		       const struct exchange_record *r, uint64_t until_ns, struct finding_places *p)
{
	*p = (struct finding_places){.client.which = TAP_CLIENT, .backend.which = TAP_BACKEND};
	place_leg(c, x, &r->client, x->conn[TAP_CLIENT], until_ns, &p->client);
	place_leg(c, x, &r->backend, x->conn[TAP_BACKEND], until_ns, &p->backend);
	for (unsigned i = 0; i < r->tries_count; i++) {
		const struct leg_record *leg = &r->tries[i].leg;

		p->tries[i].which = TAP_BACKEND;
		place_leg(c, x, leg, ledger_conn(c->ledger, x->run, leg->conn), until_ns,
			  &p->tries[i]);
	}
}

/*
 * Find out when x settles, or a moment before which it does not. What ended with its client's
 * connection is waited for until the packets show that end; others no longer than a minute.
 */
static void settle(struct correlate *c, struct exchange *x, const struct exchange_record *r)
{
	uint64_t limit_ns = later(x->end_ns, SETTLED_MAX_NS);
	struct finding_places places;
	uint64_t done_ns;

	place_legs(c, x, r, later(x->end_ns, c->o.hold_ns), &places);
	done_ns = finding_done_ns(r, &places, later(x->end_ns, c->o.hold_ns));
	if (finding_is_open_ended(r, &places))
		limit_ns = UINT64_MAX;
	if (done_ns != 0) {
		x->settled = true;
		x->settled_ns = MIN(later(MAX(x->end_ns, done_ns), c->o.hold_ns), limit_ns);
		return;
	}
	/* All packets up to the clock are known: it was done later than that. */
	x->settled_ns = MIN(later(c->clock_ns, MAX(c->o.hold_ns, 1)), limit_ns);
	x->settled = x->settled_ns == limit_ns;
}

/* ---- losses that concern an exchange --------------------------------------------------------- */

/* Of a leg that no packet showed, any interface may have lost all. */
static bool leg_lost_on(const struct leg_finding *leg, uint32_t iface, uint64_t until_ns)
{
	if (leg->place.leg == NULL)
		return false;
	return leg->place.flow == NULL || showed(leg->place.flow, iface, until_ns);
}

static bool drop_counts(const void *arg, uint32_t iface)
{
	const struct finding *e = arg;

	return leg_lost_on(&e->client, iface, e->settled_ns) ||
	       leg_lost_on(&e->backend, iface, e->settled_ns);
}

/*
 * From where losses concern e: its first frame. When that was lost itself (and came again, perhaps),
 * it stood before the proxy read it, and the loss that it fell to is the last one before that, or a
 * later one.
 */
static uint64_t drops_from_ns(const void *arg, const struct finding *e)
{
	const struct part_finding *request = &e->client.part[PART_REQUEST];
	uint64_t first_ns = finding_first_ns(e), last_ns;
	const struct correlate *c = arg;

	if (request->exists && request->seen.first_ns != 0 &&
	    request->seen.first_ns <= e->x->start_ns)
		return first_ns;
	if (first_ns == 0 || first_ns > e->x->start_ns)
		first_ns = e->x->start_ns;
	if (!request->exists || e->client.place.flow == NULL)
		return first_ns;
	last_ns = drops_last(&c->drops, first_ns, drop_counts, e);
	return last_ns != 0 && first_ns - last_ns <= c->o.hold_ns ? last_ns - 1 : first_ns;
}

/* Lost on the interfaces of e between its first frame and the moment it settled. */
static uint64_t count_drops(const struct correlate *c, const struct finding *e)
{
	if (c->drops.count == 0)
		return 0;
	return drops_sum(&c->drops, e->lost_from_ns, e->settled_ns, drop_counts, e);
}

/* ---- what is needed no more ------------------------------------------------------------------ */

/* Of one direction of a leg; UINT64_MAX: it has none there. */
static uint64_t first_byte(const struct conn_use *u, const struct part_way *way)
{
	uint64_t first = UINT64_MAX;

	for (unsigned k = 0; k < way->count; k++) {
		const struct byte_range *r = use_range(u, way->kinds[k]);

		if (byte_range_exists(r))
			first = MIN(first, r->first);
	}
	return first;
}

/*
 * Two TLS messages may share a record: the next may begin in the middle of the last one that was
 * given out, but not before it.
 */
static uint64_t first_needed(const struct conn *conn, bool ours)
{
	uint64_t first = conn->given_first[ours];
	uint64_t next = UINT64_MAX;

	/* The first that has any bytes this way: each has its own behind those before it. */
	for (uint32_t i = 0; i < conn->use_count && next == UINT64_MAX; i++)
		next = first_byte(conn_use(conn, i), part_way(conn->leg, ours));
	return MIN(first, next);
}

void correlate_pass(struct correlate *c, struct track *t, unsigned side, uint64_t off)
{
	(void)c;
	for (unsigned leg = 0; leg < 2; leg++) {
		const struct conn *conn = t->conn[leg];
		bool ours = conn != NULL && track_our_side(t, conn) == side;

		for (uint32_t i = 0; conn != NULL && i < conn->use_count; i++)
			off = MIN(off, first_byte(conn_use(conn, i), part_way(conn->leg, ours)));
	}
	stream_forget(t->flow->side[side].stream, off);
}

/* An exchange on this connection was given out, settled at that moment. */
static void conn_gave(struct correlate *c, struct conn *conn, uint64_t settled_ns)
{
	struct track *t = conn->track;

	conn->given_ns = MAX(conn->given_ns, settled_ns);
	if (t == NULL)
		return;
	for (unsigned ours = 0; ours < 2; ours++) {
		unsigned side = ours ? track_our_side(t, conn) : 1 - track_our_side(t, conn);

		stream_forget(t->flow->side[side].stream, first_needed(conn, ours));
	}
	if (conn->use_count == 0 && t->is_ended && !t->is_ending)
		correlate_track_ends(c, t,
				     MAX(later(t->flow->closed_ns, c->o.hold_ns), settled_ns));
}

/* The connections that an exchange was on. They outlive it. */
struct gave {
	struct conn *conn[2 + FINDING_TRIES];
	unsigned count;
};

static void note_given(struct gave *g, struct conn *conn, const struct leg_record *leg)
{
	if (conn == NULL)
		return;
	g->conn[g->count++] = conn;
	for (unsigned ours = 0; ours < 2; ours++) {
		const struct part_way *way = part_way(conn->leg, ours);

		for (unsigned k = 0; k < way->count; k++) {
			const struct byte_range *r = leg_range(leg, way->kinds[k]);

			if (byte_range_exists(r))
				conn->given_first[ours] = MAX(conn->given_first[ours], r->first);
		}
	}
}

/* An end that was never told may have been among them. */
static uint64_t count_tap_drops(const struct correlate *c, const struct exchange *x,
				const struct exchange_record *r)
{
	bool is_told = strcmp(r->end, "tap-lost") != 0;

	return tap_losses_sum(&c->tap_losses, x->start_ns, is_told ? x->end_ns : UINT64_MAX);
}

/* The handshakes of its connections, before the streams may forget them. */
static void gather_tls(const struct correlate *c, const struct exchange *x,
		       struct finding_places *places)
{
	for (unsigned leg = 0; leg < 2; leg++) {
		struct leg_place *p = leg == TAP_CLIENT ? &places->client : &places->backend;
		struct conn *conn = x->conn[leg];

		if (conn == NULL || LIKELY(conn->tls == NULL))
			continue;
		correlate_gather_tls(c, conn, p->flow, p->our_side, x->settled_ns);
		conn->tls->is_claimed = true;
		p->tls = conn->tls;
	}
}

static void give_out(struct correlate *c, struct exchange *x, const struct exchange_record *r)
{
	struct finding *e = &c->finding;
	uint64_t settled_ns = x->settled_ns;
	struct finding_losses losses = {c, drops_from_ns, first_loss};
	struct finding_places places;
	struct gave gave = {0};

	place_legs(c, x, r, MIN(settled_ns, later(x->end_ns, c->o.hold_ns)), &places);
	places.losses = c->drops.count > 0 ? &losses : NULL;
	gather_tls(c, x, &places);
	finding_gather(e, r, &places, x->end_ns, settled_ns);
	e->drops = count_drops(c, e);
	e->tap_drops = c->tap_losses.count > 0 ? count_tap_drops(c, x, r) : 0;
	c->o.exchange(c->o.arg, e);
	c->count.exchanges++;
	note_given(&gave, x->conn[TAP_CLIENT], &r->client);
	note_given(&gave, x->conn[TAP_BACKEND], &r->backend);
	for (unsigned i = 0; i < r->tries_count; i++) {
		const struct leg_record *leg = &r->tries[i].leg;

		note_given(&gave, ledger_conn(c->ledger, x->run, leg->conn), leg);
	}
	ledger_give_out(c->ledger, x);
	for (unsigned i = 0; i < gave.count; i++)
		conn_gave(c, gave.conn[i], settled_ns);
}

/* Nothing that waits can settle before x does: its turn is now. */
static bool is_next(const struct correlate *c, const struct exchange *x)
{
	const struct heap_item mine = {x->settled_ns, x->id, NULL};
	const struct heap_item *first = due_first(&c->due);

	return x->settled && x->settled_ns <= c->clock_ns &&
	       (first == NULL || heap_item_before(&mine, first));
}

#define FETCH_EXCHANGE 6 /* so many exchanges ahead */
#define FETCH_STREAMS  3

/* Two seconds after it ended nothing of an exchange is in a cache: it is fetched while others run. */
static void fetch_ahead(const struct correlate *c)
{
	const char *bytes = due_ahead(&c->due, FETCH_EXCHANGE);
	const struct exchange *x = due_ahead(&c->due, FETCH_STREAMS);

	for (size_t at = 0; bytes != NULL && at < sizeof(struct exchange); at += 64)
		__builtin_prefetch(bytes + at);
	for (unsigned leg = 0; x != NULL && leg < 2; leg++) {
		const struct conn *conn = x->conn[leg];

		if (conn == NULL || conn->track == NULL)
			continue;
		__builtin_prefetch(conn_use(conn, 0));
		stream_fetch(conn->track->flow->side[0].stream);
		stream_fetch(conn->track->flow->side[1].stream);
	}
}

static void run_exchanges(struct correlate *c)
{
	const struct heap_item *first;

	while ((first = due_first(&c->due)) != NULL && first->key <= c->clock_ns) {
		struct exchange *x = due_pop(&c->due).value;
		const struct exchange_record *r = ledger_record(c->ledger, x, &c->record);

		fetch_ahead(c);
		if (!x->settled) {
			settle(c, x, r);
			if (!is_next(c, x)) {
				correlate_await(c, x, x->settled_ns);
				continue;
			}
		}
		give_out(c, x, r);
	}
}

/* ---- time ------------------------------------------------------------------------------------ */

void correlate_clock(struct correlate *c, uint64_t ns)
{
	if (ns < c->clock_ns)
		return;
	c->clock_ns = ns;
	run_exchanges(c);
	correlate_run_conns(c);
}

/* Where the bytes of the exchange behind x begin on this connection. */
static uint64_t next_first(const struct conn *conn, const struct exchange *x, enum part_kind kind)
{
	uint64_t first = UINT64_MAX;

	for (uint32_t i = conn->use_count; i > 0 && conn_use(conn, i - 1)->x != x; i--) {
		const struct byte_range *r = use_range(conn_use(conn, i - 1), kind);

		if (byte_range_exists(r))
			first = MIN(first, r->first);
	}
	return first;
}

/* What follows the begin of a part belongs to it, as far as it was captured. */
static void close_open_part(struct correlate *c, struct exchange *x, struct leg_record *leg,
			    enum tap_leg which, enum part_kind kind)
{
	struct byte_range *r = (struct byte_range *)(uintptr_t)leg_range(leg, kind);
	struct conn *conn = leg->conn != 0 ? ledger_conn(c->ledger, x->run, leg->conn) : NULL;
	struct track *t = NULL;
	unsigned side;

	if ((x->open_parts >> tap_part_of(which, kind) & 1) == 0 || !byte_range_exists(r))
		return;
	if (conn != NULL)
		t = track_resolve(c->flows, conn, x->start_ns, UINT64_MAX);
	if (t != NULL) {
		side = track_our_side(t, conn);
		if (!part_is_ours(which, kind))
			side = 1 - side;
		r->past = MAX(r->past, MIN(stream_end_off(t->flow->side[side].stream),
					   next_first(conn, x, kind)));
	}
	if (r->past == r->first)
		*r = byte_range_none();
}

void correlate_lose(struct correlate *c, struct exchange *x)
{
	static const enum part_kind told[] = {PART_REQUEST, PART_RESPONSE, PART_TUNNEL_UP,
					      PART_TUNNEL_DOWN};

	if (x->ended)
		return;
	for (size_t i = 0; i < ARRAY_LEN(told); i++) {
		close_open_part(c, x, &x->whole->client, TAP_CLIENT, told[i]);
		close_open_part(c, x, &x->whole->backend, TAP_BACKEND, told[i]);
	}
	ledger_lose(x);
}

static void lose_running(struct correlate *c)
{
	struct exchange *x;
	size_t at = 0;

	while ((x = ledger_next_exchange(c->ledger, &at)) != NULL) {
		if (x->ended)
			continue;
		correlate_lose(c, x);
		if (!due_push(&c->due, later(x->end_ns, c->o.hold_ns), x->id, x))
			c->count.lost++;
	}
}

void correlate_end(struct correlate *c)
{
	lose_running(c);
	c->clock_ns = UINT64_MAX;
	run_exchanges(c);
	correlate_end_conns(c);
}

void correlate_counters(const struct correlate *c, struct correlate_counters *out)
{
	*out = c->count;
}

size_t correlate_open_conns(const struct correlate *c)
{
	const struct conn *conn;
	size_t at = 0, open = 0;

	while ((conn = ledger_next_conn(c->ledger, &at)) != NULL)
		if (conn->track != NULL && conn->track->flow->closed_ns == 0)
			open++;
	return open;
}

bool correlate_is_waiting(const struct correlate *c)
{
	return !due_is_empty(&c->due) || c->endings.count > 0 || !TAILQ_EMPTY(&c->unnamed) ||
	       !TAILQ_EMPTY(&c->closing);
}
