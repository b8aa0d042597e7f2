/*
 * due.c -- a ring for what comes in order, a heap for the rest.
 *
 * Invariant: the ring ascends by (key, tie).
 */
#include "trace/due.h"

#include <stdlib.h>
#include <string.h>

#define CAP_FIRST 64U
#define STEPS_MAX \
	16U      /* an item may stand so many places before the last and still go to the ring */
#define AHEAD 6U /* items whose memory is fetched before they come out */

void due_fini(struct due *d)
{
	free(d->ring);
	heap_fini(&d->others);
	*d = (struct due){0};
}

static inline struct heap_item *ring_at(const struct due *d, size_t i)
{
	return &d->ring[(d->first + i) & (d->cap - 1)];
}

static bool ring_grow(struct due *d)
{
	size_t cap = d->cap > 0 ? 2 * d->cap : CAP_FIRST, tail = d->cap - d->first;
	struct heap_item *ring;

	if (d->count < d->cap)
		return true;
	ring = malloc(cap * sizeof(*ring));
	if (ring == NULL)
		return false;
	if (d->count > 0) { /* full: first to the end, then from the start to first */
		memcpy(ring, d->ring + d->first, tail * sizeof(*ring));
		memcpy(ring + tail, d->ring, d->first * sizeof(*ring));
	}
	free(d->ring);
	d->ring = ring;
	d->first = 0;
	d->cap = cap;
	return true;
}

bool due_push(struct due *d, uint64_t key, uint64_t tie, void *value)
{
	const struct heap_item item = {key, tie, value};
	size_t at = d->count, least = d->count > STEPS_MAX ? d->count - STEPS_MAX : 0;

	while (at > least && heap_item_before(&item, ring_at(d, at - 1)))
		at--;
	if (at > 0 && at == least && heap_item_before(&item, ring_at(d, at - 1)))
		return heap_push(&d->others, key, tie, value);
	if (!ring_grow(d))
		return false;
	d->count++;
	for (size_t i = d->count - 1; i > at; i--)
		*ring_at(d, i) = *ring_at(d, i - 1);
	*ring_at(d, at) = item;
	return true;
}

static bool is_from_ring(const struct due *d)
{
	const struct heap_item *other = heap_first(&d->others);

	return d->count > 0 && (other == NULL || !heap_item_before(other, ring_at(d, 0)));
}

const struct heap_item *due_first(const struct due *d)
{
	return is_from_ring(d) ? ring_at(d, 0) : heap_first(&d->others);
}

struct heap_item due_pop(struct due *d)
{
	struct heap_item item;

	if (!is_from_ring(d))
		return heap_pop(&d->others);
	item = *ring_at(d, 0);
	d->first = (d->first + 1) & (d->cap - 1);
	d->count--;
	return item;
}
