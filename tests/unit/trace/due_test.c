/*
 * due_test.c -- whatever comes in whichever order leaves by (key, tie).
 */
#include "trace/due.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static void expect_pop(struct due *d, uint64_t key, uint64_t tie)
{
	const struct heap_item *first = due_first(d);
	struct heap_item item;

	cr_assert_not_null(first);
	cr_expect_eq(first->key, key);
	item = due_pop(d);
	cr_expect(item.key == key && item.tie == tie, "%llu, %llu", (unsigned long long)item.key,
		  (unsigned long long)item.tie);
}

Test(due, ascending_and_equal_keys)
{
	struct due d = {0};

	cr_expect(due_is_empty(&d));
	cr_assert_null(due_first(&d));
	cr_assert(due_push(&d, 5, 2, NULL));
	cr_assert(due_push(&d, 5, 1, NULL));
	cr_assert(due_push(&d, 7, 0, NULL));
	cr_expect_not(due_is_empty(&d));
	expect_pop(&d, 5, 1);
	expect_pop(&d, 5, 2);
	expect_pop(&d, 7, 0);
	cr_expect(due_is_empty(&d));
	due_fini(&d);
}

/* Far out of order: the heap has it. */
Test(due, early_behind_many)
{
	struct due d = {0};
	int value;

	for (uint64_t key = 100; key < 300; key++)
		cr_assert(due_push(&d, key, 0, NULL));
	cr_assert(due_push(&d, 3, 0, &value));
	cr_assert(due_push(&d, 150, 1, NULL));
	cr_expect_eq(due_first(&d)->value, &value);
	expect_pop(&d, 3, 0);
	for (uint64_t key = 100; key < 300; key++) {
		expect_pop(&d, key, 0);
		if (key == 150)
			expect_pop(&d, 150, 1);
	}
	cr_expect(due_is_empty(&d));
	due_fini(&d);
}

/* Pushes and pops in turns, nearly in order, far longer than the ring: as a sorted list would. */
Test(due, nearly_in_order_for_long)
{
	struct due d = {0};
	uint64_t now = 0, popped = 0, pushed = 0, last_key = 0;

	srand(11);
	for (unsigned turn = 0; turn < 20000; turn++) {
		now += (uint64_t)rand() % 5;
		/* Never before what has left already. */
		cr_assert(due_push(&d, now + 1000 + (uint64_t)rand() % (turn % 7 == 0 ? 900 : 9),
				   turn, NULL));
		pushed++;
		while (due_first(&d) != NULL && due_first(&d)->key <= now) {
			struct heap_item item = due_pop(&d);

			cr_assert_geq(item.key, last_key);
			last_key = item.key;
			popped++;
		}
	}
	while (!due_is_empty(&d)) {
		struct heap_item item = due_pop(&d);

		cr_assert_geq(item.key, last_key);
		last_key = item.key;
		popped++;
	}
	cr_expect_eq(popped, pushed);
	due_fini(&d);
}

Test(due, a_look_ahead)
{
	struct due d = {0};
	int value[3];

	for (unsigned i = 0; i < 3; i++)
		cr_assert(due_push(&d, i, 0, &value[i]));
	cr_expect_eq(due_ahead(&d, 0), &value[0]);
	cr_expect_eq(due_ahead(&d, 2), &value[2]);
	cr_expect_null(due_ahead(&d, 3));
	(void)due_pop(&d);
	cr_expect_eq(due_ahead(&d, 1), &value[2]);
	due_fini(&d);
}
