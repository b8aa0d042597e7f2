/*
 * story_facts.h -- what a story is told from: the first exchanges of the newest run, their connections, and their
 * segments in the dump.
 */
#ifndef TRACE_STORY_FACTS_H
#define TRACE_STORY_FACTS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"
#include "trace/evidence.h"
#include "trace/records_paths.h"
#include "trace/records_reader.h"

#define STORY_EXCHANGES_MAX 10
#define STORY_CONNS_MAX     (2 * STORY_EXCHANGES_MAX)
#define STORY_CONN_TAG      1000 /* tag of the first connection; exchanges count from 0 */

struct story_exchange {
	struct flow_row flow;
	struct proxy_row proxy; /* empty when there is no log line */
};

struct story_conn {
	struct conn_row row;
	struct row_leg leg;         /* its handshake and close; lists are row's */
	struct evidence_wish *wish; /* of the connection; says the addresses */
};

struct story_facts {
	struct story_exchange exchanges[STORY_EXCHANGES_MAX]; /* by start */
	unsigned exchange_count;
	uint64_t left_out;                        /* later exchanges of the run */
	struct story_conn conns[STORY_CONNS_MAX]; /* by first use, clients' first */
	unsigned conn_count;
	struct evidence_wish wishes[2 * STORY_EXCHANGES_MAX + STORY_CONNS_MAX];
	unsigned wish_count;
	char dump[PATH_MAX];
	struct evidence evidence;
};

/* False: err says why. story_facts_free() is due in either case. */
bool story_facts_load(struct story_facts *f, const struct records_paths *paths,
		      struct records *flows, char err[EVIDENCE_ERROR_MAX]) MUST_CHECK;
void story_facts_free(struct story_facts *f);

/* The connection of an exchange's leg; NULL when conns.ndjson has no line of it. */
const struct story_conn *story_conn_of(const struct story_facts *f, unsigned exchange,
				       enum tap_leg which) MUST_CHECK;

/* The row of a frame that is listed, NULL when the frame is not in the dump. */
static inline const struct evidence_row *story_row(const struct story_facts *f, uint32_t frame)
{
	return evidence_find(&f->evidence, frame);
}

#endif
