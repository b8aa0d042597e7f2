/* What is known again is what was read, and nothing else is. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "common/http_observe.h"
#include "trace/head_memo.h"

static struct head_memo memo;

/* Read by the memo it is what it is without one. */
static bool check(enum http_kind kind, const char *text)
{
	size_t len = strlen(text);
	struct http_head plain = {0};
	bool is_head = http_observe_head(&plain, kind, text, len);

	cr_assert_eq(head_memo_read(&memo, kind, text, len), is_head, "%s", text);
	if (is_head) {
		cr_expect_eq(memo.head->kind, kind);
		cr_expect_eq(memo.head->status, plain.status);
		cr_expect_eq(memo.head->framing, plain.framing);
		cr_expect_eq(memo.head->content_length, plain.content_length);
		cr_expect_eq(memo.head->len, plain.len);
		cr_expect_eq(memo.head->target.off, plain.target.off);
		cr_expect_eq(memo.head->target.len, plain.target.len);
		cr_assert_eq(memo.head->field_count, plain.field_count);
		for (uint32_t i = 0; i < plain.field_count; i++)
			cr_expect_eq(memcmp(&memo.head->fields[i].value, &plain.fields[i].value,
					    sizeof(struct http_slice)),
				     0);
	}
	http_head_fini(&plain);
	return is_head;
}

Test(head_memo, again_and_again)
{
	for (unsigned i = 0; i < 3; i++) {
		cr_expect(check(HTTP_REQUEST,
				"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"));
		cr_expect(check(HTTP_RESPONSE, "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n"));
		cr_expect_not(check(HTTP_RESPONSE, "HTTP/1.1 2000 OK\r\n\r\n"));
	}
	head_memo_fini(&memo);
}

/* Every number in the same place, so that many stand where another stood before. */
Test(head_memo, many_that_differ_little)
{
	char text[128];

	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < 1000; i++) {
			snprintf(text, sizeof(text),
				 "GET /%03u HTTP/1.1\r\nHost: a\r\nX-Id: %03u\r\n\r\n", i / 2,
				 i % 7);
			cr_expect(check(HTTP_REQUEST, text));
			cr_expect_eq(memcmp(text + memo.head->target.off + 1, text + 5, 3), 0);
		}
	head_memo_fini(&memo);
}

/* A byte that the place does not depend on still tells one from the other. */
Test(head_memo, one_byte_that_differs)
{
	char text[] =
		"HTTP/1.1 200 OK\r\nServer: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"
		"Content-Length: 10\r\nX-Padding: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n\r\n";
	char *digit = strstr(text, "10\r\n");

	for (int c = '1'; c <= '9'; c++) {
		*digit = (char)c;
		cr_expect(check(HTTP_RESPONSE, text));
		cr_expect_eq(memo.head->content_length, (uint64_t)(c - '0') * 10);
	}
	head_memo_fini(&memo);
}

Test(head_memo, longer_than_is_kept)
{
	static char text[3 * HEAD_MEMO_BYTES];
	size_t len = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\nX-Long: ");

	memset(text + len, 'x', 2 * HEAD_MEMO_BYTES);
	strcpy(text + len + 2 * HEAD_MEMO_BYTES, "\r\n\r\n");
	cr_expect(check(HTTP_REQUEST, text));
	cr_expect(check(HTTP_REQUEST, text));
	head_memo_fini(&memo);
}
