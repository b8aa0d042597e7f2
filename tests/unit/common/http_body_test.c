/*
 * http_body_test.c -- bodies of every framing, at once, byte by byte and split in two at every place,
 * each piece in place and ending at a page that nobody may touch.
 */
#include "common/http_body.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/guarded.h"

#define OUT_MAX 65536

/* What came of one body. */
struct outcome {
	enum http_progress progress;
	size_t used;
	char out[OUT_MAX];
	size_t out_len;
	char seen[OUT_MAX]; /* payload that the sink was shown */
	size_t seen_len;
	uint64_t payload_bytes;
	const char *fault_text;
};

static struct outcome first, other;
static struct http_body body;

static void fini(void)
{
	http_body_fini(&body);
}

TestSuite(http_body, .fini = fini);

static void keep(struct outcome *o, const char *bytes, size_t len)
{
	cr_assert_leq(o->out_len + len, OUT_MAX);
	if (len > 0)
		memcpy(o->out + o->out_len, bytes, len);
	o->out_len += len;
}

static void see(void *arg, const char *bytes, size_t len)
{
	struct outcome *o = arg;

	cr_assert_leq(o->seen_len + len, OUT_MAX);
	memcpy(o->seen + o->seen_len, bytes, len);
	o->seen_len += len;
}

/* One piece; what it was allowed to change and tell is checked here for every test. */
static void feed(struct outcome *o, struct guarded *g, const char *bytes, size_t len)
{
	char *buf = guarded_put(g, bytes, len);
	const char *tail;
	size_t used, out_len, tail_len;

	o->progress = http_body_filter(&body, buf, len, &used, &out_len, &tail, &tail_len);
	cr_assert_leq(used, len);
	cr_assert_leq(out_len, used);
	cr_assert(o->progress != HTTP_MORE || used == len);
	cr_assert_eq(tail == NULL, tail_len == 0);
	cr_assert(o->progress == HTTP_DONE || tail == NULL);
	o->used += used;
	keep(o, buf, out_len);
	keep(o, tail, tail_len);
}

struct input {
	enum http_framing framing;
	uint64_t length;
	enum http_body_output output;
	uint32_t max_trailer_bytes;
	const char *bytes;
	size_t len;
};

/* step 0: at once; 1: byte by byte; n > 1: n - 1 bytes, then the rest */
static void run(struct outcome *o, const struct input *in, size_t step)
{
	struct guarded *g = guarded_new(in->len + 1);
	size_t at = 0;

	*o = (struct outcome){.progress = HTTP_MORE};
	http_body_init(&body, in->framing, in->length, in->output, in->max_trailer_bytes);
	http_body_watch(&body, see, o);
	while (o->progress == HTTP_MORE && at < in->len) {
		size_t n = in->len - at;

		if (step == 1)
			n = 1;
		else if (step > 1 && at == 0)
			n = step - 1;
		feed(o, g, in->bytes + at, n);
		at += n;
	}
	o->payload_bytes = body.payload_bytes;
	o->fault_text = body.fault_text;
	cr_assert_eq(o->seen_len, o->payload_bytes);
	cr_assert_eq(http_body_done(&body), o->progress == HTTP_DONE);
	guarded_free(g);
}

/* Leaves the result, which is the same in every way, in `first`. */
static void run_every_way(const struct input *in)
{
	run(&first, in, 0);
	for (size_t step = 1; step <= in->len; step++) {
		run(&other, in, step);
		cr_assert_eq(other.progress, first.progress, "step %zu of %s", step, in->bytes);
		cr_assert_eq(other.payload_bytes, first.payload_bytes, "step %zu", step);
		cr_assert_eq(other.fault_text, first.fault_text, "step %zu of %s", step, in->bytes);
		cr_assert_arr_eq(other.seen, first.seen, first.seen_len, "step %zu", step);
		if (first.progress == HTTP_BAD)
			continue;
		cr_assert_eq(other.used, first.used, "step %zu of %s", step, in->bytes);
		cr_assert_eq(other.out_len, first.out_len, "step %zu of %s", step, in->bytes);
		cr_assert_arr_eq(other.out, first.out, first.out_len, "step %zu", step);
	}
}

#define CHUNKED_OF(text)                              \
	((struct input){.framing = HTTP_BODY_CHUNKED, \
			.max_trailer_bytes = 4096,    \
			.bytes = (text),              \
			.len = sizeof(text) - 1})

static void expect_done(const char *out, size_t used, uint64_t payload)
{
	cr_assert_eq(first.progress, HTTP_DONE, "%s",
		     first.fault_text != NULL ? first.fault_text : "more");
	cr_assert_eq(first.used, used);
	cr_assert_eq(first.payload_bytes, payload);
	cr_assert_eq(first.out_len, strlen(out), "%.*s", (int)first.out_len, first.out);
	cr_assert_arr_eq(first.out, out, first.out_len, "%.*s", (int)first.out_len, first.out);
}

Test(http_body, without_a_body)
{
	struct input in = {.framing = HTTP_BODY_NONE, .bytes = "next", .len = 4};

	http_body_init(&body, HTTP_BODY_NONE, 0, HTTP_BODY_AS_IS, 0);
	cr_assert(http_body_done(&body));
	run_every_way(&in);
	expect_done("", 0, 0);
}

Test(http_body, of_length_zero)
{
	struct input in = {.framing = HTTP_BODY_LENGTH, .bytes = "next", .len = 4};

	http_body_init(&body, HTTP_BODY_LENGTH, 0, HTTP_BODY_AS_IS, 0);
	cr_assert(http_body_done(&body));
	run_every_way(&in);
	expect_done("", 0, 0);
}

Test(http_body, of_a_length)
{
	struct input in = {
		.framing = HTTP_BODY_LENGTH, .length = 5, .bytes = "hello, next", .len = 11};

	http_body_init(&body, HTTP_BODY_LENGTH, 5, HTTP_BODY_AS_IS, 0);
	cr_assert_not(http_body_done(&body));
	run_every_way(&in);
	expect_done("hello", 5, 5);
	in.output = HTTP_BODY_DECODED;
	run_every_way(&in);
	expect_done("hello", 5, 5);
	in.len = 4;
	run_every_way(&in);
	cr_assert_eq(first.progress, HTTP_MORE);
	cr_assert_eq(body.left, 1);
}

Test(http_body, until_the_close)
{
	struct input in = {.framing = HTTP_BODY_UNTIL_CLOSE, .bytes = "all of it", .len = 9};

	run_every_way(&in);
	cr_assert_eq(first.progress, HTTP_MORE);
	cr_assert_eq(first.used, 9);
	cr_assert_eq(first.payload_bytes, 9);
	cr_assert_arr_eq(first.out, "all of it", 9);
}

Test(http_body, chunks_pass_as_they_are)
{
	static const char text[] = "5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\nnext";
	struct input in = CHUNKED_OF(text);

	run_every_way(&in);
	expect_done("5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n", sizeof(text) - 1 - 4, 15);
	in.output = HTTP_BODY_DECODED;
	run_every_way(&in);
	expect_done("hello0123456789", sizeof(text) - 1 - 4, 15);
}

Test(http_body, no_chunk_but_the_last)
{
	run_every_way(&CHUNKED_OF("0\r\n\r\n"));
	expect_done("0\r\n\r\n", 5, 0);
	run_every_way(&CHUNKED_OF("0000000000000000\r\n\r\n"));
	expect_done("0\r\n\r\n", 20, 0);
}

Test(http_body, leading_zeros_and_extensions_are_dropped)
{
	static const char text[] = "0005;a\r\nhello\r\n"
				   "1 ; b = c ;d=\"q\\\"; \t\xff\\\\\"\t;e\r\nx\r\n"
				   "02;f=g;h=\"\"\r\nyz\r\n"
				   "00;last=\"0\r\n\r\n"; /* not closed: see below */
	static const char good[] = "0005;a\r\nhello\r\n"
				   "1 ; b = c ;d=\"q\\\"; \t\xff\\\\\"\t;e\r\nx\r\n"
				   "02;f=g;h=\"\"\r\nyz\r\n"
				   "00;last=\"0\"\r\n\r\n";

	run_every_way(&CHUNKED_OF(good));
	expect_done("5\r\nhello\r\n1\r\nx\r\n2\r\nyz\r\n0\r\n\r\n", sizeof(good) - 1, 8);
	run_every_way(&CHUNKED_OF(text));
	cr_assert_eq(first.progress, HTTP_BAD);
}

Test(http_body, trailers_are_forwarded)
{
	static const char text[] = "1\r\nx\r\n0\r\nX-Sum: abc\r\nX-Empty:\r\nY:  d \t\r\n\r\nnext";
	struct input in = CHUNKED_OF(text);

	run_every_way(&in);
	expect_done("1\r\nx\r\n0\r\nX-Sum: abc\r\nX-Empty:\r\nY:  d \t\r\n\r\n",
		    sizeof(text) - 1 - 4, 1);
	in.output = HTTP_BODY_DECODED;
	run_every_way(&in);
	expect_done("x", sizeof(text) - 1 - 4, 1);
}

Test(http_body, forbidden_trailers_are_dropped)
{
	run_every_way(&CHUNKED_OF("0\r\nContent-Length: 5\r\n\r\n"));
	expect_done("0\r\n\r\n", 24, 0);
	run_every_way(&CHUNKED_OF("0\r\nA: 1\r\ntransfer-encoding: chunked\r\nHOST: b\r\nB: 2\r\n"
				  "Authorization: x\r\nSet-Cookie: x\r\nIf-Match: x\r\nTE: x\r\n"
				  "Connection: B\r\nVia: x\r\nX-Forwarded-For: x\r\n"
				  "Content-Encoding: gzip\r\nTrailer: x\r\n"
				  "X_Client_Cert_Subject: CN=root\r\nC: 3\r\n\r\n"));
	cr_assert_eq(first.progress, HTTP_DONE);
	cr_assert_eq(first.out_len, strlen("0\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n"));
	cr_assert_arr_eq(first.out, "0\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", first.out_len);
}

/* What goes for header fields goes for trailer fields (RFC 9110 section 7.6.1). */
Test(http_body, named_trailers_are_dropped)
{
	static const char text[] = "POST / HTTP/1.1\r\nHost: a\r\nConnection: x-one, close\r\n"
				   "Transfer-Encoding: chunked\r\nConnection: ,X-Two\r\n\r\n";
	static const char section[] = "0\r\nX-One: 1\r\nX-On: 2\r\nx-two: 3\r\nClose: 4\r\n"
				      "X-Oned: 5\r\n\r\n";
	struct http_limits limits = {4096, 32};
	struct http_head head = {0};
	struct guarded *g = guarded_new(sizeof(section));

	cr_assert(http_head_init(&head, HTTP_REQUEST, &limits, HTTP_METHOD_OTHER, false));
	cr_assert_eq(http_head_read(&head, text, sizeof(text) - 1), HTTP_DONE);
	for (int times = 0; times < 2; times++) { /* the second time in a used struct */
		http_body_init(&body, HTTP_BODY_CHUNKED, 0, HTTP_BODY_AS_IS, 4096);
		cr_assert(http_body_forbid_named(&body, &head, text));
		first = (struct outcome){.progress = HTTP_MORE};
		feed(&first, g, section, sizeof(section) - 1);
		expect_done("0\r\nX-On: 2\r\nX-Oned: 5\r\n\r\n", sizeof(section) - 1, 0);
	}
	http_body_init(&body, HTTP_BODY_CHUNKED, 0, HTTP_BODY_AS_IS, 4096);
	first = (struct outcome){.progress = HTTP_MORE};
	feed(&first, g, section, sizeof(section) - 1);
	cr_assert_eq(first.out_len, sizeof(section) - 1 - strlen("Close: 4\r\n"));
	guarded_free(g);
	http_head_fini(&head);
}

Test(http_body, nothing_is_moved_in_the_usual_case)
{
	char text[] = "5\r\nhello\r\n0\r\nX: y\r\n\r\n";
	size_t used, out_len, tail_len;
	const char *tail;

	http_body_init(&body, HTTP_BODY_CHUNKED, 0, HTTP_BODY_AS_IS, 4096);
	cr_assert_eq(http_body_filter(&body, text, sizeof(text) - 1, &used, &out_len, &tail,
				      &tail_len),
		     HTTP_DONE);
	cr_assert_eq(out_len, sizeof(text) - 1);
	cr_assert_null(tail, "all of it fits in place");
	cr_assert_str_eq(text, "5\r\nhello\r\n0\r\nX: y\r\n\r\n");
}

Test(http_body, last_chunk_leaves_when_the_message_is_complete)
{
	char a[] = "1\r\nx\r\n0\r\n", b[] = "\r\n";
	size_t used, out_len, tail_len;
	const char *tail;

	http_body_init(&body, HTTP_BODY_CHUNKED, 0, HTTP_BODY_AS_IS, 4096);
	cr_assert_eq(http_body_filter(&body, a, 9, &used, &out_len, &tail, &tail_len), HTTP_MORE);
	cr_assert_eq(out_len, 6, "the last chunk is held back");
	cr_assert_eq(http_body_filter(&body, b, 2, &used, &out_len, &tail, &tail_len), HTTP_DONE);
	cr_assert_eq(out_len, 0);
	cr_assert_eq(tail_len, 5);
	cr_assert_arr_eq(tail, "0\r\n\r\n", 5);
}

struct bad {
	const char *rule;
	const char *text;
	size_t len;
};

#define BAD(rule, text)                      \
	{                                    \
		rule, text, sizeof(text) - 1 \
	}

static const struct bad bad_bodies[] = {
	BAD("9112 7.1: a size", "\r\nhello"),
	BAD("9112 7.1: a size", "g\r\n"),
	BAD("9112 7.1: a size", " 5\r\nhello\r\n"),
	BAD("9112 7.1: a size", "+5\r\nhello\r\n"),
	BAD("9112 7.1: a size", "-1\r\n"),
	BAD("9112 7.1: a size", "0x5\r\nhello\r\n"),
	BAD("9112 7.1: a size", "5h\r\nhello\r\n"),
	BAD("9112 7.1: a size", "5_0\r\n"),
	BAD("9112 7.1: a size", ";a=b\r\n"),
	BAD("9112 7.1: a size", "\0"
				"5\r\n"),
	BAD("9112 7.1.1: nothing behind it but extensions", "5 \r\nhello\r\n"),
	BAD("9112 7.1.1: nothing behind it but extensions", "5\t\r\nhello\r\n"),
	BAD("9112 7.1.1: nothing behind it but extensions", "5 5\r\nhello\r\n"),
	BAD("9112 7.1.1: nothing behind it but extensions", "5,a\r\nhello\r\n"),
	BAD("9112 7.1: an overflow", "11111111111111111\r\n"),
	BAD("9112 7.1: an overflow", "00000000000000005\r\nhello\r\n"),
	BAD("9112 7.1: an overflow", "8000000000000000\r\n"),
	BAD("9112 7.1: an overflow", "ffffffffffffffff\r\n"),
	BAD("9112 7.1: an overflow", "fffffffffffffffff\r\n"),
	BAD("9112 7.1: CRLF behind the size", "5\nhello\r\n"),
	BAD("9112 7.1: CRLF behind the size", "5\rhello\r\n"),
	BAD("9112 7.1: CRLF behind the size", "5\r\r\nhello\r\n"),
	BAD("9112 7.1: CRLF behind the size", "0\n\n"),
	BAD("9112 7.1: CRLF behind the data", "5\r\nhello\n0\r\n\r\n"),
	BAD("9112 7.1: CRLF behind the data", "5\r\nhello\r0\r\n\r\n"),
	BAD("9112 7.1: CRLF behind the data", "5\r\nhello0\r\n\r\n"),
	BAD("9112 7.1: CRLF behind the data", "5\r\nhello \r\n0\r\n\r\n"),
	BAD("9112 7.1: CRLF behind the data", "5\r\nhello, world\r\n0\r\n\r\n"),
	BAD("9112 7.1: CRLF behind the data", "5\r\nhell\r\n0\r\n\r\n"),
	BAD("9112 7.1.1: an extension's name", "5;\r\nhello\r\n"),
	BAD("9112 7.1.1: an extension's name", "5; \r\nhello\r\n"),
	BAD("9112 7.1.1: an extension's name", "5;;a\r\nhello\r\n"),
	BAD("9112 7.1.1: an extension's name", "5;=b\r\nhello\r\n"),
	BAD("9112 7.1.1: an extension's name", "5;a(b\r\nhello\r\n"),
	BAD("9112 7.1.1: an extension's name", "5;a \r\nhello\r\n"),
	BAD("9112 7.1.1: an extension's name", "5;a b\r\nhello\r\n"),
	BAD("9112 7.1.1: an extension's value", "5;a=\r\nhello\r\n"),
	BAD("9112 7.1.1: an extension's value", "5;a=b=c\r\nhello\r\n"),
	BAD("9112 7.1.1: an extension's value", "5;a=b c\r\nhello\r\n"),
	BAD("9112 7.1.1: an extension's value", "5;a=b \r\nhello\r\n"),
	BAD("9112 7.1.1: a quoted string", "5;a=\"b\r\nhello\r\n"),
	BAD("9112 7.1.1: a quoted string", "5;a=\"b\"c\r\nhello\r\n"),
	BAD("9112 7.1.1: a quoted string", "5;a=\"\x7f\"\r\nhello\r\n"),
	BAD("9112 7.1.1: a quoted string", "5;a=\"\\\r\n\"\r\nhello\r\n"),
	BAD("9112 7.1.1: a quoted string", "5;a=\"\0\"\r\nhello\r\n"),
	BAD("9112 7.1.1: a bare LF in an extension", "5;a\nhello\r\n"),
	BAD("9112 7.1.1: a bare CR in an extension", "5;a\rb\r\nhello\r\n"),
	BAD("9112 7.1.1: a bare CR in a quoted string", "5;a=\"\r\"\r\nhello\r\n"),
	BAD("9112 7.1.2: a bare LF", "0\r\nA: b\n\r\n"),
	BAD("9112 7.1.2: a bare LF", "0\r\n\n"),
	BAD("9112 7.1.2: a bare CR", "0\r\n\rX"),
	BAD("9112 7.1.2: a bare CR", "0\r\nA: b\rC: d\r\n\r\n"),
	BAD("9112 5.1: no space before the colon", "0\r\nA : b\r\n\r\n"),
	BAD("9110 5.1: a name is not empty", "0\r\n: b\r\n\r\n"),
	BAD("9110 5.1: a name is a token", "0\r\nA@: b\r\n\r\n"),
	BAD("9112 5: a colon", "0\r\nA\r\n\r\n"),
	BAD("9112 5: a colon", "0\r\n0\r\n\r\n"),
	BAD("9112 5.2: obs-fold", "0\r\nA: b\r\n c\r\n\r\n"),
	BAD("9112 5.2: obs-fold", "0\r\n A: b\r\n\r\n"),
	BAD("9110 5.5: no NUL in a value", "0\r\nA: \0\r\n\r\n"),
	BAD("9110 5.5: no control in a value", "0\r\nA: \x02\r\n\r\n"),
	BAD("9110 5.5: no DEL in a value", "0\r\nA: \x7f\r\n\r\n"),
};

Test(http_body, malformed_chunks)
{
	for (size_t i = 0; i < ARRAY_LEN(bad_bodies); i++) {
		struct input in = {.framing = HTTP_BODY_CHUNKED,
				   .max_trailer_bytes = 4096,
				   .bytes = bad_bodies[i].text,
				   .len = bad_bodies[i].len};

		for (int output = HTTP_BODY_AS_IS; output <= HTTP_BODY_DECODED; output++) {
			in.output = (enum http_body_output)output;
			run_every_way(&in);
			cr_expect_eq(first.progress, HTTP_BAD, "%s: %s", bad_bodies[i].rule,
				     bad_bodies[i].text);
			cr_expect_not_null(first.fault_text);
		}
	}
}

Test(http_body, bad_stays_bad)
{
	char text[] = "x", good[] = "0\r\n\r\n";
	size_t used, out_len, tail_len;
	const char *tail;

	http_body_init(&body, HTTP_BODY_CHUNKED, 0, HTTP_BODY_AS_IS, 4096);
	cr_assert_eq(http_body_filter(&body, text, 1, &used, &out_len, &tail, &tail_len), HTTP_BAD);
	cr_assert_eq(http_body_filter(&body, good, 5, &used, &out_len, &tail, &tail_len), HTTP_BAD);
	cr_assert_eq(used, 0);
	cr_assert_eq(out_len, 0);
}

Test(http_body, trailer_limit_is_exact)
{
	struct input in = CHUNKED_OF("0\r\nA: 1234\r\nHost: 56\r\n\r\n");

	in.max_trailer_bytes = 15; /* without line ends, dropped fields counted */
	run_every_way(&in);
	expect_done("0\r\nA: 1234\r\n\r\n", in.len, 0);
	in.max_trailer_bytes = 14;
	run_every_way(&in);
	cr_assert_eq(first.progress, HTTP_BAD);
}

/* Feed `unit` until the filter refuses or `max` bytes went in; returns how many did. */
static size_t feed_endlessly(const char *start, const char *unit, size_t max)
{
	char buf[256];
	size_t used, out_len, tail_len, n;
	size_t fed = (size_t)snprintf(buf, sizeof(buf), "%s", start);
	const char *tail;

	if (http_body_filter(&body, buf, fed, &used, &out_len, &tail, &tail_len) != HTTP_MORE)
		return 0;
	while (fed < max) {
		n = (size_t)snprintf(buf, sizeof(buf), "%s", unit);
		if (http_body_filter(&body, buf, n, &used, &out_len, &tail, &tail_len) != HTTP_MORE)
			return fed;
		fed += n;
	}
	return max;
}

Test(http_body, endless_extension)
{
	http_body_init(&body, HTTP_BODY_CHUNKED, 0, HTTP_BODY_AS_IS, 4096);
	cr_assert_lt(feed_endlessly("1;", "a", 1 << 20), 16384 + 16);
	http_body_init(&body, HTTP_BODY_CHUNKED, 0, HTTP_BODY_AS_IS, 4096);
	cr_assert_lt(feed_endlessly("1;a=\"", "\\\"", 1 << 20), 16384 + 16);
}

Test(http_body, extensions_cost_payload)
{
	http_body_init(&body, HTTP_BODY_CHUNKED, 0, HTTP_BODY_AS_IS, 4096);
	cr_assert_lt(feed_endlessly("", "1;aaaaaaaaaaaaaaa\r\nx\r\n", 1 << 20), 1 << 15,
		     "sixteen bytes of extension for one of payload");
	http_body_init(&body, HTTP_BODY_CHUNKED, 0, HTTP_BODY_AS_IS, 4096);
	cr_assert_eq(feed_endlessly("",
				    "20;signature=0123456789abcdef\r\n"
				    "0123456789abcdef0123456789abcdef\r\n",
				    1 << 20),
		     1 << 20, "signed chunks of any number");
}

Test(http_body, a_big_chunk_is_counted_not_kept)
{
	char buf[4096];
	size_t used, out_len, tail_len;
	const char *tail;
	char line[] = "7fffffffffffffff\r\n";

	memset(buf, 'x', sizeof(buf));
	http_body_init(&body, HTTP_BODY_CHUNKED, 0, HTTP_BODY_AS_IS, 4096);
	cr_assert_eq(http_body_filter(&body, line, 18, &used, &out_len, &tail, &tail_len),
		     HTTP_MORE);
	for (int i = 0; i < 1000; i++) {
		cr_assert_eq(http_body_filter(&body, buf, sizeof(buf), &used, &out_len, &tail,
					      &tail_len),
			     HTTP_MORE);
		cr_assert_eq(out_len, sizeof(buf));
	}
	cr_assert_eq(body.payload_bytes, 4096000);
	cr_assert_eq(body.left, INT64_MAX - 4096000);
	cr_assert_null(body.trailer);
}

Test(http_body, used_again)
{
	run_every_way(&CHUNKED_OF("0\r\nA: b\r\n\r\n"));
	cr_assert_not_null(body.trailer);
	run_every_way(&CHUNKED_OF("1\r\nx\r\n0\r\n\r\n"));
	cr_assert_null(body.trailer, "freed by the next init");
	expect_done("1\r\nx\r\n0\r\n\r\n", 11, 1);
}
