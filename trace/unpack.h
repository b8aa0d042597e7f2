/*
 * unpack.h -- takes gzip and zstd data apart, a piece at a time.
 *
 * Several gzip members or zstd frames may follow each other. Memory does not grow with what comes
 * out: at most 128 MiB, the window that a zstd frame may ask for.
 */
#ifndef TRACE_UNPACK_H
#define TRACE_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"

enum unpack_format {
	UNPACK_NONE,
	UNPACK_GZIP,
	UNPACK_ZSTD,
};

/* By the first four bytes, or fewer. */
enum unpack_format unpack_format_of(const uint8_t *bytes, size_t len);
const char *unpack_name(enum unpack_format format);

struct unpack;

/* NULL: no memory. */
struct unpack *unpack_new(enum unpack_format format) MUST_CHECK;
void unpack_free(struct unpack *u);

/* Both move on with what was read and written. */
struct unpack_io {
	const uint8_t *in;
	size_t in_left;
	uint8_t *out;
	size_t out_left;
};

/*
 * Go on until the input is used up or there is no room for output; then some may be held back, which
 * comes out without more input. A static sentence when the data is damaged: nothing more comes then.
 */
const char *unpack_step(struct unpack *u, struct unpack_io *io) MUST_CHECK;

/* The data may end here: all that was begun was ended. */
bool unpack_may_end(const struct unpack *u);

#endif
