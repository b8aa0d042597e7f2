/*
 * mark_list.c -- a sorted list of marks in one sliding array.
 *
 * Never looks at what the marks mean and never sorts: order is what the caller makes of it, and
 * only mark_list_find() needs it.
 *
 * Invariant: head + count <= cap, and count == 0 implies head == 0.
 */
#include "trace/mark_list.h"

#include <stdlib.h>
#include <string.h>

#define CAP_FIRST 8
#define CAP_KEPT  256 /* lists this small are not made smaller */
/*
 * What was dropped is made use of when it is this part of what is live: each mark is then moved so
 * many times at most while it lives, and a list that keeps its length has as much more room.
 */
#define SLIDES 4

void mark_list_fini(struct mark_list *l)
{
	free(l->at);
	*l = (struct mark_list){0};
}

static bool set_cap(struct mark_list *l, uint32_t cap)
{
	struct mark *at = realloc(l->at, (size_t)cap * sizeof(*at));

	if (at == NULL)
		return false;
	l->at = at;
	l->cap = cap;
	return true;
}

static void slide_to_front(struct mark_list *l)
{
	memmove(l->at, l->at + l->head, (size_t)l->count * sizeof(*l->at));
	l->head = 0;
}

/* Room for one more behind the last. There may be thousands of long lists: they grow by a quarter. */
static bool make_room(struct mark_list *l)
{
	if (l->head + l->count < l->cap)
		return true;
	if (l->head > l->count / SLIDES) {
		slide_to_front(l);
		return true;
	}
	if (l->cap > UINT32_MAX / 2)
		return false;
	if (l->cap < CAP_KEPT)
		return set_cap(l, l->cap == 0 ? CAP_FIRST : l->cap * 2);
	return set_cap(l, l->cap + l->cap / SLIDES);
}

bool mark_list_insert(struct mark_list *l, uint32_t i, const struct mark *m)
{
	struct mark *at;

	if (l->head > 0 && i < l->count / 2) {
		l->head--;
		at = mark_list_get(l, 0);
		memmove(at, at + 1, (size_t)i * sizeof(*at));
	} else {
		if (!make_room(l))
			return false;
		at = mark_list_get(l, i);
		memmove(at + 1, at, (size_t)(l->count - i) * sizeof(*at));
	}
	l->count++;
	*mark_list_get(l, i) = *m;
	/* There are many lists, and the next mark of this one comes much later: fetch its place now. */
	__builtin_prefetch(mark_list_get(l, l->count + 2), 1);
	return true;
}

void mark_list_drop(struct mark_list *l, uint32_t n)
{
	if (n >= l->count) {
		l->head = 0;
		l->count = 0;
		if (l->cap > CAP_KEPT)
			mark_list_fini(l);
		return;
	}
	l->head += n;
	l->count -= n;
	if (l->cap > CAP_KEPT && l->count < l->cap / 4) {
		slide_to_front(l);
		(void)set_cap(l, l->cap / 2);
	}
}

/*
 * In growing steps from the front, then by halves between the last two: what is looked for stands
 * nearly always there, since the exchange that settles next has the oldest bytes. The end of a long
 * list is not touched for that.
 */
uint32_t mark_list_find(const struct mark_list *l, uint64_t pos)
{
	uint32_t low = 0, high = 1;

	while (high < l->count && mark_list_get(l, high - 1)->pos < pos) {
		low = high;
		high *= 2;
	}
	high = MIN(high, l->count);
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (mark_list_get(l, middle)->pos < pos)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}
