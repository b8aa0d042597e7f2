/*
 * sacks.c -- a small set of sequence ranges.
 *
 * Invariant: no two ranges touch.
 */
#include "trace/sacks.h"

#include <stddef.h>

#include "trace/seqnum.h"

static void take_out(struct sacks *s, unsigned i)
{
	s->at[i] = s->at[--s->count];
}

bool sacks_add(struct sacks *s, uint32_t left, uint32_t right)
{
	unsigned i = 0;

	if (!seq_before(left, right) || sacks_hold(s, left, right))
		return false;
	while (i < s->count) {
		const struct sack_range r = s->at[i];

		if (seq_before(right, r.left) || seq_before(r.right, left)) {
			i++;
			continue;
		}
		left = seq_before(r.left, left) ? r.left : left;
		right = seq_before(right, r.right) ? r.right : right;
		take_out(s, i);
	}
	if (s->count < SACKS_MAX)
		s->at[s->count++] = (struct sack_range){left, right};
	return true;
}

void sacks_drop(struct sacks *s, uint32_t acked)
{
	unsigned i = 0;

	while (i < s->count) {
		struct sack_range *r = &s->at[i];

		if (!seq_after(r->right, acked)) {
			take_out(s, i);
			continue;
		}
		if (seq_before(r->left, acked))
			r->left = acked;
		i++;
	}
}

bool sacks_hold(const struct sacks *s, uint32_t left, uint32_t right)
{
	for (unsigned i = 0; s != NULL && i < s->count; i++)
		if (!seq_before(left, s->at[i].left) && !seq_after(right, s->at[i].right))
			return true;
	return false;
}

bool sacks_above(const struct sacks *s, uint32_t seq)
{
	for (unsigned i = 0; s != NULL && i < s->count; i++)
		if (seq_after(s->at[i].right, seq))
			return true;
	return false;
}
