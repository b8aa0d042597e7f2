/*
 * http_framing.c -- one pass over the fields, then the rules.
 *
 * Never repairs a message: where the RFC lets a recipient choose between two readings, it is
 * refused.
 */
#include "common/http_framing.h"

#include "common/http_fields.h"
#include "common/http_target.h"

/* Options that Connection may list: bounds the work of options times fields. */
#define CONNECTION_OPTIONS_MAX 64

/* What the pass over the fields has seen. */
struct seen {
	const char *bytes;
	uint32_t connections;
	uint32_t lengths;
	uint32_t codings;
	uint32_t hosts;
	bool chunked;      /* exactly that, in one field */
	bool chunked_last; /* the last coding of the list, whatever stands before it */
	bool close;
	bool upgrade_option; /* Connection: upgrade */
	bool websocket;      /* Upgrade: websocket */
	bool protocol_other; /* Upgrade: something else, perhaps too */
	bool expect_continue;
	uint32_t options; /* of all Connection fields together */
};

static const char *value_of(const struct seen *s, const struct http_field *f)
{
	return s->bytes + f->value.off;
}

static bool value_is(const struct seen *s, const struct http_field *f, const char *lower)
{
	return http_text_is(value_of(s, f), f->value.len, lower);
}

static enum http_fault length_read(struct http_head *h, struct seen *s, const struct http_field *f)
{
	h->content_length_known = true;
	if (s->lengths++ > 0 ||
	    !http_digits_read(value_of(s, f), f->value.len, INT64_MAX, &h->content_length))
		return HTTP_FAULT_SYNTAX;
	return HTTP_FAULT_NONE;
}

static void coding_read(struct seen *s, const struct http_field *f)
{
	const char *at = value_of(s, f);
	const char *end = at + f->value.len;
	const char *coding;
	size_t len;

	s->chunked = s->codings++ == 0 && value_is(s, f, "chunked");
	while (http_list_next(&at, end, &coding, &len))
		s->chunked_last = http_text_is(coding, len, "chunked");
}

/*
 * RFC 9112 sections 6.1 and 6.3. Only a request's coding that we do not decode, with its end told by
 * chunks, is 501: without chunked at the last place nobody knows where the message ends.
 */
static enum http_fault codings_check(const struct http_head *h, const struct seen *s)
{
	if (s->codings == 0)
		return HTTP_FAULT_NONE;
	/* both framings: a sign of smuggling, in either direction */
	if (h->minor == 0 || s->lengths > 0)
		return HTTP_FAULT_SYNTAX;
	if (s->chunked)
		return HTTP_FAULT_NONE;
	return h->kind == HTTP_REQUEST && s->chunked_last ? HTTP_FAULT_CODING : HTTP_FAULT_SYNTAX;
}

static enum http_fault host_read(struct http_head *h, struct seen *s, const struct http_field *f)
{
	if (h->kind == HTTP_RESPONSE)
		return HTTP_FAULT_NONE;
	h->host_present = true;
	h->host = f->value;
	if (s->hosts++ > 0)
		return HTTP_FAULT_HOST;
	if (f->value.len > 0 && !http_authority_valid(value_of(s, f), f->value.len))
		return HTTP_FAULT_HOST;
	return HTTP_FAULT_NONE;
}

static void max_forwards_read(struct http_head *h, struct seen *s, const struct http_field *f)
{
	const char *digits = value_of(s, f);
	uint64_t n = 0;

	if (h->max_forwards != UINT32_MAX || f->value.len == 0 ||
	    (h->method != HTTP_METHOD_OPTIONS && h->method != HTTP_METHOD_TRACE))
		return;
	for (uint32_t i = 0; i < f->value.len; i++) {
		if (digits[i] < '0' || digits[i] > '9')
			return;
		/* RFC 9110 section 7.6.2: no more than the recipient's maximum */
		n = MIN(n * 10 + (uint64_t)(digits[i] - '0'), (uint64_t)UINT32_MAX - 1);
	}
	h->max_forwards = (uint32_t)n;
}

/* Keep-Alive: timeout=N, in a list of parameters */
static void keep_alive_read(struct http_head *h, struct seen *s, const struct http_field *f)
{
	const char *at = value_of(s, f);
	const char *end = at + f->value.len;
	const char *member;
	uint64_t seconds;
	size_t len;

	while (http_list_next(&at, end, &member, &len))
		if (len > 8 && http_text_is(member, 8, "timeout=") &&
		    http_digits_read(member + 8, len - 8, UINT32_MAX - 1, &seconds))
			h->keep_alive_timeout_s = (uint32_t)seconds;
}

static void upgrade_read(struct seen *s, const struct http_field *f)
{
	const char *at = value_of(s, f);
	const char *end = at + f->value.len;
	const char *protocol;
	size_t len;

	while (http_list_next(&at, end, &protocol, &len))
		if (http_text_is(protocol, len, "websocket"))
			s->websocket = true;
		else
			s->protocol_other = true;
}

static enum http_fault field_read(struct http_head *h, struct seen *s, struct http_field *f)
{
	switch (f->id) {
	case HTTP_FIELD_CONNECTION:
		s->connections++;
		return HTTP_FAULT_NONE;
	case HTTP_FIELD_CONTENT_LENGTH:
		return length_read(h, s, f);
	case HTTP_FIELD_TRANSFER_ENCODING:
		coding_read(s, f);
		return HTTP_FAULT_NONE;
	case HTTP_FIELD_HOST:
		return host_read(h, s, f);
	case HTTP_FIELD_EXPECT:
		s->expect_continue |= http_list_has(value_of(s, f), f->value.len, "100-continue");
		return HTTP_FAULT_NONE;
	case HTTP_FIELD_UPGRADE:
		upgrade_read(s, f);
		return HTTP_FAULT_NONE;
	case HTTP_FIELD_MAX_FORWARDS:
		max_forwards_read(h, s, f);
		return HTTP_FAULT_NONE;
	case HTTP_FIELD_KEEP_ALIVE:
		keep_alive_read(h, s, f);
		return HTTP_FAULT_NONE;
	case HTTP_FIELD_X_REQUEST_ID:
		if (h->request_id.len == 0)
			h->request_id = f->value;
		return HTTP_FAULT_NONE;
	case HTTP_FIELD_TRACEPARENT:
		if (h->traceparent_count++ == 0)
			h->traceparent = f->value;
		return HTTP_FAULT_NONE;
	default:
		return HTTP_FAULT_NONE;
	}
}

static void nominate(struct http_head *h, const char *bytes, const char *name, size_t len)
{
	for (uint32_t i = 0; i < h->field_count; i++) {
		struct http_field *f = &h->fields[i];

		if (f->name.len == len && !http_field_protected(f->id) &&
		    http_text_equal(bytes + f->name.off, name, len))
			f->nominated = true;
	}
}

static void option_read(struct http_head *h, struct seen *s, const char *option, size_t len)
{
	if (http_text_is(option, len, "close")) {
		s->close = true;
		nominate(h, s->bytes, option, len);
	} else if (http_text_is(option, len, "keep-alive")) {
		h->keep_alive_asked = true;
	} else if (http_text_is(option, len, "upgrade")) {
		s->upgrade_option = true;
	} else if (!http_text_is(option, len, "te")) {
		h->connection_names = true;
		nominate(h, s->bytes, option, len);
	}
}

/* Keep-Alive, Upgrade and TE are hop-by-hop whether nominated or not. */
static enum http_fault connection_read(struct http_head *h, struct seen *s)
{
	for (uint32_t i = 0; i < h->field_count; i++) {
		const struct http_field *f = &h->fields[i];
		const char *at = value_of(s, f);
		const char *end = at + f->value.len;
		const char *option;
		size_t len;

		if (f->id != HTTP_FIELD_CONNECTION)
			continue;
		while (http_list_next(&at, end, &option, &len)) {
			if (s->options++ == CONNECTION_OPTIONS_MAX)
				return HTTP_FAULT_TOO_LARGE;
			option_read(h, s, option, len);
		}
	}
	return HTTP_FAULT_NONE;
}

static bool status_has_no_body(uint16_t status)
{
	return status < 200 || status == 204 || status == 304;
}

/* RFC 9112 section 6.3 */
static void body_framing(struct http_head *h, const struct seen *s)
{
	if (h->no_body)
		h->framing = HTTP_BODY_NONE;
	else if (s->chunked)
		h->framing = HTTP_BODY_CHUNKED;
	else if (s->lengths > 0)
		h->framing = HTTP_BODY_LENGTH;
	else
		h->framing = h->kind == HTTP_REQUEST ? HTTP_BODY_NONE : HTTP_BODY_UNTIL_CLOSE;
}

static void request_finish(struct http_head *h, const struct seen *s)
{
	bool empty = h->framing == HTTP_BODY_NONE ||
		     (h->framing == HTTP_BODY_LENGTH && h->content_length == 0);

	/* RFC 9110 section 10.1.1: an HTTP/1.0 client's expectation is ignored */
	h->expect_continue = s->expect_continue && h->minor == 1 &&
			     !http_head_find(h, HTTP_FIELD_EXPECT)->nominated;
	h->upgrade_websocket = s->websocket && s->upgrade_option && h->minor == 1 &&
			       h->method == HTTP_METHOD_GET && empty;
}

/* RFC 9110 section 15.2.2: only to who asked, and it says to what. */
static enum http_fault switching_check(struct http_head *h, const struct seen *s, bool asked)
{
	if (h->status != 101)
		return HTTP_FAULT_NONE;
	h->upgrade_websocket =
		asked && h->minor == 1 && s->upgrade_option && s->websocket && !s->protocol_other;
	return h->upgrade_websocket ? HTTP_FAULT_NONE : HTTP_FAULT_SYNTAX;
}

enum http_fault http_framing_read(struct http_head *h, const char *bytes,
				  enum http_method request_method, bool request_upgrade)
{
	struct seen s = {.bytes = bytes};
	enum http_fault fault;

	for (uint32_t i = 0; i < h->field_count; i++) {
		struct http_field *f = &h->fields[i];

		f->id = http_field_id(bytes + f->name.off, f->name.len);
		fault = field_read(h, &s, f);
		if (fault != HTTP_FAULT_NONE)
			return fault;
	}
	fault = codings_check(h, &s);
	if (fault != HTTP_FAULT_NONE)
		return fault;
	if (s.connections > 0) {
		fault = connection_read(h, &s);
		if (fault != HTTP_FAULT_NONE)
			return fault;
	}
	h->no_body = h->kind == HTTP_RESPONSE &&
		     (request_method == HTTP_METHOD_HEAD || status_has_no_body(h->status));
	body_framing(h, &s);
	h->keep_alive = !s.close && (h->minor == 1 || h->keep_alive_asked) &&
			h->framing != HTTP_BODY_UNTIL_CLOSE;
	if (h->kind == HTTP_RESPONSE)
		return switching_check(h, &s, request_upgrade);
	request_finish(h, &s);
	return HTTP_FAULT_NONE;
}
