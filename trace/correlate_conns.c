/*
 * correlate_conns.c -- decides when a connection is given out, and which flows are not kept.
 *
 * The invariant stands in correlate_state.h.
 */
#include "trace/correlate_state.h"
#include "trace/tls_finding.h"

void correlate_link_unnamed(struct correlate *c, struct track *t)
{
	TAILQ_INSERT_TAIL(&c->unnamed, t, link);
	t->is_linked = true;
}

static void unlink_unnamed(struct correlate *c, struct track *t)
{
	if (t->is_linked)
		TAILQ_REMOVE(&c->unnamed, t, link);
	t->is_linked = false;
}

static void remove_flow(struct correlate *c, struct track *t)
{
	unlink_unnamed(c, t);
	track_remove_flow(c->flows, t);
}

void correlate_track_ends(struct correlate *c, struct track *t, uint64_t due_ns)
{
	t->is_ending = heap_push(&c->endings, due_ns, t->flow->number, t);
	if (!t->is_ending)
		c->count.lost++;
}

static void drop_conn(struct correlate *c, struct conn *conn)
{
	if (conn->closing_ns != 0)
		TAILQ_REMOVE(&c->closing, conn, closing);
	conn->closing_ns = 0;
	track_forget_conn(conn);
	if (c->o.anchoring != NULL)
		anchoring_forget(c->o.anchoring, conn);
	if (conn->use_count ==
	    0) /* else memory was missing for an exchange: it stays until the end */
		ledger_drop_conn(c->ledger, conn);
}

void correlate_gather_tls(const struct correlate *c, struct conn *conn, const struct flow *f,
			  unsigned our_side, uint64_t until_ns)
{
	struct tls_finding *tls = conn->tls;
	uint64_t end_ns = 0;

	if (tls == NULL || tls->is_gathered || f == NULL)
		return;
	tls_finding_gather(tls, f, conn->leg, our_side, until_ns);
	for (unsigned i = 0; i < TLS_MARK_COUNT; i++)
		end_ns = MAX(end_ns, tls->at[i].last_ns);
	tls->is_doubtful = c->drops.count > 0 && end_ns != 0 &&
			   correlate_first_loss(c, f, f->first_ns, end_ns) != 0;
}

void correlate_read_tls(struct correlate *c, uint32_t run, uint64_t number,
			const struct tls_marks *m)
{
	struct conn *conn = ledger_conn(c->ledger, run, number);

	correlate_tls(c, run, number, m);
	if (conn != NULL && conn->track != NULL)
		correlate_gather_tls(c, conn, conn->track->flow, track_our_side(conn->track, conn),
				     UINT64_MAX);
}

static void give_conn(struct correlate *c, struct conn *conn, const struct track *t,
		      unsigned our_side)
{
	struct conn_finding e = {.conn = conn, .flow = t != NULL ? t->flow : NULL};

	if (conn != NULL)
		correlate_gather_tls(c, conn, e.flow, our_side, UINT64_MAX);
	e.our_side = our_side;
	e.from_packets = c->o.reads_http;
	c->o.conn(c->o.arg, &e);
	c->count.conns++;
}

/* A flow that nobody named: worth a line when it went to where clients connect. */
static void give_stranger(struct correlate *c, struct track *t)
{
	const struct flow *f = t->flow;

	if (t->is_remnant)
		return;
	if (ledger_is_listener(c->ledger, &f->side[1].addr))
		give_conn(c, NULL, t, 1);
	else if (ledger_is_listener(c->ledger, &f->side[0].addr))
		give_conn(c, NULL, t, 0);
}

/* When it was opened; of one that only a try names, when that exchange began. */
static uint64_t moment_of(const struct conn *conn)
{
	if (conn->opened_ns != 0 || conn->use_count == 0)
		return conn->opened_ns;
	return conn_use(conn, 0)->x->start_ns;
}

/*
 * Names are guesses until they are resolved: one that turns out to be another flow's makes place
 * for the next guess.
 */
static void settle_names(struct correlate *c, struct track *t)
{
	for (unsigned round = 0; round < 2; round++) {
		track_name(c->ledger, t);
		for (unsigned leg = 0; leg < 2; leg++)
			if (t->conn[leg] != NULL)
				(void)!track_resolve(c->flows, t->conn[leg],
						     moment_of(t->conn[leg]), c->clock_ns);
	}
}

/* True: exchanges on it are still to be given out. */
static bool is_in_use(const struct track *t)
{
	for (unsigned leg = 0; leg < 2; leg++)
		if (t->conn[leg] != NULL && t->conn[leg]->use_count > 0)
			return true;
	return false;
}

/* Lines for a flow that is closed, and the end of it. */
static void give_track(struct correlate *c, struct track *t)
{
	bool is_named = track_is_named(t);

	for (unsigned leg = 0; leg < 2; leg++) {
		struct conn *conn = t->conn[leg];

		if (conn == NULL)
			continue;
		give_conn(c, conn, t, track_our_side(t, conn));
		drop_conn(c, conn);
	}
	if (!is_named)
		give_stranger(c, t);
	remove_flow(c, t);
}

/* A line comes when the flow is closed for hold_ns and all its exchanges have settled. */
static uint64_t line_due_ns(const struct track *t, uint64_t closed_due_ns)
{
	uint64_t due_ns = closed_due_ns;

	for (unsigned leg = 0; leg < 2; leg++)
		if (t->conn[leg] != NULL)
			due_ns = MAX(due_ns, t->conn[leg]->given_ns);
	return due_ns;
}

static void run_endings(struct correlate *c)
{
	const struct heap_item *first;

	while ((first = heap_first(&c->endings)) != NULL && first->key <= c->clock_ns) {
		struct heap_item item = heap_pop(&c->endings);
		struct track *t = item.value;
		uint64_t due_ns;

		t->is_ending = false;
		settle_names(c, t);
		due_ns = line_due_ns(t, item.key);
		if (is_in_use(t)) /* it ends when the last of its exchanges was given out */
			continue;
		if (due_ns > item.key)
			correlate_track_ends(c, t, due_ns);
		else
			give_track(c, t);
	}
}

/*
 * The proxy closed the client's connection long ago: what was begun on it has no end record, and
 * what waits for packets that show the end waits in vain.
 */
static void lose_uses(struct correlate *c, struct conn *conn)
{
	for (uint32_t i = 0; i < conn->use_count && conn->leg == TAP_CLIENT; i++) {
		struct exchange *x = conn_use(conn, i)->x;
		bool was_ended = x->ended;

		correlate_lose(c, x);
		x->settled = true;
		x->settled_ns = c->clock_ns;
		if (!was_ended)
			correlate_await(c, x, later(c->clock_ns, 1));
	}
}

/* Closed by the proxy, but the packets did not tell. */
static void give_closed(struct correlate *c, struct conn *conn)
{
	struct track *t = conn->track;

	lose_uses(c, conn);
	if (conn->use_count > 0 || (t != NULL && (t->is_ending || t->conn[!conn->leg] != NULL))) {
		conn->closing_ns = later(c->clock_ns, PATIENCE_NS);
		TAILQ_INSERT_TAIL(&c->closing, conn, closing);
	} else if (t != NULL) {
		give_track(c, t);
	} else {
		give_conn(c, conn, NULL, 0);
		drop_conn(c, conn);
	}
}

static void run_closing(struct correlate *c)
{
	struct conn *conn;

	while ((conn = TAILQ_FIRST(&c->closing)) != NULL && conn->closing_ns <= c->clock_ns) {
		TAILQ_REMOVE(&c->closing, conn, closing);
		conn->closing_ns = 0;
		give_closed(c, conn);
	}
}

/* ---- flows that nobody names ----------------------------------------------------------------- */

static void give_up(struct correlate *c, struct track *t)
{
	const struct flow *f = t->flow;
	bool is_ours = t->listener_side < 2;

	if (t->is_ending) /* its line comes first */
		return;
	if (is_ours && f->last_ns + PATIENCE_NS > c->clock_ns) {
		t->first_ns = c->clock_ns;
		correlate_link_unnamed(c, t);
		return;
	}
	if (is_ours)
		give_stranger(c, t);
	else if (!t->is_remnant)
		unwanted_add(&c->unwanted, &f->side[0].addr, &f->side[1].addr);
	remove_flow(c, t);
}

static void run_unnamed(struct correlate *c)
{
	struct track *t;

	while ((t = TAILQ_FIRST(&c->unnamed)) != NULL &&
	       later(t->first_ns, c->o.hold_ns) <= c->clock_ns) {
		unlink_unnamed(c, t);
		track_name(c->ledger, t);
		if (!track_is_named(t))
			give_up(c, t);
	}
}

/* ---- time ------------------------------------------------------------------------------------ */

void correlate_run_conns(struct correlate *c)
{
	run_endings(c);
	run_closing(c);
	run_unnamed(c);
}

/* What is left at the end. */
struct rest {
	struct correlate *c;
	struct heap flows; /* tracks, by the flow's number */
	struct heap conns; /* that no packet showed, by their own */
};

static bool collect_flow(struct flow *f, void *arg)
{
	struct rest *r = arg;

	if (f->user != NULL && !heap_push(&r->flows, f->number, f->first_ns, f->user))
		r->c->count.lost++;
	return true;
}

/* A flow goes to the connection that claims it last, so all are asked before one is given out. */
static void collect_conns(struct rest *r)
{
	const struct ledger *l = r->c->ledger;
	struct conn *conn;
	size_t at = 0;

	while ((conn = ledger_next_conn(l, &at)) != NULL)
		(void)!track_resolve(r->c->flows, conn, conn->opened_ns, UINT64_MAX);
	at = 0;
	while ((conn = ledger_next_conn(l, &at)) != NULL)
		if (conn->track == NULL && !heap_push(&r->conns, conn->run, conn->number, conn))
			r->c->count.lost++;
}

void correlate_end_conns(struct correlate *c)
{
	struct rest r = {.c = c};

	run_endings(c);
	collect_conns(&r);
	flow_table_visit(c->flows, collect_flow, &r);
	while (r.flows.count > 0)
		give_track(c, heap_pop(&r.flows).value);
	while (r.conns.count > 0) {
		struct conn *conn = heap_pop(&r.conns).value;

		give_conn(c, conn, NULL, 0);
		drop_conn(c, conn);
	}
	heap_fini(&r.flows);
	heap_fini(&r.conns);
}
