/*
 * exchange.h -- one exchange as the ledger keeps it, begun or over.
 *
 * Tens of thousands wait for their moment to settle, and hardly any was tried more than once: so
 * memory for the tries is there only when it is asked for.
 */
#ifndef TRACE_EXCHANGE_H
#define TRACE_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"
#include "common/exchange_record.h"

struct conn;

struct exchange {
	bool ended;          /* x is the end record */
	bool settled;        /* settled_ns is true, not only a lower bound */
	bool has_tries;      /* x.tries may be touched */
	uint8_t open_parts;  /* bit per enum tap_part: begun, its end unknown */
	uint8_t known_parts; /* bit per enum tap_part: its length is known */
	uint64_t end_ns;     /* start + the last moment */
	uint64_t settled_ns;
	struct conn *conn[2]; /* of x.client and x.backend, while it stands in their uses */

	/* Last, since it may end before its tries. While the exchange runs: what is known so far. */
	struct exchange_record x;
};

/* All zero but has_tries. NULL: no memory. free() it. */
struct exchange *exchange_new(bool has_tries) MUST_CHECK;

/* Everything of `from`, which has no tries, to `to`, which has memory for them. */
void exchange_copy(struct exchange *to, const struct exchange *from);

#endif
