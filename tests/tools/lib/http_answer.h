/*
 * http_answer.h -- read an answer of known length, as the load clients do: count its bytes and see
 * that it is what was asked for.
 *
 * For load on loopback and nothing else: an answer without Content-Length is wrong here.
 */
#ifndef TESTS_TOOLS_LIB_HTTP_ANSWER_H
#define TESTS_TOOLS_LIB_HTTP_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"

#define HTTP_ANSWER_HEAD_MAX 2048

enum http_answer_state {
	HTTP_ANSWER_HEAD, /* of the head not every byte has come */
	HTTP_ANSWER_BODY, /* the head is read, body_left bytes are still to come */
	HTTP_ANSWER_DONE, /* every byte has come, and no more */
	HTTP_ANSWER_WRONG,
};

struct http_answer {
	enum http_answer_state state;
	const char *wrong; /* why, in WRONG */
	unsigned status;
	uint64_t body_bytes; /* as announced */
	uint64_t body_left;
	size_t head_len;
	char head[HTTP_ANSWER_HEAD_MAX];
};

void http_answer_init(struct http_answer *a);

/* Bytes as they come, in any pieces. The state after them. Bytes behind the answer are wrong. */
enum http_answer_state http_answer_add(struct http_answer *a, const char *data,
				       size_t len) MUST_CHECK;

#endif
