/*
 * http_pairs.h -- finds exchanges in the packets themselves: reads HTTP/1.x from both directions of every
 * connection and pairs requests with responses.
 *
 * Nothing is guessed. Whole and in order, the n-th response answers the n-th request. Where packets
 * are missing the count is lost with them; it is taken up again only where both directions agree: a request that began
 * when its client had acknowledged all that the server was seen to send, and a status line that
 * stands exactly there. A client that was seen to send a request before it had the response to the
 * one before (pipelining) gives no such place: from a loss on, its responses are nobody's.
 *
 * A request without its whole head is no exchange. Bytes count as missing when the other side has acknowledged
 * them and HTTP_GRACE_NS later they were not captured, at the latest when the connection ends.
 *
 * Memory: a segment that came too early is kept (reassembly.h), and one struct per connection that
 * speaks HTTP and per request without response, HTTP_UNANSWERED_MAX of them at most. Knows no clock
 * but the packets'.
 */
#ifndef TRACE_HTTP_PAIRS_H
#define TRACE_HTTP_PAIRS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"
#include "common/tls_marks.h"
#include "trace/flow.h"
#include "trace/http_exchange.h"
#include "trace/packet.h"
#include "trace/track.h"

#define HTTP_GRACE_NS       (100 * NS_PER_MS)
#define HTTP_UNANSWERED_MAX 1024
#define HTTP_KEPT_MAX       (64U * 1024 * 1024) /* of all connections together */

struct http_conn;

/* One connection that speaks HTTP, as others may see it. */
struct http_conn_view {
	uint64_t number; /* from 1, in the order in which they showed their first request */
	struct track *track;
	unsigned client; /* index of the flow's side that sends requests */
};

struct http_pairs_calls {
	void *arg;
	/* Its first request was read, or a ClientHello. */
	void (*opened)(void *arg, const struct http_conn_view *c);
	/* A request's head was read: id, start and the begin of its range are set. */
	void (*begun)(void *arg, const struct http_conn_view *c, const struct http_exchange *e);
	/* A response's head was read (1xx too): it begins at first. */
	void (*answered)(void *arg, const struct http_conn_view *c, const struct http_exchange *e,
			 uint64_t first);
	/* Over: all of e->x is set. It is gone afterwards. */
	void (*ended)(void *arg, const struct http_conn_view *c, const struct http_exchange *e);
	/* Bytes below off that no exchange claims will not be asked for. */
	void (*passed)(void *arg, const struct http_conn_view *c, unsigned side, uint64_t off);
	/* A connection (opened, too) speaks TLS: its handshake as far as it is in clear. May be NULL. */
	void (*tls)(void *arg, const struct http_conn_view *c, const struct tls_marks *m);
};

struct http_pairs;

struct http_pairs *http_pairs_new(const struct http_pairs_calls *calls) MUST_CHECK;

/* The flows' tracks may be gone already. */
void http_pairs_free(struct http_pairs *p);

/*
 * A segment and what the flow table said of it. The track's flow
 * counts its offsets from its first packet at the latest (flow_table_count_from_first()).
 */
void http_pairs_segment(struct http_pairs *p, struct track *t, const struct segment *seg,
			const struct flow_place *place);

/* All packets stamped up to ns have been given in. */
void http_pairs_clock(struct http_pairs *p, uint64_t ns);

/* No packet comes any more. */
void http_pairs_end(struct http_pairs *p);

struct http_pairs_counters {
	uint64_t lost;      /* memory was missing for a connection or an exchange */
	uint64_t responses; /* whole heads, 1xx and those that no request is known for included */
	uint64_t strays;    /* final responses that no request is known for */
};
void http_pairs_counters(const struct http_pairs *p, struct http_pairs_counters *out);

#endif
