/*
 * records_join.c -- a hash join of two streams with a bounded window.
 *
 * A record follows its log line within SETTLE_NS (design section 8 lets an exchange settle 60 s after
 * its end), so lines that ended long before the newest record are given up.
 *
 * Invariant: every waiting line is in the hash and in the list, which is in reading order.
 */
#include "trace/records_join.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define WINDOW_MAX 65536
#define BUCKETS    16384
#define SETTLE_NS  (120 * NS_PER_S)

struct waiting {
	TAILQ_ENTRY(waiting) in_list;
	LIST_ENTRY(waiting) in_bucket;
	struct proxy_row row;
};

struct records_join {
	struct records *records;
	bool ended;
	unsigned count;
	uint64_t newest_ns; /* latest start among the exchanges asked for */
	struct proxy_row found;
	TAILQ_HEAD(waiting_list, waiting) list;
	LIST_HEAD(waiting_bucket, waiting) buckets[BUCKETS];
	char error[RECORDS_ERROR_MAX];
};

static unsigned bucket_of(const char *id)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (; *id != '\0'; id++)
		hash = (hash ^ (unsigned char)*id) * 16777619u;
	return hash % BUCKETS;
}

static bool belongs(const struct proxy_row *row, const struct flow_row *flow)
{
	return strcmp(row->id, flow->id) == 0 && strcmp(row->run, flow->run) == 0;
}

static void waiting_remove(struct records_join *j, struct waiting *w)
{
	TAILQ_REMOVE(&j->list, w, in_list);
	LIST_REMOVE(w, in_bucket);
	j->count--;
	free(w);
}

/* Take over row, which is empty afterwards. */
static void waiting_add(struct records_join *j, struct proxy_row *row)
{
	struct waiting *w = malloc(sizeof(*w));

	if (w == NULL) {
		proxy_row_fini(row);
		return;
	}
	w->row = *row;
	memset(row, 0, sizeof(*row));
	TAILQ_INSERT_TAIL(&j->list, w, in_list);
	LIST_INSERT_HEAD(&j->buckets[bucket_of(w->row.id)], w, in_bucket);
	j->count++;
}

struct records_join *records_join_new(const char *path, char err[RECORDS_ERROR_MAX])
{
	struct records *records = records_open(path, err);
	struct records_join *j;

	if (records == NULL)
		return NULL;
	j = calloc(1, sizeof(*j));
	if (j == NULL) {
		snprintf(err, RECORDS_ERROR_MAX, "no memory");
		records_close(records);
		return NULL;
	}
	j->records = records;
	TAILQ_INIT(&j->list);
	return j;
}

void records_join_free(struct records_join *j)
{
	struct waiting *w, *next;

	if (j == NULL)
		return;
	for (w = TAILQ_FIRST(&j->list); w != NULL; w = next) {
		next = TAILQ_NEXT(w, in_list);
		proxy_row_fini(&w->row);
		waiting_remove(j, w);
	}
	proxy_row_fini(&j->found);
	records_close(j->records);
	free(j);
}

static bool is_past(const struct records_join *j, const struct proxy_row *row)
{
	return row->end_ns + SETTLE_NS < j->newest_ns;
}

static void forget_past(struct records_join *j)
{
	struct waiting *w = TAILQ_FIRST(&j->list), *next;

	for (; w != NULL && is_past(j, &w->row); w = next) {
		next = TAILQ_NEXT(w, in_list);
		proxy_row_fini(&w->row);
		waiting_remove(j, w);
	}
}

/* Read the next line into j->found. False at the end. */
static bool read_row(struct records_join *j)
{
	char err[RECORDS_ERROR_MAX];
	enum records_result result = RECORDS_BAD;

	while (!j->ended && result == RECORDS_BAD) {
		result = records_proxy(j->records, NULL, &j->found, err);
		j->ended = result == RECORDS_END || result == RECORDS_FAILED;
		if ((result == RECORDS_BAD || result == RECORDS_FAILED) && j->error[0] == '\0')
			memcpy(j->error, err, sizeof(err));
	}
	return result == RECORDS_ROW;
}

static bool find_waiting(struct records_join *j, const struct flow_row *flow)
{
	struct waiting *w;

	LIST_FOREACH(w, &j->buckets[bucket_of(flow->id)], in_bucket) {
		if (belongs(&w->row, flow)) {
			j->found = w->row;
			waiting_remove(j, w);
			return true;
		}
	}
	return false;
}

const struct proxy_row *records_join_find(struct records_join *j, const struct flow_row *flow)
{
	j->newest_ns = MAX(j->newest_ns, flow->start_ns);
	forget_past(j);
	proxy_row_fini(&j->found);
	if (find_waiting(j, flow))
		return &j->found;
	while (j->count < WINDOW_MAX && read_row(j)) {
		if (belongs(&j->found, flow))
			return &j->found;
		if (is_past(j, &j->found))
			proxy_row_fini(&j->found);
		else
			waiting_add(j, &j->found);
	}
	return NULL;
}

const char *records_join_error(const struct records_join *j)
{
	return j->error[0] != '\0' ? j->error : NULL;
}
