/*
 * conn.h -- one TCP connection of the proxy as the ledger keeps it: what the proxy told of it, and
 * the exchanges on it that are not yet given out.
 */
#ifndef TRACE_CONN_H
#define TRACE_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/attrib.h"
#include "common/exchange_record.h"
#include "trace/exchange.h"
#include "trace/part.h"

#define CONN_IDS_MAX 1000

struct tls_finding;
struct track;
struct unanchored;

/* An exchange on a connection. */
struct conn_use {
	struct exchange *x;
	uint32_t nth;
	uint32_t which; /* of x's legs: as exchange_range() */
};

static inline const struct byte_range *use_range(const struct conn_use *u, enum part_kind kind)
{
	return exchange_range(u->x, u->which, kind);
}

struct conn {
	uint32_t run;
	enum tap_leg leg;
	uint64_t number;
	struct addr local;
	struct addr peer;
	uint64_t opened_ns;  /* 0: not told (a connection that only a try names) */
	uint64_t untold_off; /* the peer's bytes from there on may be of exchanges yet to begin: one
				more than their offset; 0: none */
	uint64_t told_past
		[2]; /* bytes below are accounted for: [true] that we sent, [false] the peer */
	uint32_t last_nth; /* of the exchanges told so far */
	bool closed;       /* the proxy has closed it */
	bool overlaps;     /* messages may share bytes (a TLS record), or were told out of order */

	/* Exchanges not yet given out, by nth: uses[use_head, use_head + use_count). */
	struct conn_use *uses;
	uint32_t use_head;
	uint32_t use_count;
	uint32_t use_cap;
	uint32_t near[2]; /* index of the use that a packet touched last, by direction: a hint */

	/* Exchanges given out. */
	uint64_t exchanges;
	uint64_t *ids; /* of the first CONN_IDS_MAX of them */
	uint32_t id_cap;

	struct tls_finding *tls; /* NULL: plain, or nobody has told (yet) */

	/* For whoever gives exchanges out. */
	TAILQ_ENTRY(conn) closing; /* by closing_ns */
	uint64_t closing_ns;       /* 0: not linked */
	uint64_t given_first[2];   /* as told_past: where the last part given out began */
	uint64_t given_ns;         /* the latest moment at which one of them settled */

	uint16_t worker;               /* of the proxy; live only */
	struct unanchored *unanchored; /* anchoring.c's, or NULL */

	struct track *track; /* of the flow it is, or NULL; track.c's */
	bool is_resolved;    /* by the rule, for good; track.c's */
	bool is_bound;       /* by track_bind(): the addresses do not tell which side is ours */
	uint8_t bound_side;
	struct conn *next_alike; /* same addresses */
};

void conn_free(struct conn *c);

static inline struct conn_use *conn_use(const struct conn *c, uint32_t i)
{
	return &c->uses[c->use_head + i];
}

/* The exchange is on c. False: no memory, nothing changed. */
bool conn_add_use(struct conn *c, const struct conn_use *use) MUST_CHECK;
void conn_remove_use(struct conn *c, const struct exchange *x);

/* The use with that place on the connection and that id, or NULL. */
const struct conn_use *conn_find_use(const struct conn *c, uint32_t nth, uint64_t id) MUST_CHECK;

/* An exchange was given out. */
void conn_note_id(struct conn *c, uint64_t id);

/* What the leg says of when c was opened, if nothing has said it before. */
static inline void conn_note_opened(struct conn *c, const struct leg_record *leg)
{
	if (c->opened_ns == 0)
		c->opened_ns = leg->opened_ns;
}

/* The bytes of a leg that is over are accounted for. */
void conn_note_told(struct conn *c, const struct leg_record *leg);

/* The bytes below are accounted for; UINT64_MAX when whatever comes belongs to what is open. */
uint64_t conn_told_past(const struct conn *c, bool ours);

/* Are the bytes below past accounted for? */
static inline bool conn_has_told(const struct conn *c, bool ours, uint64_t past)
{
	if (UNLIKELY(c->untold_off != 0) && !ours && past >= c->untold_off && !c->closed)
		return false;
	return past <= c->told_past[ours] || past <= conn_told_past(c, ours);
}

/*
 * The part's bit in open_parts and known_parts: parts the tap tells of; interim: as the response.
 */
enum tap_part tap_part_of(enum tap_leg leg, enum part_kind kind);

#endif
