/*
 * unpack_methods.h -- between unpack.c and the formats it knows.
 */
#ifndef TRACE_UNPACK_METHODS_H
#define TRACE_UNPACK_METHODS_H

#include "trace/unpack.h"

struct unpack {
	enum unpack_format format;
	bool may_end;
	void *state; /* of the format */
};

/* unpack_gzip.c, unpack_zstd.c: as the functions of unpack.h. */
bool unpack_gzip_init(struct unpack *u) MUST_CHECK;
void unpack_gzip_fini(struct unpack *u);
const char *unpack_gzip_step(struct unpack *u, struct unpack_io *io) MUST_CHECK;

bool unpack_zstd_init(struct unpack *u) MUST_CHECK;
void unpack_zstd_fini(struct unpack *u);
const char *unpack_zstd_step(struct unpack *u, struct unpack_io *io) MUST_CHECK;

#endif
