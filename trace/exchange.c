/*
 * exchange.c -- how much memory an exchange takes.
 */
#include "trace/exchange.h"

#include <stdlib.h>
#include <string.h>

static size_t size_with(unsigned tries)
{
	return offsetof(struct exchange, x) + exchange_record_len(tries);
}

struct exchange *exchange_new(bool has_tries)
{
	void *bytes = calloc(1, size_with(has_tries ? EXCHANGE_ATTEMPTS_MAX - 1 : 0));
	struct exchange *x = bytes;

	if (x != NULL)
		memcpy((char *)bytes + offsetof(struct exchange, has_tries), &has_tries,
		       sizeof(has_tries));
	return x;
}

void exchange_copy(struct exchange *to, const struct exchange *from)
{
	memcpy(to, from, size_with(0));
	to->has_tries = true;
}
