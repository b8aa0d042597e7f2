/*
 * reflection.c -- a request's head turned back to its sender.
 *
 * What a client may not see of its own request is what a script that runs in it must not learn: the
 * credentials. Never reflects a byte that the codec has not understood.
 *
 * Invariant: what is written is never more than reflection_max() has told.
 */
#include "proxy/reflection.h"

#include <assert.h>

#include "common/http_fields.h"
#include "common/put.h"
#include "proxy/date.h"

/* Status line, Date, Content-Type, Content-Length, Connection, and the request line's version. */
#define REFLECTION_ADDED_MAX 256

static const char *const secrets[] = {
	"authorization", "cookie",       "cookie2",      "proxy-authorization",
	"x-api-key",     "x-auth-token", "x-csrf-token", "x-xsrf-token",
};

static bool is_secret(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
		if (http_text_is(name, len, secrets[i]))
			return true;
	return false;
}

static char *put_slice(char *p, const char *bytes, struct http_slice s)
{
	return put_bytes(p, bytes + s.off, s.len);
}

static char *put_request(char *p, const struct http_head *h, const char *bytes)
{
	p = put_slice(p, bytes, h->method_text);
	*p++ = ' ';
	p = put_slice(p, bytes, h->target);
	p = h->minor > 0 ? PUT(p, " HTTP/1.1\r\n") : PUT(p, " HTTP/1.0\r\n");
	for (uint32_t i = 0; i < h->field_count; i++) {
		const struct http_field *f = &h->fields[i];

		if (is_secret(bytes + f->name.off, f->name.len))
			continue;
		p = put_slice(p, bytes, f->name);
		p = PUT(p, ": ");
		p = put_slice(p, bytes, f->value);
		p = PUT(p, "\r\n");
	}
	return PUT(p, "\r\n");
}

/* A line that was "Name:value" grows by a space. */
size_t reflection_max(const struct http_head *h)
{
	return REFLECTION_ADDED_MAX + (size_t)h->len + h->field_count;
}

size_t reflection_write(const struct http_head *h, const char *bytes, bool close, uint64_t now_s,
			char *out, size_t *body_len)
{
	/* the body first, far enough behind that the head fits before it */
	char *body = out + REFLECTION_ADDED_MAX;
	size_t len = (size_t)(put_request(body, h, bytes) - body);
	char *p = PUT(out, "HTTP/1.1 200 OK\r\nDate: ");

	p = put_bytes(p, date_text(now_s), DATE_TEXT_LEN);
	p = PUT(p, "\r\nContent-Type: message/http\r\nContent-Length: ");
	p = put_decimal(p, len);
	if (close)
		p = PUT(p, "\r\nConnection: close");
	p = PUT(p, "\r\n\r\n");
	assert(p <= body);
	memmove(p, body, len);
	*body_len = len;
	assert(len <= (size_t)h->len + h->field_count);
	return (size_t)(p - out) + len;
}
