/*
 * correlate_exchanges.c -- decides when an exchange is settled, in which order exchanges are given
 * out, and what of the streams is still needed afterwards.
 *
 * The invariant stands in correlate_state.h.
 */
#include <string.h>

#include "trace/correlate_state.h"
#include "trace/tls_finding.h"

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

static uint64_t first_loss(const void *arg, const struct flow *f, uint64_t from_ns,
			   uint64_t until_ns)
{
	return correlate_first_loss(arg, f, from_ns, until_ns);
}

/* Of a leg that no packet showed, any interface may have lost all. */
static bool leg_lost_on(const struct leg_finding *leg, uint32_t iface, uint64_t until_ns)
{
	if (leg->place.leg == NULL)
		return false;
	return leg->place.flow == NULL || correlate_showed(leg->place.flow, iface, until_ns);
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
	e->is_hurried = x->is_hurried;
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

void correlate_run_exchanges(struct correlate *c)
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

void correlate_hurry(struct correlate *c, size_t count)
{
	const struct heap_item *first;

	for (; count > 0 && (first = due_first(&c->due)) != NULL; count--) {
		struct exchange *x = first->value;

		if (later(x->end_ns, HURRY_NS) > c->clock_ns)
			return;
		due_pop(&c->due);
		fetch_ahead(c);
		x->is_hurried = !x->settled || x->settled_ns > c->clock_ns;
		x->settled = true;
		x->settled_ns = MIN(x->settled_ns != 0 ? x->settled_ns : UINT64_MAX, c->clock_ns);
		c->count.hurried += x->is_hurried;
		give_out(c, x, ledger_record(c->ledger, x, &c->record));
	}
}

/* ---- what never ends ------------------------------------------------------------------------- */

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

void correlate_lose_running(struct correlate *c)
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
