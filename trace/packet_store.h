/*
 * packet_store.h -- keeps the bytes of packets that wait, in slabs that are used again.
 *
 * Packets come and go in nearly the same order, so a slab is filled from its beginning and is free
 * when its last packet is. Nothing is allocated per packet, unless it is larger than a slab.
 */
#ifndef TRACE_PACKET_STORE_H
#define TRACE_PACKET_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"

struct packet_slab;

struct packet_store {
	struct packet_slab *filling;
	struct packet_slab *spare; /* a list of empty slabs */
	unsigned spare_count;
};

/* Zero at first. All packets must have been dropped. */
void packet_store_fini(struct packet_store *s);

/* Copy len bytes; *slab is what packet_store_drop() wants later. NULL: no memory. */
const uint8_t *packet_store_keep(struct packet_store *s, const uint8_t *bytes, uint32_t len,
				 struct packet_slab **slab) MUST_CHECK;
void packet_store_drop(struct packet_store *s, struct packet_slab *slab);

#endif
