/*
 * rewrite.h -- the heads that the proxy passes on, written anew: a request for the backend, a
 * response for the client (RFC 9110 section 7, RFC 9112; design section 5).
 *
 * Field order, case and values are kept; only what the rules name is removed, replaced or added.
 * Knows no socket; the current second is given by the caller.
 */
#ifndef PROXY_REWRITE_H
#define PROXY_REWRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"
#include "common/http_head.h"
#include "proxy/request_ids.h"

/* What a forwarded request needs to know besides the head. Text is not NUL-terminated. */
struct rewrite_request {
	const char *client_ip; /* without port and brackets */
	size_t client_ip_len;
	const char *proto;             /* "http" or "https" */
	const char *backend_authority; /* for Host when the client sent none, or when asked to */
	size_t backend_authority_len;
	bool host_from_backend;     /* host_header = backend */
	const char *client_subject; /* of the client's verified certificate (RFC 2253); or NULL */
	size_t client_subject_len;
	const struct request_ids *ids; /* what of them is ours; NULL: nothing, all are passed on */
};

/*
 * Most bytes rewrite_request() can need for this head. The same for responses (without ctx).
 */
size_t rewrite_request_max(const struct http_head *h, const struct rewrite_request *ctx);
size_t rewrite_response_max(const struct http_head *h);

/*
 * Write the head for the backend, always HTTP/1.1, at out (rewrite_request_max() bytes). Returns its
 * length. `bytes` is the buffer the head was read from. Adds Via, X-Forwarded-For/-Proto/-Host, Host, ids of our own and the
 * client's subject; takes out a subject that the client claims, hop-by-hop and nominated fields; origin form for an absolute target; Max-Forwards less one;
 * Upgrade and Connection: upgrade kept only when h->upgrade_websocket; Expect dropped from HTTP/1.0.
 */
size_t rewrite_request(const struct http_head *h, const char *bytes,
		       const struct rewrite_request *ctx, char *out);

enum rewrite_connection {
	REWRITE_CONNECTION_NONE, /* HTTP/1.1 that goes on */
	REWRITE_CONNECTION_CLOSE,
	REWRITE_CONNECTION_KEEP_ALIVE, /* HTTP/1.0 that asked for it and can have it */
	REWRITE_CONNECTION_UPGRADE,    /* 101 */
};

/* What a forwarded response needs to know besides the head. */
struct rewrite_response {
	enum rewrite_connection connection;
	bool drop_chunked; /* the client is HTTP/1.0: the body will be decoded */
	uint64_t now_s;    /* for Date where the backend sent none (not on 1xx) */
};

size_t rewrite_response(const struct http_head *h, const char *bytes,
			const struct rewrite_response *ctx, char *out);

#endif
