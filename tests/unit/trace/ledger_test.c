/*
 * ledger_test.c -- one exchange per id, in whichever order its legs are told.
 */
#include "trace/ledger.h"

#include <criterion/criterion.h>

static void on_opened(void *arg, struct conn *c)
{
	(void)arg;
	(void)c;
}

static void begin(struct ledger *l, uint64_t conn, enum tap_part part)
{
	const struct tap_begin b = {
		.id = 77, .conn = conn, .nth = 1, .part = (uint8_t)part, .first = 0};

	cr_assert(ledger_begin(l, 1, &b, 1000));
}

/* A tracer that comes late may hear of the backend's leg first. */
Test(ledger, the_backend_leg_first)
{
	const struct ledger_calls calls = {.opened = on_opened};
	const struct tap_open client = {.conn = 1, .leg = TAP_CLIENT};
	const struct tap_open backend = {.conn = 2, .leg = TAP_BACKEND};
	struct ledger *l = ledger_new(&calls);
	struct exchange *x;
	size_t at = 0;

	cr_assert_not_null(l);
	cr_assert(ledger_open(l, 1, &client) && ledger_open(l, 1, &backend));
	begin(l, 2, TAP_PART_BACKEND_REQUEST);
	begin(l, 1, TAP_PART_CLIENT_REQUEST);
	begin(l, 2, TAP_PART_BACKEND_RESPONSE);
	x = ledger_next_exchange(l, &at);
	cr_assert_not_null(x);
	cr_expect_null(ledger_next_exchange(l, &at));
	cr_expect_eq(ledger_conn(l, 1, 1)->use_count, 1);
	cr_expect_eq(ledger_conn(l, 1, 2)->use_count, 1);
	cr_expect(x->conn[TAP_CLIENT] == ledger_conn(l, 1, 1));
	cr_expect(x->conn[TAP_BACKEND] == ledger_conn(l, 1, 2));
	ledger_free(l);
}
