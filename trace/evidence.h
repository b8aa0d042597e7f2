/*
 * evidence.h -- looks the segments of records up in the dump they name: what each carried and acknowledged.
 *
 * The record says which frames; the dump is read again for flags, numbers and what lies between (an
 * ACK of half a request). Only connections that are asked for are kept, so that a large dump costs time
 * and little memory.
 */
#ifndef TRACE_EVIDENCE_H
#define TRACE_EVIDENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/attrib.h"
#include "trace/part.h"
#include "trace/records_reader.h"

#define EVIDENCE_ERROR_MAX 512

/* What is looked for: what a leg of an exchange, or a connection's handshake and close, left. */
struct evidence_wish {
	const struct row_leg *leg; /* not owned; of a connection: its handshake and close only */
	enum tap_leg which;
	unsigned tag; /* the caller's; it stands in the items */
	/* Filled in: */
	bool found;            /* a frame that the record names is in the dump */
	struct addr initiator; /* who connected: the client, or the proxy on the backend leg */
	struct addr acceptor;
};

enum evidence_kind {
	EVIDENCE_SYN,
	EVIDENCE_SYN_ACK,
	EVIDENCE_HANDSHAKE_ACK,
	EVIDENCE_DATA,
	EVIDENCE_ACK, /* of bytes of a part */
	EVIDENCE_FIN,
	EVIDENCE_FIN_ACK,
	EVIDENCE_RST,
	EVIDENCE_LABEL, /* a word of the record, see `word` */
	EVIDENCE_TLS,   /* bytes of TLS before those of the exchange: see `marks` */
};

/* One thing that a segment did for one wish. */
struct evidence_item {
	enum evidence_kind kind;
	enum part_kind part; /* DATA, ACK */
	unsigned tag;
	const char *word; /* LABEL: the leg's */
	bool again;       /* DATA: carried before ... */
	bool also_new;    /* ... but not all of it */
	bool placed;      /* DATA, ACK, TLS: from and past are known */
	uint8_t marks; /* TLS: bit per enum tls_mark, of the messages that the record finds here */
	bool is_late;  /* TLS: behind all of these */
	uint64_t from; /* within the part; TLS: within the direction */
	uint64_t past;
	uint64_t part_len;
};

/* A TLS record that begins in a frame, as its header tells (tls_records.h). */
struct evidence_record {
	uint32_t frame;
	uint32_t len; /* with its header */
	uint64_t off;
	uint8_t content;     /* enum tls_content */
	uint8_t messages[8]; /* types of the handshake messages in clear that begin in it */
	uint8_t message_count;
	bool has_more_messages;
	bool is_alert_clear;
	uint8_t alert;
	uint16_t version; /* ServerHello: 0 when not read */
	bool is_retry;    /* it is a HelloRetryRequest */
	char *name;       /* ClientHello: of the server it asks for, or NULL */
};

/* A segment that did something. Numbers are relative; where a direction's start was not captured, as Wireshark's. */
struct evidence_row {
	uint64_t ts_ns;
	uint32_t frame;
	uint32_t len;
	enum tap_leg which;
	bool by_proxy;
	bool has_ack;
	uint8_t flags; /* enum tcp_flag */
	int64_t seq;
	int64_t ack;
	unsigned first_item; /* of evidence.items */
	unsigned item_count;
};

struct evidence {
	bool has_no_proxy;         /* the caller's: "by_proxy" means the server */
	struct evidence_row *rows; /* in frame order */
	unsigned row_count;
	unsigned row_cap;
	struct evidence_item *items;
	unsigned item_count;
	unsigned item_cap;
	bool is_tls[2];                  /* by leg: some record of it was found */
	struct evidence_record *records; /* by frame and offset */
	unsigned record_count;
	unsigned record_cap;
};

/*
 * Read the dump. False: it could not be read at all, err says why. A dump that breaks off is read up to there; err then
 * says so, and is empty otherwise. evidence_fini() is due in either case.
 */
bool evidence_read(const char *path, struct evidence_wish *wishes, unsigned count,
		   struct evidence *out, char err[EVIDENCE_ERROR_MAX]) MUST_CHECK;
void evidence_fini(struct evidence *e);

/* The TLS records that begin in that frame, *count of them; NULL when none does. evidence_tls.c's. */
const struct evidence_record *evidence_records(const struct evidence *e, uint32_t frame,
					       unsigned *count) MUST_CHECK;

/* The row of that frame, or NULL. */
const struct evidence_row *evidence_find(const struct evidence *e, uint32_t frame) MUST_CHECK;

#endif
