/*
 * tap_losses.c -- a ring of spans.
 */
#include "trace/tap_losses.h"

#include "common/attrib.h"

void tap_losses_add(struct tap_losses *l, uint64_t from_ns, uint64_t to_ns, uint64_t count)
{
	l->at[l->count++ % TAP_LOSSES_MAX] = (struct tap_loss){from_ns, to_ns, count};
}

uint64_t tap_losses_sum(const struct tap_losses *l, uint64_t from_ns, uint64_t to_ns)
{
	uint64_t sum = 0, kept = MIN(l->count, TAP_LOSSES_MAX);

	for (uint64_t i = 0; i < kept; i++)
		if (l->at[i].from_ns <= to_ns && l->at[i].to_ns >= from_ns)
			sum += l->at[i].count;
	return sum;
}
