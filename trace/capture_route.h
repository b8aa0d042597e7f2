/*
 * capture_route.h -- which interfaces traffic passes, and which addresses are this machine's. Asks
 * the kernel; needs no right.
 */
#ifndef TRACE_CAPTURE_ROUTE_H
#define TRACE_CAPTURE_ROUTE_H

#include <net/if.h>
#include <stdbool.h>

#include "common/attrib.h"
#include "trace/capture.h"

struct capture_names {
	char name[CAPTURE_MAX][IF_NAMESIZE];
	bool needed[CAPTURE_MAX]; /* by more than a wildcard: must open */
	unsigned count;
};

/*
 * The interfaces for the endpoints, each once: the owner of a listener's address and loopback; all
 * that are up for a wildcard, but none that only serves another (a bridge's ports); the route's for
 * a peer, loopback when it is this machine. A peer without a route names none. False: none at all,
 * or more than CAPTURE_MAX; err says what to do.
 */
bool capture_find_interfaces(const struct capture_endpoint *endpoints, unsigned count,
			     struct capture_names *names, char err[CAPTURE_ERROR_MAX]) MUST_CHECK;

/* Once each. False: no room, or no name an interface could have. */
bool capture_add_name(struct capture_names *names, const char *name, bool needed) MUST_CHECK;

bool capture_is_loopback(const char *name);

/* This machine's addresses at one moment. */
struct capture_locals {
	struct addr *addrs; /* sorted, ports 0 */
	unsigned count;
};

/* Read them anew; on failure the old ones stay. Zero at first. */
void capture_locals_read(struct capture_locals *l);
void capture_locals_fini(struct capture_locals *l);

/* The port does not matter. */
bool capture_locals_have(const struct capture_locals *l, const struct addr *a);

#endif
