/*
 * tap_asked.c -- the asked connections: buckets by connection number, and a queue of those due.
 *
 * Never looks into a connection but for its number. Numbers are given in order, so that a plain
 * remainder spreads them evenly.
 */
#include "proxy/tap_asked.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "proxy/conn.h"

#define BUCKETS 1024

struct entry {
	LIST_ENTRY(entry) same_bucket;
	TAILQ_ENTRY(entry) due;
	const struct conn *c; /* NULL: wanted, and not looked for yet */
	uint64_t id;
	bool is_wanted;
	bool is_due;
};

LIST_HEAD(bucket, entry);
TAILQ_HEAD(due_list, entry);

struct tap_asked {
	struct bucket buckets[BUCKETS];
	struct due_list due;
	uint32_t count;
	bool all_wanted;
	bool some_wanted;
};

struct tap_asked *tap_asked_new(void)
{
	struct tap_asked *a = calloc(1, sizeof(*a));

	if (a != NULL)
		TAILQ_INIT(&a->due);
	return a;
}

void tap_asked_free(struct tap_asked *a)
{
	if (a == NULL)
		return;
	tap_asked_clear(a);
	free(a);
}

static struct entry *find(const struct tap_asked *a, uint64_t conn)
{
	struct entry *e;

	LIST_FOREACH(e, &a->buckets[conn % BUCKETS], same_bucket)
		if (e->id == conn)
			return e;
	return NULL;
}

static void entry_remove(struct tap_asked *a, struct entry *e)
{
	LIST_REMOVE(e, same_bucket);
	if (e->is_due)
		TAILQ_REMOVE(&a->due, e, due);
	a->count--;
	free(e);
}

/* The entry of conn, perhaps a new one without a connection yet; or NULL. */
static struct entry *entry_make(struct tap_asked *a, uint64_t conn)
{
	struct entry *e = find(a, conn);

	if (e != NULL)
		return e;
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return NULL;
	e->id = conn;
	LIST_INSERT_HEAD(&a->buckets[conn % BUCKETS], e, same_bucket);
	a->count++;
	return e;
}

static void entry_set_due(struct tap_asked *a, struct entry *e)
{
	if (!e->is_due)
		TAILQ_INSERT_TAIL(&a->due, e, due);
	e->is_due = true;
}

void tap_asked_want(struct tap_asked *a, uint64_t conn)
{
	struct entry *e;

	if (conn == 0) {
		a->all_wanted = true;
		return;
	}
	e = entry_make(a, conn);
	if (e != NULL)
		e->is_wanted = a->some_wanted = true;
}

/* Remove every entry, or those whose connection is not open. */
static void remove_entries(struct tap_asked *a, bool unknown_only)
{
	for (unsigned i = 0; i < BUCKETS; i++) {
		struct entry *e = LIST_FIRST(&a->buckets[i]);

		while (e != NULL) {
			struct entry *next = LIST_NEXT(e, same_bucket);

			if (!unknown_only || e->c == NULL)
				entry_remove(a, e);
			e = next;
		}
	}
}

void tap_asked_resolve(struct tap_asked *a, const struct conn_list *conns)
{
	const struct conn *c;

	if (!a->all_wanted && !a->some_wanted)
		return;
	TAILQ_FOREACH(c, conns, all) {
		struct entry *e = a->all_wanted ? entry_make(a, c->id) : find(a, c->id);

		if (e == NULL || !(a->all_wanted || e->is_wanted))
			continue;
		e->c = c;
		e->is_wanted = false;
		entry_set_due(a, e);
	}
	if (a->some_wanted)
		remove_entries(a, true);
	a->all_wanted = a->some_wanted = false;
}

void tap_asked_remove(struct tap_asked *a, uint64_t conn)
{
	struct entry *e = a->count > 0 ? find(a, conn) : NULL;

	if (e != NULL)
		entry_remove(a, e);
}

void tap_asked_clear(struct tap_asked *a)
{
	remove_entries(a, false);
	a->all_wanted = a->some_wanted = false;
}

bool tap_asked_has(const struct tap_asked *a, uint64_t conn)
{
	return UNLIKELY(a->count > 0) && find(a, conn) != NULL;
}

const struct conn *tap_asked_take_due(struct tap_asked *a)
{
	struct entry *e = TAILQ_FIRST(&a->due);

	if (e == NULL)
		return NULL;
	TAILQ_REMOVE(&a->due, e, due);
	e->is_due = false;
	return e->c;
}

bool tap_asked_is_due(const struct tap_asked *a)
{
	return !TAILQ_EMPTY(&a->due);
}
