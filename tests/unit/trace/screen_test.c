/*
 * screen_test.c -- cuts, widths, numbers and lists.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/trace/show_sample.h"
#include "trace/screen.h"

static void expect_fit(bool utf8, const char *text, unsigned columns, const char *want,
		       unsigned want_columns)
{
	struct screen s = {.utf8 = utf8};
	char out[256];
	unsigned got;

	if (utf8)
		cr_assert_not_null(setlocale(LC_CTYPE, "C.UTF-8"));
	got = screen_fit(&s, text, strlen(text), columns, out, sizeof(out));
	cr_expect_str_eq(out, want);
	cr_expect_eq(got, want_columns, "%s: %u columns", text, got);
}

Test(screen, what_fits_stays)
{
	expect_fit(false, "", 10, "", 0);
	expect_fit(false, "0123456789", 10, "0123456789", 10);
	expect_fit(true, "0123456789", 10, "0123456789", 10);
	expect_fit(true, "g\u00fcnstig", 7, "g\u00fcnstig", 7);
}

Test(screen, what_does_not_is_cut_in_the_middle)
{
	expect_fit(false, "/a/long/path/file.asmx", 12, "/a/lo...asmx", 12);
	expect_fit(true, "/a/long/path/file.asmx", 12, "/a/lon\u2026.asmx", 12);
	expect_fit(true, "\u00e4\u00f6\u00fc\u00e4\u00f6\u00fc", 5,
		   "\u00e4\u00f6\u2026\u00f6\u00fc", 5);
	expect_fit(true, "abcdef", 2, "ab", 2);
	expect_fit(false, "abcdef", 4, "abcd", 4);
	expect_fit(false, "abcdef", 0, "", 0);
}

/* A wide character takes two columns and is never halved. */
Test(screen, wide_characters)
{
	expect_fit(true, "\u65e5\u672c\u8a9e", 6, "\u65e5\u672c\u8a9e", 6);
	expect_fit(true, "\u65e5\u672c\u8a9e\u65e5", 5, "\u65e5\u2026\u65e5", 5);
	expect_fit(true, "\u65e5\u672c\u8a9e\u65e5", 6, "\u65e5\u2026\u65e5", 5);
}

Test(screen, nothing_that_steers_a_terminal_gets_out)
{
	expect_fit(false, "a\033[31mb\r\n\x7f", 20, "a?[31mb???", 10);
	expect_fit(true, "a\033[31mb\r\n\x7f", 20, "a?[31mb???", 10);
	expect_fit(true,
		   "a\u202eb\xc2\x85"
		   "c\u200bd",
		   20, "a?b?c?d", 7);
	expect_fit(true, "bad \xff\xc3_ \xe2\x80", 20, "bad ??_ ??", 10);
	expect_fit(false, "g\u00fcnstig \u20ac", 20, "g?nstig ?", 9);
}

Test(screen, out_may_be_small)
{
	struct screen s = {0};
	char out[4];

	cr_expect_eq(screen_fit(&s, "abcdefgh", 8, 8, out, sizeof(out)), 3);
	cr_expect_str_eq(out, "abc");
}

Test(screen, times_and_sizes)
{
	static const struct {
		int64_t us;
		const char *want;
	} times[] = {
		{0, "0 us"},
		{999, "999 us"},
		{1000, "1.00 ms"},
		{4319, "4.31 ms"},
		{43190, "43.1 ms"},
		{431900, "431 ms"},
		{4319000, "4.31 s"},
		{43190000, "43.1 s"},
		{4319000000, "4319 s"},
		{-5, "-5 us"},
		{INT64_MAX, "9223372036854 s"},
	};
	static const struct {
		uint64_t bytes;
		const char *want;
	} sizes[] = {
		{0, "0"},
		{99999, "99999"},
		{100000, "100k"},
		{1250000, "1.25M"},
		{12500000, "12.5M"},
		{UINT64_MAX, "18.4E"},
		{999999999, "999M"},
	};
	char out[SCREEN_NUMBER_MAX];

	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		cr_expect_str_eq(screen_us(times[i].us, out), times[i].want);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		cr_expect_str_eq(screen_bytes(sizes[i].bytes, out), sizes[i].want);
}

Test(screen, frames_are_ranges)
{
	uint32_t some[] = {14, 20, 21, 22, 24, 31, 4294967295u};
	struct frame_list l = {.frames = some, .count = 7};
	struct frame_list none = {0};
	char out[64];

	screen_frames(&l, 60, out, sizeof(out));
	cr_expect_str_eq(out, "14, 20-22, 24, 31, 4294967295");
	screen_frames(&l, 20, out, sizeof(out));
	cr_expect_str_eq(out, "14, 20-22 and 3 more");
	screen_frames(&l, 1, out, sizeof(out));
	cr_expect_str_eq(out, "14 and 6 more");
	screen_frames(&none, 60, out, sizeof(out));
	cr_expect_str_eq(out, "none");
}

Test(screen, pieces_wrap)
{
	struct printed p;
	struct screen_line line;
	char piece[61];

	memset(piece, 'x', 60);
	piece[60] = '\0';
	print_to(&p, false);
	screen_line_begin(&line, &p.screen, 10, "head");
	screen_line_put(&line, ", ", "%s", piece);
	screen_line_put(&line, ", ", "short");
	screen_line_put(&line, ", ", "%s", piece);
	screen_line_end(&line);
	print_end(&p);
	cr_expect_str_eq(
		p.text,
		"head      xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx, short,\n"
		"          xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n");
	free(p.text);
}

Test(screen, a_file_gets_no_colours)
{
	struct screen s;
	FILE *f = tmpfile();

	cr_assert_not_null(f);
	screen_init(&s, f);
	cr_expect_not(s.colours);
	cr_expect_str_eq(screen_paint(&s, PAINT_RED), "");
	s.colours = true;
	cr_expect_str_eq(screen_paint(&s, PAINT_RED), "\033[31m");
	fclose(f);
}
