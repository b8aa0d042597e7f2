/*
 * correlate.c -- takes in what the packets show and what the proxy tells, each with the time.
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

bool correlate_showed(const struct flow *f, uint32_t iface, uint64_t until_ns)
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

	return correlate_showed(f->flow, iface, f->until_ns);
}

uint64_t correlate_first_loss(const struct correlate *c, const struct flow *f, uint64_t from_ns,
			      uint64_t until_ns)
{
	const struct flow_until showing = {f, until_ns};

	return drops_first(&c->drops, from_ns, until_ns, flow_lost_on, &showing);
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
		f->is_handshake_doubtful = correlate_first_loss(c, f, f->syn_ns, f->ack_ns) != 0;
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

/* ---- time ------------------------------------------------------------------------------------ */

void correlate_clock(struct correlate *c, uint64_t ns)
{
	if (ns < c->clock_ns)
		return;
	c->clock_ns = ns;
	correlate_run_exchanges(c);
	correlate_run_conns(c);
}

void correlate_end(struct correlate *c)
{
	correlate_lose_running(c);
	c->clock_ns = UINT64_MAX;
	correlate_run_exchanges(c);
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

size_t correlate_waiting(const struct correlate *c)
{
	return c->due.count + c->due.others.count;
}

bool correlate_is_waiting(const struct correlate *c)
{
	return !due_is_empty(&c->due) || c->endings.count > 0 || !TAILQ_EMPTY(&c->unnamed) ||
	       !TAILQ_EMPTY(&c->closing);
}
