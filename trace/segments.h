/*
 * segments.h -- segments.ndjson: one line per captured TCP packet, with its labels and exchanges.
 */
#ifndef TRACE_SEGMENTS_H
#define TRACE_SEGMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/attrib.h"
#include "trace/flow.h"
#include "trace/lines.h"

/* All of a line but the exchanges. */
struct segment_line {
	struct addr from, to;
	uint32_t frame;
	uint32_t stream;
	uint32_t seq, ack; /* relative, as Wireshark shows them */
	uint32_t len;
	uint32_t window; /* scaled where the scale is known */
	uint32_t label;  /* enum label_bit */
	uint16_t ws;     /* enum wslabel_bit */
	uint8_t flags;   /* enum tcp_flag */
};

void segment_line_fill(struct segment_line *l, const struct segment *seg,
		       const struct flow_place *place);

struct segments;

/* Lines go to out, which stays the caller's. NULL: no memory. */
struct segments *segments_new(struct lines *out) MUST_CHECK;
void segments_free(struct segments *s);

/* False: no memory for a line that long. */
bool segments_write(struct segments *s, const struct segment_line *l, const uint64_t *ids,
		    uint32_t id_count) MUST_CHECK;

#endif
