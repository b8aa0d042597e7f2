/*
 * tap_losses.h -- when records of the tap were lost: the proxy's buffer was full, since the tracer
 * did not read.
 */
#ifndef TRACE_TAP_LOSSES_H
#define TRACE_TAP_LOSSES_H

#include <stdint.h>

#define TAP_LOSSES_MAX 256

struct tap_loss {
	uint64_t from_ns, to_ns; /* CLOCK_REALTIME: somewhere in between */
	uint64_t count;
};

/* Empty when all zero. The newest TAP_LOSSES_MAX: running exchanges ask for no others. */
struct tap_losses {
	struct tap_loss at[TAP_LOSSES_MAX];
	uint64_t count; /* ever noted */
};

void tap_losses_add(struct tap_losses *l, uint64_t from_ns, uint64_t to_ns, uint64_t count);

/* How many were lost in spans that have a moment in common with [from_ns, to_ns]. */
uint64_t tap_losses_sum(const struct tap_losses *l, uint64_t from_ns, uint64_t to_ns);

#endif
