/*
 * byte_source.h -- a window that moves over a file or a pipe: what a reader of blocks needs.
 *
 * Reads ahead, never seeks, holds no more than was asked for at once (and its read size). What is
 * compressed is unpacked on the way.
 */
#ifndef TRACE_BYTE_SOURCE_H
#define TRACE_BYTE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"
#include "trace/unpack.h"

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

/*
 * What stands in the file is compressed: unpack it from here on. Nothing was skipped before.
 * False: no memory.
 */
bool byte_source_unpack(struct byte_source *s, enum unpack_format format) MUST_CHECK;
bool byte_source_is_packed(const struct byte_source *s);

/* Offset of what byte_source_at() points at: in the file, or in what comes out of it. */
uint64_t byte_source_offset(const struct byte_source *s);

/* Why it ends before the file did, or before the data in it does; NULL: no such reason. */
const char *byte_source_fault(const struct byte_source *s);

#endif
