/*
 * byte_source.c -- a window that moves over a file or a pipe.
 *
 * Never seeks, so that a pipe will do, and knows nothing of what it reads.
 *
 * Invariant: buf[start, end) are the bytes read and not yet passed; the first is at `offset`.
 */
#include "trace/byte_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES (256U * 1024)

struct byte_source {
	int fd;
	int error;
	bool ended;
	uint8_t *buf;
	size_t cap;
	size_t start;
	size_t end;
	uint64_t offset;
};

struct byte_source *byte_source_new(int fd)
{
	struct byte_source *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		if (fd != STDIN_FILENO)
			close(fd);
		return NULL;
	}
	s->fd = fd;
	s->cap = READ_BYTES;
	s->buf = malloc(s->cap);
	if (s->buf == NULL) {
		byte_source_free(s);
		return NULL;
	}
	return s;
}

void byte_source_free(struct byte_source *s)
{
	if (s == NULL)
		return;
	if (s->fd != STDIN_FILENO)
		close(s->fd);
	free(s->buf);
	free(s);
}

/* Room for n bytes from start on. */
static bool make_room(struct byte_source *s, size_t n)
{
	uint8_t *buf;

	if (s->cap - s->start >= n)
		return true;
	memmove(s->buf, s->buf + s->start, s->end - s->start);
	s->end -= s->start;
	s->start = 0;
	if (s->cap >= n)
		return true;
	buf = realloc(s->buf, n);
	if (buf == NULL) {
		s->error = ENOMEM;
		return false;
	}
	s->buf = buf;
	s->cap = n;
	return true;
}

static void read_more(struct byte_source *s)
{
	ssize_t n;

	do
		n = read(s->fd, s->buf + s->end, s->cap - s->end);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		s->error = errno;
	if (n <= 0)
		s->ended = true;
	else
		s->end += (size_t)n;
}

size_t byte_source_fill(struct byte_source *s, size_t n)
{
	if (s->end - s->start < n && make_room(s, n)) {
		while (s->end - s->start < n && !s->ended)
			read_more(s);
	}
	return s->end - s->start;
}

const uint8_t *byte_source_at(const struct byte_source *s)
{
	return s->buf + s->start;
}

bool byte_source_skip(struct byte_source *s, uint64_t n)
{
	for (;;) {
		size_t step = (size_t)MIN(n, s->end - s->start);

		s->start += step;
		s->offset += step;
		n -= step;
		if (n == 0)
			return true;
		s->start = 0;
		s->end = 0;
		if (byte_source_fill(s, 1) == 0)
			return false;
	}
}

uint64_t byte_source_offset(const struct byte_source *s)
{
	return s->offset;
}

int byte_source_error(const struct byte_source *s)
{
	return s->error;
}
