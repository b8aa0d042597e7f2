/*
 * reflection.h -- the answer to a TRACE that may go no further (Max-Forwards: 0): the request as it
 * was received, as message/http (RFC 9110 section 9.3.8, RFC 9112 section 10.1).
 *
 * Knows no socket; the current second is given by the caller.
 */
#ifndef PROXY_REFLECTION_H
#define PROXY_REFLECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/http_head.h"

/* Most bytes reflection_write() can need for this head. */
size_t reflection_max(const struct http_head *h);

/*
 * Write a 200 with the request line and the fields of h, in order, but for those that may carry a
 * secret: Authorization, Proxy-Authorization, Cookie and the like. `bytes` is the buffer that the
 * head was read from. Returns the length; body_len receives that of the body.
 */
size_t reflection_write(const struct http_head *h, const char *bytes, bool close, uint64_t now_s,
			char *out, size_t *body_len);

#endif
