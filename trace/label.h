/*
 * label.h -- our own words for what a segment is, from the exact map of bytes already seen.
 *
 * Unlike Wireshark's (wslabel.h) they know SACK, window scaling, timestamps, the IP id and which
 * bytes were carried before; where both differ, ours is meant to be what happened. Pure.
 */
#ifndef TRACE_LABEL_H
#define TRACE_LABEL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"
#include "trace/packet.h"
#include "trace/sacks.h"

/* All words, with what they mean. A segment may have several. */
#define LABELS(X)                                                                                \
	X(SYN, "syn", "opens the connection")                                                    \
	X(FIN, "fin", "its sender sends no more")                                                \
	X(RST, "rst", "ends the connection")                                                     \
	X(NEW, "new", "carries bytes that were not seen before")                                 \
	X(ACK, "ack", "carries nothing and acknowledges")                                        \
	X(RETRANSMISSION, "retransmission", "bytes, SYN or FIN sent again")                      \
	X(RTO, "rto", "retransmission: a timer ran out")                                         \
	X(FAST, "fast", "retransmission: duplicate ACKs or SACK told of a loss")                 \
	X(TLP, "tlp", "retransmission: a tail-loss probe (RFC 8985 section 7)")                  \
	X(SPURIOUS, "spurious", "retransmission: the peer had acknowledged or SACKed all of it") \
	X(PARTIAL, "partial", "retransmission: some of its bytes are new")                       \
	X(OUT_OF_ORDER, "out-of-order", "new bytes that were overtaken by later ones")           \
	X(DUPLICATE, "duplicate", "the same packet came twice")                                  \
	X(CAPTURE_DUPLICATE, "capture-duplicate", "the same packet, seen on another interface")  \
	X(GAP, "gap", "bytes before it were not seen (yet)")                                     \
	X(ACK_UNSEEN, "ack-unseen", "acknowledges bytes that were not seen")                     \
	X(DUP_ACK, "dup-ack", "acknowledges no more while bytes are outstanding")                \
	X(D_SACK, "d-sack", "tells of bytes that came twice (RFC 2883)")                         \
	X(ZERO_WINDOW, "zero-window", "its sender takes no more bytes")                          \
	X(ZERO_WINDOW_PROBE, "zero-window-probe", "asks whether the window is still zero")       \
	X(ZERO_WINDOW_PROBE_ACK, "zero-window-probe-ack", "answers: it is")                      \
	X(WINDOW_UPDATE, "window-update", "tells another window and nothing else")               \
	X(WINDOW_FULL, "window-full", "fills the peer's window to its end")                      \
	X(KEEP_ALIVE, "keep-alive", "asks whether the peer is still there")                      \
	X(KEEP_ALIVE_ACK, "keep-alive-ack", "answers: it is")

enum label_index {
#define LABEL_INDEX(name, word, meaning) LABEL_INDEX_##name,
	LABELS(LABEL_INDEX)
#undef LABEL_INDEX
		LABEL_COUNT
};

enum label_bit {
#define LABEL_BIT(name, word, meaning) LABEL_##name = 1 << LABEL_INDEX_##name,
	LABELS(LABEL_BIT)
#undef LABEL_BIT
};

const char *label_word(unsigned index);
const char *label_meaning(unsigned index);

/* What one end has sent and said. */
struct label_side {
	uint64_t sent_ns;    /* of what took sequence numbers last */
	uint64_t last_ns;    /* of its last segment */
	uint64_t next_ns;    /* when next was reached */
	uint32_t next;       /* past the highest sequence number */
	uint32_t next_tsval; /* of the segment that reached it */
	uint32_t acked;      /* the highest ACK number */
	uint32_t window;     /* the last one, scaled */
	uint32_t dup_acks;   /* since acked moved */
	uint32_t recover;    /* a fast recovery ends when the peer has acknowledged this */
	uint32_t reloss;     /* a timeout's does */
	uint32_t last;       /* enum label_bit of its last segment */
	uint16_t next_ip_id;
	bool has_next;
	bool has_ts; /* next_tsval is one */
	bool has_acked;
	bool recovers;
	bool has_timed_out;
	bool has_probed; /* a tail-loss probe was sent since the peer acknowledged more */
	bool permits_sack;
	struct sacks *sacks; /* what it has said of the peer's bytes; NULL: nothing */
};

/* One connection; empty when all zero. */
struct label {
	struct label_side side[2];
	uint64_t syn_ns;
	uint64_t rtt_ns; /* of the handshake; 0: not known */
};

void label_fini(struct label *l);

/* A connection goes on of which this was known: what side `from` had sent and acknowledged. */
void label_resume(struct label *l, unsigned from, uint32_t next, uint32_t acked);

/* What the map says of a segment. */
struct label_facts {
	bool is_copy;       /* of a packet on another interface */
	bool is_again;      /* on the same interface, the IP id included */
	uint32_t new_bytes; /* as in struct stream_place */
	uint32_t old_bytes;
	uint32_t window; /* scaled where the scale is known */
};

/* The words of the next segment, which side `from` has sent: a set of enum label_bit. */
uint32_t label_add(struct label *l, const struct segment *seg, unsigned from,
		   const struct label_facts *map);

/* The same without the short way that nearly all segments take; the answers are the same. */
uint32_t label_closely(struct label *l, const struct segment *seg, unsigned from,
		       const struct label_facts *map);

#endif
