/*
 * http_server.c -- read a request and write its answer on a blocking thread.
 *
 * Every wait is bounded, every length is checked before it is used. It keeps no state between
 * requests but the bytes read ahead, and never reads a byte past the request from `input`.
 *
 * Invariant: first <= past <= sizeof(input).
 */
#include "tests/tools/lib/http_server.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "tests/tools/lib/http_fields.h"

#define LINGER_ROUNDS 64

void http_conn_init(struct http_conn *c, int fd, struct tls_stream *tls)
{
	c->fd = fd;
	c->tls = tls;
	c->first = 0;
	c->past = 0;
}

static bool wait_for(int fd, short events, int ms)
{
	struct pollfd p = {.fd = fd, .events = events};
	int n;

	do {
		n = poll(&p, 1, ms);
	} while (n < 0 && errno == EINTR);
	return n > 0;
}

static ssize_t conn_read(struct http_conn *c, char *data, size_t len, int ms)
{
	if (c->tls != NULL)
		return tls_stream_read(c->tls, data, len, ms);
	return wait_for(c->fd, POLLIN, ms) ? recv(c->fd, data, len, 0) : -1;
}

/* Read more behind the unread bytes. False: no byte came, or there is no room. */
static bool conn_fill(struct http_conn *c, int ms)
{
	ssize_t n;

	if (c->first > 0) {
		memmove(c->input, c->input + c->first, c->past - c->first);
		c->past -= c->first;
		c->first = 0;
	}
	if (c->past == sizeof(c->input))
		return false;
	n = conn_read(c, c->input + c->past, sizeof(c->input) - c->past, ms);
	if (n <= 0)
		return false;
	c->past += (size_t)n;
	return true;
}

static bool conn_write(struct http_conn *c, const char *data, size_t len, int ms)
{
	if (c->tls != NULL)
		return tls_stream_write(c->tls, data, len, ms) == 0;
	while (len > 0) {
		ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			data += n;
			len -= (size_t)n;
		} else if (errno != EINTR && (errno != EAGAIN || !wait_for(c->fd, POLLOUT, ms))) {
			return false;
		}
	}
	return true;
}

/* ---- the head ---- */

/* Empty lines before a request line are skipped, as RFC 9112 section 2.2 asks. */
static void skip_empty_lines(struct http_conn *c)
{
	while (c->past - c->first >= 2 && memcmp(c->input + c->first, "\r\n", 2) == 0)
		c->first += 2;
}

static int read_head(struct http_conn *c, struct http_request *req, int idle_ms, int read_ms)
{
	for (;;) {
		const char *end;
		size_t head_len;
		int status;

		skip_empty_lines(c);
		end = memmem(c->input + c->first, c->past - c->first, "\r\n\r\n", 4);
		if (end != NULL) {
			head_len = (size_t)(end - (c->input + c->first)) + 2;
			status = http_fields_parse(c->input + c->first, head_len, req);
			c->first += head_len + 2;
			return status;
		}
		if (c->past - c->first == sizeof(c->input))
			return 431;
		if (!conn_fill(c, c->past == c->first ? idle_ms : read_ms))
			return HTTP_READ_GONE;
	}
}

/* ---- the body ---- */

static int read_counted(struct http_conn *c, struct http_request *req, size_t length, int ms)
{
	while (length > 0) {
		size_t have = c->past - c->first;
		size_t n = have < length ? have : length;

		if (n == 0) {
			if (!conn_fill(c, ms))
				return HTTP_READ_GONE;
			continue;
		}
		text_add(&req->body, c->input + c->first, n);
		if (req->body.failed)
			return 413;
		c->first += n;
		length -= n;
	}
	return HTTP_READ_OK;
}

/* A line without its CR LF, in place; NULL with *status set. */
static char *read_line(struct http_conn *c, int ms, int *status)
{
	for (;;) {
		char *line = c->input + c->first;
		char *end = memchr(line, '\n', c->past - c->first);

		if (end != NULL) {
			c->first += (size_t)(end - line) + 1;
			if (end == line || end[-1] != '\r') {
				*status = 400;
				return NULL;
			}
			end[-1] = '\0';
			return line;
		}
		if (c->past - c->first == sizeof(c->input)) {
			*status = 400;
			return NULL;
		}
		if (!conn_fill(c, ms)) {
			*status = HTTP_READ_GONE;
			return NULL;
		}
	}
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

/* The size of a chunk; anything behind a semicolon or a blank is an extension and ignored. */
static bool chunk_size(const char *line, size_t *size)
{
	size_t digits = 0;

	*size = 0;
	while (hex_digit(line[digits]) >= 0 && digits < 8) {
		*size = *size * 16 + (size_t)hex_digit(line[digits]);
		digits++;
	}
	return digits > 0 && (line[digits] == '\0' || strchr("; \t", line[digits]) != NULL);
}

static int read_trailers(struct http_conn *c, int ms)
{
	for (size_t lines = 0; lines < 100; lines++) {
		int status = 0;
		const char *line = read_line(c, ms, &status);

		if (line == NULL)
			return status;
		if (*line == '\0')
			return HTTP_READ_OK;
	}
	return 431;
}

static int read_chunked(struct http_conn *c, struct http_request *req, int ms)
{
	for (;;) {
		int status = 0;
		const char *line = read_line(c, ms, &status);
		size_t size;

		if (line == NULL)
			return status;
		if (!chunk_size(line, &size))
			return 400;
		if (size == 0)
			return read_trailers(c, ms);
		status = read_counted(c, req, size, ms);
		if (status != HTTP_READ_OK)
			return status;
		line = read_line(c, ms, &status);
		if (line == NULL)
			return status;
		if (*line != '\0')
			return 400;
	}
}

static int read_body(struct http_conn *c, struct http_request *req, int read_ms, size_t body_max)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

	if (!req->chunked && req->length == 0)
		return HTTP_READ_OK;
	if (!req->chunked && req->length > body_max)
		return 413;
	if (req->expect_continue && req->minor > 0 && c->first == c->past &&
	    !conn_write(c, go_on, sizeof(go_on) - 1, read_ms))
		return HTTP_READ_GONE;
	if (req->chunked)
		return read_chunked(c, req, read_ms);
	return read_counted(c, req, req->length, read_ms);
}

int http_request_read(struct http_conn *c, struct http_request *req, int idle_ms, int read_ms,
		      size_t body_max)
{
	int status;

	memset(req, 0, sizeof(*req));
	text_init(&req->body, body_max);
	status = read_head(c, req, idle_ms, read_ms);
	if (status != HTTP_READ_OK)
		return status;
	return read_body(c, req, read_ms, body_max);
}

void http_request_fini(struct http_request *req)
{
	text_fini(&req->body);
}

/* ---- the answer ---- */

static const char *status_phrase(int status)
{
	static const struct {
		int status;
		const char *phrase;
	} table[] = {
		{200, "OK"},
		{400, "Bad Request"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{413, "Content Too Large"},
		{414, "URI Too Long"},
		{417, "Expectation Failed"},
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{503, "Service Unavailable"},
		{505, "HTTP Version Not Supported"},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (table[i].status == status)
			return table[i].phrase;
	}
	return "Unknown";
}

static void write_date(struct text *head)
{
	char date[64];
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	text_format(head, "Date: %s\r\n", date);
}

static void write_head(struct text *head, unsigned minor, const struct http_reply *reply)
{
	text_format(head, "HTTP/1.1 %d %s\r\n", reply->status, status_phrase(reply->status));
	write_date(head);
	text_put(head, "Server: currency-backend\r\n");
	if (reply->allow != NULL)
		text_format(head, "Allow: %s\r\n", reply->allow);
	if (reply->content_type != NULL)
		text_format(head, "Content-Type: %s\r\n", reply->content_type);
	text_format(head, "Content-Length: %zu\r\n", reply->body_len);
	if (reply->close)
		text_put(head, "Connection: close\r\n");
	else if (minor == 0)
		text_put(head, "Connection: keep-alive\r\n");
	if (!reply->close && reply->keep_alive_s > 0)
		text_format(head, "Keep-Alive: timeout=%u\r\n", reply->keep_alive_s);
	text_put(head, "\r\n");
}

bool http_reply_send(struct http_conn *c, unsigned minor, const struct http_reply *reply,
		     int write_ms)
{
	struct text message;
	bool sent = false;

	text_init(&message, 0);
	write_head(&message, minor, reply);
	if (!reply->head_only)
		text_add(&message, reply->body, reply->body_len);
	if (!message.failed)
		sent = conn_write(c, message.data, message.len, write_ms);
	text_fini(&message);
	return sent;
}

void http_conn_linger(struct http_conn *c, int silent_ms)
{
	char discarded[4096];

	if (c->tls != NULL)
		tls_stream_end(c->tls);
	shutdown(c->fd, SHUT_WR);
	for (int i = 0; i < LINGER_ROUNDS && wait_for(c->fd, POLLIN, silent_ms); i++) {
		if (recv(c->fd, discarded, sizeof(discarded), 0) <= 0)
			return;
	}
}
