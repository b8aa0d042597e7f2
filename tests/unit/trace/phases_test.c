/*
 * phases_test.c -- the cuts of design section 9: the ordinary exchange, every overlap, what is
 * missing, and that the phases sum to the total whatever the moments are.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "trace/phases.h"
#include "trace/verdict.h"

#define BASE 1700000000000000000ULL

/* Microseconds after BASE; -1: no such moment, -2: not seen. */
static struct phase_input moments(const int64_t us[PHASE_MOMENTS])
{
	struct phase_input in = {0};

	for (unsigned m = 0; m < PHASE_MOMENTS; m++) {
		in.state[m] = us[m] == -1   ? MOMENT_ABSENT
			      : us[m] == -2 ? MOMENT_UNSEEN
					    : MOMENT_SEEN;
		in.at_ns[m] = us[m] >= 0 ? BASE + (uint64_t)us[m] * 1000 : 0;
	}
	return in;
}

static struct phases compute(const int64_t us[PHASE_MOMENTS])
{
	struct phase_input in = moments(us);
	struct phases p;

	phases_compute(&in, &p);
	return p;
}

#define EXPECT_US(p, ...)                                                                \
	do {                                                                             \
		const int64_t expected[PHASES] = {__VA_ARGS__};                          \
		for (unsigned i = 0; i < PHASES; i++)                                    \
			cr_expect_eq((p).us[i], expected[i], "%s: %ld, expected %ld",    \
				     phase_word(i), (long)(p).us[i], (long)expected[i]); \
	} while (0)

Test(phases, fresh_connection_in_order)
{
	/*                  C.R0 C.R1 SYN  H   B.R1 B.P0 B.P1 C.P0 C.P1 C.P1a */
	const int64_t us[] = {0, 100, 150, 180, 300, 900, 1000, 950, 1200, 1250};
	struct phases p = compute(us);

	EXPECT_US(p, 100, 50 + 120, 30, 600, 50, 50, 200, 50);
	cr_expect_eq(p.total_us, 1250);
	cr_expect_eq(p.moved, 0);
	cr_expect_null(p.why);
	cr_expect_str_eq(verdict_word(&p), "think");
}

Test(phases, reused_connection_has_no_handshake)
{
	const int64_t us[] = {0, 0, -1, -1, 40, 500, 500, 540, 540, 550};
	struct phases p = compute(us);

	EXPECT_US(p, 0, 40, 0, 460, 40, 0, 0, 10);
	cr_expect_eq(p.total_us, 550);
	cr_expect_eq(p.moved, 0, "one packet each way overlaps with nothing");
}

Test(phases, answer_of_the_proxy_has_no_backend)
{
	const int64_t us[] = {0, 0, -1, -1, -1, -1, -1, 80, 90, 100};
	struct phases p = compute(us);

	EXPECT_US(p, 0, 80, 0, 0, 0, 0, 10, 10);
	cr_expect_eq(p.total_us, 100);
	cr_expect_str_eq(verdict_word(&p), "proxy_request");
}

Test(phases, backend_that_never_answers_was_waited_for)
{
	const int64_t us[] = {0, 0, -1, -1, 50, -1, -1, 5000, 5000, 5010};
	struct phases p = compute(us);

	EXPECT_US(p, 0, 50, 0, 4950, 0, 0, 0, 10);
}

Test(phases, connection_that_never_stood_is_handshake_until_the_answer)
{
	const int64_t us[] = {0, 0, 30, -1, -1, -1, -1, 5000, 5000, 5010};
	struct phases p = compute(us);

	EXPECT_US(p, 0, 30, 4970, 0, 0, 0, 0, 10);
}

Test(phases, refused_connection_ends_the_handshake)
{
	const int64_t us[] = {0, 0, 30, 40, -1, -1, -1, 100, 100, 110};
	struct phases p = compute(us);

	EXPECT_US(p, 0, 30 + 60, 10, 0, 0, 0, 0, 10);
}

Test(phases, streamed_upload_is_named_in_overlap)
{
	/* The connection is made, and the first bytes sent, while the client still uploads. */
	const int64_t us[] = {0, 1000, 100, 130, 1020, 2000, 2000, 2050, 2050, 2060};
	struct phases p = compute(us);

	EXPECT_US(p, 1000, 20, 0, 980, 50, 0, 0, 10);
	cr_expect_eq(p.moved, 1U << MOMENT_B_SYN | 1U << MOMENT_B_H);
	cr_expect_eq(p.raw_us[MOMENT_B_SYN], 100);
	cr_expect_eq(p.raw_us[MOMENT_B_H], 130);
}

Test(phases, early_response_is_named_in_overlap)
{
	/* The backend answers before it has the whole request. */
	const int64_t us[] = {0, 3000, -1, -1, 3100, 500, 600, 550, 650, 700};
	struct phases p = compute(us);

	EXPECT_US(p, 500, 0, 0, 0, 50, 50, 50, 50);
	cr_expect_eq(p.total_us, 700);
	cr_expect_eq(p.moved, 1U << MOMENT_C_R1 | 1U << MOMENT_B_R1);
	cr_expect_eq(p.raw_us[MOMENT_C_R1], 3000);
	cr_expect_eq(p.raw_us[MOMENT_B_R1], 3100);
}

Test(phases, response_that_came_whole_before_it_went_on_is_named)
{
	const int64_t us[] = {0, 0, -1, -1, 10, 500, 560, 600, 640, 650};
	struct phases p = compute(us);

	EXPECT_US(p, 0, 10, 0, 490, 100, 0, 40, 10);
	cr_expect_eq(p.moved, 1U << MOMENT_B_P1);
	cr_expect_eq(p.raw_us[MOMENT_B_P1], 560);
}

Test(phases, ack_before_its_data_makes_them_null)
{
	const int64_t us[] = {0, 0, -1, -1, 10, 500, 500, 540, 540, 530};
	struct phases p = compute(us);

	cr_expect_not(p.any);
	cr_expect_eq(p.total_us, PHASE_UNKNOWN);
	cr_expect_str_eq(p.why_word, "client_response_acked");
	cr_expect_null(verdict_word(&p));
}

Test(phases, unseen_moment_makes_its_neighbours_and_the_total_null)
{
	const int64_t us[] = {0, 100, 150, 180, 300, -2, 1000, 950, 1200, 1250};
	struct phases p = compute(us);

	EXPECT_US(p, 100, 170, 30, -1, -1, 50, 200, 50);
	cr_expect_eq(p.total_us, PHASE_UNKNOWN);
	cr_expect_str_eq(p.why_word, "backend_response_first");
}

Test(phases, without_the_first_byte_nothing_is_known)
{
	const int64_t us[] = {-2, 100, 150, 180, 300, 900, 1000, 950, 1200, 1250};
	struct phases p = compute(us);

	cr_expect_not(p.any);
	cr_expect_str_eq(p.why_word, "client_request_first");
}

Test(phases, client_that_left_has_an_upload_and_no_response)
{
	const int64_t us[] = {0, 700, -1, -1, -1, -1, -1, -1, -1, -1};
	struct phases p = compute(us);

	EXPECT_US(p, 700, -1, 0, -1, -1, -1, -1, -1);
	cr_expect_null(p.why_word);
	cr_expect_str_eq(p.why, "there was no response");
}

static uint64_t draw(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Whatever order the moments have and whichever are missing. */
Test(phases, sum_to_the_total_and_none_is_negative)
{
	uint64_t seed = 88172645463325252ULL;
	unsigned totals = 0;

	for (unsigned round = 0; round < 200000; round++) {
		struct phase_input in = {0};
		struct phases p;
		int64_t sum = 0;
		bool all = true;

		for (unsigned m = 0; m < PHASE_MOMENTS; m++) {
			unsigned what = (unsigned)(draw(&seed) % 16);

			in.state[m] = what == 0   ? MOMENT_ABSENT
				      : what == 1 ? MOMENT_UNSEEN
						  : MOMENT_SEEN;
			if (in.state[m] == MOMENT_SEEN)
				in.at_ns[m] = BASE + draw(&seed) % 100000;
		}
		if (draw(&seed) % 2 == 0) /* often enough behind all others */
			in.at_ns[MOMENT_C_P1A] = BASE + 100000 + draw(&seed) % 1000;
		phases_compute(&in, &p);
		for (unsigned i = 0; i < PHASES; i++) {
			cr_assert(p.us[i] >= 0 || p.us[i] == PHASE_UNKNOWN);
			all = all && p.us[i] != PHASE_UNKNOWN;
			sum += p.us[i];
		}
		cr_assert_eq(p.total_us != PHASE_UNKNOWN, all);
		cr_assert_eq(p.why == NULL, all);
		if (!all)
			continue;
		totals++;
		cr_assert_eq(sum, p.total_us);
		cr_assert_eq(p.total_us,
			     (int64_t)((in.at_ns[MOMENT_C_P1A] - in.at_ns[MOMENT_C_R0]) / 1000));
	}
	cr_assert_gt(totals, 10000);
}
