/*
 * records_paths.h -- the files of a traced run, by the folder or by its flows.ndjson.
 */
#ifndef TRACE_RECORDS_PATHS_H
#define TRACE_RECORDS_PATHS_H

#include <limits.h>
#include <stdbool.h>

#include "common/attrib.h"

struct records_paths {
	char folder[PATH_MAX];
	char flows[PATH_MAX];
	char conns[PATH_MAX];
	char proxy[PATH_MAX];
};

/* of: DIR or FLOWS. False: it is too long a name. Looks at nothing but whether it is a folder. */
bool records_paths_init(struct records_paths *p, const char *of) MUST_CHECK;

/*
 * Where a dump that a record names is: in the folder; an absolute name is kept. False: too long, or no name.
 */
bool records_paths_dump(const struct records_paths *p, const char *dump,
			char out[PATH_MAX]) MUST_CHECK;

#endif
