/*
 * http_stream_fuzz.c -- one direction of a connection, any number of messages one behind the other: the
 * codec and the strict second reading must cut it into the same messages, byte for byte.
 *
 * The codec is driven as the relay drives it, each piece in a buffer of its own. What it passes on of a
 * body must be, to the second reading, the same body less what may not pass.
 *
 * Input: a byte of choices, a seed for the pieces, then the bytes of the direction. Of a response
 * stream, the seed's bits also say which requests were HEAD.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/http_body.h"
#include "common/http_head.h"
#include "tests/fuzz/strict_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX    (1 << 16)
#define MESSAGES_MAX 64

static const struct http_limits limits = {65536, 256};

struct choice {
	enum http_kind kind;
	enum http_body_output output;
	uint8_t seed;
};

/* Was the n-th request, from 0, a HEAD? */
static bool is_head(const struct choice *c, unsigned nth)
{
	return c->kind == HTTP_RESPONSE && (c->seed >> nth % 8 & 1) != 0;
}

/* ---- the codec ------------------------------------------------------------------------------- */

struct message {
	size_t start; /* of its first byte, empty lines included */
	size_t head_past;
	size_t past; /* of its last byte, when it is complete */
	enum http_framing framing;
	bool interim;
	bool complete;
	uint64_t payload_bytes;
	size_t out_first, out_past; /* in stream.out: what is passed on of the body */
};

struct stream {
	struct message messages[MESSAGES_MAX];
	unsigned count;
	unsigned answered; /* final responses */
	bool bad; /* the message behind the last one is malformed, or the last one's body */
	bool bad_body;
	enum http_fault fault;
	const char *fault_text;
	char out[2 * INPUT_MAX];
	size_t out_len;
	struct http_head head;
	struct http_body body;
};

static size_t piece(const struct choice *c, size_t at, size_t left)
{
	size_t n = left;

	if (c->seed % 4 == 1)
		n = 1;
	else if (c->seed % 4 == 2)
		n = 1 + (c->seed * 2654435761U + at * 40503U) % 16;
	else if (c->seed % 4 == 3)
		n = 1 + (c->seed * 2654435761U + at * 40503U) % 300;
	return n < left ? n : left;
}

static void put_out(struct stream *s, const char *bytes, size_t len)
{
	CHECK(s->out_len + len <= sizeof(s->out));
	if (len > 0)
		memcpy(s->out + s->out_len, bytes, len);
	s->out_len += len;
}

/* Read a head at bytes[at, size). False: it is not complete. */
static bool stream_head(struct stream *s, const struct choice *c, const char *bytes, size_t at,
			size_t size)
{
	enum http_method asked = is_head(c, s->answered) ? HTTP_METHOD_HEAD : HTTP_METHOD_GET;
	enum http_progress p = HTTP_MORE;
	size_t shown = 0;

	CHECK(http_head_init(&s->head, c->kind, &limits, asked, true));
	while (p == HTTP_MORE && at + shown < size) {
		char *copy;

		shown += piece(c, at + shown, size - at - shown);
		copy = malloc(shown);
		CHECK(copy != NULL);
		memcpy(copy, bytes + at, shown);
		p = http_head_read(&s->head, copy, shown);
		free(copy);
	}
	s->bad = p == HTTP_BAD;
	s->fault = s->head.fault;
	return p == HTTP_DONE;
}

/* Read a body at bytes[m->head_past, size); one that is until the close takes them all. */
static void stream_body(struct stream *s, struct message *m, const struct choice *c,
			const char *bytes, size_t size)
{
	enum http_progress p = HTTP_MORE;

	http_body_init(&s->body, m->framing, s->head.content_length, c->output,
		       limits.max_head_bytes);
	CHECK(http_body_forbid_named(&s->body, &s->head, bytes + m->start));
	m->past = m->head_past;
	if (http_body_done(&s->body))
		p = HTTP_DONE;
	while (p == HTTP_MORE && m->past < size) {
		size_t n = piece(c, m->past, size - m->past), used, out_len, tail_len;
		char *copy = malloc(n);
		const char *tail;

		CHECK(copy != NULL);
		memcpy(copy, bytes + m->past, n);
		p = http_body_filter(&s->body, copy, n, &used, &out_len, &tail, &tail_len);
		put_out(s, copy, out_len);
		put_out(s, tail, tail_len);
		m->past += used;
		free(copy);
	}
	m->complete = p == HTTP_DONE;
	m->payload_bytes = s->body.payload_bytes;
	s->bad = s->bad_body = p == HTTP_BAD;
	s->fault_text = s->body.fault_text;
}

static void stream_read(struct stream *s, const struct choice *c, const char *bytes, size_t size)
{
	size_t at = 0;

	s->count = s->answered = 0;
	s->bad = s->bad_body = false;
	s->out_len = 0;
	while (at < size && s->count < MESSAGES_MAX && stream_head(s, c, bytes, at, size)) {
		struct message *m = &s->messages[s->count++];

		*m = (struct message){.start = at, .framing = s->head.framing};
		m->head_past = at + s->head.len;
		m->interim = c->kind == HTTP_RESPONSE && s->head.status < 200;
		m->out_first = s->out_len;
		stream_body(s, m, c, bytes, size);
		m->out_past = s->out_len;
		s->answered += !m->interim;
		at = m->past;
		if (!m->complete || (m->interim && s->head.status == 101))
			return;
	}
}

/* ---- the second reading ---------------------------------------------------------------------- */

/* What was passed on of a complete chunked body. */
static void check_chunked_out(const struct stream *s, const struct message *m,
			      const struct strict_body *in, const struct strict_head *h,
			      enum http_body_output output)
{
	static struct strict_body out;
	static char payload[INPUT_MAX];
	const char *bytes = s->out + m->out_first;
	size_t len = m->out_past - m->out_first;

	if (output == HTTP_BODY_DECODED) {
		CHECK(len == in->payload_bytes && memcmp(bytes, in->payload, len) == 0);
		return;
	}
	out.payload = payload;
	CHECK(strict_chunked_read(&out, bytes, len) == STRICT_DONE && out.len == len);
	CHECK(out.payload_bytes == in->payload_bytes);
	CHECK(memcmp(out.payload, in->payload, (size_t)out.payload_bytes) == 0);
	strict_check_trailers(in, &out, h);
}

static void check_chunked(const struct stream *s, const struct message *m,
			  const struct strict_head *h, const struct choice *c, const char *bytes,
			  size_t size)
{
	static struct strict_body in;
	static char payload[INPUT_MAX];
	enum strict_verdict v;

	in.payload = payload;
	v = strict_chunked_read(&in, bytes + m->head_past, size - m->head_past);
	if (s->bad_body && m == &s->messages[s->count - 1]) {
		CHECK(v == STRICT_BAD || strstr(s->fault_text, " too ") != NULL);
		return;
	}
	CHECK(v == (m->complete ? STRICT_DONE : STRICT_MORE));
	CHECK(m->payload_bytes == in.payload_bytes);
	if (!m->complete)
		return;
	CHECK(m->past == m->head_past + in.len);
	check_chunked_out(s, m, &in, h, c->output);
}

static void check_plain(const struct stream *s, const struct message *m,
			const struct strict_head *h, const char *bytes, size_t size)
{
	size_t there = size - m->head_past, len = there;

	if (m->framing == HTTP_BODY_NONE)
		len = 0;
	else if (m->framing == HTTP_BODY_LENGTH && h->length < there)
		len = (size_t)h->length;
	CHECK(m->past == m->head_past + len);
	CHECK(m->complete == (m->framing == HTTP_BODY_NONE ||
			      (m->framing == HTTP_BODY_LENGTH && h->length == len)));
	CHECK(m->payload_bytes == len && m->out_past - m->out_first == len);
	CHECK(memcmp(s->out + m->out_first, bytes + m->head_past, len) == 0);
}

/* Behind the last message the codec stands still or has refused: the second reading sees no more. */
static void check_rest(const struct stream *s, struct strict_head *h, const struct choice *c,
		       const char *bytes, size_t at, size_t size)
{
	if (at == size || !strict_head_read(h, c->kind, bytes + at, size - at))
		return;
	CHECK(s->bad);
	if (s->fault == HTTP_FAULT_SYNTAX)
		CHECK(!h->simple || h->status == 101);
	else
		CHECK(s->fault == HTTP_FAULT_METHOD_UNKNOWN || s->fault == HTTP_FAULT_HOST ||
		      s->fault == HTTP_FAULT_TOO_LARGE || s->fault == HTTP_FAULT_TARGET_TOO_LONG);
}

static void check(const struct stream *s, const struct choice *c, const char *bytes, size_t size)
{
	static struct strict_head h;
	unsigned answered = 0;
	size_t at = 0;

	for (unsigned i = 0; i < s->count; i++) {
		const struct message *m = &s->messages[i];

		CHECK(m->start == at);
		CHECK(strict_head_read(&h, c->kind, bytes + at, size - at));
		CHECK(m->head_past == at + h.len);
		CHECK(m->framing == strict_framing(&h, c->kind, is_head(c, answered)));
		CHECK(m->interim == (c->kind == HTTP_RESPONSE && h.status < 200));
		if (m->framing == HTTP_BODY_CHUNKED)
			check_chunked(s, m, &h, c, bytes, size);
		else
			check_plain(s, m, &h, bytes, size);
		answered += !m->interim;
		at = m->past;
		if (!m->complete || h.status == 101)
			return;
	}
	if (s->count < MESSAGES_MAX)
		check_rest(s, &h, c, bytes, at, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct stream stream; /* used again and again, as a connection does */
	const char *bytes = (const char *)data + 2;
	struct choice c;

	if (size < 2 || size > INPUT_MAX)
		return 0;
	c = (struct choice){
		.kind = data[0] & 1 ? HTTP_RESPONSE : HTTP_REQUEST,
		.output = data[0] & 2 ? HTTP_BODY_DECODED : HTTP_BODY_AS_IS,
		.seed = data[1],
	};
	stream_read(&stream, &c, bytes, size - 2);
	check(&stream, &c, bytes, size - 2);
	return 0;
}
