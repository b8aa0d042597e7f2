/*
 * flow.h -- TCP connections as the capture shows them: incarnations of 4-tuples, their handshakes,
 * both streams, and how they ended.
 *
 * Knows no HTTP, no tap and no clock but the packets' stamps.
 *
 * Invariant: of one 4-tuple, incarnations are listed oldest first; only the newest gets packets.
 */
#ifndef TRACE_FLOW_H
#define TRACE_FLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"
#include "trace/label.h"
#include "trace/packet.h"
#include "trace/stream.h"
#include "trace/wslabel.h"

#define FLOW_REMEMBERED_MAX 65536U

struct flow_table;

enum flow_how {
	FLOW_OPEN,
	FLOW_FIN,
	FLOW_RST,
};

struct flow_side {
	struct addr addr;
	struct stream *stream; /* bytes that this side sent */
	bool isn_known;
	uint32_t isn;
	uint64_t data_ns;   /* stamp of its first payload; 0: none seen */
	uint32_t fin_frame; /* 0: none seen */
	uint64_t fin_ns;
	uint32_t fin_ack_frame; /* first that acknowledges this side's FIN */
	uint64_t fin_ack_ns;
	uint32_t rst_frame;
	uint64_t rst_ns;
	uint32_t ws_base; /* what Wireshark counts its relative numbers from */
	uint8_t wscale;   /* SEGMENT_NO_WSCALE: not known or none */
};

struct flow {
	uint32_t number; /* as Wireshark's tcp.stream: counted over all TCP packets from 0 */
	struct flow_side side[2]; /* [0] sent the SYN, or the first packet seen */
	uint32_t syn_frame, syn_ack_frame, ack_frame; /* of the handshake; 0: not seen */
	uint64_t syn_ns, syn_ack_ns, ack_ns;
	uint64_t first_ns, last_ns; /* stamps of the first and newest packet */
	uint32_t first_frame;
	uint32_t packets;
	enum flow_how how; /* first sign of the end */
	uint8_t closed_by; /* index of the side that gave it */
	bool is_remnant; /* late packets of a flow that was given back: no connection is looked for */
	uint64_t closed_ns; /* both ways closed (FINs acknowledged, or a RST); 0: not yet */
	char history[32]; /* Zeek's letters, cut when full: upper case side 0, lower case side 1 */
	uint8_t history_len;
	bool is_counted; /* an ISN is only the first number seen: see flow_table_count_from_first() */
	void *user;      /* of the correlator; NULL at first */
	bool is_handshake_doubtful; /* its too: packets were lost between SYN and ACK */
};

/* What one segment meant. */
struct flow_place {
	struct flow *flow;
	uint32_t number; /* of the segment's stream; another than flow->number only after a note */
	uint8_t from;    /* side that sent it */
	bool copy;       /* the same packet was seen before on another interface: changed nothing */
	bool fresh;      /* a new incarnation began with it */
	struct stream_place data; /* when seg->payload_len > 0; what a RST carries is no data */
	uint64_t acked_from;      /* bytes of the other side newly acknowledged: [from, past) */
	uint64_t acked_past;
	bool again;             /* the same packet on the same interface: the network doubled it */
	uint32_t label;         /* enum label_bit */
	struct wslabel_seen ws; /* copies too: Wireshark knows none */
};

struct flow_table *flow_table_new(void) MUST_CHECK;

/*
 * From now on: where no SYN tells a side's ISN, its first sequence number, or the first that the other
 * side acknowledges, stands for it, as in Wireshark (is_counted is set). For captures that nobody
 * else's offsets go with.
 */
void flow_table_count_from_first(struct flow_table *t);

void flow_table_free(struct flow_table *t);

/*
 * One segment, in frame order. False when memory ran out (what was not kept of it counts as not
 * captured; place->flow may be NULL).
 */
bool flow_table_add(struct flow_table *t, const struct segment *seg,
		    struct flow_place *place) MUST_CHECK;

/*
 * A TCP header without its segment (DECODE_HEADER), in frame order. It takes part in the numbering
 * of streams, and begins no flow. The number of its stream, or UINT32_MAX without memory.
 */
uint32_t flow_table_note(struct flow_table *t, const struct segment *seg);

enum flow_rule {
	FLOW_LAST_NOT_AFTER,   /* client leg: last incarnation whose SYN is not after the moment */
	FLOW_FIRST_NOT_BEFORE, /* backend leg: first incarnation whose SYN is not before it */
};

/*
 * The incarnation between local and peer (either may have sent the SYN) by the rule. One without a
 * SYN counts with the stamp of its first packet, and only if no incarnation with a SYN fits; on
 * the client leg it then may also be the first after the moment (the capture began within it).
 * On the client leg none counts in which local had sent bytes or its FIN before the moment: it was
 * accepted earlier. NULL: none. `until_ns`: later incarnations do not count.
 */
struct flow *flow_table_find(struct flow_table *t, const struct addr *local,
			     const struct addr *peer, enum flow_rule rule, uint64_t moment_ns,
			     uint64_t until_ns) MUST_CHECK;

/* Index of the side with this address. */
static inline unsigned flow_side_of(const struct flow *f, const struct addr *a)
{
	return addr_equal(&f->side[0].addr, a) ? 0 : 1;
}

/*
 * Give a flow back: it will not be asked for again. Its number stays used: a late packet of the
 * same connection gets a flow that has the number, the ISNs and nothing else (user NULL,
 * is_remnant, place->fresh false), and Wireshark's labels as if nothing had been given back. Of the
 * connections whose flows are gone, the FLOW_REMEMBERED_MAX used last are remembered so.
 */
void flow_table_remove(struct flow_table *t, struct flow *f);

/* Oldest by last packet first; fn may remove the flow it is given. Stops when fn returns false. */
typedef bool (*flow_visit)(struct flow *f, void *arg);
void flow_table_visit(struct flow_table *t, flow_visit fn, void *arg);

#endif
