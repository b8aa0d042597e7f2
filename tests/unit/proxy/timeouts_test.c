/*
 * timeouts_test.c -- deadlines with a clock that the test turns.
 */
#include <criterion/criterion.h>

#include "proxy/timeouts.h"

static struct timeout *fired[16];
static enum timeout_class fired_as[16];
static unsigned fired_count;
static struct timeouts ts;

static void note(struct timeout *t, enum timeout_class what)
{
	fired[fired_count] = t;
	fired_as[fired_count++] = what;
}

static void note_and_begin_again(struct timeout *t, enum timeout_class what)
{
	note(t, what);
	timeout_set(&ts, t, what, 1000);
}

static void init(void)
{
	timeouts_init(&ts);
	fired_count = 0;
	ts.duration_ns[TIMEOUT_IDLE] = 100;
	ts.duration_ns[TIMEOUT_BODY] = 50;
}

Test(timeouts, fire_at_their_deadline_and_once, .init = init)
{
	struct timeout t;

	timeout_init(&t, note);
	timeout_set(&ts, &t, TIMEOUT_IDLE, 1000);
	cr_assert_eq(ts.count, 1);
	timeouts_sweep(&ts, 1099, 100);
	cr_assert_eq(fired_count, 0);
	timeouts_sweep(&ts, 1100, 100);
	cr_assert_eq(fired_count, 1);
	cr_assert_eq(fired_as[0], TIMEOUT_IDLE);
	cr_assert_eq(t.what, TIMEOUT_NONE);
	cr_assert_eq(ts.count, 0);
	timeouts_sweep(&ts, 9999, 100);
	cr_assert_eq(fired_count, 1);
}

Test(timeouts, setting_again_moves_the_deadline_and_the_class, .init = init)
{
	struct timeout t;

	timeout_init(&t, note);
	timeout_set(&ts, &t, TIMEOUT_IDLE, 1000);
	timeout_set(&ts, &t, TIMEOUT_BODY, 1090);
	cr_assert_eq(ts.count, 1);
	timeouts_sweep(&ts, 1139, 100);
	cr_assert_eq(fired_count, 0);
	timeouts_sweep(&ts, 1140, 100);
	cr_assert_eq(fired_count, 1);
	cr_assert_eq(fired_as[0], TIMEOUT_BODY);
}

Test(timeouts, a_class_that_is_off_never_fires, .init = init)
{
	struct timeout t;

	timeout_init(&t, note);
	timeout_set(&ts, &t, TIMEOUT_IDLE, 1000);
	timeout_set(&ts, &t, TIMEOUT_REQUEST, 1000);
	cr_assert_eq(ts.count, 0);
	timeouts_sweep(&ts, UINT64_MAX, 100);
	cr_assert_eq(fired_count, 0);
}

Test(timeouts, stay_sorted_with_durations_of_their_own, .init = init)
{
	struct timeout t[4];
	static const uint64_t durations[4] = {100, 30, 60, 200};
	static const unsigned order[4] = {1, 2, 0, 3};

	for (unsigned i = 0; i < 4; i++) {
		timeout_init(&t[i], note);
		timeout_set_for(&ts, &t[i], TIMEOUT_POOL, 1000, durations[i]);
	}
	cr_assert_eq(timeouts_oldest(&ts, TIMEOUT_POOL), &t[1]);
	timeouts_sweep(&ts, 2000, 100);
	cr_assert_eq(fired_count, 4);
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(fired[i], &t[order[i]]);
}

Test(timeouts, a_sweep_is_bounded, .init = init)
{
	struct timeout t[4];

	for (unsigned i = 0; i < 4; i++) {
		timeout_init(&t[i], note);
		timeout_set(&ts, &t[i], TIMEOUT_IDLE, 1000);
	}
	timeouts_sweep(&ts, 5000, 3);
	cr_assert_eq(fired_count, 3);
	timeouts_sweep(&ts, 5000, 3);
	cr_assert_eq(fired_count, 4);
}

Test(timeouts, may_be_begun_again_in_the_call, .init = init)
{
	struct timeout t;

	timeout_init(&t, note_and_begin_again);
	timeout_set(&ts, &t, TIMEOUT_IDLE, 0);
	timeouts_sweep(&ts, 1050, 100);
	cr_assert_eq(fired_count, 1);
	cr_assert_eq(ts.count, 1);
}
