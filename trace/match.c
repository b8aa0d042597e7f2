/*
 * match.c -- holds what was read on flows against what the log says of connections.
 *
 * Each exchange that was read leads by a key (where its request stands, and what it asks for) to the
 * log's exchanges like it, and so to the connections that may be the flow's; only these are compared in
 * full.
 *
 * Invariant: uses are sorted by key, then by time; seen exchanges stand by flow, then by offset.
 */
#include "trace/match.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "trace/map.h"
#include "trace/records_reader.h"

#define CANDIDATES_MAX 16 /* a flow with more of them is ambiguous anyhow */

/* An exchange on a connection, in the log or as it was read. */
struct fact {
	uint32_t owner;  /* index of the flow or of the connection */
	uint16_t status; /* 0: not known */
	bool is_asked;   /* a whole head was sent: it can be read */
	struct byte_range request;
	struct byte_range response; /* none: not known whole */
	uint64_t start_ns;
	uint64_t key;  /* of request, method and target */
	uint8_t minor; /* of the version; UINT8_MAX: not known */
	uint64_t host; /* 0: not known */
	uint64_t request_id;
};

struct facts {
	struct fact *at;
	size_t count;
	size_t cap;
};

struct candidate_conn {
	uint32_t run;
	uint64_t number;
	enum tap_leg leg;
	struct addr local, peer;
	bool is_named;  /* a line of the log was seen */
	uint32_t flows; /* that fit it */
};

struct seen_flow {
	uint32_t first_frame;
	unsigned client;
	uint64_t last_ns;
	struct addr addr[2]; /* [0]: the client's */
	size_t first;        /* of its exchanges */
	size_t count;
	uint32_t fits[CANDIDATES_MAX]; /* indices of connections */
	uint32_t fit_count;
};

struct match {
	struct http_pairs *pairs;
	struct facts seen;   /* owner: flow */
	struct facts logged; /* owner: connection */
	struct seen_flow *flows;
	size_t flow_count, flow_cap;
	struct candidate_conn *conns;
	size_t conn_count, conn_cap;
	struct map conn_index; /* run, number -> &conns[i] + 1 as a number */
	struct match_binding *bindings;
	size_t binding_count;
	struct match_counters count;
	bool is_once;   /* nothing is kept ... */
	bool has_seen;  /* ... but this: an exchange was read */
	bool is_second; /* the second pass */
	bool is_full;   /* too much, or no memory: nothing is matched */
};

/* ---- growing arrays -------------------------------------------------------------------------- */

static void *grow(struct match *m, void *at, size_t count, size_t *cap, size_t size)
{
	size_t more = *cap > 0 ? 2 * *cap : 64;
	void *grown;

	if (count < *cap)
		return at;
	grown = realloc(at, more * size);
	if (grown == NULL) {
		m->is_full = true;
		return at;
	}
	*cap = more;
	return grown;
}

static struct fact *add_fact(struct match *m, struct facts *f)
{
	f->at = grow(m, f->at, f->count, &f->cap, sizeof(*f->at));
	if (m->is_full)
		return NULL;
	f->at[f->count] = (struct fact){0};
	return &f->at[f->count++];
}

/* FNV-1a; never 0, which says "not known". */
static uint64_t hash_text(uint64_t hash, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (uint8_t)bytes[i]) * 0x100000001b3ULL;
	return hash != 0 ? hash : 1;
}

#define HASH_START 0xcbf29ce484222325ULL

static uint64_t make_key(const struct byte_range *request, const char *method, size_t method_len,
			 const char *target, size_t target_len)
{
	uint64_t hash = hash_text(HASH_START, (const char *)request, sizeof(*request));

	hash = hash_text(hash, method, method_len);
	return hash_text(hash, target, target_len);
}

/* ---- what is read ---------------------------------------------------------------------------- */

static struct seen_flow *flow_of(struct match *m, const struct http_conn_view *c)
{
	return c->number <= m->flow_count ? &m->flows[c->number - 1] : NULL;
}

static void on_opened(void *arg, const struct http_conn_view *c)
{
	struct match *m = arg;
	const struct flow *f = c->track->flow;
	struct seen_flow *s;

	if (m->is_once)
		return;
	m->flows = grow(m, m->flows, m->flow_count, &m->flow_cap, sizeof(*m->flows));
	if (m->is_full)
		return;
	s = &m->flows[m->flow_count++];
	*s = (struct seen_flow){.first_frame = f->first_frame,
				.client = c->client,
				.addr = {f->side[c->client].addr, f->side[1 - c->client].addr}};
}

static uint64_t hash_of(const struct http_text *t)
{
	return t->bytes != NULL ? hash_text(HASH_START, t->bytes, t->len) : 0;
}

static void on_ended(void *arg, const struct http_conn_view *c, const struct http_exchange *e)
{
	struct match *m = arg;
	struct seen_flow *s = m->is_full ? NULL : flow_of(m, c);
	struct fact *f;

	m->has_seen = true;
	if (s == NULL)
		return;
	s->last_ns = MAX(s->last_ns, c->track->flow->last_ns);
	if (!e->request_done)
		return;
	f = add_fact(m, &m->seen);
	if (f == NULL)
		return;
	f->owner = (uint32_t)(s - m->flows);
	f->is_asked = true;
	f->status = e->x.status;
	f->request = e->x.client.request;
	f->response = e->response_done ? e->x.client.response : byte_range_none();
	f->start_ns = e->x.start_ns;
	f->key = make_key(&f->request, e->method_text.bytes, e->method_text.len, e->target.bytes,
			  e->target.len);
	f->minor = e->minor;
	f->host = hash_of(&e->host);
	f->request_id = hash_of(&e->request_id);
	m->is_full = m->is_full || m->seen.count > MATCH_SEEN_MAX;
}

static void on_begun(void *arg, const struct http_conn_view *c, const struct http_exchange *e)
{
	(void)arg;
	(void)c;
	(void)e;
}

static void on_answered(void *arg, const struct http_conn_view *c, const struct http_exchange *e,
			uint64_t first)
{
	(void)first;
	on_begun(arg, c, e);
}

static void on_passed(void *arg, const struct http_conn_view *c, unsigned side, uint64_t off)
{
	(void)arg;
	(void)c;
	(void)side;
	(void)off;
}

struct match *match_new(bool is_once)
{
	struct match *m = calloc(1, sizeof(*m));
	const struct http_pairs_calls calls = {
		.arg = m,
		.opened = on_opened,
		.begun = on_begun,
		.answered = on_answered,
		.ended = on_ended,
		.passed = on_passed,
	};

	if (m == NULL)
		return NULL;
	m->is_once = is_once;
	m->pairs = http_pairs_new(&calls);
	if (m->pairs != NULL)
		return m;
	free(m);
	return NULL;
}

void match_free(struct match *m)
{
	if (m == NULL)
		return;
	http_pairs_free(m->pairs);
	map_fini(&m->conn_index);
	free(m->seen.at);
	free(m->logged.at);
	free(m->flows);
	free(m->conns);
	free(m->bindings);
	free(m);
}

struct http_pairs *match_pairs(struct match *m)
{
	return m->is_second ? NULL : m->pairs;
}

void match_unseen(struct match *m, uint32_t run, uint64_t conn)
{
	if (m->is_second)
		return;
	m->conns = grow(m, m->conns, m->conn_count, &m->conn_cap, sizeof(*m->conns));
	if (m->is_full)
		return;
	m->conns[m->conn_count++] = (struct candidate_conn){.run = run, .number = conn};
}

bool match_is_due(const struct match *m)
{
	return !m->is_full && m->conn_count > 0 && m->has_seen;
}

void match_counters(const struct match *m, struct match_counters *out)
{
	*out = m->count;
}

/* ---- what the log says ----------------------------------------------------------------------- */

static size_t index_of(const struct match *m, uint32_t run, uint64_t number)
{
	const struct candidate_conn *c = map_get(&m->conn_index, run, number);

	return c != NULL ? (size_t)(c - m->conns) : SIZE_MAX;
}

static uint64_t hash_string(const char *text)
{
	return text != NULL ? hash_text(HASH_START, text, strlen(text)) : 0;
}

static void add_leg(struct match *m, const struct exchange_record *x, const struct proxy_row *row,
		    enum tap_leg which, const struct leg_record *leg)
{
	size_t i = leg->conn != 0 ? index_of(m, x->run, leg->conn) : SIZE_MAX;
	bool is_client = which == TAP_CLIENT;
	bool is_whole = x->at_us[is_client ? MOMENT_RESPONSE_END : MOMENT_BACKEND_RESPONSE_END] !=
			MOMENT_NEVER;
	const char *method = row->method != NULL ? row->method : "";
	const char *target = row->target != NULL ? row->target : "";
	struct fact *f;

	if (i == SIZE_MAX || !byte_range_exists(&leg->request))
		return;
	f = add_fact(m, &m->logged);
	if (f == NULL)
		return;
	m->conns[i].leg = which;
	m->conns[i].local = leg->local;
	m->conns[i].peer = leg->peer;
	m->conns[i].is_named = true;
	f->owner = (uint32_t)i;
	f->is_asked = row->method != NULL && row->target != NULL &&
		      x->at_us[is_client ? MOMENT_REQUEST_END : MOMENT_BACKEND_REQUEST_END] !=
			      MOMENT_NEVER;
	/* What the client was sent is what the backend said when nothing went wrong. */
	f->status = is_client || strcmp(x->end, "done") == 0 ? x->status : 0;
	f->request = leg->request;
	f->response = is_whole ? leg->response : byte_range_none();
	f->start_ns = x->start_ns;
	if (!is_client && x->at_us[MOMENT_BACKEND_READY] != MOMENT_NEVER)
		f->start_ns += (uint64_t)x->at_us[MOMENT_BACKEND_READY] * NS_PER_US;
	f->key = make_key(&f->request, method, strlen(method), target, strlen(target));
	f->minor = UINT8_MAX;
	if (is_client && row->version != NULL && strlen(row->version) == 3)
		f->minor = row->version[2] == '1';
	f->host = is_client ? hash_string(row->host) : 0;
	f->request_id = hash_string(row->request_id);
}

static bool read_log(struct match *m, struct log_reader *r, char err[LOG_ERROR_MAX])
{
	char why[MAX(LOG_ERROR_MAX, ROW_ERROR_MAX)];
	struct proxy_row row = {0};
	struct exchange_record x;
	struct log_tls tls;
	const char *line;
	size_t len;

	while (log_reader_line(r, &line, &len, err) == LOG_RECORD) {
		if (!log_line_parse(line, len, &x, &tls, why) ||
		    !proxy_row_parse(line, len, &row, why))
			break; /* it was complained of in the first pass */
		add_leg(m, &x, &row, TAP_CLIENT, &x.client);
		add_leg(m, &x, &row, TAP_BACKEND, &x.backend);
	}
	proxy_row_fini(&row);
	return !m->is_full;
}

/* ---- comparing ------------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
	const struct fact *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return (x->start_ns > y->start_ns) - (x->start_ns < y->start_ns);
}

static int by_owner(const void *a, const void *b)
{
	const struct fact *x = a, *y = b;

	if (x->owner != y->owner)
		return x->owner < y->owner ? -1 : 1;
	return (x->request.first > y->request.first) - (x->request.first < y->request.first);
}

static bool is_near(uint64_t a_ns, uint64_t b_ns)
{
	return (a_ns > b_ns ? a_ns - b_ns : b_ns - a_ns) <= MATCH_NEAR_NS;
}

static bool may_be(uint64_t a, uint64_t b)
{
	return a == 0 || b == 0 || a == b;
}

static bool is_alike(const struct fact *seen, const struct fact *logged)
{
	bool both = byte_range_exists(&seen->response) && byte_range_exists(&logged->response);

	return seen->key == logged->key &&
	       (logged->minor == UINT8_MAX || seen->minor == logged->minor) &&
	       is_near(seen->start_ns, logged->start_ns) && may_be(seen->status, logged->status) &&
	       may_be(seen->host, logged->host) && may_be(seen->request_id, logged->request_id) &&
	       (!both || (seen->response.first == logged->response.first &&
			  seen->response.past == logged->response.past));
}

/* The connection's exchanges, by offset. */
static size_t first_of(const struct facts *f, uint32_t owner)
{
	size_t low = 0, high = f->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (f->at[middle].owner < owner)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* All that was read is the connection's, and nothing of it in that time is missing. */
static bool fits(const struct match *m, const struct seen_flow *s, const struct facts *by_conn,
		 uint32_t conn)
{
	size_t at = first_of(by_conn, conn), i = s->first;

	for (; at < by_conn->count && by_conn->at[at].owner == conn; at++) {
		const struct fact *logged = &by_conn->at[at];

		if (i < s->first + s->count && is_alike(&m->seen.at[i], logged))
			i++;
		else if (logged->is_asked && logged->start_ns <= s->last_ns)
			return false;
	}
	return i == s->first + s->count;
}

static void add_fit(struct seen_flow *s, uint32_t conn)
{
	for (uint32_t i = 0; i < MIN(s->fit_count, CANDIDATES_MAX); i++)
		if (s->fits[i] == conn)
			return;
	if (s->fit_count < CANDIDATES_MAX)
		s->fits[s->fit_count] = conn;
	s->fit_count++;
}

/* Connections that have an exchange like the flow's first, near in time. */
static void find_fits(struct match *m, struct seen_flow *s, const struct facts *by_conn)
{
	const struct fact *seen = &m->seen.at[s->first];
	struct fact from = {.key = seen->key,
			    .start_ns = seen->start_ns - MIN(seen->start_ns, MATCH_NEAR_NS)};
	size_t low = 0, high = m->logged.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (by_key(&m->logged.at[middle], &from) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < m->logged.count && s->fit_count < CANDIDATES_MAX; low++) {
		const struct fact *logged = &m->logged.at[low];

		if (logged->key != seen->key || logged->start_ns > seen->start_ns + MATCH_NEAR_NS)
			break;
		if (is_alike(seen, logged) && fits(m, s, by_conn, logged->owner))
			add_fit(s, logged->owner);
	}
}

/* One end has the address and port that the log says. */
static bool keeps_an_end(const struct seen_flow *s, const struct candidate_conn *c)
{
	const struct addr *client = c->leg == TAP_CLIENT ? &c->peer : &c->local;
	const struct addr *server = c->leg == TAP_CLIENT ? &c->local : &c->peer;

	/* A server's address is that of many connections. */
	return addr_equal(&s->addr[0], client) ||
	       (addr_equal(&s->addr[1], server) && s->addr[0].port == client->port);
}

/* Of several connections the one that kept an end; UINT32_MAX: none, or several. */
static uint32_t choose(const struct match *m, const struct seen_flow *s)
{
	uint32_t found = UINT32_MAX;

	if (s->fit_count == 1)
		return s->fits[0];
	for (uint32_t i = 0; i < s->fit_count && s->fit_count < CANDIDATES_MAX; i++) {
		if (!keeps_an_end(s, &m->conns[s->fits[i]]))
			continue;
		if (found != UINT32_MAX)
			return UINT32_MAX;
		found = s->fits[i];
	}
	return found;
}

static void bind_flow(struct match *m, const struct seen_flow *s, uint32_t conn)
{
	const struct candidate_conn *c = &m->conns[conn];

	m->bindings[m->binding_count++] = (struct match_binding){
		.frame = s->first_frame,
		.run = c->run,
		.conn = c->number,
		.our_side = c->leg == TAP_CLIENT ? 1 - s->client : s->client,
	};
}

static int by_frame(const void *a, const void *b)
{
	const struct match_binding *x = a, *y = b;

	return (x->frame > y->frame) - (x->frame < y->frame);
}

/* A connection is bound when exactly one flow chooses it. */
static void bind_all(struct match *m)
{
	uint32_t *chosen = calloc(m->flow_count + 1, sizeof(*chosen));

	m->bindings = calloc(m->flow_count + 1, sizeof(*m->bindings));
	for (size_t i = 0; i < m->flow_count && chosen != NULL && m->bindings != NULL; i++) {
		chosen[i] = m->flows[i].fit_count > 0 ? choose(m, &m->flows[i]) : UINT32_MAX;
		if (chosen[i] != UINT32_MAX)
			m->conns[chosen[i]].flows++;
		else if (m->flows[i].fit_count > 0)
			m->count.ambiguous++;
	}
	for (size_t i = 0; i < m->flow_count && chosen != NULL && m->bindings != NULL; i++) {
		if (chosen[i] == UINT32_MAX)
			continue;
		if (m->conns[chosen[i]].flows == 1)
			bind_flow(m, &m->flows[i], chosen[i]);
		else
			m->count.ambiguous++;
	}
	free(chosen);
	if (m->bindings != NULL && m->binding_count > 0)
		qsort(m->bindings, m->binding_count, sizeof(*m->bindings), by_frame);
	m->count.matched = m->binding_count;
}

static void divide_by_flow(struct match *m)
{
	if (m->seen.count == 0)
		return;
	qsort(m->seen.at, m->seen.count, sizeof(*m->seen.at), by_owner);
	for (size_t i = m->seen.count; i > 0; i--) {
		struct seen_flow *s = &m->flows[m->seen.at[i - 1].owner];

		s->first = i - 1;
		s->count++;
	}
}

static bool compare(struct match *m)
{
	struct facts by_conn = m->logged;

	by_conn.at = calloc(m->logged.count + 1, sizeof(*by_conn.at));
	if (by_conn.at == NULL)
		return false;
	if (m->logged.count > 0)
		memcpy(by_conn.at, m->logged.at, m->logged.count * sizeof(*by_conn.at));
	qsort(by_conn.at, by_conn.count, sizeof(*by_conn.at), by_owner);
	if (m->logged.count > 0)
		qsort(m->logged.at, m->logged.count, sizeof(*m->logged.at), by_key);
	divide_by_flow(m);
	for (size_t i = 0; i < m->flow_count; i++)
		if (m->flows[i].count > 0)
			find_fits(m, &m->flows[i], &by_conn);
	free(by_conn.at);
	bind_all(m);
	return m->binding_count > 0;
}

bool match_find(struct match *m, const char *log, char err[LOG_ERROR_MAX])
{
	struct log_reader *r;
	bool is_read;

	err[0] = '\0';
	m->is_second = true;
	for (size_t i = 0; i < m->conn_count; i++)
		if (!map_put(&m->conn_index, m->conns[i].run, m->conns[i].number, &m->conns[i]))
			return false;
	r = log_reader_open(log, err);
	if (r == NULL)
		return false;
	is_read = read_log(m, r, err);
	log_reader_close(r);
	return is_read && m->logged.count > 0 && compare(m);
}

const struct match_binding *match_get(const struct match *m, uint32_t first_frame)
{
	const struct match_binding wanted = {.frame = first_frame};

	if (m->binding_count == 0)
		return NULL;
	return bsearch(&wanted, m->bindings, m->binding_count, sizeof(wanted), by_frame);
}
