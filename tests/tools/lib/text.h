/*
 * text.h -- a growing byte string.
 *
 * A text that could not grow (no memory, or its limit reached) keeps what it has and sets
 * `failed`, so that a whole document may be written and looked at once.
 */
#ifndef TESTS_TOOLS_LIB_TEXT_H
#define TESTS_TOOLS_LIB_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/attrib.h"

struct text {
	char *data; /* not terminated; NULL while empty */
	size_t len;
	size_t room;
	size_t max; /* 0: no limit */
	bool failed;
};

void text_init(struct text *t, size_t max);
void text_fini(struct text *t);

void text_add(struct text *t, const void *bytes, size_t len);
void text_put(struct text *t, const char *string);
void text_format(struct text *t, const char *format, ...) PRINTF_LIKE(2, 3);

/* The string as XML character data or attribute value: & < > " are escaped. */
void text_put_xml(struct text *t, const char *string);

#endif
