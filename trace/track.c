/*
 * track.c -- binds flows to connections.
 *
 * Invariant: t->conn[c->leg] == c exactly when c->track == t.
 */
#include "trace/track.h"

#include <assert.h>
#include <stdlib.h>

struct track *track_new(struct flow *f)
{
	struct track *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->flow = f;
	t->refs = 1;
	t->listener_side = 2;
	t->first_ns = f->first_ns;
	f->user = t;
	return t;
}

void track_ref(struct track *t)
{
	t->refs++;
}

void track_unref(struct track *t)
{
	assert(t->refs > 0);
	if (--t->refs == 0)
		free(t);
}

static void unname(struct conn *c)
{
	if (c->track == NULL)
		return;
	c->track->conn[c->leg] = NULL;
	c->track->named_at = 0;
	c->track = NULL;
}

static void name_as(struct conn *c, struct track *t)
{
	if (c->track == t)
		return;
	unname(c);
	if (t->conn[c->leg] != NULL)
		unname(t->conn[c->leg]);
	t->conn[c->leg] = c;
	c->track = t;
}

void track_bind(struct track *t, struct conn *c, unsigned our_side)
{
	c->is_resolved = true;
	c->is_bound = true;
	c->bound_side = (uint8_t)our_side;
	name_as(c, t);
}

void track_forget_conn(struct conn *c)
{
	unname(c);
}

void track_remove_flow(struct flow_table *flows, struct track *t)
{
	if (t->flow == NULL)
		return;
	for (unsigned leg = 0; leg < 2; leg++)
		if (t->conn[leg] != NULL)
			unname(t->conn[leg]);
	t->flow->user = NULL;
	flow_table_remove(flows, t->flow);
	t->flow = NULL;
	track_unref(t);
}

void track_saw_iface(struct track *t, uint32_t iface, uint64_t ts_ns)
{
	for (uint32_t i = 0; i < t->iface_count; i++)
		if (t->iface[i].iface == iface)
			return;
	if (t->iface_count == TRACK_IFACES_MAX)
		return;
	t->iface[t->iface_count].iface = iface;
	t->iface[t->iface_count++].first_ns = ts_ns;
}

static uint64_t began_ns(const struct flow *f)
{
	return f->syn_frame != 0 ? f->syn_ns : f->first_ns;
}

/*
 * Of the connections with the flow's addresses, the one whose opening goes with its beginning: a
 * client was accepted after its SYN, a backend's SYN was sent after the proxy began to connect.
 * Without a SYN the flow is older than the capture, and so may the opening be.
 */
static struct conn *conn_of(struct ledger *l, const struct flow *f, unsigned our_side)
{
	struct conn *best = NULL;
	struct conn *c = ledger_between(l, &f->side[our_side].addr, &f->side[1 - our_side].addr);

	for (; c != NULL; c = c->next_alike) {
		bool after = c->opened_ns >= began_ns(f);

		if (c->leg == TAP_CLIENT && after) {
			if (best == NULL || best->opened_ns < began_ns(f) ||
			    c->opened_ns < best->opened_ns)
				best = c;
		} else if ((c->leg == TAP_BACKEND && !after) ||
			   (c->leg == TAP_CLIENT && f->syn_frame == 0)) {
			if (best == NULL ||
			    (best->opened_ns < began_ns(f) && c->opened_ns > best->opened_ns))
				best = c;
		}
	}
	return best;
}

/* Would the rule rather have t than what c is bound to? Only a guess until it is resolved. */
static bool is_better(const struct conn *c, const struct track *t)
{
	const struct track *old = c->track;

	if (c->is_resolved)
		return false;
	if (old == NULL || old->flow == NULL)
		return true;
	if ((old->flow->syn_frame != 0) != (t->flow->syn_frame != 0))
		return t->flow->syn_frame != 0;
	return c->leg == TAP_CLIENT && t->flow->number > old->flow->number;
}

void track_name(struct ledger *l, struct track *t)
{
	uint64_t state = ledger_state(l);

	if (track_is_named(t) || t->named_at == state || t->is_remnant)
		return;
	t->named_at = state;
	for (unsigned side = 0; side < 2; side++) {
		struct conn *c = conn_of(l, t->flow, side);

		if (c != NULL && is_better(c, t))
			name_as(c, t);
	}
}

static enum flow_rule rule_of(const struct conn *c)
{
	return c->leg == TAP_CLIENT ? FLOW_LAST_NOT_AFTER : FLOW_FIRST_NOT_BEFORE;
}

static struct track *track_by_rule(struct flow_table *flows, const struct conn *c,
				   uint64_t moment_ns, uint64_t until_ns)
{
	uint64_t opened_ns = c->opened_ns != 0 ? c->opened_ns : moment_ns;
	struct flow *f =
		flow_table_find(flows, &c->local, &c->peer, rule_of(c), opened_ns, until_ns);

	return f != NULL ? f->user : NULL;
}

void track_find(struct flow_table *flows, struct conn *c)
{
	struct track *t = track_by_rule(flows, c, c->opened_ns, UINT64_MAX);

	if (t != NULL && t->conn[c->leg] == NULL)
		name_as(c, t);
}

struct track *track_resolve(struct flow_table *flows, struct conn *c, uint64_t moment_ns,
			    uint64_t until_ns)
{
	struct track *t;

	if (c->is_resolved)
		return c->track;
	t = track_by_rule(flows, c, moment_ns, until_ns);
	if (t == NULL)
		return NULL;
	/* A later SYN cannot take its place. */
	c->is_resolved = t->flow->syn_frame != 0;
	name_as(c, t);
	return t;
}

uint8_t track_direction(const struct track *t, uint8_t from)
{
	const struct conn *c = t->conn[t->conn[TAP_CLIENT] != NULL ? TAP_CLIENT : TAP_BACKEND];

	unsigned our_side = t->listener_side;

	if (t->flow != NULL && c != NULL)
		our_side = track_our_side(t, c);
	if (our_side > 1)
		return PACKET_DIRECTION_UNKNOWN;
	return our_side == from ? PACKET_OUTBOUND : PACKET_INBOUND;
}
