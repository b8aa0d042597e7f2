/*
 * http_head.c -- drives llhttp over one message head, and holds it against a second reading.
 *
 * llhttp is given only bytes that http_guard has passed, the start line first when it is complete
 * and valid; it is stopped where the fields end and never sees a body. Its spans become offsets, so
 * that the caller's buffer may move between calls. Never believed alone: the two readings must agree
 * on the end of the head, the number of lines, and where each field stands.
 *
 * Invariant: h->fields are in order, and `fed` <= guard.at <= what the caller has shown.
 */
#include "common/http_head.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/http_fields.h"
#include "common/http_framing.h"
#include "common/http_guard.h"
#include "common/http_target.h"

/* llhttp's enum llhttp_type claims two names that are ours. */
#define HTTP_REQUEST  LLHTTP_REQUEST
#define HTTP_RESPONSE LLHTTP_RESPONSE
#include <llhttp.h>
#undef HTTP_REQUEST
#undef HTTP_RESPONSE

#if LLHTTP_VERSION_MAJOR < 9 && !LLHTTP_STRICT_MODE
#error "llhttp must be compiled with LLHTTP_STRICT_MODE=1"
#endif

#define FIELDS_FIRST 16 /* grown by doubling */
#define FIELDS_KEPT  64 /* one large head does not cost its memory in later messages too */

enum reading {
	READING_EMPTY_LINES, /* only CR and LF so far */
	READING_START_LINE,  /* its end was not seen yet */
	READING_FIELDS,
	READING_DONE,
	READING_REFUSED,
};

struct http_reader {
	llhttp_t parser;
	struct http_guard guard;
	struct http_limits limits;
	enum reading state;
	enum http_method request_method;
	bool request_upgrade;
	bool complete;           /* llhttp has seen the end of the fields */
	uint32_t start_line_len; /* with its CRLF */
	uint32_t skipped;        /* empty lines before the start line, in bytes */
	uint32_t fed;            /* bytes that llhttp was given, empty lines counted */
	uint32_t field_cap;      /* allocated */
	const char *base;        /* the message's first byte, during one call */
};

/* ---- llhttp's side ------------------------------------------------------------------------- */

/*
 * Room for more fields. The guard counts lines and refuses the one too many only when it is complete,
 * so that every way of arriving ends alike: one field beyond the limit may get here.
 */
static bool fields_grow(struct http_head *h)
{
	struct http_reader *r = h->reader;
	uint32_t cap = r->field_cap > 0 ? 2 * r->field_cap : FIELDS_FIRST;
	struct http_field *grown = realloc(h->fields, cap * sizeof(*grown));

	if (grown == NULL)
		return false;
	h->fields = grown;
	r->field_cap = cap;
	return true;
}

/* A name comes in one piece, or in several that touch; between two names stands a colon at least. */
static int on_name(llhttp_t *parser, const char *at, size_t len)
{
	struct http_head *h = parser->data;
	uint32_t off = (uint32_t)(at - h->reader->base);
	struct http_field *f;

	if (h->field_count > 0) {
		f = &h->fields[h->field_count - 1];
		if (f->name.off + f->name.len == off) {
			f->name.len += (uint32_t)len;
			return 0;
		}
	}
	if (UNLIKELY(h->field_count == h->reader->field_cap) && !fields_grow(h))
		return HPE_USER;
	h->fields[h->field_count++] = (struct http_field){.name = {off, (uint32_t)len}};
	return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t len)
{
	struct http_head *h = parser->data;
	uint32_t off = (uint32_t)(at - h->reader->base);
	struct http_field *f;

	assert(h->field_count > 0);
	f = &h->fields[h->field_count - 1];
	if (f->value.len == 0)
		f->value.off = off;
	f->value.len = off + (uint32_t)len - f->value.off;
	return 0;
}

static int on_fields_end(llhttp_t *parser)
{
	struct http_head *h = parser->data;

	h->reader->complete = true;
	return HPE_PAUSED;
}

/* Not const only because llhttp_init() of some versions asks for it; never written. */
static llhttp_settings_t settings = {
	.on_header_field = on_name,
	.on_header_value = on_value,
	.on_headers_complete = on_fields_end,
};

static enum http_fault parser_fault(const struct http_head *h, llhttp_errno_t error)
{
	switch (error) {
	case HPE_USER:
		return HTTP_FAULT_MEMORY;
	case HPE_INVALID_METHOD:
		/* the request line was read before: it is a token that llhttp does not know */
		return HTTP_FAULT_METHOD_UNKNOWN;
	case HPE_INVALID_CONSTANT:
		/* a method of RTSP or the like, with HTTP's version */
		return h->kind == HTTP_REQUEST && h->field_count == 0 ? HTTP_FAULT_METHOD_UNKNOWN
								      : HTTP_FAULT_SYNTAX;
	default:
		return HTTP_FAULT_SYNTAX;
	}
}

/* Give llhttp what the guard has passed and it has not seen. */
static enum http_fault parser_feed(struct http_head *h, const char *bytes)
{
	struct http_reader *r = h->reader;
	uint32_t from = r->fed;
	llhttp_errno_t error;

	r->parser.data = h;
	r->base = bytes;
	r->fed = r->guard.at;
	if (r->fed == from)
		return HTTP_FAULT_NONE;
	error = llhttp_execute(&r->parser, bytes + from, r->fed - from);
	if (error == HPE_OK && !r->complete)
		return HTTP_FAULT_NONE;
	if (error == HPE_PAUSED && r->complete)
		return llhttp_get_error_pos(&r->parser) == bytes + r->fed ? HTTP_FAULT_NONE
									  : HTTP_FAULT_SYNTAX;
	return parser_fault(h, error);
}

/* ---- the second reading -------------------------------------------------------------------- */

static inline struct http_slice trimmed(const char *bytes, struct http_slice s)
{
	const char *p = bytes + s.off;
	const char *past = p + s.len;

	while (past > p && http_is_blank(past[-1]))
		past--;
	while (p < past && http_is_blank(*p))
		p++;
	return (struct http_slice){(uint32_t)(p - bytes), (uint32_t)(past - p)};
}

/*
 * One field on the line [f->name.off, end): name, colon, white space, value, white space, CRLF, as
 * llhttp has found them. Takes the white space off the value.
 */
static bool field_agrees(struct http_field *f, const char *bytes, uint32_t end)
{
	uint32_t colon = f->name.off + f->name.len;
	struct http_slice theirs = f->value;
	struct http_slice ours;

	if (f->name.len == 0 || colon + 3 > end || bytes[colon] != ':' || bytes[end - 2] != '\r')
		return false;
	ours = trimmed(bytes, (struct http_slice){colon + 1, end - colon - 3});
	f->value = ours;
	if (LIKELY(ours.off == theirs.off && ours.len == theirs.len))
		return true;
	theirs = trimmed(bytes, theirs);
	return ours.len == theirs.len && (ours.len == 0 || ours.off == theirs.off);
}

/* Each line is one field, each field one line, and they touch. */
static bool fields_agree(struct http_head *h, const char *bytes, uint32_t first, uint32_t end)
{
	uint32_t line = first;

	if (h->reader->guard.lines != h->field_count + 1)
		return false;
	for (uint32_t i = 0; i < h->field_count; i++) {
		struct http_field *f = &h->fields[i];
		uint32_t next = i + 1 < h->field_count ? h->fields[i + 1].name.off : end - 2;

		if (f->name.off != line || next <= line || !field_agrees(f, bytes, next))
			return false;
		line = next;
	}
	return line == end - 2;
}

static enum http_fault head_finish(struct http_head *h, const char *bytes)
{
	struct http_reader *r = h->reader;
	uint32_t end = r->guard.at;

	if (!r->complete || !fields_agree(h, bytes, r->guard.start + r->start_line_len, end))
		return HTTP_FAULT_SYNTAX;
	h->empty_lines = r->skipped / 2;
	h->len = end;
	return http_framing_read(h, bytes, r->request_method, r->request_upgrade);
}

/* ---- reading ------------------------------------------------------------------------------- */

static enum http_fault start_line_read(struct http_head *h, const char *bytes)
{
	struct http_reader *r = h->reader;
	uint32_t off = r->guard.start;
	uint32_t end = r->guard.line - 2;

	r->start_line_len = r->guard.line - off;
	r->state = READING_FIELDS;
	if (h->kind == HTTP_REQUEST)
		return http_request_line_read(h, bytes, off, end);
	return http_status_line_read(h, bytes, off, end);
}

/* CRLFs before a request are skipped (RFC 9112 section 2.2); nothing may stand before a response. */
static enum http_fault empty_lines_skip(struct http_head *h, const char *bytes, uint32_t len)
{
	struct http_reader *r = h->reader;

	while (r->skipped < len && h->kind == HTTP_REQUEST && bytes[r->skipped] == '\r') {
		if (len - r->skipped < 2)
			return HTTP_FAULT_NONE;
		if (bytes[r->skipped + 1] != '\n')
			return HTTP_FAULT_SYNTAX;
		r->skipped += 2;
	}
	if (r->skipped == len)
		return HTTP_FAULT_NONE;
	r->state = READING_START_LINE;
	r->fed = r->skipped;
	http_guard_init(&r->guard, r->skipped, r->limits.max_fields + 1);
	return HTTP_FAULT_NONE;
}

/* On to the end of what there is, of the head, or to the first fault, whichever comes first. */
static enum http_fault head_advance(struct http_head *h, const char *bytes, uint32_t len)
{
	struct http_reader *r = h->reader;
	enum http_guard_result result;
	enum http_fault fault;

	if (r->state == READING_EMPTY_LINES) {
		fault = empty_lines_skip(h, bytes, len);
		if (fault != HTTP_FAULT_NONE || r->state == READING_EMPTY_LINES)
			return fault;
	}
	result = http_guard_scan(&r->guard, bytes, len);
	if (result == HTTP_GUARD_START_LINE) {
		fault = start_line_read(h, bytes);
		if (fault != HTTP_FAULT_NONE)
			return fault;
		result = http_guard_scan(&r->guard, bytes, len);
	}
	if (r->state == READING_FIELDS) {
		fault = parser_feed(h, bytes);
		if (fault != HTTP_FAULT_NONE)
			return fault;
	}
	if (result == HTTP_GUARD_BAD)
		return HTTP_FAULT_SYNTAX;
	if (result == HTTP_GUARD_TOO_MANY)
		return HTTP_FAULT_TOO_LARGE;
	if (result == HTTP_GUARD_END) {
		r->state = READING_DONE;
		return head_finish(h, bytes);
	}
	return r->complete ? HTTP_FAULT_SYNTAX : HTTP_FAULT_NONE;
}

/* Keeps only what the log may say of a refused head. */
static enum http_progress head_refuse(struct http_head *h, const char *bytes, enum http_fault fault)
{
	struct http_reader *r = h->reader;
	struct http_head refused = {
		.kind = h->kind,
		.fault = fault,
		.max_forwards = UINT32_MAX,
		.keep_alive_timeout_s = UINT32_MAX,
		.fields = h->fields,
		.reader = r,
	};

	if (r->state == READING_START_LINE && h->kind == HTTP_REQUEST)
		http_request_line_peek(h, bytes, r->guard.start, r->guard.at);
	refused.minor = h->minor;
	refused.method = h->method;
	refused.method_text = h->method_text;
	refused.target = h->target;
	refused.target_form = h->target_form;
	refused.status = h->status;
	*h = refused;
	r->state = READING_REFUSED;
	return HTTP_BAD;
}

enum http_progress http_head_read(struct http_head *h, const char *bytes, size_t len)
{
	struct http_reader *r = h->reader;
	uint32_t max = r->limits.max_head_bytes;
	enum http_fault fault;

	if (r->state == READING_DONE)
		return HTTP_DONE;
	if (r->state == READING_REFUSED)
		return HTTP_BAD;
	fault = head_advance(h, bytes, (uint32_t)MIN(len, (size_t)max));
	if (fault != HTTP_FAULT_NONE)
		return head_refuse(h, bytes, fault);
	if (r->state == READING_DONE)
		return HTTP_DONE;
	if (len < max)
		return HTTP_MORE;
	return head_refuse(h, bytes,
			   r->state == READING_START_LINE && h->kind == HTTP_REQUEST
				   ? HTTP_FAULT_TARGET_TOO_LONG
				   : HTTP_FAULT_TOO_LARGE);
}

void http_head_slim(struct http_head *h)
{
	if (h->reader == NULL || h->reader->field_cap <= FIELDS_KEPT)
		return;
	free(h->fields);
	h->fields = NULL;
	h->field_count = 0;
	h->reader->field_cap = 0;
}

bool http_head_init(struct http_head *h, enum http_kind kind, const struct http_limits *limits,
		    enum http_method request_method, bool request_upgrade)
{
	struct http_reader *r = h->reader;

	if (r == NULL) {
		r = calloc(1, sizeof(*r));
		if (r == NULL)
			return false;
		h->reader = r;
	}
	http_head_slim(h);
	*h = (struct http_head){
		.kind = kind,
		.max_forwards = UINT32_MAX,
		.keep_alive_timeout_s = UINT32_MAX,
		.fields = h->fields,
		.reader = r,
	};
	r->limits = *limits;
	r->state = READING_EMPTY_LINES;
	r->request_method = request_method;
	r->request_upgrade = request_upgrade;
	r->complete = false;
	r->start_line_len = 0;
	r->skipped = 0;
	r->fed = 0;
	llhttp_init(&r->parser, kind == HTTP_REQUEST ? LLHTTP_REQUEST : LLHTTP_RESPONSE, &settings);
	return true;
}

void http_head_fini(struct http_head *h)
{
	free(h->fields);
	free(h->reader);
	*h = (struct http_head){0};
}

bool http_head_started(const struct http_head *h)
{
	return h->reader != NULL && h->reader->state != READING_EMPTY_LINES;
}

size_t http_empty_lines(const char *bytes, size_t len)
{
	size_t n = 0;

	while (len - n >= 2 && bytes[n] == '\r' && bytes[n + 1] == '\n')
		n += 2;
	return n;
}

const char *http_fault_text(enum http_fault fault)
{
	switch (fault) {
	case HTTP_FAULT_NONE:
		return "The head is valid.";
	case HTTP_FAULT_SYNTAX:
		return "The head is not valid HTTP.";
	case HTTP_FAULT_HOST:
		return "The Host field is given twice or is no host and port.";
	case HTTP_FAULT_METHOD_UNKNOWN:
		return "The method is not known.";
	case HTTP_FAULT_VERSION:
		return "The HTTP version is neither 1.0 nor 1.1.";
	case HTTP_FAULT_CODING:
		return "There is a transfer coding other than chunked.";
	case HTTP_FAULT_TARGET_TOO_LONG:
		return "The request line is longer than the limit.";
	case HTTP_FAULT_TOO_LARGE:
		return "The head is larger than the limit, or has too many fields.";
	case HTTP_FAULT_MEMORY:
		return "There is no memory for the head.";
	}
	return "The head is not valid.";
}

bool http_method_idempotent(enum http_method m)
{
	switch (m) {
	case HTTP_METHOD_GET:
	case HTTP_METHOD_HEAD:
	case HTTP_METHOD_OPTIONS:
	case HTTP_METHOD_TRACE:
	case HTTP_METHOD_PUT:
	case HTTP_METHOD_DELETE:
		return true;
	case HTTP_METHOD_OTHER:
	case HTTP_METHOD_CONNECT:
	case HTTP_METHOD_POST:
		return false;
	}
	return false;
}

const struct http_field *http_head_find(const struct http_head *h, enum http_field_id id)
{
	for (uint32_t i = 0; i < h->field_count; i++)
		if (h->fields[i].id == id)
			return &h->fields[i];
	return NULL;
}
