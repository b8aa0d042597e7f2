/*
 * byte_source.h -- a window that moves over a file or a pipe: what a reader of blocks needs.
 *
 * Reads ahead, never seeks, holds no more than was asked for at once (and its read size).
 */
#ifndef TRACE_BYTE_SOURCE_H
#define TRACE_BYTE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"

struct byte_source;

/* fd is owned from now on, unless it is standard input. NULL: no memory (fd is closed). */
struct byte_source *byte_source_new(int fd) MUST_CHECK;
void byte_source_free(struct byte_source *s);

/*
 * Make the next n bytes stand in one piece at byte_source_at(). Returns how many are there: fewer
 * than n only at the end of the file, after an error (byte_source_error()), or without memory.
 * Pointers from before are not valid any more.
 */
size_t byte_source_fill(struct byte_source *s, size_t n) MUST_CHECK;
const uint8_t *byte_source_at(const struct byte_source *s);

/* Go on behind the next n bytes, filled or not. False: the file ends before. */
bool byte_source_skip(struct byte_source *s, uint64_t n) MUST_CHECK;

/* Offset in the file of what byte_source_at() points at. */
uint64_t byte_source_offset(const struct byte_source *s);

/* errno of the read that failed, or 0. */
int byte_source_error(const struct byte_source *s);

#endif
