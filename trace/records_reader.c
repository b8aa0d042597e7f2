/*
 * records_reader.c -- from lines of NDJSON to the rows that `flowtrace show` prints.
 *
 * The lines come from outside: every member's type is looked at, and a number that does not fit is
 * as if it were null. Nothing is kept between lines but the buffer.
 *
 * Invariant: the buffer's bytes [at, used) are read and not yet given out.
 */
#include "trace/records_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "trace/json_tree.h"
#include "trace/tls_finding.h"

#define READ_BYTES (256u << 10)

/* ---- members ---- */

static uint64_t get_u64(const struct json_node *o, const char *key)
{
	int64_t v = json_tree_integer(json_tree_get(o, key));

	return v > 0 ? (uint64_t)v : 0;
}

static int64_t get_i64(const struct json_node *o, const char *key, int64_t missing)
{
	const struct json_node *v = json_tree_get(o, key);

	return json_tree_is(v, JSON_TREE_INTEGER) ? v->integer : missing;
}

static uint32_t get_frame(const struct json_node *o, const char *key)
{
	uint64_t frame = get_u64(o, key);

	return frame <= UINT32_MAX ? (uint32_t)frame : 0;
}

/* False when it is no string or longer than cap - 1. */
static bool get_word(const struct json_node *o, const char *key, char *out, size_t cap)
{
	const struct json_node *v = json_tree_get(o, key);

	out[0] = '\0';
	if (!json_tree_is(v, JSON_TREE_STRING) || v->len >= cap)
		return false;
	memcpy(out, v->text, v->len);
	out[v->len] = '\0';
	return true;
}

/* A copy; bytes behind a NUL are left out. */
static char *get_text(const struct json_node *o, const char *key)
{
	const struct json_node *v = json_tree_get(o, key);

	return json_tree_is(v, JSON_TREE_STRING) ? strndup(v->text, v->len) : NULL;
}

/* A string's text, another value as JSON; NULL when there is nothing in it. */
static char *get_value(const struct json_node *o, const char *key)
{
	const struct json_node *v = json_tree_get(o, key);

	if (json_tree_is(v, JSON_TREE_STRING))
		return get_text(o, key);
	if (v == NULL || v->type == JSON_TREE_NULL ||
	    (v->type >= JSON_TREE_ARRAY && v->first == NULL))
		return NULL;
	return json_tree_text(v);
}

static uint64_t get_clock(const struct json_node *o, const char *key)
{
	const struct json_node *v = json_tree_get(o, key);
	uint64_t ns = 0;

	if (!json_tree_is(v, JSON_TREE_STRING) || !clock_parse(v->text, v->len, &ns))
		return 0;
	return ns;
}

static void get_addr(const struct json_node *o, const char *key, struct addr *a)
{
	const struct json_node *v = json_tree_get(o, key);

	if (!json_tree_is(v, JSON_TREE_STRING) || !addr_parse(v->text, v->len, a))
		memset(a, 0, sizeof(*a));
}

/* Ascending frame numbers; others are left out, so that the list may be searched. False: no memory. */
static bool get_frames(const struct json_node *o, const char *key, struct frame_list *out)
{
	const struct json_node *v = json_tree_get(o, key);
	uint32_t newest = 0;

	if (!json_tree_is(v, JSON_TREE_ARRAY))
		return true;
	for (v = v->first; v != NULL; v = v->next) {
		int64_t frame = json_tree_integer(v);

		if (frame > newest && frame <= UINT32_MAX) {
			newest = (uint32_t)frame;
			if (!frame_list_add(out, newest))
				return false;
		}
	}
	return true;
}

/* ---- a leg ---- */

static void part_fini(struct row_part *p)
{
	frame_list_fini(&p->frames);
	frame_list_fini(&p->retransmitted_in);
}

static void tls_fini(struct row_tls *t)
{
	for (int i = 0; i < TLS_MARK_COUNT; i++)
		frame_list_fini(&t->at[i].frames);
}

static void leg_fini(struct row_leg *l)
{
	frame_list_fini(&l->handshake.frames);
	tls_fini(&l->tls);
	for (int k = 0; k < PART_KINDS; k++)
		part_fini(&l->part[k]);
	for (unsigned i = 0; i < l->label_count; i++)
		frame_list_fini(&l->labels[i].frames);
	frame_list_fini(&l->close.frames);
}

/* These answer false when memory ran out. */

static bool parse_part(const struct json_node *leg, const char *key, struct row_part *out)
{
	const struct json_node *o = json_tree_get(leg, key);

	out->seq = get_u64(o, "seq");
	out->len = get_u64(o, "len");
	out->there = out->seq > 0 && out->len > 0 && out->len < UINT64_MAX - out->seq;
	if (!out->there)
		return true;
	out->next_seq = out->seq + out->len;
	out->acked_in = get_frame(o, "acked_in");
	out->acked_us = get_i64(o, "acked_us", 0);
	out->retransmitted_bytes = get_u64(o, "retransmitted_bytes");
	out->missing_bytes = get_u64(o, "missing_bytes");
	return get_frames(o, "frames", &out->frames) &&
	       get_frames(o, "retransmitted_in", &out->retransmitted_in);
}

static bool parse_handshake(const struct json_node *leg, struct row_handshake *out)
{
	const struct json_node *o = json_tree_get(leg, "handshake");

	out->there = json_tree_is(o, JSON_TREE_OBJECT);
	out->us = get_i64(o, "us", -1);
	return get_frames(o, "frames", &out->frames);
}

static uint16_t get_tls_version(const struct json_node *o)
{
	static const uint16_t versions[] = {TLS_VERSION_12, TLS_VERSION_13};
	char word[ROW_WORD_MAX];

	(void)get_word(o, "version", word, sizeof(word));
	for (size_t i = 0; i < ARRAY_LEN(versions); i++)
		if (strcmp(word, tls_version_word(versions[i])) == 0)
			return versions[i];
	return 0;
}

static bool parse_tls(const struct json_node *leg, struct row_tls *out)
{
	const struct json_node *o = json_tree_get(leg, "tls");

	out->there = json_tree_is(o, JSON_TREE_OBJECT);
	out->version = get_tls_version(o);
	out->resumed = json_tree_is(json_tree_get(o, "resumed"), JSON_TREE_TRUE);
	out->failed = json_tree_is(json_tree_get(o, "failed"), JSON_TREE_TRUE);
	out->us = get_i64(o, "us", -1);
	for (int i = 0; i < TLS_MARK_COUNT; i++) {
		const struct json_node *message = json_tree_get(o, tls_mark_word(i));

		out->at[i].us = get_i64(message, "us", -1);
		if (!get_frames(message, "frames", &out->at[i].frames))
			return false;
	}
	return true;
}

static bool parse_close(const struct json_node *leg, struct row_close *out)
{
	const struct json_node *o = json_tree_get(leg, "close");

	out->there = json_tree_is(o, JSON_TREE_OBJECT) &&
		     get_word(o, "by", out->by, sizeof(out->by)) &&
		     get_word(o, "how", out->how, sizeof(out->how));
	return get_frames(o, "frames", &out->frames);
}

static bool parse_parts(const struct json_node *leg, struct row_part parts[PART_KINDS])
{
	const struct json_node *tunnel = json_tree_get(leg, "tunnel");

	return parse_part(leg, "request", &parts[PART_REQUEST]) &&
	       parse_part(leg, "interim", &parts[PART_INTERIM]) &&
	       parse_part(leg, "response", &parts[PART_RESPONSE]) &&
	       parse_part(tunnel, "up", &parts[PART_TUNNEL_UP]) &&
	       parse_part(tunnel, "down", &parts[PART_TUNNEL_DOWN]);
}

static bool is_label(const char *word, size_t len)
{
	if (len == 0 || len >= ROW_WORD_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((word[i] < 'a' || word[i] > 'z') && word[i] != '-')
			return false;
	return true;
}

/* A word that is none of ours, or too long for one, is left out. */
static bool parse_labels(const struct json_node *leg, struct row_leg *out)
{
	const struct json_node *v = json_tree_get(leg, "labels");

	if (!json_tree_is(v, JSON_TREE_OBJECT))
		return true;
	for (v = v->first; v != NULL && out->label_count < ROW_LABELS_MAX; v = v->next) {
		struct row_label *l = &out->labels[out->label_count];

		if (!is_label(v->key, v->key_len))
			continue;
		out->label_count++;
		memcpy(l->word, v->key, v->key_len);
		l->word[v->key_len] = '\0';
		l->count = get_u64(v, "count");
		if (!get_frames(v, "frames", &l->frames))
			return false;
	}
	return true;
}

static bool parse_leg(const struct json_node *o, struct row_leg *out)
{
	out->stream = -1;
	out->there = json_tree_is(o, JSON_TREE_OBJECT);
	if (!out->there)
		return true;
	out->conn = get_u64(o, "conn");
	out->nth = get_u64(o, "nth");
	out->attempts = get_u64(o, "attempts");
	out->reused = json_tree_is(json_tree_get(o, "reused"), JSON_TREE_TRUE);
	out->stream = get_i64(o, "stream", -1);
	(void)get_word(o, "anchor", out->anchor, sizeof(out->anchor));
	(void)get_word(o, "end", out->end, sizeof(out->end));
	return parse_handshake(o, &out->handshake) && parse_tls(o, &out->tls) &&
	       parse_parts(o, out->part) && parse_labels(o, out) && parse_close(o, &out->close);
}

static bool parse_tries(const struct json_node *backend, struct flow_row *row)
{
	const struct json_node *v = json_tree_first(json_tree_get(backend, "tries"));

	for (; v != NULL && row->tries_count < ROW_TRIES_MAX; v = v->next)
		if (!parse_leg(v, &row->tries[row->tries_count++]))
			return false;
	return true;
}

/* ---- rows ---- */

static bool refuse(char err[ROW_ERROR_MAX], const char *why)
{
	snprintf(err, ROW_ERROR_MAX, "%s", why);
	return false;
}

/* The line is an object. */
static bool load_object(struct json_tree *t, const char *line, size_t len, char err[ROW_ERROR_MAX])
{
	if (!json_tree_read(t, line, len, err))
		return false;
	if (json_tree_is(t->root, JSON_TREE_OBJECT))
		return true;
	json_tree_free(t);
	return refuse(err, "not a JSON object");
}

static bool is_id(const char *id)
{
	return id[0] != '\0' && strspn(id, "0123456789abcdef") == strlen(id);
}

static int64_t get_us(const struct json_node *o, const char *key)
{
	int64_t us = get_i64(o, key, PHASE_UNKNOWN);

	return us >= 0 ? us : PHASE_UNKNOWN;
}

static void parse_phases(const struct json_node *o, struct flow_row *row)
{
	const struct json_node *p = json_tree_get(o, "phases_us");

	row->total_us = get_us(p, "total");
	for (int i = 0; i < PHASES; i++) {
		row->phases_us[i] = get_us(p, phase_word((enum phase)i));
		if (row->phases_us[i] == PHASE_UNKNOWN)
			row->total_us = PHASE_UNKNOWN;
	}
	p = json_tree_get(o, "lost_us");
	for (int i = 0; i < PHASES; i++) {
		const struct json_node *lost = json_tree_get(p, phase_word((enum phase)i));

		for (unsigned kind = 0; kind < WAIT_KINDS; kind++)
			row->lost_us[i][kind] = get_i64(lost, wait_word(kind), 0);
	}
}

void flow_row_fini(struct flow_row *row)
{
	leg_fini(&row->client);
	leg_fini(&row->backend);
	for (unsigned i = 0; i < row->tries_count; i++)
		leg_fini(&row->tries[i]);
	free(row->dump);
	free(row->phases_why);
	free(row->overlap);
	free(row->verdict);
	memset(row, 0, sizeof(*row));
}

bool flow_row_parse(const char *line, size_t len, struct flow_row *row, char err[ROW_ERROR_MAX])
{
	const struct json_node *o;
	struct json_tree tree;
	bool fine, room = true;

	flow_row_fini(row);
	if (!load_object(&tree, line, len, err))
		return false;
	o = tree.root;
	fine = get_word(o, "id", row->id, sizeof(row->id)) && is_id(row->id);
	if (fine) {
		(void)get_word(o, "run", row->run, sizeof(row->run));
		(void)get_word(o, "end", row->end, sizeof(row->end));
		row->dump = get_text(o, "dump");
		row->start_ns = get_clock(o, "start");
		row->status = (unsigned)MIN(get_u64(o, "status"), 999);
		room = parse_leg(json_tree_get(o, "client"), &row->client) &&
		       parse_leg(json_tree_get(o, "backend"), &row->backend) &&
		       parse_tries(json_tree_get(o, "backend"), row);
		parse_phases(o, row);
		row->phases_why = get_text(o, "phases_why");
		row->overlap = get_value(o, "overlap");
		row->verdict = get_value(o, "verdict");
		row->drops = get_u64(o, "drops");
	}
	json_tree_free(&tree);
	if (fine && room)
		return true;
	flow_row_fini(row);
	return refuse(err, room ? "no \"id\" of hexadecimal digits in it" : "no memory");
}

void conn_row_fini(struct conn_row *row)
{
	frame_list_fini(&row->handshake.frames);
	tls_fini(&row->tls);
	frame_list_fini(&row->close.frames);
	free(row->dump);
	memset(row, 0, sizeof(*row));
}

bool conn_row_parse(const char *line, size_t len, struct conn_row *row, char err[ROW_ERROR_MAX])
{
	const struct json_node *o;
	struct json_tree tree;
	char leg[ROW_WORD_MAX];
	bool fine, room = true;

	conn_row_fini(row);
	if (!load_object(&tree, line, len, err))
		return false;
	o = tree.root;
	fine = get_word(o, "leg", leg, sizeof(leg)) &&
	       (strcmp(leg, "client") == 0 || strcmp(leg, "backend") == 0);
	if (fine) {
		row->leg = leg[0] == 'c' ? TAP_CLIENT : TAP_BACKEND;
		(void)get_word(o, "run", row->run, sizeof(row->run));
		row->conn = get_u64(o, "conn");
		row->stream = get_i64(o, "stream", -1);
		row->dump = get_text(o, "dump");
		get_addr(o, "local", &row->local);
		get_addr(o, "peer", &row->peer);
		(void)get_word(o, "anchor", row->anchor, sizeof(row->anchor));
		(void)get_word(o, "history", row->history, sizeof(row->history));
		room = parse_handshake(o, &row->handshake) && parse_tls(o, &row->tls) &&
		       parse_close(o, &row->close);
		row->exchanges = get_u64(o, "exchanges");
	}
	json_tree_free(&tree);
	if (fine && room)
		return true;
	conn_row_fini(row);
	return refuse(err, room ? "no \"leg\" in it" : "no memory");
}

/* The last moment that came, in microseconds since start. */
static uint64_t last_moment_us(const struct json_node *o)
{
	const struct json_node *v = json_tree_first(json_tree_get(o, "at_us"));
	uint64_t last = 0;

	for (; v != NULL; v = v->next)
		if (json_tree_integer(v) > 0)
			last = MAX(last, (uint64_t)json_tree_integer(v));
	return last;
}

void proxy_row_fini(struct proxy_row *row)
{
	free(row->method);
	free(row->target);
	free(row->host);
	free(row->version);
	free(row->request_id);
	free(row->soap_action);
	memset(row, 0, sizeof(*row));
}

bool proxy_row_parse(const char *line, size_t len, struct proxy_row *row, char err[ROW_ERROR_MAX])
{
	const struct json_node *o;
	struct json_tree tree;
	bool fine;

	proxy_row_fini(row);
	if (!load_object(&tree, line, len, err))
		return false;
	o = tree.root;
	fine = get_word(o, "id", row->id, sizeof(row->id)) && is_id(row->id);
	if (fine) {
		(void)get_word(o, "run", row->run, sizeof(row->run));
		row->start_ns = get_clock(o, "start");
		row->end_ns = row->start_ns + last_moment_us(o) * NS_PER_US;
		row->method = get_text(o, "method");
		row->target = get_text(o, "target");
		row->version = get_text(o, "version");
		row->host = get_text(o, "host");
		row->request_id = get_text(o, "request_id");
		row->soap_action = get_text(json_tree_get(o, "soap"), "action");
	}
	json_tree_free(&tree);
	if (!fine)
		proxy_row_fini(row);
	return fine || refuse(err, "no \"id\" of hexadecimal digits in it");
}

/* ---- files ---- */

struct records {
	char *path;
	int fd;
	uint64_t line; /* number of the newest one */
	char *buf;
	size_t cap;
	size_t at;
	size_t used;
	size_t looked; /* no newline below it, counted from at */
};

struct records *records_open(const char *path, char err[RECORDS_ERROR_MAX])
{
	struct records *r = calloc(1, sizeof(*r));

	if (r == NULL || (r->path = strdup(path)) == NULL ||
	    (r->buf = malloc(READ_BYTES)) == NULL) {
		refuse(err, "no memory");
		goto fail;
	}
	r->cap = READ_BYTES;
	r->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (r->fd < 0) {
		snprintf(err, RECORDS_ERROR_MAX, "%s: %s", path, strerror(errno));
		goto fail;
	}
	return r;
fail:
	if (r != NULL)
		r->fd = -1;
	records_close(r);
	return NULL;
}

void records_close(struct records *r)
{
	if (r == NULL)
		return;
	if (r->fd >= 0)
		close(r->fd);
	free(r->buf);
	free(r->path);
	free(r);
}

/* Make room at the end of the buffer. */
static bool buffer_room(struct records *r)
{
	char *buf;

	if (r->at > 0) {
		memmove(r->buf, r->buf + r->at, r->used - r->at);
		r->used -= r->at;
		r->at = 0;
	}
	if (r->used < r->cap)
		return true;
	if (r->cap >= RECORDS_LINE_MAX)
		return false;
	buf = realloc(r->buf, r->cap * 2);
	if (buf == NULL)
		return false;
	r->buf = buf;
	r->cap *= 2;
	return true;
}

/* The next whole line; its bytes are valid until the next call. */
static enum records_result next_line(struct records *r, const char **line, size_t *len,
				     char err[RECORDS_ERROR_MAX])
{
	for (;;) {
		const char *from = r->buf + r->at;
		const char *newline = memchr(from + r->looked, '\n', r->used - r->at - r->looked);
		ssize_t n;

		if (newline != NULL) {
			*line = from;
			*len = (size_t)(newline - from);
			r->at += *len + 1;
			r->looked = 0;
			r->line++;
			return RECORDS_ROW;
		}
		r->looked = r->used - r->at;
		if (!buffer_room(r)) {
			snprintf(err, RECORDS_ERROR_MAX, "%s:%llu: the line is too long", r->path,
				 (unsigned long long)r->line + 1);
			return RECORDS_FAILED;
		}
		n = read(r->fd, r->buf + r->used, r->cap - r->used);
		if (n == 0)
			return RECORDS_END;
		if (n < 0) {
			snprintf(err, RECORDS_ERROR_MAX, "%s: %s", r->path, strerror(errno));
			return RECORDS_FAILED;
		}
		r->used += (size_t)n;
	}
}

static enum records_result find_line(struct records *r, const char *needle, const char **line,
				     size_t *len, char err[RECORDS_ERROR_MAX])
{
	enum records_result result;

	do {
		result = next_line(r, line, len, err);
	} while (result == RECORDS_ROW && needle != NULL &&
		 memmem(*line, *len, needle, strlen(needle)) == NULL);
	return result;
}

/* What a line's parser said, with the file and line before it. */
static enum records_result parsed(const struct records *r, bool fine, const char *why,
				  char err[RECORDS_ERROR_MAX])
{
	if (fine)
		return RECORDS_ROW;
	snprintf(err, RECORDS_ERROR_MAX, "%s:%llu: %s", r->path, (unsigned long long)r->line, why);
	return RECORDS_BAD;
}

enum records_result records_flow(struct records *r, const char *needle, struct flow_row *row,
				 char err[RECORDS_ERROR_MAX])
{
	char why[ROW_ERROR_MAX];
	const char *line;
	size_t len;
	enum records_result result = find_line(r, needle, &line, &len, err);

	if (result != RECORDS_ROW)
		return result;
	return parsed(r, flow_row_parse(line, len, row, why), why, err);
}

enum records_result records_conn(struct records *r, const char *needle, struct conn_row *row,
				 char err[RECORDS_ERROR_MAX])
{
	char why[ROW_ERROR_MAX];
	const char *line;
	size_t len;
	enum records_result result = find_line(r, needle, &line, &len, err);

	if (result != RECORDS_ROW)
		return result;
	return parsed(r, conn_row_parse(line, len, row, why), why, err);
}

enum records_result records_proxy(struct records *r, const char *needle, struct proxy_row *row,
				  char err[RECORDS_ERROR_MAX])
{
	char why[ROW_ERROR_MAX];
	const char *line;
	size_t len;
	enum records_result result = find_line(r, needle, &line, &len, err);

	if (result != RECORDS_ROW)
		return result;
	return parsed(r, proxy_row_parse(line, len, row, why), why, err);
}
