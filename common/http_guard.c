/*
 * http_guard.c -- the control bytes of a head, sixteen bytes at a time.
 *
 * Never looks at a byte twice but a CR whose LF had not come yet, so that a head that comes byte by
 * byte costs its length once. Knows no field and no method.
 *
 * Invariant: everything before `at` is free of stray control bytes.
 */
#include "common/http_guard.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

#include "common/http_fields.h"

/* A compiler vector: SSE2, NEON or plain words, whichever the machine has. */
typedef uint8_t bytes16 __attribute__((vector_size(16)));

static bool is_control(uint8_t c)
{
	return c < 0x20 || c == 0x7f;
}

/* First control byte in [p, end), or end. */
static const char *next_control(const char *p, const char *end)
{
	while (end - p >= 16) {
		bytes16 x, hit;
		uint64_t half[2];

		memcpy(&x, p, sizeof(x));
		hit = (bytes16)(x < 0x20) | (bytes16)(x == 0x7f);
		memcpy(half, &hit, sizeof(half));
		if (half[0] != 0)
			return p + __builtin_ctzll(le64toh(half[0])) / 8;
		p += 8;
		if (half[1] != 0)
			return p + __builtin_ctzll(le64toh(half[1])) / 8;
		p += 8;
	}
	while (p < end && !is_control((uint8_t)*p))
		p++;
	return p;
}

static enum http_guard_result stop(struct http_guard *g, const char *bytes, const char *p,
				   enum http_guard_result result)
{
	g->at = (uint32_t)(p - bytes);
	return result;
}

enum http_guard_result http_guard_scan(struct http_guard *g, const char *bytes, uint32_t len)
{
	const char *p = bytes + g->at;
	const char *end = bytes + len;
	const char *line = bytes + g->line;

	for (;;) {
		if (p == line && p < end && http_is_blank(*p))
			return stop(g, bytes, p, HTTP_GUARD_BAD);
		p = next_control(p, end);
		if (p == end)
			return stop(g, bytes, p, HTTP_GUARD_MORE);
		if (*p == '\t') {
			p++;
			continue;
		}
		if (*p != '\r')
			return stop(g, bytes, p, HTTP_GUARD_BAD);
		if (end - p < 2)
			return stop(g, bytes, p, HTTP_GUARD_MORE);
		if (p[1] != '\n')
			return stop(g, bytes, p, HTTP_GUARD_BAD);
		if (p == line)
			return stop(g, bytes, p + 2,
				    g->lines > 0 ? HTTP_GUARD_END : HTTP_GUARD_BAD);
		p += 2;
		line = p;
		g->line = (uint32_t)(p - bytes);
		if (g->lines++ == 0)
			return stop(g, bytes, p, HTTP_GUARD_START_LINE);
		if (g->lines > g->max_lines)
			return stop(g, bytes, p, HTTP_GUARD_TOO_MANY);
	}
}
