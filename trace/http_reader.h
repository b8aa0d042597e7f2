/*
 * http_reader.h -- the HTTP/1.x messages of one direction of one connection, read from payload that
 * comes in order: where each begins and ends, and its head.
 *
 * Knows no packet and no other direction: who owns both tells it what a response answers. Bodies are passed over by
 * their length; of a head that comes in pieces the pieces are kept, nothing else is. What was not
 * captured is told as a gap: inside a body of known length nothing is lost by it; anywhere else the
 * reader is lost, and stays so until it is told where a message begins.
 */
#ifndef TRACE_HTTP_READER_H
#define TRACE_HTTP_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"
#include "common/http_body.h"
#include "trace/head_memo.h"

enum http_reader_state {
	HTTP_READER_START, /* between two messages */
	HTTP_READER_HEAD,  /* in a head: its first bytes are kept */
	HTTP_READER_WAIT,  /* behind a head: http_reader_body() is due */
	HTTP_READER_BODY,
	HTTP_READER_TUNNEL, /* whatever comes is no HTTP any more */
	HTTP_READER_LOST,   /* what comes cannot be told */
};

enum http_reader_event {
	HTTP_READER_MORE,     /* all was used */
	HTTP_READER_GOT_HEAD, /* heads->head is it */
	HTTP_READER_GOT_END,  /* the message ends at `off` */
	HTTP_READER_GOT_LOST, /* from `off` on nothing can be told; said once */
};

struct http_reader {
	enum http_kind kind;
	enum http_reader_state state;
	uint64_t off;         /* of the next byte to read */
	uint64_t message_off; /* first byte of the current message, or of the last one */
	uint64_t message_ns;  /* stamp of what brought it */
	uint64_t message_ack; /* and its ACK */
	uint64_t head_past;   /* where the body begins */
	char *part;           /* of a head: its bytes so far */
	uint32_t part_len;
	uint32_t part_cap;
	struct http_body body;
};

/* The struct is zero or was fini'd. Reads from offset `off` on. */
void http_reader_init(struct http_reader *r, enum http_kind kind, uint64_t off);
void http_reader_fini(struct http_reader *r);

/* Bytes in order, at r->off. */
struct http_input {
	const char *bytes; /* NULL: not captured */
	uint64_t len;
	uint64_t ts_ns;
	uint64_t ack;
};

/*
 * Read until something is to be told. *used of in->len bytes were read; call again with the rest. On
 * HTTP_READER_GOT_HEAD heads->head is what was read, with slices into *head_bytes, both valid until
 * the next call for any reader that shares them.
 */
enum http_reader_event http_reader_read(struct http_reader *r, const struct http_input *in,
					struct head_memo *heads, const char **head_bytes,
					uint64_t *used) MUST_CHECK;

/* Behind a head: how its body is framed. True: there is none, the message ends here. */
bool http_reader_body(struct http_reader *r, enum http_framing framing, uint64_t length) MUST_CHECK;

/* Behind a head or between messages. */
void http_reader_tunnel(struct http_reader *r);

/* The direction was closed at r->off. True: that was the end of a message's body. */
bool http_reader_close(struct http_reader *r) MUST_CHECK;

/* A message begins at r->off, whatever was thought before. */
void http_reader_restart(struct http_reader *r);

/* Nothing more can be told, from r->off on. */
void http_reader_lose(struct http_reader *r);

/* How many bytes from r->off on may be passed over without having been seen. */
uint64_t http_reader_certain(const struct http_reader *r);

#endif
