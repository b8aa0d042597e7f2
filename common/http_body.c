/*
 * http_body.c -- message bodies by length, in chunks, or up to the close.
 *
 * Chunk data is skipped by its length, never byte by byte; only chunk-size lines and trailers are
 * read by a state machine. Never passes on what it did not understand: chunk sizes leave without
 * leading zeros and extensions, trailer lines as they came when their grammar is right and the field
 * may stand there.
 *
 * Invariant: what was written is never more than what was read, so filtering in place is safe. The
 * last chunk is held back until the trailer section is complete, and leaves through `tail` when the
 * call's own bytes do not give it room.
 */
#include "common/http_body.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/http_fields.h"

#define SIZE_DIGITS_MAX 16
#define SIZE_LINE_MAX   16384 /* one chunk-size line with its extensions */
#define EXTENSIONS_FREE 16384 /* bytes of extensions in all, beyond as many as there is payload */

static const char last_chunk[] = "0\r\n\r\n";
#define LAST_CHUNK_LINE 3 /* "0\r\n" */

/* What is true of the next byte. The order of the extension states is that of the grammar. */
enum state {
	STATE_SIZE_FIRST,      /* first digit of a chunk size */
	STATE_SIZE,            /* further digits, or what ends them */
	STATE_EXT_BLANK,       /* white space that only a ";" may follow */
	STATE_EXT_NAME_FIRST,  /* behind ";": white space or an extension's name */
	STATE_EXT_NAME,        /* in the name */
	STATE_EXT_NAME_BLANK,  /* behind the name: "=", ";" or white space before one of them */
	STATE_EXT_VALUE_FIRST, /* behind "=": white space, a token or a quoted string */
	STATE_EXT_TOKEN,
	STATE_EXT_QUOTED,
	STATE_EXT_ESCAPED,    /* behind a backslash in a quoted string */
	STATE_EXT_QUOTED_END, /* behind the closing quote */
	STATE_SIZE_LF,        /* the LF of a chunk-size line */
	STATE_DATA,           /* `left` bytes of data */
	STATE_DATA_CR,
	STATE_DATA_LF,
	STATE_TRAILER,    /* in the trailer section, first byte of a line or within one */
	STATE_TRAILER_LF, /* the LF of a trailer line, or of the empty line */
	STATE_DONE,
	STATE_BAD,
};

/* One call's buffer: read at r, written at w <= r. */
struct span {
	char *start;
	char *r;
	char *w;
	char *end;
};

/* ---- helpers ------------------------------------------------------------------------------- */

static bool refuse(struct http_body *b, const char *why)
{
	b->state = STATE_BAD;
	b->fault_text = why;
	return false;
}

/* Framing byte c was read; pass it on where the receiver gets framing. */
static void emit(const struct http_body *b, struct span *s, char c)
{
	if (b->output == HTTP_BODY_AS_IS)
		*s->w++ = c;
}

static void pass_data(struct http_body *b, struct span *s)
{
	size_t n = (size_t)(s->end - s->r);

	if (n > b->left)
		n = (size_t)b->left;
	if (s->w != s->r)
		memmove(s->w, s->r, n);
	if (UNLIKELY(b->sink != NULL))
		b->sink(b->sink_arg, s->w, n);
	s->r += n;
	s->w += n;
	b->left -= n;
	b->payload_bytes += n;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

/* ---- chunk-size lines (RFC 9112 section 7.1) ----------------------------------------------- */

static bool size_digit(struct http_body *b, struct span *s, char c)
{
	if (b->digits == SIZE_DIGITS_MAX)
		return refuse(b, "The chunk size has too many digits.");
	b->digits++;
	b->left = b->left << 4 | (uint64_t)hex_value(c);
	if (b->left > INT64_MAX)
		return refuse(b, "The chunk size is too large.");
	/* a leading zero may be the last chunk's, which is held back */
	if (b->left > 0)
		emit(b, s, c);
	b->state = STATE_SIZE;
	return true;
}

/* A CR ends the line wherever an extension may end. */
static bool size_line_cr(struct http_body *b, struct span *s)
{
	if (b->left > 0)
		emit(b, s, '\r');
	b->state = STATE_SIZE_LF;
	return true;
}

static bool size_line_lf(struct http_body *b, struct span *s, char c)
{
	if (c != '\n')
		return refuse(b, "The chunk size's line does not end in CRLF.");
	b->digits = 0;
	b->line_bytes = 0;
	if (b->left > 0) {
		emit(b, s, '\n');
		b->state = STATE_DATA;
	} else {
		b->state = STATE_TRAILER;
	}
	return true;
}

static bool next(struct http_body *b, enum state state)
{
	b->state = (uint8_t)state;
	return true;
}

/* Behind a complete name or value: more white space, or what begins the next part. */
static bool ext_end(struct http_body *b, struct span *s, char c, bool equals)
{
	if (c == '\r' && b->state != STATE_EXT_BLANK && b->state != STATE_EXT_NAME_BLANK)
		return size_line_cr(b, s);
	if (c == ';')
		return next(b, STATE_EXT_NAME_FIRST);
	if (c == '=' && equals)
		return next(b, STATE_EXT_VALUE_FIRST);
	if (http_is_blank(c))
		return next(b, equals ? STATE_EXT_NAME_BLANK : STATE_EXT_BLANK);
	return refuse(b, "A chunk extension is malformed.");
}

static bool ext_first(struct http_body *b, char c, enum state token, bool quoted)
{
	if (http_is_blank(c))
		return true;
	if (http_is_tchar(c))
		return next(b, token);
	if (quoted && c == '"')
		return next(b, STATE_EXT_QUOTED);
	return refuse(b, "A chunk extension is malformed.");
}

/* HTAB, SP, VCHAR or obs-text */
static bool is_text(char c)
{
	return c == '\t' || ((uint8_t)c >= 0x20 && c != 0x7f);
}

static bool ext_quoted(struct http_body *b, char c)
{
	if (!is_text(c))
		return refuse(b, "A chunk extension is malformed.");
	if (b->state == STATE_EXT_ESCAPED)
		return next(b, STATE_EXT_QUOTED);
	if (c == '\\')
		return next(b, STATE_EXT_ESCAPED);
	if (c == '"')
		return next(b, STATE_EXT_QUOTED_END);
	return true;
}

static bool extension_byte(struct http_body *b, struct span *s, char c)
{
	switch ((enum state)b->state) {
	case STATE_EXT_NAME_FIRST:
		return ext_first(b, c, STATE_EXT_NAME, false);
	case STATE_EXT_VALUE_FIRST:
		return ext_first(b, c, STATE_EXT_TOKEN, true);
	case STATE_EXT_NAME:
		return http_is_tchar(c) || ext_end(b, s, c, true);
	case STATE_EXT_NAME_BLANK:
		return ext_end(b, s, c, true);
	case STATE_EXT_TOKEN:
		return http_is_tchar(c) || ext_end(b, s, c, false);
	case STATE_EXT_QUOTED:
	case STATE_EXT_ESCAPED:
		return ext_quoted(b, c);
	default: /* STATE_SIZE, STATE_EXT_BLANK, STATE_EXT_QUOTED_END */
		return ext_end(b, s, c, false);
	}
}

/* Endless extensions cost the sender as much payload, and never more than a line's worth at once. */
static bool extension_count(struct http_body *b)
{
	if (++b->line_bytes > SIZE_LINE_MAX)
		return refuse(b, "The chunk size's line is too long.");
	if (++b->extension_bytes > EXTENSIONS_FREE + b->payload_bytes)
		return refuse(b, "There are too many chunk extensions.");
	return true;
}

static bool size_line_byte(struct http_body *b, struct span *s)
{
	char c = *s->r++;

	switch ((enum state)b->state) {
	case STATE_SIZE_FIRST:
		if (hex_value(c) < 0)
			return refuse(b, "A chunk does not begin with its size.");
		return size_digit(b, s, c);
	case STATE_SIZE_LF:
		return size_line_lf(b, s, c);
	case STATE_SIZE:
		if (hex_value(c) >= 0)
			return size_digit(b, s, c);
		if (c == '\r')
			return size_line_cr(b, s);
		return extension_count(b) && extension_byte(b, s, c);
	default:
		return extension_count(b) && extension_byte(b, s, c);
	}
}

static bool data_end_byte(struct http_body *b, struct span *s)
{
	char want = b->state == STATE_DATA_CR ? '\r' : '\n';

	if (*s->r++ != want)
		return refuse(b, "Chunk data is not followed by CRLF.");
	emit(b, s, want);
	b->state = want == '\r' ? STATE_DATA_LF : STATE_SIZE_FIRST;
	return true;
}

/* ---- trailer section (RFC 9112 section 7.1.2) ---------------------------------------------- */

/* Room for n more bytes of the trailer section, which begins with the last chunk's line. */
static bool trailer_room(struct http_body *b, size_t n)
{
	size_t need = b->trailer_len + n;
	size_t cap = b->trailer_cap > 0 ? b->trailer_cap : 256;
	char *grown;

	if (need <= b->trailer_cap)
		return true;
	while (cap < need)
		cap *= 2;
	grown = realloc(b->trailer, cap);
	if (grown == NULL) {
		b->no_memory = true;
		return refuse(b, "There is no memory for the trailer section.");
	}
	b->trailer = grown;
	b->trailer_cap = (uint32_t)cap;
	return true;
}

static bool trailer_put(struct http_body *b, const char *bytes, size_t n)
{
	if (n == 0)
		return true;
	b->section_bytes += (uint32_t)n;
	if (b->section_bytes > b->max_trailer_bytes)
		return refuse(b, "The trailer section is too large.");
	if (b->trailer_len == 0) {
		if (!trailer_room(b, LAST_CHUNK_LINE + n))
			return false;
		memcpy(b->trailer, last_chunk, LAST_CHUNK_LINE);
		b->trailer_len = LAST_CHUNK_LINE;
	}
	if (!trailer_room(b, n + 4)) /* and the CRLFs that follow */
		return false;
	memcpy(b->trailer + b->trailer_len, bytes, n);
	b->trailer_len += (uint32_t)n;
	b->line_bytes += (uint32_t)n;
	return true;
}

static bool trailer_named(const struct http_body *b, const char *name, size_t len)
{
	const char *at = b->named;
	const char *option;
	size_t n;

	while (b->named != NULL && http_list_next(&at, b->named + b->named_len, &option, &n))
		if (n == len && http_text_equal(option, name, len))
			return true;
	return false;
}

/* The line is complete in the buffer, without its CRLF: keep it or take it back. */
static bool trailer_line_end(struct http_body *b)
{
	const char *line = b->trailer + b->trailer_len - b->line_bytes;
	const char *colon = memchr(line, ':', b->line_bytes);

	if (colon == NULL || !http_is_token(line, (size_t)(colon - line)))
		return refuse(b, "A trailer field is malformed.");
	if (http_trailer_forbidden(line, (size_t)(colon - line)) ||
	    trailer_named(b, line, (size_t)(colon - line))) {
		b->trailer_len -= b->line_bytes;
	} else {
		memcpy(b->trailer + b->trailer_len, "\r\n", 2);
		b->trailer_len += 2;
	}
	b->line_bytes = 0;
	b->state = STATE_TRAILER;
	return true;
}

static bool trailer_text(struct http_body *b, struct span *s)
{
	const char *first = s->r;

	while (s->r < s->end && is_text(*s->r))
		s->r++;
	if (!trailer_put(b, first, (size_t)(s->r - first)))
		return false;
	if (s->r == s->end)
		return true;
	if (*s->r++ != '\r')
		return refuse(b, "A trailer field has a control byte.");
	b->state = STATE_TRAILER_LF;
	return true;
}

static bool trailer_lf(struct http_body *b, struct span *s)
{
	if (*s->r++ != '\n')
		return refuse(b, "A trailer line does not end in CRLF.");
	if (b->line_bytes > 0)
		return trailer_line_end(b);
	b->state = STATE_DONE;
	return true;
}

/* ---- the filter ---------------------------------------------------------------------------- */

static bool chunked_step(struct http_body *b, struct span *s)
{
	switch ((enum state)b->state) {
	case STATE_DATA:
		pass_data(b, s);
		if (b->left == 0)
			b->state = STATE_DATA_CR;
		return true;
	case STATE_DATA_CR:
	case STATE_DATA_LF:
		return data_end_byte(b, s);
	case STATE_TRAILER:
		return trailer_text(b, s);
	case STATE_TRAILER_LF:
		return trailer_lf(b, s);
	default:
		return size_line_byte(b, s);
	}
}

/* The message is complete: the last chunk and what is kept of the trailer section leave together. */
static void last_chunk_put(struct http_body *b, struct span *s, const char **tail, size_t *tail_len)
{
	const char *from = last_chunk;
	size_t n = sizeof(last_chunk) - 1;

	if (b->output == HTTP_BODY_DECODED)
		return;
	if (b->trailer_len > 0) {
		memcpy(b->trailer + b->trailer_len, "\r\n", 2);
		b->trailer_len += 2;
		from = b->trailer;
		n = b->trailer_len;
	}
	if ((size_t)(s->r - s->w) >= n) {
		memcpy(s->w, from, n);
		s->w += n;
	} else {
		*tail = from;
		*tail_len = n;
	}
}

static enum http_progress chunked_filter(struct http_body *b, struct span *s, const char **tail,
					 size_t *tail_len)
{
	while (s->r < s->end && b->state != STATE_DONE)
		if (!chunked_step(b, s))
			return HTTP_BAD;
	if (b->state != STATE_DONE)
		return HTTP_MORE;
	last_chunk_put(b, s, tail, tail_len);
	return HTTP_DONE;
}

void http_body_init(struct http_body *b, enum http_framing framing, uint64_t length,
		    enum http_body_output output, uint32_t max_trailer_bytes)
{
	free(b->trailer);
	free(b->named);
	*b = (struct http_body){
		.framing = framing,
		.output = output,
		.left = framing == HTTP_BODY_LENGTH ? length : 0,
		.max_trailer_bytes = max_trailer_bytes,
		.state = STATE_DATA,
	};
	if (framing == HTTP_BODY_CHUNKED)
		b->state = STATE_SIZE_FIRST;
	else if (framing == HTTP_BODY_NONE || (framing == HTTP_BODY_LENGTH && length == 0))
		b->state = STATE_DONE;
	else if (framing == HTTP_BODY_UNTIL_CLOSE)
		b->left = UINT64_MAX;
}

/* Only the names are kept: every trailer is held against them, and the list may be mostly commas. */
bool http_body_forbid_named(struct http_body *b, const struct http_head *h, const char *bytes)
{
	if (b->framing != HTTP_BODY_CHUNKED || !h->connection_names)
		return true;
	b->named = malloc(h->len);
	if (b->named == NULL)
		return false;
	for (uint32_t i = 0; i < h->field_count; i++) {
		const struct http_field *f = &h->fields[i];
		const char *at = bytes + f->value.off;
		const char *end = at + f->value.len;
		const char *name;
		size_t n;

		if (f->id != HTTP_FIELD_CONNECTION)
			continue;
		while (http_list_next(&at, end, &name, &n)) {
			memcpy(b->named + b->named_len, name, n);
			b->named_len += (uint32_t)n;
			b->named[b->named_len++] = ',';
		}
	}
	return true;
}

void http_body_fini(struct http_body *b)
{
	free(b->trailer);
	free(b->named);
	*b = (struct http_body){0};
}

void http_body_watch(struct http_body *b, http_body_sink *sink, void *arg)
{
	b->sink = sink;
	b->sink_arg = arg;
}

bool http_body_done(const struct http_body *b)
{
	return b->state == STATE_DONE;
}

uint64_t http_body_certain(const struct http_body *b)
{
	return b->state == STATE_DATA ? b->left : 0;
}

void http_body_skip(struct http_body *b, uint64_t len)
{
	assert(len <= http_body_certain(b));
	b->payload_bytes += len;
	if (b->framing == HTTP_BODY_UNTIL_CLOSE || len == 0)
		return;
	b->left -= len;
	if (b->left == 0)
		b->state = b->framing == HTTP_BODY_CHUNKED ? STATE_DATA_CR : STATE_DONE;
}

enum http_progress http_body_filter(struct http_body *b, char *buf, size_t len, size_t *used,
				    size_t *out_len, const char **tail, size_t *tail_len)
{
	struct span s = {.start = buf, .r = buf, .w = buf, .end = buf + len};
	enum http_progress progress;

	*tail = NULL;
	*tail_len = 0;
	if (b->state == STATE_DONE || b->state == STATE_BAD) {
		progress = b->state == STATE_DONE ? HTTP_DONE : HTTP_BAD;
	} else if (b->framing == HTTP_BODY_CHUNKED) {
		progress = chunked_filter(b, &s, tail, tail_len);
	} else {
		pass_data(b, &s);
		if (b->left == 0)
			b->state = STATE_DONE;
		progress = b->left == 0 ? HTTP_DONE : HTTP_MORE;
	}
	*used = (size_t)(s.r - buf);
	*out_len = (size_t)(s.w - buf);
	return progress;
}
