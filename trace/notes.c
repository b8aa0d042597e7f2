/*
 * notes.c -- a list of notes, sorted by position; in the order of frames where they share one.
 *
 * Invariant: head + count <= cap, and no note is longer than `longest`.
 */
#include "trace/notes.h"

#include <stdlib.h>
#include <string.h>

#define CAP_FIRST 8

void notes_fini(struct notes *n)
{
	free(n->at);
	*n = (struct notes){0};
}

static bool make_room(struct notes *n)
{
	uint32_t cap = n->cap == 0 ? CAP_FIRST : 2 * n->cap;
	struct note *at;

	if (n->head + n->count < n->cap)
		return true;
	if (n->head > n->count) {
		memmove(n->at, n->at + n->head, (size_t)n->count * sizeof(*n->at));
		n->head = 0;
		return true;
	}
	if (n->cap > UINT32_MAX / 4)
		return false;
	at = realloc(n->at, (size_t)cap * sizeof(*at));
	if (at == NULL)
		return false;
	n->at = at;
	n->cap = cap;
	return true;
}

bool notes_add(struct notes *n, const struct note *note)
{
	struct note *at;
	uint32_t i;

	if (!make_room(n))
		return false;
	at = n->at + n->head;
	for (i = n->count; i > 0 && at[i - 1].pos > note->pos; i--)
		at[i] = at[i - 1];
	at[i] = *note;
	n->count++;
	n->longest = MAX(n->longest, note->len);
	return true;
}

void notes_forget(struct notes *n, uint64_t pos)
{
	while (n->count > 0 && n->at[n->head].pos + n->at[n->head].len <= pos) {
		n->head++;
		n->count--;
	}
	if (n->count == 0 && n->cap > 0)
		notes_fini(n);
}

uint32_t notes_find(const struct notes *n, uint64_t pos)
{
	uint64_t from = pos > n->longest ? pos - n->longest : 0;
	uint32_t low = 0, high = n->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (n->at[n->head + middle].pos < from)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void notes_tally(const struct notes *n, uint64_t first, uint64_t past, uint64_t from_ns,
		 uint64_t until_ns, struct tally *t)
{
	for (uint32_t i = notes_find(n, first); i < n->count; i++) {
		const struct note *note = &n->at[n->head + i];

		if (note->pos >= past)
			return;
		if (note->pos + note->len > first && note->ts_ns >= from_ns &&
		    note->ts_ns <= until_ns)
			tally_add(t, note->frame, note->label, note->ws);
	}
}
