/*
 * http_observe.h -- reads a whole head as those understood it who sent and took it.
 *
 * For a tracer: what passed between two others is not refused, it is described. First the strict
 * reading of http_head.h is tried; what that refuses is read again as tolerantly as peers are known
 * to be: lines that end in LF alone, folded lines, methods and versions of any name, other upgrades
 * than websocket, both framings at once (chunked wins, RFC 9112 section 6.3). Never for a proxy.
 */
#ifndef COMMON_HTTP_OBSERVE_H
#define COMMON_HTTP_OBSERVE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/attrib.h"
#include "common/http_head.h"

#define HTTP_OBSERVE_FIELDS_MAX 4096
#define HTTP_OBSERVE_HEAD_MAX   (256U * 1024)

/*
 * Where the head that begins at bytes[0] ends, behind its empty line; 0: not within len. `seen`
 * bytes were looked at by an earlier call already, with the same result.
 */
size_t http_observe_end(const char *bytes, size_t len, size_t seen);

/* Does the line that bytes[0, len) begins with, so far as it goes, look like a message's first? */
enum http_sight {
	HTTP_SIGHT_NO,
	HTTP_SIGHT_MAYBE, /* it may become one */
	HTTP_SIGHT_YES,   /* a whole request line or status line of HTTP/1.x */
};
enum http_sight http_observe_line(enum http_kind kind, const char *bytes, size_t len);

/*
 * Read the head bytes[0, len), whose end http_observe_end() has found. h is zero or was used for
 * this before; http_head_fini() frees it. A response's framing is that to a GET: who knows that its
 * request was HEAD or CONNECT must not expect a body. False: it is no head, or where its body ends
 * cannot be told; h->fault says why.
 */
bool http_observe_head(struct http_head *h, enum http_kind kind, const char *bytes,
		       size_t len) MUST_CHECK;

#endif
