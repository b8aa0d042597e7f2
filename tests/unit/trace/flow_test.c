/*
 * flow_test.c -- connections from segments made by hand: handshakes, ends, ports used again, copies
 * from a second interface, and the questions asked afterwards.
 */
#include "tests/unit/trace/flow_bench.h"

/* A request, a response, client closes: frames 1 to 9. */
static struct flow *whole_connection(struct bench *b)
{
	struct flow *f = up(b, S, 1000, 0, 0);

	down(b, S | A, 5000, 1001, 0);
	up(b, A, 1001, 5001, 0);
	up(b, P, 1001, 5001, 311);
	down(b, P, 5001, 1312, 582);
	up(b, A, 1312, 5583, 0);
	up(b, F, 1312, 5583, 0);
	down(b, F, 5583, 1313, 0);
	up(b, A, 1313, 5584, 0);
	return f;
}

Test(flow, whole_connection)
{
	struct bench b = bench_new();
	struct flow *f = up(&b, S, 1000, 0, 0);

	cr_expect(b.place.fresh);
	cr_expect(!b.place.copy);
	cr_expect_eq(b.place.from, 0);
	down(&b, S | A, 5000, 1001, 0);
	cr_expect_eq(b.place.from, 1);
	cr_expect(!b.place.fresh);
	cr_expect_eq(b.place.acked_from, b.place.acked_past);
	up(&b, A, 1001, 5001, 0);
	cr_expect_eq(b.place.acked_past, 0);
	up(&b, P, 1001, 5001, 311);
	cr_expect(b.place.data.known);
	cr_expect_eq(b.place.data.off, 0);
	cr_expect_eq(b.place.data.new_bytes, 311);
	down(&b, P, 5001, 1312, 582);
	cr_expect_eq(b.place.data.new_bytes, 582);
	cr_expect_eq(b.place.acked_from, 0);
	cr_expect_eq(b.place.acked_past, 311);
	cr_expect_eq(f->how, FLOW_OPEN);
	up(&b, A, 1312, 5583, 0);
	up(&b, F, 1312, 5583, 0);
	cr_expect_eq(f->how, FLOW_FIN);
	cr_expect_eq(f->closed_ns, 0);
	down(&b, F, 5583, 1313, 0);
	cr_expect_eq(b.place.acked_from, b.place.acked_past);
	up(&b, A, 1313, 5584, 0);

	cr_expect_eq(f->number, 0);
	cr_expect(addr_equal(&f->side[0].addr, &client));
	cr_expect(addr_equal(&f->side[1].addr, &server));
	cr_expect(f->side[0].isn_known && f->side[1].isn_known);
	cr_expect_eq(f->side[0].isn, 1000);
	cr_expect_eq(f->side[1].isn, 5000);
	cr_expect_eq(f->syn_frame, 1);
	cr_expect_eq(f->syn_ns, 1 * MS);
	cr_expect_eq(f->syn_ack_frame, 2);
	cr_expect_eq(f->syn_ack_ns, 2 * MS);
	cr_expect_eq(f->ack_frame, 3);
	cr_expect_eq(f->ack_ns, 3 * MS);
	cr_expect_eq(f->first_frame, 1);
	cr_expect_eq(f->first_ns, 1 * MS);
	cr_expect_eq(f->last_ns, 9 * MS);
	cr_expect_eq(f->packets, 9);
	cr_expect_eq(f->closed_by, 0);
	cr_expect_eq(f->closed_ns, 9 * MS);
	cr_expect_eq(f->side[0].fin_frame, 7);
	cr_expect_eq(f->side[0].fin_ns, 7 * MS);
	cr_expect_eq(f->side[0].fin_ack_frame, 8);
	cr_expect_eq(f->side[0].fin_ack_ns, 8 * MS);
	cr_expect_eq(f->side[1].fin_frame, 8);
	cr_expect_eq(f->side[1].fin_ack_frame, 9);
	cr_expect_eq(f->side[0].rst_frame, 0);
	cr_expect_eq(f->side[1].rst_frame, 0);
	expect_history(f, "ShADdFf");
	cr_expect_eq(stream_acked_ns(f->side[0].stream, 311), 5 * MS);
	cr_expect_eq(stream_acked_ns(f->side[1].stream, 582), 6 * MS);
	flow_table_free(b.t);
}

Test(flow, first_ack_carries_the_request)
{
	struct bench b = bench_new();
	struct flow *f = up(&b, S, 0xffffffff, 0, 0);

	up(&b, S, 0xffffffff, 0, 0); /* retransmitted: the first counts */
	down(&b, S | A, 0xffffffff, 0, 0);
	down(&b, S | A, 0xffffffff, 0, 0);
	up(&b, P, 0, 0, 100);
	cr_expect_eq(b.place.data.off, 0);
	up(&b, A, 100, 0, 0);
	cr_expect_eq(f->syn_frame, 1);
	cr_expect_eq(f->syn_ack_frame, 3);
	cr_expect_eq(f->ack_frame, 5);
	cr_expect_eq(f->number, 0);
	expect_history(f, "ShDA");
	flow_table_free(b.t);
}

Test(flow, data_in_the_syn)
{
	struct bench b = bench_new();

	up(&b, S, 1000, 0, 50);
	cr_expect(b.place.data.known);
	cr_expect_eq(b.place.data.off, 0);
	cr_expect_eq(b.place.data.new_bytes, 50);
	down(&b, S | A, 5000, 1051, 0);
	cr_expect_eq(b.place.acked_past, 50);
	up(&b, P, 1051, 5001, 10);
	cr_expect_eq(b.place.data.off, 50);
	flow_table_free(b.t);
}

/* The SYN was missed: its answer tells who connected and both numbers. */
Test(flow, syn_ack_alone_tells_both_isns)
{
	struct bench b = bench_new();
	struct flow *f = down(&b, S | A, 5000, 1001, 0);

	cr_expect_eq(b.place.from, 1);
	cr_expect(addr_equal(&f->side[0].addr, &client));
	cr_expect_eq(f->side[0].isn, 1000);
	cr_expect_eq(f->side[1].isn, 5000);
	cr_expect_eq(f->syn_frame, 0);
	cr_expect_eq(f->syn_ack_frame, 1);
	up(&b, P, 1001, 5001, 10);
	cr_expect(b.place.data.known);
	cr_expect_eq(b.place.data.off, 0);
	cr_expect_eq(f->ack_frame, 2);
	/* the SYN was only late */
	up(&b, S, 1000, 0, 0);
	cr_expect(!b.place.fresh);
	cr_expect_eq(f->syn_frame, 3);
	cr_expect_eq(b.place.flow, f);
	flow_table_free(b.t);
}

Test(flow, capture_begins_in_mid_connection)
{
	struct bench b = bench_new();
	struct flow *f = down(&b, P, 5000, 1000, 100);

	cr_expect_eq(b.place.from, 0);
	cr_expect(!b.place.data.known);
	cr_expect_eq(b.place.data.new_bytes, 100);
	cr_expect(addr_equal(&f->side[0].addr, &server));
	cr_expect_eq(flow_side_of(f, &client), 1);
	cr_expect_eq(flow_side_of(f, &server), 0);
	up(&b, P, 1000, 5100, 10);
	cr_expect_eq(b.place.from, 1);
	cr_expect_eq(b.place.acked_past, 0);
	cr_expect(!f->side[0].isn_known && !f->side[1].isn_known);
	cr_expect_eq(f->ack_frame, 0);
	down(&b, F, 5100, 1010, 0);
	up(&b, F, 1010, 5101, 0);
	down(&b, A, 5101, 1011, 0);
	cr_expect_eq(f->how, FLOW_FIN);
	cr_expect_eq(f->closed_by, 0);
	cr_expect_eq(f->closed_ns, 5 * MS);
	expect_history(f, "DdFfA");
	flow_table_free(b.t);
}

Test(flow, refused_connection)
{
	struct bench b = bench_new();
	struct flow *f = up(&b, S, 1000, 0, 0);

	down(&b, R | A, 0, 1001, 0);
	cr_expect_eq(f->how, FLOW_RST);
	cr_expect_eq(f->closed_by, 1);
	cr_expect_eq(f->closed_ns, 2 * MS);
	cr_expect_eq(f->side[1].rst_frame, 2);
	cr_expect_eq(f->side[1].rst_ns, 2 * MS);
	cr_expect(!f->side[1].isn_known);
	expect_history(f, "Sr");
	flow_table_free(b.t);
}

Test(flow, reset_after_fin)
{
	struct bench b = bench_new();
	struct flow *f = up(&b, S, 1000, 0, 0);

	down(&b, S | A, 5000, 1001, 0);
	up(&b, A, 1001, 5001, 0);
	down(&b, F, 5001, 1001, 0);
	up(&b, R, 1001, 0, 0);
	up(&b, R, 1001, 0, 9); /* what a RST carries is no data */
	cr_expect_eq(b.place.data.new_bytes, 0);
	cr_expect_eq(f->how, FLOW_FIN);
	cr_expect_eq(f->closed_by, 1);
	cr_expect_eq(f->closed_ns, 5 * MS);
	cr_expect_eq(f->side[0].rst_frame, 5);
	flow_table_free(b.t);
}

/* An ACK of the FIN that the capture shows before the FIN. */
Test(flow, ack_of_the_fin_comes_first)
{
	struct bench b = bench_new();
	struct flow *f = up(&b, S, 1000, 0, 0);

	down(&b, S | A, 5000, 1001, 0);
	up(&b, A, 1001, 5001, 0);
	down(&b, F, 5001, 1002, 0);
	up(&b, F, 1001, 5001, 0);
	cr_expect_eq(f->side[0].fin_frame, 5);
	cr_expect_eq(f->side[0].fin_ack_frame, 4);
	cr_expect_eq(f->closed_by, 1);
	cr_expect_eq(f->closed_ns, 0);
	up(&b, A, 1002, 5002, 0);
	cr_expect_eq(f->closed_ns, 6 * MS);
	flow_table_free(b.t);
}

Test(flow, ports_used_again)
{
	struct bench b = bench_new();
	struct flow *one = whole_connection(&b), *two, *three;

	two = up(&b, S, 9000, 0, 0);
	cr_expect(b.place.fresh);
	cr_expect_neq(two, one);
	cr_expect_eq(two->number, 1);
	cr_expect_eq(one->packets, 9);
	down(&b, S | A, 7000, 9001, 0);
	cr_expect_eq(b.place.flow, two);
	up(&b, P, 9001, 7001, 5);
	cr_expect_eq(b.place.data.off, 0);
	cr_expect_eq(b.place.data.new_bytes, 5);

	/* another pair of ends has its own number; the reverse SYN is an incarnation too */
	put(&b, &server, &(struct addr){.ip = {192, 0, 2, 1}, .port = 40001, .family = ADDR_IP4}, S,
	    1, 0, 0);
	cr_expect_eq(b.place.flow->number, 2);
	three = down(&b, S, 1, 0, 0);
	cr_expect(b.place.fresh);
	cr_expect_eq(three->number, 3);
	cr_expect_eq(b.place.from, 0);
	cr_expect(addr_equal(&three->side[0].addr, &server));
	flow_table_free(b.t);
}

/* The second SYN was not captured: another connection, although the number stays. */
Test(flow, ports_used_again_without_their_syn)
{
	struct bench b = bench_new();
	struct flow *one = whole_connection(&b), *two;

	two = down(&b, S | A, 7000, 9001, 0);
	cr_expect(b.place.fresh);
	cr_expect_neq(two, one);
	cr_expect_eq(two->number, one->number);
	cr_expect_eq(b.place.from, 1);
	cr_expect_eq(two->side[0].isn, 9000);
	cr_expect_eq(two->side[1].isn, 7000);
	up(&b, P, 9001, 7001, 5);
	cr_expect_eq(b.place.flow, two);
	cr_expect_eq(b.place.data.off, 0);
	flow_table_free(b.t);
}

/* A server may answer the same SYN with another number until it is acknowledged. */
Test(flow, second_answer_to_one_syn)
{
	struct bench b = bench_new();
	struct flow *f = up(&b, S, 1000, 0, 0);

	down(&b, S | A, 5000, 1001, 0);
	down(&b, S | A, 6000, 1001, 0);
	cr_expect(!b.place.fresh);
	cr_expect_eq(b.place.flow, f);
	cr_expect_eq(f->side[1].isn, 6000);
	cr_expect_eq(f->syn_ack_frame, 3);
	up(&b, A, 1001, 6001, 0);
	cr_expect_eq(f->ack_frame, 4);
	down(&b, P, 6001, 1001, 10);
	cr_expect_eq(b.place.data.off, 0);
	down(&b, S | A, 8000, 1001, 0); /* too late to count */
	cr_expect_eq(f->side[1].isn, 6000);
	cr_expect_eq(f->number, 0);
	flow_table_free(b.t);
}

/* A server that still knows the old connection challenges the new SYN with the old numbers. */
Test(flow, challenge_ack_covers_nothing)
{
	struct bench b = bench_new();
	struct flow *f = up(&b, S, 1000, 0, 0);

	down(&b, A, 77000, 50000000, 0);
	cr_expect_eq(b.place.acked_from, b.place.acked_past);
	down(&b, S | A, 5000, 1001, 0);
	up(&b, P, 1001, 5001, 100);
	down(&b, A, 5001, 1101, 0);
	cr_expect_eq(b.place.acked_past, 100);
	cr_expect_eq(stream_acked_ns(f->side[0].stream, 100), b.frame * MS);
	flow_table_free(b.t);
}

Test(flow, window_scale_needs_both)
{
	static const struct {
		uint8_t syn, syn_ack, want[2];
	} cases[] = {
		{7, 8, {7, 8}},
		{7, SEGMENT_NO_WSCALE, {SEGMENT_NO_WSCALE, SEGMENT_NO_WSCALE}},
		{SEGMENT_NO_WSCALE, 8, {SEGMENT_NO_WSCALE, SEGMENT_NO_WSCALE}},
		{15, 0, {14, 0}},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bench b = bench_new();
		struct flow *f;

		b.wscale = cases[i].syn;
		f = up(&b, S, 1000, 0, 0);
		b.wscale = cases[i].syn_ack;
		down(&b, S | A, 5000, 1001, 0);
		cr_expect_eq(f->side[0].wscale, cases[i].want[0], "case %zu", i);
		cr_expect_eq(f->side[1].wscale, cases[i].want[1], "case %zu", i);
		flow_table_free(b.t);
	}
}

Test(flow, copies_on_another_interface_change_nothing)
{
	struct bench b = bench_new();
	struct flow *f = up(&b, S, 1000, 0, 0);
	struct segment seg = segment_of(&b, &client, &server, S, 1000, 0, 0);

	seg.iface = 1;
	seg.frame = 2;
	seg.ts_ns += 300 * NS_PER_US;
	cr_assert(flow_table_add(b.t, &seg, &b.place));
	cr_expect(b.place.copy);
	cr_expect(!b.place.fresh);
	cr_expect_eq(b.place.flow, f);
	cr_expect_eq(f->packets, 1);
	cr_expect_eq(f->last_ns, 1 * MS);

	down(&b, S | A, 5000, 1001, 0);
	up(&b, P, 1001, 5001, 10);
	seg = segment_of(&b, &client, &server, P, 1001, 5001, 10);
	seg.iface = 1;
	seg.frame = ++b.frame;
	seg.ts_ns -= 300 * NS_PER_US; /* the clocks of two captures differ */
	cr_assert(flow_table_add(b.t, &seg, &b.place));
	cr_expect(b.place.copy);
	cr_expect_eq(b.place.data.old_bytes, 0);

	/* too far apart, another IP id, or the same interface: repeated indeed */
	seg.frame = ++b.frame;
	seg.ts_ns += 1300 * NS_PER_US + 1;
	cr_assert(flow_table_add(b.t, &seg, &b.place));
	cr_expect(!b.place.copy);
	cr_expect_eq(b.place.data.old_bytes, 10);
	seg.frame = ++b.frame;
	seg.iface = 0;
	seg.ip_id++;
	cr_assert(flow_table_add(b.t, &seg, &b.place));
	cr_expect(!b.place.copy);
	seg.frame = ++b.frame;
	cr_assert(flow_table_add(b.t, &seg, &b.place));
	cr_expect(!b.place.copy);
	cr_expect_eq(b.place.data.old_bytes, 10);
	flow_table_free(b.t);
}

Test(flow, connection_with_itself)
{
	struct bench b = bench_new();

	put(&b, &client, &client, S, 1000, 0, 0);
	put(&b, &client, &client, S | A, 1000, 1001, 0);
	put(&b, &client, &client, P, 1001, 1001, 10);
	cr_expect_eq(b.place.flow->number, 0);
	cr_expect_eq(b.place.flow->packets, 3);
	flow_table_free(b.t);
}

Test(flow, incarnation_by_time)
{
	struct bench b = bench_new();
	struct flow *one, *two, *f;

	one = up(&b, S, 1000, 0, 0); /* 1 ms */
	b.frame = 99;
	two = up(&b, S, 2000, 0, 0); /* 100 ms */

#define FIND(rule, moment, until) flow_table_find(b.t, &server, &client, rule, moment, until)
	cr_expect_eq(FIND(FLOW_LAST_NOT_AFTER, 1 * MS, UINT64_MAX), one);
	cr_expect_eq(FIND(FLOW_LAST_NOT_AFTER, 99 * MS, UINT64_MAX), one);
	cr_expect_eq(FIND(FLOW_LAST_NOT_AFTER, 100 * MS, UINT64_MAX), two);
	cr_expect_eq(FIND(FLOW_LAST_NOT_AFTER, 500 * MS, UINT64_MAX), two);
	cr_expect_eq(FIND(FLOW_LAST_NOT_AFTER, 500 * MS, 99 * MS), one);
	cr_expect_null(FIND(FLOW_LAST_NOT_AFTER, 0, UINT64_MAX));
	cr_expect_eq(FIND(FLOW_FIRST_NOT_BEFORE, 0, UINT64_MAX), one);
	cr_expect_eq(FIND(FLOW_FIRST_NOT_BEFORE, 1 * MS, UINT64_MAX), one);
	cr_expect_eq(FIND(FLOW_FIRST_NOT_BEFORE, 2 * MS, UINT64_MAX), two);
	cr_expect_null(FIND(FLOW_FIRST_NOT_BEFORE, 2 * MS, 50 * MS));
	cr_expect_null(FIND(FLOW_FIRST_NOT_BEFORE, 101 * MS, UINT64_MAX));
	f = flow_table_find(b.t, &client, &server, FLOW_LAST_NOT_AFTER, 1 * MS, UINT64_MAX);
	cr_expect_eq(f, one);
	cr_expect_null(flow_table_find(b.t, &client, &client, FLOW_LAST_NOT_AFTER, MS, UINT64_MAX));
	flow_table_free(b.t);
}

/* Without a SYN the first packet counts, after all that have one; and the client leg's may be later. */
Test(flow, incarnation_without_a_syn)
{
	struct bench b = bench_new();
	struct flow *one, *two;

	b.frame = 9;
	one = up(&b, P, 500, 600, 10); /* 10 ms */
	cr_expect_eq(FIND(FLOW_LAST_NOT_AFTER, 5 * MS, UINT64_MAX), one);
	cr_expect_eq(FIND(FLOW_LAST_NOT_AFTER, 20 * MS, UINT64_MAX), one);
	cr_expect_eq(FIND(FLOW_FIRST_NOT_BEFORE, 5 * MS, UINT64_MAX), one);
	cr_expect_null(FIND(FLOW_FIRST_NOT_BEFORE, 11 * MS, UINT64_MAX));
	cr_expect_null(FIND(FLOW_LAST_NOT_AFTER, 5 * MS, 9 * MS));
	b.frame = 49;
	two = up(&b, S, 5000, 0, 0); /* 50 ms */
	cr_expect_eq(FIND(FLOW_LAST_NOT_AFTER, 60 * MS, UINT64_MAX), two);
	cr_expect_eq(FIND(FLOW_LAST_NOT_AFTER, 40 * MS, UINT64_MAX), one);
	cr_expect_eq(FIND(FLOW_FIRST_NOT_BEFORE, 5 * MS, UINT64_MAX), two);
	cr_expect_eq(FIND(FLOW_FIRST_NOT_BEFORE, 5 * MS, 49 * MS), one);
	flow_table_free(b.t);
}

Test(flow, number_survives_giving_back)
{
	struct bench b = bench_new();
	struct flow *f = whole_connection(&b);

	f->user = &b;
	flow_table_remove(b.t, f);
	cr_expect_null(FIND(FLOW_LAST_NOT_AFTER, MS, UINT64_MAX));
	f = down(&b, F, 5583, 1313, 0); /* a late retransmission */
	cr_expect_eq(f->number, 0);
	cr_expect(!b.place.fresh);
	cr_expect_eq(b.place.from, 1);
	cr_expect_null(f->user);
	cr_expect_eq(f->side[0].isn, 1000);
	cr_expect_eq(f->side[1].isn, 5000);
	cr_expect_eq(f->syn_frame, 0);
	flow_table_remove(b.t, f);
	f = up(&b, S, 9000, 0, 0);
	cr_expect_eq(f->number, 1);
	cr_expect(b.place.fresh);
	cr_expect_eq(f->side[0].isn, 9000);
	cr_expect(!f->side[1].isn_known);
	flow_table_free(b.t);
}

Test(flow, older_incarnation_is_given_back)
{
	struct bench b = bench_new();
	struct flow *one = up(&b, S, 1000, 0, 0), *two = up(&b, S, 2000, 0, 0);

	flow_table_remove(b.t, one);
	cr_expect_eq(up(&b, A, 2001, 1, 0), two);
	cr_expect_eq(FIND(FLOW_LAST_NOT_AFTER, UINT64_MAX, UINT64_MAX), two);
	/* the newest first: the older gets no packet any more */
	one = two;
	two = up(&b, S, 3000, 0, 0);
	flow_table_remove(b.t, two);
	two = up(&b, A, 3001, 1, 0);
	cr_expect_neq(two, one);
	cr_expect_eq(two->number, 2);
	cr_expect_eq(two->side[0].isn, 3000);
	flow_table_free(b.t);
}

static bool collect(struct flow *f, void *arg)
{
	char *text = arg;

	sprintf(text + strlen(text), " %u", f->number);
	return f->number != 7;
}

static struct bench *removing;

static bool remove_even(struct flow *f, void *arg)
{
	(void)arg;
	if (f->number % 2 == 0)
		flow_table_remove(removing->t, f);
	return true;
}

Test(flow, visited_by_their_last_packet)
{
	struct bench b = bench_new();
	char text[64] = "";
	struct addr from = client;

	for (unsigned i = 0; i < 5; i++) {
		from.port = (uint16_t)(100 + i);
		put(&b, &from, &server, S, 1, 0, 0);
	}
	from.port = 101;
	put(&b, &server, &from, A, 9, 2, 0);
	flow_table_visit(b.t, collect, text);
	cr_expect_str_eq(text, " 0 2 3 4 1");
	removing = &b;
	flow_table_visit(b.t, remove_even, NULL);
	text[0] = '\0';
	flow_table_visit(b.t, collect, text);
	cr_expect_str_eq(text, " 3 1");
	flow_table_free(b.t);
}

/* 200 000 connections, given back at once: what is remembered of them has a bound. */
Test(flow, many_connections)
{
	struct bench b = bench_new();
	struct addr from = client;
	struct flow *f;

	for (uint32_t i = 0; i < 200000; i++) {
		from.ip[1] = (uint8_t)(i >> 16);
		from.ip[2] = (uint8_t)(i >> 8);
		from.ip[3] = (uint8_t)i;
		f = put(&b, &from, &server, S, i, 0, 0);
		cr_assert_eq(f->number, i);
		if (i % 2)
			flow_table_remove(b.t, f);
	}
	from.ip[1] = from.ip[2] = from.ip[3] = 0;
	cr_expect_eq(put(&b, &from, &server, A, 1, 1, 0)->number, 0);
	flow_table_free(b.t);
}

Test(flow, history_counts_repeats_by_tens)
{
	struct bench b = bench_new();
	struct flow *f = up(&b, S, 1000, 0, 0);

	down(&b, S | A, 5000, 1001, 0);
	up(&b, P, 1001, 5001, 10);
	for (unsigned i = 0; i < 99; i++)
		up(&b, P, 1001, 5001, 10);
	expect_history(f, "ShDTT");
	up(&b, P, 1001, 5001, 10);
	expect_history(f, "ShDTTT");
	flow_table_free(b.t);
}
