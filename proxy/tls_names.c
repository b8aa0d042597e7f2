/*
 * tls_names.c -- a sorted array of names, searched by halves.
 *
 * Invariant: the names are in lower case, sorted by strcmp() and different from each other.
 */
#include "proxy/tls_names.h"

#include <stdlib.h>
#include <string.h>

struct name {
	char *text;
	unsigned value;
};

struct tls_names {
	struct name *names;
	size_t count;
	size_t room;
};

struct tls_names *tls_names_new(void)
{
	return calloc(1, sizeof(struct tls_names));
}

void tls_names_free(struct tls_names *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->count; i++)
		free(t->names[i].text);
	free(t->names);
	free(t);
}

/* In lower case and without the last dot; false for what is no host name. */
static bool name_normalize(const char *name, size_t len, char out[TLS_NAME_MAX + 1])
{
	if (len > 0 && name[len - 1] == '.')
		len--;
	if (len == 0 || len > TLS_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c <= ' ' || c >= 0x7f)
			return false;
		out[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
	}
	out[len] = '\0';
	return true;
}

/* Where text stands, or would have to. */
static size_t names_place(const struct tls_names *t, const char *text)
{
	size_t low = 0;
	size_t high = t->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(t->names[middle].text, text) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool names_at(const struct tls_names *t, size_t at, const char *text)
{
	return at < t->count && strcmp(t->names[at].text, text) == 0;
}

static bool names_grow(struct tls_names *t)
{
	size_t room = t->room == 0 ? 8 : t->room * 2;
	struct name *grown;

	if (t->count < t->room)
		return true;
	grown = realloc(t->names, room * sizeof(*grown));
	if (grown == NULL)
		return false;
	t->names = grown;
	t->room = room;
	return true;
}

/* A star stands for one whole label, the first, and two labels stand behind it. */
static bool is_wildcard_well(const char *text)
{
	const char *star = strchr(text, '*');

	if (star == NULL)
		return true;
	return star == text && text[1] == '.' && strchr(text + 1, '*') == NULL &&
	       strchr(text + 2, '.') != NULL;
}

bool tls_names_add(struct tls_names *t, const char *name, size_t len, unsigned value)
{
	char text[TLS_NAME_MAX + 1];
	size_t at;
	char *copy;

	if (!name_normalize(name, len, text) || !is_wildcard_well(text))
		return true;
	at = names_place(t, text);
	if (names_at(t, at, text))
		return true;
	copy = strdup(text);
	if (copy == NULL || !names_grow(t)) {
		free(copy);
		return false;
	}
	memmove(t->names + at + 1, t->names + at, (t->count - at) * sizeof(*t->names));
	t->names[at] = (struct name){.text = copy, .value = value};
	t->count++;
	return true;
}

bool tls_names_find(const struct tls_names *t, const char *name, size_t len, unsigned *value)
{
	char text[TLS_NAME_MAX + 1];
	size_t at;
	char *dot;

	if (!name_normalize(name, len, text) || strchr(text, '*') != NULL)
		return false;
	at = names_place(t, text);
	if (!names_at(t, at, text)) {
		dot = strchr(text, '.');
		if (dot == NULL || dot == text)
			return false;
		*--dot = '*';
		at = names_place(t, dot);
		if (!names_at(t, at, dot))
			return false;
	}
	*value = t->names[at].value;
	return true;
}

bool tls_names_equal(const struct tls_names *a, const struct tls_names *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->names[i].text, b->names[i].text) != 0)
			return false;
	return true;
}

size_t tls_names_count(const struct tls_names *t)
{
	return t->count;
}
