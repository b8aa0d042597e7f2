/*
 * drops.c -- a list of losses, newest last. Bounded: of a million, the older half is forgotten,
 * which no running exchange asks for.
 */
#include "trace/drops.h"

#include <stdlib.h>
#include <string.h>

#define DROPS_MAX (1U << 20)
/* Stamps of one capture are nearly in order: one may lie so much before its predecessor. */
#define DISORDER_NS NS_PER_S

void drops_fini(struct drops *d)
{
	free(d->at);
	*d = (struct drops){0};
}

bool drops_add(struct drops *d, uint32_t iface, uint64_t ts_ns, uint32_t count)
{
	if (d->count == DROPS_MAX) {
		d->count /= 2;
		memmove(d->at, d->at + d->count, d->count * sizeof(*d->at));
	}
	if (d->count == d->cap) {
		uint32_t cap = d->cap > 0 ? 2 * d->cap : 64;
		struct drop *grown = realloc(d->at, cap * sizeof(*grown));

		if (grown == NULL)
			return false;
		d->at = grown;
		d->cap = cap;
	}
	d->at[d->count++] = (struct drop){ts_ns, iface, count};
	return true;
}

uint64_t drops_sum(const struct drops *d, uint64_t from_ns, uint64_t until_ns,
		   bool (*counts)(const void *arg, uint32_t iface), const void *arg)
{
	uint64_t sum = 0;

	for (uint32_t i = d->count; i > 0; i--) {
		const struct drop *drop = &d->at[i - 1];

		if (drop->ts_ns + DISORDER_NS < from_ns)
			break;
		if (drop->ts_ns > from_ns && drop->ts_ns <= until_ns && counts(arg, drop->iface))
			sum += drop->count;
	}
	return sum;
}

uint64_t drops_first(const struct drops *d, uint64_t from_ns, uint64_t until_ns,
		     bool (*counts)(const void *arg, uint32_t iface), const void *arg)
{
	uint64_t first_ns = 0;

	for (uint32_t i = d->count; i > 0; i--) {
		const struct drop *drop = &d->at[i - 1];

		if (drop->ts_ns + DISORDER_NS < from_ns)
			break;
		if (drop->ts_ns > from_ns && drop->ts_ns <= until_ns &&
		    (first_ns == 0 || drop->ts_ns < first_ns) && counts(arg, drop->iface))
			first_ns = drop->ts_ns;
	}
	return first_ns;
}

uint64_t drops_last(const struct drops *d, uint64_t until_ns,
		    bool (*counts)(const void *arg, uint32_t iface), const void *arg)
{
	uint64_t last_ns = 0;

	for (uint32_t i = d->count; i > 0; i--) {
		const struct drop *drop = &d->at[i - 1];

		if (drop->ts_ns + DISORDER_NS < last_ns)
			break;
		if (drop->ts_ns <= until_ns && drop->ts_ns > last_ns && counts(arg, drop->iface))
			last_ns = drop->ts_ns;
	}
	return last_ns;
}
