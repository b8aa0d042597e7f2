/*
 * pool.c -- the idle connections of one worker.
 *
 * Stale keep-alive is the field's most reported trouble, so: the event of an idle connection stays
 * on (upstream.c closes it at a FIN), and each is looked at again when it is taken: within one loop
 * turn bytes behind the last response may have come, and would be taken for the next one's.
 */
#include "proxy/pool.h"

#include <stdlib.h>

#include "proxy/worker.h"

void pool_init(struct pool *p, uint32_t max)
{
	TAILQ_INIT(&p->idle);
	TAILQ_INIT(&p->dead);
	p->count = 0;
	p->max = max;
}

void pool_forget(struct pool *p, struct upstream *u)
{
	TAILQ_REMOVE(&p->idle, u, link);
	p->count--;
}

void pool_close(struct pool *p, enum reason why)
{
	struct upstream *u;

	while ((u = TAILQ_FIRST(&p->idle)) != NULL)
		upstream_close(u, why, false);
}

void pool_recheck(struct pool *p)
{
	struct upstream *u, *next;

	for (u = TAILQ_FIRST(&p->idle); u != NULL; u = next) {
		next = TAILQ_NEXT(u, link);
		if (conn_recheck(&u->conn))
			upstream_close(u, REASON_BACKEND_CLOSED, false);
	}
}

void pool_reap(struct pool *p)
{
	struct upstream *u;

	while ((u = TAILQ_FIRST(&p->dead)) != NULL) {
		TAILQ_REMOVE(&p->dead, u, link);
		free(u);
	}
}

struct upstream *pool_take(struct pool *p, upstream_wake wake, void *arg)
{
	struct upstream *u;

	while ((u = TAILQ_FIRST(&p->idle)) != NULL) {
		if (!conn_is_quiet(&u->conn)) {
			upstream_close(u, REASON_BACKEND_CLOSED, false);
			continue;
		}
		pool_forget(p, u);
		timeout_clear(&u->w->timeouts, &u->idle_limit);
		u->state = UPSTREAM_BUSY;
		u->reused = true;
		u->conn.unsure =
			false; /* should it be dead, send() says so, and it is asked again */
		u->wake = wake;
		u->wake_arg = arg;
		return u;
	}
	return NULL;
}

void pool_give(struct pool *p, struct upstream *u, uint64_t now_ns)
{
	struct timeouts *ts = &u->w->timeouts;
	uint64_t max_ns = MIN(ts->duration_ns[TIMEOUT_POOL], u->idle_max_ns);

	if (p->max == 0 || max_ns == 0) {
		upstream_close(u, REASON_POOL_FULL, false);
		return;
	}
	if (p->count >= p->max)
		upstream_close(TAILQ_LAST(&p->idle, upstream_list), REASON_POOL_FULL, false);
	u->state = UPSTREAM_IDLE;
	u->wake = NULL;
	u->wake_arg = NULL;
	TAILQ_INSERT_HEAD(&p->idle, u, link);
	p->count++;
	timeout_set_for(ts, &u->idle_limit, TIMEOUT_POOL, now_ns, max_ns);
}
