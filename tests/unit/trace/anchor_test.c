/*
 * anchor_test.c -- what proves a position and what does not: each rule of anchor.h, and each trap
 * that a rule exists for.
 */
#include "tests/unit/trace/anchor_rig.h"

/* ---- our direction --------------------------------------------------------------------------- */

Test(anchor, our_next_data_stands_at_what_was_sent)
{
	struct rig r = rig_new();

	ask(&r);
	give_ours(&r, 99000, -300, 0, 300);  /* before it: not that one */
	give_ours(&r, 100005, -300, 0, 300); /* within: not that one either */
	not_found(&r, ANCHOR_OURS);
	give_peers(&r, 100200, 0, 0, 200);
	give_ours(&r, 100300, 0, 200, 0); /* no data */
	not_found(&r, ANCHOR_OURS);
	give_ours(&r, 100400, 0, 200, 500);
	found(&r, ANCHOR_OURS);
	cr_expect_eq(r.news.at[ANCHOR_OURS].off, 5000);
	rig_end(&r);
}

Test(anchor, offsets_beyond_4_gib)
{
	struct rig r = rig_new();
	struct anchor_position p = position();

	p.sent_off += 3ULL << 32;
	p.read_off += 9ULL << 32;
	anchor_position(r.a, &p);
	give_ours(&r, 100400, 0, 0, 500);
	found(&r, ANCHOR_OURS);
	found(&r, ANCHOR_PEERS);
	cr_expect_eq(r.news.at[ANCHOR_OURS].off, 5000 + (3ULL << 32));
	cr_expect_eq(r.news.at[ANCHOR_PEERS].off, 3000 + (9ULL << 32));
	rig_end(&r);
}

/* The position comes by the tap after the packets that it speaks of. */
Test(anchor, position_comes_late)
{
	struct rig r = rig_new();

	give_ours(&r, 200, -800, 0, 500);
	give_peers(&r, 300, 0, -300, 0);
	give_ours(&r, 100400, 0, 0, 500);
	give_peers(&r, 100500, 0, 500, 0);
	ask(&r);
	give_ours(&r, 100600, 500, 0, 500);
	found(&r, ANCHOR_OURS);
	found(&r, ANCHOR_PEERS);
	rig_end(&r);
}

/* Bytes that were not acknowledged are sent again: a retransmission is no new data. */
Test(anchor, retransmission_in_flight)
{
	struct rig r = rig_new();

	give_ours(&r, 90000, -300, 0, 300);
	ask_with(&r, 300, 0, true);
	give_ours(&r, 300000, -300, 0, 300);
	give_ours(&r, 400000, 0, 0, 500);
	not_found(&r, ANCHOR_OURS);
	rig_end(&r);
}

/* It waited in a queue of the machine while its first copy was acknowledged. */
Test(anchor, retransmission_of_what_was_acknowledged)
{
	struct rig r = rig_new();

	give_ours(&r, 90000, -300, 0, 300);
	ask(&r);
	give_ours(&r, 100020, -300, 0, 300);
	not_found(&r, ANCHOR_OURS);
	rig_end(&r);
	r = rig_new(); /* the capture began between the two */
	give_peers(&r, 90000, 0, 0, 0);
	ask(&r);
	give_ours(&r, 100020, -300, 0, 300);
	not_found(&r, ANCHOR_OURS);
	not_found(&r, ANCHOR_PEERS);
	rig_end(&r);
}

/* After an exchange its response is on its way: the next data stands OUTQ behind the last ACK. */
Test(anchor, unacknowledged_response)
{
	struct rig r = rig_new();

	give_peers(&r, 99000, -200, -300, 200);
	give_ours(&r, 99900, -300, 0, 300);
	ask_with(&r, 300, 0, true);
	give_peers(&r, 100500, 0, 0, 200);
	found(&r, ANCHOR_PEERS);
	give_ours(&r, 100700, 0, 200, 400);
	found(&r, ANCHOR_OURS);
	rig_end(&r);
}

/* More is accepted than sent: the next data does not stand at S. */
Test(anchor, bytes_that_were_not_sent_yet)
{
	struct rig r = rig_new();

	give_peers(&r, 99000, -200, -1300, 200);
	give_ours(&r, 99900, -1300, 0, 300);
	ask_with(&r, 1300, 0, true);
	give_peers(&r, 100500, 0, -1000, 0);
	give_ours(&r, 100600, -1000, 0, 500);
	not_found(&r, ANCHOR_OURS);
	rig_end(&r);
}

/* The ACK had come, but not been processed when OUTQ was read. */
Test(anchor, ack_that_was_not_processed)
{
	struct rig r = rig_new();

	give_ours(&r, 99000, -300, 0, 300);
	give_peers(&r, 99999, 0, 0, 0);
	ask_with(&r, 300, 0, true);
	give_ours(&r, 100600, 0, 0, 500);
	not_found(&r, ANCHOR_OURS);
	rig_end(&r);
}

/* ---- the peer's direction: (a) --------------------------------------------------------------- */

Test(anchor, equal_acks)
{
	struct rig r = rig_new();

	give_peers(&r, 99000, -200, 0, 200);
	give_ours(&r, 99500, 0, 0, 0);
	ask(&r);
	give_ours(&r, 100400, 0, 0, 500);
	found(&r, ANCHOR_PEERS);
	cr_expect_eq(r.news.at[ANCHOR_PEERS].off, 3000);
	rig_end(&r);
}

Test(anchor, next_request_stands_at_the_last_ack)
{
	struct rig r = rig_new();

	give_peers(&r, 99000, -200, -300, 200);
	give_ours(&r, 99500, -300, 0, 300);
	ask_with(&r, 300, 0, true);
	give_peers(&r, 100400, 0, 0, 0);
	not_found(&r, ANCHOR_PEERS);
	give_peers(&r, 100500, 0, 0, 200);
	found(&r, ANCHOR_PEERS);
	rig_end(&r);
}

/* The ACK of the last packet is older than what was read. */
Test(anchor, different_acks)
{
	struct rig r = rig_new();

	give_ours(&r, 98000, -300, -200, 300);
	give_peers(&r, 99000, -200, 0, 200);
	ask(&r);
	give_ours(&r, 100400, 0, 0, 500);
	found(&r, ANCHOR_OURS);
	not_found(&r, ANCHOR_PEERS);
	rig_end(&r);
}

/* Data had come by t1, and who knows whether before or after R was taken. */
Test(anchor, data_within_the_position)
{
	struct rig r = rig_new();

	give_ours(&r, 98000, 0, 0, 0);
	ask(&r);
	give_peers(&r, 100004, 0, 0, 200);
	give_peers(&r, 100200, 200, 0, 200);
	give_ours(&r, 100400, 0, 0, 500); /* made before the kernel saw them */
	found(&r, ANCHOR_OURS);
	not_found(&r, ANCHOR_PEERS);
	rig_end(&r);
}

/* Stamped before t0, processed after it: it stands ahead of the last ACK. */
Test(anchor, data_that_was_not_processed)
{
	struct rig r = rig_new();

	give_ours(&r, 98000, 0, 0, 0);
	give_peers(&r, 99999, 0, 0, 200);
	ask(&r);
	give_peers(&r, 100100, 200, 0, 200);
	give_ours(&r, 100400, 0, 400, 500);
	found(&r, ANCHOR_OURS);
	not_found(&r, ANCHOR_PEERS);
	rig_end(&r);
}

Test(anchor, bytes_wait_to_be_read)
{
	struct rig r = rig_new();

	give_peers(&r, 98000, 0, 0, 200);
	give_ours(&r, 98100, 0, 200, 0);
	ask_with(&r, 0, 200, true);
	give_ours(&r, 100400, 0, 200, 500);
	found(&r, ANCHOR_OURS);
	not_found(&r, ANCHOR_PEERS);
	rig_end(&r);
}

Test(anchor, not_read_to_the_end)
{
	struct rig r = rig_new();

	give_ours(&r, 98100, 0, 0, 0);
	ask_with(&r, 0, 0, false);
	give_peers(&r, 100300, 0, 0, 200);
	give_ours(&r, 100400, 0, 0, 500);
	found(&r, ANCHOR_OURS);
	not_found(&r, ANCHOR_PEERS);
	rig_end(&r);
}

/* The first of the next request's packets was lost on its way: the second stands further on. */
Test(anchor, next_request_without_its_first_packet)
{
	struct rig r = rig_new();

	give_ours(&r, 98100, 0, 0, 0);
	ask(&r);
	give_peers(&r, 100300, 1448, 0, 200);
	give_ours(&r, 100310, 0, 0, 0);
	give_peers(&r, 300000, 0, 0, 1448);
	give_ours(&r, 300400, 0, 1648, 500);
	found(&r, ANCHOR_OURS);
	not_found(&r, ANCHOR_PEERS);
	rig_end(&r);
}

/* The peer's end took a number: the next ACK is one beyond its last byte. */
Test(anchor, end_of_the_peer)
{
	struct rig r = rig_new();
	struct anchor_packet fin = peers(98000, 0, 0, 0);

	fin.flags |= TCP_FIN;
	give_ours(&r, 97000, 0, 0, 0);
	give(&r, &fin);
	ask(&r);
	give_ours(&r, 100400, 0, 1, 500);
	not_found(&r, ANCHOR_PEERS);
	rig_end(&r);
}

/* ---- the peer's direction: (b) --------------------------------------------------------------- */

Test(anchor, quiet_and_we_speak_first)
{
	struct rig r = rig_new();

	ask(&r);
	give_ours(&r, 100400, 0, 0, 500);
	found(&r, ANCHOR_OURS);
	found(&r, ANCHOR_PEERS);
	rig_end(&r);
}

Test(anchor, quiet_and_the_peer_speaks_first)
{
	struct rig r = rig_new();

	ask(&r);
	give_peers(&r, 100200, 0, 0, 1448);
	give_peers(&r, 100210, 1448, 0, 200);
	give_ours(&r, 100250, 0, 1648, 0);
	not_found(&r, ANCHOR_PEERS);
	give_ours(&r, 100400, 0, 1648, 500);
	found(&r, ANCHOR_OURS);
	found(&r, ANCHOR_PEERS);
	cr_expect_eq(r.news.at[ANCHOR_PEERS].off, 3000);
	rig_end(&r);
}

static const uint64_t margin_us = ANCHOR_MARGIN_NS / 1000;

Test(anchor, a_packet_in_the_margin)
{
	static const uint64_t close[] = {99999, BEFORE - 50000, BEFORE, 100005, AFTER};

	for (unsigned i = 0; i < ARRAY_LEN(close); i++) {
		struct rig r = rig_new();

		ask(&r);
		give_peers(&r, close[i], 0, 0, 0); /* an ACK is enough */
		give_ours(&r, 100400, 0, 0, 500);
		found(&r, ANCHOR_OURS);
		not_found(&r, ANCHOR_PEERS);
		rig_end(&r);
	}
	cr_assert_eq(margin_us, 50000);
}

Test(anchor, a_packet_before_the_margin)
{
	struct rig r = rig_new();

	give_peers(&r, BEFORE - 50001, -200, 0, 200);
	ask(&r);
	give_ours(&r, 100400, 0, 0, 500);
	found(&r, ANCHOR_PEERS);
	rig_end(&r);
}

/* The capture is younger than the margin: nobody knows whether it was quiet. */
Test(anchor, margin_reaches_before_the_capture)
{
	struct rig r = {.a = anchor_new(at(BEFORE - 50000))};

	ask(&r);
	give_ours(&r, 100400, 0, 0, 500);
	found(&r, ANCHOR_OURS);
	not_found(&r, ANCHOR_PEERS);
	rig_end(&r);
	r = (struct rig){.a = anchor_new(at(BEFORE))};
	ask(&r);
	give_ours(&r, 100400, 0, 0, 500);
	not_found(&r, ANCHOR_OURS); /* nor what came just before it */
	rig_end(&r);
}

/* The request after the next, in front of which one was pipelined: it does not acknowledge S. */
Test(anchor, peer_has_not_seen_all)
{
	struct rig r = rig_new();

	ask(&r);
	give_peers(&r, 100200, 300, -500, 300);
	give_ours(&r, 100400, 0, 600, 500);
	found(&r, ANCHOR_OURS);
	not_found(&r, ANCHOR_PEERS);
	rig_end(&r);
}

/* Reordered: the second packet comes first; or it comes alone, and the first by retransmission. */
Test(anchor, peer_begins_with_its_second_packet)
{
	struct rig r = rig_new();

	ask(&r);
	give_peers(&r, 100200, 1448, 0, 200);
	give_peers(&r, 100300, 0, 0, 1448);
	give_ours(&r, 100400, 0, 1648, 500);
	found(&r, ANCHOR_OURS);
	not_found(&r, ANCHOR_PEERS);
	rig_end(&r);
	r = rig_new(); /* ours acknowledges below it */
	ask(&r);
	give_peers(&r, 100200, 1448, 0, 200);
	give_ours(&r, 100210, 0, 0, 0);
	give_ours(&r, 100400, 0, 1648, 500);
	not_found(&r, ANCHOR_PEERS);
	rig_end(&r);
	r = rig_new(); /* or nothing of it at all */
	ask(&r);
	give_peers(&r, 100200, 1448, 0, 200);
	give_ours(&r, 100400, 0, 0, 500);
	not_found(&r, ANCHOR_PEERS);
	rig_end(&r);
}

/* Our last ACK was lost, and the peer sends again, long after, what has been read. */
Test(anchor, peer_repeats_itself)
{
	struct rig r = rig_new();
	struct anchor_packet answer = ours(100210, 0, 0, 0);

	ask(&r);
	give_peers(&r, 100200, -200, 0, 200);
	answer.is_dsack = true;
	give(&r, &answer);
	give_peers(&r, 100300, 0, 0, 300);
	give_ours(&r, 100400, 0, 300, 500);
	found(&r, ANCHOR_OURS);
	not_found(&r, ANCHOR_PEERS);
	rig_end(&r);
	r = rig_new(); /* what we acknowledged long ago tells it too */
	give_ours(&r, 1000, -10, 0, 10);
	ask(&r);
	give_peers(&r, 100200, -200, 0, 200);
	give_ours(&r, 100400, 0, 0, 500);
	found(&r, ANCHOR_PEERS); /* by (a), and from the right place */
	rig_end(&r);
}

/* A keep-alive repeats one byte. */
Test(anchor, keep_alive_of_the_peer)
{
	struct rig r = rig_new();

	ask(&r);
	give_peers(&r, 100200, -1, 0, 1);
	give_ours(&r, 100400, 0, 0, 500);
	found(&r, ANCHOR_OURS);
	not_found(&r, ANCHOR_PEERS);
	rig_end(&r);
}
