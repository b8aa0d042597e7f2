/*
 * key_log.c -- a text that grows line by line, and leaves nothing behind.
 */
#include "trace/key_log.h"

#include <stdlib.h>
#include <string.h>

#define CAP_FIRST 4096

void key_log_clear(struct key_log *k)
{
	if (k->len > 0)
		explicit_bzero(k->text, k->len);
	k->len = 0;
}

void key_log_fini(struct key_log *k)
{
	key_log_clear(k);
	free(k->text);
	*k = (struct key_log){0};
}

/* Not realloc(), which would leave a copy behind. */
static bool make_room(struct key_log *k, size_t len)
{
	size_t cap = k->cap > 0 ? k->cap : CAP_FIRST;
	char *text;

	if (k->cap - k->len >= len)
		return true;
	while (cap - k->len < len)
		cap *= 2;
	text = malloc(cap);
	if (text == NULL)
		return false;
	if (k->len > 0)
		memcpy(text, k->text, k->len);
	len = k->len;
	key_log_fini(k);
	*k = (struct key_log){.text = text, .len = len, .cap = cap};
	return true;
}

bool key_log_add(struct key_log *k, const char *line, size_t len)
{
	if (!make_room(k, len + 1))
		return false;
	memcpy(k->text + k->len, line, len);
	k->len += len;
	k->text[k->len++] = '\n';
	return true;
}
