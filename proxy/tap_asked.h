/*
 * tap_asked.h -- the connections whose positions the tracer wants (design section 7, late attach).
 *
 * A connection enters when it is asked for and leaves when the tracer says anchored or it closes.
 * Of those inside, some are due: asked for and not answered yet, in the order they were asked.
 * Knows no socket.
 *
 * Invariant: every connection inside is open; tap_asked_remove() is called before one is freed.
 */
#ifndef PROXY_TAP_ASKED_H
#define PROXY_TAP_ASKED_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"

struct conn;
struct conn_list;
struct tap_asked;

struct tap_asked *tap_asked_new(void) MUST_CHECK;
void tap_asked_free(struct tap_asked *a);

/*
 * This connection is asked for, or asked for again; 0: every one. tap_asked_resolve() makes it due.
 */
void tap_asked_want(struct tap_asked *a, uint64_t conn);

/*
 * Find what was wanted among the open connections: one walk, however many were wanted. Numbers that
 * are not there are forgotten, and those that memory does not suffice for: the tracer may ask
 * again.
 */
void tap_asked_resolve(struct tap_asked *a, const struct conn_list *conns);

/* Closed or anchored. Nothing happens when it is not inside. */
void tap_asked_remove(struct tap_asked *a, uint64_t conn);
void tap_asked_clear(struct tap_asked *a);

/* Inside? Cheap when nobody is. */
bool tap_asked_has(const struct tap_asked *a, uint64_t conn);

/* The next one due, which is not due any more; or NULL. */
const struct conn *tap_asked_take_due(struct tap_asked *a);
bool tap_asked_is_due(const struct tap_asked *a);

#endif
