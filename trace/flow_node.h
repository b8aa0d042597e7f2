/*
 * flow_node.h -- what flow.c and flow_table.c share: a flow with what nobody else needs to see.
 *
 * flow_table.c finds the flow of a segment and numbers it; flow.c knows what the segment does to
 * it.
 */
#ifndef TRACE_FLOW_NODE_H
#define TRACE_FLOW_NODE_H

#include "common/attrib.h"
#include "trace/flow.h"

struct flow_tuple;

/* The highest ACK number that one side has sent. */
struct flow_top_ack {
	bool known;
	uint32_t ack;
	uint32_t frame;
	uint64_t ns;
};

struct flow_node {
	struct flow flow; /* first: a flow is its node */
	struct flow_tuple *tuple;
	struct flow_node *older, *newer;   /* incarnations of the tuple */
	struct flow_node *colder, *warmer; /* by last packet */
	struct flow_top_ack top_ack[2];
	struct label label;
	uint32_t fin_next[2]; /* sequence number after each side's FIN */
	uint32_t rst_seq[2];  /* of each side's RST */
	uint32_t stale_ack;   /* last number that an earlier connection's segment acknowledged */
	bool stale_known;
	uint32_t noted[2];      /* letters that stand in the history */
	uint32_t repeated[2];   /* segments with repeated payload */
	uint32_t zero_wins[2];  /* zero window advertisements */
	bool counts_from_first; /* offsets count from the first packet where no SYN was seen */
};

/* A flow that seg begins, sent by side `from`; the other end is side 1 - from. NULL: no memory. */
struct flow_node *flow_node_new(const struct segment *seg, uint8_t from,
				uint32_t number) MUST_CHECK;
void flow_node_free(struct flow_node *n);

/* A side's initial sequence number is known: the first word counts. */
void flow_node_set_isn(struct flow_node *n, unsigned side, uint32_t isn);

/* It goes on where a flow that was given back had stood: what this side had sent and acknowledged. */
void flow_node_resume(struct flow_node *n, unsigned side, uint32_t next, uint32_t acked);

/*
 * The segment, sent by place->from, belongs to n. False: memory ran out, part of it was not kept.
 */
bool flow_node_add(struct flow_node *n, const struct segment *seg,
		   struct flow_place *place) MUST_CHECK;

/*
 * n is closed, and the segment, which side `from` sent, is no late one of it: it lies behind the
 * end, or acknowledges what lies there. So another connection has begun whose SYN was not captured.
 */
bool flow_node_is_outlived(const struct flow_node *n, const struct segment *seg,
			   uint8_t from) MUST_CHECK;

#endif
