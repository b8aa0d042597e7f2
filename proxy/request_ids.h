/*
 * request_ids.h -- X-Request-Id and W3C traceparent: which of them a request gets from the proxy.
 *
 * The client's are passed on. Where it sent none, both are made of the exchange id, so that what the
 * backend logs leads to the line in proxy.ndjson. Costs one conversion to hex and no allocation.
 */
#ifndef PROXY_REQUEST_IDS_H
#define PROXY_REQUEST_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/http_head.h"

#define REQUEST_ID_LEN         16
#define TRACEPARENT_LEN        55
#define TRACEPARENT_PREFIX_LEN 19 /* "00-" and the run's half of the trace id */

struct request_ids {
	bool own_request_id;  /* the client sent none, or only empty ones: these go */
	bool own_traceparent; /* it sent none, several or a malformed one: they go, and tracestate */
	char text[TRACEPARENT_LEN]; /* valid when one of the two is our own */
};

/* The part of a traceparent that is the same for all of a run: random, never all zero. */
void request_ids_prefix(uint64_t random, char out[TRACEPARENT_PREFIX_LEN]);

/* W3C Trace Context section 3.2.2: version 00, or a later one as far as it can be read. */
bool traceparent_valid(const char *value, size_t len);

/* Decide for one request whose head is complete; prefix is of request_ids_prefix(). */
void request_ids_choose(struct request_ids *ids, const struct http_head *h, const char *bytes,
			const char prefix[TRACEPARENT_PREFIX_LEN], uint64_t exchange_id);

/* Our X-Request-Id, REQUEST_ID_LEN digits: the exchange id. */
static inline const char *request_ids_id(const struct request_ids *ids)
{
	return ids->text + TRACEPARENT_PREFIX_LEN;
}

/* Our traceparent, TRACEPARENT_LEN bytes. */
static inline const char *request_ids_traceparent(const struct request_ids *ids)
{
	return ids->text;
}

#endif
