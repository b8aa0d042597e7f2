/*
 * http_body_fuzz.c -- a body at once and in pieces must come out alike; the strict second reading of
 * it must agree byte for byte, and find the same message in what comes out; filtering that again must
 * change nothing.
 *
 * Input: a byte of choices, a seed for the pieces, then the bytes of the body.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/http_body.h"
#include "tests/fuzz/strict_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
	*o = (struct outcome){.progress = HTTP_MORE, .out = calloc(1, len + 8)};
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
 * The second reading of what came in: the same verdict, but for the codec's limits ("too many ...");
 * the same end, the same payload.
 */
static void check_read(const struct outcome *whole, const struct outcome *decoded,
		       struct strict_body *s, const char *bytes, size_t len)
{
	static const enum strict_verdict verdicts[] = {
		[HTTP_MORE] = STRICT_MORE, [HTTP_DONE] = STRICT_DONE, [HTTP_BAD] = STRICT_BAD};
	enum strict_verdict v = strict_chunked_read(s, bytes, len);

	if (whole->progress == HTTP_BAD && strstr(whole->fault_text, " too ") != NULL)
		return;
	CHECK(v == verdicts[whole->progress]);
	if (v == STRICT_BAD)
		return;
	CHECK(decoded->out_len == s->payload_bytes && decoded->payload_bytes == s->payload_bytes);
	CHECK(memcmp(decoded->out, s->payload, decoded->out_len) == 0);
	CHECK(v != STRICT_DONE || whole->used == s->len);
}

/* The second reading of what goes out: the same message, without extensions and leading zeros. */
static void check_written(const struct outcome *whole, const struct strict_body *in)
{
	static struct strict_body out;
	static char payload[1 << 16];

	CHECK(whole->out_len <= whole->used && whole->out_len <= sizeof(payload));
	out.payload = payload;
	CHECK(strict_chunked_read(&out, whole->out, whole->out_len) == STRICT_DONE);
	CHECK(out.len == whole->out_len);
	CHECK(out.payload_bytes == in->payload_bytes);
	CHECK(memcmp(out.payload, in->payload, (size_t)out.payload_bytes) == 0);
	CHECK(whole->out[0] != '0' || whole->out[1] == '\r');
	strict_check_trailers(in, &out, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_body body; /* used again and again, as a connection does */
	static struct strict_body strict;
	static char payload[1 << 16];
	const char *bytes = (const char *)data + 2;
	struct outcome whole, pieces, decoded, again;
	struct choice c;

	if (size < 2 || size > sizeof(payload))
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
	strict.payload = payload;
	if (c.framing == HTTP_BODY_CHUNKED)
		check_read(&whole, &decoded, &strict, bytes, size);
	if (whole.progress == HTTP_DONE && c.framing == HTTP_BODY_CHUNKED) {
		check_written(&whole, &strict);
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
