/*
 * http_exchange.h -- one request and what is seen of its response, while both are read from packets.
 */
#ifndef TRACE_HTTP_EXCHANGE_H
#define TRACE_HTTP_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/attrib.h"
#include "common/exchange_record.h"
#include "common/http_head.h"

#define HTTP_TEXT_MAX 2048 /* as in proxy.ndjson */

struct http_text {
	const char *bytes; /* NULL: there was none */
	uint32_t len;      /* at most HTTP_TEXT_MAX */
	bool is_cut;
};

struct http_exchange {
	TAILQ_ENTRY(http_exchange) link; /* of its connection, in the order of the requests */
	struct exchange_record x;        /* one leg: the client's. run is 0 */
	uint64_t end_ns;                 /* stamp of what ended it */
	enum http_method method;
	uint8_t minor;
	bool asks_tunnel; /* Upgrade or CONNECT: the response decides */
	bool expects_continue;
	bool request_done;
	bool request_lost; /* its end is not known */
	bool response_done;
	bool is_tunnel;
	bool is_blind;     /* its response cannot be told from others' */
	bool is_after_gap; /* requests before it may be missing */
	bool is_quiet; /* it began when the client had acknowledged all that was seen of the server */
	const char *fault; /* the word for what made its messages unreadable; NULL: nothing did */
	uint64_t ack;      /* what the client had acknowledged when it began */
	uint64_t request_past;  /* where its request ends by its head; 0: not told there */
	uint64_t response_past; /* the same of the response that has begun */

	struct http_text method_text;
	struct http_text target;
	struct http_text host;
	struct http_text request_id;
	struct http_text traceparent;
	struct http_text soap_action;
	char texts[]; /* what they point into */
};

/* Of a request's head in bytes. NULL: no memory. */
struct http_exchange *http_exchange_new(const struct http_head *h, const char *bytes) MUST_CHECK;

/* Note a moment, a stamp. */
void http_exchange_moment(struct http_exchange *e, enum exchange_moment m, uint64_t ts_ns);

#endif
