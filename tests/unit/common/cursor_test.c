/*
 * cursor_test.c -- reads in order, and reads past the end.
 */
#include "common/cursor.h"

#include <criterion/criterion.h>

#include "tests/lib/guarded.h"

Test(cursor, reads_in_order)
{
	static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 0xff, 9};
	struct cursor c = cursor_of(bytes, sizeof(bytes));

	cr_assert_eq(cursor_u8(&c), 1);
	cr_assert_eq(cursor_be16(&c), 0x0203);
	cr_assert_eq(cursor_be32(&c), 0x04050607);
	cr_assert_eq(cursor_left(&c), 2);
	cr_assert_eq(*cursor_take(&c, 1), 0xff);
	cursor_skip(&c, 1);
	cr_assert_not(c.failed);
	cr_assert_eq(cursor_left(&c), 0);
}

Test(cursor, top_bits_do_not_spill)
{
	static const uint8_t bytes[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xfe};
	struct cursor c = cursor_of(bytes, sizeof(bytes));

	cr_assert_eq(cursor_be32(&c), 0xffffffff);
	cr_assert_eq(cursor_be16(&c), 0xfffe);
}

Test(cursor, native_order_is_memory_order)
{
	const uint32_t word = 0x01020304;
	const uint16_t half = 0x0506;
	uint8_t bytes[6];
	struct cursor c = cursor_of(bytes, sizeof(bytes));

	memcpy(bytes, &word, 4);
	memcpy(bytes + 4, &half, 2);
	cr_assert_eq(cursor_native32(&c), word);
	cr_assert_eq(cursor_native16(&c), half);
	cr_assert_eq(cursor_native32(&c), 0);
	cr_assert(c.failed);
}

/* A failed read takes nothing, gives zero, and all later ones fail too, even those that would fit. */
Test(cursor, past_the_end)
{
	struct guarded *g = guarded_new(16);
	char *bytes = guarded_put(g, "\x01\x02\x03", 3);
	struct cursor c = cursor_of(bytes, 3);

	cr_assert_eq(cursor_be32(&c), 0);
	cr_assert(c.failed);
	cr_assert_eq(cursor_left(&c), 3);
	cr_assert_eq(cursor_u8(&c), 0);
	cr_assert_eq(cursor_be16(&c), 0);
	cr_assert_eq(cursor_native16(&c), 0);
	cr_assert_null(cursor_take(&c, 0));
	cr_assert_eq(cursor_left(&c), 3);
	guarded_free(g);
}

Test(cursor, of_nothing)
{
	struct cursor c = cursor_of(NULL, 0);

	cr_assert_eq(cursor_left(&c), 0);
	cr_assert_not(c.failed);
	cr_assert_eq(cursor_u8(&c), 0);
	cr_assert(c.failed);
}

Test(cursor, sub_cursor_is_bounded)
{
	static const uint8_t bytes[] = {1, 2, 3, 4, 5};
	struct cursor c = cursor_of(bytes, sizeof(bytes));
	struct cursor s = cursor_sub(&c, 2);

	cr_assert_eq(cursor_left(&s), 2);
	cr_assert_eq(cursor_be16(&s), 0x0102);
	cr_assert_eq(cursor_u8(&s), 0);
	cr_assert(s.failed);
	cr_assert_not(c.failed);
	cr_assert_eq(cursor_u8(&c), 3);
	s = cursor_sub(&c, 3);
	cr_assert(s.failed);
	cr_assert(c.failed);
	cr_assert_eq(cursor_left(&s), 0);
	cr_assert_eq(cursor_u8(&s), 0);
}

Test(cursor, lengths_near_the_top_of_size_t)
{
	static const uint8_t bytes[] = {1, 2, 3, 4, 5};
	struct cursor c = cursor_of(bytes, sizeof(bytes));

	cursor_skip(&c, 2);
	cr_assert_null(cursor_take(&c, SIZE_MAX));
	cr_assert(c.failed);
	c = cursor_of(bytes, sizeof(bytes));
	cursor_skip(&c, 2);
	cr_assert(cursor_sub(&c, SIZE_MAX - 1).failed);
}
