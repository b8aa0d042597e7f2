/*
 * map.c -- the hash map: linear probing, taken out by shifting back, so that there are no graves.
 *
 * Invariant: at most two thirds of the slots are in use, and no free slot lies between a key's home
 * and its place.
 */
#include "trace/map.h"

#include <stdlib.h>
#include <string.h>

#define CAP_FIRST 64

uint64_t map_mix(uint64_t a, uint64_t b)
{
	uint64_t z = a * 0x9e3779b97f4a7c15ULL ^ (b + 0x7f4a7c15f39cc060ULL);

	z = (z ^ z >> 32) * 0xd6e8feb86659fd93ULL;
	z = (z ^ z >> 32) * 0xd6e8feb86659fd93ULL;
	return z ^ z >> 32;
}

uint64_t map_mix_addr(const struct addr *a)
{
	uint64_t word[3] = {0};

	memcpy(word, a, offsetof(struct addr, zero));
	return map_mix(map_mix(word[0], word[1]), word[2]);
}

void map_fini(struct map *m)
{
	free(m->slots);
	*m = (struct map){0};
}

/* Where the key stands, or the free slot where it would. */
static size_t find_slot(const struct map *m, uint64_t group, uint64_t key)
{
	size_t mask = m->cap - 1;
	size_t i = map_mix(group, key) & mask;

	while (m->slots[i].value != NULL && (m->slots[i].key != key || m->slots[i].group != group))
		i = (i + 1) & mask;
	return i;
}

void *map_get(const struct map *m, uint64_t group, uint64_t key)
{
	return m->count > 0 ? m->slots[find_slot(m, group, key)].value : NULL;
}

static bool map_grow(struct map *m)
{
	struct map grown = {.cap = m->cap > 0 ? 2 * m->cap : CAP_FIRST, .count = m->count};

	grown.slots = calloc(grown.cap, sizeof(*grown.slots));
	if (grown.slots == NULL)
		return false;
	for (size_t i = 0; i < m->cap; i++) {
		const struct map_slot *s = &m->slots[i];

		if (s->value != NULL)
			grown.slots[find_slot(&grown, s->group, s->key)] = *s;
	}
	free(m->slots);
	*m = grown;
	return true;
}

bool map_put(struct map *m, uint64_t group, uint64_t key, void *value)
{
	struct map_slot *s;

	if (3 * (m->count + 1) > 2 * m->cap && !map_grow(m))
		return false;
	s = &m->slots[find_slot(m, group, key)];
	if (s->value == NULL)
		m->count++;
	*s = (struct map_slot){.key = key, .group = group, .value = value};
	return true;
}

void *map_take(struct map *m, uint64_t group, uint64_t key)
{
	size_t mask = m->cap - 1;
	size_t hole, i;
	void *value;

	if (m->count == 0)
		return NULL;
	hole = find_slot(m, group, key);
	value = m->slots[hole].value;
	if (value == NULL)
		return NULL;
	m->count--;
	for (i = (hole + 1) & mask; m->slots[i].value != NULL; i = (i + 1) & mask) {
		size_t home = map_mix(m->slots[i].group, m->slots[i].key) & mask;

		/* It may move into the hole unless its home lies behind the hole. */
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole] = (struct map_slot){0};
	return value;
}

void *map_next(const struct map *m, size_t *at)
{
	while (*at < m->cap) {
		void *value = m->slots[(*at)++].value;

		if (value != NULL)
			return value;
	}
	return NULL;
}
