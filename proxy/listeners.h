/*
 * listeners.h -- the sockets that clients connect to: bound early, listening when all is ready.
 */
#ifndef PROXY_LISTENERS_H
#define PROXY_LISTENERS_H

#include <stdbool.h>

#include "common/addr.h"
#include "common/attrib.h"
#include "config/config.h"

struct listeners {
	int fds[CONFIG_LISTEN_MAX];
	struct addr addrs[CONFIG_LISTEN_MAX]; /* as bound: with the port the kernel chose */
	bool tls[CONFIG_LISTEN_MAX];
	unsigned count;
};

/* Bind all. An optional one that cannot be had for lack of IPv6 is a notice. False with a line on stderr. */
bool listeners_bind(struct listeners *l, const struct config_proxy *cfg) MUST_CHECK;

/* listen() on all and say so, one line each. False with a line on stderr. */
bool listeners_listen(struct listeners *l) MUST_CHECK;

void listeners_close(struct listeners *l);

#endif
