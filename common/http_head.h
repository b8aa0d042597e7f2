/*
 * http_head.h -- reads one HTTP/1.x message head, request or response (RFC 9110, 9112).
 *
 * llhttp in strict mode reads the grammar; what it lets pass is refused here (proxy-facts: bare CR,
 * bare LF, obs-fold, empty field names, ambiguous framing...). Knows no socket and no clock.
 *
 * The head stays in the caller's buffer: everything found is an offset from its first byte, so the
 * buffer may move between calls as long as its content stays.
 */
#ifndef COMMON_HTTP_HEAD_H
#define COMMON_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"

enum http_kind {
	HTTP_REQUEST,
	HTTP_RESPONSE,
};

struct http_slice {
	uint32_t off;
	uint32_t len;
};

/* Fields that the proxy looks at or treats in its own way; all others are HTTP_FIELD_OTHER. */
enum http_field_id {
	HTTP_FIELD_OTHER,
	HTTP_FIELD_CONNECTION,
	HTTP_FIELD_CONTENT_LENGTH,
	HTTP_FIELD_DATE,
	HTTP_FIELD_EXPECT,
	HTTP_FIELD_HOST,
	HTTP_FIELD_HTTP2_SETTINGS,
	HTTP_FIELD_KEEP_ALIVE,
	HTTP_FIELD_MAX_FORWARDS,
	HTTP_FIELD_PROXY_AUTHENTICATE,
	HTTP_FIELD_PROXY_AUTHORIZATION,
	HTTP_FIELD_PROXY_CONNECTION,
	HTTP_FIELD_SOAP_ACTION,
	HTTP_FIELD_CONTENT_TYPE,
	HTTP_FIELD_TE,
	HTTP_FIELD_TRACEPARENT,
	HTTP_FIELD_TRACESTATE,
	HTTP_FIELD_TRAILER,
	HTTP_FIELD_TRANSFER_ENCODING,
	HTTP_FIELD_UPGRADE,
	HTTP_FIELD_VIA,
	HTTP_FIELD_X_CLIENT_CERT_SUBJECT, /* also where others would read it so */
	HTTP_FIELD_X_FORWARDED_FOR,
	HTTP_FIELD_X_FORWARDED_HOST,
	HTTP_FIELD_X_FORWARDED_PROTO,
	HTTP_FIELD_X_REQUEST_ID,
};

struct http_field {
	struct http_slice name;
	struct http_slice value; /* without surrounding white space; may be empty */
	enum http_field_id id;
	/* A Connection field names it (RFC 9110 section 7.6.1); never set on Host, framing, forwarding
	   and tracing fields, which pass in spite of that. */
	bool nominated;
};

enum http_method {
	HTTP_METHOD_OTHER, /* a token llhttp knows, with no rule of its own here */
	HTTP_METHOD_CONNECT,
	HTTP_METHOD_DELETE,
	HTTP_METHOD_GET,
	HTTP_METHOD_HEAD,
	HTTP_METHOD_OPTIONS,
	HTTP_METHOD_POST,
	HTTP_METHOD_PUT,
	HTTP_METHOD_TRACE,
};

enum http_framing {
	HTTP_BODY_NONE,
	HTTP_BODY_LENGTH,
	HTTP_BODY_CHUNKED,
	HTTP_BODY_UNTIL_CLOSE, /* responses only */
};

enum http_target_form {
	HTTP_TARGET_ORIGIN,
	HTTP_TARGET_ABSOLUTE,
	HTTP_TARGET_ASTERISK,
	HTTP_TARGET_AUTHORITY, /* CONNECT */
};

/*
 * Why a head is refused. http_fault_text() has one sentence for each. Of a response it is never
 * other than SYNTAX, TOO_LARGE or MEMORY.
 */
enum http_fault {
	HTTP_FAULT_NONE,
	HTTP_FAULT_SYNTAX,         /* 400; a response: 502 */
	HTTP_FAULT_HOST,           /* 400: several Host fields, or a value that is no host[:port] */
	HTTP_FAULT_METHOD_UNKNOWN, /* 501: a token that is no method we know */
	HTTP_FAULT_VERSION,        /* 505 */
	HTTP_FAULT_CODING,         /* 501: chunked, but not alone */
	HTTP_FAULT_TARGET_TOO_LONG, /* 414: the start line alone exceeds the limit */
	HTTP_FAULT_TOO_LARGE,       /* 431: bytes or number of fields */
	HTTP_FAULT_MEMORY,          /* 503 */
};

enum http_progress {
	HTTP_MORE, /* all bytes taken; the message goes on */
	HTTP_DONE,
	HTTP_BAD,
};

struct http_limits {
	uint32_t max_head_bytes; /* start line and fields */
	uint32_t max_fields;
};

struct http_head {
	enum http_kind kind;
	enum http_fault fault;

	uint8_t minor;          /* HTTP/1.minor: 0 or 1 */
	bool keep_alive;        /* the sender wants to go on (RFC 9112 section 9.3) */
	bool keep_alive_asked;  /* Connection: keep-alive was said */
	bool expect_continue;   /* and the field goes on: Connection does not name it */
	bool upgrade_websocket; /* request: a valid GET upgrade to websocket; response: 101 to it */
	bool connection_names; /* Connection lists names of fields, which may stand in trailers too */
	bool content_length_known; /* a Content-Length field stood there */
	bool no_body;              /* response: HEAD, 1xx, 204 or 304 */

	/* request */
	enum http_method method;
	enum http_target_form target_form;
	struct http_slice method_text;
	struct http_slice target;
	struct http_slice target_authority; /* absolute form: host[:port] */
	struct http_slice target_path; /* absolute form: what origin form would be; may be empty */
	struct http_slice host;        /* value of the Host field */
	bool host_present;
	struct http_slice request_id;  /* the first X-Request-Id that is not empty */
	struct http_slice traceparent; /* the first one */
	uint32_t traceparent_count;
	uint32_t max_forwards; /* UINT32_MAX: not given, or no OPTIONS and no TRACE */

	/* response */
	uint16_t status;
	struct http_slice reason;
	uint32_t keep_alive_timeout_s; /* Keep-Alive: timeout=N; UINT32_MAX: not given */

	enum http_framing framing;
	uint64_t content_length;

	struct http_field *fields; /* in order, duplicates kept */
	uint32_t field_count;

	uint32_t
		empty_lines; /* request: CRLFs before the start line, skipped (RFC 9112 section 2.2) */
	uint32_t len;        /* HTTP_DONE: whole head with empty_lines and the closing CRLF */

	struct http_reader *reader; /* private */
};

/*
 * Make a head ready to read. May be called again for the next message: what was allocated is
 * used again. The struct must be zero before the first call.
 *
 * request_method    of the request that a response answers (HTTP_METHOD_OTHER for requests)
 * request_upgrade   the request asked for websocket, so that a 101 is welcome
 *
 * Returns false when memory ran out.
 */
bool http_head_init(struct http_head *h, enum http_kind kind, const struct http_limits *limits,
		    enum http_method request_method, bool request_upgrade) MUST_CHECK;
void http_head_fini(struct http_head *h);

/* Between two messages: free what only a large head needed. What was read is not known any more. */
void http_head_slim(struct http_head *h);

/*
 * Read on. bytes[0, len) is everything of the message so far, beginning with its first byte; what an
 * earlier call has seen must be unchanged and is not read again, so that a head that comes byte by
 * byte costs its length once.
 *
 * HTTP_MORE: not the end yet, and len < max_head_bytes. HTTP_DONE: h is filled in, h->len bytes
 * were the head, what follows is the body or the next message. HTTP_BAD: h->fault says why; for a
 * request the method, target and version that had been read are set as far as they are known (for
 * the log), others zero.
 */
enum http_progress http_head_read(struct http_head *h, const char *bytes, size_t len) MUST_CHECK;

/* True once a byte of the start line (anything but CR and LF) was seen. */
bool http_head_started(const struct http_head *h);

/* Bytes of the empty lines, CR LF each, that stand first in bytes[0, len). */
size_t http_empty_lines(const char *bytes, size_t len);

const char *http_fault_text(enum http_fault fault);

static inline const char *http_slice_at(const char *base, struct http_slice s)
{
	return base + s.off;
}

/* RFC 9110 section 9.2.2, as far as known: GET, HEAD, OPTIONS, TRACE, PUT, DELETE. */
bool http_method_idempotent(enum http_method m);

/* First field with that id, or NULL. */
const struct http_field *http_head_find(const struct http_head *h, enum http_field_id id);

#endif
