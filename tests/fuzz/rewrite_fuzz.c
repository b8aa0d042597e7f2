/*
 * rewrite_fuzz.c -- whatever head the codec accepts, the head written from it must be one that the
 * codec accepts, frames the same way, and says nothing of the hop that it came from.
 *
 * Input: a byte of choices, then the bytes of a head.
 */
// links: proxy
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/http_head.h"
#include "proxy/rewrite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                        \
	do {                                                                    \
		if (!(condition)) {                                             \
			fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
			abort();                                                \
		}                                                               \
	} while (0)

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
	for (uint32_t i = 0; i < out->field_count; i++)
		CHECK(!out->fields[i].nominated);
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

static void request(struct http_head *in, struct http_head *out, const char *bytes, uint8_t choice)
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
	char *text = malloc(rewrite_request_max(in, &ctx));
	size_t len;

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

static void response(struct http_head *in, struct http_head *out, const char *bytes, uint8_t choice,
		     enum http_method method)
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
		request(&in, &out, bytes, data[0]);
	else
		response(&in, &out, bytes, data[0], method);
	return 0;
}
