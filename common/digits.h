/*
 * digits.h -- decimal digits, eight at a time.
 *
 * A word holds eight bytes of text, the first in its lowest eight bits.
 */
#ifndef COMMON_DIGITS_H
#define COMMON_DIGITS_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

/* Eight bytes, all of which are there to read. */
static inline uint64_t digits_load(const char *text)
{
	uint64_t word;

	memcpy(&word, text, sizeof(word));
	return le64toh(word);
}

/* How many digits it begins with: 0 to 8. */
static inline unsigned digits_count(uint64_t word)
{
	uint64_t value = word ^ 0x3030303030303030ULL;
	uint64_t others = ((value + 0x7676767676767676ULL) | value) & 0x8080808080808080ULL;

	return others != 0 ? (unsigned)__builtin_ctzll(others) / 8 : 8;
}

/* What its first n bytes say, 1 to 8 digits. */
static inline uint32_t digits_value(uint64_t word, unsigned n)
{
	uint64_t v = (word ^ 0x3030303030303030ULL) << (64 - 8 * n);

	v = (v * 10 + (v >> 8)) & 0x00ff00ff00ff00ffULL;
	v = (v * 100 + (v >> 16)) & 0x0000ffff0000ffffULL;
	return (uint32_t)(v * 10000 + (v >> 32));
}

#endif
