/*
 * options.h -- the command line of flowproxy.
 */
#ifndef PROXY_OPTIONS_H
#define PROXY_OPTIONS_H

#include "common/attrib.h"
#include "config/config.h"

enum options_result {
	OPTIONS_RUN,
	OPTIONS_TEST,       /* -t: the stores are still to be looked at, no more than that */
	OPTIONS_EXIT_FINE,  /* -h, -V: said all there is to say */
	OPTIONS_EXIT_WRONG, /* one line was written to stderr */
};

/* Defaults, the file of -c, then the other options in their order; checked. */
enum options_result options_read(struct config *cfg, int argc, char **argv) MUST_CHECK;

#endif
