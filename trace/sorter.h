/*
 * sorter.h -- puts packets of several captures into time order before they are numbered.
 *
 * Key: stamp, interface, arrival. Copies the bytes it is given. Knows no clock: it is told how far
 * everything has surely arrived.
 */
#ifndef TRACE_SORTER_H
#define TRACE_SORTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"
#include "trace/packet.h"

struct sorter;

struct sorter *sorter_new(void) MUST_CHECK;
void sorter_free(struct sorter *s);

/*
 * A packet arrived. Earlier than what was taken out already: it comes out next and is counted
 * late.
 */
bool sorter_put(struct sorter *s, const struct packet *p) MUST_CHECK;

/*
 * The next packet stamped up to `until_ns` (late ones always), or false. Its bytes are valid until
 * the next call on s.
 */
bool sorter_take(struct sorter *s, uint64_t until_ns, struct packet *p) MUST_CHECK;

uint64_t sorter_late(const struct sorter *s);
size_t sorter_bytes(const struct sorter *s); /* held, for the bound of buffer_mb */

#endif
