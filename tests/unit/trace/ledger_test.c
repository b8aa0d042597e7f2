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

/* Nothing of a handshake, nor of what was sent with it, waits for an exchange to claim it. */
Test(ledger, bytes_of_a_handshake_are_accounted_for)
{
	const struct ledger_calls calls = {.opened = on_opened};
	const struct tap_open client = {.conn = 1, .leg = TAP_CLIENT};
	const struct tap_open backend = {.conn = 2, .leg = TAP_BACKEND};
	const struct tls_marks marks = {
		.version = TLS_VERSION_13,
		.at = {{0, 517}, {0, 127}, {900, 958}, {517, 581}},
	};
	struct ledger *l = ledger_new(&calls);

	cr_assert_not_null(l);
	cr_assert(ledger_open(l, 1, &client) && ledger_open(l, 1, &backend));
	cr_expect_not(conn_has_told(ledger_conn(l, 1, 1), false, 517));
	for (unsigned i = 0; i < 2; i++) {
		cr_assert(ledger_tls(l, 1, 1, &marks));
		cr_assert(ledger_tls(l, 1, 2, &marks));
	}
	cr_assert(ledger_tls(l, 1, 99, &marks));
	ledger_sent(l, 1, 1, 1468);
	cr_expect(conn_has_told(ledger_conn(l, 1, 1), false, 581));
	cr_expect_not(conn_has_told(ledger_conn(l, 1, 1), false, 582));
	cr_expect(conn_has_told(ledger_conn(l, 1, 1), true, 1468));
	cr_expect_not(conn_has_told(ledger_conn(l, 1, 1), true, 1469));
	cr_expect(conn_has_told(ledger_conn(l, 1, 2), false, 958));
	cr_expect_not(conn_has_told(ledger_conn(l, 1, 2), false, 959));
	cr_expect(conn_has_told(ledger_conn(l, 1, 2), true, 581));
	cr_expect_not(conn_has_told(ledger_conn(l, 1, 2), true, 582));
	ledger_free(l);
}
