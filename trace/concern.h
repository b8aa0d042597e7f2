/*
 * concern.h -- which bytes a segment's labels concern, and so whose exchange they belong to.
 */
#ifndef TRACE_CONCERN_H
#define TRACE_CONCERN_H

#include <stdbool.h>
#include <stdint.h>

#include "trace/flow_node.h"

/* Is there a word to be noted at all? */
static inline bool concern_any(const struct flow_place *place)
{
	return place->ws.flags != 0 || (place->label & ~(uint32_t)LABEL_ORDINARY) != 0;
}

/*
 * Note the labels of a segment with the streams they concern: a retransmission with its own bytes, a
 * probe with those that wait, an ACK with the byte that the other side is to send or to send again.
 * False: no memory, some are not noted.
 */
bool concern_note(struct flow_node *n, const struct segment *seg, const struct flow_place *place);

#endif
