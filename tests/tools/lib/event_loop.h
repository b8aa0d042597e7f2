/*
 * event_loop.h -- what the epoll tools have in common: one loop that a signal ends.
 */
#ifndef TESTS_TOOLS_LIB_EVENT_LOOP_H
#define TESTS_TOOLS_LIB_EVENT_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"

/* What an epoll event's data points to; the first member of everything that is watched. */
struct watched {
	void (*ready)(struct watched *w, uint32_t events);
	int fd;
};

/* An epoll descriptor that SIGTERM and SIGINT make event_loop_run() return from; -1: no luck. */
int event_loop_open(void) MUST_CHECK;

bool event_loop_add(int epoll, struct watched *w, uint32_t events) MUST_CHECK;

/*
 * Until a signal or event_loop_end(): wait, hand out events, then call `idle` once. Every object that a callback may
 * end must live until `idle`: later events of the same turn may still point to it. `busy` says
 * that work is left, so that the wait must not sleep.
 */
void event_loop_run(int epoll, void (*idle)(void), const bool *busy);

/* As a signal does: event_loop_run() returns after this turn. */
void event_loop_end(void);

#endif
