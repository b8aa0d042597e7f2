/*
 * text.c -- a growing byte string.
 */
#include "tests/tools/lib/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_init(struct text *t, size_t max)
{
	*t = (struct text){.max = max};
}

void text_fini(struct text *t)
{
	free(t->data);
	*t = (struct text){0};
}

static bool text_reserve(struct text *t, size_t len)
{
	size_t room = t->room > 0 ? t->room : 256;
	char *data;

	if (t->failed || len > SIZE_MAX / 4 || (t->max > 0 && len > t->max - t->len)) {
		t->failed = true;
		return false;
	}
	while (room - t->len < len)
		room *= 2;
	if (room == t->room)
		return true;
	data = realloc(t->data, room);
	if (data == NULL) {
		t->failed = true;
		return false;
	}
	t->data = data;
	t->room = room;
	return true;
}

void text_add(struct text *t, const void *bytes, size_t len)
{
	if (len == 0 || !text_reserve(t, len))
		return;
	memcpy(t->data + t->len, bytes, len);
	t->len += len;
}

void text_put(struct text *t, const char *string)
{
	text_add(t, string, strlen(string));
}

void text_format(struct text *t, const char *format, ...)
{
	char line[1024];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(line))
		t->failed = true;
	else
		text_add(t, line, (size_t)n);
}

void text_put_xml(struct text *t, const char *string)
{
	for (const char *p = string; *p != '\0'; p++) {
		switch (*p) {
		case '&':
			text_put(t, "&amp;");
			break;
		case '<':
			text_put(t, "&lt;");
			break;
		case '>':
			text_put(t, "&gt;");
			break;
		case '"':
			text_put(t, "&quot;");
			break;
		default:
			text_add(t, p, 1);
		}
	}
}
