/*
 * map.h -- a hash map from two numbers to a pointer, for connections, exchanges and addresses.
 *
 * Open addressing, keys compared exactly, never holds NULL. The pointers are the caller's.
 */
#ifndef TRACE_MAP_H
#define TRACE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/attrib.h"

struct map_slot {
	uint64_t key;
	uint64_t group;
	void *value; /* NULL: free */
};

/* Empty when all zero. */
struct map {
	struct map_slot *slots;
	size_t cap; /* 0, or a power of two */
	size_t count;
};

void map_fini(struct map *m);

/* NULL: there is none. */
void *map_get(const struct map *m, uint64_t group, uint64_t key) MUST_CHECK;

/* Replaces what stood there. False: no memory, nothing changed. */
bool map_put(struct map *m, uint64_t group, uint64_t key, void *value) MUST_CHECK;

/* Remove and return it, or NULL. */
void *map_take(struct map *m, uint64_t group, uint64_t key);

/*
 * Walk over all values: start with *at = 0; NULL at the end. Nothing may be put or taken meanwhile.
 * The order says nothing.
 */
void *map_next(const struct map *m, size_t *at);

/* A 64-bit hash in which every bit of both numbers counts. */
uint64_t map_mix(uint64_t a, uint64_t b);

/* The same of what addr_equal() compares. */
uint64_t map_mix_addr(const struct addr *a);

#endif
