/*
 * correlate_loss_test.c -- what a record says when the capture lost packets: nothing that was not
 * seen, and no other connection's frames.
 */
#include "tests/unit/trace/talk.h"

#define HOLD_MS 2000
#define SECOND  1000000

/* An exchange on one client leg. */
static struct exchange_record on_client(const struct wire *w, uint64_t conn,
					struct byte_range request, struct byte_range response,
					uint64_t start_us, uint64_t end_us)
{
	struct exchange_record x = record_of(conn, start_us, end_us);

	x.client = leg_on(w, conn, 1, start_us - 50);
	x.client.request = request;
	x.client.response = response;
	return x;
}

/* Request and response over both legs: frames 1 to 12, if none is lost. */
static void both_legs(struct talk *t, struct exchange_record *x, struct wire *c, struct wire *b)
{
	*c = wire_client(40000);
	*b = wire_backend(50000);
	*x = record_of(1, 110, 600);
	x->client = leg_on(c, 1, 1, 60);
	x->client.request = range(0, 100);
	x->client.response = range(0, 200);
	x->backend = leg_on(b, 2, 1, 120);
	x->backend.request = range(0, 90);
	x->backend.response = range(0, 190);
	talk_init(t, HOLD_MS, false);
	correlate_exchange(t->c, x);
	put_handshake(t, c, 0);
	put_data(t, c, 100, 0, 100);
	put_ack(t, c, 105, 1);
	put_handshake(t, b, 130);
	put_data(t, b, 200, 0, 90);
	put_data(t, b, 400, 1, 190);
	put_ack(t, b, 405, 0);
	put_data(t, c, 500, 1, 200);
}

#define CLIENT_RESPONSE "\"response\":{\"seq\":1,\"len\":200,\"next_seq\":201,\"frames\":[12],"

/* The ACK that was seen need not be the first: its frame stands, its time does not. */
Test(correlate_loss, between_the_last_byte_and_its_ack)
{
	struct exchange_record x;
	struct wire c, b;
	struct talk t;

	both_legs(&t, &x, &c, &b);
	correlate_drops(t.c, 0, at(900), 3);
	put_ack(&t, &c, 900, 0); /* 13 */
	correlate_end(t.c);
	has(t.exchange[0],
	    CLIENT_RESPONSE "\"acked_in\":13,\"acked_us\":null,\"retransmitted_bytes\":0,"
			    "\"retransmitted_in\":[],\"missing_bytes\":0}");
	has(t.exchange[0], "\"phases_us\":{\"total\":null,\"upload\":0,\"proxy_request\":");
	has(t.exchange[0], "\"delivery\":null},\"phases_why\":\"client_response_acked: perhaps "
			   "earlier, the capture lost packets\"");
	has(t.exchange[0], "\"verdict\":null,\"drops\":3}");
	talk_fini(&t);
}

/* What was lost before and behind it takes nothing from it. */
Test(correlate_loss, beside_the_exchange)
{
	struct exchange_record x;
	struct wire c, b;
	struct talk t;

	both_legs(&t, &x, &c, &b);
	correlate_drops(t.c, 0, at(90), 4);
	correlate_drops(t.c, 1, at(505), 4); /* another interface */
	put_ack(&t, &c, 510, 0);
	correlate_drops(t.c, 0, at(511), 4);
	correlate_end(t.c);
	has(t.exchange[0], CLIENT_RESPONSE "\"acked_in\":13,\"acked_us\":10,");
	has(t.exchange[0], "\"phases_us\":{\"total\":410,");
	cr_expect_null(strstr(t.exchange[0], "phases_why"));
	has(t.exchange[0], "\"verdict\":\"think\",\"drops\":4}");
	talk_fini(&t);
}

/* The backend's answer and all before it: the request's moments stand, those behind do not. */
Test(correlate_loss, in_the_middle)
{
	struct exchange_record x;
	struct wire c, b;
	struct talk t;

	both_legs(&t, &x, &c, &b);
	correlate_drops(t.c, 0, at(400), 1); /* before the response's packet */
	put_ack(&t, &c, 510, 0);
	correlate_end(t.c);
	has(t.exchange[0], "\"phases_us\":{\"total\":null,\"upload\":0,\"proxy_request\":75,"
			   "\"handshake\":25,\"think\":null,\"proxy_response\":null,"
			   "\"backend_send\":null,\"download\":null,\"delivery\":null}");
	has(t.exchange[0], "\"phases_why\":\"backend_response_first: perhaps earlier");
	has(t.exchange[0], "\"drops\":1}");
	/* these bytes may have been sent before, too */
	has(t.exchange[0], CLIENT_RESPONSE "\"acked_in\":13,\"acked_us\":null,");
	talk_fini(&t);
}

/*
 * The request's packet was lost and came again when the proxy had read it long ago: the loss stands
 * before the start.
 */
Test(correlate_loss, of_the_request)
{
	struct wire w = wire_client(40000);
	struct exchange_record x = on_client(&w, 1, range(0, 100), range(0, 200), 110, 40300);
	struct talk t;

	talk_init(&t, HOLD_MS, false);
	correlate_exchange(t.c, &x);
	put_handshake(&t, &w, 0);
	correlate_drops(t.c, 0, at(105), 2);
	put_data(&t, &w, 40100, 0, 100); /* 4 */
	put_data(&t, &w, 40300, 1, 200); /* 5 */
	put_ack(&t, &w, 40310, 0);
	correlate_end(t.c);
	has(t.exchange[0], "\"frames\":[4],\"acked_in\":5,\"acked_us\":null,");
	has(t.exchange[0], "\"phases_us\":null,\"phases_why\":\"client_request_first: perhaps "
			   "earlier, the capture lost packets\"");
	has(t.exchange[0], "\"drops\":2}");
	talk_fini(&t);
}

/* The last ACK of the handshake was lost: what came later is not when it was made. */
Test(correlate_loss, in_the_handshake)
{
	struct wire w = wire_client(40000);
	struct exchange_record x = on_client(&w, 1, range(0, 100), range(0, 200), 90110, 90300);
	struct talk t;

	x.client.opened_ns = at(50);
	talk_init(&t, HOLD_MS, false);
	correlate_exchange(t.c, &x);
	put_raw(&t, &w, 0, 0, TCP_SYN, w.isn[0], 0, 0);
	put_raw(&t, &w, 10, 1, TCP_SYN | TCP_ACK, w.isn[1], w.isn[0] + 1, 0);
	correlate_drops(t.c, 0, at(90100), 1);
	put_data(&t, &w, 90100, 0, 100); /* 3 */
	put_data(&t, &w, 90300, 1, 200);
	put_ack(&t, &w, 90310, 0);
	correlate_end(t.c);
	has(t.exchange[0], "\"handshake\":{\"frames\":[1,2,3],\"us\":null}");
	has(t.conn[0], "\"handshake\":{\"frames\":[1,2,3],\"us\":null}");
	has(t.exchange[0], "\"phases_us\":{\"total\":210,"); /* all of it was seen */
	has(t.exchange[0], "\"drops\":0}");
	talk_fini(&t);
}

/* Not a packet of the backend leg: whatever any interface lost may have been it. */
Test(correlate_loss, a_whole_leg)
{
	struct wire c = wire_client(40000), b = wire_backend(50000);
	struct exchange_record x = on_client(&c, 1, range(0, 100), range(0, 200), 110, 500);
	struct talk t;

	x.backend = leg_on(&b, 2, 1, 120);
	x.backend.request = range(0, 90);
	x.backend.response = range(0, 190);
	talk_init(&t, HOLD_MS, false);
	correlate_exchange(t.c, &x);
	put_handshake(&t, &c, 0);
	put_data(&t, &c, 100, 0, 100);
	correlate_drops(t.c, 7, at(450), 9);
	put_data(&t, &c, 500, 1, 200);
	put_ack(&t, &c, 510, 0);
	correlate_end(t.c);
	has(t.exchange[0], "\"backend\":{\"conn\":2,\"nth\":1,\"reused\":false,\"attempts\":1,"
			   "\"stream\":null,\"anchor\":\"none\",\"handshake\":null,\"tls\":null,"
			   "\"request\":null,\"interim\":null,\"response\":null,\"close\":null");
	has(t.exchange[0], "\"drops\":9}");
	talk_fini(&t);
}

/* ---- a port used again, and the second handshake lost ---- */

/*
 * The first connection on the port, closed, with an exchange of its own; the second, from
 * second_us on, without SYN and SYN/ACK. Its exchange has the same ranges.
 */
static void used_again(struct talk *t, uint64_t second_us)
{
	struct wire one = wire_client(40000), two = wire_client(40000);
	struct exchange_record x = on_client(&one, 1, range(0, 100), range(0, 200), 110, 300);
	struct exchange_record y =
		on_client(&two, 2, range(0, 100), range(0, 200), second_us + 110, second_us + 300);

	two.isn[0] += 100000;
	two.isn[1] += 100000;
	talk_init(t, HOLD_MS, false);
	correlate_exchange(t->c, &x);
	correlate_exchange(t->c, &y);
	put_handshake(t, &one, 0);
	put_data(t, &one, 100, 0, 100); /* 4 */
	put_data(t, &one, 300, 1, 200);
	put_ack(t, &one, 310, 0);
	put_close(t, &one, 400, 0); /* 7-9 */
	correlate_clock(t->c, at(second_us));
	put_data(t, &two, second_us + 100, 0, 100); /* 10 */
	put_data(t, &two, second_us + 300, 1, 200);
	put_ack(t, &two, second_us + 310, 0);
	put_close(t, &two, second_us + 400, 0); /* 13-15 */
	correlate_end(t->c);
	cr_assert_eq(t->exchange_count, 2);
}

static void expect_nothing_claimed(const char *line)
{
	has(line,
	    "\"anchor\":\"none\",\"handshake\":null,\"tls\":null,\"request\":null,\"interim\":null,"
	    "\"response\":null");
	has(line, "\"phases_us\":null,\"phases_why\":\"client_request_first: not captured\"");
}

Test(correlate_loss, port_used_again_at_once_without_handshake)
{
	struct talk t;

	used_again(&t, 1000);
	has(t.exchange[0], "\"request\":{\"seq\":1,\"len\":100,\"next_seq\":101,\"frames\":[4],"
			   "\"acked_in\":5,");
	has(t.exchange[0], "\"close\":{\"by\":\"client\",\"how\":\"fin\",\"frames\":[7,8,9]}");
	expect_nothing_claimed(t.exchange[1]);
	follows(t.exchange[1], "\"stream\":", "0,"); /* as Wireshark counts */
	has(t.exchange[1], "\"close\":{\"by\":\"client\",\"how\":\"fin\",\"frames\":[13,14,15]}");
	cr_assert_eq(t.conn_count, 2);
	has(t.conn[0], "\"close\":{\"by\":\"client\",\"how\":\"fin\",\"frames\":[7,8,9]}");
	has(t.conn[0], "\"history\":\"ShADdFf\"");
	has(t.conn[1], "\"history\":\"DdAFf\"");
	talk_fini(&t);
}

/* The first was given out long ago: what is left of it is not the second. */
Test(correlate_loss, port_used_again_later_without_handshake)
{
	struct talk t;

	used_again(&t, 10 * SECOND);
	expect_nothing_claimed(t.exchange[1]);
	cr_expect_null(strstr(t.exchange[1], "frames"));
	talk_fini(&t);
}

/* ---- far along ---- */

/* Past 4 GiB on one connection, in both ways, from numbers near the wrap. */
Test(correlate_loss, beyond_four_gib)
{
	struct wire w = wire_client(40000);
	uint64_t up = 5ULL << 32, down = (9ULL << 32) - 10;
	struct exchange_record x = on_client(&w, 1, range(up, up + 100), range(down, down + 200),
					     60 * SECOND, 60 * SECOND + 300);
	struct talk t;

	x.client.nth = 77;
	x.client.opened_ns = at(0);
	talk_init(&t, HOLD_MS, false);
	correlate_exchange(t.c, &x);
	put_handshake(&t, &w, 0);
	for (uint64_t us = 100; w.sent[1] < down; us += 100) {
		if (w.sent[0] < up)
			put_data(&t, &w, us, 0, 1U << 30);
		put_data(&t, &w, us + 50, 1, (uint32_t)MIN(down - w.sent[1], 1U << 30));
	}
	t.frame = 1000;
	put_data(&t, &w, 60 * SECOND, 0, 100);                           /* 1001 */
	put_at(&t, &w, 60 * SECOND + 20, 0, TCP_PSH, up + 60, down, 40); /* 1002, again in part */
	put_data(&t, &w, 60 * SECOND + 300, 1, 200);                     /* 1003 */
	put_ack(&t, &w, 60 * SECOND + 310, 0);
	correlate_end(t.c);
	has(t.exchange[0], "\"request\":{\"seq\":21474836481,\"len\":100,\"next_seq\":21474836581,"
			   "\"frames\":[1001],\"acked_in\":1003,\"acked_us\":300,"
			   "\"retransmitted_bytes\":40,\"retransmitted_in\":[1002],"
			   "\"missing_bytes\":0}");
	has(t.exchange[0],
	    "\"response\":{\"seq\":38654705655,\"len\":200,\"next_seq\":38654705855,"
	    "\"frames\":[1003],\"acked_in\":1004,\"acked_us\":10,"
	    "\"retransmitted_bytes\":0,\"retransmitted_in\":[],\"missing_bytes\":0}");
	talk_fini(&t);
}
