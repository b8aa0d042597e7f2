/*
 * loss_marks.h -- before which packet of an interface the kernel's drops belong.
 *
 * The kernel tells only sums: packets it kept and packets it lost because the ring was full. What it
 * kept but has not yet been read lies in the ring, in front of what was lost. So a loss that shows
 * when `kept` packets have been kept stands before the packet number kept + 1, not before the next
 * one that is read: a tracer that slept finds a whole ring of packets from before.
 */
#ifndef TRACE_LOSS_MARKS_H
#define TRACE_LOSS_MARKS_H

#include <stdint.h>

#define LOSS_MARKS_MAX 16

/* Of one interface; empty when all zero. */
struct loss_marks {
	uint64_t passed; /* packets read so far */
	uint64_t next;   /* `behind` of the first mark, when there is one */
	unsigned count;
	struct {
		uint64_t behind; /* so many packets stand before the loss */
		uint64_t lost;
	} mark[LOSS_MARKS_MAX];
};

/* `lost` more packets are gone since the last call; by now the kernel has kept `kept`. */
void loss_marks_note(struct loss_marks *m, uint64_t kept, uint64_t lost);

/* All that the kernel had kept up to here has been read, or was rejected behind the ring. */
void loss_marks_sync(struct loss_marks *m, uint64_t kept);

uint32_t loss_marks_take(struct loss_marks *m);

/* The next packet is read: how many were lost before it. */
static inline uint32_t loss_marks_pass(struct loss_marks *m)
{
	uint32_t lost = m->count > 0 && m->passed >= m->next ? loss_marks_take(m) : 0;

	m->passed++;
	return lost;
}

#endif
