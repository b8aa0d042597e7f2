/*
 * tls_parts.h -- what the files of the TLS module know of each other: a connection's state, and what
 * OpenSSL calls back into.
 */
#ifndef PROXY_TLS_PARTS_H
#define PROXY_TLS_PARTS_H

#include <openssl/ssl.h>

#include "proxy/tls.h"

/* Records that one tls_read() gives bytes of, at most; and those that need no memory of their own. */
#define TLS_SPANS_MAX    16
#define TLS_SPANS_HERE   2

#define TLS_RECORD_HEAD  5
#define TLS_SESSIONS_MAX 8

/* One record of what was read last. Offsets count from tls.read_base, bytes from the read's begin. */
struct tls_span {
	uint32_t first_off;
	uint32_t past_off;
	uint32_t past_byte;
};

/* Follows the records of the peer's ciphertext as OpenSSL takes it. */
struct tls_framing {
	uint64_t off;        /* of the next byte */
	uint64_t record_off; /* where the record begins that the byte before `off` is of */
	uint32_t left;       /* of its body */
	uint8_t head_len;    /* bytes of its head seen; TLS_RECORD_HEAD: all */
	uint8_t head[TLS_RECORD_HEAD];
};

struct tls {
	SSL *ssl;
	struct tls_io *io;
	const struct conn *conn;
	struct tls_context *ctx;
	const char *in; /* ciphertext that OpenSSL has not taken */
	size_t in_len;
	struct buf rest; /* holds it between two calls */
	uint32_t barren; /* bytes received since the last data */
	struct tls_framing framing;
	uint64_t read_base;
	struct tls_span *spans; /* spans_here, or TLS_SPANS_MAX allocated when they were needed */
	struct tls_span spans_here[TLS_SPANS_HERE];
	uint8_t span_count;
	uint64_t before_off; /* of the record with the last byte of the read before */
	enum tls_side side;
	bool no_memory;
	bool failed;
	bool unverified;
	bool over; /* the handshake, well or not */
	uint64_t began_ns;
	uint64_t took_ns;
	const char *error; /* static; NULL: none */
	char *subject;     /* the peer's, or NULL */
	struct tls_marks marks;
	uint64_t out_record_off; /* of the newest record of the handshake, and past it */
	uint64_t out_off;
	uint64_t in_message_off; /* of the record in which the peer's message began */
	bool in_message;         /* that it is in has begun, and not ended */
};

struct tls_io {
	struct tap *tap;
	char *in;
	char *join; /* TLS_PLAINTEXT_MAX bytes: small parts that share a record */
	struct buf out;
	struct tls_context *sessions_of;
	SSL_SESSION *sessions[TLS_SESSIONS_MAX]; /* the oldest first */
	unsigned session_count;
};

/* ---- tls_facts.c: what a handshake was like ---- */

/* Watch the handshake's messages. */
void tls_facts_begin(struct tls *t);
/* It is over. */
void tls_facts_end(struct tls *t, bool failed);
/* Why OpenSSL failed, from its queue, which is emptied. */
void tls_facts_error(struct tls *t);

/* ---- tls_sessions.c: sessions to resume towards the backend ---- */

void tls_sessions_offer(struct tls *t);
void tls_sessions_forget(struct tls_io *io);
/* OpenSSL's new-session callback. */
int tls_session_new(SSL *ssl, SSL_SESSION *session);

/* OpenSSL's key log callback. */
void tls_keylog(const SSL *ssl, const char *line);

#endif
