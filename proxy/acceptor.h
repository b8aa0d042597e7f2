/*
 * acceptor.h -- listening sockets of one event loop: accepts, and backs off when descriptors or the
 * connection limit run out.
 *
 * In the only worker's loop, or in the main thread for several.
 */
#ifndef PROXY_ACCEPTOR_H
#define PROXY_ACCEPTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"
#include "proxy/accepted.h"

struct acceptor;
struct event_base;
struct listeners;

struct acceptor_calls {
	void *arg;
	/* The callee owns its descriptor. */
	void (*accepted)(void *arg, const struct accepted *a);
	/* May another connection be accepted now? */
	bool (*room)(void *arg);
};

/* The listeners are bound, and borrowed. NULL: no memory. */
struct acceptor *acceptor_new(struct event_base *base, const struct listeners *listeners,
			      const struct acceptor_calls *calls) MUST_CHECK;
void acceptor_free(struct acceptor *a);

/* Accept from now on; the sockets listen. In the thread of base. */
void acceptor_start(struct acceptor *a);

/* Accept no more; connections that wait in the kernel's queue are still taken first. */
void acceptor_stop(struct acceptor *a);

#endif
