/*
 * unacked.h -- the ends of the segments of one direction that nobody has acknowledged yet, at most
 * UNACKED_MAX of them: what Wireshark keeps so, and what its labels then depend on.
 */
#ifndef TRACE_UNACKED_H
#define TRACE_UNACKED_H

#include <stdbool.h>
#include <stdint.h>

#define UNACKED_MAX  10000
#define UNACKED_FEW  4
#define UNACKED_KEPT 64

/* Empty when all zero. */
struct unacked {
	uint32_t *many; /* NULL: they stand in few */
	uint32_t few[UNACKED_FEW];
	uint16_t head;
	uint16_t count;
	uint16_t cap;  /* of many */
	bool is_mixed; /* not in ascending order, or too far apart to have one */
};

void unacked_fini(struct unacked *u);

static inline bool unacked_is_full(const struct unacked *u)
{
	return u->count >= UNACKED_MAX;
}

/* Does nothing when the list is full; without memory the end is not listed. */
void unacked_add(struct unacked *u, uint32_t end);

/* Those that end at or before ack go. */
void unacked_drop(struct unacked *u, uint32_t ack);

/* Nothing is expected any more: give memory back. More than UNACKED_KEPT ends are forgotten. */
void unacked_shrink(struct unacked *u);

#endif
