/*
 * flow_bench.h -- segments made by hand for tests of the flow table: one connection between `client`
 * and `server`, frame n stamped n ms.
 */
#ifndef TESTS_UNIT_TRACE_FLOW_BENCH_H
#define TESTS_UNIT_TRACE_FLOW_BENCH_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/flow.h"

#define MS NS_PER_MS
#define S  TCP_SYN
#define A  TCP_ACK
#define P  (TCP_PSH | TCP_ACK)
#define F  (TCP_FIN | TCP_ACK)
#define R  TCP_RST

static const struct addr client = {.ip = {192, 0, 2, 1}, .port = 40000, .family = ADDR_IP4};
static const struct addr server = {.ip = {198, 51, 100, 7}, .port = 80, .family = ADDR_IP4};

/* A table and the number of the newest frame; frame n is stamped n ms. */
struct bench {
	struct flow_table *t;
	uint32_t frame;
	uint32_t iface;
	uint32_t device;
	uint8_t wscale;
	uint16_t window;
	uint16_t urgent;
	uint32_t sack[2]; /* both 0: none */
	struct flow_place place;
};

static inline struct bench bench_new(void)
{
	struct bench b = {.t = flow_table_new(), .wscale = SEGMENT_NO_WSCALE, .window = 500};

	cr_assert_not_null(b.t);
	return b;
}

static inline struct segment segment_of(const struct bench *b, const struct addr *src,
					const struct addr *dst, unsigned flags, uint32_t seq,
					uint32_t ack, uint32_t len)
{
	return (struct segment){
		.ts_ns = b->frame * MS,
		.frame = b->frame,
		.iface = b->iface,
		.device = b->device,
		.src = *src,
		.dst = *dst,
		.seq = seq,
		.ack = ack,
		.window = b->window,
		.flags = (uint8_t)flags,
		.ip_id = b->frame,
		.urgent = b->urgent,
		.wscale = b->wscale,
		.sack_count = b->sack[1] != 0,
		.sack = {{b->sack[0], b->sack[1]}},
		.payload_len = len,
	};
}

static inline struct flow *put(struct bench *b, const struct addr *src, const struct addr *dst,
			       unsigned flags, uint32_t seq, uint32_t ack, uint32_t len)
{
	struct segment seg;

	b->frame++;
	seg = segment_of(b, src, dst, flags, seq, ack, len);
	cr_assert(flow_table_add(b->t, &seg, &b->place));
	cr_assert_not_null(b->place.flow);
	return b->place.flow;
}

static inline struct flow *up(struct bench *b, unsigned flags, uint32_t seq, uint32_t ack,
			      uint32_t len)
{
	return put(b, &client, &server, flags, seq, ack, len);
}

static inline struct flow *down(struct bench *b, unsigned flags, uint32_t seq, uint32_t ack,
				uint32_t len)
{
	return put(b, &server, &client, flags, seq, ack, len);
}

static inline void expect_history(const struct flow *f, const char *want)
{
	cr_expect_eq(f->history_len, strlen(want), "%.*s, not %s", f->history_len, f->history,
		     want);
	cr_expect_arr_eq(f->history, want, f->history_len, "%.*s, not %s", f->history_len,
			 f->history, want);
}

#endif
