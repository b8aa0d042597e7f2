/*
 * drops.h -- what the interfaces lost, and when: the epb_dropcount of the packets as they came.
 */
#ifndef TRACE_DROPS_H
#define TRACE_DROPS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"

struct drop {
	uint64_t ts_ns;
	uint32_t iface;
	uint32_t count;
};

/* Empty when all zero. */
struct drops {
	struct drop *at;
	uint32_t count;
	uint32_t cap;
};

void drops_fini(struct drops *d);

/* In frame order. False: no memory, it is not noted. */
bool drops_add(struct drops *d, uint32_t iface, uint64_t ts_ns, uint32_t count) MUST_CHECK;

/*
 * Sum of those stamped after from_ns, up to until_ns, on interfaces for which counts(arg, iface) is
 * true.
 */
uint64_t drops_sum(const struct drops *d, uint64_t from_ns, uint64_t until_ns,
		   bool (*counts)(const void *arg, uint32_t iface), const void *arg);

/* The stamp of the last one up to until_ns, or 0. */
uint64_t drops_last(const struct drops *d, uint64_t until_ns,
		    bool (*counts)(const void *arg, uint32_t iface), const void *arg);

/* The stamp of the first of those that drops_sum() sums, or 0. */
uint64_t drops_first(const struct drops *d, uint64_t from_ns, uint64_t until_ns,
		     bool (*counts)(const void *arg, uint32_t iface), const void *arg);

#endif
