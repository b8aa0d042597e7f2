/*
 * strict_http.h -- a second reading of HTTP/1.x messages, by the grammar of RFC 9112 alone, for the
 * fuzz targets to hold the codec against.
 *
 * Reads complete buffers only, one line at a time, and knows nothing of the codec's ways: no table, no
 * state machine, no llhttp. What it leaves open (hosts, targets other than a path) is told in `simple`.
 */
#ifndef TESTS_FUZZ_STRICT_HTTP_H
#define TESTS_FUZZ_STRICT_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/http_head.h"

#define CHECK(condition)                                                        \
	do {                                                                    \
		if (!(condition)) {                                             \
			fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
			abort();                                                \
		}                                                               \
	} while (0)

#define STRICT_FIELDS_MAX 600

struct strict_text {
	const char *p;
	size_t len;
};

struct strict_field {
	struct strict_text name;
	struct strict_text value; /* without white space around it */
};

enum strict_verdict {
	STRICT_MORE, /* right so far */
	STRICT_DONE,
	STRICT_BAD,
};

/* ---- bytes ----------------------------------------------------------------------------------- */

static inline bool strict_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

static inline bool strict_alpha(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static inline bool strict_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool strict_tchar(char c)
{
	return strict_alpha(c) || strict_digit(c) || strict_one_of(c, "!#$%&'*+-.^_`|~");
}

static inline bool strict_text_char(char c)
{
	return c == '\t' || (unsigned char)c >= 0x80 || (c >= 0x20 && c < 0x7f);
}

static inline char strict_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static inline bool strict_same(struct strict_text a, struct strict_text b)
{
	for (size_t i = 0; i < a.len && a.len == b.len; i++)
		if (strict_lower(a.p[i]) != strict_lower(b.p[i]))
			return false;
	return a.len == b.len;
}

static inline bool strict_equal(struct strict_text a, struct strict_text b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline bool strict_is(struct strict_text t, const char *lower)
{
	return strict_same(t, (struct strict_text){lower, strlen(lower)});
}

/* One of the names in a space-separated list. */
static inline bool strict_is_one(struct strict_text t, const char *names)
{
	while (*names != '\0') {
		size_t n = strcspn(names, " ");

		if (strict_same(t, (struct strict_text){names, n}))
			return true;
		names += n + (names[n] == ' ');
	}
	return false;
}

/* X-Client-Cert-Subject, or what a CGI program would find under its name (RFC 3875 section 4.1.18). */
static inline bool strict_is_subject(struct strict_text t)
{
	char folded[22] = "";

	if (t.len != sizeof(folded) - 1)
		return false;
	for (size_t i = 0; i < t.len; i++) {
		folded[i] = strict_lower(t.p[i]);
		if (strchr("abcdefghijklmnopqrstuvwxyz0123456789", folded[i]) == NULL)
			folded[i] = '_';
	}
	return strcmp(folded, "x_client_cert_subject") == 0;
}

static inline struct strict_text strict_trim(struct strict_text t)
{
	while (t.len > 0 && strict_one_of(t.p[0], " \t")) {
		t.p++;
		t.len--;
	}
	while (t.len > 0 && strict_one_of(t.p[t.len - 1], " \t"))
		t.len--;
	return t;
}

/* The line at *p, up to CRLF. */
static inline enum strict_verdict strict_line(const char **p, const char *end,
					      struct strict_text *line)
{
	const char *q = *p;

	while (q < end && strict_text_char(*q))
		q++;
	if (q == end || (q[0] == '\r' && end - q == 1))
		return STRICT_MORE;
	if (q[0] != '\r' || q[1] != '\n')
		return STRICT_BAD;
	*line = (struct strict_text){*p, (size_t)(q - *p)};
	*p = q + 2;
	return STRICT_DONE;
}

static inline bool strict_field_line(struct strict_text line, struct strict_field *f)
{
	size_t n = 0;

	while (n < line.len && strict_tchar(line.p[n]))
		n++;
	if (n == 0 || n == line.len || line.p[n] != ':')
		return false;
	f->name = (struct strict_text){line.p, n};
	f->value = strict_trim((struct strict_text){line.p + n + 1, line.len - n - 1});
	return true;
}

/* ---- heads ----------------------------------------------------------------------------------- */

struct strict_head {
	bool simple; /* what this reading leaves open cannot be why a head is bad */
	struct strict_text method;
	struct strict_text target;
	uint32_t fields; /* all; the first STRICT_FIELDS_MAX stand in `field` */
	struct strict_field field[STRICT_FIELDS_MAX];
	uint32_t lengths, codings, hosts;
	bool chunked;
	uint64_t length;
	unsigned minor;
	unsigned status;
	size_t start; /* of the start line */
	size_t len;
};

static inline bool strict_version(struct strict_head *h, const char *p, size_t len)
{
	if (len != 8 || strncmp(p, "HTTP/1.", 7) != 0 || (p[7] != '0' && p[7] != '1'))
		return false;
	h->minor = (unsigned)(p[7] - '0');
	return true;
}

static inline bool strict_request_line(struct strict_head *h, struct strict_text line)
{
	const char *p = line.p;
	size_t m = 0, t;

	while (m < line.len && strict_tchar(p[m]))
		m++;
	if (m == 0 || m >= line.len || p[m] != ' ')
		return false;
	t = m + 1;
	while (t < line.len && p[t] > 0x20 && p[t] != '#')
		t++;
	if (t == m + 1 || t >= line.len || p[t] != ' ')
		return false;
	h->method = (struct strict_text){p, m};
	h->target = (struct strict_text){p + m + 1, t - m - 1};
	h->simple = p[m + 1] == '/' && !(m == 7 && memcmp(p, "CONNECT", 7) == 0);
	return strict_version(h, p + t + 1, line.len - t - 1);
}

static inline bool strict_status_line(struct strict_head *h, struct strict_text line)
{
	const char *p = line.p;

	if (line.len < 12 || !strict_version(h, p, 8) || p[8] != ' ' || !strict_digit(p[9]) ||
	    !strict_digit(p[10]) || !strict_digit(p[11]) || (line.len > 12 && p[12] != ' '))
		return false;
	h->status = (unsigned)((p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0'));
	h->simple = true;
	return h->status >= 100 && h->status <= 599;
}

static inline bool strict_length(struct strict_head *h, struct strict_text value)
{
	h->length = 0;
	for (size_t i = 0; i < value.len; i++) {
		if (!strict_digit(value.p[i]) ||
		    h->length > (INT64_MAX - (uint64_t)(value.p[i] - '0')) / 10)
			return false;
		h->length = h->length * 10 + (uint64_t)(value.p[i] - '0');
	}
	return value.len > 0 && h->lengths++ == 0;
}

static inline bool strict_head_field(struct strict_head *h, struct strict_text line)
{
	struct strict_field f;
	const char *behind;

	if (!strict_field_line(line, &f))
		return false;
	if (h->fields < STRICT_FIELDS_MAX)
		h->field[h->fields] = f;
	h->fields++;
	if (strict_is(f.name, "content-length")) {
		/* right by RFC 9110 section 5.5, but llhttp takes no HTAB behind the digits */
		behind = f.value.p + f.value.len;
		if (memchr(behind, '\t', (size_t)(line.p + line.len - behind)) != NULL)
			h->simple = false;
		return strict_length(h, f.value);
	}
	if (strict_is(f.name, "transfer-encoding")) {
		h->chunked = strict_is(f.value, "chunked");
		return h->codings++ == 0 && h->chunked && h->minor == 1;
	}
	if (strict_is(f.name, "host"))
		h->hosts++;
	return true;
}

/* True if bytes begin with a complete head, which is h->len long. */
static inline bool strict_head_read(struct strict_head *h, enum http_kind kind, const char *bytes,
				    size_t len)
{
	const char *p = bytes, *end = bytes + len;
	struct strict_text line = {bytes, 0};

	*h = (struct strict_head){0};
	do {
		if (strict_line(&p, end, &line) != STRICT_DONE)
			return false;
	} while (line.len == 0 && kind == HTTP_REQUEST);
	h->start = (size_t)(line.p - bytes);
	if (!(kind == HTTP_REQUEST ? strict_request_line(h, line) : strict_status_line(h, line)))
		return false;
	for (;;) {
		if (strict_line(&p, end, &line) != STRICT_DONE)
			return false;
		if (line.len == 0)
			break;
		if (!strict_head_field(h, line))
			return false;
	}
	h->len = (size_t)(p - bytes);
	return h->lengths == 0 || h->codings == 0;
}

/* RFC 9112 section 6.3; `head` of a response to HEAD. */
static inline enum http_framing strict_framing(const struct strict_head *h, enum http_kind kind,
					       bool head)
{
	if (kind == HTTP_RESPONSE &&
	    (head || h->status < 200 || h->status == 204 || h->status == 304))
		return HTTP_BODY_NONE;
	if (h->chunked)
		return HTTP_BODY_CHUNKED;
	if (h->lengths > 0)
		return HTTP_BODY_LENGTH;
	return kind == HTTP_REQUEST ? HTTP_BODY_NONE : HTTP_BODY_UNTIL_CLOSE;
}

/* True if a Connection field of h lists that name (RFC 9110 section 7.6.1). */
static inline bool strict_nominated(const struct strict_head *h, struct strict_text name)
{
	for (uint32_t i = 0; i < h->fields && i < STRICT_FIELDS_MAX; i++) {
		struct strict_text rest = h->field[i].value;

		while (strict_is(h->field[i].name, "connection") && rest.len > 0) {
			const char *comma = memchr(rest.p, ',', rest.len);
			size_t n = comma != NULL ? (size_t)(comma - rest.p) : rest.len;

			if (n > 0 &&
			    strict_same(strict_trim((struct strict_text){rest.p, n}), name))
				return true;
			rest.p += n + (comma != NULL);
			rest.len -= n + (comma != NULL);
		}
	}
	return false;
}

/* ---- chunked bodies -------------------------------------------------------------------------- */

struct strict_body {
	size_t len; /* as it came, framing and all */
	uint64_t payload_bytes;
	char *payload; /* where to put it; room for as many bytes as are read */
	uint32_t trailers;
	struct strict_field trailer[STRICT_FIELDS_MAX];
};

static inline const char *strict_blanks(const char *p, const char *end)
{
	while (p < end && strict_one_of(*p, " \t"))
		p++;
	return p;
}

static inline enum strict_verdict strict_token(const char **p, const char *end)
{
	const char *first = *p;

	while (*p < end && strict_tchar(**p))
		(*p)++;
	if (*p == end)
		return STRICT_MORE;
	return *p > first ? STRICT_DONE : STRICT_BAD;
}

static inline enum strict_verdict strict_quoted(const char **p, const char *end)
{
	for ((*p)++; *p < end && **p != '"'; (*p)++) {
		if (**p == '\\' && ++*p == end)
			return STRICT_MORE;
		if (!strict_text_char(**p))
			return STRICT_BAD;
	}
	if (*p == end)
		return STRICT_MORE;
	(*p)++;
	return STRICT_DONE;
}

/* ";" name [ "=" value ], white space before each part */
static inline enum strict_verdict strict_extension(const char **p, const char *end)
{
	enum strict_verdict v;
	const char *q;

	*p = strict_blanks(*p + 1, end);
	v = strict_token(p, end);
	if (v != STRICT_DONE)
		return v;
	q = strict_blanks(*p, end);
	if (q == end)
		return STRICT_MORE;
	if (*q != '=')
		return STRICT_DONE;
	*p = strict_blanks(q + 1, end);
	if (*p == end)
		return STRICT_MORE;
	return **p == '"' ? strict_quoted(p, end) : strict_token(p, end);
}

static inline enum strict_verdict strict_crlf(const char **p, const char *end)
{
	if (*p == end)
		return STRICT_MORE;
	if (**p != '\r')
		return STRICT_BAD;
	if (end - *p == 1)
		return STRICT_MORE;
	if ((*p)[1] != '\n')
		return STRICT_BAD;
	*p += 2;
	return STRICT_DONE;
}

static inline int strict_hex(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c == '\0' ? NULL : strchr(digits, strict_lower(c));

	return at == NULL ? -1 : (int)(at - digits);
}

static inline enum strict_verdict strict_size_line(const char **p, const char *end, uint64_t *size)
{
	const char *first = *p;
	enum strict_verdict v;

	for (*size = 0; *p < end && strict_hex(**p) >= 0; (*p)++) {
		if (*p - first == 16 || *size >> 59 != 0)
			return STRICT_BAD;
		*size = *size * 16 + (uint64_t)strict_hex(**p);
	}
	if (*p == first)
		return *p == end ? STRICT_MORE : STRICT_BAD;
	for (;;) {
		const char *q = strict_blanks(*p, end);

		if (q == end)
			return STRICT_MORE;
		if (*q != ';')
			return strict_crlf(p, end); /* white space is for extensions only */
		*p = q;
		v = strict_extension(p, end);
		if (v != STRICT_DONE)
			return v;
	}
}

static inline enum strict_verdict strict_trailers(struct strict_body *b, const char **p,
						  const char *end)
{
	for (;;) {
		struct strict_text line;
		struct strict_field f;
		enum strict_verdict v = strict_line(p, end, &line);

		if (v != STRICT_DONE || line.len == 0)
			return v;
		if (!strict_field_line(line, &f))
			return STRICT_BAD;
		if (b->trailers < STRICT_FIELDS_MAX)
			b->trailer[b->trailers] = f;
		b->trailers++;
	}
}

/* Read a chunked body of which bytes[0, len) is there. b->payload may be NULL. */
static inline enum strict_verdict strict_chunked_read(struct strict_body *b, const char *bytes,
						      size_t len)
{
	const char *p = bytes, *end = bytes + len;
	enum strict_verdict v;
	uint64_t size;

	b->payload_bytes = 0;
	b->trailers = 0;
	for (;;) {
		v = strict_size_line(&p, end, &size);
		if (v != STRICT_DONE)
			return v;
		if (size == 0)
			break;
		size_t n = size < (uint64_t)(end - p) ? (size_t)size : (size_t)(end - p);

		if (b->payload != NULL && n > 0)
			memcpy(b->payload + b->payload_bytes, p, n);
		b->payload_bytes += n;
		p += n;
		if (n < size)
			return STRICT_MORE;
		v = strict_crlf(&p, end);
		if (v != STRICT_DONE)
			return v;
	}
	v = strict_trailers(b, &p, end);
	b->len = (size_t)(p - bytes);
	return v;
}

/*
 * What of a trailer section is passed on (RFC 9110 sections 6.5.1 and 7.6.1): no framing, no routing,
 * no field of the connection; but everything that begins with "x-", forwarding fields excepted.
 */
static inline bool strict_trailer_must_go(const struct strict_head *h, struct strict_text name)
{
	return strict_is_one(name, "content-length transfer-encoding host connection te trailer "
				   "upgrade keep-alive proxy-connection content-type "
				   "content-encoding content-range authorization cookie "
				   "set-cookie expect max-forwards via x-forwarded-for "
				   "x-forwarded-host x-forwarded-proto") ||
	       strict_is_subject(name) || (h != NULL && strict_nominated(h, name));
}

static inline bool strict_trailer_must_stay(const struct strict_head *h, struct strict_text name)
{
	return name.len > 2 && strict_lower(name.p[0]) == 'x' && name.p[1] == '-' &&
	       !strict_trailer_must_go(h, name);
}

/* Of the trailers that came in, the right ones came out, in order; h may be NULL. */
static inline void strict_check_trailers(const struct strict_body *in,
					 const struct strict_body *out, const struct strict_head *h)
{
	uint32_t at = 0;

	if (in->trailers > STRICT_FIELDS_MAX)
		return;
	for (uint32_t i = 0; i < in->trailers; i++) {
		const struct strict_field *f = &in->trailer[i];
		bool kept = at < out->trailers && strict_equal(out->trailer[at].name, f->name) &&
			    strict_equal(out->trailer[at].value, f->value);

		CHECK(!kept || !strict_trailer_must_go(h, f->name));
		CHECK(kept || !strict_trailer_must_stay(h, f->name));
		at += kept;
	}
	CHECK(at == out->trailers);
}

#endif
