/*
 * digits_test.c -- every byte at every place of the eight, and what the digits say.
 */
#include "common/digits.h"

#include <criterion/criterion.h>
#include <stdio.h>

Test(digits, count_ends_at_the_first_other_byte)
{
	for (unsigned at = 0; at < 8; at++) {
		for (unsigned c = 0; c < 256; c++) {
			char text[8];
			unsigned want = c >= '0' && c <= '9' ? 8 : at;

			memset(text, '9', sizeof(text));
			text[at] = (char)c;
			cr_expect_eq(digits_count(digits_load(text)), want, "%u at %u", c, at);
		}
	}
}

Test(digits, value_of_the_first_n)
{
	static const uint32_t values[] = {0,     7,      10,      99,       100,     4711,
					  65535, 999999, 1000000, 99999999, 12345678};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		char text[32];
		unsigned n = (unsigned)snprintf(text, sizeof(text), "%u", values[i]);

		memcpy(text + n, "\"x}},,,,", 8);
		cr_expect_eq(digits_value(digits_load(text), n), values[i]);
	}
}
