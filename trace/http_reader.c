/*
 * http_reader.c -- one step at a time: empty lines, a head, a body, and again.
 *
 * A head that lies within one packet is read where it lies. Chunk framing is read from a copy of a
 * few bytes, since the codec's filter writes into what it is given; chunk data is passed over.
 */
#include "trace/http_reader.h"

#include <stdlib.h>
#include <string.h>

#include "common/http_observe.h"

#define TRAILERS_MAX  (256U * 1024)
#define FRAMING_BYTES 256

void http_reader_init(struct http_reader *r, enum http_kind kind, uint64_t off)
{
	*r = (struct http_reader){.kind = kind, .off = off, .message_off = off};
}

static void drop_part(struct http_reader *r)
{
	free(r->part);
	r->part = NULL;
	r->part_len = 0;
	r->part_cap = 0;
}

void http_reader_fini(struct http_reader *r)
{
	drop_part(r);
	http_body_fini(&r->body);
}

static enum http_reader_event lose(struct http_reader *r)
{
	drop_part(r);
	r->state = HTTP_READER_LOST;
	return HTTP_READER_GOT_LOST;
}

/* ---- heads ----------------------------------------------------------------------------------- */

static bool keep_part(struct http_reader *r, const char *bytes, size_t len)
{
	size_t need = r->part_len + len, cap = r->part_cap > 0 ? r->part_cap : 2048;
	char *grown;

	if (need > HTTP_OBSERVE_HEAD_MAX)
		return false;
	while (cap < need)
		cap *= 2;
	if (cap > r->part_cap) {
		grown = realloc(r->part, cap);
		if (grown == NULL)
			return false;
		r->part = grown;
		r->part_cap = (uint32_t)cap;
	}
	memcpy(r->part + r->part_len, bytes, len);
	r->part_len += (uint32_t)len;
	return true;
}

static enum http_reader_event take_head(struct http_reader *r, struct head_memo *heads,
					const char *bytes, size_t len)
{
	if (!head_memo_read(heads, r->kind, bytes, len))
		return lose(r);
	r->state = HTTP_READER_WAIT;
	r->head_past = r->off;
	return HTTP_READER_GOT_HEAD;
}

/* In a head, all of whose bytes so far are kept. */
static enum http_reader_event read_on(struct http_reader *r, const struct http_input *in,
				      struct head_memo *heads, const char **head_bytes,
				      uint64_t *used)
{
	uint32_t seen = r->part_len;
	size_t len = (size_t)MIN(in->len, (uint64_t)HTTP_OBSERVE_HEAD_MAX), end;
	enum http_reader_event event;

	if (!keep_part(r, in->bytes, len))
		return lose(r);
	end = http_observe_end(r->part, r->part_len, seen);
	if (end == 0) {
		r->off += len;
		*used = len;
		if (http_observe_line(r->kind, r->part, r->part_len) == HTTP_SIGHT_NO)
			return lose(r);
		return HTTP_READER_MORE;
	}
	*used = end - seen;
	r->off += *used;
	*head_bytes = r->part;
	event = take_head(r, heads, r->part, end);
	r->part_len = 0; /* its memory stays until the head was looked at */
	return event;
}

/* Empty lines before a message (RFC 9112 section 2.2) belong to none. */
static uint64_t count_blank(const struct http_input *in)
{
	uint64_t n = 0;

	while (n < in->len && (in->bytes[n] == '\r' || in->bytes[n] == '\n'))
		n++;
	return n;
}

/* A message begins with in's first byte. */
static enum http_reader_event read_first(struct http_reader *r, const struct http_input *in,
					 struct head_memo *heads, const char **head_bytes,
					 uint64_t *used)
{
	size_t len = (size_t)MIN(in->len, (uint64_t)HTTP_OBSERVE_HEAD_MAX), end;

	r->message_off = r->off;
	r->message_ns = in->ts_ns;
	r->message_ack = in->ack;
	if (http_observe_line(r->kind, in->bytes, len) == HTTP_SIGHT_NO)
		return lose(r);
	end = http_observe_end(in->bytes, len, 0);
	if (end == 0) {
		drop_part(r);
		r->state = HTTP_READER_HEAD;
		return read_on(r, in, heads, head_bytes, used);
	}
	*used = end;
	r->off += end;
	*head_bytes = in->bytes;
	return take_head(r, heads, in->bytes, end);
}

static enum http_reader_event read_start(struct http_reader *r, const struct http_input *in,
					 struct head_memo *heads, const char **head_bytes,
					 uint64_t *used)
{
	uint64_t blank = count_blank(in), more = 0;
	struct http_input rest = *in;
	enum http_reader_event event;

	r->off += blank;
	*used = blank;
	if (blank == in->len)
		return HTTP_READER_MORE;
	rest.bytes += blank;
	rest.len -= blank;
	event = read_first(r, &rest, heads, head_bytes, &more);
	*used = blank + more;
	return event;
}

/* ---- bodies ---------------------------------------------------------------------------------- */

bool http_reader_body(struct http_reader *r, enum http_framing framing, uint64_t length)
{
	drop_part(r);
	http_body_init(&r->body, framing, length, HTTP_BODY_DECODED, TRAILERS_MAX);
	r->state = http_body_done(&r->body) ? HTTP_READER_START : HTTP_READER_BODY;
	return r->state == HTTP_READER_START;
}

static enum http_reader_event end_body(struct http_reader *r)
{
	http_body_fini(&r->body); /* trailers */
	r->state = HTTP_READER_START;
	return HTTP_READER_GOT_END;
}

/* Chunk sizes, the ends of chunks, trailers. */
static enum http_reader_event read_framing(struct http_reader *r, const char *bytes, uint64_t len,
					   uint64_t *used)
{
	char copy[FRAMING_BYTES];
	size_t n = (size_t)MIN(len, (uint64_t)sizeof(copy)), taken, out_len, tail_len;
	enum http_progress progress;
	const char *tail;

	memcpy(copy, bytes, n);
	progress = http_body_filter(&r->body, copy, n, &taken, &out_len, &tail, &tail_len);
	if (progress == HTTP_BAD)
		return lose(r);
	*used += taken;
	r->off += taken;
	return progress == HTTP_DONE ? end_body(r) : HTTP_READER_MORE;
}

static enum http_reader_event read_body(struct http_reader *r, const struct http_input *in,
					uint64_t *used)
{
	enum http_reader_event event = HTTP_READER_MORE;

	while (*used < in->len && event == HTTP_READER_MORE) {
		uint64_t n = MIN(in->len - *used, http_body_certain(&r->body));

		if (n == 0 && in->bytes == NULL)
			return lose(r);
		if (n == 0) {
			event = read_framing(r, in->bytes + *used, in->len - *used, used);
			continue;
		}
		http_body_skip(&r->body, n);
		*used += n;
		r->off += n;
		if (http_body_done(&r->body))
			event = end_body(r);
	}
	return event;
}

uint64_t http_reader_certain(const struct http_reader *r)
{
	if (r->state == HTTP_READER_TUNNEL)
		return UINT64_MAX;
	return r->state == HTTP_READER_BODY ? http_body_certain(&r->body) : 0;
}

/* ---- the reader ------------------------------------------------------------------------------ */

enum http_reader_event http_reader_read(struct http_reader *r, const struct http_input *in,
					struct head_memo *heads, const char **head_bytes,
					uint64_t *used)
{
	*used = 0;
	switch (r->state) {
	case HTTP_READER_BODY:
		return read_body(r, in, used);
	case HTTP_READER_START:
		if (in->bytes != NULL)
			return read_start(r, in, heads, head_bytes, used);
		return lose(r);
	case HTTP_READER_HEAD:
		if (in->bytes != NULL)
			return read_on(r, in, heads, head_bytes, used);
		return lose(r);
	case HTTP_READER_WAIT:
		return lose(r);
	case HTTP_READER_TUNNEL:
	case HTTP_READER_LOST:
		break;
	}
	*used = in->len;
	r->off += in->len;
	return HTTP_READER_MORE;
}

void http_reader_lose(struct http_reader *r)
{
	(void)lose(r);
}

void http_reader_tunnel(struct http_reader *r)
{
	drop_part(r);
	r->state = HTTP_READER_TUNNEL;
}

bool http_reader_close(struct http_reader *r)
{
	if (r->state != HTTP_READER_BODY || r->body.framing != HTTP_BODY_UNTIL_CLOSE)
		return false;
	r->state = HTTP_READER_START;
	return true;
}

void http_reader_restart(struct http_reader *r)
{
	drop_part(r);
	http_body_fini(&r->body);
	r->state = HTTP_READER_START;
}
