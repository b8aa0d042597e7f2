/*
 * anchor_several_test.c -- positions that agree, contradict each other or come too late, and packets
 * that cannot be relied on.
 */
#include "tests/unit/trace/anchor_rig.h"

/* ---- several positions ----------------------------------------------------------------------- */

Test(anchor, two_that_agree)
{
	struct rig r = rig_new();

	ask(&r);
	give_ours(&r, 100400, 0, 0, 500);
	found(&r, ANCHOR_PEERS);
	cr_expect(!anchor_is_done(r.a));
	give_peers(&r, 101000, 0, 500, 300);
	give_ours(&r, 101100, 500, 300, 0);
	ask_again(&r, 102000, 500, 300);
	give_ours(&r, 103000, 500, 300, 500);
	cr_expect(anchor_is_done(r.a));
	cr_expect(r.told[ANCHOR_OURS] == 1 && r.told[ANCHOR_PEERS] == 1);
	rig_end(&r);
}

/* The same place twice is one proof, not two. */
Test(anchor, same_position_twice)
{
	struct rig r = rig_new();

	ask(&r);
	ask_again(&r, 100100, 0, 0);
	give_ours(&r, 100400, 0, 0, 500);
	found(&r, ANCHOR_OURS);
	cr_expect(!anchor_is_done(r.a));
	rig_end(&r);
}

Test(anchor, two_that_contradict_each_other)
{
	struct rig r = rig_new();

	ask(&r);
	give_ours(&r, 100400, 0, 0, 500);
	give_peers(&r, 101000, 0, 500, 300);
	give_ours(&r, 101100, 500, 300, 0);
	ask_again(&r, 102000, 501, 299);
	give_ours(&r, 103000, 500, 300, 500);
	cr_expect_eq(r.news.change[ANCHOR_OURS], ANCHOR_WITHDRAWN);
	cr_expect_eq(r.news.change[ANCHOR_PEERS], ANCHOR_WITHDRAWN);
	cr_expect(anchor_is_done(r.a));
	/* For good. */
	ask_again(&r, 200000, 1000, 300);
	give_ours(&r, 300000, 1000, 300, 500);
	cr_expect(r.told[ANCHOR_OURS] == 2 && r.told[ANCHOR_PEERS] == 2);
	rig_end(&r);
}

Test(anchor, more_positions_than_are_kept)
{
	struct rig r = rig_new();

	for (unsigned i = 0; i < 20; i++)
		ask_again(&r, 60000 + 1000 * i, 0, 0);
	give_ours(&r, 100400, 0, 0, 500);
	found(&r, ANCHOR_OURS);
	found(&r, ANCHOR_PEERS);
	rig_end(&r);
}

/* ---- what makes the packets useless ---------------------------------------------------------- */

Test(anchor, packets_were_lost)
{
	struct rig r = rig_new();

	ask(&r);
	anchor_lost(r.a, at(100200));
	give_ours(&r, 100400, 0, 0, 500);
	not_found(&r, ANCHOR_OURS);
	not_found(&r, ANCHOR_PEERS);
	ask(&r); /* told late: it is from before the loss */
	give_ours(&r, 100500, 500, 0, 500);
	not_found(&r, ANCHOR_OURS);
	ask_again(&r, 100600, 1000, 0);
	give_ours(&r, 100700, 1000, 0, 500);
	found(&r, ANCHOR_OURS);
	found(&r, ANCHOR_PEERS); /* by (a): both ACKs came after the loss */
	cr_expect_eq(r.news.at[ANCHOR_OURS].off, 6000);
	rig_end(&r);
	r = rig_new(); /* the margin reaches into the loss, and the ACK from before it is void */
	give_ours(&r, 90000, -100, 0, 100);
	anchor_lost(r.a, at(99000));
	ask(&r);
	give_ours(&r, 100700, 0, 0, 500);
	found(&r, ANCHOR_OURS);
	not_found(&r, ANCHOR_PEERS);
	rig_end(&r);
}

/* Neither a RST's numbers nor those of a SYN tell where a connection stands. */
Test(anchor, resets_do_not_count)
{
	struct rig r = rig_new();
	struct anchor_packet p = ours(100200, 700, 0, 10);

	ask(&r);
	p.flags = TCP_RST;
	give(&r, &p);
	p.flags = TCP_SYN;
	give(&r, &p);
	not_found(&r, ANCHOR_OURS);
	give_ours(&r, 100400, 0, 0, 500);
	found(&r, ANCHOR_OURS);
	found(&r, ANCHOR_PEERS);
	rig_end(&r);
}

Test(anchor, packets_out_of_order)
{
	struct rig r = rig_new();

	ask(&r);
	give_peers(&r, 100300, 0, 0, 0);
	give_peers(&r, 100200, 0, 0, 200);
	give_ours(&r, 100400, 0, 0, 500);
	not_found(&r, ANCHOR_OURS);
	not_found(&r, ANCHOR_PEERS);
	rig_end(&r);
}

/* More packets after the position than are remembered, before it was told. */
Test(anchor, position_comes_too_late)
{
	struct rig r = rig_new();

	for (unsigned i = 0; i < 100; i++)
		give_ours(&r, 100400 + i, (int32_t)(100 * i), 0, 100);
	ask(&r);
	give_ours(&r, 200000, 10000, 0, 100);
	not_found(&r, ANCHOR_OURS);
	not_found(&r, ANCHOR_PEERS);
	rig_end(&r);
}

/* What came long before is remembered by its highest numbers. */
Test(anchor, many_packets_before)
{
	struct rig r = rig_new();

	for (unsigned i = 0; i < 100; i++) {
		give_peers(&r, 100 + 20 * i, -(int32_t)(100 * (100 - i)), 0, 100);
		give_ours(&r, 110 + 20 * i, 0, -(int32_t)(100 * (99 - i)), 0);
	}
	for (unsigned i = 0; i < 40; i++)
		give_peers(&r, 99000 + i, 0, 0, 0);
	ask(&r);
	give_ours(&r, 100400, 0, 0, 500);
	found(&r, ANCHOR_OURS);
	found(&r, ANCHOR_PEERS);
	rig_end(&r);
}

Test(anchor, many_packets_after)
{
	struct rig r = rig_new();

	ask(&r);
	for (unsigned i = 0; i < 100; i++) {
		give_peers(&r, 100400 + 20 * i, (int32_t)(100 * i), 0, 100);
		give_ours(&r, 100410 + 20 * i, 0, (int32_t)(100 * (i + 1)), 0);
	}
	give_ours(&r, 200000, 0, 10000, 500);
	found(&r, ANCHOR_OURS);
	found(&r, ANCHOR_PEERS);
	rig_end(&r);
}

Test(anchor, a_way_that_a_syn_told)
{
	struct rig r = rig_new();

	anchor_know(r.a, ANCHOR_OURS);
	ask(&r);
	give_ours(&r, 100400, 0, 0, 500);
	not_found(&r, ANCHOR_OURS);
	found(&r, ANCHOR_PEERS);
	anchor_know(r.a, ANCHOR_PEERS);
	cr_expect(anchor_is_done(r.a));
	rig_end(&r);
}
