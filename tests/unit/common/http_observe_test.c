/* A tracer's reading of heads: the strict one where it holds, and beyond it what peers understand. */
#include <criterion/criterion.h>

#include <string.h>

#include "common/http_observe.h"

static struct http_head head;

static bool read_head(enum http_kind kind, const char *text)
{
	size_t len = strlen(text);

	cr_assert_eq(http_observe_end(text, len, 0), len, "%s", text);
	return http_observe_head(&head, kind, text, len);
}

static void check_text(const char *text, struct http_slice s, const char *expected)
{
	cr_assert_eq(s.len, strlen(expected));
	cr_assert_eq(memcmp(text + s.off, expected, s.len), 0);
}

TestSuite(http_observe);

Test(http_observe, strict_heads_are_read_as_the_proxy_reads_them)
{
	const char *text = "POST /a?b HTTP/1.1\r\nHost: x:1\r\nContent-Length: 12\r\n"
			   "X-Request-Id: r\r\nExpect: 100-continue\r\n\r\n";

	cr_assert(read_head(HTTP_REQUEST, text));
	cr_assert_eq(head.method, HTTP_METHOD_POST);
	cr_assert_eq(head.framing, HTTP_BODY_LENGTH);
	cr_assert_eq(head.content_length, 12);
	cr_assert(head.expect_continue);
	check_text(text, head.target, "/a?b");
	check_text(text, head.host, "x:1");
	check_text(text, head.request_id, "r");
	http_head_fini(&head);
}

Test(http_observe, lines_that_end_in_lf_alone_and_folded_ones)
{
	const char *text =
		"GET /x y HTTP/1.1\nHost:\n there\nTransfer-Encoding: gzip,\n chunked\n\n";

	cr_assert(read_head(HTTP_REQUEST, text));
	check_text(text, head.target, "/x y");
	check_text(text, head.host, "there");
	cr_assert_eq(head.framing, HTTP_BODY_CHUNKED);
	http_head_fini(&head);
}

Test(http_observe, what_a_proxy_refuses_is_described)
{
	/* RFC 9112 section 6.3: the coding wins */
	cr_assert(read_head(HTTP_RESPONSE, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"
					   "Transfer-Encoding: chunked\r\n\r\n"));
	cr_assert_eq(head.framing, HTTP_BODY_CHUNKED);
	cr_assert(read_head(HTTP_RESPONSE, "HTTP/1.1 101 X\r\nUpgrade: h2c\r\n\r\n"));
	cr_assert_eq(head.status, 101);
	cr_assert(read_head(HTTP_RESPONSE, "HTTP/1.1 999 \r\nContent-Length: 3, 3\r\n\r\n"));
	cr_assert_eq(head.status, 999);
	cr_assert_eq(head.content_length, 3);
	cr_assert(read_head(HTTP_REQUEST, "BREW /pot HTTP/1.7\r\nHost: a\r\nHost: b\r\n\r\n"));
	cr_assert_eq(head.method, HTTP_METHOD_OTHER);
	cr_assert_eq(head.minor, 1);
	cr_assert(read_head(HTTP_RESPONSE, "HTTP/1.0 200\r\n\r\n"));
	cr_assert_eq(head.framing, HTTP_BODY_UNTIL_CLOSE);
	http_head_fini(&head);
}

Test(http_observe, an_end_that_cannot_be_told_is_not_guessed)
{
	cr_assert(
		!(read_head(HTTP_RESPONSE,
			    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n")));
	cr_assert(!(read_head(HTTP_REQUEST, "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n")));
	cr_assert(!(read_head(HTTP_REQUEST, "GET HTTP/1.1\r\n\r\n")));
	cr_assert(!(read_head(HTTP_RESPONSE, "HTTP/2.0 200 OK\r\n\r\n")));
	http_head_fini(&head);
}

/* A line is told from others as soon as it can be, and never the other way round afterwards. */
Test(http_observe, sight_of_a_line)
{
	static const struct {
		enum http_kind kind;
		const char *line;
		enum http_sight sight;
	} lines[] = {
		{HTTP_REQUEST, "GET / HTTP/1.1\r\n", HTTP_SIGHT_YES},
		{HTTP_REQUEST, "M-SEARCH * HTTP/1.0\n", HTTP_SIGHT_YES},
		{HTTP_REQUEST, "GET /\r\n", HTTP_SIGHT_NO},
		{HTTP_REQUEST, "PRI * HTTP/2.0\r\n", HTTP_SIGHT_NO},
		{HTTP_REQUEST, "\x16\x03\x01", HTTP_SIGHT_NO},
		{HTTP_REQUEST, "SSH-2.0-x\r\n", HTTP_SIGHT_NO},
		{HTTP_RESPONSE, "HTTP/1.1 200 OK\r\n", HTTP_SIGHT_YES},
		{HTTP_RESPONSE, "HTTP/1.1 200\r\n", HTTP_SIGHT_YES},
		{HTTP_RESPONSE, "HTTP/1.1 20x OK\r\n", HTTP_SIGHT_NO},
		{HTTP_RESPONSE, "HTTP/1.1 2000 OK\r\n", HTTP_SIGHT_NO},
		{HTTP_RESPONSE, "220 ready\r\n", HTTP_SIGHT_NO},
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		const char *line = lines[i].line;
		bool refused = false;

		for (size_t len = 1; len < strlen(line); len++) {
			enum http_sight sight = http_observe_line(lines[i].kind, line, len);

			cr_assert_neq(sight, HTTP_SIGHT_YES, "%s at %zu", line, len);
			cr_assert(!(refused && sight != HTTP_SIGHT_NO), "%s at %zu", line, len);
			refused = sight == HTTP_SIGHT_NO;
		}
		cr_assert_eq(http_observe_line(lines[i].kind, line, strlen(line)), lines[i].sight,
			     "%s", line);
	}
}

Test(http_observe, the_end_is_found_however_the_head_arrives)
{
	static const char *const texts[] = {"GET / HTTP/1.1\r\nA: b\r\n\r\n",
					    "GET / HTTP/1.1\nA: b\n\n", "GET / HTTP/1.1\r\n\r\n",
					    "GET / HTTP/1.1\n\r\n"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		for (size_t cut = 0; cut < strlen(texts[i]); cut++) {
			cr_assert_eq(http_observe_end(texts[i], cut, 0), 0);
			cr_assert_eq(http_observe_end(texts[i], strlen(texts[i]), cut),
				     strlen(texts[i]));
		}
}
