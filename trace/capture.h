/*
 * capture.h -- live capture by libpcap: TPACKET_V3, nanoseconds, one handle per interface, filters
 * that never change while running, rights given up after activation.
 */
#ifndef TRACE_CAPTURE_H
#define TRACE_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/attrib.h"
#include "trace/packet.h"

#define CAPTURE_MAX       16
#define CAPTURE_BLOCK_MS  2
#define CAPTURE_ERROR_MAX 512

/* What to capture: every segment from or to it. By port alone when by_port. */
struct capture_endpoint {
	struct addr addr;
	bool by_port;
	bool listener; /* ours: it names the interface; else the peer's, found by a route look-up */
};

struct capture_options {
	const char *const *interfaces; /* names, or NULL with count 0: found by itself */
	unsigned interface_count;
	uint32_t buffer_mb; /* ring, per interface */
	uint32_t snap_len;  /* 0: whole packets */
};

struct capture;

/*
 * Find the interfaces that traffic of the endpoints can pass (loopback for local addresses, the
 * owner of a listener's address, all that are up for a wildcard, the route for a backend), open
 * and activate a handle on each. On failure NULL, and err is one sentence that says what to do
 * (missing right: `setcap cap_net_raw+ep FLOWTRACE` or run as root).
 */
struct capture *capture_open(const struct capture_endpoint *endpoints, unsigned count,
			     const struct capture_options *options,
			     char err[CAPTURE_ERROR_MAX]) MUST_CHECK;
void capture_close(struct capture *c);

unsigned capture_count(const struct capture *c);
struct capture_info {
	const char *name;
	const char *filter;
	uint32_t link;
	int fd; /* selectable: poll it for reading */
};
void capture_info(const struct capture *c, unsigned i, struct capture_info *out);

/* Called per packet; iface is the index. Bytes are valid during the call only. */
typedef void (*capture_packet)(const struct packet *p, void *arg);

/*
 * Dispatch what has arrived on handle i, until it yields nothing. dropped_before carries the drops
 * since the previous packet. False: the interface is gone (err says so); the handle is then
 * closed.
 */
bool capture_dispatch(struct capture *c, unsigned i, capture_packet fn, void *arg,
		      char err[CAPTURE_ERROR_MAX]) MUST_CHECK;

struct capture_counters {
	uint64_t received; /* packets the filter let pass */
	uint64_t dropped;
};
void capture_counters(struct capture *c, unsigned i, struct capture_counters *out);

/* Of them the dropped ones, as counted when it was dispatched last: asks nobody. */
uint64_t capture_dropped(const struct capture *c, unsigned i);

/* Change to an unprivileged user (only when root) and drop every capability; irreversible. */
bool capture_drop_rights(char err[CAPTURE_ERROR_MAX]) MUST_CHECK;

#endif
