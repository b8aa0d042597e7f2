/*
 * accepted.h -- a client's connection on its way from the listener to the worker that takes it.
 */
#ifndef PROXY_ACCEPTED_H
#define PROXY_ACCEPTED_H

#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"

struct accepted {
	int fd;             /* non-blocking, close-on-exec */
	bool tls;           /* its listener speaks TLS */
	uint64_t opened_ns; /* CLOCK_REALTIME, after accept() */
	struct addr local;
	struct addr peer;
};

#endif
