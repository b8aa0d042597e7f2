/*
 * event.h -- the tap: what the proxy tells the tracer, and the other way. The wire contract.
 *
 * Carrier. The proxy listens on an AF_UNIX SOCK_SEQPACKET control socket. A tracer connects and
 * sends one message with TAP_ATTACH. The proxy answers with one message that holds TAP_HELLO, then
 * TAP_ENDPOINT records, and carries one descriptor per worker (SCM_RIGHTS): the tracer's end of that
 * worker's SEQPACKET pair, non-blocking. An attach of another version is answered by closing the
 * connection. The control connection stays open: TAP_READY travels on it (tracer to proxy, once its
 * captures run), TAP_CLOCK every second and TAP_ENDPOINT again when names resolve anew (proxy to
 * tracer). Its end-of-file tells the tracer that the proxy is gone, and the proxy that the tracer is.
 * One tracer at a time: a second attach is refused with TAP_BUSY.
 *
 * Messages. Every message, on every socket, in both directions, is a struct tap_message followed by
 * records back to back, at most TAP_MESSAGE_MAX bytes in all. Records start with struct
 * tap_record; `len` is the whole record, a multiple of 8; a reader skips types it does not know. Native byte order:
 * both ends are one machine. Records on a worker's socket are in order; a connection stays with its
 * worker.
 *
 * `mono_ns` is CLOCK_MONOTONIC, `real_ns`, `opened_ns`, `start_ns` CLOCK_REALTIME. Offsets as in
 * common/exchange_record.h. conn numbers are unique within the run, on both legs.
 */
#ifndef TRACE_EVENT_H
#define TRACE_EVENT_H

#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/exchange_record.h"
#include "common/tls_marks.h"

#define TAP_MAGIC       0x50545046u /* "FPTP" */
#define TAP_VERSION     4
#define TAP_MESSAGE_MAX 65536

/*
 * Most descriptors in one control message. With more workers the rest follow, in the workers'
 * order, in messages without records.
 */
#define TAP_DESCRIPTORS_MAX 250

struct tap_message {
	uint32_t magic;
	uint16_t version;
	uint16_t worker; /* TAP_CONTROL on the control connection */
	uint32_t run;
	uint32_t
		lost_before; /* of dropped: between the record before and the first of this message */
	uint64_t number;     /* of this message on this socket, from 0 */
	uint64_t dropped;    /* records lost on this socket so far: the buffer was full */
};

#define TAP_CONTROL 0xffff

enum tap_type {
	TAP_HELLO = 1,
	TAP_CLOCK,
	TAP_ENDPOINT,
	TAP_OPEN,
	TAP_POSITION,
	TAP_BEGIN,
	TAP_PROGRESS,
	TAP_PART,
	TAP_END,
	TAP_CLOSE,
	TAP_SECRET,
	TAP_BUSY,
	TAP_TLS,
	TAP_SHARED,
	/* from the tracer */
	TAP_ATTACH = 64,
	TAP_READY,
	TAP_ASK,
	TAP_ANCHORED,
};

struct tap_record {
	uint16_t type; /* enum tap_type */
	uint16_t zero;
	uint32_t len; /* of the whole record, a multiple of 8 */
	uint64_t mono_ns;
};

/* First record after attach. mono_ns of the head and real_ns were taken together. */
struct tap_hello {
	struct tap_record r;
	uint64_t real_ns;
	uint32_t pid;
	uint32_t workers;
	uint32_t tells; /* of what the tracer wants: TAP_WANT_ bits */
	uint32_t zero;
};

struct tap_clock {
	struct tap_record r;
	uint64_t real_ns;
};

/*
 * What to capture: a listener, or one of the addresses of the backend. A named
 * backend's traffic is filtered by port alone. last = 1 on the last of a set.
 */
struct tap_endpoint {
	struct tap_record r;
	struct addr addr;
	uint8_t leg; /* enum tap_leg */
	uint8_t named;
	uint8_t last;
	uint8_t zero[5];
};

/* Just after accept() or connect(); for every live connection on attach (then live = 1). */
struct tap_open {
	struct tap_record r;
	uint64_t conn;
	uint64_t opened_ns; /* real; client leg: after accept(), backend leg: before connect() */
	uint64_t read_off;  /* bytes read so far */
	uint64_t sent_off;
	struct addr local;
	struct addr peer;
	uint8_t leg;
	uint8_t live;
	uint8_t zero[6];
};

/*
 * Answer to TAP_ASK. Taken in this order with no read or write between; design section 7. None is
 * taken of a connection that the proxy has ended its direction of.
 */
struct tap_position {
	struct tap_record r;
	uint64_t conn;
	uint64_t before_real_ns;
	uint64_t sent_off;
	uint64_t read_off;
	uint32_t inq;  /* SIOCINQ */
	uint32_t outq; /* SIOCOUTQ */
	uint64_t after_real_ns;
	uint8_t drained; /* the last read ended with EAGAIN, and the peer has not ended its direction */
	uint8_t zero[7];
};

/*
 * On attach, told again of what runs, with the time at which the exchange began.
 *
 * The first byte of a client's request, of each backend attempt, of a response (on both legs: the
 * proxy's response to the client may begin before or without the backend's), and of each way of a
 * tunnel. What follows on that direction from `first` belongs to id until a part or an end says
 * where it stops.
 */
struct tap_begin {
	struct tap_record r;
	uint64_t id;
	uint64_t conn;
	uint64_t first;
	uint32_t nth;
	uint8_t part;    /* enum tap_part */
	uint8_t attempt; /* from 1; 0 on the client leg */
	uint8_t head_len;
	uint8_t zero;
	uint8_t head[32]; /* the first bytes, head_len of them */
};

/* A body on its way, every 64 KiB and at most 10 a second. */
struct tap_progress {
	struct tap_record r;
	uint64_t id;
	uint64_t conn;
	uint64_t first;
	uint64_t past; /* so far */
	uint8_t part;
	uint8_t zero[7];
};

/* A range is known: with Content-Length already at the end of the head (then declared = 1). */
struct tap_part_known {
	struct tap_record r;
	uint64_t id;
	uint64_t conn;
	uint64_t first;
	uint64_t past;
	uint8_t part;
	uint8_t declared;
	uint8_t complete;
	uint8_t zero[5];
};

/*
 * The log line's moment and the log line's values. Tries that were not made are left out: the
 * record ends behind the last one.
 */
struct tap_end {
	struct tap_record r;
	struct exchange_record x;
};

/*
 * The handshake of a connection that speaks TLS is over, well or not: before any other record of an
 * exchange on it, and once more right behind the end of the first exchange on it: never without that.
 * On attach it follows the open record of a connection that has done it.
 */
struct tap_tls {
	struct tap_record r;
	uint64_t conn;
	uint64_t sent_off; /* so far: what was sent with the handshake, tickets too; 0: not told */
	struct tls_marks tls;
};

/*
 * A line of the TLS key log of conn (the NSS format, without its line end), when the tracer wants
 * them: before the proxy has sent or read a byte that is protected with it. Never dropped. `len`
 * bytes follow, and zeros up to a multiple of 8.
 */
struct tap_secret {
	struct tap_record r;
	uint64_t conn;
	uint32_t len;
	uint32_t zero;
};

/*
 * TLS: a record that brought the end of one request has bytes behind it. What the client sent from
 * off on may belong to exchanges that have not begun; UINT64_MAX: not any more.
 */
struct tap_shared {
	struct tap_record r;
	uint64_t conn;
	uint64_t off;
};

struct tap_close {
	struct tap_record r;
	uint64_t conn;
	uint64_t read_off;
	uint64_t sent_off;
	uint8_t leg;
	uint8_t zero[7];
	char end[24];
};

struct tap_attach {
	struct tap_record r;
	uint32_t pid;
	uint32_t wants; /* TAP_WANT_ bits */
};

/* Secrets are told when the proxy may tell them ([trace] secrets = on) and the tracer wants them. */
#define TAP_WANT_SECRETS 1u

/* TAP_READY, TAP_BUSY: no more than the head. */

/*
 * Ask for the position of conn, now and until anchored after each of its exchanges, and to a backend
 * also after each request; 0: of every connection.
 */
struct tap_ask {
	struct tap_record r;
	uint64_t conn;
};

struct tap_anchored {
	struct tap_record r;
	uint64_t conn;
};

static inline size_t tap_end_len(unsigned tries_count)
{
	return offsetof(struct tap_end, x) + exchange_record_len(tries_count);
}

_Static_assert(sizeof(struct tap_message) % 8 == 0, "messages stay aligned");
_Static_assert(sizeof(struct tap_open) % 8 == 0 && sizeof(struct tap_endpoint) % 8 == 0 &&
		       sizeof(struct tap_position) % 8 == 0 && sizeof(struct tap_begin) % 8 == 0 &&
		       sizeof(struct tap_progress) % 8 == 0 &&
		       sizeof(struct tap_part_known) % 8 == 0 && sizeof(struct tap_end) % 8 == 0 &&
		       sizeof(struct tap_tls) % 8 == 0 && sizeof(struct tap_secret) % 8 == 0 &&
		       sizeof(struct tap_shared) % 8 == 0 && sizeof(struct tap_close) % 8 == 0 &&
		       sizeof(struct try_record) % 8 == 0 &&
		       offsetof(struct exchange_record, tries) % 8 == 0,
	       "records stay aligned");

#endif
