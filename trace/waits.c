/*
 * waits.c -- sets of intervals, sorted when they are asked.
 */
#include "trace/waits.h"

#include <stdlib.h>

#define CAP_FIRST 16

const char *wait_word(enum wait_kind kind)
{
	return kind == WAIT_RETRANSMISSION ? "retransmission" : "zero_window";
}

void waits_fini(struct waits *w)
{
	for (unsigned kind = 0; kind < WAIT_KINDS; kind++)
		free(w->at[kind]);
	*w = (struct waits){0};
}

void waits_reset(struct waits *w)
{
	for (unsigned kind = 0; kind < WAIT_KINDS; kind++)
		w->count[kind] = 0;
}

bool waits_add(struct waits *w, enum wait_kind kind, uint64_t from_ns, uint64_t to_ns)
{
	uint32_t cap = w->cap[kind] > 0 ? 2 * w->cap[kind] : CAP_FIRST;
	struct wait *grown;

	if (to_ns <= from_ns)
		return true;
	if (w->count[kind] == w->cap[kind]) {
		grown = realloc(w->at[kind], cap * sizeof(*grown));
		if (grown == NULL)
			return false;
		w->at[kind] = grown;
		w->cap[kind] = cap;
	}
	w->at[kind][w->count[kind]++] = (struct wait){from_ns, to_ns};
	return true;
}

static int by_begin(const void *a, const void *b)
{
	const struct wait *x = a, *y = b;

	return (x->from_ns > y->from_ns) - (x->from_ns < y->from_ns);
}

uint64_t waits_within(struct waits *w, enum wait_kind kind, uint64_t from_ns, uint64_t to_ns)
{
	uint64_t covered_ns = from_ns, sum_ns = 0;

	if (w->count[kind] == 0)
		return 0;
	qsort(w->at[kind], w->count[kind], sizeof(struct wait), by_begin);
	for (uint32_t i = 0; i < w->count[kind]; i++) {
		uint64_t begin_ns = MAX(w->at[kind][i].from_ns, covered_ns);
		uint64_t end_ns = MIN(w->at[kind][i].to_ns, to_ns);

		if (begin_ns >= end_ns)
			continue;
		sum_ns += end_ns - begin_ns;
		covered_ns = end_ns;
	}
	return sum_ns;
}
