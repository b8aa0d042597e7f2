/*
 * analyze.h -- `flowtrace analyze`: the same records from a proxy's log and capture files.
 */
#ifndef TRACE_ANALYZE_H
#define TRACE_ANALYZE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"

struct analyze_options {
	const char *log;       /* NULL: exchanges are read from the packets */
	char *const *captures; /* one: its order is frame order; several: merged by time */
	unsigned capture_count;
	const char *out; /* folder; NULL: the table goes to standard output */
	uint32_t hold_ms;
	bool with_segments; /* needs a folder */
};

/*
 * With `out`, that folder holds flows.ndjson and conns.ndjson, made anew, the annotated capture and
 * a copy of the log afterwards; without a log, a proxy.ndjson in its place with what the packets
 * told. Returns the exit status: 1 also when an input was broken, after
 * everything before that place was reported.
 */
int analyze_run(const struct analyze_options *o) MUST_CHECK;

#endif
