/*
 * unpack_test.c -- compressed files through a byte source: members and frames that follow each other,
 * cut and damaged ones, and those that come out much larger than they are.
 */
#include <criterion/criterion.h>
#include <zlib.h>
#include <zstd.h>

#include "tests/unit/trace/frames.h"
#include "trace/byte_source.h"

#define PLAIN_BYTES 1000000U
#define ROOM        (2 * PLAIN_BYTES)

static uint8_t plain[PLAIN_BYTES];
static uint8_t packed[ROOM];

/* Half of it repeats, half does not. */
static void fill_plain(void)
{
	srand(8);
	for (size_t i = 0; i < PLAIN_BYTES; i++)
		plain[i] = (uint8_t)(i % 1000 < 500 ? i % 7 : (size_t)rand());
}

/* With a checksum, as the zstd program does it. */
static size_t pack_zstd(size_t from, size_t past, uint8_t *to)
{
	ZSTD_CCtx *c = ZSTD_createCCtx();
	size_t len;

	cr_assert(!ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1)));
	len = ZSTD_compress2(c, to, ROOM / 2, plain + from, past - from);
	cr_assert(!ZSTD_isError(len));
	ZSTD_freeCCtx(c);
	return len;
}

/* One member or frame of plain[from, past); its length. */
static size_t pack(enum unpack_format format, size_t from, size_t past, uint8_t *to)
{
	z_stream z = {.next_in = plain + from,
		      .avail_in = (uInt)(past - from),
		      .next_out = to,
		      .avail_out = (uInt)(ROOM / 2)};
	size_t len;

	if (format == UNPACK_ZSTD) {
		return pack_zstd(from, past, to);
	}
	cr_assert_eq(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	len = ROOM / 2 - z.avail_out;
	cr_assert_eq(deflateEnd(&z), Z_OK);
	return len;
}

static struct byte_source *open_packed(const uint8_t *bytes, size_t len)
{
	char path[64];
	int fd = frame_scratch(path);
	struct byte_source *s;
	enum unpack_format format;

	cr_assert_eq(write(fd, bytes, len), (ssize_t)len);
	cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
	s = byte_source_new(fd);
	cr_assert_not_null(s);
	format = unpack_format_of(byte_source_at(s), byte_source_fill(s, 4));
	cr_assert_neq(format, UNPACK_NONE);
	cr_assert(byte_source_unpack(s, format));
	return s;
}

/* Read to the end in steps; all of it is what stands in plain. The number of bytes. */
static size_t read_all(struct byte_source *s, size_t step)
{
	size_t total = 0, got;

	while ((got = MIN(byte_source_fill(s, step), step)) > 0) {
		cr_assert_leq(total + got, PLAIN_BYTES);
		cr_assert_eq(memcmp(byte_source_at(s), plain + total, got), 0, "at %zu", total);
		cr_assert_eq(byte_source_offset(s), total);
		cr_assert(byte_source_skip(s, got));
		total += got;
	}
	return total;
}

static const enum unpack_format formats[] = {UNPACK_GZIP, UNPACK_ZSTD};

Test(unpack, in_steps_of_any_size)
{
	static const size_t steps[] = {1, 7, 4096, 300000, PLAIN_BYTES, 2 * PLAIN_BYTES};

	fill_plain();
	for (unsigned f = 0; f < ARRAY_LEN(formats); f++) {
		size_t len = pack(formats[f], 0, PLAIN_BYTES, packed);

		for (unsigned i = 0; i < ARRAY_LEN(steps); i++) {
			struct byte_source *s = open_packed(packed, len);

			cr_expect_eq(read_all(s, steps[i]), PLAIN_BYTES);
			cr_expect_null(byte_source_fault(s), "%s", byte_source_fault(s));
			byte_source_free(s);
		}
	}
}

/* Members of every size, empty ones among them. */
Test(unpack, one_behind_the_other)
{
	fill_plain();
	for (unsigned f = 0; f < ARRAY_LEN(formats); f++) {
		size_t len = 0, at = 0;
		struct byte_source *s;

		for (size_t size = 0; at < PLAIN_BYTES; size = size * 3 + 1) {
			size_t past = MIN(at + size, PLAIN_BYTES);

			len += pack(formats[f], at, past, packed + len);
			at = past;
		}
		s = open_packed(packed, len);
		cr_expect_eq(read_all(s, 1000), PLAIN_BYTES);
		cr_expect_null(byte_source_fault(s));
		byte_source_free(s);
	}
}

/* All that can be told of what stands before the cut comes out, and the place is named. */
Test(unpack, cut_at_many_places)
{
	fill_plain();
	for (unsigned f = 0; f < ARRAY_LEN(formats); f++) {
		size_t half = pack(formats[f], 0, PLAIN_BYTES / 2, packed), len, last = 0;

		len = half + pack(formats[f], PLAIN_BYTES / 2, PLAIN_BYTES, packed + half);
		for (size_t n = 4; n < len; n += 9973) {
			struct byte_source *s = open_packed(packed, n);
			size_t got = read_all(s, 512);
			char want[64];

			snprintf(want, sizeof(want), "the file ends at byte %zu in the middle", n);
			cr_expect_geq(got, last);
			cr_assert_not_null(byte_source_fault(s), "%zu of %zu", n, len);
			cr_expect_not_null(strstr(byte_source_fault(s), want), "%s",
					   byte_source_fault(s));
			if (n >= half)
				cr_expect_geq(got, PLAIN_BYTES / 2);
			last = got;
			byte_source_free(s);
		}
		cr_expect_gt(last, PLAIN_BYTES / 2);
		/* between the two it may end */
		struct byte_source *s = open_packed(packed, half);

		cr_expect_eq(read_all(s, 512), PLAIN_BYTES / 2);
		cr_expect_null(byte_source_fault(s));
		byte_source_free(s);
	}
}

Test(unpack, damaged)
{
	fill_plain();
	for (unsigned f = 0; f < ARRAY_LEN(formats); f++) {
		size_t len = pack(formats[f], 0, PLAIN_BYTES, packed);
		struct byte_source *s;

		memset(packed + len / 2, 0xff, 64);
		s = open_packed(packed, len);
		while (byte_source_fill(s, 4096) > 0 &&
		       byte_source_skip(s, MIN(byte_source_fill(s, 4096), 4096)))
			;
		cr_assert_not_null(byte_source_fault(s));
		cr_expect_eq(strncmp(byte_source_fault(s), "at byte ", 8), 0, "%s",
			     byte_source_fault(s));
		byte_source_free(s);
	}
}

/* As gzip does, zeros behind the last member are padding; anything else is a fault. */
Test(unpack, what_stands_behind_gzip)
{
	size_t len;
	struct byte_source *s;

	fill_plain();
	len = pack(UNPACK_GZIP, 0, PLAIN_BYTES, packed);
	memset(packed + len, 0, 1000);
	s = open_packed(packed, len + 1000);
	cr_expect_eq(read_all(s, 4096), PLAIN_BYTES);
	cr_expect_null(byte_source_fault(s));
	byte_source_free(s);
	memcpy(packed + len, "garbage", 7);
	s = open_packed(packed, len + 7);
	cr_expect_eq(read_all(s, 4096), PLAIN_BYTES);
	cr_expect_not_null(byte_source_fault(s));
	byte_source_free(s);
}

/* A gigabyte of zeros in a file of some hundred kilobytes costs time alone. */
Test(unpack, much_out_of_little)
{
	static const uint8_t zeros[1 << 20];
	size_t len = 0, one = ZSTD_compress(packed, ROOM, zeros, sizeof(zeros), 3), total = 0, got;
	struct byte_source *s;

	for (len = one; len + one <= ROOM && len < 1024 * one; len += one)
		memcpy(packed + len, packed, one);
	s = open_packed(packed, len);
	while ((got = byte_source_fill(s, 65536)) > 0) {
		cr_assert_lt(got, 1 << 20); /* never more than its buffer at once */
		cr_assert(byte_source_skip(s, got));
		total += got;
	}
	cr_expect_eq(total, len / one * sizeof(zeros));
	cr_expect_null(byte_source_fault(s));
	byte_source_free(s);
}
