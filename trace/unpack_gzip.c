/*
 * unpack_gzip.c -- gzip (RFC 1952) by zlib: members that follow each other, zeros behind the last.
 */
#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

#include "trace/unpack_methods.h"

#define WINDOW_GZIP (15 + 16) /* the largest window; gzip's header and no other */

bool unpack_gzip_init(struct unpack *u)
{
	z_stream *z = calloc(1, sizeof(*z));

	if (z == NULL)
		return false;
	if (inflateInit2(z, WINDOW_GZIP) != Z_OK) {
		free(z);
		return false;
	}
	u->state = z;
	return true;
}

void unpack_gzip_fini(struct unpack *u)
{
	(void)inflateEnd(u->state);
	free(u->state);
}

/* As gzip does: what was padded with zeros ends where they begin. */
static void skip_padding(struct unpack_io *io)
{
	while (io->in_left > 0 && *io->in == 0) {
		io->in++;
		io->in_left--;
	}
}

static int inflate_some(z_stream *z, struct unpack_io *io)
{
	uInt in = (uInt)MIN(io->in_left, UINT_MAX), out = (uInt)MIN(io->out_left, UINT_MAX);
	int result;

	z->next_in = (z_const Bytef *)(uintptr_t)io->in;
	z->avail_in = in;
	z->next_out = io->out;
	z->avail_out = out;
	result = inflate(z, Z_NO_FLUSH);
	io->in += in - z->avail_in;
	io->in_left -= in - z->avail_in;
	io->out += out - z->avail_out;
	io->out_left -= out - z->avail_out;
	return result;
}

const char *unpack_gzip_step(struct unpack *u, struct unpack_io *io)
{
	z_stream *z = u->state;
	int result = Z_OK;

	while (result == Z_OK && io->out_left > 0) {
		if (u->may_end)
			skip_padding(io);
		if (io->in_left == 0 && u->may_end)
			return NULL;
		u->may_end = false;
		result = inflate_some(z, io);
		if (result != Z_STREAM_END)
			continue;
		u->may_end = true;
		result = inflateReset(z);
	}
	if (result == Z_OK || result == Z_BUF_ERROR)
		return NULL;
	return result == Z_MEM_ERROR ? "no memory" : "the gzip data is damaged";
}
