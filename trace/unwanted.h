/*
 * unwanted.h -- the connections that a live capture saw and nobody named: their further packets are
 * not passed on, until the addresses are used by a new one.
 *
 * Bounded: the oldest is forgotten when there are too many.
 */
#ifndef TRACE_UNWANTED_H
#define TRACE_UNWANTED_H

#include <stdbool.h>

#include "common/addr.h"
#include "common/attrib.h"
#include "trace/map.h"

#define UNWANTED_MAX 65536U

struct unwanted_pair;

/* Empty when all zero. */
struct unwanted {
	struct map pairs;
	struct unwanted_pair *ring;
	uint32_t next;
};

void unwanted_fini(struct unwanted *u);

/* The order of the two addresses does not matter. Without memory nothing is added. */
void unwanted_add(struct unwanted *u, const struct addr *a, const struct addr *b);
void unwanted_remove(struct unwanted *u, const struct addr *a, const struct addr *b);
bool unwanted_has(const struct unwanted *u, const struct addr *a, const struct addr *b) MUST_CHECK;

#endif
