/*
 * loss_marks.c -- a short list of losses, oldest first.
 *
 * Invariant: marks ascend by `behind`. When there are too many, the newest take the place of one:
 * a loss may be told later than it was, never earlier.
 */
#include "trace/loss_marks.h"

#include <string.h>

#include "common/attrib.h"

void loss_marks_note(struct loss_marks *m, uint64_t kept, uint64_t lost)
{
	unsigned last = m->count - 1;

	if (lost == 0)
		return;
	if (m->count == LOSS_MARKS_MAX || (m->count > 0 && m->mark[last].behind >= kept)) {
		m->mark[last].behind = MAX(m->mark[last].behind, kept);
		m->mark[last].lost += lost;
	} else {
		m->mark[m->count].behind = kept;
		m->mark[m->count++].lost = lost;
	}
	m->next = m->mark[0].behind;
}

void loss_marks_sync(struct loss_marks *m, uint64_t kept)
{
	m->passed = MAX(m->passed, kept);
}

uint32_t loss_marks_take(struct loss_marks *m)
{
	uint64_t lost = 0;
	unsigned taken = 0;

	while (taken < m->count && m->passed >= m->mark[taken].behind)
		lost += m->mark[taken++].lost;
	m->count -= taken;
	memmove(m->mark, m->mark + taken, m->count * sizeof(m->mark[0]));
	m->next = m->count > 0 ? m->mark[0].behind : 0;
	return (uint32_t)MIN(lost, UINT32_MAX);
}
