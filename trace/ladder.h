/*
 * ladder.h -- `flowtrace show DIR ID`: one exchange, segment by segment, between the lifelines of client, proxy and
 * backend; then each leg in numbers, and the phases as bars.
 */
#ifndef TRACE_LADDER_H
#define TRACE_LADDER_H

#include "trace/evidence.h"
#include "trace/records_reader.h"
#include "trace/screen.h"

/* Wishes that a ladder needs: one per leg, and one per earlier attempt. */
#define LADDER_WISHES (2 + ROW_TRIES_MAX)

/* The wishes of an exchange; returns how many (a leg that is not there has none). flow must outlive them. */
unsigned ladder_wishes(const struct flow_row *flow, struct evidence_wish wishes[LADDER_WISHES]);

/*
 * Print. proxy may be NULL (no log line). evidence may be NULL (the dump could not be read): then
 * there are no segments, and all else is there.
 */
void ladder_print(const struct screen *s, const struct flow_row *flow,
		  const struct proxy_row *proxy, const struct evidence_wish *wishes,
		  unsigned wish_count, const struct evidence *evidence);

/* "[PSH,ACK]". */
#define FLAGS_TEXT_MAX 40
const char *ladder_flags_text(uint8_t flags, char out[FLAGS_TEXT_MAX]);

#endif
