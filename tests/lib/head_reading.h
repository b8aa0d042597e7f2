/*
 * head_reading.h -- reads the same head in every way it can arrive, and holds the results together.
 *
 * Each time the bytes lie elsewhere, and end at a page that nobody may touch.
 */
#ifndef TESTS_LIB_HEAD_READING_H
#define TESTS_LIB_HEAD_READING_H

#include <stdbool.h>
#include <stddef.h>

#include "common/http_head.h"

/* What is read, and how. Zero limits mean 4096 bytes and 32 fields. */
struct head_input {
	enum http_kind kind;
	const char *bytes;
	size_t len;
	struct http_limits limits;
	enum http_method request_method;
	bool request_upgrade;
};

/* A string literal, the usual limits. */
#define REQUEST_OF(text) \
	((struct head_input){.kind = HTTP_REQUEST, .bytes = (text), .len = sizeof(text) - 1})
#define RESPONSE_OF(text)                             \
	((struct head_input){.kind = HTTP_RESPONSE,   \
			     .bytes = (text),         \
			     .len = sizeof(text) - 1, \
			     .request_method = HTTP_METHOD_GET})

/*
 * Read it at once, byte by byte, and split in two at every place.
 *
 * h        zero or used before; left as the last reading left it (offsets are into in->bytes)
 * differs  NULL when all agreed on everything that can be seen in h, else what did not
 */
enum http_progress head_read_every_way(struct http_head *h, const struct head_input *in,
				       const char **differs);

/* Everything that can be seen of h, as text: a new string, to be freed. */
char *head_describe(const struct http_head *h, const char *bytes, enum http_progress progress);

bool slice_is(const char *bytes, struct http_slice s, const char *text);

#endif
