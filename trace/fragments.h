/*
 * fragments.h -- puts IP datagrams together again from their fragments, as Wireshark does.
 *
 * The datagram belongs to the fragment that completes it. Where fragments overlap, the bytes of the
 * one that begins earlier count, of two that begin alike those that came first; the first tail says
 * how long the datagram is. Bounded: what is not complete after a minute, and the oldest when there
 * is too much of it, is given up and counted.
 *
 * Knows no link and no protocol.
 */
#ifndef TRACE_FRAGMENTS_H
#define TRACE_FRAGMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/attrib.h"

struct fragments;

struct fragments *fragments_new(void) MUST_CHECK;
void fragments_free(struct fragments *f);

/* What the fragments of one datagram have in common. */
struct fragment_key {
	struct addr src; /* ports 0 */
	struct addr dst;
	uint32_t id;
	uint16_t vlan;
	uint8_t protocol;
};

struct fragment {
	uint64_t ts_ns;
	uint32_t off; /* of its first byte in the datagram's payload */
	uint32_t len;
	bool more; /* false: the datagram ends with it */
	const uint8_t *bytes;
};

/*
 * One fragment. When it completes its datagram, the datagram's payload, which is valid until
 * fragments_release(); NULL otherwise.
 */
const uint8_t *fragments_add(struct fragments *f, const struct fragment_key *key,
			     const struct fragment *fragment, uint32_t *len) MUST_CHECK;

/* What was given out is not needed any more. */
void fragments_release(struct fragments *f);

/* Datagrams that did not become complete: given up, or waiting still. */
uint64_t fragments_incomplete(const struct fragments *f);

#endif
