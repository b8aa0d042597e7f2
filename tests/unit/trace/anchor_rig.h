/*
 * anchor_rig.h -- packets and positions made by hand for the tests of anchor.c.
 *
 * The connection stands at S = 5000 sent and R = 3000 read, which are the numbers SENT and READ.
 * Times are microseconds; the position is taken from 100000 to 100010.
 */
#ifndef TESTS_UNIT_TRACE_ANCHOR_RIG_H
#define TESTS_UNIT_TRACE_ANCHOR_RIG_H

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

static inline uint64_t at(uint64_t us)
{
	return T0 + us * 1000;
}

static inline struct rig rig_new(void)
{
	struct rig r = {.a = anchor_new(at(0))};

	cr_assert_not_null(r.a);
	return r;
}

static inline void give(struct rig *r, const struct anchor_packet *p)
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
static inline struct anchor_packet ours(uint64_t us, int32_t seq, int32_t ack, uint32_t len)
{
	return (struct anchor_packet){.ts_ns = at(us),
				      .seq = SENT + (uint32_t)seq,
				      .ack = READ + (uint32_t)ack,
				      .len = len,
				      .flags = TCP_ACK,
				      .is_ours = true};
}

static inline struct anchor_packet peers(uint64_t us, int32_t seq, int32_t ack, uint32_t len)
{
	return (struct anchor_packet){.ts_ns = at(us),
				      .seq = READ + (uint32_t)seq,
				      .ack = SENT + (uint32_t)ack,
				      .len = len,
				      .flags = TCP_ACK};
}

static inline void give_ours(struct rig *r, uint64_t us, int32_t seq, int32_t ack, uint32_t len)
{
	struct anchor_packet p = ours(us, seq, ack, len);

	give(r, &p);
}

static inline void give_peers(struct rig *r, uint64_t us, int32_t seq, int32_t ack, uint32_t len)
{
	struct anchor_packet p = peers(us, seq, ack, len);

	give(r, &p);
}

static inline struct anchor_position position(void)
{
	return (struct anchor_position){.before_ns = at(BEFORE),
					.after_ns = at(AFTER),
					.sent_off = 5000,
					.read_off = 3000,
					.drained = true};
}

static inline void ask(struct rig *r)
{
	struct anchor_position p = position();

	anchor_position(r->a, &p);
}

static inline void ask_with(struct rig *r, uint32_t outq, uint32_t inq, bool drained)
{
	struct anchor_position p = position();

	p.outq = outq;
	p.inq = inq;
	p.drained = drained;
	anchor_position(r->a, &p);
}

/* A later one, by the same count of bytes sent and read since. */
static inline void ask_again(struct rig *r, uint64_t us, uint64_t sent, uint64_t read)
{
	struct anchor_position p = position();

	p.before_ns = at(us);
	p.after_ns = at(us + 10);
	p.sent_off += sent;
	p.read_off += read;
	anchor_position(r->a, &p);
}

static inline void found(const struct rig *r, enum anchor_way way)
{
	uint32_t base = way == ANCHOR_OURS ? SENT - 5000U : READ - 3000U;

	cr_assert_eq(r->news.change[way], ANCHOR_FOUND, "way %d: not found", way);
	cr_expect_eq(r->news.at[way].seq - (uint32_t)r->news.at[way].off, base,
		     "way %d: seq %u is not at %llu", way, r->news.at[way].seq,
		     (unsigned long long)r->news.at[way].off);
}

static inline void not_found(const struct rig *r, enum anchor_way way)
{
	cr_expect_eq(r->told[way], 0, "way %d: found, %u at %llu", way, r->news.at[way].seq,
		     (unsigned long long)r->news.at[way].off);
}

static inline void rig_end(struct rig *r)
{
	anchor_free(r->a);
}

#endif
