/*
 * reassembly.h -- puts the payload of one direction in order: what comes too early waits.
 *
 * Offsets as in stream.h. The first copy of a byte counts. What is in order already never comes
 * here, so that it is not copied: see reassembly_is_next(). Bounded: who keeps too much must give up the gap
 * before it.
 */
#ifndef TRACE_REASSEMBLY_H
#define TRACE_REASSEMBLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"

#define REASSEMBLY_BYTES_MAX  (1024U * 1024)
#define REASSEMBLY_PIECES_MAX 2048

/* Bytes [off, off + len) of the direction. */
struct piece {
	uint64_t off;
	uint64_t len;
	const char *bytes; /* NULL: seen to pass, but not captured, or of no interest */
	uint64_t ts_ns;    /* stamp of the packet that brought them */
	/* The caller's, kept with them: */
	uint64_t ack;  /* what the sender had acknowledged with that packet */
	bool is_quiet; /* which was all that the other side was seen to send */
	bool is_first; /* a packet's payload begins here */
};

struct reassembly_piece;

struct reassembly {
	uint64_t next; /* of the first byte not taken */
	struct reassembly_piece *first;
	struct reassembly_piece *last;
	uint32_t bytes;
	uint32_t pieces;
};

/* Begins at `next`. The struct needs no other init, and no fini while it is empty. */
static inline void reassembly_init(struct reassembly *r, uint64_t next)
{
	*r = (struct reassembly){.next = next};
}

void reassembly_fini(struct reassembly *r);

/* Nothing waits, and p continues what was taken: it may be taken as it is. */
static inline bool reassembly_is_next(const struct reassembly *r, const struct piece *p)
{
	return r->first == NULL && p->off == r->next;
}

/*
 * Keep what of p was neither taken nor is kept; its bytes are copied. False: no room or no memory;
 * p is then kept in part or not at all.
 */
bool reassembly_keep(struct reassembly *r, const struct piece *p) MUST_CHECK;

/* The first kept piece, when it begins at `next`; valid until the next call of another function. */
bool reassembly_first(const struct reassembly *r, struct piece *out) MUST_CHECK;

/* `len` bytes from `next` on were taken: of the first kept piece, or such as are not kept. */
void reassembly_take(struct reassembly *r, uint64_t len);

/* Bytes missing between `next` and the first kept piece; 0 when none is kept. */
uint64_t reassembly_gap(const struct reassembly *r);

#endif
