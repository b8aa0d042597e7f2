/*
 * log_line.h -- reads a line of proxy.ndjson that has the very form in which the proxy writes it:
 * members in its order, no white space, nothing escaped.
 *
 * Nearly every line has it, and is read an order of magnitude faster than JSON at large. What has
 * another form is no error here: log_reader asks jansson then, and jansson's word counts.
 */
#ifndef TRACE_LOG_LINE_H
#define TRACE_LOG_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"
#include "common/exchange_record.h"
#include "common/tls_marks.h"

/* What a line says of TLS, by leg (enum tap_leg). */
struct log_tls {
	uint32_t is_there[2]; /* 0: the leg is plain, or there is none */
	struct tls_marks marks[2];
};

/* With its newline. False: it has another form, and x and tls hold nothing of use. */
bool log_line_read(const char *line, size_t len, struct exchange_record *x,
		   struct log_tls *tls) MUST_CHECK;

/* The same of a few values only. */
struct log_line_times {
	uint32_t run;
	uint64_t start_ns;
	uint64_t end_ns; /* start + the last moment */
};
bool log_line_read_times(const char *line, size_t len, struct log_line_times *t) MUST_CHECK;

#endif
