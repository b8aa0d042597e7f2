/*
 * story_facts.c -- gathers the rows of one run; bounded by STORY_EXCHANGES_MAX.
 *
 * Prints nothing. Exchanges of earlier runs, and of another dump of the same run, are not looked at.
 */
#include "trace/story_facts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct row_leg *exchange_leg(const struct story_facts *f, unsigned exchange,
					  enum tap_leg which)
{
	const struct flow_row *flow = &f->exchanges[exchange].flow;

	return which == TAP_CLIENT ? &flow->client : &flow->backend;
}

/* ---- exchanges ---- */

static void drop_exchanges(struct story_facts *f)
{
	for (unsigned i = 0; i < f->exchange_count; i++) {
		flow_row_fini(&f->exchanges[i].flow);
		proxy_row_fini(&f->exchanges[i].proxy);
	}
	f->exchange_count = 0;
	f->left_out = 0;
}

static bool same_dump(const struct flow_row *a, const struct flow_row *b)
{
	const char *dump_a = a->dump != NULL ? a->dump : "",
		   *dump_b = b->dump != NULL ? b->dump : "";

	return strcmp(a->run, b->run) == 0 && strcmp(dump_a, dump_b) == 0;
}

/* Take over the row: the newest run's first ones stay. */
static void take_exchange(struct story_facts *f, struct flow_row *row)
{
	if (f->exchange_count > 0 && !same_dump(&f->exchanges[0].flow, row))
		drop_exchanges(f);
	if (f->exchange_count == STORY_EXCHANGES_MAX) {
		f->left_out++;
		return;
	}
	f->exchanges[f->exchange_count++] = (struct story_exchange){.flow = *row};
	*row = (struct flow_row){0};
}

static int by_start(const void *a, const void *b)
{
	const struct story_exchange *x = a, *y = b;

	return x->flow.start_ns < y->flow.start_ns ? -1 : x->flow.start_ns > y->flow.start_ns;
}

static bool load_exchanges(struct story_facts *f, struct records *flows,
			   char err[EVIDENCE_ERROR_MAX])
{
	struct flow_row row = {0};
	enum records_result result;

	do {
		result = records_flow(flows, NULL, &row, err);
		if (result == RECORDS_ROW)
			take_exchange(f, &row);
	} while (result == RECORDS_ROW);
	flow_row_fini(&row);
	if (result != RECORDS_END)
		return false;
	if (f->exchange_count == 0)
		snprintf(err, EVIDENCE_ERROR_MAX, "there is no exchange in it");
	qsort(f->exchanges, f->exchange_count, sizeof(f->exchanges[0]), by_start);
	return f->exchange_count > 0;
}

/* ---- log lines ---- */

static struct story_exchange *find_exchange(struct story_facts *f, const struct proxy_row *row)
{
	for (unsigned i = 0; i < f->exchange_count; i++)
		if (strcmp(f->exchanges[i].flow.id, row->id) == 0)
			return &f->exchanges[i];
	return NULL;
}

/* A folder without proxy.ndjson is fine. */
static bool load_proxies(struct story_facts *f, const char *path, char err[EVIDENCE_ERROR_MAX])
{
	struct records *records;
	struct proxy_row row = {0};
	enum records_result result;

	if (access(path, F_OK) != 0 && errno == ENOENT)
		return true;
	records = records_open(path, err);
	if (records == NULL)
		return false;
	while ((result = records_proxy(records, f->exchanges[0].flow.run, &row, err)) ==
	       RECORDS_ROW) {
		struct story_exchange *x = find_exchange(f, &row);

		if (x == NULL || strcmp(x->flow.run, row.run) != 0)
			continue;
		proxy_row_fini(&x->proxy);
		x->proxy = row;
		row = (struct proxy_row){0};
	}
	proxy_row_fini(&row);
	records_close(records);
	return result == RECORDS_END;
}

/* ---- connections ---- */

/* Takes a place for each connection that the exchanges used, in the order of their use. */
static void place_conns(struct story_facts *f, enum tap_leg which)
{
	for (unsigned i = 0; i < f->exchange_count; i++) {
		const struct row_leg *leg = exchange_leg(f, i, which);

		if (!leg->there || leg->conn == 0 || story_conn_of(f, i, which) != NULL)
			continue;
		f->conns[f->conn_count++].row =
			(struct conn_row){.leg = which, .conn = leg->conn, .stream = -1};
	}
}

static struct story_conn *find_conn(struct story_facts *f, enum tap_leg which, uint64_t conn)
{
	for (unsigned i = 0; i < f->conn_count; i++)
		if (f->conns[i].row.leg == which && f->conns[i].row.conn == conn)
			return &f->conns[i];
	return NULL;
}

const struct story_conn *story_conn_of(const struct story_facts *f, unsigned exchange,
				       enum tap_leg which)
{
	const struct row_leg *leg = exchange_leg(f, exchange, which);

	for (unsigned i = 0; i < f->conn_count; i++)
		if (f->conns[i].row.leg == which && f->conns[i].row.conn == leg->conn)
			return &f->conns[i];
	return NULL;
}

static bool load_conns(struct story_facts *f, const char *path, char err[EVIDENCE_ERROR_MAX])
{
	struct records *records = records_open(path, err);
	struct conn_row row = {0};
	enum records_result result;

	if (records == NULL)
		return false;
	place_conns(f, TAP_CLIENT);
	place_conns(f, TAP_BACKEND);
	while ((result = records_conn(records, f->exchanges[0].flow.run, &row, err)) ==
	       RECORDS_ROW) {
		struct story_conn *c = find_conn(f, row.leg, row.conn);

		if (c == NULL || strcmp(row.run, f->exchanges[0].flow.run) != 0)
			continue;
		conn_row_fini(&c->row);
		c->row = row;
		row = (struct conn_row){0};
	}
	conn_row_fini(&row);
	records_close(records);
	return result == RECORDS_END;
}

/* ---- segments ---- */

static void add_wish(struct story_facts *f, const struct row_leg *leg, enum tap_leg which,
		     unsigned tag)
{
	f->wishes[f->wish_count++] = (struct evidence_wish){.leg = leg, .which = which, .tag = tag};
}

static bool load_evidence(struct story_facts *f, const struct records_paths *paths,
			  char err[EVIDENCE_ERROR_MAX])
{
	for (unsigned i = 0; i < f->exchange_count; i++) {
		add_wish(f, &f->exchanges[i].flow.client, TAP_CLIENT, i);
		if (f->exchanges[i].flow.backend.there)
			add_wish(f, &f->exchanges[i].flow.backend, TAP_BACKEND, i);
	}
	for (unsigned i = 0; i < f->conn_count; i++) {
		struct story_conn *c = &f->conns[i];

		c->leg = (struct row_leg){.there = true,
					  .stream = c->row.stream,
					  .handshake = c->row.handshake,
					  .close = c->row.close};
		c->wish = &f->wishes[f->wish_count];
		add_wish(f, &c->leg, c->row.leg, STORY_CONN_TAG + i);
	}
	if (!records_paths_dump(paths, f->exchanges[0].flow.dump, f->dump)) {
		snprintf(err, EVIDENCE_ERROR_MAX, "the records name no dump");
		return false;
	}
	return evidence_read(f->dump, f->wishes, f->wish_count, &f->evidence, err) &&
	       err[0] == '\0';
}

bool story_facts_load(struct story_facts *f, const struct records_paths *paths,
		      struct records *flows, char err[EVIDENCE_ERROR_MAX])
{
	*f = (struct story_facts){0};
	return load_exchanges(f, flows, err) && load_proxies(f, paths->proxy, err) &&
	       load_conns(f, paths->conns, err) && load_evidence(f, paths, err);
}

void story_facts_free(struct story_facts *f)
{
	drop_exchanges(f);
	for (unsigned i = 0; i < f->conn_count; i++)
		conn_row_fini(&f->conns[i].row);
	evidence_fini(&f->evidence);
	*f = (struct story_facts){0};
}
