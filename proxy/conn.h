/*
 * conn.h -- one non-blocking TCP connection of either leg: descriptor, event, what is known to be
 * readable and writable, offsets, and the bytes that the peer has not taken yet.
 *
 * Knows no HTTP. The only place that reads from and writes to sockets of the request path, so that
 * offsets are counted in one place.
 *
 * Invariant: read_off and sent_off are the bytes that recv() returned and send() accepted so far.
 */
#ifndef PROXY_CONN_H
#define PROXY_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "common/addr.h"
#include "common/attrib.h"
#include "common/exchange_record.h"

#define CONN_OUT_MAX      (256 * 1024)
#define CONN_FRAGMENT_MAX 256

struct conn {
	TAILQ_ENTRY(conn) all; /* every open connection of the worker */
	struct event event;
	int fd;
	int error; /* errno that the socket reported, or 0 */
	enum tap_leg leg;
	bool readable;     /* recv() may yield something: EAGAIN not seen since the last event */
	bool writable;     /* likewise send() */
	bool peer_closing; /* a FIN or RST was signalled; bytes before it may still be unread */
	bool peer_closed;  /* recv() returned 0 */
	bool drained;      /* the last read ended with EAGAIN */
	uint64_t id;
	uint64_t opened_ns; /* CLOCK_REALTIME */
	uint64_t read_off;
	uint64_t sent_off;
	struct addr local;
	struct addr peer;
	uint32_t nth; /* exchanges begun so far */

	/* Bytes written with conn_send() that the socket has not accepted: out[out_at, out_len). */
	char *out;
	uint32_t out_at;
	uint32_t out_len;
	uint32_t out_cap;

	/* The access log's constant part: addresses, opened, tls. */
	uint16_t fragment_len;
	char fragment[CONN_FRAGMENT_MAX];
};

TAILQ_HEAD(conn_list, conn);

static inline uint32_t conn_pending(const struct conn *c)
{
	return c->out_len - c->out_at;
}

#endif
