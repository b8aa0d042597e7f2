/*
 * table.h -- `flowtrace show DIR`: one line per exchange, at most SCREEN_COLUMNS wide, and a summary.
 *
 * Lines are written as they come; only sums are kept.
 */
#ifndef TRACE_TABLE_H
#define TRACE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "trace/records_reader.h"
#include "trace/screen.h"

/* Fields are table.c's own. */
struct table {
	const struct screen *screen;
	uint64_t day; /* of the last line, in days since 1970 */
	uint64_t exchanges;
	uint64_t by_class[6]; /* of statuses; [0]: none was sent */
	uint64_t timed;
	uint64_t total_us; /* sum over the timed ones */
	int64_t longest_us;
	char longest[ROW_KEY_MAX];
	uint64_t resent_bytes;
	uint64_t resent_exchanges;
	uint64_t missing_exchanges;
	uint64_t drops_exchanges;
	uint64_t with_backend;
	uint64_t opened; /* of these, on a backend connection made for them */
};

void table_begin(struct table *t, const struct screen *screen);

/* proxy is NULL when the log line is not there. */
void table_add(struct table *t, const struct flow_row *flow, const struct proxy_row *proxy);

void table_end(struct table *t);

#endif
