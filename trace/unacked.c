/*
 * unacked.c -- a bounded list of sequence numbers, nearly always ascending and nearly always short.
 *
 * While the ends ascend, what an ACK covers stands in front and is dropped in one go; after a
 * retransmission all are looked at until the list was empty once. Ends and ACKs are any numbers:
 * "before" is not transitive over half the sequence space, so the short way is gone only where both
 * ways give the same.
 *
 * Invariant: unless is_mixed, the live ends ascend and span less than SPAN_MAX.
 */
#include "trace/unacked.h"

#include <stdlib.h>
#include <string.h>

#include "common/attrib.h"
#include "trace/seqnum.h"

#define SPAN_MAX (1U << 30)

static uint32_t *ends_of(struct unacked *u)
{
	return (u->many != NULL ? u->many : u->few) + u->head;
}

void unacked_fini(struct unacked *u)
{
	free(u->many);
	*u = (struct unacked){0};
}

static bool set_cap(struct unacked *u, uint16_t cap)
{
	uint32_t *many = realloc(u->many, cap * sizeof(*many));

	if (many == NULL)
		return false;
	if (u->many == NULL)
		memcpy(many, u->few, sizeof(u->few));
	u->many = many;
	u->cap = cap;
	return true;
}

/* Room for one more behind the last. */
static bool make_room(struct unacked *u)
{
	uint32_t cap = u->many != NULL ? u->cap : UNACKED_FEW;

	if (u->head + u->count < cap)
		return true;
	if (u->head > u->count) {
		memmove(ends_of(u) - u->head, ends_of(u), u->count * sizeof(uint32_t));
		u->head = 0;
		return true;
	}
	return set_cap(u, (uint16_t)MIN(4 * cap, 2 * UNACKED_MAX + 2));
}

void unacked_add(struct unacked *u, uint32_t end)
{
	uint32_t *ends;

	if (unacked_is_full(u) || !make_room(u))
		return;
	ends = ends_of(u);
	if (u->count > 0 &&
	    (end - ends[0] >= SPAN_MAX || end - ends[0] < ends[u->count - 1] - ends[0]))
		u->is_mixed = true;
	ends[u->count++] = end;
}

static void drop_anywhere(struct unacked *u, uint32_t ack)
{
	uint32_t *ends = ends_of(u);
	uint16_t kept = 0;

	for (uint16_t i = 0; i < u->count; i++)
		if (seq_before(ack, ends[i]))
			ends[kept++] = ends[i];
	u->count = kept;
}

void unacked_drop(struct unacked *u, uint32_t ack)
{
	const uint32_t *ends = ends_of(u);
	uint16_t n = 0;

	if (u->count == 0)
		return;
	if (u->is_mixed || ack - ends[0] - (1U << 31) < SPAN_MAX) {
		drop_anywhere(u, ack);
	} else {
		while (n < u->count && !seq_before(ack, ends[n]))
			n++;
		u->head = (uint16_t)(u->head + n);
		u->count = (uint16_t)(u->count - n);
	}
	if (u->count == 0) {
		u->head = 0;
		u->is_mixed = false;
	}
}

void unacked_shrink(struct unacked *u)
{
	if (u->count > UNACKED_KEPT)
		u->count = 0;
	if (u->count <= UNACKED_FEW) {
		memmove(u->few, ends_of(u), u->count * sizeof(uint32_t));
		free(u->many);
		u->many = NULL;
		u->cap = 0;
		u->head = 0;
		u->is_mixed = u->is_mixed && u->count > 0;
	} else if (u->cap > UNACKED_KEPT) {
		memmove(ends_of(u) - u->head, ends_of(u), u->count * sizeof(uint32_t));
		u->head = 0;
		(void)set_cap(u, UNACKED_KEPT);
	}
}
