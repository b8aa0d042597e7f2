/*
 * verdict.c -- names the largest phase. Says nothing about causes: the legs do.
 */
#include "trace/verdict.h"

#include <stddef.h>

const char *verdict_word(const struct phases *p)
{
	unsigned largest = 0;

	if (p->total_us == PHASE_UNKNOWN)
		return NULL;
	for (unsigned i = 1; i < PHASES; i++)
		if (p->us[i] > p->us[largest])
			largest = i;
	return phase_word(largest);
}
