/*
 * http_guard.h -- finds the lines and the end of a message head, and refuses every control byte that
 * has no business there (RFC 9112 sections 2.2, 5 and 5.2; RFC 9110 section 5.5).
 *
 * A reading of its own beside llhttp's: llhttp is fed only what the guard has passed, and both must
 * agree on where the head ends. Private to the codec.
 *
 * What passes: HTAB, CR directly followed by LF, and 0x20 to 0xff without 0x7f; no line but the
 * first begins with a blank (obs-fold).
 */
#ifndef COMMON_HTTP_GUARD_H
#define COMMON_HTTP_GUARD_H

#include <stdint.h>

#include "common/attrib.h"

enum http_guard_result {
	HTTP_GUARD_MORE,       /* nothing wrong up to `at`; the head goes on */
	HTTP_GUARD_START_LINE, /* once: [start, line - 2) is the start line; call again */
	HTTP_GUARD_END,        /* the empty line came: the head is [start, at) */
	HTTP_GUARD_BAD,        /* the byte at `at` may not stand there */
	HTTP_GUARD_TOO_MANY,   /* one more line than max_lines, which ends at `at` */
};

struct http_guard {
	uint32_t start; /* first byte of the start line */
	uint32_t at;   /* passed so far; a CR at the very end is not passed before its LF is seen */
	uint32_t line; /* first byte of the current line */
	uint32_t lines; /* complete lines, without the empty one */
	uint32_t max_lines;
};

static inline void http_guard_init(struct http_guard *g, uint32_t start, uint32_t max_lines)
{
	*g = (struct http_guard){
		.start = start, .at = start, .line = start, .max_lines = max_lines};
}

/* Go on from `at` in bytes[0, len), which begins with the message's first byte. */
enum http_guard_result http_guard_scan(struct http_guard *g, const char *bytes,
				       uint32_t len) MUST_CHECK;

#endif
