/*
 * http_target.c -- start lines, read by their grammar and nothing more lenient.
 *
 * Exactly one SP between the parts, HTTP/1.0 or HTTP/1.1, and a target in the form that its method
 * allows. Percent-encoding is never touched.
 */
#include "common/http_target.h"

#include <arpa/inet.h>
#include <string.h>

#include "common/http_fields.h"

static enum http_method method_of(const char *m, size_t len)
{
#define METHOD(text, id)                            \
	if (memcmp(m, text, sizeof(text) - 1) == 0) \
	return id
	switch (len) {
	case 3:
		METHOD("GET", HTTP_METHOD_GET);
		METHOD("PUT", HTTP_METHOD_PUT);
		break;
	case 4:
		METHOD("POST", HTTP_METHOD_POST);
		METHOD("HEAD", HTTP_METHOD_HEAD);
		break;
	case 5:
		METHOD("TRACE", HTTP_METHOD_TRACE);
		break;
	case 6:
		METHOD("DELETE", HTTP_METHOD_DELETE);
		break;
	case 7:
		METHOD("OPTIONS", HTTP_METHOD_OPTIONS);
		METHOD("CONNECT", HTTP_METHOD_CONNECT);
		break;
	default:
		break;
	}
	return HTTP_METHOD_OTHER;
#undef METHOD
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* unreserved and sub-delims (RFC 3986 section 3.2.2) */
static const bool reg_name_chars[256] = {
	['-'] = 1, ['.'] = 1, ['_'] = 1, ['~'] = 1, ['!'] = 1, ['$'] = 1, ['&'] = 1, ['\''] = 1,
	['('] = 1, [')'] = 1, ['*'] = 1, ['+'] = 1, [','] = 1, [';'] = 1, ['='] = 1, ['0'] = 1,
	['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1, ['8'] = 1,
	['9'] = 1, ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1, ['F'] = 1, ['G'] = 1,
	['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1, ['L'] = 1, ['M'] = 1, ['N'] = 1, ['O'] = 1,
	['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1, ['U'] = 1, ['V'] = 1, ['W'] = 1,
	['X'] = 1, ['Y'] = 1, ['Z'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1,
	['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1, ['j'] = 1, ['k'] = 1, ['l'] = 1, ['m'] = 1,
	['n'] = 1, ['o'] = 1, ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1, ['t'] = 1, ['u'] = 1,
	['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1, ['z'] = 1,
};

/* Bytes of the reg-name or IPv4 address that text begins with. */
static size_t reg_name_len(const char *text, size_t len)
{
	size_t i = 0;

	for (;;) {
		while (i < len && reg_name_chars[(uint8_t)text[i]])
			i++;
		if (len - i < 3 || text[i] != '%' || !is_hex(text[i + 1]) || !is_hex(text[i + 2]))
			return i;
		i += 3;
	}
}

/* Bytes of the "[IPv6]" that text begins with, or 0. */
static size_t ip_literal_len(const char *text, size_t len)
{
	const char *close = memchr(text, ']', len);
	char ip[INET6_ADDRSTRLEN];
	struct in6_addr unused;
	size_t n;

	if (close == NULL)
		return 0;
	n = (size_t)(close - text) - 1;
	if (n == 0 || n >= sizeof(ip))
		return 0;
	memcpy(ip, text + 1, n);
	ip[n] = '\0';
	return inet_pton(AF_INET6, ip, &unused) == 1 ? n + 2 : 0;
}

/* Nothing, or ":" and a port that may be empty (RFC 3986 section 3.2.3). */
static bool port_valid(const char *text, size_t len)
{
	uint64_t port;

	if (len == 0)
		return true;
	if (text[0] != ':')
		return false;
	return len == 1 || http_digits_read(text + 1, len - 1, 65535, &port);
}

bool http_authority_valid(const char *text, size_t len)
{
	size_t host;

	if (len == 0)
		return false;
	host = text[0] == '[' ? ip_literal_len(text, len) : reg_name_len(text, len);
	return host > 0 && port_valid(text + host, len - host);
}

/* CONNECT: host and port, neither of them empty. */
static bool authority_form(const char *text, size_t len)
{
	return http_authority_valid(text, len) && is_digit(text[len - 1]) &&
	       memchr(text, ':', len) != NULL;
}

/* Length of "http://" or "https://" in any case of letters, or 0. */
static uint32_t scheme_len(const char *text, size_t len)
{
	if (len >= 7 && http_text_is(text, 7, "http://"))
		return 7;
	if (len >= 8 && http_text_is(text, 8, "https://"))
		return 8;
	return 0;
}

static bool absolute_form(struct http_head *h, const char *bytes)
{
	const char *text = bytes + h->target.off;
	uint32_t scheme = scheme_len(text, h->target.len);
	uint32_t n = scheme;

	if (scheme == 0)
		return false;
	while (n < h->target.len && text[n] != '/' && text[n] != '?')
		n++;
	/* an "@" of userinfo is no char of a host, so it is refused here (RFC 9110 section 4.2.4) */
	if (!http_authority_valid(text + scheme, n - scheme))
		return false;
	h->target_form = HTTP_TARGET_ABSOLUTE;
	h->target_authority = (struct http_slice){h->target.off + scheme, n - scheme};
	h->target_path = (struct http_slice){h->target.off + n, h->target.len - n};
	return true;
}

static bool target_form_read(struct http_head *h, const char *bytes)
{
	const char *text = bytes + h->target.off;

	if (h->method == HTTP_METHOD_CONNECT) {
		h->target_form = HTTP_TARGET_AUTHORITY;
		return authority_form(text, h->target.len);
	}
	if (text[0] == '/') {
		h->target_form = HTTP_TARGET_ORIGIN;
		return true;
	}
	if (h->target.len == 1 && text[0] == '*') {
		h->target_form = HTTP_TARGET_ASTERISK;
		return h->method == HTTP_METHOD_OPTIONS;
	}
	return absolute_form(h, bytes);
}

static bool is_target_char(char c)
{
	return c > 0x20 && c < 0x7f && c != '#';
}

static enum http_fault version_read(struct http_head *h, const char *text, size_t len)
{
	if (len != 8 || memcmp(text, "HTTP/", 5) != 0 || !is_digit(text[5]) || text[6] != '.' ||
	    !is_digit(text[7]))
		return HTTP_FAULT_SYNTAX;
	if (text[5] != '1' || text[7] > '1')
		return HTTP_FAULT_VERSION;
	h->minor = (uint8_t)(text[7] - '0');
	return HTTP_FAULT_NONE;
}

/* The token at p, which must be followed by a byte of the line; sets what it can. */
static const char *method_read(struct http_head *h, const char *bytes, const char *p,
			       const char *end)
{
	const char *first = p;

	while (p < end && http_is_tchar(*p))
		p++;
	if (p == first || p == end || *p != ' ')
		return NULL;
	h->method_text = (struct http_slice){(uint32_t)(first - bytes), (uint32_t)(p - first)};
	h->method = method_of(first, h->method_text.len);
	return p + 1;
}

static const char *target_read(struct http_head *h, const char *bytes, const char *p,
			       const char *end)
{
	const char *first = p;

	while (p < end && is_target_char(*p))
		p++;
	h->target = (struct http_slice){(uint32_t)(first - bytes), (uint32_t)(p - first)};
	return p;
}

enum http_fault http_request_line_read(struct http_head *h, const char *bytes, uint32_t off,
				       uint32_t end)
{
	const char *last = bytes + end;
	const char *p = method_read(h, bytes, bytes + off, last);
	enum http_fault fault;

	if (p == NULL)
		return HTTP_FAULT_SYNTAX;
	p = target_read(h, bytes, p, last);
	if (h->target.len == 0 || p == last || *p != ' ')
		return HTTP_FAULT_SYNTAX;
	fault = version_read(h, p + 1, (size_t)(last - p) - 1);
	if (fault != HTTP_FAULT_NONE)
		return fault;
	if (!target_form_read(h, bytes))
		return HTTP_FAULT_SYNTAX;
	/* reserved for the preface of HTTP/2 (RFC 9113 section 11.6); llhttp knows it as nothing else */
	if (h->method_text.len == 3 && memcmp(bytes + off, "PRI", 3) == 0)
		return HTTP_FAULT_METHOD_UNKNOWN;
	return HTTP_FAULT_NONE;
}

void http_request_line_peek(struct http_head *h, const char *bytes, uint32_t off, uint32_t end)
{
	const char *p = method_read(h, bytes, bytes + off, bytes + end);

	if (p != NULL)
		target_read(h, bytes, p, bytes + end);
}

enum http_fault http_status_line_read(struct http_head *h, const char *bytes, uint32_t off,
				      uint32_t end)
{
	const char *line = bytes + off;
	uint32_t len = end - off;
	uint64_t status;

	/* "HTTP/1.1 200"; the SP before an empty reason is often left out */
	if (len < 12 || version_read(h, line, 8) != HTTP_FAULT_NONE || line[8] != ' ' ||
	    !http_digits_read(line + 9, 3, 599, &status) || status < 100 ||
	    (len > 12 && line[12] != ' '))
		return HTTP_FAULT_SYNTAX;
	h->status = (uint16_t)status;
	h->reason = (struct http_slice){off + MIN(len, 13U), len - MIN(len, 13U)};
	return HTTP_FAULT_NONE;
}
