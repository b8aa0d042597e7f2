/*
 * http_observe.c -- the strict reading, and behind it a tolerant one that knows no llhttp.
 *
 * Never guesses an end: two different lengths, or a request whose last coding is not chunked, are
 * refused here, too.
 */
#include "common/http_observe.h"

#include <string.h>

#include "common/http_fields.h"

#define METHOD_MAX 64
#define TARGET_MAX (64U * 1024)

size_t http_observe_end(const char *bytes, size_t len, size_t seen)
{
	const char *end = bytes + len;
	const char *p = bytes + (seen > 3 ? seen - 3 : 0);

	while (p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		p++;
		if (p < end && *p == '\n')
			return (size_t)(p + 1 - bytes);
		if (end - p >= 2 && p[0] == '\r' && p[1] == '\n')
			return (size_t)(p + 2 - bytes);
	}
	return 0;
}

/* ---- start lines ----------------------------------------------------------------------------- */

/* How a word that may be cut off compares. */
static enum http_sight prefix_sight(const char *bytes, size_t len, const char *word)
{
	size_t word_len = strlen(word);

	if (memcmp(bytes, word, MIN(len, word_len)) != 0)
		return HTTP_SIGHT_NO;
	return len < word_len ? HTTP_SIGHT_MAYBE : HTTP_SIGHT_YES;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static enum http_sight status_sight(const char *bytes, size_t len)
{
	enum http_sight sight = prefix_sight(bytes, len, "HTTP/1.");

	if (sight != HTTP_SIGHT_YES)
		return sight;
	for (size_t i = 7; i < 12 && i < len; i++)
		if (i == 8 ? bytes[i] != ' ' : !is_digit(bytes[i]))
			return HTTP_SIGHT_NO;
	if (len < 13)
		return HTTP_SIGHT_MAYBE;
	if (bytes[9] == '0' || (bytes[12] != ' ' && bytes[12] != '\r' && bytes[12] != '\n'))
		return HTTP_SIGHT_NO;
	return memchr(bytes, '\n', len) != NULL ? HTTP_SIGHT_YES : HTTP_SIGHT_MAYBE;
}

/* " HTTP/1.x" at the end of a line of that length, which ends without CR. */
static bool ends_in_version(const char *line, size_t len)
{
	return len > 9 && memcmp(line + len - 9, " HTTP/1.", 8) == 0 && is_digit(line[len - 1]);
}

static enum http_sight request_sight(const char *bytes, size_t len)
{
	const char *lf = memchr(bytes, '\n', MIN(len, TARGET_MAX));
	size_t method = 0, line;

	while (method < len && method <= METHOD_MAX && http_is_tchar(bytes[method]))
		method++;
	if (method == len && len <= METHOD_MAX)
		return HTTP_SIGHT_MAYBE;
	if (method == 0 || method > METHOD_MAX || bytes[method] != ' ')
		return HTTP_SIGHT_NO;
	if (lf == NULL)
		return len < TARGET_MAX && memchr(bytes, '\0', len) == NULL ? HTTP_SIGHT_MAYBE
									    : HTTP_SIGHT_NO;
	line = (size_t)(lf - bytes);
	if (bytes[line - 1] == '\r')
		line--;
	return ends_in_version(bytes, line) && line > method + 10 ? HTTP_SIGHT_YES : HTTP_SIGHT_NO;
}

enum http_sight http_observe_line(enum http_kind kind, const char *bytes, size_t len)
{
	if (len == 0)
		return HTTP_SIGHT_MAYBE;
	return kind == HTTP_REQUEST ? request_sight(bytes, len) : status_sight(bytes, len);
}

/* ---- the tolerant reading -------------------------------------------------------------------- */

struct line {
	uint32_t off;
	uint32_t end; /* without its CR and LF */
};

/* The line at *at, which moves on to the next. False at the empty line. */
static bool next_line(const char *bytes, uint32_t len, uint32_t *at, struct line *line)
{
	const char *lf = memchr(bytes + *at, '\n', len - *at);

	if (lf == NULL)
		return false;
	line->off = *at;
	line->end = (uint32_t)(lf - bytes);
	*at = line->end + 1;
	if (line->end > line->off && bytes[line->end - 1] == '\r')
		line->end--;
	return line->end > line->off;
}

/* White space, and the ends of folded lines. */
static bool is_space(char c)
{
	return http_is_blank(c) || c == '\r' || c == '\n';
}

static struct http_slice trimmed(const char *bytes, uint32_t off, uint32_t end)
{
	while (end > off && is_space(bytes[end - 1]))
		end--;
	while (off < end && is_space(bytes[off]))
		off++;
	return (struct http_slice){off, end - off};
}

static bool slice_is(const char *bytes, struct http_slice s, const char *word)
{
	return s.len == strlen(word) && memcmp(bytes + s.off, word, s.len) == 0;
}

static bool start_line(struct http_head *h, const char *bytes, const struct line *l)
{
	const char *space = memchr(bytes + l->off, ' ', l->end - l->off);
	uint32_t method = (uint32_t)(space - bytes) - l->off;

	if (h->kind == HTTP_RESPONSE) {
		h->minor = bytes[l->off + 7] != '0';
		h->status = (uint16_t)((bytes[l->off + 9] - '0') * 100 +
				       (bytes[l->off + 10] - '0') * 10 + bytes[l->off + 11] - '0');
		h->reason = trimmed(bytes, MIN(l->off + 13, l->end), l->end);
		return true;
	}
	h->minor = bytes[l->end - 1] != '0';
	h->method_text = (struct http_slice){l->off, method};
	h->target = trimmed(bytes, l->off + method + 1, l->end - 9);
	if (slice_is(bytes, h->method_text, "CONNECT"))
		h->method = HTTP_METHOD_CONNECT;
	else if (slice_is(bytes, h->method_text, "HEAD"))
		h->method = HTTP_METHOD_HEAD;
	return h->target.len > 0;
}

/* As http_list_next(), over folded lines. */
static bool next_member(const char **at, const char *end, const char **member, size_t *len)
{
	if (!http_list_next(at, end, member, len))
		return false;
	while (*len > 0 && is_space(**member)) {
		(*member)++;
		(*len)--;
	}
	while (*len > 0 && is_space((*member)[*len - 1]))
		(*len)--;
	return true;
}

/* What the fields say of the body and of what follows. */
struct facts {
	uint32_t lengths;
	uint64_t length;
	bool differ; /* the lengths do */
	bool coded;
	bool chunked; /* the last coding */
	bool close;
};

static void length_read(struct facts *f, const char *at, size_t len)
{
	const char *end = at + len;
	const char *member;
	uint64_t length;
	size_t n;

	while (next_member(&at, end, &member, &n)) {
		bool valid = http_digits_read(member, n, INT64_MAX, &length);

		if (!valid || (f->lengths > 0 && f->length != length))
			f->differ = true;
		else
			f->length = length;
		f->lengths++;
	}
}

static void field_read(struct http_head *h, struct facts *f, const char *bytes,
		       struct http_slice name, struct http_slice value)
{
	const char *at = bytes + value.off;
	const char *end = at + value.len;
	const char *member;
	size_t n;

	switch (http_field_id(bytes + name.off, name.len)) {
	case HTTP_FIELD_CONTENT_LENGTH:
		length_read(f, at, value.len);
		break;
	case HTTP_FIELD_TRANSFER_ENCODING:
		f->coded = true;
		while (next_member(&at, end, &member, &n))
			f->chunked = http_text_is(member, n, "chunked");
		break;
	case HTTP_FIELD_CONNECTION:
		f->close |= http_list_has(at, value.len, "close");
		h->keep_alive_asked |= http_list_has(at, value.len, "keep-alive");
		break;
	case HTTP_FIELD_EXPECT:
		h->expect_continue |= http_list_has(at, value.len, "100-continue");
		break;
	case HTTP_FIELD_HOST:
		h->host_present = true;
		h->host = value;
		break;
	case HTTP_FIELD_X_REQUEST_ID:
		if (h->request_id.len == 0)
			h->request_id = value;
		break;
	case HTTP_FIELD_TRACEPARENT:
		if (h->traceparent_count++ == 0)
			h->traceparent = value;
		break;
	default:
		break;
	}
}

static bool framing_read(struct http_head *h, const struct facts *f)
{
	bool is_response = h->kind == HTTP_RESPONSE;

	h->content_length_known = f->lengths > 0 && !f->differ;
	h->content_length = f->length;
	h->no_body = is_response && (h->status < 200 || h->status == 204 || h->status == 304);
	h->framing = HTTP_BODY_NONE;
	if (f->chunked && !h->no_body)
		h->framing = HTTP_BODY_CHUNKED;
	else if (is_response && f->coded && !h->no_body)
		h->framing = HTTP_BODY_UNTIL_CLOSE;
	else if (f->lengths > 0 && !h->no_body)
		h->framing = HTTP_BODY_LENGTH;
	else if (is_response && !h->no_body)
		h->framing = HTTP_BODY_UNTIL_CLOSE;
	h->keep_alive = !f->close && (h->minor == 1 || h->keep_alive_asked) &&
			h->framing != HTTP_BODY_UNTIL_CLOSE;
	if (f->coded && !f->chunked && !is_response)
		return false;
	return !(h->framing == HTTP_BODY_LENGTH && f->differ);
}

/* A folded line goes on with the field before it (RFC 9112 section 5.2); a line without colon is none. */
static bool fields_read(struct http_head *h, const char *bytes, uint32_t len, uint32_t at)
{
	struct facts f = {0};
	struct line line, more;

	for (unsigned i = 0; next_line(bytes, len, &at, &line); i++) {
		const char *colon;
		uint32_t next = at;

		if (i == HTTP_OBSERVE_FIELDS_MAX)
			return false;
		while (next < len && http_is_blank(bytes[next]) &&
		       next_line(bytes, len, &next, &more)) {
			at = next;
			line.end = more.end;
		}
		colon = memchr(bytes + line.off, ':', line.end - line.off);
		if (colon != NULL)
			field_read(h, &f, bytes,
				   trimmed(bytes, line.off, (uint32_t)(colon - bytes)),
				   trimmed(bytes, (uint32_t)(colon - bytes) + 1, line.end));
	}
	return framing_read(h, &f);
}

static bool read_tolerantly(struct http_head *h, enum http_kind kind, const char *bytes,
			    uint32_t len)
{
	struct http_head read = {
		.kind = kind,
		.max_forwards = UINT32_MAX,
		.keep_alive_timeout_s = UINT32_MAX,
		.fields = h->fields,
		.reader = h->reader,
		.len = len,
	};
	struct line line;
	uint32_t at = 0;

	*h = read;
	if (http_observe_line(kind, bytes, len) == HTTP_SIGHT_YES &&
	    next_line(bytes, len, &at, &line) && start_line(h, bytes, &line) &&
	    fields_read(h, bytes, len, at))
		return true;
	h->fault = HTTP_FAULT_SYNTAX;
	return false;
}

bool http_observe_head(struct http_head *h, enum http_kind kind, const char *bytes, size_t len)
{
	static const struct http_limits limits = {.max_head_bytes = HTTP_OBSERVE_HEAD_MAX + 1,
						  .max_fields = HTTP_OBSERVE_FIELDS_MAX};

	if (len > HTTP_OBSERVE_HEAD_MAX) {
		h->fault = HTTP_FAULT_TOO_LARGE;
		return false;
	}
	if (!http_head_init(h, kind, &limits, HTTP_METHOD_OTHER, true)) {
		h->fault = HTTP_FAULT_MEMORY;
		return false;
	}
	if (http_head_read(h, bytes, len) == HTTP_DONE && h->len == len)
		return true;
	return read_tolerantly(h, kind, bytes, (uint32_t)len);
}
