/*
 * heap.c -- a binary heap in an array.
 *
 * Invariant: no item is smaller than its parent, which stands at (i - 1) / 2.
 */
#include "trace/heap.h"

#include <assert.h>
#include <stdlib.h>

#define CAP_FIRST 64

void heap_fini(struct heap *h)
{
	free(h->items);
	*h = (struct heap){0};
}

bool heap_push(struct heap *h, uint64_t key, uint64_t tie, void *value)
{
	struct heap_item item = {key, tie, value};
	size_t i = h->count;

	if (h->count == h->cap) {
		size_t cap = h->cap > 0 ? 2 * h->cap : CAP_FIRST;
		struct heap_item *grown = realloc(h->items, cap * sizeof(*grown));

		if (grown == NULL)
			return false;
		h->items = grown;
		h->cap = cap;
	}
	for (; i > 0 && heap_item_before(&item, &h->items[(i - 1) / 2]); i = (i - 1) / 2)
		h->items[i] = h->items[(i - 1) / 2];
	h->items[i] = item;
	h->count++;
	return true;
}

struct heap_item heap_pop(struct heap *h)
{
	struct heap_item first, last;
	size_t i = 0, child;

	assert(h->count > 0);
	first = h->items[0];
	last = h->items[--h->count];
	while ((child = 2 * i + 1) < h->count) {
		if (child + 1 < h->count &&
		    heap_item_before(&h->items[child + 1], &h->items[child]))
			child++;
		if (!heap_item_before(&h->items[child], &last))
			break;
		h->items[i] = h->items[child];
		i = child;
	}
	if (h->count > 0)
		h->items[i] = last;
	return first;
}
