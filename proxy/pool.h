/*
 * pool.h -- a worker's idle connections to the backend: taken newest first, as late as possible.
 */
#ifndef PROXY_POOL_H
#define PROXY_POOL_H

#include <stdint.h>

#include "common/attrib.h"
#include "proxy/upstream.h"

struct pool {
	struct upstream_list idle; /* newest first */
	struct upstream_list dead; /* closed, freed by pool_reap() */
	uint32_t count;
	uint32_t max;
};

void pool_init(struct pool *p, uint32_t max);

/* Close all idle connections. */
void pool_close(struct pool *p, enum reason why);

/* Free what was closed in this loop turn. */
void pool_reap(struct pool *p);

/*
 * A live idle connection, by a look at its socket, or NULL. The caller owns it until pool_give() or
 * upstream_close().
 */
struct upstream *pool_take(struct pool *p, upstream_wake wake, void *arg) MUST_CHECK;

/* A connection whose exchange is complete; closes the one that idled longest when full. */
void pool_give(struct pool *p, struct upstream *u, uint64_t now_ns);

/*
 * From the worker, now and then: those whose RST came together with the end of a response are
 * noticed, which no event tells.
 */
void pool_recheck(struct pool *p);

/* Out of the list, when an idle one is closed (upstream_close() calls it). */
void pool_forget(struct pool *p, struct upstream *u);

#endif
