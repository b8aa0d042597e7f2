/*
 * story_tls.h -- what a story tells of TLS: the handshakes, and what new connections cost beside those that are used
 * again.
 */
#ifndef TRACE_STORY_TLS_H
#define TRACE_STORY_TLS_H

#include "trace/records_reader.h"
#include "trace/screen.h"
#include "trace/story_facts.h"

/* The four messages of one handshake, their frames and times. Nothing where there was none. */
void story_tls_handshake(const struct screen *s, const struct row_tls *tls);

/*
 * For each leg: handshakes and time to the response of the exchanges that opened a connection, and
 * of those that came later on one. Nothing where no connection spoke TLS.
 */
void story_tls_costs(const struct screen *s, const struct story_facts *f);

#endif
