/*
 * tls_records.h -- the TLS records of one direction of a connection, told by their headers alone:
 * where each begins, how long it is, and which handshake messages stand in it while they are in clear.
 *
 * Fed with the payload of captured segments, by offset (stream.h), in any order; pieces may repeat,
 * be missing, or be cut by the capture. A header is believed only where it is certain that a record
 * begins: at the places that the caller names, and behind a record that was. Where a header is
 * missing, or no record of TLS stands, the reader is lost up to the next such place; nothing is
 * guessed from bytes that merely look like a header. Decrypts nothing and keeps no payload but of
 * hellos, and of what came too early.
 */
#ifndef TRACE_TLS_RECORDS_H
#define TRACE_TLS_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"
#include "trace/reassembly.h"
#include "trace/tls_hello.h"

#define TLS_RECORD_HEADER       5
#define TLS_RECORD_BODY_MAX     (16384 + 2048) /* RFC 5246 section 6.2.3 */
#define TLS_RECORD_MESSAGES_MAX 8
#define TLS_RECORDS_PLACES_MAX  8
#define TLS_HELLO_MAX           16384

enum tls_content {
	TLS_CHANGE_CIPHER_SPEC = 20,
	TLS_ALERT = 21,
	TLS_HANDSHAKE = 22,
	TLS_APPLICATION_DATA = 23,
};

/* Types of handshake messages that are asked for. */
#define TLS_CLIENT_HELLO 1
#define TLS_SERVER_HELLO 2
#define TLS_CERTIFICATE  11
#define TLS_FINISHED     20

struct tls_record {
	uint64_t off; /* of its header */
	uint32_t len; /* with its header */
	uint32_t tag; /* the caller's, of the piece in which it begins */
	uint8_t content;
	bool is_whole; /* its end was reached */
	/*
	 * Types of the handshake messages that begin in it, the first TLS_RECORD_MESSAGES_MAX. Of what is
	 * encrypted only the Finished behind a ChangeCipherSpec is known (TLS 1.2).
	 */
	uint8_t messages[TLS_RECORD_MESSAGES_MAX];
	uint8_t message_count;
	bool has_more_messages;
	bool is_alert_clear;
	uint8_t alert_level; /* with is_alert_clear */
	uint8_t alert;
	bool has_hello; /* one ended in it */
	struct tls_hello hello;
};

struct tls_records_calls {
	void *arg;
	/* In order of offsets; when its end was reached, or nothing more is known of it. */
	void (*record)(void *arg, const struct tls_record *r);
};

enum tls_records_state {
	TLS_RECORDS_LOST,
	TLS_RECORDS_HEADER, /* a record begins here, or head_len bytes of its header were read */
	TLS_RECORDS_BODY,
};

struct tls_records {
	struct tls_records_calls calls;
	struct reassembly pieces;
	enum tls_records_state state;
	uint64_t places[TLS_RECORDS_PLACES_MAX]; /* ascending; those below `place` were passed */
	unsigned place_count;
	unsigned place;

	struct tls_record now;
	uint32_t left; /* of its body */
	uint8_t head[TLS_RECORD_HEADER];
	uint8_t head_len;

	/* Handshake messages. */
	bool is_from_start;    /* of the connection: its first messages are in clear */
	bool is_protected;     /* application data passed, or the Finished */
	bool has_changed;      /* ChangeCipherSpec passed */
	bool is_message_lost;  /* where messages begin is not known any more */
	uint8_t message[4];    /* its header */
	uint8_t message_len;   /* bytes of that */
	uint32_t message_left; /* of its body */
	uint8_t *hello;        /* the body of a hello so far; NULL: none is read */
	uint32_t hello_len;
	uint32_t hello_cap;
};

/* No place is known: nothing is read. */
void tls_records_init(struct tls_records *r, const struct tls_records_calls *calls);
void tls_records_fini(struct tls_records *r);

/*
 * A record begins at off, for certain; 0: the connection's first. Before the first piece, in any
 * order. False: too many places.
 */
bool tls_records_begins(struct tls_records *r, uint64_t off) MUST_CHECK;

/*
 * Bytes [off, off + len), `captured` of which are at bytes. tag: the caller's (a frame's number); it
 * comes back with the records that begin in them.
 */
void tls_records_add(struct tls_records *r, uint64_t off, uint32_t len, const uint8_t *bytes,
		     uint32_t captured, uint32_t tag);

/* Nothing more comes: what is missing will not. */
void tls_records_end(struct tls_records *r);

/* Nothing more will be told, whatever comes. */
bool tls_records_is_over(const struct tls_records *r) MUST_CHECK;

/* "ClientHello", "Certificate"; NULL: not known by name. */
const char *tls_message_word(uint8_t type);

/* "close_notify"; NULL: not known by name. */
const char *tls_alert_word(uint8_t alert);

#endif
