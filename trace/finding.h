/*
 * finding.h -- what the packets show of one exchange, and of one connection: the values of a line
 * of flows.ndjson and of conns.ndjson.
 *
 * A function of the record, the flows and the moment up to which packets count; says nothing about
 * what was not seen.
 */
#ifndef TRACE_FINDING_H
#define TRACE_FINDING_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"
#include "common/exchange_record.h"
#include "trace/flow.h"
#include "trace/part.h"
#include "trace/phases.h"
#include "trace/stream.h"
#include "trace/tally.h"
#include "trace/tls_finding.h"

#define CLOSE_FRAMES_MAX 6
#define FINDING_TRIES    (EXCHANGE_ATTEMPTS_MAX - 1)

/* Where a leg is looked for. */
struct leg_place {
	const struct leg_record *leg; /* NULL: there is no such leg */
	enum tap_leg which;
	const struct flow *flow;       /* NULL: it was not captured */
	unsigned our_side;             /* index of the proxy's end */
	bool from_packets;             /* "ours" is the server: no proxy has told of the exchange */
	bool is_last;                  /* no later exchange came on this connection */
	const struct tls_finding *tls; /* of its connection; NULL: plain, or not told */
};

struct handshake_finding {
	uint32_t frames[3];
	unsigned count; /* 0: nothing of it was seen */
	bool is_timed;  /* begin and end were */
	uint64_t us;
};

struct close_finding {
	const char *by;  /* "client", "proxy", "backend", "server"; NULL: it was not closed */
	const char *how; /* "fin", "rst" */
	uint32_t frames[CLOSE_FRAMES_MAX];
	unsigned count;
};

struct part_finding {
	bool exists; /* the proxy counted bytes of it */
	/* Only if it exists: */
	const char *ack_why;  /* why there is no ACK, or NULL */
	bool ack_is_doubtful; /* packets were lost between the last byte and the ACK that was seen */
	struct byte_range range;
	struct stream_range seen; /* .known: the packets can be told by offset */
};

struct leg_finding {
	struct leg_place place;
	const char *anchor;                 /* flow_anchor(); NULL: there is no flow */
	struct handshake_finding handshake; /* for the first exchange on its connection */
	const struct tls_finding *tls;      /* likewise */
	struct part_finding part[PART_KINDS];
	struct close_finding close; /* see close_belongs() */
	bool has_tally;             /* something remarkable was seen: it stands in tally */
	struct tally *tally;
	uint64_t lost_ns; /* first loss on its interfaces since lost_from_ns; 0: none */
};

struct finding {
	const struct exchange_record *x;
	uint64_t settled_ns;
	bool is_hurried; /* it had not settled: later packets may concern it, too */
	struct leg_finding client;
	struct leg_finding backend;
	struct leg_finding tries[FINDING_TRIES]; /* the first x->tries_count */
	struct phases phases;
	/* Of which so much was lost by waiting: only when has_lost. */
	bool has_lost;
	uint64_t lost_us[PHASES][WAIT_KINDS];
	struct waits waits;    /* of all legs */
	uint64_t lost_from_ns; /* losses later than this concern it */
	uint64_t drops;
	uint64_t tap_drops; /* records of the tap that were lost while it ran */
};

/* What the interfaces have lost. */
struct finding_losses {
	const void *arg;
	/* Losses later than this concern e, of which all parts have been gathered. */
	uint64_t (*from_ns)(const void *arg, const struct finding *e);
	/*
	 * The stamp of the packet behind the first loss on an interface that showed f, later than
	 * from_ns and up to until_ns; 0: nothing was lost.
	 */
	uint64_t (*first)(const void *arg, const struct flow *f, uint64_t from_ns,
			  uint64_t until_ns);
};

struct finding_places {
	struct leg_place client;
	struct leg_place backend;
	struct leg_place tries[FINDING_TRIES];
	const struct finding_losses *losses; /* NULL: none at all */
};

/*
 * Its response was never complete, or it was a tunnel: then it ended with its client's connection,
 * at a moment that no at_us tells.
 */
bool finding_is_open_ended(const struct exchange_record *x, const struct finding_places *places);

/*
 * The stamp at which all bytes of the exchange that can be followed are acknowledged, or their
 * connections are closed; of an open-ended one, not before its client's connection is. 0: not yet.
 * Legs without a flow, and directions whose sequence numbers were not known at known_ns, cannot be
 * followed and do not count.
 */
uint64_t finding_done_ns(const struct exchange_record *x, const struct finding_places *places,
			 uint64_t known_ns) MUST_CHECK;

/*
 * Everything that packets stamped up to settled_ns show. end_ns: the proxy's end of it. What e held
 * before is replaced, its memory used again; all zero at first, finding_fini() at last.
 */
void finding_gather(struct finding *e, const struct exchange_record *x,
		    const struct finding_places *places, uint64_t end_ns, uint64_t settled_ns);
void finding_fini(struct finding *e);

/* Stamp of the first frame of any part, or 0. */
uint64_t finding_first_ns(const struct finding *e);

/* Of a whole connection, everything seen so far. */
void handshake_gather(struct handshake_finding *h, const struct flow *f);
void close_gather(struct close_finding *c, const struct leg_place *p, uint64_t until_ns);

/*
 * How the sequence numbers of its bytes were known at that moment, of either direction: "syn",
 * "position" (told by the proxy), "first-packet" (see flow_table_count_from_first()), "none".
 */
const char *flow_anchor(const struct flow *f, uint64_t ns) MUST_CHECK;

#endif
