/*
 * sacks_test.c -- the ranges against a plain map of bytes.
 */
#include "trace/sacks.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define BYTES 200U
#define BASE  0xffffff9cU /* the numbers wrap among them */

static bool map_holds(const bool *map, uint32_t left, uint32_t right)
{
	for (uint32_t i = left; i < right; i++)
		if (!map[i])
			return false;
	return true;
}

Test(sacks, as_a_map_of_bytes)
{
	bool map[BYTES + 1] = {false};
	struct sacks s = {0};
	uint32_t acked = 0;

	srand(20261124);
	for (unsigned step = 0; step < 20000; step++) {
		uint32_t left = acked + (uint32_t)rand() % (BYTES - acked);
		uint32_t right = left + 1 + (uint32_t)rand() % 8;

		right = right > BYTES ? BYTES : right;
		if (rand() % 20 == 0) {
			acked += (uint32_t)rand() % 8;
			memset(map, 0, acked);
			sacks_drop(&s, BASE + acked);
		} else if (left < right) {
			bool is_new = !map_holds(map, left, right);

			cr_assert_eq(sacks_add(&s, BASE + left, BASE + right), is_new);
			memset(map + left, 1, right - left);
		}
		if (acked + 10 > BYTES) {
			acked = 0;
			s.count = 0;
			memset(map, 0, sizeof(map));
		}
		left = acked + (uint32_t)rand() % (BYTES - acked);
		right = left + 1 + (uint32_t)rand() % 8;
		if (right <= BYTES)
			cr_assert_eq(sacks_hold(&s, BASE + left, BASE + right),
				     map_holds(map, left, right));
		cr_assert_eq(sacks_above(&s, BASE + left),
			     memchr(map + left, 1, BYTES - left) != NULL);
	}
}

Test(sacks, none)
{
	struct sacks s = {0};

	cr_expect(!sacks_hold(NULL, 1, 2));
	cr_expect(!sacks_above(NULL, 1));
	cr_expect(!sacks_add(&s, 7, 7));
	cr_expect(!sacks_add(&s, 8, 7));
	for (uint32_t i = 0; i < SACKS_MAX + 9; i++)
		cr_expect(sacks_add(&s, i * 10, i * 10 + 5));
	cr_expect_eq(s.count, SACKS_MAX);
}
