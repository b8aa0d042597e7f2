/*
 * match.h -- which flow is which connection of the log when the addresses do not tell: behind NAT, or
 * captured on another host.
 *
 * In a first pass over the capture, HTTP is read on flows that the log does not name, and the log's
 * connections that no flow has the addresses of are noted. Then they are held against each other: every
 * exchange that was read must be one of the connection's, with the same range of bytes for request and
 * response, the same method, target, status, X-Request-Id, and version and Host on the client leg, within MATCH_NEAR_NS
 * of the log's time; and of the connection's exchanges in that time none may be missing. If one flow and one
 * connection fit only each other, or several do and only with one of them one end kept its address
 * and port, they are bound in a second pass. Otherwise nothing is claimed.
 */
#ifndef TRACE_MATCH_H
#define TRACE_MATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"
#include "common/exchange_record.h"
#include "trace/http_pairs.h"
#include "trace/log_reader.h"

#define MATCH_NEAR_NS  NS_PER_S
#define MATCH_SEEN_MAX (1U << 20) /* exchanges read; beyond, nothing more is matched */

struct match;

/* is_once: there will be no second pass; it is only found out whether it would be worth while. */
struct match *match_new(bool is_once) MUST_CHECK;
void match_free(struct match *m);

/* ---- the first pass ---- */

/* Reads the flows that nobody named. NULL: the second pass, nothing is read. */
struct http_pairs *match_pairs(struct match *m);

/* A connection of the log that no flow has the addresses of. */
void match_unseen(struct match *m, uint32_t run, uint64_t conn);

/* Both are there: it is worth while to look. */
bool match_is_due(const struct match *m);

/* ---- between the passes ---- */

/*
 * Hold the flows against the log. True: some were matched. False with err not empty: the log could not
 * be read again.
 */
bool match_find(struct match *m, const char *log, char err[LOG_ERROR_MAX]) MUST_CHECK;

struct match_counters {
	uint64_t matched;   /* connections */
	uint64_t ambiguous; /* connections that more than one flow fits, or that share one */
};
void match_counters(const struct match *m, struct match_counters *out);

/* ---- the second pass ---- */

struct match_binding {
	uint32_t frame; /* the flow's first */
	uint32_t run;
	uint64_t conn;
	unsigned our_side;
};

/* Of the flow that began with this frame, or NULL. */
const struct match_binding *match_get(const struct match *m, uint32_t first_frame) MUST_CHECK;

#endif
