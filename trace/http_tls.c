/*
 * http_tls.c -- two record readers, and the marks that they make.
 */
#include "trace/http_tls.h"

#include <stdlib.h>

#include "common/tls_marks.h"
#include "trace/tls_records.h"

#define ALERT_FATAL 2

struct http_tls {
	struct http_conn *conn;
	struct tls_records way[2]; /* [0] the client's */
	struct tls_marks marks;
	bool is_sealed[2]; /* what comes is encrypted, and known no further */
	bool has_certificate;
	bool is_open;
	bool is_told;
};

/* ---- marks ----------------------------------------------------------------------------------- */

static struct byte_range range_of(const struct tls_record *r)
{
	return (struct byte_range){r->off, r->off + r->len};
}

static bool has_message(const struct tls_record *r, uint8_t type)
{
	for (unsigned i = 0; i < r->message_count; i++)
		if (r->messages[i] == type)
			return true;
	return false;
}

/* A hello may go on in records behind the one in which it begins. */
static void note_hello(struct tls_marks *m, const struct tls_record *r, uint8_t type,
		       enum tls_mark mark, bool is_last)
{
	struct byte_range *range = &m->at[mark];
	bool begins = has_message(r, type);

	if (begins && (is_last || !byte_range_exists(range)))
		*range = range_of(r);
	else if (r->has_hello && byte_range_exists(range) && !begins)
		range->past = r->off + r->len;
}

static void note_server_hello(struct http_tls *t, const struct tls_record *r)
{
	if (!r->has_hello || r->hello.is_retry)
		return;
	t->marks.version = r->hello.version;
	if (r->hello.version == TLS_VERSION_13)
		t->marks.resumed = r->hello.is_resumed;
}

static void note_finished(struct http_tls *t, const struct tls_record *r, unsigned way)
{
	if (!has_message(r, TLS_FINISHED))
		return;
	t->marks.at[way == 0 ? TLS_MARK_CLIENT_FINISHED : TLS_MARK_SERVER_FINISHED] = range_of(r);
	t->is_sealed[way] = true;
}

static bool is_finished(const struct tls_marks *m)
{
	return byte_range_exists(&m->at[TLS_MARK_CLIENT_FINISHED]) &&
	       byte_range_exists(&m->at[TLS_MARK_SERVER_FINISHED]);
}

static void note_record(struct http_tls *t, const struct tls_record *r, unsigned way)
{
	bool is_server = way == 1;

	if (t->is_sealed[way] || !r->is_whole)
		return;
	if (is_server) {
		note_hello(&t->marks, r, TLS_SERVER_HELLO, TLS_MARK_SERVER_HELLO, true);
		note_server_hello(t, r);
	} else {
		note_hello(&t->marks, r, TLS_CLIENT_HELLO, TLS_MARK_CLIENT_HELLO, false);
	}
	t->has_certificate |= is_server && has_message(r, TLS_CERTIFICATE);
	note_finished(t, r, way);
	if (r->is_alert_clear && r->alert_level == ALERT_FATAL)
		t->marks.failed = 1;
	if (r->content == TLS_APPLICATION_DATA)
		t->is_sealed[way] = true;
}

/* ---- telling --------------------------------------------------------------------------------- */

static void tell(struct http_tls *t)
{
	struct http_conn *c = t->conn;
	struct tls_marks *m = &t->marks;

	t->is_told = true;
	/* A version that is older than any that is named here, or newer. */
	if (m->version != TLS_VERSION_12 && m->version != TLS_VERSION_13)
		m->version = 0;
	if (is_finished(m)) {
		m->failed = 0;
		m->resumed = !t->has_certificate;
	}
	if (c->pairs->calls.tls != NULL)
		c->pairs->calls.tls(c->pairs->calls.arg, &c->view, m);
	for (unsigned way = 0; way < 2; way++) {
		tls_records_fini(&t->way[way]);
		reassembly_fini(&c->dir[way].pieces);
	}
}

/* The client's first record was read. */
static void open_conn(struct http_tls *t, const struct tls_record *r)
{
	t->is_open = has_message(r, TLS_CLIENT_HELLO);
	if (t->is_open)
		http_conn_open(t->conn);
	else
		t->conn->is_hopeless = true;
}

static void on_client_record(void *arg, const struct tls_record *r)
{
	struct http_tls *t = arg;

	if (!t->is_open)
		open_conn(t, r);
	note_record(t, r, 0);
}

static void on_server_record(void *arg, const struct tls_record *r)
{
	note_record(arg, r, 1);
}

/* ---- life ------------------------------------------------------------------------------------ */

bool http_tls_start(struct http_conn *c)
{
	struct http_tls *t = calloc(1, sizeof(*t));
	const struct tls_records_calls calls[2] = {{t, on_client_record}, {t, on_server_record}};

	if (t == NULL)
		return false;
	t->conn = c;
	t->marks.resumed = t->marks.failed = TLS_UNKNOWN;
	for (unsigned i = 0; i < TLS_MARK_COUNT; i++)
		t->marks.at[i] = byte_range_none();
	for (unsigned way = 0; way < 2; way++) {
		tls_records_init(&t->way[way], &calls[way]);
		(void)!tls_records_begins(&t->way[way], 0); /* there is room for one place */
	}
	c->tls = t;
	return true;
}

void http_tls_free(struct http_tls *t)
{
	if (t == NULL)
		return;
	if (!t->is_told)
		for (unsigned way = 0; way < 2; way++)
			tls_records_fini(&t->way[way]);
	free(t);
}

bool http_tls_is_told(const struct http_tls *t)
{
	return t->is_told;
}

void http_tls_read(struct http_conn *c, unsigned side, const struct piece *p)
{
	struct tls_records *r = &c->tls->way[side != c->view.client];
	uint32_t len = (uint32_t)MIN(p->len, UINT32_MAX);
	struct http_tls *t = c->tls;

	if (t->is_told)
		return;
	tls_records_add(r, p->off, len, (const uint8_t *)p->bytes, p->bytes != NULL ? len : 0, 0);
	if (tls_records_is_over(r) && !t->is_open)
		c->is_hopeless = true;
}

void http_tls_settle(struct http_conn *c)
{
	struct http_tls *t = c->tls;

	for (unsigned way = 0; way < 2 && !t->is_told; way++)
		if (!t->is_sealed[way] && !tls_records_is_over(&t->way[way]))
			return;
	if (!t->is_told && t->is_open)
		tell(t);
}

void http_tls_end(struct http_conn *c)
{
	struct http_tls *t = c->tls;

	if (t->is_told)
		return;
	tls_records_end(&t->way[0]);
	tls_records_end(&t->way[1]);
	if (t->is_open)
		tell(t);
}
