/*
 * track.h -- which captured flow is which connection of the proxy.
 *
 * A track is what the tracer keeps per flow beside the flow itself. It outlives the flow for as
 * long as a packet of it waits in the dump's queue.
 *
 * Two ways lead from one to the other. track_name() is quick and looks at what is known now: it is
 * for packets on their way into the dump. track_resolve() is the rule of design section 7, asked
 * when a record is made; what it says stands.
 */
#ifndef TRACE_TRACK_H
#define TRACE_TRACK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/attrib.h"
#include "trace/flow.h"
#include "trace/ledger.h"

#define TRACK_IFACES_MAX 4

/* Whether its first sequence numbers are being found out (anchoring.h, a live run's). */
enum track_anchoring {
	TRACK_ANCHORING_UNASKED, /* nothing has shown that they are missing */
	TRACK_ANCHORING,
	TRACK_ANCHORING_OVER,
};
struct http_conn;

struct track {
	TAILQ_ENTRY(track) link; /* of those not named yet, by first_ns */
	bool is_linked;
	bool is_remnant;      /* late packets of a flow that was given out already */
	bool is_ended;        /* both ways closed, or reset */
	bool is_ending;       /* and its line waits for its moment */
	struct flow *flow;    /* NULL: removed from the table */
	struct conn *conn[2]; /* by leg; both when the proxy is its own backend */
	uint32_t refs;
	uint8_t listener_side;  /* index of the side that is a listener's; 2: neither */
	uint8_t anchoring;      /* enum track_anchoring */
	bool is_kept;           /* its streams are, although nobody named it yet */
	bool is_passed;         /* no HTTP is looked for in it (any more) */
	struct http_conn *http; /* of http_pairs.c, or NULL */
	uint64_t named_at;      /* state of the ledger when naming failed last */
	uint64_t first_ns;

	/* Interfaces that showed it. */
	uint32_t iface_count;
	struct {
		uint32_t iface;
		uint64_t first_ns;
	} iface[TRACK_IFACES_MAX];
};

TAILQ_HEAD(track_list, track);

/* For a flow that has none; flow->user is set. NULL: no memory. One reference is the flow's. */
struct track *track_new(struct flow *f) MUST_CHECK;

void track_ref(struct track *t);
void track_unref(struct track *t);

/* The flow goes: the table forgets it, connections lose it, its reference is given back. */
void track_remove_flow(struct flow_table *flows, struct track *t);

void track_saw_iface(struct track *t, uint32_t iface, uint64_t ts_ns);

static inline bool track_is_named(const struct track *t)
{
	return t->conn[TAP_CLIENT] != NULL || t->conn[TAP_BACKEND] != NULL;
}

/* Find the connections of a flow among those the ledger knows now. */
void track_name(struct ledger *l, struct track *t);

/* Find the flow of a connection that has just become known. */
void track_find(struct flow_table *flows, struct conn *c);

/*
 * The flow of a connection by section 7, from what began up to until_ns; NULL: none. moment_ns
 * stands for the time of opening where the proxy did not tell it.
 */
struct track *track_resolve(struct flow_table *flows, struct conn *c, uint64_t moment_ns,
			    uint64_t until_ns) MUST_CHECK;

/* c is this flow's for good, whatever its addresses say; local is the flow's side our_side. */
void track_bind(struct track *t, struct conn *c, unsigned our_side);

/* c is about to be dropped. */
void track_forget_conn(struct conn *c);

/*
 * Which way a packet of it went that this side sent, seen from the proxy (enum packet_direction).
 */
uint8_t track_direction(const struct track *t, uint8_t from) MUST_CHECK;

/* Index of the flow's side that is the proxy's end of c. */
static inline unsigned track_our_side(const struct track *t, const struct conn *c)
{
	return c->is_bound ? c->bound_side : flow_side_of(t->flow, &c->local);
}

#endif
