/*
 * notes_test.c -- the list against one that looks at everything; and what is counted of it.
 */
#include "trace/notes.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define NOTES 400

static uint64_t count_plainly(const struct note *all, unsigned n, uint64_t first, uint64_t past,
			      uint64_t from_ns, uint64_t until_ns)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < n; i++)
		count += all[i].pos < past && all[i].pos + all[i].len > first &&
			 all[i].ts_ns >= from_ns && all[i].ts_ns <= until_ns;
	return count;
}

Test(notes, as_one_that_looks_at_everything)
{
	static struct note all[NOTES];
	static struct tally t;
	struct notes n = {0};
	uint64_t floor = 0;

	srand(20261124);
	for (unsigned i = 0; i < NOTES; i++) {
		uint64_t first = floor + (uint64_t)(rand() % 300),
			 past = first + 1 + (uint64_t)(rand() % 90);
		uint64_t from_ns = (uint64_t)(rand() % 300),
			 until_ns = from_ns + (uint64_t)(rand() % 400);

		all[i] = (struct note){.pos = floor + (uint64_t)(rand() % 400),
				       .ts_ns = i,
				       .len = 1 + (uint32_t)(rand() % 50),
				       .frame = i + 1,
				       .label = LABEL_DUP_ACK};
		cr_assert(notes_add(&n, &all[i]));
		tally_reset(&t);
		notes_tally(&n, first, past, from_ns, until_ns, &t);
		cr_assert_eq(t.label[LABEL_INDEX_DUP_ACK].count,
			     count_plainly(all, i + 1, first, past, from_ns, until_ns));
		if (rand() % 10 == 0) {
			floor += (uint64_t)(rand() % 40);
			notes_forget(&n, floor);
		}
	}
	notes_forget(&n, UINT64_MAX);
	cr_expect_eq(n.count, 0);
	cr_expect_eq(notes_memory(&n), 0);
	notes_fini(&n);
}

Test(tally, the_first_frames_and_all_are_counted)
{
	static struct tally t;
	char text[16384], *end;

	tally_reset(&t);
	cr_expect_eq(tally_max(&t), 0);
	cr_expect_eq(tally_put(text, &t), text);
	for (uint32_t frame = 300; frame > 0; frame -= 2)
		tally_add(&t, frame, LABEL_RETRANSMISSION | LABEL_FAST, 0);
	tally_add(&t, 7, 0, WS_KEEP_ALIVE);
	cr_expect_eq(t.label[LABEL_INDEX_FAST].count, 150);
	cr_expect_eq(t.label[LABEL_INDEX_FAST].frame_count, TALLY_FRAMES_MAX);
	for (uint32_t i = 0; i < TALLY_FRAMES_MAX; i++)
		cr_assert_eq(t.label[LABEL_INDEX_FAST].frames[i], 2 * i + 2);
	end = tally_put(text, &t);
	cr_expect_leq((size_t)(end - text), tally_max(&t));
	*end = '\0';
	cr_expect_eq(strncmp(text,
			     ",\"labels\":{\"retransmission\":{\"count\":150,\"frames\":[2,4,6,",
			     55),
		     0);
	cr_expect_not_null(strstr(text, ",200]},\"fast\":{\"count\":150,\"frames\":[2,"));
	cr_expect_not_null(
		strstr(text, "]}},\"ws\":{\"keep_alive\":{\"count\":1,\"frames\":[7]}}"));
}

/* Every word at its largest fits into what tally_max() says. */
Test(tally, room)
{
	static struct tally t;
	static char text[200000];

	tally_reset(&t);
	for (uint32_t i = 0; i < TALLY_FRAMES_MAX; i++)
		tally_add(&t, UINT32_MAX - TALLY_FRAMES_MAX + i, (1U << LABEL_COUNT) - 1,
			  (1U << WSLABEL_COUNT) - 1);
	for (unsigned i = 0; i < LABEL_COUNT; i++)
		t.label[i].count = UINT64_MAX;
	cr_assert_leq((size_t)(tally_put(text, &t) - text), tally_max(&t));
}
