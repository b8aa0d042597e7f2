/*
 * wslabel_test.c -- one short talk per rule. What tshark itself says, of traffic at random, is
 * asked in flow_tshark_test.c.
 */
#include "trace/wslabel.h"

#include <criterion/criterion.h>
#include <string.h>

#define MS 1000000ULL
#define PA (TCP_PSH | TCP_ACK)

struct ws_talk {
	struct wslabel w;
	uint64_t ns;
	uint16_t window[2];
	uint8_t wscale;
	uint16_t mptcp;
	struct wslabel_seen seen;
};

static void talk_init(struct ws_talk *t)
{
	*t = (struct ws_talk){.window = {500, 500}, .wscale = SEGMENT_NO_WSCALE, .ns = MS};
	wslabel_init(&t->w);
}

/* The words of a packet, separated by spaces. */
static const char *words(struct ws_talk *t, unsigned from, unsigned flags, uint32_t seq,
			 uint32_t ack, uint32_t len)
{
	static char text[256];
	struct segment seg = {.ts_ns = t->ns,
			      .seq = seq,
			      .ack = ack,
			      .flags = (uint8_t)flags,
			      .window = t->window[from],
			      .wscale = t->wscale,
			      .mptcp = t->mptcp,
			      .payload_len = len,
			      .payload_framed = len};
	enum wslabel_place place = wslabel_place(&t->w, &seg, from);

	wslabel_base(&t->w, &seg, from);
	wslabel_add(&t->w, &seg, from, place, &t->seen);
	t->ns += 50000;
	text[0] = '\0';
	for (unsigned i = 0; i < WSLABEL_COUNT; i++) {
		if ((t->seen.flags >> i & 1) == 0)
			continue;
		if (text[0] != '\0')
			strcat(text, " ");
		strcat(text, wslabel_word(i));
	}
	return text;
}

#define SAYS(text, ...) cr_expect_str_eq(words(&t, __VA_ARGS__), text)

/* 1000 and 5000 are the first data bytes' numbers. */
static void shake_hands(struct ws_talk *t)
{
	cr_expect_str_eq(words(t, 0, TCP_SYN, 999, 0, 0), "");
	t->ns += 10 * MS;
	cr_expect_str_eq(words(t, 1, TCP_SYN | TCP_ACK, 4999, 1000, 0), "");
	cr_expect_str_eq(words(t, 0, TCP_ACK, 1000, 5000, 0), "");
}

Test(wslabel, an_ordinary_exchange)
{
	struct ws_talk t;

	talk_init(&t);
	shake_hands(&t);
	SAYS("", 0, PA, 1000, 5000, 300);
	cr_expect_eq(t.seen.seq, 1);
	cr_expect_eq(t.seen.ack, 1);
	SAYS("", 1, TCP_ACK, 5000, 1300, 0);
	SAYS("", 1, PA, 5000, 1300, 200);
	cr_expect_eq(t.seen.ack, 301);
	SAYS("", 0, TCP_ACK | TCP_FIN, 1300, 5200, 0);
	SAYS("", 1, TCP_ACK | TCP_FIN, 5200, 1301, 0);
	SAYS("", 0, TCP_ACK, 1301, 5201, 0);
	wslabel_fini(&t.w);
}

Test(wslabel, ports_used_again)
{
	struct ws_talk t;
	struct segment syn = {.flags = TCP_SYN, .seq = 70000};

	talk_init(&t);
	shake_hands(&t);
	cr_expect_eq(wslabel_place(&t.w, &syn, 0), WSLABEL_RENEWED);
	cr_expect(!t.w.side[0].is_based);
	wslabel_base(&t.w, &syn, 0);
	cr_expect_eq(t.w.side[0].base, 70000);
	cr_expect(!t.w.side[1].is_based);
	SAYS("reused_ports", 0, TCP_SYN, 71000, 0, 0);
	SAYS("", 1, TCP_SYN | TCP_ACK, 900, 71001, 0);
	SAYS("reused_ports lost_segment", 1, TCP_SYN | TCP_ACK, 950, 71001, 0);
	cr_expect_eq(t.seen.seq, 0);
	wslabel_fini(&t.w);
}

Test(wslabel, retransmissions)
{
	struct ws_talk t;

	talk_init(&t);
	shake_hands(&t);
	SAYS("", 1, PA, 5000, 1000, 100);
	SAYS("", 1, PA, 5100, 1000, 100);
	SAYS("out_of_order", 1, PA, 5000, 1000, 100);
	t.ns += 20 * MS; /* longer than the first round trip */
	SAYS("retransmission", 1, PA, 5000, 1000, 100);
	SAYS("", 0, TCP_ACK, 1000, 5200, 0);
	SAYS("retransmission spurious_retransmission", 1, PA, 5100, 1000, 100);
	wslabel_fini(&t.w);
}

Test(wslabel, fast_retransmission)
{
	struct ws_talk t;

	talk_init(&t);
	shake_hands(&t);
	SAYS("", 1, PA, 5000, 1000, 100);
	SAYS("lost_segment", 1, PA, 5200, 1000, 100);
	SAYS("", 0, TCP_ACK, 1000, 5100, 0);
	SAYS("duplicate_ack", 0, TCP_ACK, 1000, 5100, 0);
	SAYS("duplicate_ack", 0, TCP_ACK, 1000, 5100, 0);
	SAYS("retransmission fast_retransmission", 1, PA, 5100, 1000, 100);
	t.ns += 20 * MS;
	SAYS("retransmission", 1, PA, 5100, 1000, 100);
	wslabel_fini(&t.w);
}

Test(wslabel, ack_of_what_was_not_captured)
{
	struct ws_talk t;

	talk_init(&t);
	shake_hands(&t);
	SAYS("ack_lost_segment", 0, TCP_ACK, 1000, 5100, 0);
	SAYS("", 0, TCP_ACK, 1000, 5100, 10);
	SAYS("lost_segment", 1, PA, 5100, 1010, 10);
	wslabel_fini(&t.w);
}

/* That counts as many duplicate ACKs of the other side, until its ACK changes. */
Test(wslabel, ack_of_what_was_not_captured_counts_as_duplicates)
{
	struct ws_talk t;

	talk_init(&t);
	SAYS("", 0, PA, 1000, 5000, 10);
	SAYS("", 0, PA, 1010, 5000, 10);
	SAYS("", 1, TCP_ACK, 5000, 1010, 0);
	SAYS("duplicate_ack", 1, TCP_ACK, 5000, 1010, 0);
	SAYS("", 0, TCP_ACK, 1020, 5007, 0);
	SAYS("retransmission fast_retransmission", 0, PA, 1010, 5000, 10);
	wslabel_fini(&t.w);
}

Test(wslabel, windows)
{
	struct ws_talk t;

	talk_init(&t);
	shake_hands(&t);
	SAYS("window_full", 0, PA, 1000, 5000, 500);
	t.window[1] = 0;
	SAYS("zero_window", 1, TCP_ACK, 5000, 1500, 0);
	SAYS("zero_window_probe", 0, PA, 1500, 5000, 1);
	SAYS("zero_window zero_window_probe_ack", 1, TCP_ACK, 5000, 1500, 0);
	t.window[1] = 400;
	SAYS("window_update", 1, TCP_ACK, 5000, 1500, 0);
	t.window[1] = 0;
	SAYS("", 1, TCP_ACK | TCP_RST, 5000, 1500, 0);
	wslabel_fini(&t.w);
}

Test(wslabel, keep_alives)
{
	struct ws_talk t;

	talk_init(&t);
	shake_hands(&t);
	SAYS("", 0, PA, 1000, 5000, 100);
	SAYS("", 1, TCP_ACK, 5000, 1100, 0);
	SAYS("keep_alive", 0, TCP_ACK, 1099, 5000, 0);
	SAYS("keep_alive_ack", 1, TCP_ACK, 5000, 1100, 0);
	SAYS("keep_alive", 0, TCP_ACK, 1099, 5000, 1);
	SAYS("keep_alive_ack", 1, TCP_ACK, 5000, 1100, 0);
	wslabel_fini(&t.w);
}

Test(wslabel, scaled_windows)
{
	struct ws_talk t;

	talk_init(&t);
	t.wscale = 7;
	SAYS("", 0, TCP_SYN, 999, 0, 0);
	cr_expect_eq(t.seen.window, 500);
	SAYS("", 1, TCP_SYN | TCP_ACK, 4999, 1000, 0);
	t.wscale = SEGMENT_NO_WSCALE;
	SAYS("", 0, TCP_ACK, 1000, 5000, 0);
	cr_expect_eq(t.seen.window, 64000);
	SAYS("window_full", 0, PA, 1000, 5000, 500); /* before its first ACK no scale counts */
	SAYS("", 1, TCP_ACK, 5000, 1500, 0);
	SAYS("window_full", 0, PA, 1500, 5000, 64000);
	wslabel_fini(&t.w);
}

Test(wslabel, no_scaling_when_one_side_has_none)
{
	struct ws_talk t;

	talk_init(&t);
	SAYS("", 0, TCP_SYN, 999, 0, 0);
	t.wscale = 7;
	SAYS("", 1, TCP_SYN | TCP_ACK, 4999, 1000, 0);
	t.wscale = SEGMENT_NO_WSCALE;
	SAYS("", 0, TCP_ACK, 1000, 5000, 0);
	cr_expect_eq(t.seen.window, 500);
	SAYS("", 1, TCP_ACK, 5000, 1000, 0 + 3);
	cr_expect_eq(t.seen.window, 500);
	wslabel_fini(&t.w);
}

/* A subtype that is new to the connection excuses the next duplicate of either side. */
Test(wslabel, mptcp)
{
	struct ws_talk t;

	talk_init(&t);
	shake_hands(&t);
	t.mptcp = 1 << 2;
	SAYS("duplicate_ack", 0, TCP_ACK, 1000, 5000, 0);
	SAYS("", 0, TCP_ACK, 1000, 5000, 0);
	SAYS("duplicate_ack", 0, TCP_ACK, 1000, 5000, 0);
	t.mptcp = 1 << 8; /* not one that Wireshark 4.0 looks at */
	SAYS("duplicate_ack", 0, TCP_ACK, 1000, 5000, 0);
	SAYS("duplicate_ack", 0, TCP_ACK, 1000, 5000, 0);
	wslabel_fini(&t.w);
}

/* It is the raw number 0 that means "unknown". */
Test(wslabel, numbers_are_compared_raw)
{
	struct ws_talk t;

	talk_init(&t);
	SAYS("", 0, PA, -10U, 500, 10);
	SAYS("", 0, PA, 100, 500, 10); /* a gap that is not told */
	wslabel_fini(&t.w);
	talk_init(&t);
	SAYS("", 0, PA, 1001, 500, 10);
	SAYS("", 1, TCP_ACK, 500, 1000, 0); /* relative 0 */
	cr_expect_eq(t.seen.ack, 0);
	SAYS("retransmission spurious_retransmission", 0, PA, 990, 500, 5);
	wslabel_fini(&t.w);
	talk_init(&t);
	SAYS("window_update", 0, TCP_ACK, 0, 0, 0);
	wslabel_fini(&t.w);
}

/* Beyond 10 000 a FIN's number is not counted, so that its repetition is none. */
Test(wslabel, nobody_acknowledges)
{
	struct ws_talk t;
	uint32_t seq = 1000;

	talk_init(&t);
	shake_hands(&t);
	for (unsigned i = 0; i < UNACKED_MAX; i++, seq += 10)
		(void)words(&t, 0, PA, seq, 5000, 10);
	t.ns += 20 * MS;
	SAYS("", 0, TCP_ACK | TCP_FIN, seq, 5000, 0);
	SAYS("", 0, TCP_ACK | TCP_FIN, seq, 5000, 0);
	wslabel_fini(&t.w);
}
