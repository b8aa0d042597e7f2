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

#include <errno.h>
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
#include "common/tls_marks.h"
#include "proxy/buf.h"

#define CONN_OUT_MAX      (256 * 1024)
#define CONN_FRAGMENT_MAX 256

struct conn {
	TAILQ_ENTRY(conn) all; /* every open connection of the worker */
	struct event event;
	int fd;    /* -1: closed */
	int error; /* errno that the socket reported, or 0 */
	enum tap_leg leg;
	bool readable;     /* recv() may yield something: EAGAIN not seen since the last event */
	bool writable;     /* likewise send() */
	bool peer_closing; /* a FIN or RST was signalled; bytes before it may still be unread */
	bool peer_closed;  /* recv() returned 0 */
	bool drained;      /* the last read left nothing behind */
	bool unsure;       /* an RST may stand behind the bytes read last: conn_recheck() */
	uint64_t id;
	uint64_t opened_ns; /* CLOCK_REALTIME */
	uint64_t read_off;
	uint64_t sent_off;
	struct addr local;
	struct addr peer;
	uint32_t nth; /* exchanges begun so far */

	const struct tls_marks *tls_marks; /* of its owner; NULL: no handshake of TLS is over */

	struct buf out; /* accepted by conn_send(), not yet by the socket; at most CONN_OUT_MAX */

	/* The access log's constant part: addresses, opened, tls. */
	uint16_t fragment_len;
	char fragment[CONN_FRAGMENT_MAX];
};

TAILQ_HEAD(conn_list, conn);

static inline size_t conn_pending(const struct conn *c)
{
	return buf_left(&c->out);
}

/* Where the next byte that is sent will stand. */
static inline uint64_t conn_next_off(const struct conn *c)
{
	return c->sent_off + conn_pending(c);
}

/*
 * A message begins, or ends, `behind` bytes before the end of what conn_read() gave last: offset of
 * its first byte, or past its last one.
 */
static inline uint64_t conn_first_off(const struct conn *c, size_t behind)
{
	return c->read_off - behind;
}

static inline uint64_t conn_past_off(const struct conn *c, size_t behind)
{
	return c->read_off - behind;
}

/* Did it fail for want of memory, the kernel's or ours, and not because of the peer? */
static inline bool conn_lacks_memory(const struct conn *c)
{
	return c->error == ENOMEM || c->error == ENOBUFS;
}

/* Watch the socket for everything, once and for all (edge triggered). False: no memory, no epoll. */
bool conn_watch(struct conn *c, struct event_base *base, event_callback_fn fn,
		void *arg) MUST_CHECK;

/* Called first in the event callback: note what libevent said. */
void conn_note_event(struct conn *c, short what);

/*
 * Ask the socket whether it was reset (c->error). libevent tells of an error as of something to
 * read and to write, so a connection that is not being read just now has to be looked at.
 */
void conn_look_for_error(struct conn *c);

/*
 * Urgent bytes of this socket, or of those that it accepts, are bytes of the stream like any other:
 * left out of it, they would be missing in messages, and all offsets behind them be wrong.
 */
void conn_take_urgent(int fd);

/*
 * Before waiting for more: an RST that was signalled together with bytes before it brings no second
 * event, and a short read does not show it; and one that ended before an urgent byte has left bytes
 * behind. True: it is so, and reading on tells.
 */
bool conn_recheck(struct conn *c) MUST_CHECK;

#define CONN_AGAIN 0
#define CONN_EOF   (-1)
#define CONN_ERROR (-2) /* c->error */

/* Read up to cap bytes: how many, or one of the above. */
ssize_t conn_read(struct conn *c, char *bytes, size_t cap) MUST_CHECK;

/* What would conn_read() say now? Takes nothing, and leaves c->error alone. */
ssize_t conn_peek(const struct conn *c) MUST_CHECK;

/*
 * Send all parts in order, behind what is pending. What the socket does not take now is copied to c->out. False:
 * the connection failed (c->error); bytes that it had not taken are lost.
 */
bool conn_send(struct conn *c, const struct iovec *parts, int count) MUST_CHECK;

/* Try to send what is pending. False: the connection failed. */
bool conn_flush(struct conn *c) MUST_CHECK;

/* Offset up to which the peer's kernel has acknowledged what was sent; a call into the kernel. */
uint64_t conn_taken(const struct conn *c);

/* Begin the next exchange on it: the constant part of its leg, and its nth. */
void conn_leg(struct conn *c, struct leg_record *leg);

/*
 * End our direction; pending bytes should have been flushed before. False: the peer cannot be told,
 * the connection is no more.
 */
bool conn_shutdown(struct conn *c) MUST_CHECK;

/* Close. reset: by RST, whatever was pending. The struct stays until its owner frees it. */
void conn_close(struct conn *c, bool reset);

#endif
