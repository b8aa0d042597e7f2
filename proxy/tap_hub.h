/*
 * tap_hub.h -- the tap's control socket, in the main thread: accepts a tracer, hands each worker
 * its end of a SEQPACKET pair, tells clocks and endpoints, hears READY.
 */
#ifndef PROXY_TAP_HUB_H
#define PROXY_TAP_HUB_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/attrib.h"
#include "trace/event.h"

struct event_base;
struct tap_hub;

struct tap_hub_calls {
	void *arg;
	bool with_secrets; /* a tracer that wants secrets gets them */
	/* Give worker number i its end. The callee owns fd. */
	void (*give)(void *arg, unsigned worker, int fd, bool with_secrets);
	/* Fill in up to max endpoints (addr, leg, named); returns how many. */
	unsigned (*endpoints)(void *arg, struct tap_endpoint *out, unsigned max);
	/* The tracer's captures run / the tracer is gone (may be NULL). */
	void (*ready)(void *arg);
	void (*gone)(void *arg);
};

/*
 * Bind path (mode 0600; a stale socket of a dead process is replaced, a live one is an error) and
 * listen. NULL with a line on stderr.
 */
struct tap_hub *tap_hub_new(struct event_base *base, const char *path, uint32_t run,
			    unsigned workers, const struct tap_hub_calls *calls) MUST_CHECK;
/* Closes the control connection (the tracer's sign that the proxy ends) and unlinks the path. */
void tap_hub_free(struct tap_hub *h);

/* Endpoints may have changed: tell an attached tracer. */
void tap_hub_endpoints_changed(struct tap_hub *h);

#endif
