/*
 * buf.h -- a growing byte buffer that is consumed from the front.
 *
 * Zeroed memory is an empty buffer. Invariant: at <= len <= cap; empty means at == len == 0.
 */
#ifndef PROXY_BUF_H
#define PROXY_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"

struct buf {
	char *data;
	uint32_t at;
	uint32_t len;
	uint32_t cap;
};

static inline size_t buf_left(const struct buf *b)
{
	return b->len - b->at;
}

static inline char *buf_at(const struct buf *b)
{
	return b->data + b->at;
}

/* Room for n more bytes behind the content. False: no memory; the content is unchanged. */
bool buf_reserve(struct buf *b, size_t n) MUST_CHECK;

bool buf_append(struct buf *b, const void *bytes, size_t n) MUST_CHECK;

/* n bytes of the front are done with. */
void buf_consume(struct buf *b, size_t n);

/* Empty, memory kept if it is not larger than `keep`. */
void buf_reset(struct buf *b, size_t keep);

void buf_fini(struct buf *b);

#endif
