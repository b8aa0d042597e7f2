/*
 * put_test.c -- digits put together by hand, held against printf.
 */
#include "common/put.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>

static void expect_like_printf(uint64_t value)
{
	char got[32], want[32];

	*put_decimal(got, value) = '\0';
	snprintf(want, sizeof(want), "%" PRIu64, value);
	cr_expect_str_eq(got, want);
	*put_signed(got, (int64_t)value) = '\0';
	snprintf(want, sizeof(want), "%" PRId64, (int64_t)value);
	cr_expect_str_eq(got, want);
	*put_hex64(got, value) = '\0';
	snprintf(want, sizeof(want), "%016" PRIx64, value);
	cr_expect_str_eq(got, want);
	*put_hex32(got, (uint32_t)value) = '\0';
	snprintf(want, sizeof(want), "%08" PRIx32, (uint32_t)value);
	cr_expect_str_eq(got, want);
}

Test(put, digits)
{
	expect_like_printf(0);
	expect_like_printf(UINT64_MAX);
	expect_like_printf(0x0123456789abcdef);
	expect_like_printf(0xfedcba9876543210);
	for (unsigned shift = 0; shift < 64; shift++)
		for (uint64_t digit = 1; digit < 16; digit++)
			expect_like_printf(digit << shift);
}
