/*
 * loss_marks_test.c -- losses stand before the packet that follows them, whatever lies in the ring.
 */
#include <criterion/criterion.h>

#include "common/attrib.h"
#include "trace/loss_marks.h"

/* The next `count` packets; the number of the first with a loss before it, from 1. */
static uint64_t pass_to_loss(struct loss_marks *m, uint64_t count, uint32_t *lost)
{
	for (uint64_t i = 0; i < count; i++) {
		*lost = loss_marks_pass(m);
		if (*lost > 0)
			return m->passed;
	}
	*lost = 0;
	return 0;
}

Test(loss_marks, without_losses)
{
	struct loss_marks m = {0};
	uint32_t lost;

	loss_marks_note(&m, 10, 0);
	cr_expect_eq(pass_to_loss(&m, 1000, &lost), 0);
	cr_expect_eq(m.passed, 1000);
	cr_expect_eq(m.count, 0);
}

/* 5 were read, 100 lie in the ring, then 40 were lost: they stand before packet 106. */
Test(loss_marks, behind_a_full_ring)
{
	struct loss_marks m = {.passed = 5};
	uint32_t lost;

	loss_marks_note(&m, 105, 40);
	cr_expect_eq(pass_to_loss(&m, 1000, &lost), 106);
	cr_expect_eq(lost, 40);
	cr_expect_eq(pass_to_loss(&m, 1000, &lost), 0);
}

/* Known only when the ring was read: they stand before the next. */
Test(loss_marks, behind_what_was_read)
{
	struct loss_marks m = {.passed = 105};
	uint32_t lost;

	loss_marks_note(&m, 100, 7);
	cr_expect_eq(pass_to_loss(&m, 10, &lost), 106);
	cr_expect_eq(lost, 7);
}

Test(loss_marks, several)
{
	struct loss_marks m = {0};
	uint32_t lost;

	loss_marks_note(&m, 10, 1);
	loss_marks_note(&m, 10, 2); /* nothing was kept in between */
	loss_marks_note(&m, 30, 4);
	loss_marks_note(&m, 31, 8);
	cr_expect_eq(m.count, 3);
	cr_expect_eq(pass_to_loss(&m, 100, &lost), 11);
	cr_expect_eq(lost, 3);
	cr_expect_eq(pass_to_loss(&m, 100, &lost), 31);
	cr_expect_eq(lost, 4);
	cr_expect_eq(pass_to_loss(&m, 1, &lost), 32);
	cr_expect_eq(lost, 8);
	cr_expect_eq(pass_to_loss(&m, 100, &lost), 0);
}

/* More than there is room for: none is forgotten, and none told too early. */
Test(loss_marks, very_many)
{
	struct loss_marks m = {0};
	uint32_t lost;
	uint64_t sum = 0;

	for (uint64_t i = 1; i <= 100; i++)
		loss_marks_note(&m, i * 10, 1);
	cr_expect_eq(m.count, LOSS_MARKS_MAX);
	for (uint64_t at; (at = pass_to_loss(&m, 2000, &lost)) != 0;) {
		sum += lost;
		cr_expect_leq(sum * 10, at - 1, "%u of them before packet %u", (unsigned)sum,
			      (unsigned)at);
	}
	cr_expect_eq(sum, 100);
}

/* Packets that the kernel counted and nobody was given. */
Test(loss_marks, counts_that_drifted_apart)
{
	struct loss_marks m = {.passed = 90};
	uint32_t lost;

	loss_marks_note(&m, 100, 5);
	loss_marks_sync(&m, 100);
	cr_expect_eq(pass_to_loss(&m, 1, &lost), 101);
	cr_expect_eq(lost, 5);
	loss_marks_sync(&m, 50); /* never back */
	cr_expect_eq(m.passed, 101);
}

Test(loss_marks, more_than_a_packet_can_tell)
{
	struct loss_marks m = {0};

	loss_marks_note(&m, 0, (uint64_t)UINT32_MAX + 10);
	cr_expect_eq(loss_marks_pass(&m), UINT32_MAX);
}
