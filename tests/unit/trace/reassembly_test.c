/* Payload in order: what comes early waits, the first copy of a byte counts, and room is bounded. */
#include <criterion/criterion.h>

#include <string.h>

#include "trace/reassembly.h"

static struct reassembly r;

static bool keep(uint64_t off, const char *text)
{
	const struct piece p = {.off = off, .len = strlen(text), .bytes = text, .is_first = true};

	return reassembly_keep(&r, &p);
}

/* All that can be taken now. */
static const char *take_all(void)
{
	static char text[256];
	size_t len = 0;
	struct piece p;

	while (reassembly_first(&r, &p)) {
		memcpy(text + len, p.bytes, p.len);
		len += p.len;
		reassembly_take(&r, p.len);
	}
	text[len] = '\0';
	return text;
}

static void fini(void)
{
	reassembly_fini(&r);
}

TestSuite(reassembly, .fini = fini);

Test(reassembly, what_comes_early_waits)
{
	reassembly_init(&r, 10);
	cr_assert(keep(13, "def"));
	cr_assert_eq(reassembly_gap(&r), 3);
	cr_assert_str_eq(take_all(), "");
	cr_assert(keep(10, "abc"));
	cr_assert_str_eq(take_all(), "abcdef");
	cr_assert_eq(r.next, 16);
	cr_assert_eq(r.pieces, 0);
	cr_assert_eq(r.bytes, 0);
}

Test(reassembly, the_first_copy_counts)
{
	reassembly_init(&r, 0);
	cr_assert(keep(2, "cd"));
	cr_assert(keep(6, "gh"));
	cr_assert(keep(1, "XXXXXXXXX"));
	cr_assert(keep(0, "ABCDEFGHIJ"));
	cr_assert_str_eq(take_all(), "AXcdXXghXX");
	cr_assert(keep(8, "old"));
	cr_assert_str_eq(take_all(), "d");
}

/* Every pair of overlapping segments in every order gives the same bytes in the end. */
Test(reassembly, any_two_segments)
{
	static const char whole[] = "abcdefgh";

	for (size_t a = 0; a < 8; a++)
		for (size_t b = a + 1; b <= 8; b++)
			for (size_t x = 0; x < 8; x++)
				for (size_t y = x + 1; y <= 8; y++) {
					const struct piece one = {
						.off = a, .len = b - a, .bytes = whole + a};
					const struct piece two = {
						.off = x, .len = y - x, .bytes = whole + x};

					reassembly_init(&r, 0);
					cr_assert(reassembly_keep(&r, &one));
					cr_assert(reassembly_keep(&r, &two));
					cr_assert(keep(0, whole));
					cr_assert_str_eq(take_all(), whole);
					reassembly_fini(&r);
				}
}

Test(reassembly, pieces_are_taken_in_parts)
{
	struct piece p;

	reassembly_init(&r, 0);
	cr_assert(keep(0, "abcd"));
	reassembly_take(&r, 1);
	cr_assert(reassembly_first(&r, &p));
	cr_assert_eq(p.len, 3);
	cr_assert_eq(p.bytes[0], 'b');
	cr_assert(!p.is_first);
	cr_assert_eq(r.bytes, 3);
}

Test(reassembly, room_is_bounded)
{
	static char bytes[4096];
	struct piece p = {.off = 1, .len = sizeof(bytes), .bytes = bytes};
	unsigned kept = 0;

	reassembly_init(&r, 0);
	while (reassembly_keep(&r, &p)) {
		p.off += p.len;
		kept++;
	}
	cr_assert_eq(kept, REASSEMBLY_BYTES_MAX / sizeof(bytes));
	p.bytes = NULL; /* places alone are small, and few */
	while (reassembly_keep(&r, &p)) {
		p.off += p.len + 1;
		kept++;
	}
	cr_assert_eq(kept, REASSEMBLY_PIECES_MAX);
}
