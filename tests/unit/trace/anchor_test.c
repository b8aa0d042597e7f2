/*
 * anchor_test.c -- what proves a position and what does not: each rule of anchor.h, and each trap
 * that a rule exists for.
 *
 * The connection stands at S = 5000 sent and R = 3000 read, which are the numbers SENT and READ.
 * Times are microseconds; the position is taken from 100000 to 100010.
 */
#include "trace/anchor.h"

#include <criterion/criterion.h>

#include "trace/packet.h"

#define T0     1700000000000000000ULL
#define SENT   0xfffff000U /* wraps soon */
#define READ   77000U
#define BEFORE 100000U
#define AFTER  100010U

struct rig {
	struct anchor *a;
	struct anchor_news news; /* of all packets so far */
	unsigned told[ANCHOR_WAYS];
};

static uint64_t at(uint64_t us)
{
	return T0 + us * 1000;
}

static struct rig rig_new(void)
{
	struct rig r = {.a = anchor_new(at(0))};

	cr_assert_not_null(r.a);
	return r;
}

static void give(struct rig *r, const struct anchor_packet *p)
{
	struct anchor_news news;
	bool any = anchor_packet(r->a, p, &news);
	bool changed = false;

	for (unsigned w = 0; w < ANCHOR_WAYS; w++) {
		if (news.change[w] == ANCHOR_NOTHING)
			continue;
		changed = true;
		r->told[w]++;
		r->news.change[w] = news.change[w];
		r->news.at[w] = news.at[w];
	}
	cr_expect_eq(any, changed);
}

/* Numbers are told from SENT and READ: the bytes that were sent and read at the position. */
static struct anchor_packet ours(uint64_t us, int32_t seq, int32_t ack, uint32_t len)
{
	return (struct anchor_packet){.ts_ns = at(us),
				      .seq = SENT + (uint32_t)seq,
				      .ack = READ + (uint32_t)ack,
				      .len = len,
				      .flags = TCP_ACK,
				      .is_ours = true};
}

static struct anchor_packet peers(uint64_t us, int32_t seq, int32_t ack, uint32_t len)
{
	return (struct anchor_packet){.ts_ns = at(us),
				      .seq = READ + (uint32_t)seq,
				      .ack = SENT + (uint32_t)ack,
				      .len = len,
				      .flags = TCP_ACK};
}

static void give_ours(struct rig *r, uint64_t us, int32_t seq, int32_t ack, uint32_t len)
{
	struct anchor_packet p = ours(us, seq, ack, len);

	give(r, &p);
}

static void give_peers(struct rig *r, uint64_t us, int32_t seq, int32_t ack, uint32_t len)
{
	struct anchor_packet p = peers(us, seq, ack, len);

	give(r, &p);
}

static struct anchor_position position(void)
{
	return (struct anchor_position){.before_ns = at(BEFORE),
					.after_ns = at(AFTER),
					.sent_off = 5000,
					.read_off = 3000,
					.drained = true};
}

static void ask(struct rig *r)
{
	struct anchor_position p = position();

	anchor_position(r->a, &p);
}

static void ask_with(struct rig *r, uint32_t outq, uint32_t inq, bool drained)
{
	struct anchor_position p = position();

	p.outq = outq;
	p.inq = inq;
	p.drained = drained;
	anchor_position(r->a, &p);
}

/* A later one, by the same count of bytes sent and read since. */
static void ask_again(struct rig *r, uint64_t us, uint64_t sent, uint64_t read)
{
	struct anchor_position p = position();

	p.before_ns = at(us);
	p.after_ns = at(us + 10);
	p.sent_off += sent;
	p.read_off += read;
	anchor_position(r->a, &p);
}

static void found(const struct rig *r, enum anchor_way way)
{
	uint32_t base = way == ANCHOR_OURS ? SENT - 5000U : READ - 3000U;

	cr_assert_eq(r->news.change[way], ANCHOR_FOUND, "way %d: not found", way);
	cr_expect_eq(r->news.at[way].seq - (uint32_t)r->news.at[way].off, base,
		     "way %d: seq %u is not at %llu", way, r->news.at[way].seq,
		     (unsigned long long)r->news.at[way].off);
}

static void not_found(const struct rig *r, enum anchor_way way)
{
	cr_expect_eq(r->told[way], 0, "way %d: found, %u at %llu", way, r->news.at[way].seq,
		     (unsigned long long)r->news.at[way].off);
}

static void rig_end(struct rig *r)
{
	anchor_free(r->a);
}

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
