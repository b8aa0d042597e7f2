/*
 * http_head_fuzz.c -- a head at once and in pieces must come out alike, and the strict second reading
 * must agree on what is accepted, where it ends, and where each field stands.
 *
 * Input: a byte of choices, a seed for the pieces, then the bytes of the connection.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/http_head.h"
#include "tests/fuzz/strict_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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

/* ---- held together -------------------------------------------------------------------------- */

static void check_accepted(const struct http_head *h, const struct strict_head *s,
			   const struct choice *c, const char *bytes)
{
	CHECK(h->fault == HTTP_FAULT_NONE);
	CHECK(h->len == s->len);
	CHECK(h->len <= c->limits.max_head_bytes);
	CHECK(h->field_count == s->fields);
	CHECK(h->field_count <= c->limits.max_fields);
	CHECK(h->minor == s->minor);
	CHECK(h->framing == strict_framing(s, c->kind, c->method == HTTP_METHOD_HEAD));
	CHECK(!h->content_length_known || h->content_length == s->length);
	CHECK(c->kind == HTTP_RESPONSE || s->hosts <= 1);
	CHECK(h->status == s->status);
	for (uint32_t i = 0; i < h->field_count; i++) {
		struct http_slice name = h->fields[i].name, value = h->fields[i].value;

		CHECK(name.len > 0 && name.off + name.len < value.off + 1);
		CHECK(value.off + value.len + 2 <= h->len);
		CHECK(bytes[name.off + name.len] == ':');
		if (i >= STRICT_FIELDS_MAX)
			continue;
		CHECK(bytes + name.off == s->field[i].name.p && name.len == s->field[i].name.len);
		CHECK(value.len == s->field[i].value.len);
		CHECK(value.len == 0 || bytes + value.off == s->field[i].value.p);
		CHECK(h->fields[i].nominated <= strict_nominated(s, s->field[i].name));
	}
}

/* A head that the strict reading accepts is refused only for what that reading leaves open. */
static void check_refused(const struct http_head *h, const struct strict_head *s,
			  const struct choice *c)
{
	CHECK(h->fault != HTTP_FAULT_NONE);
	CHECK(h->field_count == 0);
	if (h->fault == HTTP_FAULT_SYNTAX)
		CHECK(!s->simple || (c->kind == HTTP_RESPONSE && s->status == 101));
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
	static struct strict_head s;
	bool accepted;

	if (size < 2)
		return 0;
	size -= 2;
	c = choice_of(data[0]);
	progress = read_in_pieces(&whole, &c, bytes, size, 0);
	CHECK(read_in_pieces(&pieces, &c, bytes, size, data[1]) == progress);
	same_head(&whole, &pieces);
	CHECK(progress != HTTP_MORE || size < c.limits.max_head_bytes);
	accepted = strict_head_read(&s, c.kind, bytes, size);
	if (progress == HTTP_DONE) {
		CHECK(accepted);
		check_accepted(&whole, &s, &c, bytes);
	} else if (accepted) {
		CHECK(progress == HTTP_BAD);
		check_refused(&whole, &s, &c);
	}
	return 0;
}
