/*
 * tap_secrets.h -- TLS key log lines on their way into the tap's ring: which of them are told, and
 * those that wait while the ring is full, for they are not dropped.
 *
 * What waits is bounded by memory alone, and by TAP_SECRETS_MAX for a tracer that never reads again.
 */
#ifndef PROXY_TAP_SECRETS_H
#define PROXY_TAP_SECRETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"
#include "proxy/tap_ring.h"

#define TAP_SECRETS_MAX     (64U << 20)
#define TAP_SECRET_LINE_MAX 1024

/* Nothing waits when all zero. */
struct tap_secrets {
	char *bytes; /* records, as in the ring */
	size_t at;   /* those before have left */
	size_t len;
	size_t cap;
};

/* Wiped. */
void tap_secrets_fini(struct tap_secrets *s);

/* Is it a line that a dump is decrypted with? Others of the key log are not told. */
bool tap_secrets_is_useful(const char *line, size_t len) MUST_CHECK;

static inline bool tap_secrets_wait(const struct tap_secrets *s)
{
	return s->at < s->len;
}

/* Into the ring what it has room for. True: nothing waits any more. */
bool tap_secrets_move(struct tap_secrets *s, struct tap_ring *r);

/*
 * A useful line of a connection, into the ring or behind those that wait for it. False: no memory,
 * the line is lost.
 */
bool tap_secrets_add(struct tap_secrets *s, struct tap_ring *r, uint64_t conn, const char *line,
		     size_t len, uint64_t mono_ns) MUST_CHECK;

#endif
