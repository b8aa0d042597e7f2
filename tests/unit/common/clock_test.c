/*
 * clock_test.c -- moments as text and back, and clocks that go forward.
 */
#include "common/clock.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct {
	uint64_t real_ns;
	const char *text;
} moments[] = {
	{0, "1970-01-01T00:00:00.000000000Z"},
	{1, "1970-01-01T00:00:00.000000001Z"},
	{999999999, "1970-01-01T00:00:00.999999999Z"},
	{951782400000000000, "2000-02-29T00:00:00.000000000Z"},
	{1795421704123456789, "2026-11-23T08:15:04.123456789Z"},
	{1798761599999999999, "2026-12-31T23:59:59.999999999Z"},
	{4102444800000000000, "2100-01-01T00:00:00.000000000Z"},
};

Test(clock, moments_as_text)
{
	for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
		char out[CLOCK_TEXT_LEN + 1];

		memset(out, 'x', sizeof(out));
		clock_format(moments[i].real_ns, out);
		cr_assert_arr_eq(out, moments[i].text, CLOCK_TEXT_LEN, "%s", moments[i].text);
		cr_assert_eq(out[CLOCK_TEXT_LEN], 'x');
	}
}

/* The second is remembered: the one before it must not be shown for the next. */
Test(clock, seconds_follow_each_other)
{
	char out[CLOCK_TEXT_LEN];

	clock_format(1798761599999999999, out);
	clock_format(1798761600000000000, out);
	cr_assert_arr_eq(out, "2027-01-01T00:00:00.000000000Z", CLOCK_TEXT_LEN);
	clock_format(1798761600000000007, out);
	cr_assert_arr_eq(out, "2027-01-01T00:00:00.000000007Z", CLOCK_TEXT_LEN);
	clock_format(1798761599000000007, out);
	cr_assert_arr_eq(out, "2026-12-31T23:59:59.000000007Z", CLOCK_TEXT_LEN);
}

Test(clock, text_as_moments)
{
	for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
		uint64_t ns = 1;

		cr_assert(clock_parse(moments[i].text, CLOCK_TEXT_LEN, &ns));
		cr_assert_eq(ns, moments[i].real_ns, "%s", moments[i].text);
	}
}

Test(clock, text_that_is_no_moment)
{
	static const char *const texts[] = {
		"",
		"2026-11-23T08:15:04.12345678Z",
		"2026-11-23T08:15:04.1234567890Z",
		"2026-11-23T08:15:04.123456789z",
		"2026-11-23 08:15:04.123456789Z",
		"2026-13-23T08:15:04.123456789Z",
		"2026-00-23T08:15:04.123456789Z",
		"2026-11-32T08:15:04.123456789Z",
		"2026-11-00T08:15:04.123456789Z",
		"2026-11-23T24:15:04.123456789Z",
		"2026-11-23T08:60:04.123456789Z",
		"2026-11-23T08:15:61.123456789Z",
		"1969-12-31T23:59:59.999999999Z",
		"2026-11-23T08:15:04.12345678xZ",
		"2026/11/23T08:15:04.123456789Z",
		"+026-11-23T08:15:04.123456789Z",
		"9999-12-31T23:59:59.999999999Z", /* beyond 64 bits of nanoseconds */
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		uint64_t ns = 42;

		cr_assert_not(clock_parse(texts[i], strlen(texts[i]), &ns), "%s", texts[i]);
		cr_assert_eq(ns, 42);
	}
}

Test(clock, both_clocks_go_forward)
{
	uint64_t mono = clock_mono_ns(), real = clock_real_ns();

	cr_assert_geq(clock_mono_ns(), mono);
	cr_assert_gt(real, 1500000000 * NS_PER_S, "CLOCK_REALTIME counts from 1970");
}
