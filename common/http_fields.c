/*
 * http_fields.c -- names looked up by length and letters, lists, digits.
 *
 * Names are compared eight bytes at a time with 0x20 set in each. That is exact for tokens: the
 * bytes which that bit would confuse with a letter, a digit or "-" are no tchars.
 */
#include "common/http_fields.h"

#include <string.h>

/* "!#$%&'*+-.^_`|~", digits and letters */
const bool http_tchars[256] = {
	['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1,
	['-'] = 1, ['.'] = 1, ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1,  ['~'] = 1, ['0'] = 1,
	['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1,  ['7'] = 1, ['8'] = 1,
	['9'] = 1, ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1,  ['F'] = 1, ['G'] = 1,
	['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1, ['L'] = 1, ['M'] = 1,  ['N'] = 1, ['O'] = 1,
	['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1, ['U'] = 1,  ['V'] = 1, ['W'] = 1,
	['X'] = 1, ['Y'] = 1, ['Z'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1,  ['d'] = 1, ['e'] = 1,
	['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1, ['j'] = 1, ['k'] = 1,  ['l'] = 1, ['m'] = 1,
	['n'] = 1, ['o'] = 1, ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1,  ['t'] = 1, ['u'] = 1,
	['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1, ['z'] = 1,
};

bool http_is_token(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!http_is_tchar(text[i]))
			return false;
	return len > 0;
}

static char to_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* `name` is a token of the same length as `lower`. */
static inline bool token_is(const char *name, const char *lower, size_t len)
{
	uint64_t a, b;

	for (; len >= 8; len -= 8, name += 8, lower += 8) {
		memcpy(&a, name, 8);
		memcpy(&b, lower, 8);
		if ((a | UINT64_C(0x2020202020202020)) != b)
			return false;
	}
	for (size_t i = 0; i < len; i++)
		if ((name[i] | 0x20) != lower[i])
			return false;
	return true;
}

#define NAME_IS(text, id)                           \
	if (token_is(name, text, sizeof(text) - 1)) \
	return id

static enum http_field_id id_of_short(const char *name, size_t len)
{
	switch (len) {
	case 2:
		NAME_IS("te", HTTP_FIELD_TE);
		break;
	case 3:
		NAME_IS("via", HTTP_FIELD_VIA);
		break;
	case 4:
		NAME_IS("host", HTTP_FIELD_HOST);
		NAME_IS("date", HTTP_FIELD_DATE);
		break;
	case 6:
		NAME_IS("expect", HTTP_FIELD_EXPECT);
		break;
	case 7:
		NAME_IS("upgrade", HTTP_FIELD_UPGRADE);
		NAME_IS("trailer", HTTP_FIELD_TRAILER);
		break;
	case 10:
		NAME_IS("connection", HTTP_FIELD_CONNECTION);
		NAME_IS("soapaction", HTTP_FIELD_SOAP_ACTION);
		NAME_IS("keep-alive", HTTP_FIELD_KEEP_ALIVE);
		NAME_IS("tracestate", HTTP_FIELD_TRACESTATE);
		break;
	default:
		break;
	}
	return HTTP_FIELD_OTHER;
}

/*
 * Many backends hand fields to programs as variables, in which every byte but letters and digits
 * becomes an underscore: whatever would be read as that field is that field.
 */
static bool is_client_subject(const char *name)
{
	static const char lower[] = "x-client-cert-subject";

	for (size_t i = 0; i < sizeof(lower) - 1; i++) {
		char c = to_lower(name[i]);
		bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

		if ((plain ? c : '-') != lower[i])
			return false;
	}
	return true;
}

static enum http_field_id id_of_long(const char *name, size_t len)
{
	switch (len) {
	case 11:
		NAME_IS("traceparent", HTTP_FIELD_TRACEPARENT);
		break;
	case 12:
		NAME_IS("content-type", HTTP_FIELD_CONTENT_TYPE);
		NAME_IS("max-forwards", HTTP_FIELD_MAX_FORWARDS);
		NAME_IS("x-request-id", HTTP_FIELD_X_REQUEST_ID);
		break;
	case 14:
		NAME_IS("content-length", HTTP_FIELD_CONTENT_LENGTH);
		NAME_IS("http2-settings", HTTP_FIELD_HTTP2_SETTINGS);
		break;
	case 15:
		NAME_IS("x-forwarded-for", HTTP_FIELD_X_FORWARDED_FOR);
		break;
	case 16:
		NAME_IS("x-forwarded-host", HTTP_FIELD_X_FORWARDED_HOST);
		NAME_IS("proxy-connection", HTTP_FIELD_PROXY_CONNECTION);
		break;
	case 17:
		NAME_IS("transfer-encoding", HTTP_FIELD_TRANSFER_ENCODING);
		NAME_IS("x-forwarded-proto", HTTP_FIELD_X_FORWARDED_PROTO);
		break;
	case 18:
		NAME_IS("proxy-authenticate", HTTP_FIELD_PROXY_AUTHENTICATE);
		break;
	case 19:
		NAME_IS("proxy-authorization", HTTP_FIELD_PROXY_AUTHORIZATION);
		break;
	case 21:
		return is_client_subject(name) ? HTTP_FIELD_X_CLIENT_CERT_SUBJECT
					       : HTTP_FIELD_OTHER;
	default:
		break;
	}
	return HTTP_FIELD_OTHER;
}

#undef NAME_IS

enum http_field_id http_field_id(const char *name, size_t len)
{
	return len <= 10 ? id_of_short(name, len) : id_of_long(name, len);
}

bool http_field_protected(enum http_field_id id)
{
	switch (id) {
	case HTTP_FIELD_HOST:
	case HTTP_FIELD_CONTENT_LENGTH:
	case HTTP_FIELD_TRANSFER_ENCODING:
	case HTTP_FIELD_TRACEPARENT:
	case HTTP_FIELD_TRACESTATE:
	case HTTP_FIELD_VIA:
	case HTTP_FIELD_X_FORWARDED_FOR:
	case HTTP_FIELD_X_FORWARDED_HOST:
	case HTTP_FIELD_X_FORWARDED_PROTO:
	case HTTP_FIELD_X_REQUEST_ID:
		return true;
	default:
		return false;
	}
}

/* Framing, routing, request modifiers, authentication, response control and content format. */
static const char *const not_in_trailers[] = {
	"age",
	"authentication-info",
	"authorization",
	"cache-control",
	"close",
	"connection",
	"content-encoding",
	"content-length",
	"content-range",
	"content-type",
	"cookie",
	"date",
	"expect",
	"expires",
	"forwarded",
	"host",
	"http2-settings",
	"if-match",
	"if-modified-since",
	"if-none-match",
	"if-range",
	"if-unmodified-since",
	"keep-alive",
	"location",
	"max-forwards",
	"pragma",
	"proxy-authenticate",
	"proxy-authentication-info",
	"proxy-authorization",
	"proxy-connection",
	"range",
	"retry-after",
	"set-cookie",
	"soapaction",
	"te",
	"trailer",
	"transfer-encoding",
	"upgrade",
	"vary",
	"via",
	"warning",
	"www-authenticate",
	"x-forwarded-for",
	"x-forwarded-host",
	"x-forwarded-proto",
};

bool http_trailer_forbidden(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(not_in_trailers); i++)
		if (http_text_is(name, len, not_in_trailers[i]))
			return true;
	return http_field_id(name, len) == HTTP_FIELD_X_CLIENT_CERT_SUBJECT;
}

bool http_text_is(const char *text, size_t len, const char *lower)
{
	for (size_t i = 0; i < len; i++)
		if (to_lower(text[i]) != lower[i] || lower[i] == '\0')
			return false;
	return lower[len] == '\0';
}

bool http_text_equal(const char *a, const char *b, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (to_lower(a[i]) != to_lower(b[i]))
			return false;
	return true;
}

bool http_list_next(const char **at, const char *end, const char **member, size_t *len)
{
	const char *p = *at;

	while (p < end && (*p == ',' || http_is_blank(*p)))
		p++;
	if (p == end) {
		*at = end;
		return false;
	}
	*member = p;
	while (p < end && *p != ',')
		p++;
	*at = p;
	while (http_is_blank(p[-1]))
		p--;
	*len = (size_t)(p - *member);
	return true;
}

bool http_list_has(const char *value, size_t len, const char *lower)
{
	const char *at = value;
	const char *member;
	size_t n;

	while (http_list_next(&at, value + len, &member, &n))
		if (http_text_is(member, n, lower))
			return true;
	return false;
}

bool http_digits_read(const char *text, size_t len, uint64_t max, uint64_t *value)
{
	uint64_t v = 0;

	for (size_t i = 0; i < len; i++) {
		uint64_t digit = (uint64_t)(uint8_t)text[i] - '0';

		if (digit > 9 || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, digit, &v) || v > max)
			return false;
	}
	*value = v;
	return len > 0;
}
