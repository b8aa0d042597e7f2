/*
 * notes.h -- what is remarkable about the segments of one direction: labels, and the bytes that they
 * concern. Part of a stream (stream.h), in its positions.
 */
#ifndef TRACE_NOTES_H
#define TRACE_NOTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"
#include "trace/tally.h"

struct note {
	uint64_t pos; /* it concerns [pos, pos + len) */
	uint64_t ts_ns;
	uint32_t len;
	uint32_t frame;
	uint32_t label; /* enum label_bit */
	uint32_t ws;    /* enum wslabel_bit */
};

/* Empty when all zero: most streams have none, and then no memory. */
struct notes {
	struct note *at;
	uint32_t head, count, cap;
	uint32_t longest;
};

void notes_fini(struct notes *n);

/* Frames ascend. False: no memory, the note is not kept. */
bool notes_add(struct notes *n, const struct note *note) MUST_CHECK;

/* What ends at or below pos is not asked for again. */
void notes_forget(struct notes *n, uint64_t pos);

/* Add up those that concern a byte of [first, past) and are stamped from from_ns up to until_ns. */
void notes_tally(const struct notes *n, uint64_t first, uint64_t past, uint64_t from_ns,
		 uint64_t until_ns, struct tally *t);

/* Index of the first note that may concern a byte at or above pos; count: there is none. */
uint32_t notes_find(const struct notes *n, uint64_t pos) MUST_CHECK;

static inline const struct note *notes_get(const struct notes *n, uint32_t i)
{
	return n->at + n->head + i;
}

static inline size_t notes_memory(const struct notes *n)
{
	return (size_t)n->cap * sizeof(*n->at);
}

#endif
