/*
 * buf.c -- the byte buffer of buf.h. Grows by doubling; never shrinks but in buf_reset().
 */
#include "proxy/buf.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BUF_MIN 512

bool buf_reserve(struct buf *b, size_t n)
{
	size_t left = buf_left(b);
	size_t cap = b->cap > 0 ? b->cap : BUF_MIN;
	char *data;

	if (b->cap - b->len >= n && b->data != NULL)
		return true;
	if (b->at > 0 && b->data != NULL) {
		memmove(b->data, b->data + b->at, left);
		b->at = 0;
		b->len = (uint32_t)left;
		if (b->cap - b->len >= n)
			return true;
	}
	if (n > UINT32_MAX / 4 || left > UINT32_MAX / 4)
		return false;
	while (cap < left + n)
		cap *= 2;
	data = realloc(b->data, cap);
	if (data == NULL)
		return false;
	b->data = data;
	b->cap = (uint32_t)cap;
	return true;
}

bool buf_append(struct buf *b, const void *bytes, size_t n)
{
	if (n == 0)
		return true;
	if (!buf_reserve(b, n))
		return false;
	memcpy(b->data + b->len, bytes, n);
	b->len += (uint32_t)n;
	return true;
}

void buf_consume(struct buf *b, size_t n)
{
	assert(n <= buf_left(b));
	b->at += (uint32_t)n;
	if (b->at == b->len)
		b->at = b->len = 0;
}

void buf_reset(struct buf *b, size_t keep)
{
	b->at = b->len = 0;
	if (b->cap > keep)
		buf_fini(b);
}

void buf_fini(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}
