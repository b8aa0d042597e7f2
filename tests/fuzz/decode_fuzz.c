/*
 * decode_fuzz.c -- any packets of any link layer, decoded and followed.
 *
 * Input: a byte for the link layer, then packets: two bytes of length, one of what was cut off, one
 * for the interface and the time that passed, the bytes. Whatever they say, a segment stays inside
 * its packet, and what streams tell of ranges adds up.
 */
// links: trace
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cursor.h"
#include "trace/decode_layers.h"
#include "trace/decode_plain.h"
#include "trace/flow.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint32_t links[] = {LINK_ETHERNET, LINK_NULL, LINK_LOOP, LINK_RAW, LINK_SLL,
				 LINK_SLL2,     LINK_IPV4, LINK_IPV6, 147};

static void check_segment(const struct packet *p, const struct segment *seg)
{
	uint32_t sum = 0;

	assert(seg->payload_off <= p->cap_len);
	for (uint32_t i = 0; i < seg->payload_captured; i++)
		sum += seg->payload[i]; /* all of them may be read */
	assert(sum <= seg->payload_captured * 255U);
	if (seg->payload >= p->bytes && seg->payload <= p->bytes + p->cap_len)
		assert(seg->payload == p->bytes + seg->payload_off &&
		       seg->payload_captured <= p->cap_len - seg->payload_off);
	assert(seg->payload_captured <= seg->payload_len);
	assert(seg->payload_framed <= seg->payload_len);
	assert(seg->payload_captured <= seg->payload_framed);
	assert(seg->payload_len <= 1U << 30);
	assert(seg->sack_count <= SEGMENT_SACKS_MAX);
	assert(seg->src.family == seg->dst.family || seg->src.family == ADDR_IP6 ||
	       seg->dst.family == ADDR_IP6); /* one of them may be IPv4-mapped */
	assert(seg->src.family != ADDR_NONE && seg->dst.family != ADDR_NONE);
	assert(seg->src.zero == 0 && seg->dst.zero == 0);
}

static bool same_bytes(const void *a, const void *b, size_t len)
{
	return memcmp(a, b, len) == 0;
}

/* What is read in one go is what the walk makes of it. */
static void check_plain(const struct packet *p)
{
	struct segment plain, walked;

	memset(&plain, 0xff, sizeof(plain));
	memset(&walked, 0xff, sizeof(walked));
	if (!decode_plain(p, &plain))
		return;
	assert(decode_walk(NULL, p, &walked) == DECODE_TCP);
	assert(same_bytes(&plain, &walked, sizeof(plain)));
}

static void check_place(const struct segment *seg, const struct flow_place *place)
{
	const struct flow *f = place->flow;

	assert(f != NULL && place->from < 2);
	assert(addr_equal(&f->side[place->from].addr, &seg->src));
	assert(addr_equal(&f->side[1 - place->from].addr, &seg->dst));
	assert((uint64_t)place->data.new_bytes + place->data.old_bytes <= seg->payload_len);
	assert(place->acked_from <= place->acked_past);
	assert(!place->copy || (!place->fresh && place->data.new_bytes == 0));
	assert(f->history_len <= sizeof(f->history));
	assert(f->packets > 0 && f->first_ns <= f->last_ns);
	assert((f->how == FLOW_OPEN) == (f->side[0].fin_frame == 0 && f->side[1].fin_frame == 0 &&
					 f->side[0].rst_frame == 0 && f->side[1].rst_frame == 0));
}

static void check_stream(const struct stream *s)
{
	const struct byte_range range = {0, 100000};
	struct stream_range r = {0};

	stream_query(s, &range, UINT64_MAX, &r);
	assert(r.known == stream_anchored(s));
	assert(r.missing_bytes <= 100000);
	assert((r.carried.count > 0) == (r.known && r.missing_bytes < 100000));
	assert((r.repeated.count > 0) == (r.repeated_bytes > 0));
	for (uint32_t i = 1; i < r.carried.count; i++)
		assert(r.carried.frames[i - 1] < r.carried.frames[i]);
	for (uint32_t i = 1; i < r.repeated.count; i++)
		assert(r.repeated.frames[i - 1] < r.repeated.frames[i]);
	assert((r.acked_frame != 0) == (stream_acked_ns(s, 100000) != 0));
	stream_range_fini(&r);
}

static bool check_flow(struct flow *f, void *arg)
{
	check_stream(f->side[0].stream);
	check_stream(f->side[1].stream);
	if (f->number % 2)
		flow_table_remove(arg, f);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct flow_table *t = flow_table_new();
	struct fragments *fragments = fragments_new();
	struct cursor c = cursor_of(data, size);
	struct packet p = {.ts_ns = 1, .link = links[cursor_u8(&c) % ARRAY_LEN(links)]};

	assert(t != NULL && fragments != NULL);
	while (cursor_left(&c) > 4) {
		struct flow_place place;
		enum decode_result result;
		struct segment seg;
		uint8_t iface_time;

		p.cap_len = cursor_be16(&c) % 2048U;
		p.wire_len = cursor_u8(&c) * 16U;
		iface_time = cursor_u8(&c);
		p.iface = iface_time & 3;
		p.ts_ns += (iface_time >> 2) * 100000ULL;
		p.cap_len = (uint32_t)MIN(p.cap_len, cursor_left(&c));
		p.wire_len += p.cap_len;
		p.bytes = cursor_take(&c, p.cap_len);
		p.frame++;
		check_plain(&p);
		result = decode_next(fragments, &p, &seg);
		if (result == DECODE_HEADER)
			assert(flow_table_note(t, &seg) <= p.frame);
		if (result != DECODE_TCP)
			continue;
		check_segment(&p, &seg);
		assert(flow_table_add(t, &seg, &place));
		check_place(&seg, &place);
		if (p.frame % 16 == 0)
			flow_table_visit(t, check_flow, t);
	}
	flow_table_visit(t, check_flow, t);
	flow_table_free(t);
	fragments_free(fragments);
	return 0;
}
