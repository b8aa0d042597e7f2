/*
 * key_log.h -- lines of TLS key logs that wait to be written. Memory that held one is wiped.
 */
#ifndef TRACE_KEY_LOG_H
#define TRACE_KEY_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "common/attrib.h"

/* Empty when all zero. */
struct key_log {
	char *text; /* lines in the NSS format, each with its end */
	size_t len;
	size_t cap;
};

/* A line without its end. False: no memory, it is not kept. */
bool key_log_add(struct key_log *k, const char *line, size_t len) MUST_CHECK;

/* Forget the lines, keep the memory; free it too. */
void key_log_clear(struct key_log *k);
void key_log_fini(struct key_log *k);

#endif
