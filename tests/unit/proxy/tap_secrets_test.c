/*
 * tap_secrets_test.c -- key log lines through a worker's tap: which of them, to whom, and that a
 * tracer that stalls gets them all, before what was told after them.
 */
#include "proxy/tap_secrets.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/proxy/tap_rig.h"

TestSuite(tap_secrets, .timeout = 30);

#define RANDOM "5b8a0c1d2e3f405162738495a6b7c8d9eafb0c1d2e3f405162738495a6b7c8d9"

static void rig_start_with_secrets(struct rig *rig)
{
	rig_start(rig);
	rig->with_secrets = true;
	rig_attach(rig);
	cr_assert(tap_active(rig->tap));
}

static void tell(struct rig *rig, const struct conn *c, const char *line)
{
	tap_secret(rig->tap, c, line, strlen(line));
}

static size_t record_len(size_t line_len)
{
	return sizeof(struct tap_secret) + ((line_len + 7) & ~(size_t)7);
}

static void expect_secret(struct tap_peer *p, uint64_t conn, const char *line)
{
	struct {
		struct tap_secret head;
		char line[TAP_SECRET_LINE_MAX + 8];
	} got = {0};
	size_t len = strlen(line), whole = record_len(len);

	tap_peer_take(p, TAP_SECRET, &got, whole);
	cr_expect_eq(got.head.conn, conn);
	cr_expect_eq(got.head.len, len);
	cr_expect_gt(got.head.r.mono_ns, 0);
	cr_expect_eq(memcmp(got.line, line, len), 0, "%s", line);
	for (size_t i = sizeof(got.head) + len; i < whole; i++)
		cr_expect_eq(((const char *)&got)[i], 0);
}

/* ---- which lines ----------------------------------------------------------------------------- */

Test(tap_secrets, those_that_open_records_are_told)
{
	static const char *const lines[] = {
		"CLIENT_RANDOM " RANDOM " 00112233",
		"SERVER_HANDSHAKE_TRAFFIC_SECRET " RANDOM " 0011223344",
		"CLIENT_HANDSHAKE_TRAFFIC_SECRET " RANDOM " 001122334455",
		"SERVER_TRAFFIC_SECRET_0 " RANDOM " 00112233445566",
		"CLIENT_TRAFFIC_SECRET_0 " RANDOM " 0011223344556677",
	};
	struct conn c = sample_conn(7);
	struct tap_open open;
	struct rig rig;
	size_t bytes = sizeof(struct tap_open);

	rig_start_with_secrets(&rig);
	tap_open(rig.tap, &c);
	for (unsigned i = 0; i < ARRAY_LEN(lines); i++) {
		tell(&rig, &c, lines[i]);
		bytes += record_len(strlen(lines[i]));
	}
	rig_run_until(&rig, bytes);
	tap_peer_take(&rig.peer, TAP_OPEN, &open, sizeof(open));
	for (unsigned i = 0; i < ARRAY_LEN(lines); i++)
		expect_secret(&rig.peer, 7, lines[i]);
	cr_expect_eq(tap_peer_type(&rig.peer), 0);
	rig_stop(&rig);
}

Test(tap_secrets, others_are_not)
{
	struct conn c = sample_conn(7);
	struct rig rig;
	char *huge = calloc(1, 70000);

	cr_assert(huge != NULL);
	memset(huge, '0', 69999);
	memcpy(huge, "CLIENT_RANDOM ", 14);
	rig_start_with_secrets(&rig);
	tell(&rig, &c, "EXPORTER_SECRET " RANDOM " 00");
	tell(&rig, &c, "CLIENT_EARLY_TRAFFIC_SECRET " RANDOM " 00");
	tell(&rig, &c, "CLIENT_RANDOM ");
	tell(&rig, &c, "CLIENT_RANDOMS " RANDOM " 00");
	tell(&rig, &c, "CLIENT_RANDOM 00\nRSA 00");
	tell(&rig, &c, "");
	tell(&rig, &c, huge);
	rig_run_ms(&rig, 10);
	cr_expect_eq(rig.peer.len, 0);
	free(huge);
	rig_stop(&rig);
}

/* ---- to whom --------------------------------------------------------------------------------- */

Test(tap_secrets, a_tracer_that_may_not_have_them_gets_none)
{
	struct conn c = sample_conn(7);
	struct rig rig;

	rig_start(&rig);
	tell(&rig, &c, "CLIENT_RANDOM " RANDOM " 00");
	rig_attach(&rig);
	tell(&rig, &c, "CLIENT_RANDOM " RANDOM " 00");
	rig_run_ms(&rig, 10);
	cr_expect_eq(rig.peer.len, 0);
	rig_stop(&rig);
}

Test(tap_secrets, the_next_tracer_does_not_inherit_the_right)
{
	struct conn c = sample_conn(7);
	struct rig rig;
	int old;

	rig_start_with_secrets(&rig);
	old = rig.peer.fd;
	rig.with_secrets = false;
	rig_attach(&rig);
	close(old);
	tell(&rig, &c, "CLIENT_RANDOM " RANDOM " 00");
	rig_run_ms(&rig, 10);
	cr_expect_eq(rig.peer.len, 0);
	rig_stop(&rig);
}

/* ---- a tracer that stalls -------------------------------------------------------------------- */

/* A line of len characters that bears a number. */
static void line_of(char line[TAP_SECRET_LINE_MAX + 1], unsigned i, size_t len)
{
	memset(line, '0', len);
	memcpy(line, "CLIENT_RANDOM ", 14);
	snprintf(line + len - 8, 9, "%08x", i);
}

/* Socket and ring are full, and other records are being dropped. */
static void fill(struct rig *rig, const struct conn *c)
{
	for (unsigned i = 0; i < 200000; i++)
		tap_open(rig->tap, c);
}

/* Secret i, then the opening of connection i + 1. */
static void tell_many(struct rig *rig, unsigned count, size_t line_len)
{
	struct conn c = sample_conn(1);
	char line[TAP_SECRET_LINE_MAX + 1];

	for (unsigned i = 0; i < count; i++) {
		c.id = i;
		line_of(line, i, line_len);
		tell(rig, &c, line);
		c.id = i + 1;
		tap_open(rig->tap, &c);
	}
}

/* Until nothing comes any more. */
static void receive_all(struct rig *rig)
{
	uint64_t until_ns = clock_mono_ns() + 20 * NS_PER_S;
	size_t before;

	do {
		before = rig->peer.len;
		rig_run_ms(rig, 20);
	} while (rig->peer.len > before && clock_mono_ns() < until_ns);
}

/* Every secret came, in order, and no opening before the secret that was told before it. */
static void expect_all(struct tap_peer *p, unsigned count, size_t line_len)
{
	unsigned next = 0;
	char line[TAP_SECRET_LINE_MAX + 1];

	while (p->at < p->len) {
		struct tap_open open;

		if (tap_peer_type(p) == TAP_OPEN) {
			tap_peer_take(p, TAP_OPEN, &open, sizeof(open));
			cr_assert_leq(open.conn, next);
			continue;
		}
		line_of(line, next, line_len);
		expect_secret(p, next, line);
		next++;
	}
	cr_expect_eq(next, count);
}

Test(tap_secrets, a_full_tap_drops_none, .timeout = 60)
{
	struct conn c = sample_conn(1);
	struct rig rig;

	rig_start_with_secrets(&rig);
	c.id = 0;
	fill(&rig, &c);
	tell_many(&rig, 20000, 100);
	receive_all(&rig);
	cr_expect_gt(rig.peer.dropped, 0);
	expect_all(&rig.peer, 20000, 100);
	rig_stop(&rig);
}

/* Where a long secret has no room any more, a short record would have. */
Test(tap_secrets, nothing_overtakes_them, .timeout = 60)
{
	for (size_t line_len = 520; line_len <= TAP_SECRET_LINE_MAX; line_len += 72) {
		struct rig rig;

		rig_start_with_secrets(&rig);
		tell_many(&rig, 20000, line_len);
		receive_all(&rig);
		cr_expect_gt(rig.peer.dropped, 0);
		expect_all(&rig.peer, 20000, line_len);
		rig_stop(&rig);
	}
}

Test(tap_secrets, those_that_wait_move_when_a_message_has_left)
{
	struct tap_ring ring;
	struct tap_secrets s = {0};
	char line[TAP_SECRET_LINE_MAX];
	size_t len;

	memset(line, '0', sizeof(line));
	memcpy(line, "CLIENT_RANDOM ", 14);
	cr_assert(tap_ring_init(&ring, RUN, WORKER));
	for (unsigned slot = 0; slot < TAP_RING_SLOTS; slot++)
		for (unsigned i = 0; i < (TAP_MESSAGE_MAX - 512) / 512; i++)
			cr_assert(tap_ring_add(&ring, 512) != NULL);
	cr_assert(tap_secrets_add(&s, &ring, 1, line, sizeof(line), 5));
	cr_expect(tap_secrets_wait(&s));
	cr_expect_not(tap_secrets_move(&s, &ring));
	cr_assert(tap_secrets_add(&s, &ring, 2, line, 100, 6));
	cr_assert(tap_ring_message(&ring, &len) != NULL);
	tap_ring_sent(&ring);
	cr_expect(tap_secrets_move(&s, &ring));
	cr_expect_not(tap_secrets_wait(&s));
	cr_expect_eq(ring.next_head.dropped, 0);
	tap_secrets_fini(&s);
	tap_ring_fini(&ring);
}

Test(tap_secrets, one_that_never_reads_again_costs_a_bounded_amount)
{
	struct tap_ring ring;
	struct tap_secrets s = {0};
	char line[TAP_SECRET_LINE_MAX];
	unsigned count = 0;

	memset(line, '0', sizeof(line));
	cr_assert(tap_ring_init(&ring, RUN, WORKER));
	while (tap_secrets_add(&s, &ring, 1, line, sizeof(line), 5))
		cr_assert_lt(++count, 200000U);
	cr_expect_gt(count * sizeof(line), TAP_SECRETS_MAX / 2);
	cr_expect_leq(s.cap, TAP_SECRETS_MAX);
	tap_secrets_fini(&s);
	tap_ring_fini(&ring);
}

/* ---- memory ---------------------------------------------------------------------------------- */

Test(tap_secrets, what_has_left_the_ring_is_wiped)
{
	static const char line[] = "CLIENT_RANDOM " RANDOM " 00112233";
	struct tap_ring ring;
	struct tap_secrets s = {0};
	size_t len;
	const char *message;

	cr_assert(tap_ring_init(&ring, RUN, WORKER));
	cr_assert(tap_secrets_add(&s, &ring, 1, line, sizeof(line) - 1, 5));
	message = tap_ring_message(&ring, &len);
	cr_assert(message != NULL);
	cr_expect(memmem(message, len, RANDOM, sizeof(RANDOM) - 1) != NULL);
	tap_ring_sent(&ring);
	cr_expect(memmem(ring.bytes, len, RANDOM, sizeof(RANDOM) - 1) == NULL);
	tap_ring_fini(&ring);
}
