/*
 * tap_losses_test.c -- spans in which records of the tap were lost.
 */
#include <criterion/criterion.h>

#include "trace/tap_losses.h"

Test(tap_losses, spans_that_overlap)
{
	struct tap_losses l = {0};

	cr_expect_eq(tap_losses_sum(&l, 0, UINT64_MAX), 0);
	tap_losses_add(&l, 100, 200, 1);
	tap_losses_add(&l, 300, 300, 10);
	cr_expect_eq(tap_losses_sum(&l, 0, 99), 0);
	cr_expect_eq(tap_losses_sum(&l, 0, 100), 1);
	cr_expect_eq(tap_losses_sum(&l, 150, 160), 1);
	cr_expect_eq(tap_losses_sum(&l, 200, 299), 1);
	cr_expect_eq(tap_losses_sum(&l, 201, 299), 0);
	cr_expect_eq(tap_losses_sum(&l, 120, 400), 11);
	cr_expect_eq(tap_losses_sum(&l, 300, 300), 10);
	cr_expect_eq(tap_losses_sum(&l, 301, 400), 0);
}

Test(tap_losses, the_newest_are_kept)
{
	struct tap_losses l = {0};

	for (uint64_t i = 0; i < TAP_LOSSES_MAX + 3; i++)
		tap_losses_add(&l, i * 10, i * 10 + 5, 1);
	cr_expect_eq(tap_losses_sum(&l, 0, 29), 0);
	cr_expect_eq(tap_losses_sum(&l, 0, UINT64_MAX), TAP_LOSSES_MAX);
}
