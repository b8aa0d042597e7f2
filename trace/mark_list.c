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

/* Room for one more behind the last. Sliding pays only when as many were dropped as are live. */
static bool make_room(struct mark_list *l)
{
	if (l->head + l->count < l->cap)
		return true;
	if (l->head > 0 && l->head >= l->count) {
		slide_to_front(l);
		return true;
	}
	if (l->cap > UINT32_MAX / 2)
		return false;
	return set_cap(l, l->cap == 0 ? CAP_FIRST : l->cap * 2);
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
	if (l->cap > CAP_KEPT && l->count < l->cap / 8) {
		slide_to_front(l);
		(void)set_cap(l, l->cap / 2);
	}
}

/* In growing steps from the front, then by halves between the last two. */
static uint32_t find_behind_first(const struct mark_list *l, uint64_t pos)
{
	uint32_t low = 1, high = 2;

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

/*
 * What is looked for stands nearly always at one of the ends: new segments and ACKs belong behind
 * the last mark, and the exchange that is settled next has its bytes at the front.
 */
uint32_t mark_list_find(const struct mark_list *l, uint64_t pos)
{
	if (l->count == 0 || mark_list_get(l, 0)->pos >= pos)
		return 0;
	if (mark_list_get(l, l->count - 1)->pos < pos)
		return l->count;
	return find_behind_first(l, pos);
}
