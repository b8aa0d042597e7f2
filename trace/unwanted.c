/*
 * unwanted.c -- a set of pairs of addresses, each by two hashes of 64 bits.
 *
 * Invariant: a ring place is in use exactly when the map leads from its hashes to it.
 */
#include "trace/unwanted.h"

#include <stdlib.h>

struct unwanted_pair {
	uint64_t low;
	uint64_t high;
};

void unwanted_fini(struct unwanted *u)
{
	map_fini(&u->pairs);
	free(u->ring);
	*u = (struct unwanted){0};
}

static struct unwanted_pair pair_of(const struct addr *a, const struct addr *b)
{
	uint64_t x = map_mix_addr(a), y = map_mix_addr(b);

	return (struct unwanted_pair){MIN(x, y), MAX(x, y)};
}

void unwanted_add(struct unwanted *u, const struct addr *a, const struct addr *b)
{
	struct unwanted_pair p = pair_of(a, b), *place;

	if (u->ring == NULL)
		u->ring = calloc(UNWANTED_MAX, sizeof(*u->ring));
	if (u->ring == NULL || map_get(&u->pairs, p.low, p.high) != NULL)
		return;
	place = &u->ring[u->next];
	if (map_get(&u->pairs, place->low, place->high) == place)
		map_take(&u->pairs, place->low, place->high);
	if (!map_put(&u->pairs, p.low, p.high, place))
		return;
	*place = p;
	u->next = (u->next + 1) % UNWANTED_MAX;
}

void unwanted_remove(struct unwanted *u, const struct addr *a, const struct addr *b)
{
	struct unwanted_pair p = pair_of(a, b);

	map_take(&u->pairs, p.low, p.high);
}

bool unwanted_has(const struct unwanted *u, const struct addr *a, const struct addr *b)
{
	struct unwanted_pair p;

	if (u->pairs.count == 0)
		return false;
	p = pair_of(a, b);
	return map_get(&u->pairs, p.low, p.high) != NULL;
}
