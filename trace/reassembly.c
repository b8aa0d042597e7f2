/*
 * reassembly.c -- a sorted list of pieces; segments that come too early come nearly in order, so
 * the search goes from the end.
 *
 * Invariant: pieces are sorted, do not overlap, and lie at or above `next`.
 */
#include "trace/reassembly.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct reassembly_piece {
	struct reassembly_piece *prev;
	struct reassembly_piece *next;
	struct piece p; /* bytes point behind this struct */
	char *text;     /* to be freed with it; p.bytes may have moved on */
};

static void unlink_piece(struct reassembly *r, struct reassembly_piece *k)
{
	*(k->prev != NULL ? &k->prev->next : &r->first) = k->next;
	*(k->next != NULL ? &k->next->prev : &r->last) = k->prev;
	r->pieces--;
	if (k->p.bytes != NULL)
		r->bytes -= (uint32_t)k->p.len;
	free(k->text);
	free(k);
}

void reassembly_fini(struct reassembly *r)
{
	struct reassembly_piece *k = r->first, *next;

	for (; k != NULL; k = next) {
		next = k->next;
		free(k->text);
		free(k);
	}
	reassembly_init(r, r->next);
}

/* [from, to) of p, behind the piece `after` (NULL: first). */
static bool insert(struct reassembly *r, struct reassembly_piece *after, const struct piece *p,
		   uint64_t from, uint64_t to)
{
	uint64_t len = to - from;
	struct reassembly_piece *k;

	if (r->pieces >= REASSEMBLY_PIECES_MAX ||
	    (p->bytes != NULL && len > REASSEMBLY_BYTES_MAX - r->bytes))
		return false;
	k = calloc(1, sizeof(*k));
	if (k == NULL)
		return false;
	k->p = *p;
	k->p.off = from;
	k->p.len = len;
	k->p.bytes = NULL;
	k->p.is_first = p->is_first && from == p->off;
	if (p->bytes != NULL) {
		k->text = malloc(len);
		if (k->text == NULL) {
			free(k);
			return false;
		}
		memcpy(k->text, p->bytes + (from - p->off), len);
		k->p.bytes = k->text;
		r->bytes += (uint32_t)len;
	}
	k->prev = after;
	k->next = after != NULL ? after->next : r->first;
	*(k->prev != NULL ? &k->prev->next : &r->first) = k;
	*(k->next != NULL ? &k->next->prev : &r->last) = k;
	r->pieces++;
	return true;
}

bool reassembly_keep(struct reassembly *r, const struct piece *p)
{
	uint64_t at = MAX(p->off, r->next), past = p->off + p->len;
	struct reassembly_piece *before = r->last;

	/* The last piece that begins at or before `at`. */
	while (before != NULL && before->p.off > at)
		before = before->prev;
	while (at < past) {
		const struct reassembly_piece *after = before != NULL ? before->next : r->first;
		uint64_t until = after != NULL ? MIN(past, after->p.off) : past;

		if (before != NULL)
			at = MAX(at, before->p.off + before->p.len);
		if (at < until) {
			if (!insert(r, before, p, at, until))
				return false;
			before = before != NULL ? before->next : r->first;
		}
		if (after == NULL || until == past)
			return true;
		at = until;
		before = before != NULL ? before->next : r->first;
	}
	return true;
}

bool reassembly_first(const struct reassembly *r, struct piece *out)
{
	if (r->first == NULL || r->first->p.off != r->next)
		return false;
	*out = r->first->p;
	return true;
}

void reassembly_take(struct reassembly *r, uint64_t len)
{
	struct reassembly_piece *k = r->first;

	r->next += len;
	if (k == NULL || k->p.off >= r->next)
		return;
	if (k->p.off + k->p.len <= r->next) {
		assert(k->p.off + k->p.len == r->next);
		unlink_piece(r, k);
		return;
	}
	len = r->next - k->p.off;
	if (k->p.bytes != NULL) {
		k->p.bytes += len;
		r->bytes -= (uint32_t)len;
	}
	k->p.off += len;
	k->p.len -= len;
	k->p.is_first = false;
}

uint64_t reassembly_gap(const struct reassembly *r)
{
	return r->first != NULL ? r->first->p.off - r->next : 0;
}
