/*
 * ledger.h -- what the proxy has told: its connections, and the exchanges on them that are not yet
 * given out.
 *
 * Live it is told record by record (the tap), offline line by line (the log); afterwards both say
 * the same. Knows no packet: `track` belongs to the correlator.
 */
#ifndef TRACE_LEDGER_H
#define TRACE_LEDGER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/attrib.h"
#include "common/exchange_record.h"
#include "trace/event.h"
#include "trace/exchange.h"
#include "trace/map.h"
#include "trace/part.h"

#define CONN_IDS_MAX 1000

struct track;
struct unanchored;

/* An exchange on a connection: leg points into x->x. */
struct conn_use {
	struct exchange *x;
	struct leg_record *leg;
};

struct conn {
	uint32_t run;
	enum tap_leg leg;
	uint64_t number;
	struct addr local;
	struct addr peer;
	uint64_t opened_ns; /* 0: not told (a connection that only a try names) */
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

struct ledger_calls {
	void *arg;
	void (*opened)(void *arg, struct conn *c); /* a connection is known now */
};

struct ledger;

struct ledger *ledger_new(const struct ledger_calls *calls) MUST_CHECK;
void ledger_free(struct ledger *l);

/*
 * From the tap. What names a connection or an exchange that is not known any more is ignored.
 * False: no memory, the record is as if lost.
 */
bool ledger_open(struct ledger *l, uint32_t run, const struct tap_open *open) MUST_CHECK;
bool ledger_begin(struct ledger *l, uint32_t run, const struct tap_begin *begin,
		  uint64_t real_ns) MUST_CHECK;
void ledger_progress(struct ledger *l, uint32_t run, const struct tap_progress *p);
void ledger_part(struct ledger *l, uint32_t run, const struct tap_part_known *p);
struct conn *ledger_close(struct ledger *l, uint32_t run, const struct tap_close *close);

/*
 * An exchange is over: the tap's end record or a line of the log. NULL: no memory, or it is known
 * as ended already.
 */
struct exchange *ledger_end(struct ledger *l, const struct exchange_record *record) MUST_CHECK;

/* Its end will never be told: it ends with what is known, as "tap-lost". */
void ledger_lose(struct exchange *x);

struct conn *ledger_conn(const struct ledger *l, uint32_t run, uint64_t number) MUST_CHECK;

/* The connections between these two, by next_alike; NULL when there is none. */
struct conn *ledger_between(const struct ledger *l, const struct addr *local,
			    const struct addr *peer) MUST_CHECK;

/* Is this where a connection of a client has arrived? */
bool ledger_is_listener(const struct ledger *l, const struct addr *local) MUST_CHECK;

/* It was given out: its connections note the id and forget it; x is gone. */
void ledger_give_out(struct ledger *l, struct exchange *x);

/* c is gone; it must have no uses. */
void ledger_drop_conn(struct ledger *l, struct conn *c);

/* All of them, for the end of the trace; as map_next(). */
struct conn *ledger_next_conn(const struct ledger *l, size_t *at);
struct exchange *ledger_next_exchange(const struct ledger *l, size_t *at);

/* Another number whenever a connection became known. */
uint64_t ledger_state(const struct ledger *l);

/* The bytes below are accounted for; UINT64_MAX when whatever comes belongs to what is open. */
uint64_t conn_told_past(const struct conn *c, bool ours);

/* Are the bytes below past accounted for? */
static inline bool conn_has_told(const struct conn *c, bool ours, uint64_t past)
{
	return past <= c->told_past[ours] || past <= conn_told_past(c, ours);
}

static inline struct conn_use *conn_use(const struct conn *c, uint32_t i)
{
	return &c->uses[c->use_head + i];
}

/*
 * The part's bit in open_parts and known_parts: parts the tap tells of; interim: as the response.
 */
enum tap_part tap_part_of(enum tap_leg leg, enum part_kind kind);

#endif
