/*
 * buf_test.c -- the byte buffer against a plain array.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/buf.h"

Test(buf, keeps_order_over_appends_and_consumes)
{
	struct buf b = {0};
	char model[4096];
	size_t model_at = 0, model_len = 0;
	unsigned seed = 7;

	for (unsigned i = 0; i < 200; i++) {
		char piece[20];
		size_t n = (size_t)rand_r(&seed) % sizeof(piece) + 1;
		size_t take;

		for (size_t k = 0; k < n; k++)
			piece[k] = (char)rand_r(&seed);
		cr_assert(buf_append(&b, piece, n));
		memcpy(model + model_len, piece, n);
		model_len += n;
		take = (size_t)rand_r(&seed) % (buf_left(&b) + 1);
		cr_assert_arr_eq(buf_at(&b), model + model_at, model_len - model_at);
		buf_consume(&b, take);
		model_at += take;
		cr_assert_eq(buf_left(&b), model_len - model_at);
	}
	buf_fini(&b);
}

Test(buf, an_empty_one_begins_at_its_start_again)
{
	struct buf b = {0};

	cr_assert(buf_append(&b, "abc", 3));
	buf_consume(&b, 3);
	cr_assert_eq(b.at, 0);
	cr_assert_eq(b.len, 0);
	cr_assert(buf_append(&b, NULL, 0));
	cr_assert_eq(buf_left(&b), 0);
	buf_fini(&b);
}

Test(buf, reset_gives_large_memory_back)
{
	struct buf b = {0};

	cr_assert(buf_reserve(&b, 10000));
	buf_reset(&b, 4096);
	cr_assert_null(b.data);
	cr_assert(buf_reserve(&b, 100));
	buf_reset(&b, 4096);
	cr_assert_not_null(b.data);
	buf_fini(&b);
}

Test(buf, refuses_the_absurd)
{
	struct buf b = {0};

	cr_assert_not(buf_reserve(&b, SIZE_MAX));
	cr_assert_null(b.data);
}
