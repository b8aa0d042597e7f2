/*
 * correlate_state.h -- what correlate.c (what comes in), correlate_exchanges.c and correlate_conns.c
 * (what goes out) share.
 *
 * Invariant: every exchange that has ended stands once in `due`, under a key that is not later than
 * the moment it settles at. A track stands in `endings` at most once (is_ending).
 */
#ifndef TRACE_CORRELATE_STATE_H
#define TRACE_CORRELATE_STATE_H

#include "trace/anchoring.h"
#include "trace/correlate.h"
#include "trace/drops.h"
#include "trace/due.h"
#include "trace/heap.h"
#include "trace/tap_losses.h"
#include "trace/unwanted.h"

#define LISTENERS_MAX 64

/*
 * A connection whose end no packet showed is given up so long after the proxy closed it, and one
 * that the proxy never accepted when it has been silent for so long.
 */
#define PATIENCE_NS (60 * NS_PER_S)

TAILQ_HEAD(closing_list, conn);

struct correlate {
	struct correlate_options o;
	struct flow_table *flows;
	struct ledger *ledger;
	uint64_t clock_ns;
	struct due due;      /* exchanges */
	struct heap endings; /* tracks whose flow is closed */
	struct track_list unnamed;
	struct closing_list closing; /* closed by the proxy */
	struct unwanted unwanted;
	struct drops drops;
	struct tap_losses tap_losses;
	struct addr listeners[LISTENERS_MAX];
	uint32_t listener_count;
	struct correlate_counters count;
	struct exchange_record record; /* of the exchange at hand, unless it has its own */
	struct finding finding;        /* of it */
	bool has_note;                 /* of the segment at hand */
	struct anchor_note note;
};

static inline uint64_t later(uint64_t ns, uint64_t by_ns)
{
	return ns > UINT64_MAX - by_ns ? UINT64_MAX : ns + by_ns;
}

/* An ended exchange waits for the packet clock to reach due_ns. */
void correlate_await(struct correlate *c, struct exchange *x, uint64_t due_ns);

/* The stamp of the packet behind the first loss that may concern f, in that time; 0: none. */
uint64_t correlate_first_loss(const struct correlate *c, const struct flow *f, uint64_t from_ns,
			      uint64_t until_ns);

/* Had the interface shown a packet of f by then? */
bool correlate_showed(const struct flow *f, uint32_t iface, uint64_t until_ns);

/* ---- correlate_exchanges.c ---- */

/* Give out the exchanges that are due. */
void correlate_run_exchanges(struct correlate *c);

/* All that run, at the end. */
void correlate_lose_running(struct correlate *c);

/* A running exchange will never be told to end: it ends with what the packets show of it. */
void correlate_lose(struct correlate *c, struct exchange *x);

/* ---- correlate_conns.c ---- */

/*
 * What packets up to until_ns show of the connection's TLS handshake, if it has one: once. f may be
 * NULL: not captured.
 */
void correlate_gather_tls(const struct correlate *c, struct conn *conn, const struct flow *f,
			  unsigned our_side, uint64_t until_ns);

void correlate_link_unnamed(struct correlate *c, struct track *t);

/* The flow is closed: its line is due at that moment, unless exchanges on it are still to come. */
void correlate_track_ends(struct correlate *c, struct track *t, uint64_t due_ns);

/* Give out the connections that are due. */
void correlate_run_conns(struct correlate *c);

/* At the end: those that are closed in their order, then all others. */
void correlate_end_conns(struct correlate *c);

#endif
