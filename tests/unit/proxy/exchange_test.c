/*
 * exchange_test.c -- the two halves, retries, ranges and moments, without a socket.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "proxy/exchange.h"

#define START_MONO 1000000000ULL

static struct leg_record leg(uint64_t conn)
{
	struct leg_record l = leg_record_none();

	l.conn = conn;
	l.nth = 1;
	return l;
}

static void begin(struct exchange *x)
{
	struct leg_record client = leg(7);

	exchange_begin(x, 42, 9, 5000, START_MONO, &client);
}

static void attempt(struct exchange *x, uint64_t conn)
{
	struct leg_record l = leg(conn);

	exchange_attempt(x, &l);
}

Test(exchange, begins_with_nothing_known)
{
	struct exchange x;

	begin(&x);
	cr_assert_eq(x.request, REQUEST_HEAD);
	cr_assert_eq(x.response, RESPONSE_WAIT);
	cr_assert_eq(x.rec.id, 42);
	cr_assert_eq(x.rec.run, 9);
	cr_assert_eq(x.rec.start_ns, 5000);
	cr_assert_eq(x.rec.status, 0);
	cr_assert_eq(x.rec.client.conn, 7);
	cr_assert_eq(x.rec.backend.conn, 0);
	cr_assert_not(byte_range_exists(&x.rec.backend.request));
	for (unsigned i = 0; i < MOMENT_COUNT; i++)
		cr_assert_eq(x.rec.at_us[i], MOMENT_NEVER);
}

Test(exchange, ids_differ_between_workers_and_numbers)
{
	uint64_t seen[64];
	unsigned n = 0;

	for (unsigned w = 0; w < 8; w++)
		for (uint64_t i = 0; i < 8; i++)
			seen[n++] = exchange_id(0x1234567890abcdefULL, w, i);
	for (unsigned i = 0; i < n; i++)
		for (unsigned j = i + 1; j < n; j++)
			cr_assert_neq(seen[i], seen[j]);
}

Test(exchange, a_moment_counts_once_in_microseconds)
{
	struct exchange x;

	begin(&x);
	exchange_moment(&x, MOMENT_REQUEST_END, START_MONO + 12999);
	exchange_moment(&x, MOMENT_REQUEST_END, START_MONO + 99000);
	cr_assert_eq(x.rec.at_us[MOMENT_REQUEST_END], 12);
}

Test(exchange, halves_do_not_move_back, .signal = SIGABRT)
{
	struct exchange x;

	begin(&x);
	exchange_set_request(&x, REQUEST_DONE);
	exchange_set_request(&x, REQUEST_BODY);
}

/* Every combination of the facts, against the rule in words. */
Test(exchange, retry_rule)
{
	for (unsigned bits = 0; bits < 64; bits++) {
		struct attempt_facts f = {
			.connected = bits & 1,
			.reused = bits & 2,
			.sent_any = bits & 4,
			.response_any = bits & 8,
			.replayable = bits & 16,
			.idempotent = bits & 32,
		};
		struct exchange x;
		bool safe = !f.connected || !f.sent_any || (f.idempotent && f.reused);

		begin(&x);
		attempt(&x, 1);
		cr_assert_eq(exchange_may_retry(&x, &f), safe && !f.response_any && f.replayable,
			     "facts %u", bits);
	}
}

Test(exchange, three_attempts_at_most_and_earlier_ones_are_kept)
{
	struct attempt_facts f = {.replayable = true};
	struct exchange x;

	begin(&x);
	for (uint64_t conn = 1; conn <= 2; conn++) {
		attempt(&x, conn);
		range_begin(&x.rec.backend.request, 100 * conn);
		exchange_moment(&x, MOMENT_BACKEND_READY, START_MONO + conn * 1000);
		cr_assert(exchange_may_retry(&x, &f));
		exchange_attempt_failed(&x, REASON_BACKEND_EOF);
	}
	attempt(&x, 3);
	cr_assert_not(exchange_may_retry(&x, &f));
	cr_assert_eq(x.rec.at_us[MOMENT_BACKEND_READY], MOMENT_NEVER);
	cr_assert_eq(x.rec.attempts, 3);
	cr_assert_eq(x.rec.tries_count, 2);
	cr_assert_eq(x.rec.tries[0].leg.conn, 1);
	cr_assert_eq(x.rec.tries[1].leg.conn, 2);
	cr_assert_str_eq(x.rec.tries[1].end, "backend-eof");
	cr_assert_not(byte_range_exists(&x.rec.tries[1].leg.request), "no byte was accepted");
	cr_assert_eq(x.rec.backend.conn, 3);
}

Test(exchange, another_address_is_the_same_attempt)
{
	struct exchange x;

	begin(&x);
	attempt(&x, 1);
	attempt(&x, 2);
	cr_assert_eq(x.rec.attempts, 1);
	cr_assert_eq(x.rec.backend.conn, 2);
}

Test(exchange, no_retry_once_a_response_has_left)
{
	struct attempt_facts f = {.replayable = true};
	struct exchange x;

	begin(&x);
	attempt(&x, 1);
	exchange_set_response(&x, RESPONSE_BODY);
	cr_assert_not(exchange_may_retry(&x, &f));
}

Test(exchange, failing_before_a_head_has_a_status_and_the_first_reason_stays)
{
	struct exchange x;

	begin(&x);
	cr_assert_eq(exchange_fail(&x, REASON_BACKEND_TIMEOUT), 504);
	cr_assert_eq(x.request, REQUEST_CUT);
	exchange_set_response(&x, RESPONSE_DONE);
	cr_assert_eq(exchange_fail(&x, REASON_CLIENT_RESET), 0);
	exchange_finish(&x);
	cr_assert_str_eq(x.rec.end, "backend-timeout");
}

Test(exchange, failing_behind_the_head_cuts_the_response)
{
	struct exchange x;

	begin(&x);
	exchange_set_request(&x, REQUEST_DONE);
	exchange_set_response(&x, RESPONSE_BODY);
	cr_assert_eq(exchange_fail(&x, REASON_BACKEND_EOF), 0);
	cr_assert_eq(x.request, REQUEST_DONE);
	cr_assert_eq(x.response, RESPONSE_CUT);
	exchange_finish(&x);
	cr_assert_str_eq(x.rec.end, "backend-eof");
}

Test(exchange, ranges_without_a_byte_become_null)
{
	struct exchange x;

	begin(&x);
	range_begin(&x.rec.client.request, 10);
	range_reach(&x.rec.client.request, 20);
	range_begin(&x.rec.client.response, 30);
	exchange_finish(&x);
	cr_assert_eq(x.rec.client.request.first, 10);
	cr_assert_eq(x.rec.client.request.past, 20);
	cr_assert_not(byte_range_exists(&x.rec.client.response));
	cr_assert_str_eq(x.rec.end, "done");
}
