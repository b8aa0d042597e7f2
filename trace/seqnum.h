/*
 * seqnum.h -- the only place where 32-bit TCP sequence numbers are compared (RFC 9293 section 3.4).
 */
#ifndef TRACE_SEQNUM_H
#define TRACE_SEQNUM_H

#include <stdbool.h>
#include <stdint.h>

/* Distance from b to a, positive when a is later; |distance| < 2^31. */
static inline int32_t seq_diff(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

static inline bool seq_before(uint32_t a, uint32_t b)
{
	return seq_diff(a, b) < 0;
}

static inline bool seq_after(uint32_t a, uint32_t b)
{
	return seq_diff(a, b) > 0;
}

/*
 * The 64-bit offset nearest to `near` that has this sequence number; base is the seq of offset 0.
 * May be negative (a keep-alive one before the first byte).
 */
static inline int64_t seq_to_off(uint32_t seq, uint32_t base, uint64_t near)
{
	return (int64_t)near + seq_diff(seq, base + (uint32_t)near);
}

#endif
