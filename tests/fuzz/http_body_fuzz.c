/*
 * http_body_fuzz.c -- a body at once and in pieces must come out alike, what comes out must be
 * chunks as a strict decoder wants them, and filtering them again must change nothing.
 *
 * Input: a byte of choices, a seed for the pieces, then the bytes of the body.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/http_body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                        \
	do {                                                                    \
		if (!(condition)) {                                             \
			fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
			abort();                                                \
		}                                                               \
	} while (0)

struct choice {
	enum http_framing framing;
	uint64_t length;
	uint32_t max_trailer_bytes;
};

/* What came of a body. */
struct outcome {
	enum http_progress progress;
	size_t used;
	char *out;
	size_t out_len;
	uint64_t payload_bytes;
	const char *fault_text;
};

static struct choice choice_of(uint8_t b)
{
	static const enum http_framing framings[] = {HTTP_BODY_CHUNKED, HTTP_BODY_CHUNKED,
						     HTTP_BODY_LENGTH, HTTP_BODY_UNTIL_CLOSE};

	return (struct choice){
		.framing = framings[b & 3],
		.length = b >> 3,
		.max_trailer_bytes = b & 4 ? 20 : 4096,
	};
}

static void keep(struct outcome *o, const char *bytes, size_t len)
{
	if (len > 0)
		memcpy(o->out + o->out_len, bytes, len);
	o->out_len += len;
}

/* The sink: every byte of payload, once. */
static void see(void *arg, const char *bytes, size_t len)
{
	uint64_t *seen = arg;

	CHECK(len > 0 && bytes != NULL);
	*seen += len;
}

static void feed(struct http_body *b, struct outcome *o, const char *bytes, size_t len)
{
	char *buf = malloc(len > 0 ? len : 1); /* exact, so that a byte too far is found */
	size_t used, out_len, tail_len;
	const char *tail;

	CHECK(buf != NULL);
	memcpy(buf, bytes, len);
	o->progress = http_body_filter(b, buf, len, &used, &out_len, &tail, &tail_len);
	CHECK(used <= len);
	CHECK(out_len <= used);
	CHECK(o->progress != HTTP_MORE || used == len);
	CHECK((tail == NULL) == (tail_len == 0));
	CHECK(tail == NULL || o->progress == HTTP_DONE);
	o->used += used;
	keep(o, buf, out_len);
	keep(o, tail, tail_len);
	free(buf);
}

/* seed 0: at once; else in pieces of 1 to 16 bytes, or in two. The caller frees o->out. */
static void run(struct http_body *b, struct outcome *o, const struct choice *c,
		enum http_body_output output, const char *bytes, size_t len, uint32_t seed)
{
	size_t at = 0;
	uint64_t seen = 0;

	/* what is written is never more than what was read, but for the last chunk "0\r\n\r\n" */
	*o = (struct outcome){.progress = HTTP_MORE, .out = malloc(len + 8)};
	CHECK(o->out != NULL);
	http_body_init(b, c->framing, c->length, output, c->max_trailer_bytes);
	http_body_watch(b, see, &seen);
	if (http_body_done(b))
		o->progress = HTTP_DONE;
	while (o->progress == HTTP_MORE && at < len) {
		size_t step = len - at;

		if (seed >= 128)
			step = at == 0 ? len * (seed - 127) / 129 : step;
		else if (seed > 0)
			step = seed < 16 ? seed : 1 + (seed * 2654435761U + at * 40503U) % 16;
		step = step == 0 ? 1 : step;
		step = step > len - at ? len - at : step;
		feed(b, o, bytes + at, step);
		at += step;
	}
	o->payload_bytes = b->payload_bytes;
	CHECK(seen == o->payload_bytes);
	o->fault_text = b->fault_text;
	CHECK(http_body_done(b) == (o->progress == HTTP_DONE));
}

static void same_outcome(const struct outcome *a, const struct outcome *b)
{
	CHECK(a->progress == b->progress);
	CHECK(a->payload_bytes == b->payload_bytes);
	CHECK(a->fault_text == b->fault_text);
	CHECK(a->progress != HTTP_BAD || a->fault_text != NULL);
	if (a->progress == HTTP_BAD)
		return;
	CHECK(a->used == b->used);
	CHECK(a->out_len == b->out_len);
	CHECK(memcmp(a->out, b->out, a->out_len) == 0);
}

/*
 * A decoder that takes nothing but what RFC 9112 section 7.1 has at its strictest: digits without
 * leading zeros, CRLF, data, CRLF; a last chunk "0"; trailer lines with a colon; an empty line.
 */
static unsigned strict_digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	CHECK((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'));
	return (unsigned)((c | 0x20) - 'a' + 10);
}

static size_t strict_size(const char **p, const char *end)
{
	const char *first = *p;
	size_t size = 0;

	while (*p < end && **p != '\r')
		size = size * 16 + strict_digit(*(*p)++);
	CHECK(*p > first && (*first != '0' || *p == first + 1));
	CHECK(end - *p >= 2 && (*p)[1] == '\n');
	*p += 2;
	return size;
}

/* libFuzzer looks at all bytes that may be compared: never past the line. */
static bool strict_begins(const char *p, const char *lf, const char *lower)
{
	size_t len = strlen(lower);

	return (size_t)(lf - p) >= len && strncasecmp(p, lower, len) == 0;
}

static void strict_trailers(const char *p, const char *end)
{
	for (;;) {
		const char *lf = memchr(p, '\n', (size_t)(end - p));

		CHECK(lf != NULL && lf > p && lf[-1] == '\r');
		if (lf - 1 == p) {
			CHECK(lf + 1 == end);
			return;
		}
		CHECK(memchr(p, ':', (size_t)(lf - p)) != NULL);
		CHECK(memchr(p, '\r', (size_t)(lf - p)) == lf - 1);
		CHECK(memchr(p, '\0', (size_t)(lf - p)) == NULL);
		CHECK(!strict_begins(p, lf, "content-length:"));
		CHECK(!strict_begins(p, lf, "transfer-encoding:"));
		CHECK(!strict_begins(p, lf, "host:"));
		p = lf + 1;
	}
}

static void strict_decode(const struct outcome *framed, const struct outcome *decoded)
{
	const char *p = framed->out, *end = p + framed->out_len;
	size_t at = 0, size;

	while ((size = strict_size(&p, end)) > 0) {
		CHECK(size + 2 <= (size_t)(end - p));
		CHECK(at + size <= decoded->out_len);
		CHECK(memcmp(decoded->out + at, p, size) == 0);
		CHECK(p[size] == '\r' && p[size + 1] == '\n');
		at += size;
		p += size + 2;
	}
	CHECK(at == decoded->out_len);
	strict_trailers(p, end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_body body; /* used again and again, as a connection does */
	const char *bytes = (const char *)data + 2;
	struct outcome whole, pieces, decoded, again;
	struct choice c;

	if (size < 2)
		return 0;
	size -= 2;
	c = choice_of(data[0]);
	run(&body, &whole, &c, HTTP_BODY_AS_IS, bytes, size, 0);
	run(&body, &pieces, &c, HTTP_BODY_AS_IS, bytes, size, data[1]);
	same_outcome(&whole, &pieces);
	run(&body, &decoded, &c, HTTP_BODY_DECODED, bytes, size, data[1]);
	CHECK(decoded.progress == whole.progress);
	CHECK(decoded.payload_bytes == whole.payload_bytes);
	CHECK(decoded.out_len == decoded.payload_bytes);
	if (whole.progress == HTTP_DONE && c.framing == HTTP_BODY_CHUNKED) {
		strict_decode(&whole, &decoded);
		run(&body, &again, &c, HTTP_BODY_AS_IS, whole.out, whole.out_len, data[1]);
		CHECK(again.progress == HTTP_DONE && again.used == whole.out_len);
		CHECK(again.out_len == whole.out_len);
		CHECK(memcmp(again.out, whole.out, whole.out_len) == 0);
		free(again.out);
	}
	free(whole.out);
	free(pieces.out);
	free(decoded.out);
	return 0;
}
