/*
 * live.h -- `flowtrace capture`: attaches to a proxy's tap, captures its connections, and writes
 * the files of the run until the proxy or a signal ends it.
 */
#ifndef TRACE_LIVE_H
#define TRACE_LIVE_H

#include <stdint.h>

#include "common/attrib.h"
#include <stdbool.h>

#include "config/config.h"

struct live_options {
	const char *tap; /* path of the control socket */
	const char *out; /* folder */
	const char *interfaces[CONFIG_INTERFACES_MAX];
	unsigned interface_count; /* 0: found by itself */
	enum config_payload payload;
	uint32_t buffer_mb;
	uint32_t hold_ms;
	bool with_segments;
	bool with_secrets; /* wanted of the proxy, for the dump */
};

/* Returns the exit status. What went wrong stands on stderr. */
int live_run(const struct live_options *o) MUST_CHECK;

#endif
