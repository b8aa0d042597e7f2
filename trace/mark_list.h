/*
 * mark_list.h -- a sorted list of marks: places in a byte stream, each with the frame and the time
 * that made it. What stream.c is built of.
 *
 * One growing array whose live part slides: adding at the end and dropping at the front cost O(1)
 * amortized, finding O(log n), inserting moves the shorter side. Memory follows what is live.
 */
#ifndef TRACE_MARK_LIST_H
#define TRACE_MARK_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"

struct mark {
	uint64_t pos;
	uint64_t ts_ns;
	uint32_t len;
	uint32_t frame;
};

/* Empty when all zero. Live marks are at[head, head + count). */
struct mark_list {
	struct mark *at;
	uint32_t head;
	uint32_t count;
	uint32_t cap;
};

void mark_list_fini(struct mark_list *l);

static inline struct mark *mark_list_get(const struct mark_list *l, uint32_t i)
{
	return l->at + l->head + i;
}

static inline uint64_t mark_past(const struct mark *m)
{
	return m->pos + m->len;
}

/* Put a copy of m before index i (i == count: at the end). False: no memory, nothing changed. */
bool mark_list_insert(struct mark_list *l, uint32_t i, const struct mark *m) MUST_CHECK;

/* Drop the first n (all, if there are fewer). */
void mark_list_drop(struct mark_list *l, uint32_t n);

/* Drop the last; there must be one. */
static inline void mark_list_drop_last(struct mark_list *l)
{
	if (--l->count == 0)
		l->head = 0;
}

/* Index of the first mark with pos >= pos; count when there is none. */
uint32_t mark_list_find(const struct mark_list *l, uint64_t pos) MUST_CHECK;

static inline size_t mark_list_memory(const struct mark_list *l)
{
	return (size_t)l->cap * sizeof(*l->at);
}

#endif
