/*
 * sorter.c -- puts packets of several captures into time order.
 *
 * Each interface delivers nearly in order, so its packets stand in a queue of their own; the few
 * that are earlier than the last of their queue go to a heap. What comes out next is the least of
 * the queues' heads and the heap's top. Knows no clock.
 *
 * Invariant: each queue ascends by (stamp, arrival), and nothing that is held is earlier than what
 * was taken, but for the late ones, which have a queue of their own.
 */
#include "trace/sorter.h"

#include <stdlib.h>
#include <string.h>

#include "trace/packet_store.h"

#define QUEUES_MAX  64U /* interfaces beyond use the heap alone */
#define QUEUE_FIRST 64U

struct entry {
	struct packet p;
	uint64_t arrival;
	struct packet_slab *slab;
};

/* A ring. cap is 0 or a power of two. */
struct queue {
	struct entry *at;
	uint32_t first;
	uint32_t count;
	uint32_t cap;
};

struct sorter {
	struct queue queues[QUEUES_MAX];
	uint32_t queue_count; /* those that were ever used are below it */
	struct queue late;
	struct entry *heap;
	uint32_t heap_count;
	uint32_t heap_cap;
	struct packet_store store;
	struct packet_slab *given; /* of the packet that was taken last */
	uint64_t taken_ns;
	uint64_t arrivals;
	uint64_t late_count;
	size_t bytes;
};

struct sorter *sorter_new(void)
{
	return calloc(1, sizeof(struct sorter));
}

static struct entry *queue_head(const struct queue *q)
{
	return &q->at[q->first];
}

static struct entry *queue_last(const struct queue *q)
{
	return &q->at[(q->first + q->count - 1) & (q->cap - 1)];
}

static bool queue_grow(struct queue *q)
{
	uint32_t cap = q->cap == 0 ? QUEUE_FIRST : q->cap * 2, head = q->cap - q->first;
	struct entry *at;

	if (q->count < q->cap)
		return true;
	if (cap == 0 || (at = malloc((size_t)cap * sizeof(*at))) == NULL)
		return false;
	if (q->count > 0) { /* full: first .. cap, then 0 .. first */
		memcpy(at, q->at + q->first, head * sizeof(*at));
		memcpy(at + head, q->at, q->first * sizeof(*at));
	}
	free(q->at);
	q->at = at;
	q->first = 0;
	q->cap = cap;
	return true;
}

static bool queue_put(struct queue *q, const struct entry *e)
{
	if (!queue_grow(q))
		return false;
	q->count++;
	*queue_last(q) = *e;
	return true;
}

static struct entry queue_take(struct queue *q)
{
	struct entry e = *queue_head(q);

	q->first = (q->first + 1) & (q->cap - 1);
	q->count--;
	return e;
}

static bool is_before(const struct entry *a, const struct entry *b)
{
	if (a->p.ts_ns != b->p.ts_ns)
		return a->p.ts_ns < b->p.ts_ns;
	if (a->p.iface != b->p.iface)
		return a->p.iface < b->p.iface;
	return a->arrival < b->arrival;
}

static bool heap_put(struct sorter *s, const struct entry *e)
{
	uint32_t i = s->heap_count;

	if (i == s->heap_cap) {
		uint32_t cap = s->heap_cap == 0 ? QUEUE_FIRST : s->heap_cap * 2;
		struct entry *heap = cap > 0 ? realloc(s->heap, (size_t)cap * sizeof(*heap)) : NULL;

		if (heap == NULL)
			return false;
		s->heap = heap;
		s->heap_cap = cap;
	}
	s->heap_count++;
	while (i > 0 && is_before(e, &s->heap[(i - 1) / 2])) {
		s->heap[i] = s->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	s->heap[i] = *e;
	return true;
}

static struct entry heap_take(struct sorter *s)
{
	struct entry top = s->heap[0], last = s->heap[--s->heap_count];
	uint32_t i = 0, child;

	while ((child = 2 * i + 1) < s->heap_count) {
		if (child + 1 < s->heap_count && is_before(&s->heap[child + 1], &s->heap[child]))
			child++;
		if (!is_before(&s->heap[child], &last))
			break;
		s->heap[i] = s->heap[child];
		i = child;
	}
	s->heap[i] = last;
	return top;
}

static void release_given(struct sorter *s)
{
	if (s->given == NULL)
		return;
	packet_store_drop(&s->store, s->given);
	s->given = NULL;
}

static size_t entry_bytes(const struct entry *e)
{
	return e->p.cap_len + sizeof(*e);
}

/* The place for e among late, its interface's queue and the heap. */
static bool put_entry(struct sorter *s, const struct entry *e)
{
	struct queue *q = e->p.iface < QUEUES_MAX ? &s->queues[e->p.iface] : NULL;

	if (e->p.ts_ns < s->taken_ns) {
		if (!queue_put(&s->late, e))
			return false;
		s->late_count++;
		return true;
	}
	if (q == NULL || (q->count > 0 && e->p.ts_ns < queue_last(q)->p.ts_ns))
		return heap_put(s, e);
	s->queue_count = MAX(s->queue_count, e->p.iface + 1);
	return queue_put(q, e);
}

bool sorter_put(struct sorter *s, const struct packet *p)
{
	struct entry e = {.p = *p, .arrival = s->arrivals};

	release_given(s);
	e.p.bytes = packet_store_keep(&s->store, p->bytes, p->cap_len, &e.slab);
	if (e.p.bytes == NULL)
		return false;
	if (!put_entry(s, &e)) {
		packet_store_drop(&s->store, e.slab);
		return false;
	}
	s->arrivals++;
	s->bytes += entry_bytes(&e);
	return true;
}

static bool give_out(struct sorter *s, const struct entry *e, struct packet *p)
{
	*p = e->p;
	s->given = e->slab;
	s->bytes -= entry_bytes(e);
	return true;
}

bool sorter_take(struct sorter *s, uint64_t until_ns, struct packet *p)
{
	const struct entry *best = s->heap_count > 0 ? &s->heap[0] : NULL;
	struct queue *from = NULL;
	struct entry e;

	release_given(s);
	if (s->late.count > 0) {
		e = queue_take(&s->late);
		return give_out(s, &e, p);
	}
	for (uint32_t i = 0; i < s->queue_count; i++) {
		struct queue *q = &s->queues[i];

		if (q->count == 0 || (best != NULL && !is_before(queue_head(q), best)))
			continue;
		best = queue_head(q);
		from = q;
	}
	if (best == NULL || best->p.ts_ns > until_ns)
		return false;
	e = from != NULL ? queue_take(from) : heap_take(s);
	s->taken_ns = e.p.ts_ns;
	return give_out(s, &e, p);
}

void sorter_free(struct sorter *s)
{
	struct packet p;

	if (s == NULL)
		return;
	while (sorter_take(s, UINT64_MAX, &p))
		;
	packet_store_fini(&s->store);
	for (uint32_t i = 0; i < QUEUES_MAX; i++)
		free(s->queues[i].at);
	free(s->late.at);
	free(s->heap);
	free(s);
}

uint64_t sorter_late(const struct sorter *s)
{
	return s->late_count;
}

size_t sorter_bytes(const struct sorter *s)
{
	return s->bytes;
}
