/*
 * outputs.h -- the files of a traced run in its folder: names, creation, and the notice about them.
 */
#ifndef TRACE_OUTPUTS_H
#define TRACE_OUTPUTS_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/attrib.h"
#include "trace/lines.h"
#include "trace/pcapng.h"

#define OUTPUTS_PATH_MAX  4352
#define OUTPUTS_ERROR_MAX 512
#define OUTPUTS_NAME_MAX  256
#define APPLICATION_NAME  "flowtrace"

struct outputs {
	struct lines *flows;
	struct lines *conns;
	struct lines *segments;           /* NULL: none was wanted */
	struct pcapng *dump;              /* NULL: none was wanted, or it was handed on */
	char dump_name[OUTPUTS_NAME_MAX]; /* empty: none */
};

/*
 * Live: make DIR if it is not there, append to flows.ndjson and conns.ndjson, and begin a new dump:
 * dump.pcapng, dump-2.pcapng and so on; segments.ndjson, segments-2.ndjson is named after it, for
 * frames count within a dump. False: err says why, and nothing is open.
 */
struct outputs_options {
	const char *dir;
	bool with_dump;
	bool with_segments;
	bool is_private; /* the dump will hold secrets: nobody else may read any of them */
};
bool outputs_open_live(struct outputs *o, const struct outputs_options *with,
		       char err[OUTPUTS_ERROR_MAX]) MUST_CHECK;

/* Flush and close what is still open. */
void outputs_close(struct outputs *o);

/* What others may do with a file that is no secret: 0644 less the umask. */
mode_t outputs_public_mode(void);

/* dir/name. False: too long. */
bool outputs_path(char out[OUTPUTS_PATH_MAX], const char *dir, const char *name) MUST_CHECK;

/* Make dir unless it is there. */
bool outputs_make_dir(const char *dir, char err[OUTPUTS_ERROR_MAX]) MUST_CHECK;

#endif
