/*
 * due.h -- what waits for its moment: the item with the smallest (key, tie) comes out first.
 *
 * A priority queue for keys that come nearly in ascending order and of which there are many: such
 * an item costs no more than a place in a ring. Others cost what a heap costs.
 */
#ifndef TRACE_DUE_H
#define TRACE_DUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"
#include "trace/heap.h"

/* Empty when all zero. */
struct due {
	struct heap_item *ring; /* ascending: ring[(first + i) & (cap - 1)] */
	size_t first;
	size_t count;
	size_t cap; /* 0, or a power of two */
	struct heap others;
};

void due_fini(struct due *d);

/* False: no memory, nothing changed. */
bool due_push(struct due *d, uint64_t key, uint64_t tie, void *value) MUST_CHECK;

/* The smallest, or NULL; valid until the next call. */
const struct heap_item *due_first(const struct due *d) MUST_CHECK;

/*
 * What most likely comes out so many pops later, or NULL: a chance to fetch its memory, which has
 * waited long and is in no cache any more.
 */
static inline void *due_ahead(const struct due *d, size_t pops)
{
	return pops < d->count ? d->ring[(d->first + pops) & (d->cap - 1)].value : NULL;
}

/* Take the smallest out; there must be one. */
struct heap_item due_pop(struct due *d);

static inline bool due_is_empty(const struct due *d)
{
	return d->count == 0 && d->others.count == 0;
}

#endif
