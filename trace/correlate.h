/*
 * correlate.h -- joins what the proxy told (ledger) with what the packets showed (flows), and gives
 * out one finding per exchange and one per connection.
 *
 * Pure: no socket, no clock, no libpcap. An exchange is looked at when the packet clock has passed
 * `settled` (design section 8), and only packets stamped up to there count; so a live run and an
 * offline one give the same, in the same order: by (settled, id).
 */
#ifndef TRACE_CORRELATE_H
#define TRACE_CORRELATE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"
#include "common/exchange_record.h"
#include "trace/anchor_note.h"
#include "trace/event.h"
#include "trace/finding.h"
#include "trace/flow.h"
#include "trace/ledger.h"
#include "trace/packet.h"
#include "trace/track.h"

/* An exchange whose end is known is settled no later than this after it. */
#define SETTLED_MAX_NS (60 * NS_PER_S)
#define HURRY_NS       (200 * NS_PER_MS)

/* One connection. conn == NULL: one to a listener that no exchange and no tap names. */
struct conn_finding {
	const struct conn *conn;
	const struct flow *flow; /* NULL: not captured */
	unsigned our_side;
	bool from_packets; /* see leg_place */
};

struct correlate_options {
	uint64_t hold_ns;
	/*
	 * Live: connections become known while packets come, and a flow that is not named within
	 * hold_ns is given up. Else everything has been told before the first packet.
	 */
	bool is_live;
	struct anchoring *anchoring; /* live; stays the caller's. NULL: nothing is asked for */
	/*
	 * There is no log: connections and exchanges are told while packets come, as they are read from
	 * them (http_feed.h). Streams are kept until a track is not (track->is_kept).
	 */
	bool reads_http;
	void *arg;
	void (*exchange)(void *arg, const struct finding *e);
	void (*conn)(void *arg, const struct conn_finding *e);
};

struct anchoring;
struct correlate;

/* flows stays the caller's, who adds the segments; flow->user belongs to the correlator. */
struct correlate *correlate_new(struct flow_table *flows,
				const struct correlate_options *o) MUST_CHECK;
void correlate_free(struct correlate *c);

struct ledger *correlate_ledger(struct correlate *c);

/* ---- packets, in frame order ---- */

/*
 * One segment and what the flow table said of it; copies too. Returns the flow's track (NULL: no
 * memory), which is valid until the next call unless the caller takes a reference.
 */
struct track *correlate_segment(struct correlate *c, const struct segment *seg,
				const struct flow_place *place);

/* What the segment given in last has settled about its flow, for the dump; NULL: nothing. */
const struct anchor_note *correlate_note(const struct correlate *c);

/* Offline: the dump has this note on the segment given in last. */
void correlate_noted(struct correlate *c, const struct anchor_note *note, uint64_t ts_ns,
		     const struct flow_place *place);

/* An interface lost packets before this one (epb_dropcount). */
void correlate_drops(struct correlate *c, uint32_t iface, uint64_t ts_ns, uint32_t count);

/*
 * Live: the segment belongs to a connection that was given up because nobody named it. It is
 * neither numbered nor passed on.
 */
bool correlate_is_unwanted(struct correlate *c, const struct segment *seg) MUST_CHECK;

/* ---- what the proxy told ---- */

/* Live: where clients connect to (the port on any address, when it is a wildcard). */
void correlate_listener(struct correlate *c, const struct addr *a);

void correlate_open(struct correlate *c, uint32_t run, const struct tap_open *open);
void correlate_close(struct correlate *c, uint32_t run, const struct tap_close *close);
/* A connection's handshake of TLS: by the tap, or by any line of an exchange on it. */
void correlate_tls(struct correlate *c, uint32_t run, uint64_t conn, const struct tls_marks *m);
void correlate_position(struct correlate *c, uint32_t run, const struct tap_position *p);
void correlate_begin(struct correlate *c, uint32_t run, const struct tap_begin *begin,
		     uint64_t real_ns);
void correlate_exchange(struct correlate *c, const struct exchange_record *record);

/* The connection that was told of with this number is this flow. */
void correlate_bind(struct correlate *c, uint32_t run, uint64_t number, struct track *t,
		    unsigned our_side);

/* An exchange as read from packets; end_ns: stamp of what ended it. */
void correlate_read_exchange(struct correlate *c, const struct exchange_record *record,
			     uint64_t end_ns);

/* A connection's handshake as read from packets, all that there will be of it. */
void correlate_read_tls(struct correlate *c, uint32_t run, uint64_t number,
			const struct tls_marks *m);

/* No exchange will be told that has bytes below off on this side of the flow. */
void correlate_pass(struct correlate *c, struct track *t, unsigned side, uint64_t off);

/* Live: so many records are missing, made between these moments (CLOCK_REALTIME). */
void correlate_tap_lost(struct correlate *c, uint64_t from_ns, uint64_t to_ns, uint64_t count);

/* ---- time ---- */

/* All packets stamped up to ns, and all records made up to then, have been given in. */
void correlate_clock(struct correlate *c, uint64_t ns);

/*
 * Memory is short: give out so many of those that wait longest, although packets that concern them
 * may still come; fewer when the others are not over for HURRY_NS at the packets' clock.
 */
void correlate_hurry(struct correlate *c, size_t count);

/* Nothing more comes: what begun and did not end is tap-lost, and all that is left is given out. */
void correlate_end(struct correlate *c);

struct correlate_counters {
	uint64_t exchanges; /* given out */
	uint64_t hurried;   /* of them, before they had settled */
	uint64_t conns;
	uint64_t lost;       /* segments, records and lines that memory was missing for */
	uint64_t duplicates; /* exchanges told twice */
};
void correlate_counters(const struct correlate *c, struct correlate_counters *out);

/* Connections of the proxy whose flow is not closed yet. */
size_t correlate_open_conns(const struct correlate *c);

/* Exchanges that are over and wait. */
size_t correlate_waiting(const struct correlate *c);

/* Is there anything that waits for the clock? */
bool correlate_is_waiting(const struct correlate *c);

#endif
