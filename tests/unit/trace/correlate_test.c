/*
 * correlate_test.c -- which frames belong to which exchange, when it is settled, and in which order
 * exchanges and connections are given out.
 */
#include "tests/unit/trace/talk.h"

#define HOLD_MS 2000
#define SECOND  1000000ULL /* in microseconds */

/* ---- one connection on each leg, one exchange ------------------------------------------------ */

/*
 * frames 1-3 client handshake, 4 request, 5 its ACK, 6-8 backend handshake, 9 request, 10 its ACK,
 * 11 response, 12 its ACK, 13 response to the client, 14 its ACK.
 */
static void simple_packets(struct talk *t, struct wire *client, struct wire *backend)
{
	put_handshake(t, client, 0);
	put_data(t, client, 100, 0, 311);
	put_ack(t, client, 110, 1);
	put_handshake(t, backend, 200);
	put_data(t, backend, 300, 0, 350);
	put_ack(t, backend, 310, 1);
	put_data(t, backend, 1000, 1, 582);
	put_ack(t, backend, 1010, 0);
	put_data(t, client, 1100, 1, 582);
	put_ack(t, client, 1143, 0);
}

static struct exchange_record simple_record(const struct wire *client, const struct wire *backend)
{
	struct exchange_record x = record_of(0x9f3c51d27be40a18, 120, 1090);

	x.client = leg_on(client, 3, 1, 50);
	x.client.request = range(0, 311);
	x.client.response = range(0, 582);
	x.backend = leg_on(backend, 5, 1, 190);
	x.backend.request = range(0, 350);
	x.backend.response = range(0, 582);
	return x;
}

Test(correlate, one_exchange_in_every_field)
{
	struct wire client = wire_client(40000), backend = wire_backend(50000);
	struct exchange_record x = simple_record(&client, &backend);
	struct talk t;

	talk_init(&t, HOLD_MS, false);
	correlate_exchange(t.c, &x);
	simple_packets(&t, &client, &backend);
	correlate_end(t.c);
	cr_assert_eq(t.exchange_count, 1);
	cr_expect_str_eq(
		t.exchange[0],
		"{\"v\":1,\"run\":\"00005d2c\",\"id\":\"9f3c51d27be40a18\","
		"\"dump\":\"dump.pcapng\","
		"\"start\":\"2023-11-14T22:13:20.000120000Z\",\"status\":200,\"end\":\"done\","
		"\"client\":{\"conn\":3,\"nth\":1,\"stream\":0,\"anchor\":\"syn\","
		"\"handshake\":{\"frames\":[1,2,3],\"us\":25},\"tls\":null,"
		"\"request\":{\"seq\":1,\"len\":311,\"next_seq\":312,\"frames\":[4],\"acked_in\":5,"
		"\"acked_us\":10,\"retransmitted_bytes\":0,\"retransmitted_in\":[],"
		"\"missing_bytes\":0},\"interim\":null,"
		"\"response\":{\"seq\":1,\"len\":582,\"next_seq\":583,\"frames\":[13],"
		"\"acked_in\":14,\"acked_us\":43,\"retransmitted_bytes\":0,"
		"\"retransmitted_in\":[],\"missing_bytes\":0},\"close\":null},"
		"\"backend\":{\"conn\":5,\"nth\":1,\"reused\":false,\"attempts\":1,\"stream\":1,"
		"\"anchor\":\"syn\",\"handshake\":{\"frames\":[6,7,8],\"us\":25},\"tls\":null,"
		"\"request\":{\"seq\":1,\"len\":350,\"next_seq\":351,\"frames\":[9],"
		"\"acked_in\":10,"
		"\"acked_us\":10,\"retransmitted_bytes\":0,\"retransmitted_in\":[],"
		"\"missing_bytes\":0},\"interim\":null,"
		"\"response\":{\"seq\":1,\"len\":582,\"next_seq\":583,\"frames\":[11],"
		"\"acked_in\":12,\"acked_us\":10,\"retransmitted_bytes\":0,"
		"\"retransmitted_in\":[],\"missing_bytes\":0},\"close\":null,\"tries\":[]},"
		"\"phases_us\":{\"total\":1043,\"upload\":0,\"proxy_request\":175,\"handshake\":25,"
		"\"think\":700,\"proxy_response\":100,\"backend_send\":0,\"download\":0,"
		"\"delivery\":43},\"overlap\":null,\"verdict\":\"think\",\"drops\":0}\n");
	cr_expect_eq(t.conn_count, 2);
	cr_expect_str_eq(
		t.conn[0],
		"{\"v\":1,\"run\":\"00005d2c\",\"dump\":\"dump.pcapng\",\"leg\":\"client\","
		"\"conn\":3,\"stream\":0,\"anchor\":\"syn\",\"local\":\"198.51.100.7:8585\","
		"\"peer\":\"192.0.2.1:40000\",\"opened\":\"2023-11-14T22:13:20.000050000Z\","
		"\"handshake\":{\"frames\":[1,2,3],\"us\":25},\"tls\":null,\"close\":null,"
		"\"history\":\"ShADad\",\"exchanges\":1,\"ids\":[\"9f3c51d27be40a18\"],"
		"\"ws_shift\":0}\n");
	talk_fini(&t);
}

/* ---- several exchanges on one connection ----------------------------------------------------- */

/* Records of two exchanges on the same client connection; the backend is left out. */
static struct exchange_record on_client(const struct wire *w, uint64_t id, uint32_t nth,
					struct byte_range request, struct byte_range response,
					uint64_t start_us, uint64_t end_us)
{
	struct exchange_record x = record_of(id, start_us, end_us);

	x.client = leg_on(w, 1, nth, 50);
	x.client.request = request;
	x.client.response = response;
	return x;
}

static void two_on_client(struct talk *t, const struct wire *w)
{
	struct exchange_record one = on_client(w, 1, 1, range(0, 100), range(0, 200), 110, 300);
	struct exchange_record two = on_client(w, 2, 2, range(100, 250), range(200, 500), 410, 700);

	correlate_exchange(t->c, &one);
	correlate_exchange(t->c, &two);
}

Test(correlate, keep_alive)
{
	struct wire w = wire_client(40000);
	struct talk t;

	talk_init(&t, HOLD_MS, false);
	two_on_client(&t, &w);
	put_handshake(&t, &w, 0);
	put_data(&t, &w, 100, 0, 100); /* 4 */
	put_data(&t, &w, 300, 1, 200); /* 5: acknowledges the request */
	put_data(&t, &w, 400, 0, 150); /* 6: acknowledges the response */
	put_data(&t, &w, 700, 1, 300); /* 7 */
	put_ack(&t, &w, 720, 0);       /* 8 */
	correlate_end(t.c);
	cr_assert_eq(t.exchange_count, 2);
	has(t.exchange[0], "\"id\":\"0000000000000001\"");
	follows(t.exchange[0], "\"request\":",
		"{\"seq\":1,\"len\":100,\"next_seq\":101,\"frames\":[4],\"acked_in\":5,"
		"\"acked_us\":200,");
	follows(t.exchange[0], "\"response\":",
		"{\"seq\":1,\"len\":200,\"next_seq\":201,\"frames\":[5],\"acked_in\":6,"
		"\"acked_us\":100,");
	has(t.exchange[0], "\"handshake\":{\"frames\":[1,2,3],\"us\":25}");
	follows(t.exchange[1], "\"request\":",
		"{\"seq\":101,\"len\":150,\"next_seq\":251,\"frames\":[6],\"acked_in\":7,"
		"\"acked_us\":300,");
	follows(t.exchange[1], "\"response\":",
		"{\"seq\":201,\"len\":300,\"next_seq\":501,\"frames\":[7],\"acked_in\":8,"
		"\"acked_us\":20,");
	has(t.exchange[1], "\"handshake\":null");
	has(t.conn[0], "\"exchanges\":2,\"ids\":[\"0000000000000001\",\"0000000000000002\"]");
	talk_fini(&t);
}

Test(correlate, two_pipelined_in_one_segment_each_way)
{
	struct wire w = wire_client(40000);
	struct talk t;

	talk_init(&t, HOLD_MS, false);
	two_on_client(&t, &w);
	put_handshake(&t, &w, 0);
	put_data(&t, &w, 100, 0, 250); /* 4 */
	put_ack(&t, &w, 110, 1);       /* 5 */
	put_data(&t, &w, 300, 1, 500); /* 6 */
	put_ack(&t, &w, 330, 0);       /* 7 */
	correlate_end(t.c);
	cr_assert_eq(t.exchange_count, 2);
	follows(t.exchange[0], "\"request\":",
		"{\"seq\":1,\"len\":100,\"next_seq\":101,\"frames\":[4],\"acked_in\":5,");
	follows(t.exchange[0], "\"response\":",
		"{\"seq\":1,\"len\":200,\"next_seq\":201,\"frames\":[6],\"acked_in\":7,");
	follows(t.exchange[1], "\"request\":",
		"{\"seq\":101,\"len\":150,\"next_seq\":251,\"frames\":[4],\"acked_in\":5,");
	follows(t.exchange[1], "\"response\":",
		"{\"seq\":201,\"len\":300,\"next_seq\":501,\"frames\":[6],\"acked_in\":7,");
	talk_fini(&t);
}

Test(correlate, one_exchange_over_many_segments)
{
	struct wire w = wire_client(40000);
	struct exchange_record x = on_client(&w, 1, 1, range(0, 100), range(0, 10000), 110, 5000);
	struct talk t;

	talk_init(&t, HOLD_MS, false);
	correlate_exchange(t.c, &x);
	put_handshake(&t, &w, 0);
	put_data(&t, &w, 100, 0, 100);
	for (unsigned i = 0; i < 10; i++) /* 5-14 */
		put_data(&t, &w, 300 + 10 * i, 1, 1000);
	put_at(&t, &w, 400, 0, 0, 100, 9999, 0); /* 15: not the last byte */
	put_ack(&t, &w, 450, 0);                 /* 16 */
	correlate_end(t.c);
	follows(t.exchange[0], "\"response\":",
		"{\"seq\":1,\"len\":10000,\"next_seq\":10001,"
		"\"frames\":[5,6,7,8,9,10,11,12,13,14],\"acked_in\":16,\"acked_us\":60,");
	talk_fini(&t);
}

/* ---- closes ---------------------------------------------------------------------------------- */

Test(correlate, close_behind_an_http10_response_belongs_to_it)
{
	struct wire w = wire_client(40000);
	struct exchange_record x = on_client(&w, 1, 1, range(0, 100), range(0, 200), 110, 300);
	struct talk t;

	talk_init(&t, HOLD_MS, false);
	correlate_exchange(t.c, &x);
	put_handshake(&t, &w, 0);
	put_data(&t, &w, 100, 0, 100);
	put_data(&t, &w, 300, 1, 200);
	put_ack(&t, &w, 305, 0);
	put_close(&t, &w, 320, 1); /* 7-9, behind the last ACK */
	correlate_end(t.c);
	has(t.exchange[0], "\"close\":{\"by\":\"proxy\",\"how\":\"fin\",\"frames\":[7,8,9]}");
	has(t.conn[0], "\"close\":{\"by\":\"proxy\",\"how\":\"fin\",\"frames\":[7,8,9]}");
	talk_fini(&t);
}

Test(correlate, close_of_a_kept_connection_belongs_to_its_last_exchange_alone)
{
	struct wire w = wire_client(40000);
	struct talk t;

	talk_init(&t, HOLD_MS, false);
	two_on_client(&t, &w);
	put_handshake(&t, &w, 0);
	put_data(&t, &w, 100, 0, 100);
	put_data(&t, &w, 300, 1, 200);
	put_data(&t, &w, 400, 0, 150);
	put_data(&t, &w, 700, 1, 300);
	put_ack(&t, &w, 720, 0);
	put_close(&t, &w, 1000, 0); /* 9-11 */
	correlate_end(t.c);
	has(t.exchange[0], "\"close\":null");
	has(t.exchange[1], "\"close\":{\"by\":\"client\",\"how\":\"fin\",\"frames\":[9,10,11]}");
	talk_fini(&t);
}

Test(correlate, close_long_after_stands_in_conns_only)
{
	struct wire w = wire_client(40000);
	struct exchange_record x = on_client(&w, 1, 1, range(0, 100), range(0, 200), 110, 300);
	struct talk t;

	talk_init(&t, HOLD_MS, false);
	correlate_exchange(t.c, &x);
	put_handshake(&t, &w, 0);
	put_data(&t, &w, 100, 0, 100);
	put_data(&t, &w, 300, 1, 200);
	put_ack(&t, &w, 305, 0);
	put_close(&t, &w, 3 * SECOND, 0);
	correlate_end(t.c);
	has(t.exchange[0], "\"close\":null");
	has(t.conn[0], "\"close\":{\"by\":\"client\"");
	talk_fini(&t);
}

Test(correlate, reset_ends_the_wait_for_an_ack)
{
	struct wire w = wire_client(40000);
	struct exchange_record x = on_client(&w, 1, 1, range(0, 100), range(0, 200), 110, 300);
	struct talk t;

	talk_init(&t, HOLD_MS, false);
	correlate_exchange(t.c, &x);
	put_handshake(&t, &w, 0);
	put_data(&t, &w, 100, 0, 100);
	put_data(&t, &w, 300, 1, 200);
	put_raw(&t, &w, 400, 0, TCP_RST, (uint32_t)(w.isn[0] + 101), 0, 0); /* 6 */
	correlate_clock(t.c, at(300 + 2 * SECOND)); /* end + hold: the reset came 100 us later */
	cr_expect_eq(t.exchange_count, 0);
	correlate_clock(t.c, at(400 + 2 * SECOND));
	cr_assert_eq(t.exchange_count, 1);
	follows(t.exchange[0], "\"response\":",
		"{\"seq\":1,\"len\":200,\"next_seq\":201,\"frames\":[5],\"acked_in\":null,"
		"\"acked_us\":null,\"ack_why\":\"reset\",");
	has(t.exchange[0], "\"close\":{\"by\":\"client\",\"how\":\"rst\",\"frames\":[6]}");
	has(t.exchange[0], "\"phases_why\":\"client_response_acked: not captured\"");
	talk_fini(&t);
}

/* ---- attempts -------------------------------------------------------------------------------- */

Test(correlate, retried_backend_shows_both_attempts)
{
	struct wire client = wire_client(40000), first = wire_backend(50000),
		    second = wire_backend(50001);
	struct exchange_record x = simple_record(&client, &second);
	struct talk t;

	x.attempts = 2;
	x.tries_count = 1;
	x.tries[0].leg = leg_on(&first, 4, 7, 0);
	x.tries[0].leg.opened_ns = 0; /* the log does not say it of a try */
	x.tries[0].leg.request = range(2000, 2350);
	memcpy(x.tries[0].end, "backend-eof", sizeof("backend-eof"));
	talk_init(&t, HOLD_MS, false);
	correlate_exchange(t.c, &x);
	put_handshake(&t, &client, 0);
	put_data(&t, &client, 100, 0, 311);
	put_ack(&t, &client, 110, 1);
	put_handshake(&t, &first, 130); /* 6-8 */
	first.sent[0] = 2000;
	put_data(&t, &first, 150, 0, 350);                                      /* 9 */
	put_raw(&t, &first, 160, 1, TCP_RST | TCP_ACK, first.isn[1] + 1, 0, 0); /* 10 */
	put_handshake(&t, &second, 200);                                        /* 11-13 */
	put_data(&t, &second, 300, 0, 350);                                     /* 14 */
	put_data(&t, &second, 1000, 1, 582);                                    /* 15 */
	put_ack(&t, &second, 1010, 0);
	put_data(&t, &client, 1100, 1, 582);
	put_ack(&t, &client, 1143, 0);
	correlate_end(t.c);
	cr_assert_eq(t.exchange_count, 1);
	follows(behind(t.exchange[0], "\"backend\":"), "\"request\":",
		"{\"seq\":1,\"len\":350,\"next_seq\":351,\"frames\":[14],\"acked_in\":15,");
	has(t.exchange[0], "\"attempts\":2");
	follows(t.exchange[0], "\"tries\":",
		"[{\"conn\":4,\"nth\":7,\"stream\":1,\"anchor\":\"syn\",\"handshake\":null,"
		"\"request\":{\"seq\":2001,\"len\":350,\"next_seq\":2351,\"frames\":[9],"
		"\"acked_in\":null,\"acked_us\":null,\"ack_why\":\"reset\",");
	has(behind(t.exchange[0], "\"tries\":"),
	    "\"close\":{\"by\":\"backend\",\"how\":\"rst\",\"frames\":[10]},"
	    "\"end\":\"backend-eof\"}]");
	cr_expect_eq(t.conn_count, 3);
	talk_fini(&t);
}

/* ---- the same addresses again ---------------------------------------------------------------- */

Test(correlate, port_used_again_is_told_apart_by_time)
{
	struct wire one = wire_client(40000), two = wire_client(40000);
	struct exchange_record x = on_client(&one, 1, 1, range(0, 100), range(0, 200), 110, 300);
	struct exchange_record y =
		on_client(&two, 2, 1, range(0, 120), range(0, 220), 1000110, 1000300);
	struct talk t;

	two.isn[0] += 100000;
	two.isn[1] += 100000;
	y.client.conn = 2;
	y.client.opened_ns = at(1000050);
	talk_init(&t, HOLD_MS, false);
	correlate_exchange(t.c, &x);
	correlate_exchange(t.c, &y);
	put_handshake(&t, &one, 0);
	put_data(&t, &one, 100, 0, 100);
	put_data(&t, &one, 300, 1, 200);
	put_ack(&t, &one, 310, 0);
	put_close(&t, &one, 400, 0); /* 7-9 */
	put_handshake(&t, &two, 1000000);
	put_data(&t, &two, 1000100, 0, 120); /* 13 */
	put_data(&t, &two, 1000300, 1, 220);
	put_ack(&t, &two, 1000310, 0);
	correlate_end(t.c);
	cr_assert_eq(t.exchange_count, 2);
	follows(t.exchange[0], "\"stream\":", "0,");
	follows(t.exchange[0],
		"\"request\":", "{\"seq\":1,\"len\":100,\"next_seq\":101,\"frames\":[4]");
	has(t.exchange[0], "\"close\":{\"by\":\"client\",\"how\":\"fin\",\"frames\":[7,8,9]}");
	follows(t.exchange[1], "\"stream\":", "1,");
	follows(t.exchange[1],
		"\"request\":", "{\"seq\":1,\"len\":120,\"next_seq\":121,\"frames\":[13]");
	cr_assert_eq(t.conn_count, 2);
	has(t.conn[0], "\"conn\":1,\"stream\":0");
	has(t.conn[1], "\"conn\":2,\"stream\":1");
	talk_fini(&t);
}

/* ---- loss ------------------------------------------------------------------------------------ */

Test(correlate, retransmission_belongs_to_whose_bytes_it_repeats)
{
	struct wire w = wire_client(40000);
	struct talk t;

	talk_init(&t, HOLD_MS, false);
	two_on_client(&t, &w);
	put_handshake(&t, &w, 0);
	put_data(&t, &w, 100, 0, 100);               /* 4: the first request */
	put_data(&t, &w, 101, 0, 140);               /* 5: the second, but 10 bytes */
	put_at(&t, &w, 400, 0, TCP_PSH, 90, 0, 160); /* 6: 10 of the first, all of the second */
	w.sent[0] = 250;
	put_data(&t, &w, 420, 1, 500); /* 7 */
	put_ack(&t, &w, 430, 0);
	correlate_end(t.c);
	follows(t.exchange[0], "\"request\":",
		"{\"seq\":1,\"len\":100,\"next_seq\":101,\"frames\":[4],\"acked_in\":7,"
		"\"acked_us\":320,\"retransmitted_bytes\":10,\"retransmitted_in\":[6],"
		"\"missing_bytes\":0}");
	follows(t.exchange[1], "\"request\":",
		"{\"seq\":101,\"len\":150,\"next_seq\":251,\"frames\":[5,6],\"acked_in\":7,"
		"\"acked_us\":20,\"retransmitted_bytes\":140,\"retransmitted_in\":[6],"
		"\"missing_bytes\":0}");
	talk_fini(&t);
}

Test(correlate, bytes_that_were_not_captured_are_missing_and_nothing_is_claimed)
{
	struct wire w = wire_client(40000);
	struct exchange_record x = on_client(&w, 1, 1, range(0, 100), range(0, 3000), 110, 300);
	struct talk t;

	talk_init(&t, HOLD_MS, false);
	correlate_exchange(t.c, &x);
	put_handshake(&t, &w, 0);
	put_data(&t, &w, 100, 0, 100);
	put_data(&t, &w, 300, 1, 1000); /* 5 */
	w.sent[1] += 1000;              /* not seen */
	put_data(&t, &w, 302, 1, 400);  /* 6 */
	w.sent[1] += 600;               /* not seen, the last byte with it */
	put_ack(&t, &w, 330, 0);        /* 7 */
	correlate_end(t.c);
	follows(t.exchange[0], "\"response\":",
		"{\"seq\":1,\"len\":3000,\"next_seq\":3001,\"frames\":[5,6],\"acked_in\":7,"
		"\"acked_us\":null,\"retransmitted_bytes\":0,\"retransmitted_in\":[],"
		"\"missing_bytes\":1600}");
	has(t.exchange[0], "\"phases_why\":\"client_response_last: not captured\"");
	has(t.exchange[0], "\"total\":null");
	talk_fini(&t);
}

Test(correlate, a_leg_that_was_not_captured_is_null_and_not_waited_for)
{
	struct wire client = wire_client(40000), backend = wire_backend(50000);
	struct exchange_record x = simple_record(&client, &backend);
	struct talk t;

	talk_init(&t, HOLD_MS, false);
	correlate_exchange(t.c, &x);
	put_handshake(&t, &client, 0);
	put_data(&t, &client, 100, 0, 311);
	put_data(&t, &client, 1100, 1, 582);
	put_ack(&t, &client, 1143, 0);
	correlate_clock(t.c, at(1142 + 2 * SECOND));
	cr_expect_eq(t.exchange_count, 0);
	correlate_clock(t.c, at(1143 + 2 * SECOND));
	cr_assert_eq(t.exchange_count, 1);
	follows(t.exchange[0], "\"backend\":",
		"{\"conn\":5,\"nth\":1,\"reused\":false,\"attempts\":1,\"stream\":null,"
		"\"anchor\":\"none\",\"handshake\":null,\"tls\":null,\"request\":null,\"interim\":null,"
		"\"response\":null,\"close\":null,\"tries\":[]}");
	has(t.exchange[0], "\"phases_why\":\"backend_syn: not captured\"");
	talk_fini(&t);
}

Test(correlate, without_its_handshake_a_connection_has_no_ranges)
{
	struct wire w = wire_client(40000);
	struct exchange_record x = on_client(&w, 1, 3, range(700, 800), range(900, 1100), 110, 300);
	struct talk t;

	talk_init(&t, HOLD_MS, false);
	correlate_exchange(t.c, &x);
	w.sent[0] = 700;
	w.sent[1] = 900;
	put_data(&t, &w, 100, 0, 100);
	put_data(&t, &w, 300, 1, 200);
	put_ack(&t, &w, 310, 0);
	correlate_end(t.c);
	has(t.exchange[0], "\"client\":{\"conn\":1,\"nth\":3,\"stream\":0,\"anchor\":\"none\","
			   "\"handshake\":null,\"tls\":null,\"request\":null,\"interim\":null,"
			   "\"response\":null,\"close\":null}");
	has(t.conn[0], "\"ws_shift\":null");
	talk_fini(&t);
}

/* ---- when ------------------------------------------------------------------------------------ */

static void unanswered(struct talk *t, struct wire *w)
{
	struct exchange_record x = on_client(w, 1, 1, range(0, 100), range(0, 200), 110, 300);

	correlate_exchange(t->c, &x);
	put_handshake(t, w, 0);
	put_data(t, w, 100, 0, 100);
	put_data(t, w, 300, 1, 200); /* 5 */
}

Test(correlate, late_ack_still_counts)
{
	struct wire w = wire_client(40000);
	struct talk t;

	talk_init(&t, HOLD_MS, false);
	unanswered(&t, &w);
	correlate_clock(t.c, at(30 * SECOND));
	cr_expect_eq(t.exchange_count, 0);
	put_ack(&t, &w, 30 * SECOND + 5, 0); /* 6 */
	correlate_clock(t.c, at(32 * SECOND + 4));
	cr_expect_eq(t.exchange_count, 0);
	correlate_clock(t.c, at(32 * SECOND + 5));
	cr_assert_eq(t.exchange_count, 1);
	follows(t.exchange[0], "\"response\":",
		"{\"seq\":1,\"len\":200,\"next_seq\":201,\"frames\":[5],\"acked_in\":6,"
		"\"acked_us\":29999705,");
	talk_fini(&t);
}

Test(correlate, ack_later_than_a_minute_does_not_count)
{
	struct wire w = wire_client(40000);
	struct talk t;

	talk_init(&t, HOLD_MS, false);
	unanswered(&t, &w);
	put_ack(&t, &w, 60 * SECOND + 301, 0); /* seen, but after end + 60 s */
	correlate_clock(t.c, at(60 * SECOND + 299));
	cr_expect_eq(t.exchange_count, 0);
	correlate_clock(t.c, at(60 * SECOND + 300));
	cr_assert_eq(t.exchange_count, 1);
	follows(t.exchange[0], "\"response\":",
		"{\"seq\":1,\"len\":200,\"next_seq\":201,\"frames\":[5],\"acked_in\":null,"
		"\"acked_us\":null,\"ack_why\":\"not-seen\",");
	talk_fini(&t);
}

Test(correlate, exchange_without_a_complete_response_ends_with_its_connection)
{
	struct wire w = wire_client(40000);
	struct exchange_record x = on_client(&w, 1, 1, range(0, 100), range(0, 200), 110, 300);
	struct talk t;

	x.at_us[MOMENT_RESPONSE_END] = MOMENT_NEVER; /* the client took no byte for long */
	memcpy(x.end, "client-stalled", sizeof("client-stalled"));
	talk_init(&t, HOLD_MS, false);
	correlate_exchange(t.c, &x);
	put_handshake(&t, &w, 0);
	put_data(&t, &w, 100, 0, 100);
	put_data(&t, &w, 300, 1, 200);
	put_ack(&t, &w, 310, 0);
	correlate_clock(t.c, at(90 * SECOND));
	cr_expect_eq(t.exchange_count, 0);
	put_raw(&t, &w, 90 * SECOND, 1, TCP_RST, (uint32_t)(w.isn[1] + 201), 0, 0); /* 7 */
	correlate_clock(t.c, at(92 * SECOND));
	cr_assert_eq(t.exchange_count, 1);
	has(t.exchange[0], "\"close\":{\"by\":\"proxy\",\"how\":\"rst\",\"frames\":[7]}");
	follows(t.exchange[0], "\"response\":",
		"{\"seq\":1,\"len\":200,\"next_seq\":201,\"frames\":[5],\"acked_in\":6,");
	talk_fini(&t);
}

Test(correlate, exchanges_come_by_settled_then_id)
{
	struct wire w[3] = {wire_client(40000), wire_client(40001), wire_client(40002)};
	const uint64_t ids[3] = {9, 4, 7};
	const uint64_t acks[3] = {500, 400, 400}; /* 4 and 7 settle at the same moment */
	struct talk t;

	talk_init(&t, HOLD_MS, false);
	for (unsigned i = 0; i < 3; i++) {
		struct exchange_record x =
			on_client(&w[i], ids[i], 1, range(0, 100), range(0, 200), 110, 300);

		x.client.conn = i + 1;
		correlate_exchange(t.c, &x);
		put_handshake(&t, &w[i], i);
		put_data(&t, &w[i], 100, 0, 100);
		put_data(&t, &w[i], 300, 1, 200);
	}
	for (unsigned i = 0; i < 3; i++)
		put_ack(&t, &w[i], acks[i], 0);
	correlate_end(t.c);
	cr_assert_eq(t.exchange_count, 3);
	has(t.exchange[0], "\"id\":\"0000000000000004\"");
	has(t.exchange[1], "\"id\":\"0000000000000007\"");
	has(t.exchange[2], "\"id\":\"0000000000000009\"");
	talk_fini(&t);
}

/* ---- connections ----------------------------------------------------------------------------- */

Test(correlate, connection_comes_when_it_is_closed_and_its_exchanges_are_out)
{
	struct wire w = wire_client(40000);
	struct talk t;

	talk_init(&t, HOLD_MS, false);
	two_on_client(&t, &w);
	put_handshake(&t, &w, 0);
	put_data(&t, &w, 100, 0, 100);
	put_data(&t, &w, 300, 1, 200);
	put_data(&t, &w, 400, 0, 150);
	put_data(&t, &w, 700, 1, 300);
	put_ack(&t, &w, 720, 0);
	put_close(&t, &w, 1000, 0); /* the last ACK at 1035 */
	correlate_clock(t.c, at(1034 + 2 * SECOND));
	cr_expect_eq(t.exchange_count, 2);
	cr_expect_eq(t.conn_count, 0);
	correlate_clock(t.c, at(1035 + 2 * SECOND));
	cr_expect_eq(t.conn_count, 1);
	correlate_end(t.c);
	cr_expect_eq(t.conn_count, 1);
	talk_fini(&t);
}

Test(correlate, connection_without_exchange_to_a_listener_is_told_of)
{
	struct wire w = wire_client(40000), idle = wire_client(40001), other = wire_backend(50000);
	struct talk t;

	talk_init(&t, HOLD_MS, false);
	unanswered(&t, &w);
	put_handshake(&t, &idle, 400); /* 6-8 */
	put_close(&t, &idle, 500, 0);  /* 9-11 */
	put_handshake(&t, &other, 600);
	put_close(&t, &other, 700, 0);
	correlate_end(t.c);
	cr_assert_eq(t.conn_count, 2); /* not the one to the backend: it may be anybody's */
	has(t.conn[0], "\"leg\":\"client\",\"conn\":null,\"stream\":1,\"anchor\":\"syn\","
		       "\"local\":\"198.51.100.7:8585\",\"peer\":\"192.0.2.1:40001\","
		       "\"opened\":null,\"handshake\":{\"frames\":[6,7,8],\"us\":25},\"tls\":null,"
		       "\"close\":{\"by\":\"client\",\"how\":\"fin\",\"frames\":[9,10,11]},"
		       "\"history\":\"ShAFf\",\"exchanges\":0,\"ids\":[],\"ws_shift\":0}");
	has(t.conn[1], "\"conn\":1,\"stream\":0");
	talk_fini(&t);
}

/* ---- drops ----------------------------------------------------------------------------------- */

Test(correlate, drops_between_first_frame_and_settled_on_its_interface_count)
{
	struct wire w = wire_client(40000);
	struct talk t;

	talk_init(&t, HOLD_MS, false);
	unanswered(&t, &w);
	correlate_drops(t.c, 0, at(100), 1);                 /* before the first frame */
	correlate_drops(t.c, 0, at(200), 10);                /* yes */
	correlate_drops(t.c, 1, at(200), 100);               /* another interface */
	put_ack(&t, &w, 400, 0);                             /* settled at 400 + hold */
	correlate_drops(t.c, 0, at(400 + 2 * SECOND), 1000); /* yes */
	correlate_drops(t.c, 0, at(401 + 2 * SECOND), 10000);
	correlate_end(t.c);
	has(t.exchange[0], "\"drops\":1010}");
	talk_fini(&t);
}
