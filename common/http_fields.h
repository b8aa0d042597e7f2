/*
 * http_fields.h -- field names, tokens and comma-separated lists (RFC 9110 sections 5.1, 5.6).
 *
 * Pure functions over bytes that the caller knows the end of. For the codec and those who write
 * heads.
 */
#ifndef COMMON_HTTP_FIELDS_H
#define COMMON_HTTP_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"
#include "common/http_head.h"

/* Which field this name means, in any case of letters. The name must be a token. */
enum http_field_id http_field_id(const char *name, size_t len);

/* Passed on whatever Connection says, since others must not take it from the message. */
bool http_field_protected(enum http_field_id id);

/* May not stand in a trailer section, or not beyond this hop (RFC 9110 section 6.5.1). */
bool http_trailer_forbidden(const char *name, size_t len);

extern const bool http_tchars[256];

/* A char that may stand in a token (RFC 9110 section 5.6.2). */
static inline bool http_is_tchar(char c)
{
	return http_tchars[(uint8_t)c];
}

/* SP or HTAB: what optional white space is made of (RFC 9110 section 5.6.3). */
static inline bool http_is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* One tchar or more, and nothing else. */
bool http_is_token(const char *text, size_t len);

/* Equal but for the case of ASCII letters; `lower` is in lower case. */
bool http_text_is(const char *text, size_t len, const char *lower);

/* Equal but for the case of ASCII letters, over len bytes of both. */
bool http_text_equal(const char *a, const char *b, size_t len);

/*
 * Next member of a comma-separated list, without surrounding white space; empty members are
 * skipped. False at the end. *at moves on towards end.
 */
bool http_list_next(const char **at, const char *end, const char **member, size_t *len);

/* True if the list in this field's value has that member. */
bool http_list_has(const char *value, size_t len, const char *lower);

/* 1*DIGIT up to `max`; false for anything else. */
bool http_digits_read(const char *text, size_t len, uint64_t max, uint64_t *value) MUST_CHECK;

#endif
