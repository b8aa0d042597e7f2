/*
 * tap.h -- a worker's end of the tap: records for the tracer, buffered, never blocking.
 *
 * Without a tracer every call returns at once. With one, records collect in a 4 MiB buffer and
 * leave when 16 KiB are pending or the oldest is 1 ms old; only a full buffer drops records,
 * counted, and never secrets, which wait for room. Belongs to one worker's thread. The wire contract
 * is trace/event.h.
 */
#ifndef PROXY_TAP_H
#define PROXY_TAP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"
#include "common/exchange_record.h"
#include "proxy/conn.h"

struct event_base;
struct tap;

/*
 * base: the worker's. conns: its open connections, told to a tracer that attaches. NULL: no memory.
 */
struct tap *tap_new(struct event_base *base, uint16_t worker, uint32_t run,
		    struct conn_list *conns) MUST_CHECK;
/* Tries to send what is pending (bounded to 100 ms), then closes. */
void tap_free(struct tap *t);

/*
 * A tracer came: t owns fd (SEQPACKET) from now on; an earlier one is dropped. with_secrets: it may
 * have them, and wants them.
 */
void tap_attach(struct tap *t, int fd, bool with_secrets);

/* True while a tracer listens: callers may skip gathering what only the tap wants. */
bool tap_active(const struct tap *t);

/*
 * Of one connection, open once and close once; close before c is freed. Whoever attaches later is
 * told of c->tls_marks too.
 */
void tap_open(struct tap *t, const struct conn *c);
void tap_close(struct tap *t, const struct conn *c, const char *end);

/*
 * The handshake of c is over, well or not: before anything is told of an exchange on it, and when
 * what the handshake sends has been sent.
 */
void tap_tls(struct tap *t, const struct conn *c, const struct tls_marks *m);

/*
 * A line of c's TLS key log, without its line end: after tap_open(), and before a byte that is
 * protected with it is sent or read. Told when the tracer may have it, else forgotten.
 */
void tap_secret(struct tap *t, const struct conn *c, const char *line, size_t len);

/*
 * What the client c has sent from off on may belong to requests that have not begun; UINT64_MAX:
 * not any more.
 */
void tap_shared(struct tap *t, const struct conn *c, uint64_t off);

/* head: the first bytes of the message (up to 32 are taken), may be NULL with 0. */
void tap_begin(struct tap *t, uint64_t id, const struct conn *c, enum tap_part part, uint64_t first,
	       uint8_t attempt, const char *head, size_t head_len);

/* The same of a part that began before the tracer came, in an exchange that began at start_mono_ns. */
void tap_begun(struct tap *t, uint64_t id, const struct conn *c, enum tap_part part, uint64_t first,
	       uint8_t attempt, uint64_t start_mono_ns);

/*
 * Throttled here: passes on every 64 KiB, at most 10 a second a direction (last: kept by the
 * caller).
 */
struct tap_throttle {
	uint64_t told_past;
	uint64_t told_ns;
};
void tap_progress(struct tap *t, struct tap_throttle *last, uint64_t id, const struct conn *c,
		  enum tap_part part, uint64_t first, uint64_t past, uint64_t now_ns);

/* declared: known from Content-Length before the bytes were there. */
void tap_part(struct tap *t, uint64_t id, const struct conn *c, enum tap_part part, uint64_t first,
	      uint64_t past, bool declared, bool complete);

/*
 * client, backend: handshakes of connections that x is the first exchange on, or NULL. They were
 * told before (tap_tls), perhaps in vain: this way they come if x does.
 */
void tap_end(struct tap *t, const struct exchange_record *x, const struct tls_marks *client,
	     const struct tls_marks *backend);

/*
 * After an exchange on it, or a request to a backend: send the connection's position if the tracer
 * has asked for it and has not said anchored. Cheap when nobody asked.
 */
void tap_position(struct tap *t, const struct conn *c);

#endif
