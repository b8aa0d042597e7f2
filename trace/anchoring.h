/*
 * anchoring.h -- the connections of a live run whose SYN was not captured: what is asked of the
 * proxy for them, and what its answers and the packets (anchor.h) say for their flows.
 *
 * A connection is one of them when the proxy told of it as older than the tap, or when its flow
 * begins without a SYN. Others cost nothing but the question anchoring_concerns().
 */
#ifndef TRACE_ANCHORING_H
#define TRACE_ANCHORING_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"
#include "trace/anchor_note.h"
#include "trace/event.h"
#include "trace/flow.h"
#include "trace/ledger.h"
#include "trace/packet.h"
#include "trace/track.h"

struct anchoring;

struct anchoring_calls {
	void *arg;
	/* Ask for the position of this connection; conn 0: for those of all workers. */
	void (*ask)(void *arg, uint16_t worker, uint64_t conn);
	/* Its positions are of no more use. */
	void (*anchored)(void *arg, uint16_t worker, uint64_t conn);
};

/* The captures run since watched_ns (CLOCK_REALTIME, as all times here). NULL: no memory. */
struct anchoring *anchoring_new(const struct anchoring_calls *calls,
				uint64_t watched_ns) MUST_CHECK;
void anchoring_free(struct anchoring *g);

/* The proxy told of c (which the ledger knows); is_live: as of one that it had before. */
void anchoring_open(struct anchoring *g, struct conn *c, uint16_t worker, bool is_live);

/* The proxy told of c's position. */
void anchoring_position(struct anchoring *g, struct conn *c, const struct tap_position *p);

/* c is about to be dropped. */
void anchoring_forget(struct anchoring *g, struct conn *c);

/* The interface lost packets, up to ns. */
void anchoring_lost(struct anchoring *g, uint32_t iface, uint64_t ns);

/* Ask for what is due at now_ns. */
void anchoring_run(struct anchoring *g, uint64_t now_ns);

/* A question waits for its time. */
bool anchoring_is_waiting(const struct anchoring *g);

/* Is there anything to find out for the flow of this segment? Asked for every one. */
static inline bool anchoring_concerns(const struct track *t, const struct segment *seg,
				      const struct flow_place *place)
{
	if (place->copy || t->anchoring == TRACK_ANCHORING_OVER)
		return false;
	if (t->anchoring == TRACK_ANCHORING)
		return true;
	return (seg->payload_len > 0 && !place->data.known) ||
	       (place->fresh && (seg->flags & TCP_SYN) == 0);
}

/*
 * A segment that concerns it, which the flow table has just taken. True: it settled something about
 * its flow, which knows it from now on; note says what.
 */
bool anchoring_segment(struct anchoring *g, struct track *t, const struct segment *seg,
		       const struct flow_place *place, struct anchor_note *note);

/* What a note on a packet that side `from` of f sent means for f; offline the dump has noted it. */
void anchoring_apply(const struct anchor_note *note, struct flow *f, unsigned from, uint64_t ts_ns);

#endif
