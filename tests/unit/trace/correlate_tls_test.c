/*
 * correlate_tls_test.c -- the TLS handshake of a connection: its frames and times, on the exchange
 * for which it was made and on the connection, and what of an exchange's time it took.
 */
#include "tests/unit/trace/talk.h"

#define HOLD_MS 2000
#define SECOND  1000000ULL /* in microseconds */

static struct tls_marks marks_13(void)
{
	return (struct tls_marks){.version = TLS_VERSION_13,
				  .at = {range(0, 517), range(0, 127), range(900, 958),
					 range(517, 581)}};
}

/*
 * frames n to n+2 TCP handshake, n+3 ClientHello, n+4 ServerHello to Finished, n+5 Finished of the
 * side that connected: 517 + 64 bytes one way, 958 the other.
 */
static void put_tls(struct talk *t, struct wire *w, uint64_t us)
{
	put_handshake(t, w, us);
	put_data(t, w, us + 100, 0, 517);
	put_data(t, w, us + 400, 1, 958);
	put_data(t, w, us + 600, 0, 64);
}

/* Request and response on w, at those moments, and the ACK of the response 10 us after it. */
static void put_exchange(struct talk *t, struct wire *w, uint64_t request_us, uint64_t response_us)
{
	put_data(t, w, request_us, 0, 100);
	put_data(t, w, response_us, 1, 200);
	put_ack(t, w, response_us + 10, 0);
}

static struct leg_record tls_leg(const struct wire *w, uint64_t conn, uint64_t opened_us)
{
	struct leg_record leg = leg_on(w, conn, 1, opened_us);

	leg.request = range(581, 681);
	leg.response = range(958, 1158);
	return leg;
}

#define TLS_WITH(hello, us_hello, server, us_server, finished, us_finished)       \
	"\"tls\":{\"version\":\"1.3\",\"resumed\":false,\"failed\":false,"        \
	"\"client_hello\":{\"frames\":[" hello "],\"us\":" us_hello "},"          \
	"\"server_hello\":{\"frames\":[" server "],\"us\":" us_server "},"        \
	"\"server_finished\":{\"frames\":[" server "],\"us\":" us_server "},"     \
	"\"client_finished\":{\"frames\":[" finished "],\"us\":" us_finished "}," \
	"\"us\":" us_finished "}"

#define TLS_OF(hello, server, us_server, finished, us_finished) \
	TLS_WITH(hello, "0", server, us_server, finished, us_finished)

/* The backend's connection is made for the exchange: ready for it with the last Finished. */
Test(correlate_tls, both_legs)
{
	struct wire c = wire_client(40000), b = wire_backend(50000);
	struct exchange_record x = record_of(1, 1010, 4000);
	const struct tls_marks m = marks_13();
	struct talk t;

	x.client = tls_leg(&c, 3, 50);
	x.backend = tls_leg(&b, 5, 1190);
	talk_init(&t, HOLD_MS, false);
	correlate_exchange(t.c, &x);
	correlate_tls(t.c, RUN, 3, &m);
	correlate_tls(t.c, RUN, 5, &m);
	put_tls(&t, &c, 0);
	put_data(&t, &c, 1000, 0, 100);
	put_tls(&t, &b, 1200);
	put_exchange(&t, &b, 1850, 3000);
	put_data(&t, &c, 3100, 1, 200);
	put_ack(&t, &c, 3140, 0);
	correlate_end(t.c);
	follows(t.exchange[0], "\"handshake\":{\"frames\":[1,2,3],\"us\":25},",
		TLS_OF("4", "5", "300", "6", "500") ",\"request\":{\"seq\":582,");
	follows(t.exchange[0], "\"handshake\":{\"frames\":[8,9,10],\"us\":25},",
		TLS_OF("11", "12", "300", "13", "500") ",\"request\":{\"seq\":582,");
	has(t.exchange[0], "\"phases_us\":{\"total\":2140,\"upload\":0,\"proxy_request\":250,"
			   "\"handshake\":600,\"think\":1150,\"proxy_response\":100,"
			   "\"backend_send\":0,\"download\":0,\"delivery\":40}");
	follows(t.conn[0], "\"handshake\":{\"frames\":[1,2,3],\"us\":25},",
		TLS_OF("4", "5", "300", "6", "500") ",\"close\":null");
	follows(t.conn[1], "\"handshake\":{\"frames\":[8,9,10],\"us\":25},",
		TLS_OF("11", "12", "300", "13", "500") ",\"close\":null");
	talk_fini(&t);
}

/* It stands on the first exchange of its connection, and is known to the end of that. */
Test(correlate_tls, later_exchanges)
{
	struct wire c = wire_client(40000);
	const struct tls_marks m = marks_13();
	struct exchange_record x;
	struct talk t;

	talk_init(&t, HOLD_MS, false);
	for (unsigned i = 0; i < 3; i++) {
		x = record_of(i + 1, 1010 + i * SECOND, 1100 + i * SECOND);
		x.client = leg_on(&c, 3, i + 1, 50);
		x.client.request = range(581 + 100 * i, 681 + 100 * i);
		x.client.response = range(958 + 200 * i, 1158 + 200 * i);
		correlate_exchange(t.c, &x);
		correlate_tls(t.c, RUN, 3, &m);
	}
	put_tls(&t, &c, 0);
	for (unsigned i = 0; i < 3; i++)
		put_exchange(&t, &c, 1000 + i * SECOND, 1100 + i * SECOND);
	put_close(&t, &c, 20 * SECOND, 0);
	correlate_clock(t.c, at(21 * SECOND));
	cr_assert_eq(t.exchange_count, 3);
	correlate_end(t.c);
	has(t.exchange[0], TLS_OF("4", "5", "300", "6", "500"));
	has(t.exchange[1], "\"handshake\":null,\"tls\":null,");
	has(t.exchange[2], "\"handshake\":null,\"tls\":null,");
	has(t.conn[0], TLS_OF("4", "5", "300", "6", "500"));
	talk_fini(&t);
}

/* Offline, the log tells of a connection when its first exchange comes near: long after this. */
Test(correlate_tls, known_long_after_the_handshake)
{
	struct wire c = wire_client(40000);
	struct exchange_record x = record_of(1, 30 * SECOND + 10, 30 * SECOND + 100);
	const struct tls_marks m = marks_13();
	struct talk t;

	x.client = tls_leg(&c, 3, 50);
	talk_init(&t, HOLD_MS, false);
	put_tls(&t, &c, 0);
	correlate_clock(t.c, at(26 * SECOND));
	correlate_exchange(t.c, &x);
	correlate_tls(t.c, RUN, 3, &m);
	put_exchange(&t, &c, 30 * SECOND, 30 * SECOND + 100);
	correlate_end(t.c);
	has(t.exchange[0], TLS_OF("4", "5", "300", "6", "500"));
	talk_fini(&t);
}

/* Of nobody's connections only the beginning is kept. */
Test(correlate_tls, strangers_cost_little)
{
	struct wire w = wire_client(40000);
	struct talk t;

	talk_init(&t, HOLD_MS, false);
	put_handshake(&t, &w, 0);
	for (unsigned i = 0; i < 2000; i++)
		put_data(&t, &w, 100 + i, 0, 10);
	for (unsigned i = 0; i < 2000; i++)
		put_data(&t, &w, 3000 + i, 1, 1448);
	cr_expect_lt(stream_memory(t.place.flow->side[0].stream), 20000);
	cr_expect_lt(stream_memory(t.place.flow->side[1].stream), 20000);
	talk_fini(&t);
}

/* Up to TLS 1.2 the server has the last word, unless a session is resumed. */
Test(correlate_tls, the_last_finished_is_the_servers)
{
	struct wire c = wire_client(40000), b = wire_backend(50000);
	struct exchange_record x = record_of(1, 110, 4000);
	struct tls_marks m = {.version = TLS_VERSION_12,
			      .at = {range(0, 200), range(0, 90), range(906, 951),
				     range(275, 320)}};
	struct talk t;

	x.client = leg_on(&c, 3, 1, 50);
	x.client.request = range(0, 100);
	x.client.response = range(0, 200);
	x.backend = leg_on(&b, 5, 1, 190);
	x.backend.request = range(320, 420);
	x.backend.response = range(951, 1151);
	talk_init(&t, HOLD_MS, false);
	correlate_exchange(t.c, &x);
	correlate_tls(t.c, RUN, 5, &m);
	put_handshake(&t, &c, 0);
	put_data(&t, &c, 100, 0, 100);
	put_handshake(&t, &b, 200);
	put_data(&t, &b, 300, 0, 200);
	put_data(&t, &b, 500, 1, 900); /* ServerHello to ServerHelloDone */
	put_data(&t, &b, 700, 0, 120);
	put_data(&t, &b, 900, 1, 51); /* ChangeCipherSpec, Finished */
	put_exchange(&t, &b, 1000, 2000);
	put_data(&t, &c, 2100, 1, 200);
	put_ack(&t, &c, 2110, 0);
	correlate_end(t.c);
	has(t.exchange[0], "\"tls\":{\"version\":\"1.2\",\"resumed\":false,\"failed\":false,"
			   "\"client_hello\":{\"frames\":[8],\"us\":0},"
			   "\"server_hello\":{\"frames\":[9],\"us\":200},"
			   "\"server_finished\":{\"frames\":[11],\"us\":600},"
			   "\"client_finished\":{\"frames\":[10],\"us\":400},\"us\":600}");
	has(t.exchange[0], "\"phases_us\":{\"total\":2010,\"upload\":0,\"proxy_request\":200,"
			   "\"handshake\":700,\"think\":1000,");
	talk_fini(&t);
}

/* A handshake that failed lasted until the client was told so. */
Test(correlate_tls, failed)
{
	struct wire c = wire_client(40000), b = wire_backend(50000);
	struct exchange_record x = record_of(1, 110, 1100);
	struct tls_marks m = {.failed = 1};
	struct talk t;

	for (unsigned i = 0; i < TLS_MARK_COUNT; i++)
		m.at[i] = byte_range_none();
	m.at[TLS_MARK_CLIENT_HELLO] = range(0, 517);
	x.client = leg_on(&c, 3, 1, 50);
	x.client.request = range(0, 100);
	x.client.response = range(0, 200);
	x.backend = leg_on(&b, 5, 1, 190);
	talk_init(&t, HOLD_MS, false);
	correlate_exchange(t.c, &x);
	correlate_tls(t.c, RUN, 5, &m);
	put_handshake(&t, &c, 0);
	put_data(&t, &c, 100, 0, 100);
	put_handshake(&t, &b, 200);
	put_data(&t, &b, 300, 0, 517);
	put_data(&t, &b, 900, 1, 7);
	put_data(&t, &c, 1000, 1, 200);
	put_ack(&t, &c, 1010, 0);
	correlate_end(t.c);
	has(t.exchange[0], "\"tls\":{\"version\":null,\"resumed\":false,\"failed\":true,"
			   "\"client_hello\":{\"frames\":[8],\"us\":0},\"server_hello\":null,"
			   "\"server_finished\":null,\"client_finished\":null,\"us\":null}");
	has(t.exchange[0], "\"phases_us\":{\"total\":910,\"upload\":0,\"proxy_request\":100,"
			   "\"handshake\":800,\"think\":0,");
	talk_fini(&t);
}

/* Part of a message that came later, and one of which nothing was captured. */
Test(correlate_tls, not_all_was_captured)
{
	struct wire c = wire_client(40000);
	struct exchange_record x = record_of(1, 1010, 1100);
	struct tls_marks m = marks_13();
	struct talk t;

	x.client = tls_leg(&c, 3, 50);
	talk_init(&t, HOLD_MS, false);
	correlate_exchange(t.c, &x);
	correlate_tls(t.c, RUN, 3, &m);
	put_handshake(&t, &c, 0);
	put_at(&t, &c, 100, 0, TCP_PSH, 0, 0, 200);
	put_at(&t, &c, 110, 0, TCP_PSH, 0, 0, 200);   /* again: not for the first time */
	put_at(&t, &c, 120, 0, TCP_PSH, 300, 0, 217); /* 200 to 300 were not captured */
	put_at(&t, &c, 400, 1, TCP_PSH, 0, 517, 100);
	put_at(&t, &c, 450, 1, TCP_PSH, 100, 517, 858);
	c.sent[0] = 581; /* the client's Finished was not captured */
	c.sent[1] = 958;
	put_exchange(&t, &c, 1000, 1100);
	correlate_end(t.c);
	has(t.exchange[0], "\"tls\":{\"version\":\"1.3\",\"resumed\":false,\"failed\":false,"
			   "\"client_hello\":{\"frames\":[4,6],\"us\":null},"
			   "\"server_hello\":{\"frames\":[7,8],\"us\":350},"
			   "\"server_finished\":{\"frames\":[8],\"us\":350},"
			   "\"client_finished\":null,\"us\":null}");
	talk_fini(&t);
}

/* Packets were lost before its end: when it began or ended cannot be said. */
Test(correlate_tls, lost_packets_take_the_times)
{
	struct wire c = wire_client(40000);
	struct exchange_record x = record_of(1, 1010, 1100);
	struct tls_marks m = marks_13();
	struct talk t;

	x.client = tls_leg(&c, 3, 50);
	talk_init(&t, HOLD_MS, false);
	correlate_exchange(t.c, &x);
	correlate_tls(t.c, RUN, 3, &m);
	put_handshake(&t, &c, 0);
	put_data(&t, &c, 100, 0, 517);
	correlate_drops(t.c, 0, at(400), 1);
	put_data(&t, &c, 400, 1, 958);
	put_data(&t, &c, 600, 0, 64);
	put_exchange(&t, &c, 1000, 1100);
	correlate_end(t.c);
	has(t.exchange[0], TLS_WITH("4", "null", "5", "null", "6", "null"));
	talk_fini(&t);
}

/* Sent again: by a label on the first exchange, and by what it cost in its phase. */
Test(correlate_tls, a_hello_sent_again)
{
	struct wire c = wire_client(40000), b = wire_backend(50000);
	struct exchange_record x = record_of(1, 110, 500000);
	const struct tls_marks m = marks_13();
	struct talk t;

	x.client = leg_on(&c, 3, 1, 50);
	x.client.request = range(0, 100);
	x.client.response = range(0, 200);
	x.backend = tls_leg(&b, 5, 190);
	talk_init(&t, HOLD_MS, false);
	correlate_exchange(t.c, &x);
	correlate_tls(t.c, RUN, 5, &m);
	put_handshake(&t, &c, 0);
	put_data(&t, &c, 100, 0, 100);
	put_handshake(&t, &b, 200);
	put_data(&t, &b, 300, 0, 517);                 /* 8 */
	put_at(&t, &b, 200300, 0, TCP_PSH, 0, 0, 517); /* 9 */
	put_data(&t, &b, 200400, 1, 958);
	put_data(&t, &b, 200500, 0, 64);
	put_exchange(&t, &b, 200600, 300000);
	put_data(&t, &c, 300100, 1, 200);
	put_ack(&t, &c, 300110, 0);
	correlate_end(t.c);
	has(behind(t.exchange[0], "\"backend\":"),
	    "\"client_hello\":{\"frames\":[8],\"us\":0},\"server_hello\":{\"frames\":[10],\"us\":200100}");
	follows(behind(t.exchange[0], "\"backend\":"), "\"labels\":{",
		"\"retransmission\":{\"count\":1,\"frames\":[9]}");
	has(t.exchange[0],
	    "\"lost_us\":{\"handshake\":{\"retransmission\":200000,\"zero_window\":0}}");
	talk_fini(&t);
}
