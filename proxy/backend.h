/*
 * backend.h -- attempts of a relay on the backend: a pooled connection, else a new one over all addresses; retries.
 */
#ifndef PROXY_BACKEND_H
#define PROXY_BACKEND_H

#include <stdbool.h>

#include "common/attrib.h"
#include "proxy/reason.h"

struct relay;

/* Begin an attempt. It may be ready at once (r->up_ready), or fail at once (the relay then has). */
void backend_start(struct relay *r);

/*
 * Called while not ready, after an event: has the connection been made? Another address is tried when this one
 * failed.
 */
void backend_check(struct relay *r);

/* The time to connect is over, for this address: the next one is tried, or the exchange fails. */
void backend_connect_over(struct relay *r);

/*
 * The attempt failed before its response was complete: send again on a fresh connection where that is safe,
 * otherwise fail the exchange.
 */
void backend_failed(struct relay *r, enum reason why);

/* Close the attempt's connection, if there is one, and note how far it came. */
void backend_drop(struct relay *r, enum reason why);

/* The response is complete: pool the connection, or close it when it cannot be used again. */
void backend_release(struct relay *r, bool reusable);

#endif
