/*
 * resolver.h -- the addresses that the backend's name stands for, looked up by c-ares in the main
 * thread and published to the workers.
 *
 * Looked up again after max(1 s, smallest TTL) -- 10 s where the answer came from the hosts file and
 * has no TTL -- and 1 s after a failure; on failure the last good addresses stay. A literal address
 * is never looked up.
 */
#ifndef PROXY_RESOLVER_H
#define PROXY_RESOLVER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/attrib.h"
#include "config/config.h"

#define RESOLVED_MAX 16

enum resolved_state {
	RESOLVED_PENDING, /* no answer yet */
	RESOLVED_OK,      /* addrs are the newest known */
	RESOLVED_FAILED,  /* never resolved so far, and the last attempt failed */
};

struct resolved {
	enum resolved_state state;
	uint32_t count;
	struct addr addrs[RESOLVED_MAX]; /* in the order to try them (RFC 6724 as c-ares sorts) */
};

struct event_base;
struct resolver;

/*
 * Called in the main thread when what resolver_get() tells has changed (also to FAILED). May not
 * free the resolver.
 */
typedef void (*resolver_changed)(void *arg);

/*
 * timeout_ms bounds a whole lookup, all servers and repetitions included. The first one starts when
 * base runs, so changed is never called from in here. A literal address is RESOLVED_OK at once and
 * nothing is called ever.
 *
 * NULL with a line on stderr when c-ares cannot start. base runs in the main thread; cfg is borrowed.
 */
struct resolver *resolver_new(struct event_base *base, const struct config_backend *cfg,
			      uint32_t timeout_ms, resolver_changed changed, void *arg) MUST_CHECK;

/* What the system says otherwise (resolv.conf, hosts): for tests. */
struct resolver_sources {
	const char *servers; /* "127.0.0.1:5353", comma-separated; NULL: the system's */
	bool hosts_from_env; /* the hosts file is the one that CARES_HOSTS in the environment names */
};

/* The same with other sources; their text is copied. */
struct resolver *resolver_new_from(struct event_base *base, const struct config_backend *cfg,
				   uint32_t timeout_ms, const struct resolver_sources *sources,
				   resolver_changed changed, void *arg) MUST_CHECK;

/* A lookup that runs is given up. changed is not called any more. NULL is fine. */
void resolver_free(struct resolver *r);

/* The newest addresses, copied. From any thread. */
void resolver_get(struct resolver *r, struct resolved *out);

#endif
