/*
 * rewrite_fuzz.c -- whatever head the codec accepts, the head written from it must be one that the
 * codec accepts, frames the same way, and says nothing of the hop that it came from. By the strict
 * second reading it is the same message: every field that no rule names is there, in order, as it
 * was sent, and none besides.
 *
 * Input: a byte of choices, then the bytes of a head.
 */
// links: proxy
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/http_head.h"
#include "proxy/rewrite.h"
#include "tests/fuzz/strict_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct http_limits limits_in = {65536, 256};
static const struct http_limits limits_out = {1 << 20, 512};

static uint32_t count(const struct http_head *h, enum http_field_id id)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < h->field_count; i++)
		n += h->fields[i].id == id;
	return n;
}

static bool value_is(const struct http_head *h, const char *bytes, enum http_field_id id,
		     const char *text)
{
	const struct http_field *f = http_head_find(h, id);

	return f != NULL && f->value.len == strlen(text) &&
	       memcmp(bytes + f->value.off, text, f->value.len) == 0;
}

/* With ids of our own there is one traceparent, valid, and an id; without, all pass on. */
static void check_ids(const struct http_head *in, const struct http_head *out, const char *bytes,
		      const struct request_ids *ids)
{
	if (ids == NULL) {
		CHECK(count(out, HTTP_FIELD_X_REQUEST_ID) == count(in, HTTP_FIELD_X_REQUEST_ID));
		CHECK(count(out, HTTP_FIELD_TRACEPARENT) == count(in, HTTP_FIELD_TRACEPARENT));
		CHECK(count(out, HTTP_FIELD_TRACESTATE) == count(in, HTTP_FIELD_TRACESTATE));
		return;
	}
	CHECK(out->traceparent_count == 1);
	CHECK(traceparent_valid(bytes + out->traceparent.off, out->traceparent.len));
	CHECK(count(out, HTTP_FIELD_TRACESTATE) ==
	      (ids->own_traceparent ? 0 : count(in, HTTP_FIELD_TRACESTATE)));
	CHECK(out->request_id.len > 0);
	CHECK(in->request_id.len == 0 || out->request_id.len == in->request_id.len);
	CHECK(in->request_id.len > 0 || count(out, HTTP_FIELD_X_REQUEST_ID) == 1);
}

static void check_hop(const struct http_head *out)
{
	CHECK(out->minor == 1);
	CHECK(out->empty_lines == 0);
	CHECK(count(out, HTTP_FIELD_KEEP_ALIVE) == 0);
	CHECK(count(out, HTTP_FIELD_PROXY_CONNECTION) == 0);
	CHECK(count(out, HTTP_FIELD_HTTP2_SETTINGS) == 0);
	CHECK(count(out, HTTP_FIELD_CONNECTION) <= 1);
	CHECK(count(out, HTTP_FIELD_UPGRADE) == out->upgrade_websocket || out->status == 426);
	CHECK(count(out, HTTP_FIELD_CONTENT_LENGTH) <= 1);
	CHECK(count(out, HTTP_FIELD_TRANSFER_ENCODING) <= 1);
	/* our own Connection: close names a field Close that came from the other side */
	for (uint32_t i = 0; i < out->field_count; i++)
		CHECK(!out->fields[i].nominated || out->fields[i].name.len == strlen("close"));
}

static void check_request(const struct http_head *in, const struct http_head *out,
			  const char *bytes, const struct rewrite_request *ctx)
{
	CHECK(out->method == in->method);
	CHECK(out->target_form == HTTP_TARGET_ORIGIN || out->target_form == HTTP_TARGET_ASTERISK ||
	      in->method == HTTP_METHOD_CONNECT);
	CHECK(out->framing == in->framing);
	CHECK(out->content_length == in->content_length);
	CHECK(out->upgrade_websocket == in->upgrade_websocket);
	CHECK(out->keep_alive);
	CHECK(!out->expect_continue || in->expect_continue);
	CHECK(in->max_forwards == UINT32_MAX || count(out, HTTP_FIELD_MAX_FORWARDS) <= 1);
	CHECK(out->host_present && out->host.len > 0);
	CHECK(count(out, HTTP_FIELD_X_FORWARDED_FOR) == 1);
	CHECK(count(out, HTTP_FIELD_X_FORWARDED_HOST) <= 1);
	CHECK(count(out, HTTP_FIELD_X_FORWARDED_PROTO) == 1);
	CHECK(value_is(out, bytes, HTTP_FIELD_X_FORWARDED_PROTO, "http"));
	CHECK(count(out, HTTP_FIELD_VIA) == count(in, HTTP_FIELD_VIA) + 1);
	CHECK(!ctx->host_from_backend || value_is(out, bytes, HTTP_FIELD_HOST, "backend:8080"));
	check_ids(in, out, bytes, ctx->ids);
	check_hop(out);
}

/* ---- the second reading ---------------------------------------------------------------------- */

/* Fields that a rule removes, replaces or adds; all others pass but for those Connection names. */
#define HOP_NAMES "connection keep-alive proxy-connection te upgrade http2-settings "
static const char request_names[] =
	HOP_NAMES "host expect max-forwards content-length transfer-encoding via "
		  "x-forwarded-for x-forwarded-host x-forwarded-proto "
		  "x-request-id traceparent tracestate";
#define RESPONSE_NAMES HOP_NAMES "content-length transfer-encoding trailer date"

/* The next field from *at on that passes as it is, or NULL. `from` is the head that came. */
static const struct strict_field *next_kept(const struct strict_head *h, uint32_t *at,
					    const struct strict_head *from, const char *names)
{
	while (*at < h->fields) {
		const struct strict_field *f = &h->field[(*at)++];

		if (!strict_is_one(f->name, names) && !strict_nominated(from, f->name) &&
		    !(names == request_names && strict_is_subject(f->name)))
			return f;
	}
	return NULL;
}

static void check_kept(const struct strict_head *in, const struct strict_head *out,
		       const char *names)
{
	uint32_t i = 0, o = 0;

	for (;;) {
		const struct strict_field *sent = next_kept(in, &i, in, names);
		const struct strict_field *kept = next_kept(out, &o, in, names);

		CHECK((sent == NULL) == (kept == NULL));
		if (sent == NULL)
			break;
		CHECK(strict_equal(sent->name, kept->name));
		CHECK(strict_equal(sent->value, kept->value));
	}
	for (o = 0; o < out->fields; o++)
		CHECK(strict_is_one(out->field[o].name, names) ||
		      strict_is_subject(out->field[o].name) ||
		      !strict_nominated(in, out->field[o].name));
}

/* Nobody's word but ours on who the client is. */
static void check_subject(const struct strict_head *out, const struct rewrite_request *ctx)
{
	static const char claim[] = "X-Client-Cert-Subject";
	uint32_t found = 0;

	for (uint32_t i = 0; i < out->fields; i++) {
		const struct strict_field *f = &out->field[i];

		if (!strict_is_subject(f->name))
			continue;
		found++;
		CHECK(memcmp(f->name.p, claim, sizeof(claim) - 1) == 0);
		CHECK(f->value.len >= ctx->client_subject_len);
		for (size_t k = 0; k < f->value.len; k++)
			CHECK(f->value.p[k] >= ' ' && f->value.p[k] < 0x7f);
	}
	CHECK(found == (ctx->client_subject != NULL));
}

/* All values of a field, joined each with ", " behind it. Returns the length. */
static size_t joined(const struct strict_head *h, const char *name, char *into)
{
	size_t n = 0;

	for (uint32_t i = 0; i < h->fields; i++) {
		struct strict_text value = h->field[i].value;

		if (!strict_is(h->field[i].name, name) || value.len == 0)
			continue;
		memcpy(into + n, value.p, value.len);
		n += value.len;
		memcpy(into + n, ", ", 2);
		n += 2;
	}
	return n;
}

/* The list is what it was, with one member behind. */
static void check_appended(const struct strict_head *in, const struct strict_head *out,
			   const char *name, const char *member)
{
	static char before[1 << 18], after[1 << 18];
	size_t n = joined(in, name, before), len = strlen(member);

	CHECK(joined(out, name, after) == n + len + 2);
	CHECK(memcmp(before, after, n) == 0 && memcmp(after + n, member, len) == 0);
}

static void check_same_request(const char *bytes, size_t size, const char *text, size_t len,
			       const struct rewrite_request *ctx)
{
	static struct strict_head in, out;

	CHECK(strict_head_read(&in, HTTP_REQUEST, bytes, size));
	CHECK(strict_head_read(&out, HTTP_REQUEST, text, len) && out.len == len && out.start == 0);
	CHECK(out.hosts == 1 && out.minor == 1);
	CHECK(strict_equal(in.method, out.method));
	CHECK(in.target.p[0] != '/' || strict_equal(in.target, out.target));
	CHECK(strict_framing(&in, HTTP_REQUEST, false) ==
	      strict_framing(&out, HTTP_REQUEST, false));
	CHECK(in.length == out.length && in.lengths == out.lengths && in.codings == out.codings);
	check_kept(&in, &out, request_names);
	check_appended(&in, &out, "via", in.minor == 1 ? "1.1 flowproxy" : "1.0 flowproxy");
	check_appended(&in, &out, "x-forwarded-for", "192.0.2.7");
	check_subject(&out, ctx);
}

static void check_same_response(const char *bytes, size_t size, const char *text, size_t len,
				const struct rewrite_response *ctx, bool head)
{
	static struct strict_head in, out;
	enum http_framing was;

	CHECK(strict_head_read(&in, HTTP_RESPONSE, bytes, size));
	CHECK(strict_head_read(&out, HTTP_RESPONSE, text, len) && out.len == len);
	CHECK(in.status == out.status && out.minor == 1);
	was = strict_framing(&in, HTTP_RESPONSE, head);
	if (was == HTTP_BODY_CHUNKED && ctx->drop_chunked)
		was = HTTP_BODY_UNTIL_CLOSE;
	CHECK(strict_framing(&out, HTTP_RESPONSE, head) == was);
	CHECK(out.lengths == (in.status < 200 || in.status == 204 ? 0 : in.lengths));
	CHECK(out.lengths == 0 || in.length == out.length);
	check_kept(&in, &out, RESPONSE_NAMES);
}

static void request(struct http_head *in, struct http_head *out, const char *bytes, size_t size,
		    uint8_t choice)
{
	struct rewrite_request ctx = {
		.client_ip = "192.0.2.7",
		.client_ip_len = 9,
		.proto = "http",
		.backend_authority = "backend:8080",
		.backend_authority_len = 12,
		.host_from_backend = choice >> 1 & 1,
	};
	char prefix[TRACEPARENT_PREFIX_LEN];
	struct request_ids ids;
	size_t len;
	char *text;

	/* What came is as good as any subject. */
	if (choice >> 2 & 1) {
		ctx.client_subject = bytes;
		ctx.client_subject_len = MIN(size, (size_t)100);
	}
	text = malloc(rewrite_request_max(in, &ctx));
	CHECK(text != NULL);
	if (choice >> 5 & 1) {
		request_ids_prefix(choice, prefix);
		request_ids_choose(&ids, in, bytes, prefix, choice >> 6);
		ctx.ids = &ids;
	}
	len = rewrite_request(in, bytes, &ctx, text);
	CHECK(http_head_init(out, HTTP_REQUEST, &limits_out, HTTP_METHOD_OTHER, false));
	CHECK(http_head_read(out, text, len) == HTTP_DONE);
	CHECK(out->len == len);
	check_request(in, out, text, &ctx);
	check_same_request(bytes, size, text, len, &ctx);
	free(text);
}

static void check_response(const struct http_head *in, const struct http_head *out,
			   const struct rewrite_response *ctx)
{
	CHECK(out->status == in->status);
	CHECK(out->reason.len == in->reason.len);
	if (in->framing == HTTP_BODY_CHUNKED && ctx->drop_chunked)
		CHECK(out->framing == HTTP_BODY_UNTIL_CLOSE);
	else
		CHECK(out->framing == in->framing);
	if (out->content_length_known)
		CHECK(out->content_length == in->content_length && out->status >= 200);
	CHECK(count(out, HTTP_FIELD_DATE) > 0 || out->status < 200);
	CHECK(count(out, HTTP_FIELD_TE) == 0);
	CHECK(!out->keep_alive || ctx->connection != REWRITE_CONNECTION_CLOSE);
	check_hop(out);
}

static void response(struct http_head *in, struct http_head *out, const char *bytes, size_t size,
		     uint8_t choice, enum http_method method)
{
	struct rewrite_response ctx = {
		.connection = choice & 8 ? REWRITE_CONNECTION_CLOSE : REWRITE_CONNECTION_KEEP_ALIVE,
		.drop_chunked = choice >> 4 & 1,
		.now_s = 784111777,
	};
	char *text = malloc(rewrite_response_max(in));
	size_t len;

	CHECK(text != NULL);
	if (in->status == 101)
		ctx.connection = REWRITE_CONNECTION_UPGRADE;
	len = rewrite_response(in, bytes, &ctx, text);
	CHECK(http_head_init(out, HTTP_RESPONSE, &limits_out, method, true));
	CHECK(http_head_read(out, text, len) == HTTP_DONE);
	CHECK(out->len == len);
	check_response(in, out, &ctx);
	check_same_response(bytes, size, text, len, &ctx, method == HTTP_METHOD_HEAD);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_head in, out; /* used again and again, as a connection does */
	const char *bytes = (const char *)data + 1;
	enum http_method method;
	enum http_kind kind;

	if (size < 1)
		return 0;
	kind = data[0] & 1 ? HTTP_RESPONSE : HTTP_REQUEST;
	method = data[0] & 4 ? HTTP_METHOD_HEAD : HTTP_METHOD_GET;
	CHECK(http_head_init(&in, kind, &limits_in, method, true));
	if (http_head_read(&in, bytes, size - 1) != HTTP_DONE)
		return 0;
	if (kind == HTTP_REQUEST)
		request(&in, &out, bytes, size - 1, data[0]);
	else
		response(&in, &out, bytes, size - 1, data[0], method);
	return 0;
}
