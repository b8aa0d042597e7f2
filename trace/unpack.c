/*
 * unpack.c -- tells compressed formats apart and hands the bytes to theirs.
 */
#include "trace/unpack.h"

#include <stdlib.h>
#include <string.h>

#include "trace/unpack_methods.h"

static const struct {
	const char *name;
	uint8_t magic_len;
	uint8_t magic[4];
	bool (*init)(struct unpack *u);
	void (*fini)(struct unpack *u);
	const char *(*step)(struct unpack *u, struct unpack_io *io);
} formats[] = {
	[UNPACK_GZIP] =
		{"gzip", 2, {0x1f, 0x8b}, unpack_gzip_init, unpack_gzip_fini, unpack_gzip_step},
	[UNPACK_ZSTD] = {"zstd",
			 4,
			 {0x28, 0xb5, 0x2f, 0xfd},
			 unpack_zstd_init,
			 unpack_zstd_fini,
			 unpack_zstd_step},
};

/* A zstd file may begin with frames that are to be skipped (RFC 8878 section 3.1.2). */
static bool is_skippable(const uint8_t *bytes, size_t len)
{
	return len >= 4 && (bytes[0] & 0xf0) == 0x50 && bytes[1] == 0x2a && bytes[2] == 0x4d &&
	       bytes[3] == 0x18;
}

enum unpack_format unpack_format_of(const uint8_t *bytes, size_t len)
{
	for (unsigned i = UNPACK_GZIP; i < ARRAY_LEN(formats); i++)
		if (len >= formats[i].magic_len &&
		    memcmp(bytes, formats[i].magic, formats[i].magic_len) == 0)
			return (enum unpack_format)i;
	return is_skippable(bytes, len) ? UNPACK_ZSTD : UNPACK_NONE;
}

const char *unpack_name(enum unpack_format format)
{
	return formats[format].name;
}

struct unpack *unpack_new(enum unpack_format format)
{
	struct unpack *u = calloc(1, sizeof(*u));

	if (u == NULL)
		return NULL;
	u->format = format;
	if (formats[format].init(u))
		return u;
	free(u);
	return NULL;
}

void unpack_free(struct unpack *u)
{
	if (u == NULL)
		return;
	formats[u->format].fini(u);
	free(u);
}

const char *unpack_step(struct unpack *u, struct unpack_io *io)
{
	return formats[u->format].step(u, io);
}

bool unpack_may_end(const struct unpack *u)
{
	return u->may_end;
}
