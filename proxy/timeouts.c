/*
 * timeouts.c -- sorted lists of deadlines, one per class.
 *
 * Invariant: every list is sorted by deadline; a timeout with what == TIMEOUT_NONE is in none.
 */
#include "proxy/timeouts.h"

#include <stddef.h>

void timeouts_init(struct timeouts *ts)
{
	*ts = (struct timeouts){0};
	for (unsigned i = 0; i < TIMEOUT_CLASSES; i++)
		TAILQ_INIT(&ts->lists[i]);
}

void timeout_init(struct timeout *t, timeout_fn fn)
{
	*t = (struct timeout){.fn = fn, .what = TIMEOUT_NONE};
}

void timeout_clear(struct timeouts *ts, struct timeout *t)
{
	if (t->what == TIMEOUT_NONE)
		return;
	TAILQ_REMOVE(&ts->lists[t->what], t, link);
	t->what = TIMEOUT_NONE;
	ts->count--;
}

void timeout_set_for(struct timeouts *ts, struct timeout *t, enum timeout_class what,
		     uint64_t now_ns, uint64_t duration_ns)
{
	struct timeout_list *list = &ts->lists[what];
	struct timeout *before;

	timeout_clear(ts, t);
	t->what = what;
	t->deadline_ns = now_ns + duration_ns;
	ts->count++;
	before = TAILQ_LAST(list, timeout_list);
	while (before != NULL && before->deadline_ns > t->deadline_ns)
		before = TAILQ_PREV(before, timeout_list, link);
	if (before != NULL)
		TAILQ_INSERT_AFTER(list, before, t, link);
	else
		TAILQ_INSERT_HEAD(list, t, link);
}

void timeout_set(struct timeouts *ts, struct timeout *t, enum timeout_class what, uint64_t now_ns)
{
	if (ts->duration_ns[what] == 0)
		timeout_clear(ts, t);
	else
		timeout_set_for(ts, t, what, now_ns, ts->duration_ns[what]);
}

void timeouts_sweep(struct timeouts *ts, uint64_t now_ns, unsigned most)
{
	for (unsigned i = 0; i < TIMEOUT_CLASSES; i++) {
		struct timeout *t;

		while ((t = TAILQ_FIRST(&ts->lists[i])) != NULL && t->deadline_ns <= now_ns) {
			if (most-- == 0)
				return;
			timeout_clear(ts, t);
			t->fn(t, (enum timeout_class)i);
		}
	}
}

struct timeout *timeouts_oldest(const struct timeouts *ts, enum timeout_class what)
{
	return TAILQ_FIRST(&ts->lists[what]);
}
