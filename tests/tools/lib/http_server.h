/*
 * http_server.h -- one HTTP/1.x server connection on a blocking thread, plain or over TLS.
 *
 * Requests are read whole, within bounds, from a socket that the caller owns. Strict: what RFC 9112
 * calls an error is answered as one, since this server stands behind a proxy under test.
 */
#ifndef TESTS_TOOLS_LIB_HTTP_SERVER_H
#define TESTS_TOOLS_LIB_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/attrib.h"
#include "tests/tools/lib/text.h"
#include "tests/tools/lib/tls_stream.h"

#define HTTP_HEAD_MAX   16384
#define HTTP_TARGET_MAX 2048
#define HTTP_FIELD_MAX  512

struct http_conn {
	int fd;
	struct tls_stream *tls; /* the caller's; NULL: plain */
	size_t first;           /* unread bytes are input[first, past) */
	size_t past;
	char input[HTTP_HEAD_MAX];
};

struct http_request {
	char method[32];
	char target[HTTP_TARGET_MAX];
	char host[HTTP_FIELD_MAX]; /* empty: none was sent */
	char content_type[HTTP_FIELD_MAX];
	unsigned minor; /* HTTP/1.minor */
	bool keep_alive;
	bool expect_continue;
	bool chunked;
	bool has_length;
	size_t length;
	struct text body;
};

struct http_reply {
	int status;
	const char *content_type; /* NULL: none */
	const char *allow;        /* of a 405, else NULL */
	const char *body;
	size_t body_len;
	bool head_only;
	bool close;
	unsigned keep_alive_s; /* announced as Keep-Alive: timeout; 0: not */
};

/* What http_request_read() says besides a status of 400 or more. */
enum {
	HTTP_READ_OK = 0,
	HTTP_READ_GONE = -1, /* closed, failed or silent for too long: there is nobody to answer */
};

void http_conn_init(struct http_conn *c, int fd, struct tls_stream *tls);

/*
 * Read the next request. HTTP_READ_OK, HTTP_READ_GONE, or the status to answer with before the
 * connection is closed. `req` is to be given to http_request_fini() in every case.
 *
 * idle_ms   how long to wait for the first byte
 * read_ms   how long to wait for each further read
 * body_max  a longer body is answered with 413
 */
int http_request_read(struct http_conn *c, struct http_request *req, int idle_ms, int read_ms,
		      size_t body_max) MUST_CHECK;
void http_request_fini(struct http_request *req);

/* Head and body in one write where the socket takes it. False: the connection is of no more use. */
bool http_reply_send(struct http_conn *c, unsigned minor, const struct http_reply *reply,
		     int write_ms) MUST_CHECK;

/* After a last answer: tell the peer, read what it still sends for a moment, so that no RST loses it. */
void http_conn_linger(struct http_conn *c, int silent_ms);

#endif
