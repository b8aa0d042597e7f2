/*
 * json.h -- writes JSON text by hand into a buffer the caller gives; never allocates, never prints.
 *
 * A writer that ran full sets `full`, keeps what fitted and writes nothing more: look at it once at
 * the end and throw the line away (or give more room). Commas are the writer's business: between
 * values of an array or members of an object they are put where needed.
 */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/addr.h"

struct json {
	char *at;
	char *end;
	char *start;
	bool full;
	bool comma; /* a comma is due before the next value or key */
};

static inline void json_init(struct json *j, char *buf, size_t cap)
{
	*j = (struct json){.at = buf, .end = buf + cap, .start = buf};
}

static inline size_t json_len(const struct json *j)
{
	return (size_t)(j->at - j->start);
}

/* Bytes that are JSON already, as they are; no comma is added, but one is due afterwards. */
void json_raw(struct json *j, const char *bytes, size_t len);

void json_object_begin(struct json *j);
void json_object_end(struct json *j);
void json_array_begin(struct json *j);
void json_array_end(struct json *j);

/* The key of the next value. Plain text without anything to escape. */
void json_key(struct json *j, const char *key);

void json_null(struct json *j);
void json_bool(struct json *j, bool value);
void json_u64(struct json *j, uint64_t value);
void json_i64(struct json *j, int64_t value);

/*
 * A string from outside: escaped as JSON asks, valid UTF-8 kept, any other byte written as the four
 * characters \xNN (the backslash escaped). U+2028, U+2029 and controls are escaped.
 */
void json_string(struct json *j, const char *bytes, size_t len);

/*
 * The same where there is room for sure (6 * len + 2 bytes): written at p, returns where the next
 * byte goes. Quick when nothing is to be escaped.
 */
char *json_put_string(char *p, const char *bytes, size_t len);

/* NUL-terminated text of our own, escaped the same. */
void json_text(struct json *j, const char *text);

/* 16 and 8 lower-case hexadecimal digits, as ids and runs are written. */
void json_hex64(struct json *j, uint64_t value);
void json_hex32(struct json *j, uint32_t value);

/* A moment as clock_format() writes it, in quotes. */
void json_clock(struct json *j, uint64_t real_ns);

/* "127.0.0.1:8585" in quotes; null when the family is ADDR_NONE. */
void json_addr(struct json *j, const struct addr *a);

/* End of an NDJSON line. */
void json_newline(struct json *j);

#endif
