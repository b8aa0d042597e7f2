/*
 * log_reader.c -- proxy.ndjson, line by line: the proxy's own form by log_line.c, any other by
 * jansson.
 *
 * Invariant: of a line either everything is right, or nothing of it is passed on.
 */
#include "trace/log_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "common/clock.h"
#include "trace/log_line.h"

#define READ_BYTES   (128UL * 1024) /* what stays in a cache until it is looked at */
#define BUFFER_BYTES (LOG_LINE_MAX + 256UL * 1024)

struct log_reader {
	int fd;
	char *path;
	char *buf; /* BUFFER_BYTES; what was read and not yet given out stands in [at, end) */
	size_t at;
	size_t end;
	int error; /* errno of the read that failed */
	bool is_at_eof;
	uint64_t number;
	bool is_torn;
	bool is_over;
};

/* Where in the line we are, and what was wrong first. */
struct parse {
	char *err;
	bool failed;
	char where[48]; /* the object: "client." */
};

static void PRINTF_LIKE(3, 4) fail(struct parse *p, const char *key, const char *fmt, ...)
{
	va_list args;
	size_t len;

	if (p->failed)
		return;
	p->failed = true;
	len = (size_t)snprintf(p->err, LOG_ERROR_MAX, "%s%s: ", p->where, key);
	va_start(args, fmt);
	vsnprintf(p->err + len, LOG_ERROR_MAX - len, fmt, args);
	va_end(args);
}

/* ---- values ---------------------------------------------------------------------------------- */

static const json_t *member(struct parse *p, const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	if (v == NULL)
		fail(p, key, "missing");
	return v;
}

static uint64_t get_number(struct parse *p, const json_t *o, const char *key, uint64_t low,
			   uint64_t high)
{
	const json_t *v = member(p, o, key);

	if (v == NULL)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0 ||
	    (uint64_t)json_integer_value(v) < low || (uint64_t)json_integer_value(v) > high) {
		fail(p, key, "a whole number from %llu to %llu is expected",
		     (unsigned long long)low, (unsigned long long)high);
		return 0;
	}
	return (uint64_t)json_integer_value(v);
}

static uint64_t get_hex(struct parse *p, const json_t *o, const char *key, size_t least,
			size_t most)
{
	const json_t *v = member(p, o, key);
	const char *text = json_string_value(v);
	size_t len = json_string_length(v);

	if (v == NULL)
		return 0;
	if (text == NULL || len < least || len > most ||
	    strspn(text, "0123456789abcdefABCDEF") != len) {
		fail(p, key, "hexadecimal digits are expected");
		return 0;
	}
	return strtoull(text, NULL, 16);
}

static uint64_t get_clock(struct parse *p, const json_t *o, const char *key)
{
	const json_t *v = member(p, o, key);
	uint64_t ns = 0;

	if (v == NULL)
		return 0;
	if (!json_is_string(v) || !clock_parse(json_string_value(v), json_string_length(v), &ns))
		fail(p, key, "a time like 2026-11-23T08:15:04.123456789Z is expected");
	return ns;
}

static void get_word(struct parse *p, const json_t *o, const char *key, char out[24])
{
	const json_t *v = member(p, o, key);
	size_t len = json_string_length(v);

	if (v == NULL)
		return;
	if (!json_is_string(v) || len == 0 || len >= 24 || strlen(json_string_value(v)) != len) {
		fail(p, key, "a word of at most 23 characters is expected");
		return;
	}
	memcpy(out, json_string_value(v), len);
}

static void get_addr(struct parse *p, const json_t *o, const char *key, struct addr *out)
{
	const json_t *v = member(p, o, key);

	if (v == NULL || json_is_null(v))
		return;
	if (!json_is_string(v) || !addr_parse(json_string_value(v), json_string_length(v), out))
		fail(p, key, "an address with port is expected");
}

static struct byte_range get_range(struct parse *p, const json_t *o, const char *key)
{
	const json_t *v = member(p, o, key);
	const json_t *first = json_array_get(v, 0), *past = json_array_get(v, 1);

	if (v == NULL || json_is_null(v))
		return byte_range_none();
	if (json_array_size(v) != 2 || !json_is_integer(first) || !json_is_integer(past) ||
	    json_integer_value(first) < 0 ||
	    json_integer_value(past) <= json_integer_value(first) ||
	    json_integer_value(past) > INT64_MAX / 2) {
		fail(p, key, "null or [first, past the last] is expected");
		return byte_range_none();
	}
	return (struct byte_range){(uint64_t)json_integer_value(first),
				   (uint64_t)json_integer_value(past)};
}

static void get_text(struct parse *p, const json_t *o, const char *key)
{
	const json_t *v = member(p, o, key);

	if (v != NULL && !json_is_string(v) && !json_is_null(v))
		fail(p, key, "null or a text is expected");
}

static bool get_bool(struct parse *p, const json_t *o, const char *key)
{
	const json_t *v = member(p, o, key);

	if (v != NULL && !json_is_boolean(v))
		fail(p, key, "true or false is expected");
	return json_is_true(v);
}

/* ---- objects --------------------------------------------------------------------------------- */

static const json_t *enter(struct parse *p, const json_t *o, const char *key)
{
	const json_t *v = member(p, o, key);

	if (v != NULL && !json_is_object(v)) {
		fail(p, key, "an object is expected");
		return NULL;
	}
	if (v != NULL)
		snprintf(p->where, sizeof(p->where), "%s.", key);
	return v;
}

static void leave(struct parse *p)
{
	p->where[0] = '\0';
}

static void clear_leg(struct leg_record *leg)
{
	*leg = (struct leg_record){.request = byte_range_none(),
				   .interim = byte_range_none(),
				   .response = byte_range_none(),
				   .tunnel_up = byte_range_none(),
				   .tunnel_down = byte_range_none()};
}

/* What a leg and a try have in common. */
static void get_leg_head(struct parse *p, const json_t *o, struct leg_record *leg)
{
	clear_leg(leg);
	leg->conn = get_number(p, o, "conn", 1, INT64_MAX);
	leg->nth = (uint32_t)get_number(p, o, "nth", 1, UINT32_MAX);
	get_addr(p, o, "local", &leg->local);
	get_addr(p, o, "peer", &leg->peer);
	leg->request = get_range(p, o, "request");
	leg->response = get_range(p, o, "response");
}

static uint16_t get_tls_version(struct parse *p, const json_t *o)
{
	const json_t *v = member(p, o, "version");
	const char *text = json_string_value(v);

	if (v == NULL || json_is_null(v))
		return 0;
	if (text != NULL && strcmp(text, "1.3") == 0)
		return TLS_VERSION_13;
	if (text == NULL || strcmp(text, "1.2") != 0)
		fail(p, "tls.version", "null, \"1.2\" or \"1.3\" is expected");
	return TLS_VERSION_12;
}

static void get_tls(struct parse *p, const json_t *leg, enum tap_leg which, struct log_tls *tls)
{
	static const char *const keys[TLS_MARK_COUNT] = {"client_hello", "server_hello",
							 "server_finished", "client_finished"};
	const json_t *o = json_object_get(leg, "tls");
	struct tls_marks *m = &tls->marks[which];

	if (o == NULL || json_is_null(o))
		return;
	if (!json_is_object(o)) {
		fail(p, "tls", "null or an object is expected");
		return;
	}
	tls->is_there[which] = true;
	m->version = get_tls_version(p, o);
	m->resumed = get_bool(p, o, "resumed");
	get_text(p, o, "error");
	for (unsigned i = 0; i < TLS_MARK_COUNT; i++)
		m->at[i] = get_range(p, o, keys[i]);
	m->failed = json_is_string(json_object_get(o, "error")) && !tls_marks_complete(m);
}

static void get_leg(struct parse *p, const json_t *o, struct leg_record *leg)
{
	const json_t *tunnel = json_object_get(o, "tunnel");

	get_leg_head(p, o, leg);
	leg->opened_ns = get_clock(p, o, "opened");
	leg->interim = get_range(p, o, "interim");
	if (json_is_object(tunnel)) {
		leg->tunnel_up = get_range(p, tunnel, "up");
		leg->tunnel_down = get_range(p, tunnel, "down");
	} else if (tunnel != NULL && !json_is_null(tunnel)) {
		fail(p, "tunnel", "an object is expected");
	}
}

static void get_tries(struct parse *p, const json_t *backend, struct exchange_record *x)
{
	const json_t *tries = member(p, backend, "tries");
	size_t count = json_array_size(tries);

	if (tries == NULL)
		return;
	if (!json_is_array(tries) || count > ARRAY_LEN(x->tries)) {
		fail(p, "tries", "an array of at most %zu is expected", ARRAY_LEN(x->tries));
		return;
	}
	for (size_t i = 0; i < count; i++) {
		const json_t *o = json_array_get(tries, i);

		if (!json_is_object(o)) {
			fail(p, "tries", "an array of objects is expected");
			return;
		}
		snprintf(p->where, sizeof(p->where), "backend.tries[%zu].", i);
		get_leg_head(p, o, &x->tries[i].leg);
		x->tries[i].leg.reused = x->tries[i].leg.nth > 1;
		get_word(p, o, "end", x->tries[i].end);
	}
	x->tries_count = (uint8_t)count;
}

static void get_client(struct parse *p, const json_t *line, struct exchange_record *x,
		       struct log_tls *tls)
{
	const json_t *o = enter(p, line, "client");

	if (o != NULL) {
		get_leg(p, o, &x->client);
		get_tls(p, o, TAP_CLIENT, tls);
	}
	leave(p);
}

static void get_backend(struct parse *p, const json_t *line, struct exchange_record *x,
			struct log_tls *tls)
{
	const json_t *o;

	clear_leg(&x->backend);
	if (json_is_null(member(p, line, "backend")))
		return;
	o = enter(p, line, "backend");
	if (o != NULL) {
		get_leg(p, o, &x->backend);
		get_tls(p, o, TAP_BACKEND, tls);
		x->backend.reused = get_bool(p, o, "reused");
		x->attempts = (uint8_t)get_number(p, o, "attempts", 1, UINT8_MAX);
		get_tries(p, o, x);
	}
	leave(p);
}

static void get_moments(struct parse *p, const json_t *line, struct exchange_record *x)
{
	static const char *const keys[MOMENT_COUNT] = {
		"request_end",          "backend_ready",
		"backend_request_end",  "backend_response_start",
		"backend_response_end", "response_end"};
	const json_t *o = enter(p, line, "at_us");

	for (unsigned i = 0; i < MOMENT_COUNT && o != NULL; i++) {
		if (json_is_null(json_object_get(o, keys[i])))
			x->at_us[i] = MOMENT_NEVER;
		else
			x->at_us[i] = (int64_t)get_number(p, o, keys[i], 0, INT64_MAX / 1000000);
	}
	leave(p);
}

static void get_bytes(struct parse *p, const json_t *line, struct exchange_record *x)
{
	const json_t *o = enter(p, line, "bytes");

	if (o != NULL) {
		x->request_body_bytes = get_number(p, o, "request_body", 0, INT64_MAX);
		x->response_body_bytes = get_number(p, o, "response_body", 0, INT64_MAX);
	}
	leave(p);
}

static void get_line(struct parse *p, const json_t *line, struct exchange_record *x,
		     struct log_tls *tls)
{
	*x = (struct exchange_record){0};
	memset(tls, 0, sizeof(*tls));
	(void)get_number(p, line, "v", 1, 1);
	/* null: analyze has written the line from packets, no proxy ran */
	if (!json_is_null(json_object_get(line, "run")))
		x->run = (uint32_t)get_hex(p, line, "run", 1, 8);
	x->id = get_hex(p, line, "id", 16, 16);
	x->start_ns = get_clock(p, line, "start");
	get_text(p, line, "method");
	get_text(p, line, "target");
	if (!json_is_null(json_object_get(line, "status")))
		x->status = (uint16_t)get_number(p, line, "status", 100, 999);
	get_word(p, line, "end", x->end);
	get_client(p, line, x, tls);
	get_backend(p, line, x, tls);
	get_moments(p, line, x);
	get_bytes(p, line, x);
}

bool log_line_parse_json(const char *line, size_t len, struct exchange_record *x,
			 struct log_tls *tls, char err[LOG_ERROR_MAX])
{
	struct parse p = {.err = err};
	json_error_t why;
	json_t *o = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);

	if (o == NULL) {
		snprintf(err, LOG_ERROR_MAX, "no JSON at column %d: %s", why.column, why.text);
		return false;
	}
	if (json_is_object(o))
		get_line(&p, o, x, tls);
	else
		fail(&p, "line", "an object is expected");
	json_decref(o);
	return !p.failed;
}

bool log_line_parse(const char *line, size_t len, struct exchange_record *x, struct log_tls *tls,
		    char err[LOG_ERROR_MAX])
{
	return log_line_read(line, len, x, tls) || log_line_parse_json(line, len, x, tls, err);
}

/* ---- the file -------------------------------------------------------------------------------- */

struct log_reader *log_reader_open(const char *path, char err[LOG_ERROR_MAX])
{
	struct log_reader *r = calloc(1, sizeof(*r));

	if (r != NULL) {
		r->fd = -1;
		r->path = strdup(path);
		r->buf = malloc(BUFFER_BYTES);
	}
	if (r == NULL || r->path == NULL || r->buf == NULL) {
		snprintf(err, LOG_ERROR_MAX, "%s: no memory", path);
		log_reader_close(r);
		return NULL;
	}
	r->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (r->fd < 0) {
		snprintf(err, LOG_ERROR_MAX, "%s: %s", path, strerror(errno));
		log_reader_close(r);
		return NULL;
	}
	return r;
}

void log_reader_close(struct log_reader *r)
{
	if (r == NULL)
		return;
	if (r->fd >= 0)
		close(r->fd);
	free(r->path);
	free(r->buf);
	free(r);
}

bool log_reader_is_torn(const struct log_reader *r)
{
	return r->is_torn;
}

uint64_t log_reader_number(const struct log_reader *r)
{
	return r->number;
}

static enum log_result broken(struct log_reader *r, const char *why, char err[LOG_ERROR_MAX])
{
	r->is_over = true;
	snprintf(err, LOG_ERROR_MAX, "%s:%llu: %.400s", r->path, (unsigned long long)r->number,
		 why);
	return LOG_BROKEN;
}

/* More bytes behind those in the buffer. False: there are none, or they cannot be read. */
static bool read_more(struct log_reader *r)
{
	ssize_t n;

	memmove(r->buf, r->buf + r->at, r->end - r->at);
	r->end -= r->at;
	r->at = 0;
	do
		n = read(r->fd, r->buf + r->end, MIN(BUFFER_BYTES - r->end, READ_BYTES));
	while (n < 0 && errno == EINTR);
	r->error = n < 0 ? errno : 0;
	r->is_at_eof = n == 0;
	r->end += n > 0 ? (size_t)n : 0;
	return n > 0;
}

/* The next line with its newline, if it has one; LOG_LINE_MAX bytes of a longer one. */
static const char *find_line(struct log_reader *r, size_t *len)
{
	const char *newline = NULL;
	size_t seen = 0;

	for (;;) {
		size_t have = MIN(r->end - r->at, LOG_LINE_MAX);

		if (have > seen)
			newline = memchr(r->buf + r->at + seen, '\n', have - seen);
		seen = have;
		if (newline != NULL)
			seen = (size_t)(newline + 1 - (r->buf + r->at));
		if (newline != NULL || seen == LOG_LINE_MAX || r->is_at_eof || !read_more(r))
			break;
	}
	*len = seen;
	r->at += seen;
	return r->buf + r->at - seen;
}

enum log_result log_reader_line(struct log_reader *r, const char **line, size_t *len,
				char err[LOG_ERROR_MAX])
{
	*len = 0;
	if (r->is_over)
		return LOG_END;
	r->number++;
	*line = find_line(r, len);
	if (r->error != 0)
		return broken(r, strerror(r->error), err);
	if (*len == LOG_LINE_MAX && (*line)[*len - 1] != '\n')
		return broken(r, "the line is too long", err);
	if (*len > 0)
		return LOG_RECORD;
	r->is_over = true;
	return LOG_END;
}

enum log_result log_reader_next(struct log_reader *r, struct exchange_record *x,
				struct log_tls *tls, char err[LOG_ERROR_MAX])
{
	char why[LOG_ERROR_MAX];
	const char *line;
	size_t len;
	enum log_result result = log_reader_line(r, &line, &len, err);

	if (result != LOG_RECORD || log_line_parse(line, len, x, tls, why))
		return result;
	if (line[len - 1] == '\n')
		return broken(r, why, err);
	r->is_over = true;
	r->is_torn = true;
	return LOG_END;
}
