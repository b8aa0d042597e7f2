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

#include "common/attrib.h"
#include "common/exchange_record.h"
#include "trace/conn.h"
#include "trace/event.h"
#include "trace/map.h"

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
/*
 * The handshake of that connection, told once or many times alike: its bytes belong to no exchange.
 * False: no memory.
 */
/* What may be of exchanges that have not begun is not told, whatever else was. */
void ledger_shared(struct ledger *l, uint32_t run, const struct tap_shared *s);
bool ledger_tls(struct ledger *l, uint32_t run, uint64_t conn,
		const struct tls_marks *marks) MUST_CHECK;
/* What we sent below past is accounted for. */
void ledger_sent(struct ledger *l, uint32_t run, uint64_t conn, uint64_t past);
struct conn *ledger_close(struct ledger *l, uint32_t run, const struct tap_close *close);

/*
 * An exchange is over: the tap's end record or a line of the log. NULL: no memory, or it is known
 * as ended already.
 */
struct exchange *ledger_end(struct ledger *l, const struct exchange_record *record) MUST_CHECK;

/* All that is known of it, in its own record or in *room: as exchange_record_of(). */
const struct exchange_record *ledger_record(const struct ledger *l, const struct exchange *x,
					    struct exchange_record *room);

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

/* All of them, for the end of the trace; as map_next(). Of exchanges all that run, and others. */
struct conn *ledger_next_conn(const struct ledger *l, size_t *at);
struct exchange *ledger_next_exchange(const struct ledger *l, size_t *at);

/* Another number whenever a connection became known. */
uint64_t ledger_state(const struct ledger *l);

#endif
