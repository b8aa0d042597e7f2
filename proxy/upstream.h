/*
 * upstream.h -- one connection to a backend, in use by one exchange or idle in the pool.
 *
 * Knows no HTTP. An idle one closes by itself at the backend's FIN, at any unexpected byte, and when it has
 * idled long enough.
 */
#ifndef PROXY_UPSTREAM_H
#define PROXY_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/addr.h"
#include "common/attrib.h"
#include "common/exchange_record.h"
#include "proxy/conn.h"
#include "proxy/reason.h"
#include "proxy/timeouts.h"

struct worker;

enum upstream_state {
	UPSTREAM_CONNECTING, /* connect() is under way, or the handshake of TLS, for its user */
	UPSTREAM_BUSY,       /* connected; its user alone reads and writes */
	UPSTREAM_IDLE,       /* in the pool, no byte on its way */
	UPSTREAM_CLOSED,     /* freed at the end of this loop turn */
};

/* Something happened on a connecting or busy upstream: look at it. It may be closed in the call. */
typedef void (*upstream_wake)(void *arg);

struct upstream {
	TAILQ_ENTRY(upstream) link; /* pool or the dead */
	struct conn conn;
	struct worker *w;
	enum upstream_state state;
	bool reused;          /* taken from the pool */
	bool tls_failed;      /* its handshake: of no use */
	uint64_t idle_max_ns; /* from the backend's Keep-Alive, or UINT64_MAX */
	struct timeout idle_limit;
	upstream_wake wake;
	void *wake_arg;
};

TAILQ_HEAD(upstream_list, upstream);

/*
 * Begin to connect. NULL: *error is the errno of socket() or connect(). It may be connected at once, or
 * fail later: then conn.error is set when wake is called.
 */
struct upstream *upstream_connect(struct worker *w, const struct addr *to, upstream_wake wake,
				  void *arg, int *error) MUST_CHECK;

/* Close now, for a reason; reset: by RST. Freed at the end of this loop turn. */
void upstream_close(struct upstream *u, enum reason why, bool reset);

/* The constant part of a leg, with the next exchange counted. */
void upstream_leg(struct upstream *u, struct leg_record *leg);

#endif
