/*
 * timeouts.h -- time limits without a timer each: one list per class, sorted by deadline, swept by one
 * tick of the worker.
 *
 * The limits of a class are nearly always the same constant, so that a new deadline goes to the
 * list's tail. Knows no clock: it is told the time.
 */
#ifndef PROXY_TIMEOUTS_H
#define PROXY_TIMEOUTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/attrib.h"

enum timeout_class {
	TIMEOUT_NONE,
	TIMEOUT_HEADER,
	TIMEOUT_IDLE,
	TIMEOUT_BODY,
	TIMEOUT_SEND,
	TIMEOUT_RESOLVE,
	TIMEOUT_CONNECT,
	TIMEOUT_BACKEND,
	TIMEOUT_POOL,
	TIMEOUT_TUNNEL,
	TIMEOUT_REQUEST,
	TIMEOUT_LOOK,
	TIMEOUT_LINGER_QUIET,
	TIMEOUT_LINGER_TOTAL,
	TIMEOUT_CLASSES,
};

struct timeout;
typedef void (*timeout_fn)(struct timeout *t, enum timeout_class what);

struct timeout {
	TAILQ_ENTRY(timeout) link;
	uint64_t deadline_ns;
	timeout_fn fn;
	enum timeout_class what; /* TIMEOUT_NONE: in no list */
};

TAILQ_HEAD(timeout_list, timeout);

struct timeouts {
	struct timeout_list lists[TIMEOUT_CLASSES];
	uint64_t duration_ns[TIMEOUT_CLASSES]; /* 0: off */
	uint32_t count;                        /* in all lists */
};

void timeouts_init(struct timeouts *ts);
void timeout_init(struct timeout *t, timeout_fn fn);

/* Begin (again) a limit of this class at now. A class that is off clears it. */
void timeout_set(struct timeouts *ts, struct timeout *t, enum timeout_class what, uint64_t now_ns);

/* The same with a duration of its own. */
void timeout_set_for(struct timeouts *ts, struct timeout *t, enum timeout_class what,
		     uint64_t now_ns, uint64_t duration_ns);

void timeout_clear(struct timeouts *ts, struct timeout *t);

/* Call fn of all that are due; each has been cleared before its call. At most `most` of them. */
void timeouts_sweep(struct timeouts *ts, uint64_t now_ns, unsigned most);

/* The one that has waited longest in a class, or NULL. */
struct timeout *timeouts_oldest(const struct timeouts *ts, enum timeout_class what);

#endif
