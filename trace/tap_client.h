/*
 * tap_client.h -- the tracer's end of the tap's sockets: attaches to a proxy and drains what it
 * tells.
 *
 * Never blocks but while attaching, and then for a few seconds at most.
 */
#ifndef TRACE_TAP_CLIENT_H
#define TRACE_TAP_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"
#include "trace/tap_reader.h"

#define TAP_CLIENT_ERROR_MAX 512

struct tap_client;

/*
 * Connect to the control socket and attach, wanting secrets if calls has something to do with them:
 * the hello says whether they will be told. hello and endpoint of calls have been called when it
 * returns. NULL: err says why (nobody listens, another tracer is attached, another version).
 */
struct tap_client *tap_client_attach(const char *path, const struct tap_calls *calls,
				     char err[TAP_CLIENT_ERROR_MAX]) MUST_CHECK;
void tap_client_free(struct tap_client *t);

/* Captures run: the proxy may listen. False: it is gone. */
bool tap_client_ready(struct tap_client *t);

/*
 * Ask for a connection's position, or say that it is anchored (type: TAP_ASK, TAP_ANCHORED) to that
 * worker; conn 0: all of every worker's. Leaves with tap_client_flush(), which never waits; what
 * the proxy does not take is kept up to a message, then forgotten: it will be asked again.
 */
void tap_client_tell(struct tap_client *t, enum tap_type type, uint16_t worker, uint64_t conn);
void tap_client_flush(struct tap_client *t);

/* Sockets to poll for reading: the control connection is number 0, then the workers. -1: ended. */
unsigned tap_client_count(const struct tap_client *t);
int tap_client_fd(const struct tap_client *t, unsigned i);

/*
 * Read socket i until it yields nothing (or has yielded a lot). False: it has ended (said on stderr
 * when by a fault).
 */
bool tap_client_drain(struct tap_client *t, unsigned i);

/*
 * All records of the workers made up to this moment (CLOCK_REALTIME) have been read, given that all
 * sockets were drained after now_ns was taken.
 */
uint64_t tap_client_told_ns(const struct tap_client *t, uint64_t now_ns);

/* From the proxy's monotonic clock, by the last pair of both that it told. */
uint64_t tap_client_real_ns(const struct tap_client *t, uint64_t mono_ns);

uint64_t tap_client_dropped(const struct tap_client *t); /* records the proxy could not keep */

#endif
