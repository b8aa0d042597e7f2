/*
 * tap_test.c -- what a worker's tap tells the tracer and when, and what stalls and deaths do to it.
 */
#include "proxy/tap.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/unit/proxy/tap_rig.h"

TestSuite(tap, .timeout = 30);

static const struct tls_marks sample_marks = {
	.version = TLS_VERSION_13,
	.resumed = 1,
	.at = {{0, 517}, {0, 127}, {127, 1200}, {517, 600}},
};

/* ---- without a tracer ------------------------------------------------------------------------ */

Test(tap, without_a_tracer_nothing_happens)
{
	struct rig rig;
	struct sample s;
	struct conn c = sample_conn(1);
	struct tap_throttle throttle = {0};

	rig_start(&rig);
	sample_init(&s);
	cr_expect_not(tap_active(rig.tap));
	tap_open(rig.tap, &c);
	tap_tls(rig.tap, &c, &sample_marks);
	tap_begin(rig.tap, 1, &c, TAP_PART_CLIENT_REQUEST, 0, 0, "POST", 4);
	tap_progress(rig.tap, &throttle, 1, &c, TAP_PART_CLIENT_REQUEST, 0, 1 << 20, NS_PER_S);
	tap_part(rig.tap, 1, &c, TAP_PART_CLIENT_REQUEST, 0, 10, true, false);
	tap_end(rig.tap, &s.x, NULL, NULL);
	tap_position(rig.tap, &c);
	tap_close(rig.tap, &c, "done");
	cr_expect_eq(throttle.told_past, 0);
	rig_stop(&rig);
}

/* ---- records --------------------------------------------------------------------------------- */

static void expect_open(struct rig *rig, const struct conn *c, bool live)
{
	struct tap_open open;

	tap_peer_take(&rig->peer, TAP_OPEN, &open, sizeof(open));
	cr_expect_eq(open.conn, c->id);
	cr_expect_eq(open.opened_ns, c->opened_ns);
	cr_expect_eq(open.read_off, c->read_off);
	cr_expect_eq(open.sent_off, c->sent_off);
	cr_expect(addr_equal(&open.local, &c->local) && addr_equal(&open.peer, &c->peer));
	cr_expect_eq(open.leg, c->leg);
	cr_expect_eq(open.live, live);
}

Test(tap, a_tracer_that_attaches_is_told_of_every_connection)
{
	struct rig rig;
	struct conn *conns = calloc(3, sizeof(*conns));

	cr_assert(conns != NULL);
	rig_start(&rig);
	for (unsigned i = 0; i < 3; i++) {
		conns[i] = sample_conn(i + 1);
		TAILQ_INSERT_TAIL(&rig.conns, &conns[i], all);
	}
	rig_attach(&rig);
	rig_run_until(&rig, 3 * sizeof(struct tap_open));
	for (unsigned i = 0; i < 3; i++)
		expect_open(&rig, &conns[i], true);
	cr_expect_eq(tap_peer_type(&rig.peer), 0);
	rig_stop(&rig);
	free(conns);
}

Test(tap, a_record_with_several_requests)
{
	struct conn c = {.id = 7};
	struct tap_shared shared;
	struct rig rig;

	rig_start_attached(&rig);
	tap_shared(rig.tap, &c, 500);
	rig_run_until(&rig, sizeof(shared));
	tap_peer_take(&rig.peer, TAP_SHARED, &shared, sizeof(shared));
	cr_expect_eq(shared.conn, 7);
	cr_expect_eq(shared.off, 500);
	rig_stop(&rig);
}

static void expect_tls(struct rig *rig, uint64_t conn)
{
	struct tap_tls tls;

	tap_peer_take(&rig->peer, TAP_TLS, &tls, sizeof(tls));
	cr_expect_eq(tls.conn, conn);
	cr_expect_eq(tls.sent_off, 2000 + conn);
	cr_expect_eq(memcmp(&tls.tls, &sample_marks, sizeof(tls.tls)), 0);
}

Test(tap, a_handshake_of_tls)
{
	struct rig rig;
	struct conn c = sample_conn(4);

	rig_start_attached(&rig);
	tap_tls(rig.tap, &c, &sample_marks);
	rig_run_until(&rig, sizeof(struct tap_tls));
	expect_tls(&rig, 4);
	rig_stop(&rig);
}

/* With the end of its first exchange it comes again, or neither does. */
Test(tap, handshakes_behind_the_end_of_an_exchange)
{
	struct rig rig;
	struct sample s;
	struct tap_end end;
	struct tap_tls tls;

	sample_init(&s);
	rig_start_attached(&rig);
	tap_end(rig.tap, &s.x, &sample_marks, &sample_marks);
	tap_end(rig.tap, &s.x, NULL, &sample_marks);
	rig_run_until(&rig, 2 * tap_end_len(0) + 3 * sizeof(tls));
	for (unsigned i = 0; i < 2; i++) {
		tap_peer_take(&rig.peer, TAP_END, &end, tap_end_len(0));
		cr_expect_eq(end.x.id, s.x.id);
		for (unsigned leg = i; leg < 2; leg++) {
			tap_peer_take(&rig.peer, TAP_TLS, &tls, sizeof(tls));
			cr_expect_eq(tls.conn, leg == 0 ? 3 : 5);
			cr_expect_eq(tls.sent_off, 0);
			cr_expect_eq(memcmp(&tls.tls, &sample_marks, sizeof(tls.tls)), 0);
		}
	}
	rig_stop(&rig);
}

/* Of connections whose handshake is over the tracer is told it right behind the connection. */
Test(tap, a_tracer_that_attaches_is_told_of_handshakes)
{
	struct rig rig;
	struct conn *conns = calloc(3, sizeof(*conns));

	cr_assert(conns != NULL);
	rig_start(&rig);
	for (unsigned i = 0; i < 3; i++) {
		conns[i] = sample_conn(i + 1);
		TAILQ_INSERT_TAIL(&rig.conns, &conns[i], all);
	}
	conns[1].tls_marks = &sample_marks;
	rig_attach(&rig);
	rig_run_until(&rig, 3 * sizeof(struct tap_open) + sizeof(struct tap_tls));
	expect_open(&rig, &conns[0], true);
	expect_open(&rig, &conns[1], true);
	expect_tls(&rig, 2);
	expect_open(&rig, &conns[2], true);
	cr_expect_eq(tap_peer_type(&rig.peer), 0);
	rig_stop(&rig);
	free(conns);
}

Test(tap, open_and_close)
{
	struct rig rig;
	struct conn c = sample_conn(4);
	struct tap_close close;

	rig_start_attached(&rig);
	tap_open(rig.tap, &c);
	tap_close(rig.tap, &c, "backend-closed");
	tap_close(rig.tap, &c, "a word that is longer than its place");
	rig_run_until(&rig, sizeof(struct tap_open) + 2 * sizeof(close));
	expect_open(&rig, &c, false);
	tap_peer_take(&rig.peer, TAP_CLOSE, &close, sizeof(close));
	cr_expect_eq(close.conn, 4);
	cr_expect_eq(close.read_off, 1004);
	cr_expect_eq(close.sent_off, 2004);
	cr_expect_eq(close.leg, TAP_BACKEND);
	cr_expect_str_eq(close.end, "backend-closed");
	tap_peer_take(&rig.peer, TAP_CLOSE, &close, sizeof(close));
	cr_expect_str_eq(close.end, "a word that is longer t");
	rig_stop(&rig);
}

Test(tap, begin_carries_at_most_32_bytes)
{
	struct rig rig;
	struct conn c = sample_conn(5);
	struct tap_begin begin;
	const char head[] = "POST /currencyconvertor.asmx HTTP/1.1\r\n";

	rig_start_attached(&rig);
	tap_begin(rig.tap, 0x9f3c51d27be40a18, &c, TAP_PART_CLIENT_REQUEST, 622, 0, head,
		  sizeof(head) - 1);
	tap_begin(rig.tap, 7, &c, TAP_PART_BACKEND_REQUEST, 0, 2, "GET", 3);
	tap_begin(rig.tap, 8, &c, TAP_PART_CLIENT_RESPONSE, UINT64_MAX - 1, 0, NULL, 0);
	rig_run_until(&rig, 3 * sizeof(begin));
	tap_peer_take(&rig.peer, TAP_BEGIN, &begin, sizeof(begin));
	cr_expect_eq(begin.id, 0x9f3c51d27be40a18);
	cr_expect_eq(begin.conn, 5);
	cr_expect_eq(begin.first, 622);
	cr_expect_eq(begin.nth, 15);
	cr_expect_eq(begin.part, TAP_PART_CLIENT_REQUEST);
	cr_expect_eq(begin.attempt, 0);
	cr_expect_eq(begin.head_len, 32);
	cr_expect_eq(memcmp(begin.head, head, 32), 0);
	tap_peer_take(&rig.peer, TAP_BEGIN, &begin, sizeof(begin));
	cr_expect_eq(begin.attempt, 2);
	cr_expect_eq(begin.part, TAP_PART_BACKEND_REQUEST);
	cr_expect_eq(begin.head_len, 3);
	cr_expect_eq(memcmp(begin.head, "GET\0\0", 5), 0);
	tap_peer_take(&rig.peer, TAP_BEGIN, &begin, sizeof(begin));
	cr_expect_eq(begin.head_len, 0);
	cr_expect_eq(begin.first, UINT64_MAX - 1);
	rig_stop(&rig);
}

Test(tap, part)
{
	struct rig rig;
	struct conn c = sample_conn(6);
	struct tap_part_known part;

	rig_start_attached(&rig);
	tap_part(rig.tap, 9, &c, TAP_PART_BACKEND_RESPONSE, 100, 400, true, false);
	tap_part(rig.tap, 9, &c, TAP_PART_BACKEND_RESPONSE, 100, 400, false, true);
	rig_run_until(&rig, 2 * sizeof(part));
	tap_peer_take(&rig.peer, TAP_PART, &part, sizeof(part));
	cr_expect(part.id == 9 && part.conn == 6 && part.first == 100 && part.past == 400);
	cr_expect(part.part == TAP_PART_BACKEND_RESPONSE && part.declared == 1);
	cr_expect_eq(part.complete, 0);
	tap_peer_take(&rig.peer, TAP_PART, &part, sizeof(part));
	cr_expect(part.declared == 0 && part.complete == 1);
	rig_stop(&rig);
}

Test(tap, end_carries_the_whole_record)
{
	struct rig rig;
	struct sample s;
	struct tap_end end;
	uint64_t before_ns, after_ns;

	rig_start_attached(&rig);
	sample_init(&s);
	s.x.tries_count = 1;
	s.x.tries[0].leg = s.x.backend;
	memcpy(s.x.tries[0].end, "backend-eof", 12);
	before_ns = clock_mono_ns();
	tap_end(rig.tap, &s.x, NULL, NULL);
	after_ns = clock_mono_ns();
	rig_run_until(&rig, tap_end_len(1));
	tap_peer_take(&rig.peer, TAP_END, &end, tap_end_len(1));
	cr_expect_eq(memcmp(&end.x, &s.x, exchange_record_len(1)), 0);
	cr_expect(end.r.mono_ns >= before_ns && end.r.mono_ns <= after_ns);
	rig_stop(&rig);
}

/* Every 64 KiB, and at most 10 a second. */
Test(tap, progress_is_throttled)
{
	struct rig rig;
	struct conn c = sample_conn(7);
	struct tap_throttle last = {0};
	struct tap_progress progress;
	const uint64_t first = 1000000;
	unsigned count = 0;

	rig_start_attached(&rig);
	/* 10 s of a body at 160 KiB/s, in steps of 1 ms */
	for (unsigned ms = 0; ms < 10000; ms++)
		tap_progress(rig.tap, &last, 3, &c, TAP_PART_CLIENT_REQUEST, first,
			     first + ms * 160, NS_PER_S + ms * NS_PER_MS);
	/* and 1 s at 160 MiB/s */
	for (unsigned ms = 0; ms < 1000; ms++)
		tap_progress(rig.tap, &last, 3, &c, TAP_PART_CLIENT_REQUEST, first,
			     first + 1600000 + ms * 160000, 11 * NS_PER_S + ms * NS_PER_MS);
	rig_run_until(&rig, 34 * sizeof(progress));
	rig_run_ms(&rig, 5);
	while (tap_peer_type(&rig.peer) != 0) {
		tap_peer_take(&rig.peer, TAP_PROGRESS, &progress, sizeof(progress));
		cr_expect(progress.id == 3 && progress.conn == 7 && progress.first == first);
		cr_expect_eq(progress.part, TAP_PART_CLIENT_REQUEST);
		if (count < 24)
			cr_expect_eq(progress.past, first + (count + 1) * 65600);
		count++;
	}
	cr_expect_eq(count, 24 + 10);
	rig_stop(&rig);
}

/* ---- when records leave ---------------------------------------------------------------------- */

Test(tap, a_lone_record_leaves_about_a_millisecond_later)
{
	struct rig rig;
	struct conn c = sample_conn(1);
	uint64_t began_ns;

	rig_start_attached(&rig);
	began_ns = clock_mono_ns();
	tap_open(rig.tap, &c);
	cr_expect_not(tap_peer_receive(&rig.peer));
	event_base_loop(rig.base, EVLOOP_ONCE);
	cr_expect(tap_peer_receive(&rig.peer));
	cr_expect_geq(clock_mono_ns() - began_ns, 500000);
	cr_expect_lt(clock_mono_ns() - began_ns, NS_PER_S);
	/* and nothing is armed any more: a loop that waits for timers would go on */
	cr_expect_eq(event_base_get_num_events(rig.base, EVENT_BASE_COUNT_ADDED), 1);
	rig_stop(&rig);
}

Test(tap, sixteen_kib_leave_at_once)
{
	const size_t enough = (16384 + tap_end_len(0) - 1) / tap_end_len(0);
	struct rig rig;
	struct sample s;

	rig_start_attached(&rig);
	sample_init(&s);
	for (size_t i = 1; i < enough; i++)
		tap_end(rig.tap, &s.x, NULL, NULL);
	cr_expect_not(tap_peer_receive(&rig.peer));
	tap_end(rig.tap, &s.x, NULL, NULL);
	cr_expect(tap_peer_receive(&rig.peer));
	cr_expect_eq(rig.peer.len, enough * tap_end_len(0));
	rig_stop(&rig);
}

/* ---- a tracer that stalls -------------------------------------------------------------------- */

/*
 * Fill everything there is, count what was dropped, then read on: nothing is torn, nothing comes
 * twice, the order is kept, and what is missing is what the messages say was dropped.
 */
Test(tap, a_stalled_tracer_costs_whole_records_only)
{
	const uint64_t total = 200000;
	struct rig rig;
	struct conn c = sample_conn(1);
	struct tap_part_known part;
	uint64_t received = 0, last_id = 0;

	rig_start_attached(&rig);
	for (uint64_t id = 1; id <= total; id++) {
		tap_part(rig.tap, id, &c, TAP_PART_CLIENT_REQUEST, id, id + 1, false, true);
		if (id % 1000 == 0)
			event_base_loop(rig.base, EVLOOP_NONBLOCK);
	}
	cr_assert(tap_active(rig.tap));
	/* 4 MiB and the socket's buffer are full: now it reads, until one more record comes through. */
	for (unsigned i = 0; i < 1000; i++) {
		tap_peer_receive_all(&rig.peer);
		event_base_loop(rig.base, EVLOOP_NONBLOCK);
	}
	tap_part(rig.tap, total + 1, &c, TAP_PART_CLIENT_REQUEST, 0, 1, false, true);
	rig_run_until(&rig, rig.peer.len + 1);
	while (tap_peer_type(&rig.peer) != 0) {
		bool is_behind_the_loss = rig.peer.at == rig.peer.lost_at;

		tap_peer_take(&rig.peer, TAP_PART, &part, sizeof(part));
		cr_assert_gt(part.id, last_id);
		/* the first gap stands where the message says, and nowhere before */
		if (rig.peer.at <= rig.peer.lost_at)
			cr_assert_eq(part.id, last_id + 1);
		else if (is_behind_the_loss)
			cr_assert_gt(part.id, last_id + 1);
		last_id = part.id;
		received++;
	}
	cr_expect_eq(last_id, total + 1);
	cr_expect_eq(received + rig.peer.dropped, total + 1);
	cr_expect_eq(rig.peer.lost, rig.peer.dropped);
	cr_expect_geq(received * sizeof(part), 4 * 1024 * 1024 - 65536);
	cr_expect_gt(rig.peer.dropped, 0);
	cr_expect_gt(rig.peer.largest, TAP_MESSAGE_MAX - sizeof(part));
	rig_stop(&rig);
}

/* Full and never read: the proxy ends in time. */
Test(tap, freeing_waits_no_longer_than_a_moment)
{
	struct rig rig;
	struct sample s;
	uint64_t began_ns;

	rig_start_attached(&rig);
	sample_init(&s);
	for (unsigned i = 0; i < 10000; i++)
		tap_end(rig.tap, &s.x, NULL, NULL);
	began_ns = clock_mono_ns();
	tap_free(rig.tap);
	cr_expect_lt(clock_mono_ns() - began_ns, 2 * NS_PER_S);
	rig.tap = NULL;
	rig_stop(&rig);
}

Test(tap, freeing_sends_what_waits)
{
	struct rig rig;
	struct sample s;

	rig_start_attached(&rig);
	sample_init(&s);
	tap_end(rig.tap, &s.x, NULL, NULL);
	tap_free(rig.tap);
	rig.tap = NULL;
	tap_peer_receive_all(&rig.peer);
	cr_expect_eq(rig.peer.len, tap_end_len(0));
	rig_stop(&rig);
}

/* ---- a tracer that goes ---------------------------------------------------------------------- */

Test(tap, a_tracer_that_died_is_noticed_when_sending)
{
	struct rig rig;
	struct sample s;

	rig_start_attached(&rig);
	sample_init(&s);
	close(rig.peer.fd);
	rig.peer.fd = -1;
	for (unsigned i = 0; i < 60; i++)
		tap_end(rig.tap, &s.x, NULL, NULL);
	cr_expect_not(tap_active(rig.tap));
	rig_attach(&rig);
	tap_end(rig.tap, &s.x, NULL, NULL);
	rig_run_until(&rig, tap_end_len(0));
	rig_stop(&rig);
}

Test(tap, a_tracer_that_died_is_noticed_by_the_loop)
{
	struct rig rig;
	struct sample s;

	rig_start_attached(&rig);
	sample_init(&s);
	tap_end(rig.tap, &s.x, NULL, NULL);
	close(rig.peer.fd);
	rig.peer.fd = -1;
	event_base_loop(rig.base, EVLOOP_ONCE);
	cr_expect_not(tap_active(rig.tap));
	cr_expect_eq(event_base_get_num_events(rig.base, EVENT_BASE_COUNT_ADDED), 0);
	rig_stop(&rig);
}

Test(tap, one_that_died_while_the_socket_was_full)
{
	struct rig rig;
	struct sample s;

	rig_start_attached(&rig);
	sample_init(&s);
	for (unsigned i = 0; i < 20000; i++)
		tap_end(rig.tap, &s.x, NULL, NULL);
	close(rig.peer.fd);
	rig.peer.fd = -1;
	event_base_loop(rig.base, EVLOOP_ONCE);
	cr_expect_not(tap_active(rig.tap));
	rig_stop(&rig);
}

Test(tap, a_new_tracer_takes_the_place_of_the_old)
{
	struct rig rig;
	struct sample s;
	int old;
	char byte;

	rig_start_attached(&rig);
	sample_init(&s);
	tap_end(rig.tap, &s.x, NULL, NULL);
	old = rig.peer.fd;
	rig_attach(&rig);
	cr_expect_eq(recv(old, &byte, 1, 0), 0);
	close(old);
	tap_end(rig.tap, &s.x, NULL, NULL);
	rig_run_until(&rig, tap_end_len(0));
	cr_expect_eq(rig.peer.len, tap_end_len(0));
	rig_stop(&rig);
}

static void expect_let_go(const void *bytes, size_t len)
{
	struct rig rig;

	rig_start_attached(&rig);
	cr_assert_eq(send(rig.peer.fd, bytes, len, 0), (ssize_t)len);
	event_base_loop(rig.base, EVLOOP_ONCE);
	cr_expect_not(tap_active(rig.tap), "%zu bytes", len);
	rig_stop(&rig);
}

Test(tap, malformed_messages_end_the_tap)
{
	struct {
		struct tap_message m;
		struct tap_ask ask;
	} good = {{.magic = TAP_MAGIC, .version = TAP_VERSION},
		  {.r = {.type = TAP_ASK, .len = sizeof(struct tap_ask)}}},
	  bad;
	static uint8_t huge[TAP_MESSAGE_MAX + 8];

	expect_let_go("x", 1);
	expect_let_go(&good, sizeof(good.m) - 1);
	expect_let_go(&good, sizeof(good) - 1);
	expect_let_go(&good, sizeof(good.m) + 8);
	bad = good;
	bad.m.magic++;
	expect_let_go(&bad, sizeof(bad));
	bad = good;
	bad.m.version++;
	expect_let_go(&bad, sizeof(bad));
	bad = good;
	bad.ask.r.len = 0;
	expect_let_go(&bad, sizeof(bad));
	bad.ask.r.len = sizeof(bad.ask) + 8;
	expect_let_go(&bad, sizeof(bad));
	bad.ask.r.len = UINT32_MAX - 7;
	expect_let_go(&bad, sizeof(bad));
	bad.ask.r.len = sizeof(bad.ask) - 1;
	expect_let_go(&bad, sizeof(bad));
	/* an ask without its connection */
	bad.ask.r.len = sizeof(struct tap_record);
	expect_let_go(&bad, sizeof(bad) - 8);
	memcpy(huge, &good, sizeof(good));
	expect_let_go(huge, sizeof(huge));
}

Test(tap, what_is_not_known_is_skipped)
{
	struct rig rig;
	struct tap_ask unknown = {.r = {.type = 999, .len = sizeof(unknown)}};

	rig_start_attached(&rig);
	tap_peer_send(&rig.peer, &unknown, sizeof(unknown));
	tap_peer_send(&rig.peer, NULL, 0);
	rig_run_ms(&rig, 5);
	cr_expect(tap_active(rig.tap));
	rig_stop(&rig);
}
