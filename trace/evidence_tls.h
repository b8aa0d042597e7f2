/*
 * evidence_tls.h -- the TLS records of one leg in a dump, by the frame in which each begins.
 *
 * Both directions of a connection are read by their record headers (tls_records.h), from where the
 * leg's record says that records begin: the connection's first byte when the leg has a TLS
 * handshake, and the first byte of each part. On a plain connection nothing is found.
 */
#ifndef TRACE_EVIDENCE_TLS_H
#define TRACE_EVIDENCE_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"
#include "trace/evidence.h"
#include "trace/flow.h"
#include "trace/packet.h"

struct evidence_tls;

/* The notes go into out, which must outlive it. NULL: no memory. */
struct evidence_tls *evidence_tls_new(const struct evidence_wish *wish,
				      struct evidence *out) MUST_CHECK;

/* What was still waited for is told; false: memory was missing for a note. */
bool evidence_tls_free(struct evidence_tls *t);

/* A segment of the leg's connection with payload. */
void evidence_tls_segment(struct evidence_tls *t, const struct segment *seg,
			  const struct flow_place *place, bool from_initiator);

/* All legs were read: the notes stand by frame. */
void evidence_tls_sort(struct evidence *e);

/* Offset at which the leg's own bytes of that direction begin; UINT64_MAX: it has none. */
uint64_t evidence_first_off(const struct row_leg *leg, bool from_initiator);

#endif
