/*
 * http_body.h -- where a message body ends, and what of it is passed on (RFC 9112 sections 6 and 7).
 *
 * Knows no socket and no clock and keeps no payload. The bytes are filtered in place: chunk
 * extensions are validated and dropped, forbidden trailer fields dropped, and for a receiver that
 * knows no chunks (HTTP/1.0) the framing is dropped too. In the usual case nothing moves.
 */
#ifndef COMMON_HTTP_BODY_H
#define COMMON_HTTP_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"
#include "common/http_head.h"

enum http_body_output {
	HTTP_BODY_AS_IS,   /* framed as it came (chunk sizes in our own digits or theirs) */
	HTTP_BODY_DECODED, /* payload only; trailers dropped */
};

/* Is shown payload, without framing, as it passes. */
typedef void http_body_sink(void *arg, const char *bytes, size_t len);

struct http_body {
	enum http_framing framing;
	enum http_body_output output;
	http_body_sink *sink; /* NULL: nobody looks */
	void *sink_arg;
	uint64_t left;          /* of the length, or of the current chunk */
	uint64_t payload_bytes; /* seen so far */
	const char *fault_text; /* HTTP_BAD: one static sentence */
	bool no_memory;         /* HTTP_BAD: not the message's fault */
	/* private */
	uint8_t state;
	uint8_t digits;
	uint32_t line_bytes;      /* of the chunk-size or trailer line */
	uint64_t extension_bytes; /* of all chunk-size lines */
	uint32_t section_bytes;   /* of the trailer section as it came */
	uint32_t max_trailer_bytes;
	char *trailer; /* last chunk and trailer section, allocated when there is a trailer field */
	uint32_t trailer_len;
	uint32_t trailer_cap;
	char *named; /* what the head's Connection fields list, one after the other, or NULL */
	uint32_t named_len;
};

/* Ready for a body framed so. Frees what an earlier message left; the struct is zero at first. */
void http_body_init(struct http_body *b, enum http_framing framing, uint64_t length,
		    enum http_body_output output, uint32_t max_trailer_bytes);
void http_body_fini(struct http_body *b);

/*
 * Drop trailer fields that the head's Connection names, as its header fields were (RFC 9110 section
 * 7.6.1). To be called after http_body_init() with the head and the buffer that it was read from,
 * neither of which is kept. Returns false when memory ran out.
 */
bool http_body_forbid_named(struct http_body *b, const struct http_head *h,
			    const char *bytes) MUST_CHECK;

/* Show every piece of payload to sink, until the next init. */
void http_body_watch(struct http_body *b, http_body_sink *sink, void *arg);

/*
 * How many bytes of payload come next, whatever they are: of the length or the current chunk; 0
 * between chunks, UINT64_MAX before the close. Who only wants to know where the message ends (or has
 * not got those bytes) may pass over up to so many of them. Passing over the last byte of a length
 * makes the body done.
 */
uint64_t http_body_certain(const struct http_body *b);
void http_body_skip(struct http_body *b, uint64_t len);

/* True if the body was complete before any byte (no body, or length 0). */
bool http_body_done(const struct http_body *b);

/*
 * Take message bytes from buf[0, len).
 *
 * used     bytes that belong to this message; what follows is the next one's
 * out_len  bytes now at buf[0, out_len) that are to be passed on; never more than used
 * tail     on HTTP_DONE only: bytes to pass on after those, or NULL with *tail_len = 0. They are the last chunk and
 *          trailer section when they did not fit in place; valid until the next init or fini.
 *
 * The last chunk and the trailer section are passed on together, when the message is complete.
 * HTTP_MORE: used == len. HTTP_DONE: the message ends at used. HTTP_BAD: malformed; *used is where.
 * HTTP_BODY_UNTIL_CLOSE is never done: the end of file is.
 */
enum http_progress http_body_filter(struct http_body *b, char *buf, size_t len, size_t *used,
				    size_t *out_len, const char **tail,
				    size_t *tail_len) MUST_CHECK;

#endif
