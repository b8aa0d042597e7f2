/*
 * correlate_labels_test.c -- whose a label is: the exchange's whose bytes it concerns, in its time.
 */
#include "tests/unit/trace/talk.h"

#define HOLD_MS 2000
#define MS      1000ULL

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

/* Requests [0, 100) and [100, 250), responses [0, 200) and [200, 500). */
static void begin(struct talk *t, const struct wire *w, uint64_t second_us)
{
	struct exchange_record one = on_client(w, 1, 1, range(0, 100), range(0, 200), 110, 300);
	struct exchange_record two =
		on_client(w, 2, 2, range(100, 250), range(200, 500), second_us, second_us + 300);

	talk_init(t, HOLD_MS, false);
	correlate_exchange(t->c, &one);
	correlate_exchange(t->c, &two);
}

static void has_not(const char *line, const char *part)
{
	cr_expect_null(strstr(line, part), "%s\nis in\n%s", part, line);
}

Test(correlate_labels, nothing_remarkable)
{
	struct wire w = wire_client(40000);
	struct talk t;

	begin(&t, &w, 410);
	put_handshake(&t, &w, 0);
	put_data(&t, &w, 100, 0, 100);
	put_data(&t, &w, 300, 1, 200);
	put_data(&t, &w, 400, 0, 150);
	put_data(&t, &w, 700, 1, 300);
	put_ack(&t, &w, 720, 0);
	put_close(&t, &w, 800, 0);
	correlate_end(t.c);
	for (unsigned i = 0; i < 2; i++) {
		has_not(t.exchange[i], "\"labels\"");
		has_not(t.exchange[i], "\"ws\"");
	}
	talk_fini(&t);
}

/* One segment repeats the end of the first request and the begin of the second. */
Test(correlate_labels, a_retransmission_of_two)
{
	struct wire w = wire_client(40000);
	struct talk t;

	begin(&t, &w, 111);
	t.window = 5000;
	put_handshake(&t, &w, 0);
	put_data(&t, &w, 100, 0, 100);                    /* 4 */
	put_data(&t, &w, 105, 0, 150);                    /* 5 */
	put_at(&t, &w, 300 * MS, 0, TCP_PSH, 50, 0, 150); /* 6 */
	put_ack(&t, &w, 301 * MS, 1);
	put_data(&t, &w, 302 * MS, 1, 500);
	put_ack(&t, &w, 303 * MS, 0);
	correlate_end(t.c);
	for (unsigned i = 0; i < 2; i++)
		follows(t.exchange[i], "\"labels\":",
			"{\"retransmission\":{\"count\":1,\"frames\":[6]},\"rto\":{\"count\":1,"
			"\"frames\":[6]}},\"ws\":{\"retransmission\":{\"count\":1,\"frames\":[6]}}");
	follows(t.exchange[0], "\"retransmitted_bytes\":", "50,\"retransmitted_in\":[6]");
	talk_fini(&t);
}

/* The client takes no more in the middle of the first response. */
Test(correlate_labels, a_zero_window_is_whose_bytes_wait)
{
	struct wire w = wire_client(40000);
	struct talk t;

	begin(&t, &w, 900 * MS);
	put_handshake(&t, &w, 0);
	put_data(&t, &w, 100, 0, 100);
	put_data(&t, &w, 300, 1, 150); /* 5 */
	t.window = 0;
	put_ack(&t, &w, 310, 0); /* 6 */
	t.window = 500;
	put_at(&t, &w, 300 * MS, 1, 0, 149, 100, 0); /* 7: Linux asks */
	t.window = 0;
	put_ack(&t, &w, 301 * MS, 0); /* 8 */
	t.window = 500;
	put_ack(&t, &w, 400 * MS, 0);      /* 9 */
	put_data(&t, &w, 401 * MS, 1, 50); /* 10 */
	put_ack(&t, &w, 402 * MS, 0);
	put_data(&t, &w, 900 * MS, 0, 150);
	put_data(&t, &w, 901 * MS, 1, 300);
	put_ack(&t, &w, 902 * MS, 0);
	correlate_end(t.c);
	follows(t.exchange[0], "\"labels\":",
		"{\"zero-window\":{\"count\":2,\"frames\":[6,8]},"
		"\"zero-window-probe\":{\"count\":1,\"frames\":[7]},"
		"\"zero-window-probe-ack\":{\"count\":1,\"frames\":[8]},"
		"\"window-update\":{\"count\":1,\"frames\":[9]}}");
	has_not(t.exchange[1], "\"labels\"");
	has_not(t.exchange[1], "\"ws\"");
	talk_fini(&t);
}

/* It was lost with the connection's first packet; later exchanges have nothing to do with it. */
Test(correlate_labels, a_syn_sent_again_is_the_first_exchanges)
{
	struct wire w = wire_client(40000);
	struct talk t;

	begin(&t, &w, 1100 * MS);
	put_raw(&t, &w, 0, 0, TCP_SYN, w.isn[0], 0, 0);
	put_handshake(&t, &w, 1000 * MS); /* 2 to 4 */
	put_data(&t, &w, 1001 * MS, 0, 100);
	put_data(&t, &w, 1002 * MS, 1, 200);
	put_data(&t, &w, 1100 * MS, 0, 150);
	put_data(&t, &w, 1101 * MS, 1, 300);
	put_ack(&t, &w, 1102 * MS, 0);
	correlate_end(t.c);
	follows(t.exchange[0], "\"labels\":",
		"{\"retransmission\":{\"count\":1,\"frames\":[2]},\"rto\":{\"count\":1,\"frames\":[2]}}");
	has_not(t.exchange[1], "\"labels\"");
	talk_fini(&t);
}

/* What comes after an exchange has settled is not counted. */
/* The network lost the request's first segment: what came behind it is in the request's time too. */
Test(correlate_labels, before_the_first_byte_came)
{
	struct wire w = wire_client(40000);
	struct talk t;

	begin(&t, &w, 410 * MS);
	put_handshake(&t, &w, 0);
	put_data(&t, &w, 100, 0, 100);
	put_data(&t, &w, 300, 1, 200);
	put_at(&t, &w, 400, 0, TCP_PSH, 150, 200, 100);      /* 6: [100, 150) was lost */
	put_at(&t, &w, 390 * MS, 0, TCP_PSH, 150, 200, 100); /* 7: again */
	put_at(&t, &w, 400 * MS, 0, TCP_PSH, 100, 200, 50);  /* 8: at last */
	w.sent[0] = 250;
	put_data(&t, &w, 410 * MS, 1, 300);
	put_ack(&t, &w, 411 * MS, 0);
	correlate_end(t.c);
	has(t.exchange[1], "\"retransmitted_bytes\":100,\"retransmitted_in\":[7]");
	follows(t.exchange[1], "\"retransmission\":{\"count\":", "2,\"frames\":[7,8]");
	talk_fini(&t);
}

Test(correlate_labels, up_to_settled)
{
	struct wire w = wire_client(40000);
	struct talk t;

	begin(&t, &w, 410);
	put_handshake(&t, &w, 0);
	put_data(&t, &w, 100, 0, 100);
	put_data(&t, &w, 300, 1, 200);
	put_data(&t, &w, 400, 0, 150);
	put_data(&t, &w, 700, 1, 300);
	put_ack(&t, &w, 720, 0);                              /* 8 */
	put_at(&t, &w, 1000 * MS, 1, TCP_PSH, 499, 250, 1);   /* 9: asks whether it is there */
	put_ack(&t, &w, 1001 * MS, 0);                        /* 10 */
	put_at(&t, &w, 4000 * MS, 1, TCP_PSH, 400, 250, 100); /* 11: too late */
	correlate_end(t.c);
	has_not(t.exchange[0], "\"labels\"");
	follows(t.exchange[1], "\"labels\":",
		"{\"keep-alive\":{\"count\":1,\"frames\":[9]},"
		"\"keep-alive-ack\":{\"count\":1,\"frames\":[10]}},"
		"\"ws\":{\"keep_alive\":{\"count\":1,\"frames\":[9]},"
		"\"keep_alive_ack\":{\"count\":1,\"frames\":[10]}}");
	talk_fini(&t);
}
