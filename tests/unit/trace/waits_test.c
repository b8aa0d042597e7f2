/*
 * waits_test.c -- sets of intervals, and when bytes of a stream waited.
 */
#include "trace/waits.h"

#include <criterion/criterion.h>

#include "trace/stream.h"

Test(waits, overlapping_intervals_count_once)
{
	struct waits w = {0};

	cr_expect_not(waits_any(&w));
	cr_expect(waits_add(&w, WAIT_RETRANSMISSION, 50, 80));
	cr_expect(waits_add(&w, WAIT_RETRANSMISSION, 10, 30));
	cr_expect(waits_add(&w, WAIT_RETRANSMISSION, 20, 60));
	cr_expect(waits_add(&w, WAIT_RETRANSMISSION, 55, 57));
	cr_expect(waits_add(&w, WAIT_RETRANSMISSION, 90, 90));
	cr_expect(waits_add(&w, WAIT_ZERO_WINDOW, 0, 5));
	cr_expect(waits_any(&w));
	cr_expect_eq(waits_within(&w, WAIT_RETRANSMISSION, 0, 1000), 70);
	cr_expect_eq(waits_within(&w, WAIT_RETRANSMISSION, 15, 58), 43);
	cr_expect_eq(waits_within(&w, WAIT_RETRANSMISSION, 80, 1000), 0);
	cr_expect_eq(waits_within(&w, WAIT_ZERO_WINDOW, 2, 1000), 3);
	waits_reset(&w);
	cr_expect_not(waits_any(&w));
	waits_fini(&w);
}

Test(waits, many)
{
	struct waits w = {0};

	for (uint64_t i = 1000; i > 0; i--)
		cr_assert(waits_add(&w, WAIT_ZERO_WINDOW, 10 * i, 10 * i + 4));
	cr_expect_eq(waits_within(&w, WAIT_ZERO_WINDOW, 0, UINT64_MAX), 4000);
	waits_fini(&w);
}

/* ---- of a stream with ISN 999: offset 0 is sequence number 1000 ---- */

static void carry(struct stream *s, uint32_t frame, uint64_t ts_ns, uint32_t seq, uint32_t len)
{
	struct stream_place place;

	cr_assert(stream_add(s, frame, ts_ns, seq, len, &place));
}

static void label(struct stream *s, uint32_t frame, uint64_t ts_ns, uint32_t seq, uint32_t len,
		  uint32_t bits)
{
	const struct note n = {.ts_ns = ts_ns, .len = len, .frame = frame, .label = bits};

	cr_assert(stream_note(s, seq, &n));
}

static uint64_t waited(const struct stream *s, uint64_t first, uint64_t past, uint64_t until_ns,
		       enum wait_kind kind)
{
	const struct byte_range range = {first, past};
	struct waits w = {0};
	uint64_t ns;

	cr_assert(stream_waits(s, &range, 7, until_ns, &w));
	ns = waits_within(&w, kind, 0, UINT64_MAX);
	waits_fini(&w);
	return ns;
}

static struct stream *anchored(void)
{
	struct stream *s = stream_new();

	cr_assert_not_null(s);
	stream_anchor(s, 999);
	return s;
}

/* The capture stands before the loss: from the first time to each of the next. */
Test(waits, bytes_sent_again)
{
	struct stream *s = anchored();

	carry(s, 1, 100, 1000, 50);
	carry(s, 2, 110, 1050, 50);
	carry(s, 3, 400, 1000, 50);
	label(s, 3, 400, 1000, 50, LABEL_RETRANSMISSION | LABEL_RTO);
	carry(s, 4, 900, 1000, 50);
	label(s, 4, 900, 1000, 50, LABEL_RETRANSMISSION | LABEL_RTO);
	cr_expect_eq(waited(s, 0, 50, 1000, WAIT_RETRANSMISSION), 800);
	cr_expect_eq(waited(s, 0, 50, 500, WAIT_RETRANSMISSION), 300); /* what came later */
	cr_expect_eq(waited(s, 50, 100, 1000, WAIT_RETRANSMISSION), 0);
	cr_expect_eq(waited(s, 0, 100, 1000, WAIT_ZERO_WINDOW), 0);
	stream_free(s);
}

/* The capture stands behind the loss: from what overtook them. */
Test(waits, a_hole_that_is_filled)
{
	struct stream *s = anchored();

	carry(s, 1, 100, 1000, 50);
	carry(s, 2, 120, 1100, 50);
	carry(s, 3, 130, 1150, 50);
	carry(s, 4, 500, 1050, 50);
	label(s, 4, 500, 1050, 50, LABEL_RETRANSMISSION | LABEL_FAST | LABEL_NEW);
	cr_expect_eq(waited(s, 0, 200, 1000, WAIT_RETRANSMISSION), 380);
	stream_free(s);
}

Test(waits, what_was_sent_again_needlessly_cost_nothing)
{
	struct stream *s = anchored();

	carry(s, 1, 100, 1000, 50);
	carry(s, 2, 300, 1000, 50);
	label(s, 2, 300, 1000, 50, LABEL_RETRANSMISSION | LABEL_SPURIOUS);
	cr_expect_eq(waited(s, 0, 50, 1000, WAIT_RETRANSMISSION), 0);
	stream_free(s);
}

/* The SYN came again before any byte: since the first SYN. */
Test(waits, a_syn_sent_again)
{
	struct stream *s = anchored();

	label(s, 1, 1007, 1000, 1, LABEL_RETRANSMISSION | LABEL_SYN);
	carry(s, 2, 1100, 1000, 50);
	cr_expect_eq(waited(s, 0, 50, 2000, WAIT_RETRANSMISSION), 1000);
	stream_free(s);
}

Test(waits, zero_window_until_the_byte_that_waited)
{
	struct stream *s = anchored();

	carry(s, 1, 100, 1000, 50);
	label(s, 2, 110, 1050, 1, LABEL_ZERO_WINDOW);
	label(s, 3, 200, 1050, 1, LABEL_ZERO_WINDOW | LABEL_ZERO_WINDOW_PROBE_ACK);
	cr_expect_eq(waited(s, 0, 100, 250, WAIT_ZERO_WINDOW), 0); /* its end is not seen yet */
	carry(s, 4, 350, 1050, 50);
	cr_expect_eq(waited(s, 0, 100, 1000, WAIT_ZERO_WINDOW), 240);
	cr_expect_eq(waited(s, 0, 50, 1000, WAIT_ZERO_WINDOW), 0); /* no byte of these waited */
	stream_free(s);
}

Test(waits, without_an_anchor_nothing_is_told)
{
	struct stream *s = stream_new();

	carry(s, 1, 100, 1000, 50);
	label(s, 2, 300, 1000, 50, LABEL_RETRANSMISSION);
	cr_expect_eq(waited(s, 0, 50, 1000, WAIT_RETRANSMISSION), 0);
	stream_free(s);
}
