/*
 * heap.h -- a priority queue: the item with the smallest (key, tie) comes out first.
 */
#ifndef TRACE_HEAP_H
#define TRACE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"

struct heap_item {
	uint64_t key;
	uint64_t tie;
	void *value;
};

static inline bool heap_item_before(const struct heap_item *a, const struct heap_item *b)
{
	return a->key != b->key ? a->key < b->key : a->tie < b->tie;
}

/* Empty when all zero. */
struct heap {
	struct heap_item *items;
	size_t count;
	size_t cap;
};

void heap_fini(struct heap *h);

/* False: no memory, nothing changed. */
bool heap_push(struct heap *h, uint64_t key, uint64_t tie, void *value) MUST_CHECK;

/* The smallest, or NULL; valid until the next call. */
static inline const struct heap_item *heap_first(const struct heap *h)
{
	return h->count > 0 ? &h->items[0] : NULL;
}

/* Take the smallest out; there must be one. */
struct heap_item heap_pop(struct heap *h);

#endif
