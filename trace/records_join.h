/*
 * records_join.h -- finds the line of proxy.ndjson that belongs to a line of flows.ndjson, both read once from
 * front to back.
 *
 * The two files tell of the same exchanges in nearly the same order. Lines read too early wait in a
 * window of bounded size; an exchange whose line is not within it has none.
 */
#ifndef TRACE_RECORDS_JOIN_H
#define TRACE_RECORDS_JOIN_H

#include <stdbool.h>

#include "common/attrib.h"
#include "trace/records_reader.h"

struct records_join;

/* path of a proxy.ndjson. NULL: err says why. */
struct records_join *records_join_new(const char *path, char err[RECORDS_ERROR_MAX]) MUST_CHECK;
void records_join_free(struct records_join *j);

/* The line of that exchange, valid until the next call; NULL: none. Of every exchange asked for once. */
const struct proxy_row *records_join_find(struct records_join *j,
					  const struct flow_row *flow) MUST_CHECK;

/* Lines that were no records, and whether reading ended with a failure; NULL: none, else the first message. */
const char *records_join_error(const struct records_join *j);

#endif
