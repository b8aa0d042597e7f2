/*
 * put.h -- text put together by hand: each function writes at p and returns where the next byte goes.
 *
 * The caller has made sure of room. Allocates nothing, knows no format.
 */
#ifndef COMMON_PUT_H
#define COMMON_PUT_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/attrib.h"

#define PUT_DECIMAL_MAX 20
#define PUT_HEX64       16

#define PUT(p, text)    ((char *)memcpy((p), (text), sizeof(text) - 1) + sizeof(text) - 1)

static inline char *put_bytes(char *p, const char *bytes, size_t len)
{
	memcpy(p, bytes, len);
	return p + len;
}

/* "00" to "99". */
extern const char put_pairs[200];

static inline unsigned put_digits_of(uint32_t v)
{
	if (v < 10000)
		return v < 100 ? (v < 10 ? 1 : 2) : (v < 1000 ? 3 : 4);
	if (v < 100000000)
		return v < 1000000 ? (v < 100000 ? 5 : 6) : (v < 10000000 ? 7 : 8);
	return v < 1000000000 ? 9 : 10;
}

/* Exactly n digits, with leading zeros. */
static inline char *put_digits(char *p, uint32_t v, unsigned n)
{
	char *at = p + n;

	while (at - p >= 2) {
		at -= 2;
		memcpy(at, put_pairs + 2 * (v % 100), 2);
		v /= 100;
	}
	if (at > p)
		*p = (char)('0' + v % 10);
	return p + n;
}

/* Beyond 32 bits. */
char *put_large(char *p, uint64_t value);

/* Without leading zeros. Most numbers are small. */
static inline char *put_decimal(char *p, uint64_t value)
{
	uint32_t v = (uint32_t)value;

	if (UNLIKELY(value > UINT32_MAX))
		return put_large(p, value);
	if (v < 10) {
		*p = (char)('0' + v);
		return p + 1;
	}
	if (v < 1000) {
		*p = (char)('0' + v / 100);
		p += v >= 100;
		memcpy(p, put_pairs + 2 * (v % 100), 2);
		return p + 2;
	}
	return put_digits(p, v, put_digits_of(v));
}

static inline char *put_signed(char *p, int64_t value)
{
	if (value < 0)
		*p++ = '-';
	return put_decimal(p, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

/* Eight lower-case digits, all at once: a nibble in each byte, the most significant first. */
static inline char *put_hex32(char *p, uint32_t value)
{
	uint64_t v = value;
	uint64_t is_letter;

	v = (v << 16 | v) & 0x0000ffff0000ffffULL;
	v = (v << 8 | v) & 0x00ff00ff00ff00ffULL;
	v = (v << 4 | v) & 0x0f0f0f0f0f0f0f0fULL;
	is_letter = (v + 0x0606060606060606ULL) >> 4 & 0x0101010101010101ULL;
	v = htobe64(v + 0x3030303030303030ULL + is_letter * ('a' - '0' - 10));
	memcpy(p, &v, sizeof(v));
	return p + sizeof(v);
}

static inline char *put_hex64(char *p, uint64_t value)
{
	return put_hex32(put_hex32(p, (uint32_t)(value >> 32)), (uint32_t)value);
}

#endif
