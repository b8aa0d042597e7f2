/*
 * put.h -- text put together by hand: each function writes at p and returns where the next byte goes.
 *
 * The caller has made sure of room. Allocates nothing, knows no format.
 */
#ifndef PROXY_PUT_H
#define PROXY_PUT_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PUT_DECIMAL_MAX 20
#define PUT_HEX64       16

#define PUT(p, text)    ((char *)memcpy((p), (text), sizeof(text) - 1) + sizeof(text) - 1)

static inline char *put_bytes(char *p, const char *bytes, size_t len)
{
	memcpy(p, bytes, len);
	return p + len;
}

/* Without leading zeros. */
static inline char *put_decimal(char *p, uint64_t value)
{
	char digits[PUT_DECIMAL_MAX];
	size_t n = sizeof(digits);

	do {
		digits[--n] = (char)('0' + value % 10);
		value /= 10;
	} while (value != 0);
	return put_bytes(p, digits + n, sizeof(digits) - n);
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
