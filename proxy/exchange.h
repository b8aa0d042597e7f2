/*
 * exchange.h -- one request and its response as two half machines that only move forward, with
 * the byte ranges, moments and decisions of the log line.
 *
 * Knows no socket, no event loop and no clock: it is told offsets and times. Early responses and
 * half-closes are ordinary combinations of the two halves.
 */
#ifndef PROXY_EXCHANGE_H
#define PROXY_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"
#include "common/exchange_record.h"
#include "proxy/reason.h"

enum request_half {
	REQUEST_HEAD, /* its head is being read */
	REQUEST_BODY, /* the head is complete, the body is not */
	REQUEST_DONE, /* the last byte was read from the client */
	REQUEST_CUT,  /* it will not be completed */
};

enum response_half {
	RESPONSE_WAIT,   /* no byte of a final head has left for the client */
	RESPONSE_BODY,   /* the final head has left, the body is not complete */
	RESPONSE_TUNNEL, /* a 101 has left: bytes go both ways until both ends are closed */
	RESPONSE_DONE,   /* the last byte has been written for the client */
	RESPONSE_CUT,    /* aborted: the client must not take it for complete */
};

struct exchange {
	struct exchange_record rec;
	uint64_t start_mono_ns;
	enum request_half request;
	enum response_half response;
	enum reason why;        /* REASON_DONE until something else is known */
	bool attempt_open;      /* rec.backend is an attempt that has not ended */
	bool close_client;      /* the client connection ends with this exchange */
	uint32_t interim_count; /* 1xx responses of this attempt */
	uint64_t interim_bytes;
};

/* Ids are unique within a run: `number` counts a worker's exchanges. */
uint64_t exchange_id(uint64_t seed, unsigned worker, uint64_t number);

/* The first byte of a request was read. The leg's nth is this exchange's. */
void exchange_begin(struct exchange *x, uint64_t id, uint32_t run, uint64_t start_real_ns,
		    uint64_t start_mono_ns, const struct leg_record *client);

/* Legal moves only (asserted): forward, or to CUT. */
void exchange_set_request(struct exchange *x, enum request_half to);
void exchange_set_response(struct exchange *x, enum response_half to);

/* Note a moment; the first time counts, except that a new attempt clears the backend's. */
void exchange_moment(struct exchange *x, enum exchange_moment m, uint64_t mono_ns);

/* A range begins at, or reaches up to, this offset. */
static inline void range_begin(struct byte_range *r, uint64_t first)
{
	if (!byte_range_exists(r))
		r->first = r->past = first;
}

static inline void range_reach(struct byte_range *r, uint64_t past)
{
	r->past = past;
}

/* A range that ended where it began holds no byte: it is null. */
void range_settle(struct byte_range *r);

/*
 * An attempt on a backend has this connection. While one is open it goes on with another address;
 * otherwise a new one is counted.
 */
void exchange_attempt(struct exchange *x, const struct leg_record *backend);

/* What is known when an attempt fails before a byte of its response came. */
struct attempt_facts {
	bool connected;    /* false: connect itself failed */
	bool reused;       /* the connection came from the pool */
	bool sent_any;     /* send() took a byte of the request */
	bool response_any; /* a byte of a response came, 1xx included */
	bool replayable;   /* every byte sent is still in the request buffer */
	bool idempotent;
};

/* May the request be sent again on a fresh connection (RFC 9110 section 9.2.2; design section 5)? */
bool exchange_may_retry(const struct exchange *x, const struct attempt_facts *f) MUST_CHECK;

/* The current attempt failed and another follows: it becomes a try. */
void exchange_attempt_failed(struct exchange *x, enum reason why);

/*
 * Something ends the exchange early. Returns the status to answer with, or 0: nothing may be sent
 * (a response head has left, or the reason has no status). The first reason stays.
 */
uint16_t exchange_fail(struct exchange *x, enum reason why);

/* Over: settle ranges and the end word. */
void exchange_finish(struct exchange *x);

/* The end word for the files. */
void exchange_word(char out[24], enum reason why);

#endif
