/*
 * unpack_fuzz.c -- compressed files through a byte source: any bytes, and real ones that were damaged.
 *
 * Input: a byte for the format (bit 0) and whether the rest is packed here first (bit 1); then two
 * bytes of place and one of damage, and the rest. What comes out is a beginning of what was packed,
 * and without damage all of it.
 */
// links: trace
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "common/cursor.h"
#include "trace/byte_source.h"

#define OUT_MAX (64U << 20) /* of a bomb: so much is enough */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t pack_gzip(const uint8_t *data, size_t size, uint8_t *to, size_t cap)
{
	z_stream z = {.next_in = (z_const Bytef *)(uintptr_t)data,
		      .avail_in = (uInt)size,
		      .next_out = to,
		      .avail_out = (uInt)cap};

	assert(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	assert(deflate(&z, Z_FINISH) == Z_STREAM_END);
	assert(deflateEnd(&z) == Z_OK);
	return cap - z.avail_out;
}

static size_t pack_zstd(const uint8_t *data, size_t size, uint8_t *to, size_t cap)
{
	size_t len = ZSTD_compress(to, cap, data, size, 1);

	assert(!ZSTD_isError(len));
	return len;
}

/* All that comes out of the file; `expected` or NULL. How much. */
static size_t read_all(struct byte_source *s, const uint8_t *expected, size_t size)
{
	size_t total = 0, got;

	while (total < OUT_MAX && (got = byte_source_fill(s, 1 + total % 5000)) > 0) {
		if (expected != NULL) {
			assert(total + got <= size);
			assert(memcmp(byte_source_at(s), expected + total, got) == 0);
		}
		assert(byte_source_offset(s) == total);
		assert(byte_source_skip(s, got));
		total += got;
	}
	assert(byte_source_fault(s) == NULL || strlen(byte_source_fault(s)) > 0);
	return total;
}

static struct byte_source *open_bytes(const uint8_t *bytes, size_t len, enum unpack_format format)
{
	int fd = memfd_create("packed", MFD_CLOEXEC);
	struct byte_source *s;

	assert(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && lseek(fd, 0, SEEK_SET) == 0);
	s = byte_source_new(fd);
	assert(s != NULL);
	if (len > 0)
		assert(byte_source_fill(s, 1) > 0);
	assert(byte_source_unpack(s, format));
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t packed[1 << 18];
	struct cursor c = cursor_of(data, size);
	uint8_t flags = cursor_u8(&c), damage;
	enum unpack_format format = flags & 1 ? UNPACK_ZSTD : UNPACK_GZIP;
	uint16_t at = cursor_be16(&c);
	struct byte_source *s;
	size_t len, total;

	damage = cursor_u8(&c);
	if (c.failed || cursor_left(&c) > 100000)
		return 0;
	if (flags & 2) {
		len = (flags & 1 ? pack_zstd : pack_gzip)(c.at, cursor_left(&c), packed,
							  sizeof(packed));
		packed[at % len] ^= damage;
		s = open_bytes(packed, len, format);
		total = read_all(s, damage == 0 ? c.at : NULL, cursor_left(&c));
		assert(damage != 0 || (total == cursor_left(&c) && byte_source_fault(s) == NULL));
	} else {
		s = open_bytes(c.at, cursor_left(&c), format);
		(void)read_all(s, NULL, 0);
	}
	byte_source_free(s);
	return 0;
}
