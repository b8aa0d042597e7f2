/*
 * anchor.h -- finds the sequence numbers of a connection whose SYN was not captured, from positions
 * that the proxy told (trace/event.h) and the packets around them: design section 7, "Late attach".
 *
 * Pure: fed with positions and packets, knows no socket, no clock and no flow. Nothing is guessed:
 * a position that the packets do not prove says nothing, and two that contradict each other withdraw
 * what was found.
 *
 * What proves it. A position is (t0, S sent, R read, INQ, OUTQ, t1).
 *
 * Our bytes: D is the first of our data packets stamped after t1, and carries nothing that was seen
 * or acknowledged before.
 * - OUTQ is 0: S is at D's seq.
 * - OUTQ is not 0: S is at D's seq if that is OUTQ beyond the highest ACK of the peer's up to t1.
 *
 * The peer's bytes, when INQ is 0 and all had been read:
 * (a) R is at the highest ACK of our packets stamped before t0, if D carries the same ACK, or the
 *     peer's first data packet after t1 begins there; and no byte beyond it was captured up to t1.
 * (b) No packet of the connection is stamped in [t0 - ANCHOR_MARGIN_NS, t1]: R is at D's ACK, if no
 *     data of the peer came before D; or else at the seq of the peer's first data packet after t1,
 *     if that acknowledges all up to S, nothing of ours before D denies it (a lower ACK, a D-SACK),
 *     nothing of the peer's before D is lower, and D acknowledges it.
 */
#ifndef TRACE_ANCHOR_H
#define TRACE_ANCHOR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"

/* A packet stamped so long before t0 was surely processed by t0. */
#define ANCHOR_MARGIN_NS (50 * NS_PER_MS)

/* Whose bytes. */
enum anchor_way {
	ANCHOR_OURS,
	ANCHOR_PEERS,
	ANCHOR_WAYS,
};

struct anchor_position {
	uint64_t before_ns; /* t0 */
	uint64_t after_ns;  /* t1 */
	uint64_t sent_off;
	uint64_t read_off;
	uint32_t inq;
	uint32_t outq;
	bool drained; /* R was read to EAGAIN */
};

struct anchor_packet {
	uint64_t ts_ns;
	uint32_t seq; /* of the first payload byte */
	uint32_t ack;
	uint32_t len;  /* payload bytes */
	uint8_t flags; /* enum tcp_flag */
	bool is_ours;
	bool is_dsack; /* it tells of bytes that came twice */
};

/* seq is the sequence number of offset off. */
struct anchor_point {
	uint32_t seq;
	uint64_t off;
};

enum anchor_change {
	ANCHOR_NOTHING,
	ANCHOR_FOUND,
	ANCHOR_WITHDRAWN, /* for good: two positions contradict each other */
};

struct anchor_news {
	enum anchor_change change[ANCHOR_WAYS];
	struct anchor_point at[ANCHOR_WAYS]; /* where FOUND */
};

struct anchor;

/* Every packet stamped from watched_ns on is given in. NULL: no memory. */
struct anchor *anchor_new(uint64_t watched_ns) MUST_CHECK;
void anchor_free(struct anchor *a);

/* That way is known already, by a SYN: nothing will be found. */
void anchor_know(struct anchor *a, enum anchor_way way);

/* A position was told; the packets that it speaks of may have been given in, or not yet. */
void anchor_position(struct anchor *a, const struct anchor_position *p);

/* The next packet, in frame order. True: there is news. */
bool anchor_packet(struct anchor *a, const struct anchor_packet *p,
		   struct anchor_news *news) MUST_CHECK;

/* Packets stamped up to ns may be missing: positions from before then are of no use any more. */
void anchor_lost(struct anchor *a, uint64_t ns);

/* Both ways are known for good; more positions would not change it. */
bool anchor_is_done(const struct anchor *a) MUST_CHECK;

#endif
