/*
 * flow_states_test.c -- what a flow holds after every state that a TCP connection may be left in:
 * each test names all of it, and what is not named must be zero.
 */
#include "tests/unit/trace/flow_bench.h"

struct want_side {
	uint32_t isn;                     /* 0: not known */
	uint32_t data, fin, fin_ack, rst; /* frames; stamps are those of the frames */
	uint64_t sent;                    /* past the highest byte */
	uint32_t acked; /* frame that acknowledged all of them, 0: none or no byte */
};

struct want {
	uint32_t number, first, last, packets;
	uint32_t syn, syn_ack, ack;
	enum flow_how how;
	uint8_t closed_by;
	uint32_t closed;
	const char *history;
	struct want_side side[2];
};

static void expect_side(const struct flow_side *s, const struct want_side *w, const char *who)
{
	cr_expect_eq(s->isn_known, w->isn != 0, "%s: ISN", who);
	cr_expect_eq(s->isn, w->isn, "%s: ISN %u", who, s->isn);
	cr_expect_eq(s->data_ns, w->data * MS, "%s: data at %u", who, (unsigned)(s->data_ns / MS));
	cr_expect_eq(s->fin_frame, w->fin, "%s: FIN in %u", who, s->fin_frame);
	cr_expect_eq(s->fin_ns, w->fin * MS, "%s: FIN at %u", who, (unsigned)(s->fin_ns / MS));
	cr_expect_eq(s->fin_ack_frame, w->fin_ack, "%s: its ACK in %u", who, s->fin_ack_frame);
	cr_expect_eq(s->fin_ack_ns, w->fin_ack * MS, "%s: its ACK's time", who);
	cr_expect_eq(s->rst_frame, w->rst, "%s: RST in %u", who, s->rst_frame);
	cr_expect_eq(s->rst_ns, w->rst * MS, "%s: RST at %u", who, (unsigned)(s->rst_ns / MS));
	cr_expect_eq(stream_anchored(s->stream), w->isn != 0, "%s: anchored", who);
	cr_expect_eq(stream_end_off(s->stream), w->sent, "%s sent %u", who,
		     (unsigned)stream_end_off(s->stream));
	cr_expect_eq(stream_acked_ns(s->stream, w->sent), w->acked * MS, "%s: acked at %u", who,
		     (unsigned)(stream_acked_ns(s->stream, w->sent) / MS));
}

static void expect_flow(const struct flow *f, const struct want *w)
{
	cr_expect_eq(f->number, w->number, "number %u", f->number);
	cr_expect_eq(f->first_frame, w->first, "first frame %u", f->first_frame);
	cr_expect_eq(f->first_ns, w->first * MS);
	cr_expect_eq(f->last_ns, w->last * MS, "last at %u", (unsigned)(f->last_ns / MS));
	cr_expect_eq(f->packets, w->packets, "%u packets", f->packets);
	cr_expect_eq(f->syn_frame, w->syn, "SYN in %u", f->syn_frame);
	cr_expect_eq(f->syn_ns, w->syn * MS);
	cr_expect_eq(f->syn_ack_frame, w->syn_ack, "SYN/ACK in %u", f->syn_ack_frame);
	cr_expect_eq(f->syn_ack_ns, w->syn_ack * MS);
	cr_expect_eq(f->ack_frame, w->ack, "ACK in %u", f->ack_frame);
	cr_expect_eq(f->ack_ns, w->ack * MS);
	cr_expect_eq(f->how, w->how, "ended as %d", f->how);
	cr_expect_eq(f->closed_by, w->closed_by, "closed by %u", f->closed_by);
	cr_expect_eq(f->closed_ns, w->closed * MS, "closed at %u", (unsigned)(f->closed_ns / MS));
	expect_history(f, w->history);
	expect_side(&f->side[0], &w->side[0], "client");
	expect_side(&f->side[1], &w->side[1], "server");
}

#define expect(flow_, ...) expect_flow(flow_, &(struct want){__VA_ARGS__})

/* SYN, SYN/ACK, ACK: frames 1 to 3, or behind those that there are. */
static struct flow *handshake(struct bench *b)
{
	struct flow *f = up(b, S, 1000, 0, 0);

	down(b, S | A, 5000, 1001, 0);
	up(b, A, 1001, 5001, 0);
	return f;
}

/* The client has said all, the server goes on for long. */
Test(flow_states, half_close)
{
	struct bench b = bench_new();
	struct flow *f = handshake(&b);

	up(&b, F, 1001, 5001, 40); /* data and FIN in one */
	down(&b, A, 5001, 1042, 0);
	down(&b, P, 5001, 1042, 100);
	up(&b, A, 1042, 5101, 0);
	expect(f, .first = 1, .last = 7, .packets = 7, .syn = 1, .syn_ack = 2, .ack = 3,
	       .how = FLOW_FIN, .history = "ShADFad",
	       .side = {{.isn = 1000, .data = 4, .fin = 4, .fin_ack = 5, .sent = 40, .acked = 5},
			{.isn = 5000, .data = 6, .sent = 100, .acked = 7}});
	down(&b, F, 5101, 1042, 0);
	up(&b, A, 1042, 5102, 0);
	expect(f, .first = 1, .last = 9, .packets = 9, .syn = 1, .syn_ack = 2, .ack = 3,
	       .how = FLOW_FIN, .closed = 9, .history = "ShADFadf",
	       .side = {{.isn = 1000, .data = 4, .fin = 4, .fin_ack = 5, .sent = 40, .acked = 5},
			{.isn = 5000, .data = 6, .fin = 8, .fin_ack = 9, .sent = 100, .acked = 7}});
	flow_table_free(b.t);
}

/* Both FINs cross; the server's was seen first. Then the client's is lost and sent again. */
Test(flow_states, simultaneous_close)
{
	struct bench b = bench_new();
	struct flow *f = handshake(&b);

	down(&b, F, 5001, 1001, 0);
	up(&b, F, 1001, 5001, 0);
	up(&b, F, 1001, 5002, 0); /* again, now with the ACK of the other's */
	down(&b, A, 5002, 1002, 0);
	down(&b, A, 5002, 1002, 0);
	expect(f, .first = 1, .last = 8, .packets = 8, .syn = 1, .syn_ack = 2, .ack = 3,
	       .how = FLOW_FIN, .closed_by = 1, .closed = 7, .history = "ShAfFa",
	       .side = {{.isn = 1000, .fin = 5, .fin_ack = 7},
			{.isn = 5000, .fin = 4, .fin_ack = 6}});
	flow_table_free(b.t);
}

/* Both connect at once: each SYN is answered by a SYN/ACK. */
Test(flow_states, simultaneous_open)
{
	struct bench b = bench_new();
	struct flow *f = up(&b, S, 1000, 0, 0);

	cr_expect_eq(down(&b, S, 5000, 0, 0), f);
	cr_expect(!b.place.fresh);
	cr_expect_eq(b.place.from, 1);
	down(&b, S | A, 5000, 1001, 0);
	up(&b, S | A, 1000, 5001, 0);
	cr_expect(!b.place.fresh);
	up(&b, P, 1001, 5001, 10);
	down(&b, A, 5001, 1011, 0);
	expect(f, .first = 1, .last = 6, .packets = 6, .syn = 1, .syn_ack = 3, .ack = 4,
	       .history = "SshHDa",
	       .side = {{.isn = 1000, .data = 5, .sent = 10, .acked = 6}, {.isn = 5000}});
	flow_table_free(b.t);
}

Test(flow_states, reset_before_the_last_ack)
{
	struct bench b = bench_new();
	struct flow *f = up(&b, S, 1000, 0, 0);

	down(&b, S | A, 5000, 1001, 0);
	up(&b, R, 1001, 0, 0);
	expect(f, .first = 1, .last = 3, .packets = 3, .syn = 1, .syn_ack = 2, .how = FLOW_RST,
	       .closed = 3, .history = "ShR", .side = {{.isn = 1000, .rst = 3}, {.isn = 5000}});
	flow_table_free(b.t);
}

/* The server dies: what was on its way is answered by further RSTs, and changes nothing. */
Test(flow_states, reset_while_data_is_on_its_way)
{
	struct bench b = bench_new();
	struct flow *f = handshake(&b);

	up(&b, P, 1001, 5001, 100);
	down(&b, R | A, 5001, 1101, 0);
	up(&b, P, 1101, 5001, 100);
	down(&b, R, 5001, 0, 0);
	up(&b, R, 1201, 0, 0);
	expect(f, .first = 1, .last = 8, .packets = 8, .syn = 1, .syn_ack = 2, .ack = 3,
	       .how = FLOW_RST, .closed_by = 1, .closed = 5, .history = "ShADrR",
	       .side = {{.isn = 1000, .data = 4, .rst = 8, .sent = 200}, {.isn = 5000, .rst = 5}});
	cr_expect_eq(stream_acked_ns(f->side[0].stream, 100), 5 * MS);
	flow_table_free(b.t);
}

/* In CLOSE_WAIT, and in LAST_ACK. */
Test(flow_states, reset_after_half_close)
{
	struct bench b = bench_new();
	struct flow *f = handshake(&b);

	up(&b, F, 1001, 5001, 0);
	down(&b, A, 5001, 1002, 0);
	down(&b, P, 5001, 1002, 100);
	up(&b, R, 1002, 0, 0);
	expect(f, .first = 1, .last = 7, .packets = 7, .syn = 1, .syn_ack = 2, .ack = 3,
	       .how = FLOW_FIN, .closed = 7, .history = "ShAFadR",
	       .side = {{.isn = 1000, .fin = 4, .fin_ack = 5, .rst = 7},
			{.isn = 5000, .data = 6, .sent = 100}});
	down(&b, F, 5101, 1002, 0); /* it had left before the RST came */
	cr_expect_eq(b.place.flow, f);
	expect(f, .first = 1, .last = 8, .packets = 8, .syn = 1, .syn_ack = 2, .ack = 3,
	       .how = FLOW_FIN, .closed = 7, .history = "ShAFadRf",
	       .side = {{.isn = 1000, .fin = 4, .fin_ack = 5, .rst = 7},
			{.isn = 5000, .data = 6, .fin = 8, .sent = 100}});
	flow_table_free(b.t);
}

/* In TIME_WAIT: the connection was closed, and stays so. */
Test(flow_states, reset_when_all_is_over)
{
	struct bench b = bench_new();
	struct flow *f = handshake(&b);

	up(&b, F, 1001, 5001, 0);
	down(&b, F, 5001, 1002, 0);
	up(&b, A, 1002, 5002, 0);
	down(&b, R, 5002, 0, 0);
	up(&b, A, 1002, 5002, 0);
	cr_expect_eq(b.place.flow, f);
	expect(f, .first = 1, .last = 8, .packets = 8, .syn = 1, .syn_ack = 2, .ack = 3,
	       .how = FLOW_FIN, .closed = 6, .history = "ShAFfr",
	       .side = {{.isn = 1000, .fin = 4, .fin_ack = 5},
			{.isn = 5000, .fin = 5, .fin_ack = 6, .rst = 7}});
	flow_table_free(b.t);
}

/* ---- what belongs to an earlier connection ---- */

/* The port is used again while the server still waits for the last ACK and repeats its FIN. */
Test(flow_states, fin_of_an_earlier_connection_behind_the_syn)
{
	struct bench b = bench_new();
	struct flow *f = up(&b, S, 900000, 0, 0);

	down(&b, F, 5001, 1002, 30);
	cr_expect_eq(b.place.flow, f);
	cr_expect_eq(b.place.data.new_bytes, 0);
	cr_expect_eq(b.place.acked_past, 0);
	expect(f, .first = 1, .last = 2, .packets = 2, .syn = 1, .history = "S",
	       .side = {{.isn = 900000}, {.isn = 0}});
	down(&b, S | A, 70000, 900001, 0);
	up(&b, P, 900001, 70001, 10);
	down(&b, F, 70001, 900011, 0);
	expect(f, .first = 1, .last = 5, .packets = 5, .syn = 1, .syn_ack = 3, .ack = 4,
	       .how = FLOW_FIN, .closed_by = 1, .history = "ShDf",
	       .side = {{.isn = 900000, .data = 4, .sent = 10, .acked = 5},
			{.isn = 70000, .fin = 5}});
	flow_table_free(b.t);
}

/* RFC 5961 section 4: challenge, RST at the number it acknowledged, and the SYN again. */
Test(flow_states, challenge_is_refused_and_the_connection_made)
{
	struct bench b = bench_new();
	struct flow *f = up(&b, S, 900000, 0, 0);

	down(&b, A, 5001, 1002, 0);
	up(&b, R, 1002, 0, 0);
	up(&b, S, 900000, 0, 0);
	down(&b, S | A, 70000, 900001, 0);
	up(&b, A, 900001, 70001, 0);
	expect(f, .first = 1, .last = 6, .packets = 6, .syn = 1, .syn_ack = 5, .ack = 6,
	       .history = "ShA", .side = {{.isn = 900000}, {.isn = 70000}});
	up(&b, R, 900001, 0, 0); /* its own */
	cr_expect_eq(f->how, FLOW_RST);
	cr_expect_eq(f->side[0].rst_frame, 7);
	flow_table_free(b.t);
}

Test(flow_states, reset_without_an_ack_answers_no_syn)
{
	struct bench b = bench_new();
	struct flow *f = up(&b, S, 900000, 0, 0);

	down(&b, R, 1002, 0, 0);
	expect(f, .first = 1, .last = 2, .packets = 2, .syn = 1, .history = "S",
	       .side = {{.isn = 900000}, {.isn = 0}});
	down(&b, R | A, 0, 900001, 0); /* this one does */
	expect(f, .first = 1, .last = 3, .packets = 3, .syn = 1, .how = FLOW_RST, .closed_by = 1,
	       .closed = 3, .history = "Sr", .side = {{.isn = 900000}, {.isn = 0, .rst = 3}});
	flow_table_free(b.t);
}

/* ---- packets that the capture has lost ---- */

/* Without the SYN/ACK the server's numbers are not known: its bytes are not placed. */
Test(flow_states, syn_ack_was_lost)
{
	struct bench b = bench_new();
	struct flow *f = up(&b, S, 1000, 0, 0);

	up(&b, P, 1001, 5001, 50);
	down(&b, P, 5001, 1051, 80);
	cr_expect(!b.place.data.known);
	cr_expect_eq(b.place.acked_past, 50);
	up(&b, A, 1051, 5081, 0);
	down(&b, R, 5081, 0, 0); /* it has spoken: this is its own */
	expect(f, .first = 1, .last = 5, .packets = 5, .syn = 1, .how = FLOW_RST, .closed_by = 1,
	       .closed = 5, .history = "SDdAr",
	       .side = {{.isn = 1000, .data = 2, .sent = 50, .acked = 3},
			{.isn = 0, .data = 3, .rst = 5}});
	flow_table_free(b.t);
}

/* The same when the request was lost, too: its ACK is nobody else's. */
Test(flow_states, syn_ack_and_data_were_lost)
{
	struct bench b = bench_new();
	struct flow *f = up(&b, S, 1000, 0, 0);

	down(&b, P, 5001, 1051, 80);
	cr_expect_eq(b.place.acked_past, 50);
	cr_expect_eq(b.place.data.new_bytes, 80);
	up(&b, P, 1051, 5081, 10);
	cr_expect_eq(b.place.data.off, 50);
	down(&b, F, 5081, 1061, 0);
	expect(f, .first = 1, .last = 4, .packets = 4, .syn = 1, .how = FLOW_FIN, .closed_by = 1,
	       .history = "SdDf",
	       .side = {{.isn = 1000, .data = 3, .sent = 60, .acked = 4},
			{.isn = 0, .data = 2, .fin = 4}});
	cr_expect_eq(stream_acked_ns(f->side[0].stream, 50), 2 * MS);
	flow_table_free(b.t);
}

/* Of a second connection neither SYN nor SYN/ACK: none of it is taken for the first one's. */
Test(flow_states, next_connection_without_its_handshake)
{
	struct bench b = bench_new();
	struct flow *one = handshake(&b), *two;

	up(&b, P, 1001, 5001, 311);
	down(&b, F, 5001, 1312, 582);
	up(&b, F, 1312, 5584, 0);
	down(&b, A, 5584, 1313, 0);
	up(&b, F, 1312, 5584, 0); /* late ones of it are its own */
	down(&b, F, 5001, 1312, 582);
	down(&b, A, 5584, 1313, 0);
	cr_expect_eq(b.place.flow, one);
	two = up(&b, P, 700001, 800001, 100);
	cr_expect_neq(two, one);
	cr_expect(b.place.fresh);
	cr_expect(!b.place.data.known);
	cr_expect_eq(b.place.from, 0);
	cr_expect_eq(down(&b, P, 800001, 700101, 200), two);
	cr_expect(!b.place.fresh);
	expect(one, .first = 1, .last = 10, .packets = 10, .syn = 1, .syn_ack = 2, .ack = 3,
	       .how = FLOW_FIN, .closed_by = 1, .closed = 7, .history = "ShADdfFat",
	       .side = {{.isn = 1000, .data = 4, .fin = 6, .fin_ack = 7, .sent = 311, .acked = 5},
			{.isn = 5000, .data = 5, .fin = 5, .fin_ack = 6, .sent = 582, .acked = 6}});
	/* Wireshark goes on counting it as the same */
	expect(two, .first = 11, .last = 12, .packets = 2, .history = "Dd",
	       .side = {{.isn = 0, .data = 11}, {.isn = 0, .data = 12}});
	flow_table_free(b.t);
}

/* The same after a RST, when a pure ACK is what shows it. */
Test(flow_states, next_connection_without_its_handshake_after_a_reset)
{
	struct bench b = bench_new();
	struct flow *one = handshake(&b), *two;

	up(&b, P, 1001, 5001, 311);
	down(&b, R | A, 5001, 1312, 0);
	cr_expect_eq(up(&b, P, 1312, 5001, 10), one); /* on its way */
	cr_expect_eq(up(&b, P, 1001, 5001, 311), one);
	two = down(&b, A, 800001, 700101, 0); /* a server that was reset says no more */
	cr_expect_neq(two, one);
	cr_expect_eq(up(&b, A, 700101, 800001, 0), two);
	cr_expect_eq(one->side[0].rst_frame, 0);
	cr_expect_eq(one->side[1].rst_frame, 5);
	expect(two, .first = 8, .last = 9, .packets = 2, .history = "Aa",
	       .side = {{.isn = 0}, {.isn = 0}});
	flow_table_free(b.t);
}

/* ---- segments that carry nothing new ---- */

/* Full, a probe with a byte of the future, one without any, open again. */
Test(flow_states, zero_window_and_probes)
{
	struct bench b = bench_new();
	struct flow *f = handshake(&b);

	up(&b, P, 1001, 5001, 100);
	b.window = 0;
	down(&b, A, 5001, 1101, 0);
	b.window = 500;
	up(&b, A, 1100, 5001, 0); /* Linux: the byte before, without it */
	cr_expect_eq(b.place.data.new_bytes, 0);
	cr_expect_eq(b.place.data.old_bytes, 0);
	up(&b, A, 1101, 5001, 1); /* BSD: the byte that waits */
	cr_expect_eq(b.place.data.new_bytes, 1);
	b.window = 0;
	down(&b, A, 5001, 1101, 0);
	cr_expect_eq(b.place.acked_past, 0);
	b.window = 500;
	down(&b, A, 5001, 1101, 0); /* a window update */
	cr_expect_eq(b.place.acked_past, 0);
	up(&b, P, 1101, 5001, 50);
	cr_expect_eq(b.place.data.off, 100);
	cr_expect_eq(b.place.data.old_bytes, 1);
	cr_expect_eq(b.place.data.new_bytes, 49);
	down(&b, A, 5001, 1151, 0);
	cr_expect_eq(b.place.acked_from, 100);
	cr_expect_eq(b.place.acked_past, 150);
	expect(f, .first = 1, .last = 11, .packets = 11, .syn = 1, .syn_ack = 2, .ack = 3,
	       .history = "ShADawT",
	       .side = {{.isn = 1000, .data = 4, .sent = 150, .acked = 11}, {.isn = 5000}});
	flow_table_free(b.t);
}

Test(flow_states, keep_alives)
{
	struct bench b = bench_new();
	struct flow *f = handshake(&b);

	up(&b, A, 1000, 5001, 0); /* before any byte */
	up(&b, A, 1000, 5001, 1); /* the same with a byte, which is none of the stream */
	cr_expect_eq(b.place.data.off, 0);
	cr_expect_eq(b.place.data.new_bytes + b.place.data.old_bytes, 0);
	down(&b, A, 5001, 1001, 0);
	up(&b, P, 1001, 5001, 100);
	down(&b, A, 5001, 1101, 0);
	up(&b, A, 1100, 5001, 1); /* the last byte again */
	cr_expect_eq(b.place.data.off, 99);
	cr_expect_eq(b.place.data.new_bytes, 0);
	cr_expect_eq(b.place.data.old_bytes, 1);
	down(&b, A, 5001, 1101, 0);
	cr_expect_eq(b.place.acked_past, 0);
	expect(f, .first = 1, .last = 10, .packets = 10, .syn = 1, .syn_ack = 2, .ack = 3,
	       .history = "ShADaT",
	       .side = {{.isn = 1000, .data = 5, .sent = 100, .acked = 8}, {.isn = 5000}});
	flow_table_free(b.t);
}

/* What SACK says is no acknowledgement; D-SACK neither. */
Test(flow_states, sack_and_dsack)
{
	struct bench b = bench_new();
	struct flow *f = handshake(&b);

	up(&b, P, 1001, 5001, 100);
	up(&b, P, 1201, 5001, 100); /* [100, 200) was lost */
	b.sack[0] = 1201;
	b.sack[1] = 1301;
	down(&b, A, 5001, 1101, 0);
	cr_expect_eq(b.place.acked_past, 100);
	down(&b, A, 5001, 1101, 0);
	cr_expect_eq(b.place.acked_past, 0);
	b.sack[0] = b.sack[1] = 0;
	up(&b, P, 1101, 5001, 100);
	cr_expect_eq(b.place.data.new_bytes, 100);
	down(&b, A, 5001, 1301, 0);
	cr_expect_eq(b.place.acked_from, 100);
	cr_expect_eq(b.place.acked_past, 300);
	up(&b, P, 1101, 5001, 100); /* once too often */
	b.sack[0] = 1101;
	b.sack[1] = 1201;
	down(&b, A, 5001, 1301, 0);
	cr_expect_eq(b.place.acked_past, 0);
	expect(f, .first = 1, .last = 11, .packets = 11, .syn = 1, .syn_ack = 2, .ack = 3,
	       .history = "ShADaT",
	       .side = {{.isn = 1000, .data = 4, .sent = 300, .acked = 9}, {.isn = 5000}});
	cr_expect_eq(stream_acked_ns(f->side[0].stream, 100), 6 * MS);
	cr_expect_eq(stream_acked_ns(f->side[0].stream, 101), 9 * MS);
	flow_table_free(b.t);
}

/* ACKs that come late, out of order or not at all: the first to cover a byte counts. */
Test(flow_states, acks_late_and_lost)
{
	struct bench b = bench_new();
	struct flow *f = handshake(&b);

	for (uint32_t i = 0; i < 4; i++)
		up(&b, P, 1001 + 100 * i, 5001, 100);
	down(&b, A, 5001, 1301, 0); /* those of the first two were lost */
	cr_expect_eq(b.place.acked_from, 0);
	cr_expect_eq(b.place.acked_past, 300);
	down(&b, A, 5001, 1201, 0); /* overtaken */
	cr_expect_eq(b.place.acked_past, 0);
	down(&b, P, 5001, 1401, 10);
	cr_expect_eq(b.place.acked_from, 300);
	for (uint64_t past = 1; past <= 400; past++)
		cr_expect_eq(stream_acked_ns(f->side[0].stream, past), (past <= 300 ? 8 : 10) * MS);
	expect(f, .first = 1, .last = 10, .packets = 10, .syn = 1, .syn_ack = 2, .ack = 3,
	       .history = "ShADad",
	       .side = {{.isn = 1000, .data = 4, .sent = 400, .acked = 10},
			{.isn = 5000, .data = 10, .sent = 10}});
	flow_table_free(b.t);
}

/* TCP Fast Open: the server takes the SYN's bytes and answers at once. */
Test(flow_states, fast_open_taken)
{
	struct bench b = bench_new();
	struct flow *f = up(&b, S, 1000, 0, 50);

	down(&b, S | A, 5000, 1051, 20);
	cr_expect_eq(b.place.data.off, 0);
	cr_expect_eq(b.place.data.new_bytes, 20);
	cr_expect_eq(b.place.acked_past, 50);
	up(&b, A, 1051, 5021, 0);
	cr_expect_eq(b.place.acked_past, 20);
	expect(f, .first = 1, .last = 3, .packets = 3, .syn = 1, .syn_ack = 2, .ack = 3,
	       .history = "SDhdA",
	       .side = {{.isn = 1000, .data = 1, .sent = 50, .acked = 2},
			{.isn = 5000, .data = 2, .sent = 20, .acked = 3}});
	flow_table_free(b.t);
}

/* It takes the SYN alone: the bytes come again. */
Test(flow_states, fast_open_refused)
{
	struct bench b = bench_new();
	struct flow *f = up(&b, S, 1000, 0, 50);

	down(&b, S | A, 5000, 1001, 0);
	cr_expect_eq(b.place.acked_past, 0);
	up(&b, P, 1001, 5001, 50);
	cr_expect_eq(b.place.data.off, 0);
	cr_expect_eq(b.place.data.old_bytes, 50);
	cr_expect_eq(b.place.data.new_bytes, 0);
	down(&b, A, 5001, 1051, 0);
	expect(f, .first = 1, .last = 4, .packets = 4, .syn = 1, .syn_ack = 2, .ack = 3,
	       .history = "SDhTa",
	       .side = {{.isn = 1000, .data = 1, .sent = 50, .acked = 4}, {.isn = 5000}});
	flow_table_free(b.t);
}

/* An urgent byte is a byte; a second one beside it moves nothing. */
Test(flow_states, urgent_data)
{
	struct bench b = bench_new();
	struct flow *f = handshake(&b);

	b.urgent = 11;
	up(&b, P | TCP_URG, 1001, 5001, 11);
	cr_expect_eq(b.place.data.new_bytes, 11);
	up(&b, P | TCP_URG, 1012, 5001, 1);
	cr_expect_eq(b.place.data.off, 11);
	b.urgent = 0;
	up(&b, P, 1013, 5001, 30);
	cr_expect_eq(b.place.data.off, 12);
	down(&b, A, 5001, 1043, 0);
	expect(f, .first = 1, .last = 7, .packets = 7, .syn = 1, .syn_ack = 2, .ack = 3,
	       .history = "ShADa",
	       .side = {{.isn = 1000, .data = 4, .sent = 42, .acked = 7}, {.isn = 5000}});
	flow_table_free(b.t);
}

/* ---- one packet, several interfaces ---- */

/* `-i any` is one interface of the file; the link header's index tells the machine's. */
Test(flow_states, copy_on_another_device_of_one_interface)
{
	struct bench b = bench_new();
	struct flow *f = handshake(&b);
	struct segment seg;

	b.device = 2;
	up(&b, P, 1001, 5001, 10);
	seg = segment_of(&b, &client, &server, P, 1001, 5001, 10);
	seg.device = 3;
	seg.frame = ++b.frame;
	seg.ts_ns += 40 * NS_PER_US;
	cr_assert(flow_table_add(b.t, &seg, &b.place));
	cr_expect(b.place.copy);
	cr_expect_eq(b.place.flow, f);
	cr_expect_eq(b.place.from, 0);
	cr_expect_eq(b.place.data.new_bytes + b.place.data.old_bytes, 0);
	seg.device = 2; /* the same device: it was sent twice */
	seg.ts_ns -= 40 * NS_PER_US;
	seg.frame = ++b.frame;
	cr_assert(flow_table_add(b.t, &seg, &b.place));
	cr_expect(!b.place.copy);
	cr_expect_eq(b.place.data.old_bytes, 10);
	expect(f, .first = 1, .last = 4, .packets = 5, .syn = 1, .syn_ack = 2, .ack = 3,
	       .history = "ShADT", .side = {{.isn = 1000, .data = 4, .sent = 10}, {.isn = 5000}});
	flow_table_free(b.t);
}

/* ---- which incarnation a connection of the proxy is ---- */

#define FIND(rule, moment) flow_table_find(b.t, &server, &client, rule, (moment)*MS, UINT64_MAX)

/* The server had spoken in the first before the moment of accept(): the second was not captured. */
Test(flow_states, accepted_later_than_it_spoke)
{
	struct bench b = bench_new();
	struct flow *one = handshake(&b), *two;

	up(&b, P, 1001, 5001, 10);
	cr_expect_eq(FIND(FLOW_LAST_NOT_AFTER, 4), one);
	cr_expect_eq(FIND(FLOW_LAST_NOT_AFTER, 50), one);
	down(&b, F, 5001, 1011, 0); /* 5 ms */
	cr_expect_eq(FIND(FLOW_LAST_NOT_AFTER, 5), one);
	cr_expect_null(FIND(FLOW_LAST_NOT_AFTER, 6));
	up(&b, F, 1011, 5002, 0);
	down(&b, A, 5002, 1012, 0);
	two = up(&b, P, 700001, 800001, 10); /* 8 ms: its handshake was not captured */
	cr_expect_neq(two, one);
	cr_expect_eq(FIND(FLOW_LAST_NOT_AFTER, 4), one);
	cr_expect_eq(FIND(FLOW_LAST_NOT_AFTER, 7), two);
	cr_expect_eq(FIND(FLOW_LAST_NOT_AFTER, 50), two);
	flow_table_free(b.t);
}

/* Late packets of a connection that was given out are nobody's. */
Test(flow_states, remnant_is_not_found)
{
	struct bench b = bench_new();
	struct flow *f = handshake(&b);

	flow_table_remove(b.t, f);
	f = up(&b, P, 1001, 5001, 10);
	cr_expect(f->is_remnant);
	cr_expect(!b.place.fresh);
	cr_expect_null(FIND(FLOW_LAST_NOT_AFTER, 50));
	cr_expect_null(FIND(FLOW_FIRST_NOT_BEFORE, 0));
	f = up(&b, S, 9000, 0, 0);
	cr_expect(!f->is_remnant);
	cr_expect_eq(FIND(FLOW_LAST_NOT_AFTER, 50), f);
	flow_table_free(b.t);
}
