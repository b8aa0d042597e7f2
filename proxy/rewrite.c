/*
 * rewrite.c -- one pass over the fields, each kept, left out or replaced.
 *
 * Never passes on a byte that the codec has not understood: a field is written as `Name: value`.
 * Where neighbouring fields stand in the message exactly so, they are copied together.
 *
 * What is left out, both ways: Connection and what it nominates, Keep-Alive, Proxy-Connection, TE,
 * Upgrade, HTTP2-Settings (RFC 9110 section 7.6.1). `TE: trailers` and a WebSocket upgrade are made
 * anew with the option they need, and a 426 keeps its Upgrade. Proxy-Authenticate and
 * Proxy-Authorization pass: they are for whoever asks for them, and this proxy does not (RFC 9110
 * section 11.7). Trailer is kept, since trailers are.
 *
 * Invariant: what is written is never more than rewrite_*_max() has told.
 */
#include "proxy/rewrite.h"

#include <assert.h>
#include <string.h>

#include "common/http_fields.h"
#include "common/put.h"
#include "proxy/date.h"

struct writer {
	char *at;
	char *start;
	const char *bytes; /* of the head that is rewritten */
	const char *run;   /* bytes of it that wait to be copied together, up to run_end */
	const char *run_end;
};

/* ---- writing ------------------------------------------------------------------------------- */

static void put(struct writer *w, const char *bytes, size_t len)
{
	w->at = put_bytes(w->at, bytes, len);
}

#define put_text(w, text) put((w), (text), sizeof(text) - 1)

static void put_slice(struct writer *w, struct http_slice s)
{
	put(w, w->bytes + s.off, s.len);
}

static void put_u64(struct writer *w, uint64_t value)
{
	w->at = put_decimal(w->at, value);
}

static void flush_run(struct writer *w)
{
	put(w, w->run, (size_t)(w->run_end - w->run));
	w->run = w->run_end;
}

static void put_name(struct writer *w, const struct http_field *f)
{
	flush_run(w);
	put_slice(w, f->name);
	put_text(w, ": ");
}

/* The whole line as it came, when it stands there as `Name: value` CRLF; copied with its run. */
static void put_field(struct writer *w, const struct http_field *f)
{
	const char *line = w->bytes + f->name.off;
	const char *colon = line + f->name.len;
	const char *past = w->bytes + f->value.off + f->value.len;

	if (f->value.off == f->name.off + f->name.len + 2 && colon[0] == ':' && colon[1] == ' ' &&
	    past[0] == '\r' && past[1] == '\n') {
		if (line != w->run_end) {
			flush_run(w);
			w->run = line;
		}
		w->run_end = past + 2;
		return;
	}
	put_name(w, f);
	put_slice(w, f->value);
	put_text(w, "\r\n");
}

static void put_named(struct writer *w, const char *name_colon, size_t name_len, const char *value,
		      size_t len)
{
	put(w, name_colon, name_len);
	put(w, value, len);
	put_text(w, "\r\n");
}

#define put_header(w, name_colon, value, len) \
	put_named((w), (name_colon), sizeof(name_colon) - 1, (value), (len))

static void put_date(struct writer *w, uint64_t now_s)
{
	put_header(w, "Date: ", date_text(now_s), DATE_TEXT_LEN);
}

static struct writer writer_of(const char *bytes, char *out)
{
	return (struct writer){
		.at = out, .start = out, .bytes = bytes, .run = bytes, .run_end = bytes};
}

static size_t written(const struct writer *w, size_t max)
{
	size_t n = (size_t)(w->at - w->start);

	assert(n <= max);
	return n;
}

/* ---- requests ------------------------------------------------------------------------------ */

/*
 * Lines of our own: Via, the three X-Forwarded, Host, Connection, Upgrade, TE, X-Client-Cert-Subject,
 * without values; X-Request-Id and traceparent with them.
 */
#define REQUEST_ADDED_MAX 416
#define ESCAPED_MAX       3 /* bytes that one byte of a subject may become */

size_t rewrite_request_max(const struct http_head *h, const struct rewrite_request *ctx)
{
	/* "Name:value" grows by its space; Host and X-Forwarded-Host may both carry an authority */
	return (size_t)h->len + h->field_count + h->host.len + 2 * (size_t)h->target_authority.len +
	       ctx->backend_authority_len + ctx->client_ip_len + strlen(ctx->proto) +
	       ESCAPED_MAX * ctx->client_subject_len + PUT_DECIMAL_MAX + REQUEST_ADDED_MAX;
}

static void put_target(struct writer *w, const struct http_head *h)
{
	struct http_slice path = h->target_path;

	if (h->target_form != HTTP_TARGET_ABSOLUTE) {
		put_slice(w, h->target);
		return;
	}
	/* RFC 9112 sections 3.2.1 and 3.2.4 */
	if (path.len == 0 && h->method == HTTP_METHOD_OPTIONS)
		put_text(w, "*");
	else if (path.len == 0 || w->bytes[path.off] != '/')
		put_text(w, "/");
	put_slice(w, path);
}

/* What the client asked for: the target's authority before the Host field (RFC 9112 section 3.2.2). */
static struct http_slice client_host(const struct http_head *h)
{
	return h->target_form == HTTP_TARGET_ABSOLUTE ? h->target_authority : h->host;
}

static void put_host_value(struct writer *w, const struct http_head *h,
			   const struct rewrite_request *ctx)
{
	struct http_slice host = client_host(h);

	if (host.len == 0 || ctx->host_from_backend)
		put(w, ctx->backend_authority, ctx->backend_authority_len);
	else
		put_slice(w, host);
	put_text(w, "\r\n");
}

/* One number counts down: it stands in place of the first field, others go. */
static void put_max_forwards(struct writer *w, const struct http_head *h,
			     const struct http_field *f)
{
	if (h->max_forwards == UINT32_MAX) {
		put_field(w, f);
		return;
	}
	if (f != http_head_find(h, HTTP_FIELD_MAX_FORWARDS))
		return;
	put_name(w, f);
	put_u64(w, h->max_forwards > 0 ? h->max_forwards - 1 : 0);
	put_text(w, "\r\n");
}

/* Our own digits: no receiver shall wonder about leading zeros. */
static void put_content_length(struct writer *w, const struct http_head *h,
			       const struct http_field *f)
{
	if (f->value.len > 1 && w->bytes[f->value.off] == '0') {
		put_name(w, f);
		put_u64(w, h->content_length);
		put_text(w, "\r\n");
	} else {
		put_field(w, f);
	}
}

/* In lower case: nor about that of letters. */
static void put_transfer_encoding(struct writer *w, const struct http_field *f)
{
	static const char chunked[] = "chunked";

	assert(f->value.len == sizeof(chunked) - 1);
	if (memcmp(w->bytes + f->value.off, chunked, sizeof(chunked) - 1) == 0) {
		put_field(w, f);
	} else {
		put_name(w, f);
		put_text(w, "chunked\r\n");
	}
}

static void put_request_field(struct writer *w, const struct http_head *h,
			      const struct http_field *f, const struct rewrite_request *ctx)
{
	switch (f->id) {
	case HTTP_FIELD_CONNECTION:
	case HTTP_FIELD_HTTP2_SETTINGS:
	case HTTP_FIELD_KEEP_ALIVE:
	case HTTP_FIELD_PROXY_CONNECTION:
	case HTTP_FIELD_TE:
	case HTTP_FIELD_UPGRADE:
	case HTTP_FIELD_X_CLIENT_CERT_SUBJECT:
	case HTTP_FIELD_X_FORWARDED_FOR:
	case HTTP_FIELD_X_FORWARDED_HOST:
	case HTTP_FIELD_X_FORWARDED_PROTO:
		break;
	case HTTP_FIELD_HOST:
		put_name(w, f);
		put_host_value(w, h, ctx);
		break;
	case HTTP_FIELD_EXPECT:
		if (h->minor > 0)
			put_field(w, f);
		break;
	case HTTP_FIELD_MAX_FORWARDS:
		put_max_forwards(w, h, f);
		break;
	case HTTP_FIELD_TRACEPARENT:
	case HTTP_FIELD_TRACESTATE:
		if (ctx->ids == NULL || !ctx->ids->own_traceparent)
			put_field(w, f);
		break;
	case HTTP_FIELD_X_REQUEST_ID:
		if (ctx->ids == NULL || f->value.len > 0)
			put_field(w, f);
		break;
	case HTTP_FIELD_CONTENT_LENGTH:
		put_content_length(w, h, f);
		break;
	case HTTP_FIELD_TRANSFER_ENCODING:
		put_transfer_encoding(w, f);
		break;
	default:
		put_field(w, f);
		break;
	}
}

static void put_forwarded_for(struct writer *w, const struct http_head *h,
			      const struct rewrite_request *ctx)
{
	put_text(w, "X-Forwarded-For: ");
	for (uint32_t i = 0; i < h->field_count; i++) {
		const struct http_field *f = &h->fields[i];

		if (f->id != HTTP_FIELD_X_FORWARDED_FOR || f->value.len == 0)
			continue;
		put_slice(w, f->value);
		put_text(w, ", ");
	}
	put(w, ctx->client_ip, ctx->client_ip_len);
	put_text(w, "\r\n");
}

/* An HTTP/1.0 client cannot be sent trailers, whatever its TE says. */
static bool wants_trailers(const struct http_head *h, const char *bytes)
{
	for (uint32_t i = 0; i < h->field_count && h->minor > 0; i++) {
		const struct http_field *f = &h->fields[i];

		if (f->id == HTTP_FIELD_TE &&
		    http_list_has(bytes + f->value.off, f->value.len, "trailers"))
			return true;
	}
	return false;
}

static void put_request_connection(struct writer *w, const struct http_head *h)
{
	bool trailers = wants_trailers(h, w->bytes);

	if (h->upgrade_websocket && trailers)
		put_text(w, "Connection: Upgrade, TE\r\n");
	else if (h->upgrade_websocket)
		put_text(w, "Connection: Upgrade\r\n");
	else if (trailers)
		put_text(w, "Connection: TE\r\n");
	if (h->upgrade_websocket)
		put_text(w, "Upgrade: websocket\r\n");
	if (trailers)
		put_text(w, "TE: trailers\r\n");
}

static void put_ids(struct writer *w, const struct request_ids *ids)
{
	if (ids->own_request_id)
		put_header(w, "X-Request-Id: ", request_ids_id(ids), REQUEST_ID_LEN);
	if (ids->own_traceparent)
		put_header(w, "traceparent: ", request_ids_traceparent(ids), TRACEPARENT_LEN);
}

/*
 * In visible ASCII: other bytes as RFC 2253 section 2.4 writes them, a backslash and two digits. A
 * space at an end, which a receiver would take for the line's, may have its backslash already.
 */
static void put_subject(struct writer *w, const char *text, size_t len)
{
	static const char digits[] = "0123456789ABCDEF";

	put_text(w, "X-Client-Cert-Subject: ");
	for (size_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)text[i];
		bool outer_space = c == ' ' && (i == 0 || i + 1 == len);
		const char hex[2] = {digits[c >> 4], digits[c & 15]};

		if (c >= ' ' && c < 0x7f && !outer_space) {
			put(w, &text[i], 1);
			continue;
		}
		if (!outer_space || i == 0 || text[i - 1] != '\\')
			put_text(w, "\\");
		put(w, hex, sizeof(hex));
	}
	put_text(w, "\r\n");
}

static void put_request_added(struct writer *w, const struct http_head *h,
			      const struct rewrite_request *ctx)
{
	struct http_slice host = client_host(h);

	/* RFC 9110 section 7.6.3: the version in which the message was received */
	if (h->minor > 0)
		put_text(w, "Via: 1.1 flowproxy\r\n");
	else
		put_text(w, "Via: 1.0 flowproxy\r\n");
	put_forwarded_for(w, h, ctx);
	put_header(w, "X-Forwarded-Proto: ", ctx->proto, strlen(ctx->proto));
	if (host.len > 0)
		put_header(w, "X-Forwarded-Host: ", w->bytes + host.off, host.len);
	if (ctx->client_subject != NULL)
		put_subject(w, ctx->client_subject, ctx->client_subject_len);
	if (ctx->ids != NULL)
		put_ids(w, ctx->ids);
	put_request_connection(w, h);
}

size_t rewrite_request(const struct http_head *h, const char *bytes,
		       const struct rewrite_request *ctx, char *out)
{
	struct writer w = writer_of(bytes, out);

	put_slice(&w, h->method_text);
	put_text(&w, " ");
	put_target(&w, h);
	put_text(&w, " HTTP/1.1\r\n");
	if (!h->host_present) {
		put_text(&w, "Host: ");
		put_host_value(&w, h, ctx);
	}
	for (uint32_t i = 0; i < h->field_count; i++)
		if (!h->fields[i].nominated)
			put_request_field(&w, h, &h->fields[i], ctx);
	flush_run(&w);
	put_request_added(&w, h, ctx);
	put_text(&w, "\r\n");
	return written(&w, rewrite_request_max(h, ctx));
}

/* ---- responses ----------------------------------------------------------------------------- */

/* Date, Connection, Upgrade */
#define RESPONSE_ADDED_MAX 128

size_t rewrite_response_max(const struct http_head *h)
{
	return (size_t)h->len + h->field_count + RESPONSE_ADDED_MAX;
}

/* RFC 9110 section 8.6, RFC 9112 section 6.1: neither belongs into a 1xx or 204. */
static bool may_frame(const struct http_head *h)
{
	return h->status >= 200 && h->status != 204;
}

/* RFC 9110 section 15.5.22: of use to the client, since WebSocket upgrades pass through. */
static bool says_what_is_required(const struct http_head *h)
{
	return h->status == 426 && http_head_find(h, HTTP_FIELD_UPGRADE) != NULL;
}

static void put_response_field(struct writer *w, const struct http_head *h,
			       const struct http_field *f, const struct rewrite_response *ctx)
{
	switch (f->id) {
	case HTTP_FIELD_CONNECTION:
	case HTTP_FIELD_HTTP2_SETTINGS:
	case HTTP_FIELD_KEEP_ALIVE:
	case HTTP_FIELD_PROXY_CONNECTION:
	case HTTP_FIELD_TE:
		break;
	case HTTP_FIELD_UPGRADE:
		if (says_what_is_required(h))
			put_field(w, f);
		break;
	case HTTP_FIELD_CONTENT_LENGTH:
		if (may_frame(h))
			put_content_length(w, h, f);
		break;
	case HTTP_FIELD_TRANSFER_ENCODING:
		if (may_frame(h) && !ctx->drop_chunked)
			put_transfer_encoding(w, f);
		break;
	case HTTP_FIELD_TRAILER:
		if (!ctx->drop_chunked)
			put_field(w, f);
		break;
	default:
		put_field(w, f);
		break;
	}
}

static void put_response_connection(struct writer *w, const struct http_head *h,
				    enum rewrite_connection connection)
{
	const char *upgrade = says_what_is_required(h) ? ", Upgrade" : "";

	switch (connection) {
	case REWRITE_CONNECTION_NONE:
		if (*upgrade != '\0')
			put_text(w, "Connection: Upgrade\r\n");
		return;
	case REWRITE_CONNECTION_CLOSE:
		put_text(w, "Connection: close");
		break;
	case REWRITE_CONNECTION_KEEP_ALIVE:
		put_text(w, "Connection: keep-alive");
		break;
	case REWRITE_CONNECTION_UPGRADE:
		put_text(w, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
		return;
	}
	put(w, upgrade, strlen(upgrade));
	put_text(w, "\r\n");
}

size_t rewrite_response(const struct http_head *h, const char *bytes,
			const struct rewrite_response *ctx, char *out)
{
	struct writer w = writer_of(bytes, out);
	bool dated = h->status < 200;

	put_text(&w, "HTTP/1.1 ");
	put_u64(&w, h->status);
	put_text(&w, " ");
	put_slice(&w, h->reason);
	put_text(&w, "\r\n");
	for (uint32_t i = 0; i < h->field_count; i++) {
		const struct http_field *f = &h->fields[i];

		if (f->nominated)
			continue;
		if (f->id == HTTP_FIELD_DATE)
			dated = true;
		put_response_field(&w, h, f, ctx);
	}
	flush_run(&w);
	if (!dated)
		put_date(&w, ctx->now_s);
	put_response_connection(&w, h, ctx->connection);
	put_text(&w, "\r\n");
	return written(&w, rewrite_response_max(h));
}
