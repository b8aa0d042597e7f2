/*
 * summary.h -- one exchange's record in words: who and what, each leg in numbers, the phases as bars.
 */
#ifndef TRACE_SUMMARY_H
#define TRACE_SUMMARY_H

#include "trace/evidence.h"
#include "trace/records_reader.h"
#include "trace/screen.h"

/* Request, answer, ids, and the four addresses where the wishes found them. proxy may be NULL. */
void summary_head(const struct screen *s, const struct flow_row *flow,
		  const struct proxy_row *proxy, const struct evidence_wish *wishes,
		  unsigned wish_count);

void summary_legs(const struct screen *s, const struct flow_row *flow);

/* "TLS 1.3: ClientHello in 4, ServerHello in 6 after 412 us, ..."; in pieces of the line. */
void summary_tls(struct screen_line *line, const struct row_tls *t);

void summary_phases(const struct screen *s, const struct flow_row *flow);

#endif
