/*
 * tls.h -- TLS of one connection, without its socket: ciphertext goes in and comes out, and which
 * bytes on the wire carried what was read is known to the byte.
 *
 * Knows no socket and no HTTP. Ciphertext passes through two buffers of the worker (struct tls_io);
 * a connection keeps only what cannot be used at once. Input that was handed over has been taken in
 * when the next call returns; output must be fetched after each call that can make some.
 *
 * Offsets are those of the connection (common/exchange_record.h). With read-ahead off OpenSSL asks
 * for a record's header and then for its rest, and processes it before it asks for more; what it
 * has asked for therefore ends with a record whenever it gives bytes (measured: proxy-facts).
 */
#ifndef PROXY_TLS_H
#define PROXY_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "common/attrib.h"
#include "common/tls_marks.h"
#include "proxy/buf.h"

#define TLS_INPUT_MAX     (256 * 1024)
#define TLS_PLAINTEXT_MAX (16 * 1024) /* of one record, RFC 8446 section 5.1 */
#define TLS_BARREN_MAX    (64 * 1024) /* records that carry no data, one after the other */

struct conn;
struct tap;
struct tls;
struct tls_context;
struct tls_io;

/* One for all connections of a worker: buffers, and the sessions to resume. NULL: no memory. */
struct tls_io *tls_io_new(struct tap *tap) MUST_CHECK;
void tls_io_free(struct tls_io *io);

enum tls_side {
	TLS_ACCEPTS,
	TLS_CONNECTS, /* resumes a session of the same context when there is one */
};

/* conn is what the tap is told of. NULL: no memory. */
struct tls *tls_new(struct tls_io *io, struct tls_context *ctx, enum tls_side side,
		    const struct conn *conn) MUST_CHECK;
void tls_free(struct tls *t);

/*
 * Where ciphertext may be put, TLS_INPUT_MAX bytes, until tls_received() says how many there are.
 * The call before must have said that it needs more.
 */
char *tls_input(const struct tls *t);
void tls_received(struct tls *t, size_t n);

/* Ciphertext for the peer, to be sent or copied before the next call on any connection. */
struct iovec tls_output(const struct tls *t);
void tls_output_done(struct tls *t);

enum tls_handshake {
	TLS_HANDSHAKE_MORE, /* of the peer's bytes */
	TLS_HANDSHAKE_DONE,
	TLS_HANDSHAKE_FAILED, /* tls_unverified() and tls_error() say why; an alert is output */
	TLS_HANDSHAKE_PLAIN,  /* conn_handshake() only: the peer speaks HTTP without TLS */
};
enum tls_handshake tls_handshake(struct tls *t) MUST_CHECK;

/* The connection ended before the last of its handshake was sent: why is a static text. */
void tls_abandon(struct tls *t, const char *why);

#define TLS_AGAIN  0
#define TLS_CLOSED (-1) /* close_notify: nothing follows */
#define TLS_FAILED (-2) /* a record that is none, an alert, no memory; an alert is output */

/* Up to cap bytes of what was received: how many, or one of the above. */
ssize_t tls_read(struct tls *t, char *bytes, size_t cap) MUST_CHECK;

/* Is there something to read without more ciphertext: bytes, or how they end? */
bool tls_has_more(const struct tls *t);

/* See conn_first_off(): of the records that carried what tls_read() gave last. */
uint64_t tls_first_off(const struct tls *t, size_t behind);
uint64_t tls_past_off(const struct tls *t, size_t behind);

/*
 * Make records of all parts, as few as they fit in, beginning with a new one. False: no memory, or
 * the connection has failed.
 */
bool tls_write(struct tls *t, const struct iovec *parts, int count) MUST_CHECK;

/* Say that nothing follows: a close_notify, once. */
void tls_close_notify(struct tls *t);

/* Did it fail for want of memory? */
bool tls_lacks_memory(const struct tls *t);

/* Was the handshake refused because a certificate is missing or does not hold? */
bool tls_unverified(const struct tls *t);

/* What is known of the handshake; complete when it is over. */
const struct tls_marks *tls_marks_of(const struct tls *t);

/* The verified peer's subject, or NULL. */
const char *tls_verified_subject(const struct tls *t);

/*
 * The value of "tls" in the log line, as JSON: appended to out. False: no memory.
 */
bool tls_describe(const struct tls *t, struct buf *out) MUST_CHECK;

#endif
