/*
 * exchange.h -- one exchange as the ledger keeps it, begun or over.
 *
 * Tens of thousands wait for their moment to settle, so what is over is kept small: what nearly all
 * have in common stands in the struct, the addresses are those of the connections, and only while
 * it runs, or when it has more than that (interim responses, a tunnel, tries), does it have a whole
 * record.
 */
#ifndef TRACE_EXCHANGE_H
#define TRACE_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"
#include "common/exchange_record.h"
#include "trace/part.h"

#define END_WORDS_MAX 64

struct conn;

struct exchange_leg {
	uint64_t conn; /* 0: there is no such leg */
	uint32_t nth;
	uint32_t reused;
	struct byte_range request;
	struct byte_range response;
};

struct exchange {
	uint64_t id;
	uint64_t start_ns;
	uint64_t end_ns; /* start + the last moment */
	uint64_t settled_ns;
	struct conn *conn[2]; /* by leg, while it stands in their uses */
	struct exchange_record *whole;
	uint32_t run;
	bool ended;
	bool settled;        /* settled_ns is true, not only a lower bound */
	bool is_hurried;     /* settled_ns is earlier than it should be */
	bool is_mapped;      /* the ledger finds it by its id */
	uint8_t open_parts;  /* bit per enum tap_part: begun, its end unknown */
	uint8_t known_parts; /* bit per enum tap_part: its length is known */

	/* When whole is NULL: */
	uint8_t word; /* of its end */
	uint8_t attempts;
	uint16_t status;
	int32_t at_us[MOMENT_COUNT]; /* INT32_MIN: never */
	struct exchange_leg leg[2];
};

/* Which of its legs: TAP_CLIENT, TAP_BACKEND, or this and the number of a try. */
#define EXCHANGE_TRY 2U

/* The words that exchanges ended with, each once. */
struct end_words {
	char text[END_WORDS_MAX][sizeof(((struct exchange_record *)0)->end)];
	unsigned count;
};

/* Nothing is known of it. NULL: no memory. */
struct exchange *exchange_new(uint32_t run, uint64_t id) MUST_CHECK;
void exchange_free(struct exchange *x);

/* It runs: whole is there, empty, with room for tries. False: no memory. */
bool exchange_begin(struct exchange *x) MUST_CHECK;

/* It is over: r is all there is to say. False: no memory, x says nothing. */
bool exchange_close(struct exchange *x, const struct exchange_record *r,
		    struct end_words *words) MUST_CHECK;

/*
 * What is known of it: whole, or *room, filled in. The latter has no addresses, no times of opening
 * and no lengths of bodies, and must have come from exchange_room().
 */
const struct exchange_record *exchange_record_of(const struct exchange *x,
						 const struct end_words *words,
						 struct exchange_record *room);
void exchange_room(struct exchange_record *room);

static inline const struct byte_range *exchange_range(const struct exchange *x, unsigned which,
						      enum part_kind kind)
{
	static const struct byte_range none = {BYTE_RANGE_NONE, BYTE_RANGE_NONE};

	if (LIKELY(x->whole == NULL)) {
		if (kind == PART_REQUEST)
			return &x->leg[which].request;
		return kind == PART_RESPONSE ? &x->leg[which].response : &none;
	}
	if (which == TAP_CLIENT)
		return leg_range(&x->whole->client, kind);
	if (which == TAP_BACKEND)
		return leg_range(&x->whole->backend, kind);
	return leg_range(&x->whole->tries[which - EXCHANGE_TRY].leg, kind);
}

#endif
