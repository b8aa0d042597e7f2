/*
 * http_answer.c -- an answer's status line, its length and its bytes.
 *
 * Keeps the head alone, never a byte of the body.
 */
#include "tests/tools/lib/http_answer.h"

#include <string.h>
#include <strings.h>

#define LENGTH_FIELD      "content-length:"
#define LENGTH_DIGITS_MAX 15

void http_answer_init(struct http_answer *a)
{
	a->state = HTTP_ANSWER_HEAD;
	a->wrong = NULL;
	a->status = 0;
	a->body_bytes = 0;
	a->body_left = 0;
	a->head_len = 0;
}

static enum http_answer_state answer_wrong(struct http_answer *a, const char *why)
{
	a->wrong = why;
	a->state = HTTP_ANSWER_WRONG;
	return a->state;
}

static bool read_number(const char *at, const char *end, uint64_t *value)
{
	const char *p = at;

	*value = 0;
	for (; p < end && p - at < LENGTH_DIGITS_MAX && *p >= '0' && *p <= '9'; p++)
		*value = *value * 10 + (uint64_t)(*p - '0');
	return p > at && p < end && *p == '\r';
}

/* `end` is behind the empty line, so that every line ends before it. */
static bool read_length(const char *head, const char *end, uint64_t *length)
{
	size_t name_len = strlen(LENGTH_FIELD);

	for (const char *line = memchr(head, '\n', (size_t)(end - head)); line != NULL;
	     line = memchr(line, '\n', (size_t)(end - line))) {
		line++;
		if ((size_t)(end - line) <= name_len ||
		    strncasecmp(line, LENGTH_FIELD, name_len) != 0)
			continue;
		for (line += name_len; line < end && *line == ' '; line++)
			;
		return read_number(line, end, length);
	}
	return false;
}

static enum http_answer_state read_head(struct http_answer *a, const char *end)
{
	static const char version[] = "HTTP/1.1 ";
	size_t at = sizeof(version) - 1;

	if ((size_t)(end - a->head) < at + 4 || memcmp(a->head, version, at) != 0)
		return answer_wrong(a, "no HTTP/1.1");
	for (size_t i = 0; i < 3; i++) {
		if (a->head[at + i] < '0' || a->head[at + i] > '9')
			return answer_wrong(a, "no status");
		a->status = a->status * 10 + (unsigned)(a->head[at + i] - '0');
	}
	if (!read_length(a->head, end, &a->body_bytes))
		return answer_wrong(a, "no Content-Length");
	a->body_left = a->body_bytes;
	a->state = HTTP_ANSWER_BODY;
	return a->state;
}

static enum http_answer_state body_add(struct http_answer *a, size_t len)
{
	if (len > a->body_left)
		return answer_wrong(a, "bytes behind the answer");
	a->body_left -= len;
	if (a->body_left == 0)
		a->state = HTTP_ANSWER_DONE;
	return a->state;
}

enum http_answer_state http_answer_add(struct http_answer *a, const char *data, size_t len)
{
	size_t n = MIN(len, sizeof(a->head) - a->head_len);
	const char *end;

	if (a->state != HTTP_ANSWER_HEAD)
		return len == 0 ? a->state : body_add(a, len);
	memcpy(a->head + a->head_len, data, n);
	end = memmem(a->head, a->head_len + n, "\r\n\r\n", 4);
	if (end == NULL) {
		a->head_len += n;
		return a->head_len < sizeof(a->head) ? a->state
						     : answer_wrong(a, "a head that is too long");
	}
	n = (size_t)(end + 4 - a->head) - a->head_len; /* bytes of data that belong to the head */
	a->head_len += n;
	if (read_head(a, end + 4) == HTTP_ANSWER_WRONG)
		return a->state;
	return body_add(a, len - n);
}
