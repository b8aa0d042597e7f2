/* One direction's messages: where they begin and end, in any segmentation, and over gaps. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "trace/http_reader.h"

#define TOLD_MAX 512

static struct http_reader r;
static struct head_memo heads;
static char told[TOLD_MAX]; /* what was told, in words */

static void tell(const char *word, uint64_t off)
{
	size_t len = strlen(told);

	snprintf(told + len, sizeof(told) - len, "%s%s@%llu", len > 0 ? " " : "", word,
		 (unsigned long long)off);
}

/* bytes NULL: they were not captured. */
static void feed(const char *bytes, uint64_t len)
{
	struct http_input in = {.bytes = bytes, .len = len};

	while (in.len > 0) {
		const char *at;
		uint64_t used;

		switch (http_reader_read(&r, &in, &heads, &at, &used)) {
		case HTTP_READER_MORE:
			break;
		case HTTP_READER_GOT_HEAD:
			tell("head", r.message_off);
			if (http_reader_body(&r, heads.head->framing, heads.head->content_length))
				tell("end", r.off);
			break;
		case HTTP_READER_GOT_END:
			tell("end", r.off);
			break;
		case HTTP_READER_GOT_LOST:
			tell("lost", r.off);
			break;
		}
		in.len -= used;
		if (in.bytes != NULL)
			in.bytes += used;
	}
}

static void start(enum http_kind kind)
{
	http_reader_fini(&r);
	http_reader_init(&r, kind, 0);
	told[0] = '\0';
}

static void fini(void)
{
	http_reader_fini(&r);
	head_memo_fini(&heads);
}

TestSuite(http_reader, .fini = fini);

static const char requests[] =
	"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"                     /* 0 to 28 */
	"\r\nPOST /b HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello" /* 30 to 74 */
	"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" /* 74 to 122 */
	"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n"           /* to 152 */
	"GET /d HTTP/1.1\n\n";                                   /* to 169 */
static const char expected[] = "head@0 end@28 head@30 end@74 head@74 end@152 head@152 end@169";

Test(http_reader, in_any_two_pieces)
{
	for (size_t cut = 0; cut < strlen(requests); cut++) {
		start(HTTP_REQUEST);
		feed(requests, cut);
		feed(requests + cut, strlen(requests) - cut);
		cr_assert_str_eq(told, expected, "cut at %zu", cut);
	}
}

Test(http_reader, byte_by_byte)
{
	start(HTTP_REQUEST);
	for (size_t i = 0; i < strlen(requests); i++)
		feed(requests + i, 1);
	cr_assert_str_eq(told, expected);
}

/* Missing bytes within a body or a chunk change nothing; anywhere else nothing more is said. */
Test(http_reader, every_byte_missing_once)
{
	for (size_t at = 0; at < strlen(requests); at++) {
		bool in_length = at >= 69 && at < 74;
		bool in_chunk = (at >= 129 && at < 132) || (at >= 137 && at < 139);

		start(HTTP_REQUEST);
		feed(requests, at);
		feed(NULL, 1);
		feed(requests + at + 1, strlen(requests) - at - 1);
		if (in_length || in_chunk)
			cr_assert_str_eq(told, expected, "at %zu", at);
		else
			cr_assert(strstr(told, "lost@") != NULL &&
					  strstr(strstr(told, "lost@"), "head") == NULL,
				  "at %zu: %s", at, told);
	}
}

Test(http_reader, a_gap_ends_with_the_body)
{
	start(HTTP_REQUEST);
	feed(requests + 30, 39);
	feed(NULL, 5);
	feed(requests, 28);
	cr_assert_str_eq(told, "head@0 end@44 head@44 end@72");
}

Test(http_reader, a_gap_beyond_the_body_ends_it_and_what_can_be_told)
{
	start(HTTP_REQUEST);
	feed(requests + 30, 39);
	feed(NULL, 6);
	feed(requests, 28);
	cr_assert_str_eq(told, "head@0 end@44 lost@44");
	http_reader_restart(&r);
	feed(requests, 28);
	cr_assert_str_eq(told, "head@0 end@44 lost@44 head@73 end@101");
}

Test(http_reader, until_close)
{
	static const char response[] = "HTTP/1.1 200 OK\r\n\r\nabc";

	start(HTTP_RESPONSE);
	feed(response, strlen(response));
	feed(NULL, 1000);
	cr_assert_str_eq(told, "head@0");
	cr_assert(http_reader_close(&r));
	cr_assert_eq(r.off, strlen(response) + 1000);
	cr_assert_eq(r.body.payload_bytes, 1003);
}

Test(http_reader, no_message)
{
	start(HTTP_REQUEST);
	feed("\x16\x03\x01", 3);
	cr_assert_str_eq(told, "lost@0");
	start(HTTP_RESPONSE);
	feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 51);
	cr_assert(strstr(told, "head@0 lost@") != NULL);
}

/* Only the empty lines are used up: what follows them is looked at again. */
Test(http_reader, empty_lines_before_no_message)
{
	const struct http_input in = {.bytes = "\r\n\x16", .len = 3};
	const char *at;
	uint64_t used;

	start(HTTP_REQUEST);
	cr_assert_eq(http_reader_read(&r, &in, &heads, &at, &used), HTTP_READER_GOT_LOST);
	cr_expect_eq(used, 2);
	cr_expect_eq(r.off, 2);
}

/* Heads have a bound, however they come. */
Test(http_reader, endless_head)
{
	static char line[4096];

	memset(line, 'a', sizeof(line));
	start(HTTP_REQUEST);
	feed("GET / HTTP/1.1\r\nA: ", 19);
	for (unsigned i = 0; i < 100; i++)
		feed(line, sizeof(line));
	cr_assert(strstr(told, "lost@") != NULL);
	cr_assert_eq(r.off, 19 + 100 * sizeof(line));
}
