/*
 * label_test.c -- segments through a flow table: our words, and Wireshark's beside them where ours
 * must differ.
 */
#include "trace/label.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "trace/flow.h"
#include "trace/seqnum.h"

#define MS 1000ULL /* times are microseconds */
#define PA (TCP_PSH | TCP_ACK)

/* One connection: numbers are offsets from the first data byte of each side. */
struct line {
	struct flow_table *flows;
	struct flow_place place;
	struct segment seg;
	uint64_t us;
	uint32_t iface;
	uint32_t ip_id[2];
	uint32_t tsval[2];
	uint16_t window[2];
	uint32_t sack[2][2]; /* offsets; of the next segment alone */
	uint8_t sack_count;
	uint32_t frame;
};

static const uint32_t isn[2] = {0xfffffff0U, 5000};

static void line_init(struct line *l)
{
	*l = (struct line){.window = {500, 500}, .us = 1000000};
	l->flows = flow_table_new();
	cr_assert_not_null(l->flows);
}

static void add_words(char *text, const char *word)
{
	if (text[0] != '\0')
		strcat(text, " ");
	strcat(text, word);
}

/* Our words for a segment; what it says of itself is taken from l. */
static const char *put(struct line *l, unsigned from, unsigned flags, uint32_t off, uint32_t acked,
		       uint32_t len)
{
	static char text[256];
	struct addr end[2] = {{.ip = {192, 0, 2, 1}, .port = 40000, .family = ADDR_IP4},
			      {.ip = {192, 0, 2, 2}, .port = 8585, .family = ADDR_IP4}};
	bool is_syn = (flags & TCP_SYN) != 0;

	l->us += 50;
	l->seg = (struct segment){.ts_ns = l->us * 1000,
				  .frame = ++l->frame,
				  .iface = l->iface,
				  .src = end[from],
				  .dst = end[1 - from],
				  .seq = isn[from] + !is_syn + off,
				  .ack = flags & TCP_ACK ? isn[1 - from] + 1 + acked : 0,
				  .window = l->window[from],
				  .flags = (uint8_t)flags,
				  .wscale = SEGMENT_NO_WSCALE,
				  .sack_permitted = is_syn,
				  .ip_id = l->ip_id[from],
				  .has_ts = l->tsval[from] != 0,
				  .tsval = l->tsval[from],
				  .sack_count = l->sack_count,
				  .payload_len = len,
				  .payload_framed = len};
	for (unsigned i = 0; i < l->sack_count; i++) {
		l->seg.sack[i].left = isn[1 - from] + 1 + l->sack[i][0];
		l->seg.sack[i].right = isn[1 - from] + 1 + l->sack[i][1];
	}
	l->sack_count = 0;
	cr_assert(flow_table_add(l->flows, &l->seg, &l->place));
	text[0] = '\0';
	for (unsigned i = 0; i < LABEL_COUNT; i++)
		if (l->place.label >> i & 1)
			add_words(text, label_word(i));
	return text;
}

/* Wireshark's words for the last one. */
static const char *ws(const struct line *l)
{
	static char text[256];

	text[0] = '\0';
	for (unsigned i = 0; i < WSLABEL_COUNT; i++)
		if (l->place.ws.flags >> i & 1)
			add_words(text, wslabel_word(i));
	return text;
}

#define SAYS(text, ...) cr_expect_str_eq(put(&l, __VA_ARGS__), text)
#define WIRESHARK(text) cr_expect_str_eq(ws(&l), text)
#define SACK(i, left_, right_) \
	(l.sack[i][0] = (left_), l.sack[i][1] = (right_), l.sack_count = (i) + 1)

static void shake_hands(struct line *l, uint64_t rtt_us)
{
	cr_expect_str_eq(put(l, 0, TCP_SYN, 0, 0, 0), "syn");
	l->us += rtt_us;
	cr_expect_str_eq(put(l, 1, TCP_SYN | TCP_ACK, 0, 0, 0), "syn");
	cr_expect_str_eq(put(l, 0, TCP_ACK, 0, 0, 0), "ack");
}

Test(label, an_ordinary_exchange)
{
	struct line l;

	line_init(&l);
	shake_hands(&l, 100);
	SAYS("new", 0, PA, 0, 0, 300);
	SAYS("ack", 1, TCP_ACK, 0, 300, 0);
	SAYS("new", 1, PA, 0, 300, 200);
	SAYS("fin", 0, TCP_ACK | TCP_FIN, 300, 200, 0);
	SAYS("fin new", 1, PA | TCP_FIN, 200, 301, 5);
	SAYS("ack", 0, TCP_ACK, 301, 206, 0);
	SAYS("rst", 0, TCP_RST, 301, 0, 0);
	flow_table_free(l.flows);
}

Test(label, lost_and_found_fast)
{
	struct line l;

	line_init(&l);
	shake_hands(&l, 10 * MS);
	SAYS("new", 1, PA, 0, 0, 100);
	SAYS("new", 1, PA, 100, 0, 100); /* lost behind the capture */
	SAYS("new", 1, PA, 200, 0, 100);
	l.us += 10 * MS;
	SAYS("ack", 0, TCP_ACK, 0, 100, 0);
	SACK(0, 200, 300);
	SAYS("dup-ack", 0, TCP_ACK, 0, 100, 0);
	SAYS("retransmission fast", 1, PA, 100, 0, 100);
	WIRESHARK("retransmission"); /* one duplicate ACK is not enough for "fast" */
	l.us += 10 * MS;
	SAYS("ack", 0, TCP_ACK, 0, 300, 0);
	flow_table_free(l.flows);
}

/* Wireshark does not look at SACK: an ACK with another window is none of its duplicates. */
Test(label, a_duplicate_ack_with_sack_and_another_window)
{
	struct line l;

	line_init(&l);
	shake_hands(&l, 100);
	SAYS("new", 1, PA, 0, 0, 100);
	SAYS("new", 1, PA, 100, 0, 100);
	l.window[0] = 480;
	SACK(0, 100, 200);
	SAYS("dup-ack", 0, TCP_ACK, 0, 0, 0);
	WIRESHARK("window_update");
	flow_table_free(l.flows);
}

Test(label, a_timer_ran_out)
{
	struct line l;

	line_init(&l);
	shake_hands(&l, 10 * MS);
	SAYS("new", 0, PA, 0, 0, 100);
	SAYS("new", 0, PA, 100, 0, 100);
	l.us += 250 * MS;
	SAYS("retransmission rto", 0, PA, 0, 0, 100);
	WIRESHARK("retransmission");
	l.us += 10 * MS;
	SAYS("ack", 1, TCP_ACK, 0, 100, 0);
	SAYS("retransmission rto", 0, PA, 100, 0, 100); /* what else was thought lost with it */
	l.us += 10 * MS;
	SAYS("ack", 1, TCP_ACK, 0, 200, 0);
	flow_table_free(l.flows);
}

Test(label, a_syn_and_a_fin_sent_again)
{
	struct line l;

	line_init(&l);
	SAYS("syn", 0, TCP_SYN, 0, 0, 0);
	l.us += 1000 * MS;
	SAYS("syn retransmission rto", 0, TCP_SYN, 0, 0, 0);
	SAYS("syn", 1, TCP_SYN | TCP_ACK, 0, 0, 0);
	SAYS("ack", 0, TCP_ACK, 0, 0, 0);
	SAYS("fin", 0, TCP_FIN | TCP_ACK, 0, 0, 0);
	l.us += 20 * MS;
	SAYS("fin retransmission tlp", 0, TCP_FIN | TCP_ACK, 0, 0, 0);
	l.us += 400 * MS;
	SAYS("fin retransmission rto", 0, TCP_FIN | TCP_ACK, 0, 0, 0);
	flow_table_free(l.flows);
}

Test(label, a_tail_loss_probe_comes_once)
{
	struct line l;

	line_init(&l);
	shake_hands(&l, 10 * MS);
	SAYS("new", 1, PA, 0, 0, 100);
	SAYS("new", 1, PA, 100, 0, 100);
	l.us += 22 * MS;
	SAYS("retransmission tlp", 1, PA, 100, 0, 100);
	l.us += 230 * MS;
	SAYS("retransmission rto", 1, PA, 0, 0, 100);
	flow_table_free(l.flows);
}

Test(label, spurious)
{
	struct line l;

	line_init(&l);
	shake_hands(&l, 10 * MS);
	SAYS("new", 0, PA, 0, 0, 100);
	SAYS("new", 0, PA, 100, 0, 100);
	SAYS("new", 0, PA, 200, 0, 100);
	SACK(0, 100, 200);
	SAYS("dup-ack", 1, TCP_ACK, 0, 0, 0);
	l.us += 12 * MS;
	SAYS("retransmission spurious", 0, PA, 100, 0, 100); /* it was SACKed */
	WIRESHARK("retransmission");
	SAYS("ack", 1, TCP_ACK, 0, 300, 0);
	SAYS("retransmission spurious", 0, PA, 0, 0, 100);
	WIRESHARK("retransmission spurious_retransmission");
	SACK(0, 0, 100);
	SAYS("ack d-sack", 1, TCP_ACK, 0, 300, 0);
	flow_table_free(l.flows);
}

/* Half of it is new. */
Test(label, partial)
{
	struct line l;

	line_init(&l);
	shake_hands(&l, 10 * MS);
	SAYS("new", 0, PA, 0, 0, 100);
	l.us += 300 * MS;
	SAYS("new retransmission rto partial", 0, PA, 50, 0, 100);
	flow_table_free(l.flows);
}

/* A LAN that reorders by more than its round trip: Wireshark sees a retransmission. */
Test(label, overtaken_by_more_than_a_round_trip)
{
	struct line l;

	line_init(&l);
	l.window[1] = 5000;
	shake_hands(&l, 100);
	l.ip_id[0] = 1000;
	SAYS("new", 0, PA, 0, 0, 100);
	l.ip_id[0] = 1002;
	SAYS("new gap", 0, PA, 200, 0, 100);
	l.us += 4 * MS;
	l.ip_id[0] = 1001;
	SAYS("new out-of-order", 0, PA, 100, 0, 100);
	WIRESHARK("retransmission");
	l.ip_id[0] = 1003;
	SAYS("new gap", 0, PA, 400, 0, 100);
	l.us += 4 * MS;
	l.ip_id[0] = 1004; /* this one was sent later: its first copy was lost before the capture */
	SAYS("new retransmission", 0, PA, 300, 0, 100);
	flow_table_free(l.flows);
}

Test(label, timestamps_tell_what_was_sent_later)
{
	struct line l;

	line_init(&l);
	shake_hands(&l, 100);
	l.tsval[0] = 77;
	SAYS("new", 0, PA, 0, 0, 100);
	SAYS("new gap", 0, PA, 200, 0, 100);
	l.us += 300 * MS;
	l.tsval[0] = 76;
	SAYS("new out-of-order", 0, PA, 100, 0, 50);
	l.tsval[0] = 80;
	SAYS("new retransmission", 0, PA, 150, 0, 50);
	flow_table_free(l.flows);
}

/* The network delivered it twice, within the first round trip: Wireshark sees a reordering. */
Test(label, the_same_packet_twice)
{
	struct line l;

	line_init(&l);
	shake_hands(&l, 10 * MS);
	l.ip_id[0] = 500;
	SAYS("new", 0, PA, 0, 0, 100);
	l.ip_id[0] = 501;
	SAYS("new", 0, PA, 100, 0, 100);
	l.ip_id[0] = 500;
	SAYS("duplicate", 0, PA, 0, 0, 100);
	WIRESHARK("out_of_order");
	flow_table_free(l.flows);
}

Test(label, the_same_packet_on_another_interface)
{
	struct line l;

	line_init(&l);
	shake_hands(&l, 10 * MS);
	SAYS("new", 0, PA, 0, 0, 100);
	l.iface = 1;
	SAYS("capture-duplicate", 0, PA, 0, 0, 100);
	WIRESHARK("retransmission");
	flow_table_free(l.flows);
}

/* Linux probes a zero window without payload, one byte before what was acknowledged. */
Test(label, a_zero_window)
{
	struct line l;

	line_init(&l);
	shake_hands(&l, 100);
	SAYS("new window-full", 0, PA, 0, 0, 500);
	l.window[1] = 0;
	SAYS("ack zero-window", 1, TCP_ACK, 0, 500, 0);
	l.us += 200 * MS;
	SAYS("zero-window-probe", 0, TCP_ACK, 499, 0, 0);
	WIRESHARK("keep_alive");
	SAYS("zero-window zero-window-probe-ack", 1, TCP_ACK, 0, 500, 0);
	WIRESHARK("zero_window");
	SAYS("new zero-window-probe", 0, TCP_ACK, 500, 0, 1); /* others send a byte */
	WIRESHARK("zero_window_probe");
	SAYS("zero-window zero-window-probe-ack", 1, TCP_ACK, 0, 500, 0);
	SAYS("zero-window-probe", 0, TCP_ACK, 500, 0, 1);
	l.window[1] = 500;
	SAYS("window-update", 1, TCP_ACK, 0, 500, 0);
	SAYS("new retransmission partial", 0, PA, 500, 0, 10);
	flow_table_free(l.flows);
}

Test(label, keep_alives)
{
	struct line l;

	line_init(&l);
	shake_hands(&l, 100);
	SAYS("new", 0, PA, 0, 0, 100);
	SAYS("ack", 1, TCP_ACK, 0, 100, 0);
	l.us += 5000 * MS;
	SAYS("keep-alive", 0, TCP_ACK, 99, 0, 0);
	SAYS("keep-alive-ack", 1, TCP_ACK, 0, 100, 0);
	SAYS("keep-alive", 0, TCP_ACK, 99, 0, 1);
	SAYS("keep-alive-ack", 1, TCP_ACK, 0, 100, 0);
	flow_table_free(l.flows);
}

/* One byte that nobody had acknowledged is no keep-alive, though Wireshark calls it so. */
Test(label, one_byte_sent_again)
{
	struct line l;

	line_init(&l);
	shake_hands(&l, 100);
	SAYS("new", 0, PA, 0, 0, 100);
	SAYS("ack", 1, TCP_ACK, 0, 100, 0);
	SAYS("new", 0, PA, 100, 0, 1);
	l.us += 201 * MS;
	SAYS("retransmission tlp", 0, PA, 100, 0, 1);
	WIRESHARK("keep_alive");
	flow_table_free(l.flows);
}

Test(label, what_the_capture_missed)
{
	struct line l;

	line_init(&l);
	shake_hands(&l, 100);
	SAYS("new", 0, PA, 0, 0, 100);
	SAYS("ack ack-unseen", 1, TCP_ACK, 0, 300, 0);
	SAYS("new gap", 0, PA, 300, 0, 100);
	flow_table_free(l.flows);
}

/* An idle receiver's ACK that comes again tells of no loss. */
Test(label, an_ack_again_with_nothing_outstanding)
{
	struct line l;

	line_init(&l);
	shake_hands(&l, 100);
	SAYS("new", 0, PA, 0, 0, 100);
	SAYS("ack", 1, TCP_ACK, 0, 100, 0);
	SAYS("ack", 1, TCP_ACK, 0, 100, 0);
	WIRESHARK("duplicate_ack");
	flow_table_free(l.flows);
}

/* The correlator has given the flow back; what was sent before is still known to have been. */
Test(label, a_late_packet)
{
	struct line l;

	line_init(&l);
	shake_hands(&l, 100);
	SAYS("new", 0, PA, 0, 0, 100);
	SAYS("ack", 1, TCP_ACK, 0, 100, 0);
	flow_table_remove(l.flows, l.place.flow);
	l.us += 300 * MS;
	SAYS("retransmission rto spurious", 0, PA, 50, 0, 50);
	WIRESHARK("retransmission spurious_retransmission");
	cr_expect_eq(l.place.number, 0);
	cr_expect_eq(l.place.ws.seq, 51);
	flow_table_free(l.flows);
}

#define PICK(list) ((list)[(size_t)rand() % ARRAY_LEN(list)])

/* Segments of any sense or none, near where both sides stand. */
static void random_segment(struct segment *seg, struct label_facts *map, unsigned from,
			   uint32_t next[2])
{
	static const uint8_t flags[] = {TCP_SYN, TCP_SYN | TCP_ACK, TCP_FIN | TCP_ACK, TCP_RST, 0};
	static const uint32_t lens[] = {0, 0, 0, 1, 100, 100, 1448};
	static const uint32_t offs[] = {0, 0, 0, 0, 0, 0, 0, 0, -1U, -100U, -1448U, 100};
	static const uint32_t windows[] = {0, 1448, 60000, 60000, 60000, 60000};
	uint32_t len = PICK(lens), end;

	*seg = (struct segment){.ts_ns = seg->ts_ns + (uint64_t)(rand() % 1000) * 100000,
				.flags = rand() % 20 == 0 ? PICK(flags) : TCP_ACK,
				.seq = next[from] + PICK(offs),
				.ack = next[1 - from] + PICK(offs),
				.ip_id = (uint32_t)rand() % 65536,
				.has_ts = rand() % 2 == 0,
				.tsval = (uint32_t)rand() % 4,
				.sack_permitted = true,
				.sack_count = rand() % 12 == 0,
				.payload_len = len};
	seg->sack[0].left = seg->ack + 1448;
	seg->sack[0].right = seg->ack + 2896;
	end = seg->seq + len;
	*map = (struct label_facts){.is_copy = rand() % 50 == 0, .is_again = rand() % 50 == 0};
	map->new_bytes = seq_after(end, next[from]) ? MIN(len, end - next[from]) : 0;
	map->old_bytes = len - map->new_bytes;
	map->window = PICK(windows);
	if (seq_after(end, next[from]))
		next[from] = end;
}

Test(label, the_short_way_and_the_long_one_agree)
{
	struct label fast = {0}, slow = {0};
	uint32_t next[2] = {0xffffff00U, 77};
	struct segment seg = {.ts_ns = 1000000};
	struct label_facts map;

	srand(20261124);
	for (unsigned i = 0; i < 200000; i++) {
		unsigned from = (unsigned)rand() % 2;

		random_segment(&seg, &map, from, next);
		cr_assert_eq(label_add(&fast, &seg, from, &map),
			     label_closely(&slow, &seg, from, &map), "segment %u", i);
		if (i % 1000 != 0)
			continue;
		label_fini(&fast);
		label_fini(&slow);
		fast = slow = (struct label){0};
	}
	label_fini(&fast);
	label_fini(&slow);
}

Test(label, every_word_once)
{
	for (unsigned i = 0; i < LABEL_COUNT; i++) {
		cr_expect_neq(label_meaning(i)[0], '\0');
		for (unsigned j = 0; j < i; j++)
			cr_expect_str_neq(label_word(i), label_word(j));
	}
	cr_expect_leq(LABEL_COUNT, 32);
	cr_expect_leq(WSLABEL_COUNT, 16);
}
