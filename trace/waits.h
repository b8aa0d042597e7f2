/*
 * waits.h -- the times in which bytes of one exchange were held up by the network or by a peer:
 * until they were sent again, or until there was a window for them.
 *
 * A set of intervals per kind, on capture stamps; what overlaps counts once.
 */
#ifndef TRACE_WAITS_H
#define TRACE_WAITS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"

enum wait_kind {
	/*
	 * From the packet that first carried bytes, or the first that overtook them, to each one
	 * that carried them again. Not for what was sent again needlessly (spurious).
	 */
	WAIT_RETRANSMISSION,
	/* From a window of zero to the packet with the byte that waited for it. */
	WAIT_ZERO_WINDOW,
	WAIT_KINDS,
};

struct wait {
	uint64_t from_ns;
	uint64_t to_ns;
};

/* Empty when all zero. */
struct waits {
	struct wait *at[WAIT_KINDS];
	uint32_t count[WAIT_KINDS];
	uint32_t cap[WAIT_KINDS];
};

void waits_fini(struct waits *w);

/* Nothing waited; the memory stays. */
void waits_reset(struct waits *w);

/* An interval without length is none. False: no memory, it is not in the set. */
bool waits_add(struct waits *w, enum wait_kind kind, uint64_t from_ns, uint64_t to_ns) MUST_CHECK;

/* Time of the set within [from_ns, to_ns). Sorts the set: ask when all are added. */
uint64_t waits_within(struct waits *w, enum wait_kind kind, uint64_t from_ns, uint64_t to_ns);

static inline bool waits_any(const struct waits *w)
{
	return w->count[WAIT_RETRANSMISSION] + w->count[WAIT_ZERO_WINDOW] > 0;
}

/* As the files say it. */
const char *wait_word(enum wait_kind kind);

#endif
