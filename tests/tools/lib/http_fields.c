/*
 * http_fields.c -- parse the head of a request.
 *
 * Looks at bytes only, never at a socket. Anything that two parsers might read differently (bare CR
 * or LF, folded lines, Content-Length beside Transfer-Encoding, several lengths) is refused.
 */
#include "tests/tools/lib/http_fields.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "common/cursor.h"

#define FIELDS_MAX 100

struct span {
	const char *at;
	size_t len;
};

static bool span_is(struct span s, const char *word)
{
	return s.len == strlen(word) && strncasecmp(s.at, word, s.len) == 0;
}

/* False: it does not fit. */
static bool span_copy(struct span s, char *out, size_t out_size)
{
	if (s.len >= out_size)
		return false;
	memcpy(out, s.at, s.len);
	out[s.len] = '\0';
	return true;
}

static bool is_token(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.at[i];

		if (c <= ' ' || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c) != NULL)
			return false;
	}
	return s.len > 0;
}

static bool is_text(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.at[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static bool is_visible(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] <= ' ' || s.at[i] >= 0x7f)
			return false;
	}
	return true;
}

static struct span span_trim(struct span s)
{
	while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t')) {
		s.at++;
		s.len--;
	}
	while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* The next line without its CR LF; false at the end or when a line ends otherwise. */
static bool next_line(struct cursor *c, struct span *line)
{
	const char *at = (const char *)c->at;
	const char *end = memmem(at, cursor_left(c), "\r\n", 2);

	if (end == NULL)
		return false;
	*line = (struct span){.at = at, .len = (size_t)(end - at)};
	cursor_skip(c, line->len + 2);
	return true;
}

/* Split at the first `mark`; false when there is none. */
static bool span_split(struct span s, char mark, struct span *before, struct span *after)
{
	const char *p = memchr(s.at, mark, s.len);

	if (p == NULL)
		return false;
	*before = (struct span){.at = s.at, .len = (size_t)(p - s.at)};
	*after = (struct span){.at = p + 1, .len = s.len - before->len - 1};
	return true;
}

static int parse_request_line(struct span line, struct http_request *req)
{
	struct span method, rest, target, version;

	if (!span_split(line, ' ', &method, &rest) || !span_split(rest, ' ', &target, &version))
		return 400;
	if (!is_token(method) || !is_text(target) || target.len == 0)
		return 400;
	if (!span_copy(method, req->method, sizeof(req->method)))
		return 501;
	if (!span_copy(target, req->target, sizeof(req->target)))
		return 414;
	if (version.len != 8 || memcmp(version.at, "HTTP/", 5) != 0)
		return 400;
	if (memcmp(version.at, "HTTP/1.1", 8) != 0 && memcmp(version.at, "HTTP/1.0", 8) != 0)
		return 505;
	req->minor = (unsigned)(version.at[7] - '0');
	req->keep_alive = req->minor > 0;
	return 0;
}

static int take_length(struct span value, struct http_request *req)
{
	size_t length = 0;

	if (req->has_length || value.len == 0 || value.len > 15)
		return 400;
	for (size_t i = 0; i < value.len; i++) {
		if (value.at[i] < '0' || value.at[i] > '9')
			return 400;
		length = length * 10 + (size_t)(value.at[i] - '0');
	}
	req->has_length = true;
	req->length = length;
	return 0;
}

static int take_coding(struct span value, struct http_request *req)
{
	if (req->chunked || req->minor == 0)
		return 400;
	if (!span_is(value, "chunked"))
		return 501;
	req->chunked = true;
	return 0;
}

static void take_connection(struct span value, struct http_request *req)
{
	struct span option;

	while (value.len > 0) {
		struct span rest = {.at = value.at, .len = 0};

		if (!span_split(value, ',', &option, &rest))
			option = value;
		option = span_trim(option);
		if (span_is(option, "close"))
			req->keep_alive = false;
		else if (span_is(option, "keep-alive") && req->minor == 0)
			req->keep_alive = true;
		value = rest;
	}
}

static int take_host(struct span value, struct http_request *req)
{
	if (req->host[0] != '\0' || !is_visible(value))
		return 400;
	return span_copy(value, req->host, sizeof(req->host)) ? 0 : 431;
}

static int take_field(struct span name, struct span value, struct http_request *req)
{
	if (span_is(name, "content-length"))
		return take_length(value, req);
	if (span_is(name, "transfer-encoding"))
		return take_coding(value, req);
	if (span_is(name, "connection")) {
		take_connection(value, req);
		return 0;
	}
	if (span_is(name, "host"))
		return take_host(value, req);
	if (span_is(name, "content-type"))
		return span_copy(value, req->content_type, sizeof(req->content_type)) ? 0 : 431;
	if (span_is(name, "expect")) {
		if (!span_is(value, "100-continue"))
			return 417;
		req->expect_continue = true;
	}
	return 0;
}

static int parse_field(struct span line, struct http_request *req)
{
	struct span name, value;

	if (!span_split(line, ':', &name, &value) || !is_token(name))
		return 400;
	value = span_trim(value);
	if (!is_text(value))
		return 400;
	return take_field(name, value, req);
}

int http_fields_parse(const char *head, size_t len, struct http_request *req)
{
	struct cursor c = cursor_of(head, len);
	struct span line;
	int status;

	if (!next_line(&c, &line))
		return 400;
	status = parse_request_line(line, req);
	for (size_t n = 0; status == 0 && next_line(&c, &line); n++) {
		if (n == FIELDS_MAX)
			return 431;
		status = parse_field(line, req);
	}
	if (status != 0)
		return status;
	if (cursor_left(&c) > 0 || (req->chunked && req->has_length))
		return 400;
	return 0;
}
