/*
 * unacked_test.c -- the list against a plain one that looks at everything.
 */
#include "trace/unacked.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "trace/seqnum.h"

struct plain {
	uint32_t ends[UNACKED_MAX];
	unsigned count;
};

static void both_add(struct unacked *u, struct plain *p, uint32_t end)
{
	unacked_add(u, end);
	if (p->count < UNACKED_MAX)
		p->ends[p->count++] = end;
}

static void both_drop(struct unacked *u, struct plain *p, uint32_t ack)
{
	unsigned kept = 0;

	unacked_drop(u, ack);
	for (unsigned i = 0; i < p->count; i++)
		if (seq_before(ack, p->ends[i]))
			p->ends[kept++] = p->ends[i];
	p->count = kept;
}

/* Ends that mostly ascend, and ACKs near them, or anywhere. */
static void run(uint32_t seq, unsigned acks_in_100, bool with_far)
{
	static struct plain p;
	struct unacked u = {0};

	srand(20261124);
	p.count = 0;
	for (unsigned i = 0; i < 40000; i++) {
		if ((unsigned)rand() % 100 >= acks_in_100) {
			seq += (uint32_t)(rand() % 1500);
			both_add(&u, &p, rand() % 200 == 0 ? seq - 3000 : seq);
		} else if (with_far && rand() % 10 == 0) {
			both_drop(&u, &p, (uint32_t)rand() * 2);
		} else {
			both_drop(&u, &p, seq - (uint32_t)(rand() % 6000));
		}
		cr_assert_eq(u.count, p.count, "step %u: %u, not %u", i, u.count, p.count);
	}
	unacked_fini(&u);
}

Test(unacked, near_the_front)
{
	run(0xfff00000U, 30, false);
}

Test(unacked, acks_of_anything)
{
	run(0, 10, true);
}

Test(unacked, nobody_acknowledges)
{
	struct unacked u = {0};

	for (uint32_t i = 0; i < UNACKED_MAX + 5; i++) {
		cr_assert_eq(unacked_is_full(&u), i >= UNACKED_MAX);
		unacked_add(&u, i * 1448);
	}
	cr_expect_eq(u.count, UNACKED_MAX);
	unacked_drop(&u, 1448 * 100);
	cr_expect_eq(u.count, UNACKED_MAX - 101);
	unacked_shrink(&u);
	cr_expect_eq(u.count, 0);
	cr_expect_null(u.many);
	unacked_fini(&u);
}

Test(unacked, shrinking_keeps_what_is_short)
{
	struct unacked u = {0};

	for (uint32_t i = 1; i <= 200; i++)
		unacked_add(&u, i);
	unacked_drop(&u, 150);
	unacked_shrink(&u);
	cr_expect_eq(u.count, 50);
	unacked_drop(&u, 198);
	unacked_shrink(&u);
	cr_expect_eq(u.count, 2);
	cr_expect_null(u.many);
	unacked_drop(&u, 199);
	cr_expect_eq(u.count, 1);
	unacked_fini(&u);
}
