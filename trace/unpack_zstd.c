/*
 * unpack_zstd.c -- zstd (RFC 8878) by libzstd: frames that follow each other, and those to be skipped.
 */
#include <zstd.h>

#include "trace/unpack_methods.h"

bool unpack_zstd_init(struct unpack *u)
{
	u->state = ZSTD_createDStream();
	return u->state != NULL;
}

void unpack_zstd_fini(struct unpack *u)
{
	(void)ZSTD_freeDStream(u->state);
}

const char *unpack_zstd_step(struct unpack *u, struct unpack_io *io)
{
	ZSTD_inBuffer in = {.src = io->in, .size = io->in_left};
	ZSTD_outBuffer out = {.dst = io->out, .size = io->out_left};
	size_t result;

	if (in.size == 0 && u->may_end)
		return NULL;
	do {
		result = ZSTD_decompressStream(u->state, &out, &in);
		if (ZSTD_isError(result))
			return ZSTD_getErrorName(result);
		u->may_end = result == 0;
	} while (in.pos < in.size && out.pos < out.size);
	io->in += in.pos;
	io->in_left -= in.pos;
	io->out += out.pos;
	io->out_left -= out.pos;
	return NULL;
}
