/*
 * sacks.h -- what one end has said by SACK that it holds beyond its ACK number (RFC 2018): a few
 * ranges of sequence numbers.
 */
#ifndef TRACE_SACKS_H
#define TRACE_SACKS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"

#define SACKS_MAX 32 /* more holes than that at once are not followed */

struct sack_range {
	uint32_t left, right; /* [left, right) */
};

/* Empty when count is 0. Ranges do not overlap; they are in no order. */
struct sacks {
	uint8_t count;
	struct sack_range at[SACKS_MAX];
};

/* True: some of it had not been told before. */
bool sacks_add(struct sacks *s, uint32_t left, uint32_t right);

/* All below is acknowledged. */
void sacks_drop(struct sacks *s, uint32_t acked);

/* All of [left, right) was told. NULL is an empty list. */
bool sacks_hold(const struct sacks *s, uint32_t left, uint32_t right) MUST_CHECK;

/* Something at or behind seq was told. */
bool sacks_above(const struct sacks *s, uint32_t seq) MUST_CHECK;

#endif
