/*
 * http_head_fuzz.c -- a head at once and in pieces must come out alike, and a strict second reading,
 * written here by the grammar alone, must agree on what is accepted and where it ends.
 *
 * Input: a byte of choices, a seed for the pieces, then the bytes of the connection.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/http_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                        \
	do {                                                                    \
		if (!(condition)) {                                             \
			fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
			abort();                                                \
		}                                                               \
	} while (0)

/* What the first byte chooses. */
struct choice {
	enum http_kind kind;
	enum http_method method; /* of the request that a response answers */
	bool upgrade;
	struct http_limits limits;
};

static struct choice choice_of(uint8_t b)
{
	static const enum http_method methods[] = {HTTP_METHOD_GET, HTTP_METHOD_HEAD};
	static const struct http_limits limits[] = {
		{65536, 256}, {65536, 3}, {64, 256}, {4096, 16}};

	return (struct choice){
		.kind = b & 1 ? HTTP_RESPONSE : HTTP_REQUEST,
		.method = methods[b >> 1 & 1],
		.upgrade = b >> 2 & 1,
		.limits = limits[b >> 3 & 3],
	};
}

/* ---- the codec ------------------------------------------------------------------------------ */

/* Exactly len bytes, so that a read behind them is found. */
static char *copy_of(const char *bytes, size_t len)
{
	char *copy = malloc(len > 0 ? len : 1);

	CHECK(copy != NULL);
	if (len > 0)
		memcpy(copy, bytes, len);
	return copy;
}

/* seed 0: at once; else in pieces of 1 to 16 bytes, or in two. */
static enum http_progress read_in_pieces(struct http_head *h, const struct choice *c,
					 const char *bytes, size_t len, uint32_t seed)
{
	enum http_progress progress = HTTP_MORE;
	size_t shown = 0;

	CHECK(http_head_init(h, c->kind, &c->limits, c->method, c->upgrade));
	while (progress == HTTP_MORE && shown < len) {
		size_t step = len - shown;
		char *copy;

		if (seed >= 128)
			step = shown == 0 ? len * (seed - 127) / 129 : step;
		else if (seed > 0)
			step = seed < 16 ? seed : 1 + (seed * 2654435761U + shown * 40503U) % 16;
		shown += step == 0 ? 1 : step;
		if (shown > len)
			shown = len;
		copy = copy_of(bytes, shown);
		progress = http_head_read(h, copy, shown);
		free(copy);
	}
	return progress;
}

static bool slices_equal(struct http_slice a, struct http_slice b)
{
	return a.off == b.off && a.len == b.len;
}

static void same_fields(const struct http_head *a, const struct http_head *b)
{
	CHECK(a->field_count == b->field_count);
	for (uint32_t i = 0; i < a->field_count; i++) {
		CHECK(slices_equal(a->fields[i].name, b->fields[i].name));
		CHECK(slices_equal(a->fields[i].value, b->fields[i].value));
		CHECK(a->fields[i].id == b->fields[i].id);
		CHECK(a->fields[i].nominated == b->fields[i].nominated);
	}
}

static void same_head(const struct http_head *a, const struct http_head *b)
{
	CHECK(a->fault == b->fault);
	CHECK(a->minor == b->minor);
	CHECK(a->keep_alive == b->keep_alive);
	CHECK(a->keep_alive_asked == b->keep_alive_asked);
	CHECK(a->expect_continue == b->expect_continue);
	CHECK(a->upgrade_websocket == b->upgrade_websocket);
	CHECK(a->content_length_known == b->content_length_known);
	CHECK(a->no_body == b->no_body);
	CHECK(a->method == b->method);
	CHECK(a->target_form == b->target_form);
	CHECK(slices_equal(a->method_text, b->method_text));
	CHECK(slices_equal(a->target, b->target));
	CHECK(slices_equal(a->target_authority, b->target_authority));
	CHECK(slices_equal(a->target_path, b->target_path));
	CHECK(slices_equal(a->host, b->host));
	CHECK(a->host_present == b->host_present);
	CHECK(a->max_forwards == b->max_forwards);
	CHECK(a->status == b->status);
	CHECK(slices_equal(a->reason, b->reason));
	CHECK(a->keep_alive_timeout_s == b->keep_alive_timeout_s);
	CHECK(a->framing == b->framing);
	CHECK(a->content_length == b->content_length);
	CHECK(a->empty_lines == b->empty_lines);
	CHECK(a->len == b->len);
	same_fields(a, b);
}

/* ---- the strict second reading -------------------------------------------------------------- */

/* One line at a time, each byte by the grammar; knows nothing of the codec's ways. */
struct strict {
	const char *p;
	const char *end;
	bool simple; /* what this reading leaves open (hosts, targets) cannot be why a head is bad */
	uint32_t fields;
	uint32_t lengths, codings, hosts;
	bool chunked;
	uint64_t length;
	unsigned minor;
	unsigned status;
};

static bool one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

static bool alpha(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool tchar(char c)
{
	return alpha(c) || digit(c) || one_of(c, "!#$%&'*+-.^_`|~");
}

static bool text_char(char c)
{
	return c == '\t' || (unsigned char)c >= 0x80 || (c >= 0x20 && c < 0x7f);
}

/* The line up to CRLF, or false: no CRLF, or a byte that is no text. */
static bool strict_line(struct strict *s, const char **line, size_t *len)
{
	const char *p = s->p;

	while (p < s->end && text_char(*p))
		p++;
	if (s->end - p < 2 || p[0] != '\r' || p[1] != '\n')
		return false;
	*line = s->p;
	*len = (size_t)(p - s->p);
	s->p = p + 2;
	return true;
}

static bool strict_version(struct strict *s, const char *p, size_t len)
{
	if (len != 8 || strncmp(p, "HTTP/1.", 7) != 0 || (p[7] != '0' && p[7] != '1'))
		return false;
	s->minor = (unsigned)(p[7] - '0');
	return true;
}

static bool strict_request_line(struct strict *s, const char *p, size_t len)
{
	size_t m = 0, t;

	while (m < len && tchar(p[m]))
		m++;
	if (m == 0 || m >= len || p[m] != ' ')
		return false;
	t = m + 1;
	while (t < len && p[t] > 0x20 && p[t] != '#')
		t++;
	if (t == m + 1 || t >= len || p[t] != ' ')
		return false;
	s->simple = p[m + 1] == '/' && !(m == 7 && memcmp(p, "CONNECT", 7) == 0);
	return strict_version(s, p + t + 1, len - t - 1);
}

static bool strict_status_line(struct strict *s, const char *p, size_t len)
{
	if (len < 12 || !strict_version(s, p, 8) || p[8] != ' ' || !digit(p[9]) || !digit(p[10]) ||
	    !digit(p[11]) || (len > 12 && p[12] != ' '))
		return false;
	s->status = (unsigned)((p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0'));
	s->simple = true;
	return s->status >= 100 && s->status <= 599;
}

static bool named(const char *p, size_t len, const char *lower)
{
	if (len != strlen(lower))
		return false;
	for (size_t i = 0; i < len; i++)
		if ((alpha(p[i]) ? p[i] | 0x20 : p[i]) != lower[i])
			return false;
	return true;
}

static bool strict_length(struct strict *s, const char *p, size_t len)
{
	s->length = 0;
	for (size_t i = 0; i < len; i++) {
		if (!digit(p[i]) || s->length > (INT64_MAX - (uint64_t)(p[i] - '0')) / 10)
			return false;
		s->length = s->length * 10 + (uint64_t)(p[i] - '0');
	}
	return len > 0 && s->lengths++ == 0;
}

static bool strict_field(struct strict *s, const char *p, size_t len)
{
	size_t n = 0, v, line_len = len;

	while (n < len && tchar(p[n]))
		n++;
	if (n == 0 || n >= len || p[n] != ':')
		return false;
	v = n + 1;
	while (v < len && one_of(p[v], " \t"))
		v++;
	while (len > v && one_of(p[len - 1], " \t"))
		len--;
	s->fields++;
	if (named(p, n, "content-length")) {
		/* right by RFC 9110 section 5.5, but llhttp takes no HTAB behind the digits */
		if (memchr(p + len, '\t', line_len - len) != NULL)
			s->simple = false;
		return strict_length(s, p + v, len - v);
	}
	if (named(p, n, "transfer-encoding")) {
		s->chunked = named(p + v, len - v, "chunked");
		return s->codings++ == 0 && s->chunked && s->minor == 1;
	}
	if (named(p, n, "host"))
		s->hosts++;
	return true;
}

/* True if bytes begin with a complete head; s->p is its end then. */
static bool strict_head(struct strict *s, enum http_kind kind, const char *bytes, size_t len)
{
	const char *line;
	size_t n;

	*s = (struct strict){.p = bytes, .end = bytes + len};
	do {
		if (!strict_line(s, &line, &n))
			return false;
	} while (n == 0 && kind == HTTP_REQUEST);
	if (!(kind == HTTP_REQUEST ? strict_request_line(s, line, n)
				   : strict_status_line(s, line, n)))
		return false;
	for (;;) {
		if (!strict_line(s, &line, &n))
			return false;
		if (n == 0)
			break;
		if (!strict_field(s, line, n))
			return false;
	}
	return s->lengths == 0 || s->codings == 0;
}

/* ---- held together -------------------------------------------------------------------------- */

static enum http_framing strict_framing(const struct strict *s, const struct choice *c)
{
	if (c->kind == HTTP_RESPONSE && (c->method == HTTP_METHOD_HEAD || s->status < 200 ||
					 s->status == 204 || s->status == 304))
		return HTTP_BODY_NONE;
	if (s->chunked)
		return HTTP_BODY_CHUNKED;
	if (s->lengths > 0)
		return HTTP_BODY_LENGTH;
	return c->kind == HTTP_REQUEST ? HTTP_BODY_NONE : HTTP_BODY_UNTIL_CLOSE;
}

static void check_accepted(const struct http_head *h, const struct strict *s,
			   const struct choice *c, const char *bytes)
{
	CHECK(h->fault == HTTP_FAULT_NONE);
	CHECK(h->len == (size_t)(s->p - bytes));
	CHECK(h->len <= c->limits.max_head_bytes);
	CHECK(h->field_count == s->fields);
	CHECK(h->field_count <= c->limits.max_fields);
	CHECK(h->minor == s->minor);
	CHECK(h->framing == strict_framing(s, c));
	CHECK(!h->content_length_known || h->content_length == s->length);
	CHECK(c->kind == HTTP_RESPONSE || s->hosts <= 1);
	CHECK(h->status == s->status);
	for (uint32_t i = 0; i < h->field_count; i++) {
		struct http_slice name = h->fields[i].name, value = h->fields[i].value;

		CHECK(name.len > 0 && name.off + name.len < value.off + 1);
		CHECK(value.off + value.len + 2 <= h->len);
		CHECK(bytes[name.off + name.len] == ':');
	}
}

/* A head that the strict reading accepts is refused only for what that reading leaves open. */
static void check_refused(const struct http_head *h, const struct strict *s, const struct choice *c)
{
	CHECK(h->fault != HTTP_FAULT_NONE);
	CHECK(h->field_count == 0);
	if (h->fault == HTTP_FAULT_SYNTAX)
		CHECK(!s->simple || (c->kind == HTTP_RESPONSE && s->status == 101) ||
		      s->codings > 0);
	else
		CHECK(h->fault == HTTP_FAULT_METHOD_UNKNOWN || h->fault == HTTP_FAULT_HOST ||
		      h->fault == HTTP_FAULT_TOO_LARGE || h->fault == HTTP_FAULT_TARGET_TOO_LONG);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_head whole, pieces; /* used again and again, as a connection does */
	const char *bytes = (const char *)data + 2;
	enum http_progress progress;
	struct choice c;
	struct strict s;
	bool accepted;

	if (size < 2)
		return 0;
	size -= 2;
	c = choice_of(data[0]);
	progress = read_in_pieces(&whole, &c, bytes, size, 0);
	CHECK(read_in_pieces(&pieces, &c, bytes, size, data[1]) == progress);
	same_head(&whole, &pieces);
	CHECK(progress != HTTP_MORE || size < c.limits.max_head_bytes);
	accepted = strict_head(&s, c.kind, bytes, size);
	if (progress == HTTP_DONE) {
		CHECK(accepted);
		check_accepted(&whole, &s, &c, bytes);
	} else if (accepted) {
		CHECK(progress == HTTP_BAD);
		check_refused(&whole, &s, &c);
	}
	return 0;
}
