/*
 * conn.h -- one non-blocking TCP connection of either leg, plain or with TLS: descriptor, event,
 * what is known to be readable and writable, offsets, and the bytes that the peer has not taken yet.
 *
 * Knows no HTTP. The only place that reads from and writes to sockets of the request path, so that
 * offsets are counted in one place.
 *
 * Invariant: read_off and sent_off are the bytes that recv() returned and send() accepted so far,
 * with TLS the bytes of its records.
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
#include "proxy/access_log.h"
#include "proxy/buf.h"
#include "proxy/tls.h"

#define CONN_OUT_MAX (256 * 1024)

struct conn {
	TAILQ_ENTRY(conn) all; /* every open connection of the worker */
	struct event event;
	int fd;    /* -1: closed */
	int error; /* errno that the socket reported, or 0 */
	enum tap_leg leg;
	bool readable;     /* recv() may yield something: EAGAIN not seen since the last event */
	bool writable;     /* likewise send() */
	bool peer_closing; /* a FIN or RST was signalled; bytes before it may still be unread */
	bool peer_closed;  /* recv() returned 0, or TLS said that nothing follows */
	bool drained;      /* the last read left nothing behind */
	bool unsure;       /* an RST may stand behind the bytes read last: conn_recheck() */
	bool truncated;    /* TLS: its end came without a close_notify (RFC 9112 section 9.8) */
	bool shares;       /* TLS: the tap was told that a record has bytes of several requests */
	bool ending;       /* our direction ends when what is pending has been sent */
	uint64_t id;
	uint64_t opened_ns; /* CLOCK_REALTIME */
	uint64_t read_off;
	uint64_t sent_off;
	struct addr local;
	struct addr peer;
	uint32_t nth; /* exchanges begun so far */

	struct tls *tls;     /* NULL: plain */
	uint64_t notify_off; /* where our close_notify or alert begins; 0: there is none */
	const struct tls_marks *tls_marks; /* of tls; NULL: no handshake of TLS is over */

	struct buf out; /* accepted by conn_send(), not yet by the socket; at most CONN_OUT_MAX */

	/* The access log's constant part: addresses, opened, tls. NULL: no memory, a line is made without. */
	char *fragment;
	uint16_t fragment_len;
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

/* How far of what conn_send() was given has been sent: not the close_notify or alert behind it. */
static inline uint64_t conn_given_off(const struct conn *c)
{
	return c->notify_off == 0 || c->sent_off < c->notify_off ? c->sent_off : c->notify_off;
}

/*
 * A message begins, or ends, `behind` bytes before the end of what conn_read() gave last: offset of
 * its first byte, or past its last one; with TLS where the record begins, or ends, that has it. It may
 * begin with the last byte of the read before, but not earlier.
 */
static inline uint64_t conn_first_off(const struct conn *c, size_t behind)
{
	return LIKELY(c->tls == NULL) ? c->read_off - behind : tls_first_off(c->tls, behind);
}

static inline uint64_t conn_past_off(const struct conn *c, size_t behind)
{
	return LIKELY(c->tls == NULL) ? c->read_off - behind : tls_past_off(c->tls, behind);
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

/* The same below TLS, of a connection whose bytes mean nothing any more. */
ssize_t conn_discard(struct conn *c, char *bytes, size_t cap) MUST_CHECK;

/* What would conn_read() say now? Takes nothing, and leaves c->error alone. TLS: may be no data. */
ssize_t conn_peek(const struct conn *c) MUST_CHECK;

/*
 * Has nothing come on a connection that nothing is expected on, neither an end nor a byte? A look at
 * the socket; what concerns TLS alone is taken in.
 */
bool conn_is_quiet(struct conn *c) MUST_CHECK;

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
 * TLS from now on, which is c's from now on. Then conn_handshake() until it is over, whenever
 * something happened. TLS_HANDSHAKE_PLAIN: the client speaks HTTP; c is plain from now on, and
 * *bytes, *len are what it has sent, to be used at once.
 */
void conn_begin_tls(struct conn *c, struct tls *tls);
enum tls_handshake conn_handshake(struct conn *c, const char **bytes, size_t *len) MUST_CHECK;

/* The handshake will not come to its end: why is a static text. */
void conn_abandon_tls(struct conn *c, const char *why);

/* Make what the log says of it, now or again. */
void conn_describe(struct conn *c);

/*
 * End our direction, TLS first; pending bytes should have been flushed before, or conn_flush() ends
 * it when they are. False: the peer cannot be told, the connection is no more.
 */
bool conn_shutdown(struct conn *c) MUST_CHECK;

/* Close. reset: by RST, whatever was pending. The struct stays until its owner frees it. */
void conn_close(struct conn *c, bool reset);

#endif
