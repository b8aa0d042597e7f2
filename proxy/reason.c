/*
 * reason.c -- the table of reason.h as data.
 */
#include "proxy/reason.h"

#include <assert.h>

static const struct reason_info infos[REASON_COUNT] = {
#define X(name, word, status, sentence) [REASON_##name] = {word, sentence, status},
	REASONS(X)
#undef X
};

const struct reason_info *reason_info(enum reason r)
{
	assert(r < REASON_COUNT);
	return &infos[r];
}
