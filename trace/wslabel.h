/*
 * wslabel.h -- the tcp.analysis flags that Wireshark 4.0 gives each TCP packet, and its stream
 * numbers and relative sequence numbers.
 *
 * Pure: the caller has found the connection (both addresses and ports) and gives its packets in
 * file order; copies of a packet on several interfaces are packets like any other. What is compared
 * and kept follows Wireshark also where that is not the truth: ours is in label.h.
 */
#ifndef TRACE_WSLABEL_H
#define TRACE_WSLABEL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"
#include "trace/packet.h"
#include "trace/unacked.h"

/* Names of the fields behind "tcp.analysis.". */
#define WSLABELS(X)                                           \
	X(REUSED_PORTS, "reused_ports")                       \
	X(RETRANSMISSION, "retransmission")                   \
	X(FAST_RETRANSMISSION, "fast_retransmission")         \
	X(SPURIOUS_RETRANSMISSION, "spurious_retransmission") \
	X(OUT_OF_ORDER, "out_of_order")                       \
	X(LOST_SEGMENT, "lost_segment")                       \
	X(ACK_LOST_SEGMENT, "ack_lost_segment")               \
	X(DUPLICATE_ACK, "duplicate_ack")                     \
	X(ZERO_WINDOW, "zero_window")                         \
	X(ZERO_WINDOW_PROBE, "zero_window_probe")             \
	X(ZERO_WINDOW_PROBE_ACK, "zero_window_probe_ack")     \
	X(KEEP_ALIVE, "keep_alive")                           \
	X(KEEP_ALIVE_ACK, "keep_alive_ack")                   \
	X(WINDOW_UPDATE, "window_update")                     \
	X(WINDOW_FULL, "window_full")

enum wslabel_index {
#define WSLABEL_INDEX(name, word) WS_INDEX_##name,
	WSLABELS(WSLABEL_INDEX)
#undef WSLABEL_INDEX
		WSLABEL_COUNT
};

enum wslabel_bit {
#define WSLABEL_BIT(name, word) WS_##name = 1 << WS_INDEX_##name,
	WSLABELS(WSLABEL_BIT)
#undef WSLABEL_BIT
};

const char *wslabel_word(unsigned index);

/* What one end has sent. Raw numbers; 0 is "unknown" in next, max_ack and last_ack. */
struct wslabel_side {
	uint64_t next_ns;
	uint64_t last_ns;
	uint32_t base; /* sequence number of relative 0 */
	uint32_t next;
	uint32_t max_ack; /* the highest number that may be acknowledged to it */
	uint32_t last_ack;
	uint32_t dup_acks;
	uint32_t window;     /* raw; more than 16 bits: none seen */
	uint16_t last_flags; /* enum wslabel_bit of its last packet */
	uint16_t mptcp;      /* subtypes known when it sent last */
	uint8_t scale;       /* or one of WSLABEL_SCALE_ */
	bool is_based;
	bool is_first_ack; /* it has sent a SYN and no ACK since */
	struct unacked unacked;
};

#define WSLABEL_SCALE_UNKNOWN 255
#define WSLABEL_SCALE_NONE    254

/* One connection: the newest incarnation of two ends. */
struct wslabel {
	struct wslabel_side side[2];
	uint64_t syn_ns;
	uint64_t rtt_ns; /* first round trip; 0: not known */
	uint16_t mptcp;  /* subtypes of options seen on the MPTCP connection */
	bool has_syn;
};

void wslabel_init(struct wslabel *w);
void wslabel_fini(struct wslabel *w);

/* The connection was given back: no more than a compact state stays. */
void wslabel_shrink(struct wslabel *w);

/* What one packet is to Wireshark. */
struct wslabel_seen {
	uint32_t seq; /* relative */
	uint32_t ack;
	uint32_t window; /* scaled where the scale is known */
	uint16_t flags;  /* enum wslabel_bit */
};

enum wslabel_place {
	WSLABEL_SAME,
	WSLABEL_RENEWED,    /* another incarnation: the state is that of a new connection */
	WSLABEL_OTHER_BASE, /* a SYN/ACK with another number; the connection is the same */
};

/*
 * Whose is the packet that side `from` has sent? To be asked before all else, and of a header alone
 * too. A connection that is new anyway answers WSLABEL_SAME.
 */
enum wslabel_place wslabel_place(struct wslabel *w, const struct segment *seg, unsigned from);

/* What relative numbers are counted from, unless that is known. */
void wslabel_base(struct wslabel *w, const struct segment *seg, unsigned from);

/* A header without a length (SEGMENT_NO_LEN): it may still time the first round trip. */
void wslabel_time(struct wslabel *w, const struct segment *seg, unsigned from);

/* Label it. `place` is what wslabel_place() said of it; bases are known. */
void wslabel_add(struct wslabel *w, const struct segment *seg, unsigned from,
		 enum wslabel_place place, struct wslabel_seen *seen);

#endif
