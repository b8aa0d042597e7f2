/*
 * relay.h -- carries one exchange between a client connection and a backend: heads are read and written anew,
 * bodies stream through with bounded buffers.
 *
 * Driven by its client (relay_run()); its upstream only wakes the client. The machine of what is
 * true at any moment is exchange.h; here are the bytes.
 *
 * Invariant: a side is read only while the other side has taken everything so far.
 */
#ifndef PROXY_RELAY_H
#define PROXY_RELAY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/attrib.h"
#include "common/http_body.h"
#include "common/http_head.h"
#include "proxy/buf.h"
#include "proxy/conn.h"
#include "proxy/exchange.h"
#include "proxy/request_ids.h"
#include "proxy/tap.h"
#include "proxy/timeouts.h"
#include "proxy/upstream.h"

struct soap_reader;
struct worker;

/* The request buffer: what is in it can be sent again. */
#define RELAY_REPLAY_MAX        (16 * 1024)

#define RELAY_FRAGMENT_KEPT     2048 /* for what the log says of a backend's connection */
#define RELAY_INTERIM_COUNT_MAX 64
#define RELAY_INTERIM_BYTES_MAX (64 * 1024)

enum relay_result {
	RELAY_WAIT,     /* nothing more can be done before an event or a time limit */
	RELAY_AGAIN,    /* its share of this turn is used up */
	RELAY_FINISHED, /* the exchange is over: see x, and ending for the client connection */
};

/* How the client connection goes on after the exchange. */
enum relay_ending {
	RELAY_KEEP,   /* another request may follow */
	RELAY_LINGER, /* end our direction, discard what still comes, then close */
	RELAY_CLOSE,  /* close at once */
	RELAY_RESET,  /* close by RST: the end of the response must not look like its end */
};

/* How far a peer's kernel has taken what was sent, when it was looked at last. */
struct relay_taken {
	uint64_t off;
	bool looked;
};

struct relay {
	TAILQ_ENTRY(relay) link; /* free list, or waiting for addresses (resolving) */
	struct worker *w;
	struct exchange x;
	bool begun;   /* x is valid: a byte of the request was seen */
	bool started; /* the request head was accepted and forwarding has begun */
	enum relay_ending ending;

	/* client side */
	struct conn *client;
	struct buf *in;            /* the client's bytes that were read and not used yet */
	uint64_t client_read_ns;   /* monotonic, of the newest read */
	struct http_head req_head; /* slices point into raw */
	struct http_body req_body;
	struct buf raw;    /* the request head as it was read, for the log */
	uint64_t used_off; /* offset past the last byte that was used */
	bool body_begun;   /* a byte behind the head was used */

	/* backend side */
	struct upstream *up;
	bool up_ready;             /* connected */
	bool up_broken;            /* send failed: what it answered may still be read */
	bool resolving;            /* stands in the worker's list */
	bool fresh_only;           /* the next attempt must not come from the pool */
	uint32_t first_addr;       /* of the resolved ones, that this attempt begins with */
	uint32_t next_addr;        /* counted from there, to try after the current */
	bool connect_slow;         /* an address of this attempt took no connection in time */
	uint64_t connect_until_ns; /* of this attempt, over all addresses */
	struct buf request;        /* what the backend is to get: head, and body while it fits */
	uint32_t request_sent;     /* of it, in this attempt */
	uint64_t attempt_first;    /* offset of the attempt's first byte */
	bool replayable;           /* request holds every byte that was sent */
	struct request_ids ids;    /* what the backend was told besides what the client had said */
	struct http_head resp_head;
	struct http_body resp_body;
	struct buf resp_raw;   /* a response head that has come in part */
	uint64_t resp_first;   /* offset of its first byte */
	bool resp_begun;       /* a byte of it was read */
	bool ends_by_close;    /* the client knows the body's end by ours alone */
	uint32_t up_read_size; /* of the next read from either side */
	uint32_t client_read_size;
	struct buf backend_fragment; /* kept for the log when the connection is pooled or gone */
	bool has_backend_tls; /* kept likewise, of a connection that was made for this exchange: */
	struct tls_marks backend_tls;

	/* time limits; `moved` marks what happened since they were set */
	struct timeout body_limit;
	struct timeout send_limit;
	struct timeout backend_limit;
	struct timeout request_limit;
	struct timeout look_limit; /* when the client is asked whether it is still there */
	struct relay_taken client_took;
	struct relay_taken up_took;
	bool client_read_moved;
	bool client_send_moved;
	bool backend_moved;
	bool tunnel_moved;

	/* log.soap = full: what reads the two bodies as they pass; NULL else */
	struct soap_reader *soap_request;
	struct soap_reader *soap_response;

	/* after a 101 */
	bool tunnel;           /* it was one: what follows is valid */
	bool tunnel_up_closed; /* nothing more goes this way: the client ended it, or nobody takes it */
	bool tunnel_down_closed; /* likewise from the backend */
	enum reason tunnel_end;  /* who ended a direction first; REASON_DONE: nobody did */
	struct tap_throttle told_request;
	struct tap_throttle told_response;

	void (*wake)(void *arg); /* run the client */
	void *wake_arg;
};

/*
 * One for the next request of a client connection, from the worker's free ones or new; the request head is ready to be read. NULL: no memory.
 */
struct relay *relay_new(struct worker *w, struct conn *client, struct buf *in,
			void (*wake)(void *arg), void *arg) MUST_CHECK;
/* Give it back; an upstream it still has is closed. */
void relay_free(struct relay *r);

/* Free one of the worker's free ones for good. */
void relay_destroy(struct relay *r);

/*
 * Read on in the request head. bytes[0, len) is all of the message so far. On HTTP_DONE the head has been
 * kept in r->raw, and relay_start() follows. On HTTP_BAD relay_fail() follows.
 */
enum http_progress relay_read_head(struct relay *r, const char *bytes, size_t len) MUST_CHECK;

/*
 * The head is complete: check it, write the backend's head, take or open a connection. rest[0, len) follows the
 * head; returns how many of them were used (the caller keeps the others in *in). rest may be
 * changed in place.
 */
size_t relay_start(struct relay *r, char *rest, size_t len);

/*
 * There is no memory for a relay, or none is worth it: answer these first bytes of a request (or
 * none) with the worker's spare, report that, and be done. The connection is to be closed.
 */
void relay_turn_away(struct worker *w, struct conn *client, uint64_t read_ns, const char *bytes,
		     size_t len, enum reason why);

/* Answer before a byte was read: the exchange has no request. */
void relay_refuse(struct relay *r, enum reason why);

/* The request ends here: answer where the reason has a status, otherwise just end. */
void relay_fail(struct relay *r, enum reason why);

/* Go on as far as possible. */
enum relay_result relay_run(struct relay *r) MUST_CHECK;

/* The record is final: access log, tap, counters. Once, when the exchange is over. */
void relay_report(struct relay *r);

/* A tracer came: tell it what has begun of this exchange. */
void relay_tell_begun(struct relay *r);

/* From the worker: the backend's addresses are known now, or failed. */
void relay_resolved(struct relay *r);

#endif
