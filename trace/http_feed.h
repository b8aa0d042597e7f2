/*
 * http_feed.h -- in place of a proxy's log: tells the correlator of the exchanges that are read from
 * packets, and writes their lines as in proxy.ndjson.
 *
 * A line has what the packets tell (design section 6): one leg, "client", whose `local` is the
 * server; `run`, `backend` and its moments are null; `start`, `opened` and at_us are packets' stamps.
 */
#ifndef TRACE_HTTP_FEED_H
#define TRACE_HTTP_FEED_H

#include <stdint.h>

#include "common/attrib.h"
#include "trace/correlate.h"
#include "trace/http_pairs.h"
#include "trace/lines.h"

struct http_feed;

/* Both stay the caller's. exchanges: where the lines go. */
struct http_feed *http_feed_new(struct correlate *c, struct lines *exchanges) MUST_CHECK;
void http_feed_free(struct http_feed *f);

struct http_pairs *http_feed_pairs(struct http_feed *f);

#define HTTP_FEED_TLS_MAX 8

struct http_feed_counters {
	struct http_pairs_counters pairs;
	uint64_t lost;      /* lines that memory was missing for */
	uint64_t tls_count; /* connections that speak TLS; the numbers of the first of them: */
	uint64_t tls[HTTP_FEED_TLS_MAX];
};
void http_feed_counters(const struct http_feed *f, struct http_feed_counters *out);

#endif
