/*
 * byte_source.c -- a window that moves over a file or a pipe.
 *
 * Never seeks, so that a pipe will do, and knows nothing of what it reads.
 *
 * Invariant: buf[start, end) are the bytes read (unpacked) and not yet passed; the first is at
 * `offset`. packed[packed_start, packed_end) were read and not yet unpacked; the first is at
 * `packed_offset` of the file.
 */
#include "trace/byte_source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES (256U * 1024)

struct byte_source {
	int fd;
	bool ended;
	uint8_t *buf;
	size_t cap;
	size_t start;
	size_t end;
	uint64_t offset;
	struct unpack *unpack; /* NULL: the file is not compressed */
	enum unpack_format format;
	uint8_t *packed; /* READ_BYTES */
	size_t packed_start;
	size_t packed_end;
	uint64_t packed_offset;
	bool holds_back; /* more may come out without input: there was no room for it */
	char fault[128]; /* "": none */
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
	unpack_free(s->unpack);
	free(s->packed);
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
		snprintf(s->fault, sizeof(s->fault), "no memory");
		return false;
	}
	s->buf = buf;
	s->cap = n;
	return true;
}

/* Up to len bytes of the file; 0 at its end, or with the fault set. */
static size_t read_file(struct byte_source *s, uint8_t *to, size_t len)
{
	ssize_t n;

	do
		n = read(s->fd, to, len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		snprintf(s->fault, sizeof(s->fault), "cannot read: %s", strerror(errno));
	return n > 0 ? (size_t)n : 0;
}

/* The file is at its end: is its data, too? */
static void end_packed(struct byte_source *s)
{
	s->ended = true;
	if (s->fault[0] == '\0' && !unpack_may_end(s->unpack))
		snprintf(s->fault, sizeof(s->fault),
			 "the file ends at byte %llu in the middle of its %s data",
			 (unsigned long long)s->packed_offset, unpack_name(s->format));
}

static void break_packed(struct byte_source *s, const char *why)
{
	s->ended = true;
	snprintf(s->fault, sizeof(s->fault), "at byte %llu of the file: %s",
		 (unsigned long long)s->packed_offset, why);
}

/* One read's worth at most; it may be that nothing comes out yet. */
static void unpack_more(struct byte_source *s)
{
	struct unpack_io io = {.out = s->buf + s->end, .out_left = s->cap - s->end};
	const char *fault;
	size_t used;

	if (s->packed_start == s->packed_end && !s->holds_back) {
		s->packed_start = 0;
		s->packed_end = read_file(s, s->packed, READ_BYTES);
		if (s->packed_end == 0) {
			end_packed(s);
			return;
		}
	}
	io.in = s->packed + s->packed_start;
	io.in_left = s->packed_end - s->packed_start;
	fault = unpack_step(s->unpack, &io);
	used = s->packed_end - s->packed_start - io.in_left;
	s->packed_start += used;
	s->packed_offset += used;
	s->end = s->cap - io.out_left;
	s->holds_back = io.out_left == 0;
	if (fault != NULL)
		break_packed(s, fault);
}

static void read_more(struct byte_source *s)
{
	size_t n;

	if (s->unpack != NULL) {
		unpack_more(s);
		return;
	}
	n = read_file(s, s->buf + s->end, s->cap - s->end);
	s->end += n;
	s->ended = n == 0;
}

bool byte_source_unpack(struct byte_source *s, enum unpack_format format)
{
	s->packed = malloc(READ_BYTES);
	s->unpack = s->packed != NULL ? unpack_new(format) : NULL;
	if (s->unpack == NULL)
		return false;
	s->format = format;
	s->packed_end = s->end - s->start;
	memcpy(s->packed, s->buf + s->start, s->packed_end);
	s->start = 0;
	s->end = 0;
	s->ended = false;
	return true;
}

bool byte_source_is_packed(const struct byte_source *s)
{
	return s->unpack != NULL;
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

const char *byte_source_fault(const struct byte_source *s)
{
	return s->fault[0] != '\0' ? s->fault : NULL;
}
