/*
 * map_test.c -- the hash map and the heap against plain arrays, over random puts and takes.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "trace/heap.h"
#include "trace/map.h"

#define KEYS 512

static uint64_t draw(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

Test(map, holds_what_was_put_and_not_taken)
{
	static int values[2][KEYS];
	void *expected[2][KEYS] = {0};
	uint64_t seed = 42;
	struct map m = {0};
	size_t count = 0, at = 0, seen = 0;

	for (unsigned round = 0; round < 200000; round++) {
		unsigned group = draw(&seed) % 2, key = (unsigned)(draw(&seed) % KEYS);

		if (draw(&seed) % 2 == 0) {
			count += expected[group][key] == NULL;
			expected[group][key] = &values[draw(&seed) % 2][key];
			cr_assert(map_put(&m, group, key, expected[group][key]));
		} else {
			count -= expected[group][key] != NULL;
			cr_assert_eq(map_take(&m, group, key), expected[group][key]);
			expected[group][key] = NULL;
		}
		key = (unsigned)(draw(&seed) % KEYS);
		cr_assert_eq(map_get(&m, group, key), expected[group][key]);
		cr_assert_eq(m.count, count);
	}
	while (map_next(&m, &at) != NULL)
		seen++;
	cr_expect_eq(seen, count);
	map_fini(&m);
	cr_expect_null(map_get(&m, 0, 0));
	cr_expect_null(map_take(&m, 0, 0));
}

Test(heap, gives_the_smallest_key_then_the_smallest_tie)
{
	uint64_t seed = 7, last_key = 0, last_tie = 0;
	struct heap h = {0};

	cr_expect_null(heap_first(&h));
	for (unsigned i = 0; i < 5000; i++)
		cr_assert(heap_push(&h, draw(&seed) % 100, draw(&seed) % 100, &h));
	for (unsigned i = 0; i < 5000; i++) {
		struct heap_item item = *heap_first(&h), popped = heap_pop(&h);

		cr_assert_eq(item.key, popped.key);
		cr_assert(popped.key > last_key ||
			  (popped.key == last_key && popped.tie >= last_tie));
		cr_assert_eq(popped.value, &h);
		last_key = popped.key;
		last_tie = popped.tie;
	}
	cr_expect_null(heap_first(&h));
	heap_fini(&h);
}
