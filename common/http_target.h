/*
 * http_target.h -- request line, request target, authority and status line (RFC 9112 sections 3 and
 * 4, RFC 3986 section 3.2).
 *
 * A line is bytes[off, end) without its CRLF and without control bytes other than HTAB (http_guard
 * saw to that). Private to the codec.
 */
#ifndef COMMON_HTTP_TARGET_H
#define COMMON_HTTP_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"
#include "common/http_head.h"

/*
 * Read a whole request line into h: method, method_text, target with its form and parts, minor. When
 * it is refused h has the pieces before the fault.
 */
enum http_fault http_request_line_read(struct http_head *h, const char *bytes, uint32_t off,
				       uint32_t end) MUST_CHECK;

/* Method and target of a request line that is not complete, for the log. */
void http_request_line_peek(struct http_head *h, const char *bytes, uint32_t off, uint32_t end);

/* Read a whole status line into h: minor, status, reason. */
enum http_fault http_status_line_read(struct http_head *h, const char *bytes, uint32_t off,
				      uint32_t end) MUST_CHECK;

/* host[:port] with a host that is not empty and a port up to 65535. */
bool http_authority_valid(const char *text, size_t len);

#endif
