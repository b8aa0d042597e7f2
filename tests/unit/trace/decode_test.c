/*
 * decode_test.c -- packets of every link layer with every field asserted, the same packets cut at
 * every length at the end of a page, and lengths that contradict each other.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/guarded.h"
#include "tests/unit/trace/decode_packets.h"
#include "trace/decode.h"

#define IP4_A                                                           \
	{                                                               \
		.ip = {192, 0, 2, 1}, .port = 40000, .family = ADDR_IP4 \
	}
#define IP4_B                                                           \
	{                                                               \
		.ip = {198, 51, 100, 7}, .port = 80, .family = ADDR_IP4 \
	}
#define IP6_A                                                                            \
	{                                                                                \
		.ip = {0x20, 1, 0x0d, 0xb8, [15] = 1}, .port = 40000, .family = ADDR_IP6 \
	}
#define IP6_B                                                                         \
	{                                                                             \
		.ip = {0x20, 1, 0x0d, 0xb8, [15] = 7}, .port = 80, .family = ADDR_IP6 \
	}

/* seq 5, ack 6, PA, 18 bytes: over IPv4 without, over IPv6 with time stamps. */
#define PLAIN_IP4(off)                                                                     \
	{                                                                                  \
		.src = IP4_A, .dst = IP4_B, .seq = 5, .ack = 6, .window = 502,             \
		.flags = TCP_PSH | TCP_ACK, .ttl = 64, .ip_id = 0x1234,                    \
		.wscale = SEGMENT_NO_WSCALE, .payload_off = (off), .payload_captured = 18, \
		.payload_len = 18,                                                         \
	}
#define DATA_IP6(off, ...)                                                                      \
	{                                                                                       \
		.src = IP6_A, .dst = IP6_B, .seq = 5, .ack = 6, .window = 502,                  \
		.flags = TCP_PSH | TCP_ACK, .ttl = 64, .wscale = SEGMENT_NO_WSCALE,             \
		.has_ts = true, .tsval = 0x01020304, .tsecr = 0x05060708, .payload_off = (off), \
		.payload_captured = 18, .payload_len = 18, __VA_ARGS__                          \
	}

struct sample {
	const char *name;
	const uint8_t *bytes;
	uint32_t len;
	uint32_t wire_len; /* 0: len */
	uint32_t link;
	uint32_t tcp_len; /* bytes up to the end of the TCP header */
	enum decode_result result;
	struct segment seg;
};

#define SAMPLE(bytes_, link_, headers_, ...)                                              \
	{                                                                                 \
		.name = #bytes_, .bytes = bytes_, .len = sizeof(bytes_), .link = (link_), \
		.tcp_len = (headers_), .result = DECODE_TCP, .seg = __VA_ARGS__,          \
	}
#define REFUSED(bytes_, link_, result_)                                                   \
	{                                                                                 \
		.name = #bytes_, .bytes = bytes_, .len = sizeof(bytes_), .link = (link_), \
		.result = (result_),                                                      \
	}

static const struct sample samples[] = {
	SAMPLE(ethernet_syn, LINK_ETHERNET, 74,
	       {.src = IP4_A,
		.dst = IP4_B,
		.seq = 0xfffffff0,
		.window = 65535,
		.flags = TCP_SYN,
		.ttl = 64,
		.ip_id = 0x1234,
		.mss = 1460,
		.wscale = 7,
		.has_ts = true,
		.tsval = 1000,
		.payload_off = 74}),
	SAMPLE(ethernet_data, LINK_ETHERNET, 66,
	       {.src = IP4_A,
		.dst = IP4_B,
		.seq = 0xfffffff1,
		.ack = 0x11223344,
		.window = 502,
		.flags = TCP_PSH | TCP_ACK,
		.ttl = 64,
		.ip_id = 0x1234,
		.wscale = SEGMENT_NO_WSCALE,
		.has_ts = true,
		.tsval = 0x01020304,
		.tsecr = 0x05060708,
		.payload_off = 66,
		.payload_captured = 18,
		.payload_len = 18}),
	/* six bytes of padding are no payload */
	SAMPLE(ethernet_padded_ack, LINK_ETHERNET, 54,
	       {.src = IP4_A,
		.dst = IP4_B,
		.seq = 5,
		.ack = 6,
		.window = 502,
		.flags = TCP_ACK,
		.ttl = 64,
		.ip_id = 0x1234,
		.wscale = SEGMENT_NO_WSCALE,
		.payload_off = 54}),
	SAMPLE(ethernet_sack, LINK_ETHERNET, 86,
	       {.src = IP4_A,
		.dst = IP4_B,
		.seq = 1,
		.ack = 0x11223344,
		.window = 502,
		.flags = TCP_ACK,
		.ttl = 64,
		.ip_id = 0x1234,
		.wscale = SEGMENT_NO_WSCALE,
		.sack_count = 2,
		.sack = {{100, 200}, {300, 400}},
		.has_ts = true,
		.tsval = 7,
		.tsecr = 8,
		.payload_off = 86}),
	SAMPLE(ethernet_all_flags, LINK_ETHERNET, 54,
	       {.src = IP4_A,
		.dst = IP4_B,
		.seq = 1,
		.ack = 2,
		.window = 9,
		.flags = 0xff,
		.ttl = 64,
		.ip_id = 0x1234,
		.urgent = 1,
		.wscale = SEGMENT_NO_WSCALE,
		.payload_off = 54,
		.payload_captured = 1,
		.payload_len = 1}),
	SAMPLE(ip4_options, LINK_ETHERNET, 58, PLAIN_IP4(58)),
	SAMPLE(vlan, LINK_ETHERNET, 58, PLAIN_IP4(58)),
	SAMPLE(qinq, LINK_ETHERNET, 94, DATA_IP6(94)),
	SAMPLE(snap, LINK_ETHERNET, 62, PLAIN_IP4(62)),
	SAMPLE(sll, LINK_SLL, 56, PLAIN_IP4(56)),
	SAMPLE(sll2, LINK_SLL2, 92, DATA_IP6(92, .device = 3)),
	SAMPLE(null_little, LINK_NULL, 44, PLAIN_IP4(44)),
	SAMPLE(null_big, LINK_NULL, 76, DATA_IP6(76)),
	SAMPLE(loop, LINK_LOOP, 76, DATA_IP6(76)),
	SAMPLE(raw4, LINK_RAW, 40, PLAIN_IP4(40)),
	SAMPLE(raw6, LINK_RAW, 72, DATA_IP6(72)),
	SAMPLE(ipv4, LINK_IPV4, 40, PLAIN_IP4(40)),
	SAMPLE(ipv6, LINK_IPV6, 72, DATA_IP6(72)),
	SAMPLE(ip6_extensions, LINK_IPV6, 96, DATA_IP6(96)),
	SAMPLE(ip6_atomic_fragment, LINK_IPV6, 80, DATA_IP6(80)),
	/* an IPv4-mapped address is the IPv4 address */
	SAMPLE(ip6_mapped, LINK_IPV6, 72,
	       {.src = IP4_A,
		.dst = IP4_B,
		.seq = 5,
		.ack = 6,
		.window = 502,
		.flags = TCP_PSH | TCP_ACK,
		.ttl = 64,
		.wscale = SEGMENT_NO_WSCALE,
		.has_ts = true,
		.tsval = 0x01020304,
		.tsecr = 0x05060708,
		.payload_off = 72,
		.payload_captured = 18,
		.payload_len = 18}),
	/* total length 0: the frame tells */
	SAMPLE(tso_zero_length, LINK_ETHERNET, 54, PLAIN_IP4(54)),
	SAMPLE(auth, LINK_IPV4, 64, PLAIN_IP4(64)),
	/* the jumbo option tells, and only the first 100 bytes of payload were captured */
	{
		.name = "ip6_jumbo",
		.bytes = ip6_jumbo,
		.len = sizeof(ip6_jumbo),
		.wire_len = 40 + 8 + 32 + 70000,
		.link = LINK_IPV6,
		.tcp_len = 80,
		.result = DECODE_TCP,
		.seg = {.src = IP6_A,
			.dst = IP6_B,
			.seq = 5,
			.ack = 6,
			.window = 502,
			.flags = TCP_PSH | TCP_ACK,
			.ttl = 64,
			.wscale = SEGMENT_NO_WSCALE,
			.has_ts = true,
			.tsval = 0x01020304,
			.tsecr = 0x05060708,
			.payload_off = 80,
			.payload_captured = 100,
			.payload_len = 70000},
	},
	REFUSED(ip6_fragment, LINK_IPV6, DECODE_FRAGMENT),
	REFUSED(ip4_first_fragment, LINK_IPV4, DECODE_FRAGMENT),
	REFUSED(ip4_later_fragment, LINK_IPV4, DECODE_FRAGMENT),
	REFUSED(udp, LINK_IPV4, DECODE_OTHER),
	REFUSED(arp, LINK_ETHERNET, DECODE_OTHER),
	REFUSED(ethernet_data, 147, DECODE_OTHER),
};

static struct packet packet_of(const struct sample *s)
{
	return (struct packet){
		.ts_ns = 1700000000123456789,
		.frame = 7,
		.iface = 3,
		.link = s->link,
		.cap_len = s->len,
		.wire_len = s->wire_len != 0 ? s->wire_len : s->len,
		.bytes = s->bytes,
	};
}

static void expect_addr(const char *name, const struct addr *got, const struct addr *want)
{
	cr_expect_arr_eq(got->ip, want->ip, 16, "%s", name);
	cr_expect_eq(got->port, want->port, "%s", name);
	cr_expect_eq(got->family, want->family, "%s", name);
	cr_expect_eq(got->zero, 0, "%s", name);
	cr_expect_eq(got->scope_id, 0, "%s", name);
}

#define EXPECT_FIELD(field)                                                             \
	cr_expect_eq(got->field, want->field, "%s: " #field " is %llu, not %llu", name, \
		     (unsigned long long)got->field, (unsigned long long)want->field)

static void expect_segment(const char *name, const struct segment *got, const struct segment *want)
{
	cr_expect_eq(got->ts_ns, 1700000000123456789, "%s", name);
	cr_expect_eq(got->frame, 7, "%s", name);
	cr_expect_eq(got->iface, 3, "%s", name);
	expect_addr(name, &got->src, &want->src);
	expect_addr(name, &got->dst, &want->dst);
	EXPECT_FIELD(device);
	EXPECT_FIELD(seq);
	EXPECT_FIELD(ack);
	EXPECT_FIELD(window);
	EXPECT_FIELD(flags);
	EXPECT_FIELD(ttl);
	EXPECT_FIELD(ip_id);
	EXPECT_FIELD(urgent);
	EXPECT_FIELD(mss);
	EXPECT_FIELD(wscale);
	EXPECT_FIELD(has_ts);
	EXPECT_FIELD(tsval);
	EXPECT_FIELD(tsecr);
	EXPECT_FIELD(sack_count);
	for (unsigned i = 0; i < want->sack_count; i++) {
		EXPECT_FIELD(sack[i].left);
		EXPECT_FIELD(sack[i].right);
	}
	EXPECT_FIELD(payload_off);
	EXPECT_FIELD(payload_captured);
	EXPECT_FIELD(payload_len);
	cr_expect_eq(got->payload_framed, want->payload_len, "%s", name);
}

Test(decode, every_field_of_every_layer)
{
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		const struct sample *s = &samples[i];
		struct packet p = packet_of(s);
		struct segment seg;

		memset(&seg, 0xa5, sizeof(seg));
		cr_expect_eq(decode_packet(&p, &seg), s->result, "%s", s->name);
		if (s->result != DECODE_TCP)
			continue;
		expect_segment(s->name, &seg, &s->seg);
		cr_expect_eq(seg.payload, s->bytes + s->seg.payload_off, "%s", s->name);
	}
}

static uint32_t be32_at(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

/* Ports and sequence number stand 16 bytes before the shortest cut that is a segment still. */
static void expect_shortest(const struct sample *s, uint32_t n)
{
	cr_assert_geq(n, 16, "%s", s->name);
	cr_expect_eq(be32_at(s->bytes + n - 16), (uint32_t)s->seg.src.port << 16 | s->seg.dst.port,
		     "%s: %u", s->name, n);
	cr_expect_eq(be32_at(s->bytes + n - 12), s->seg.seq, "%s: %u", s->name, n);
}

/*
 * What a snap length cuts off is known to have been there, and no byte behind the cut is read. Up
 * to its window a header tells what the segment is.
 */
Test(decode, cut_at_every_length)
{
	struct guarded *g = guarded_new(4096);

	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		const struct sample *s = &samples[i];
		enum decode_result last = DECODE_CUT, got;

		if (s->result != DECODE_TCP)
			continue;
		for (uint32_t n = 0; n <= s->len; n++, last = got) {
			struct packet p = packet_of(s);
			struct segment seg;

			p.cap_len = n;
			p.bytes = (const uint8_t *)guarded_put(g, s->bytes, n);
			got = decode_packet(&p, &seg);
			if (got == DECODE_TCP && last == DECODE_CUT)
				expect_shortest(s, n);
			cr_expect_eq(got,
				     last == DECODE_TCP  ? last
				     : got == DECODE_TCP ? got
							 : DECODE_CUT,
				     "%s cut to %u: %d", s->name, n, got);
			if (got != DECODE_TCP)
				continue;
			cr_expect_eq(seg.seq, s->seg.seq);
			cr_expect_eq(seg.ack, s->seg.ack);
			cr_expect_eq(seg.flags, s->seg.flags);
			cr_expect_eq(seg.window, s->seg.window);
			cr_expect_eq(seg.payload_len, s->seg.payload_len);
			cr_expect_eq(seg.payload_captured,
				     n > s->tcp_len ? MIN(n - s->tcp_len, s->seg.payload_len) : 0);
		}
		cr_expect_eq(last, DECODE_TCP, "%s", s->name);
	}
	guarded_free(g);
}

/* Nothing was cut off, the packet was too short for what it says it is. */
Test(decode, short_on_the_wire)
{
	for (uint32_t n = 0; n < 40; n++) {
		struct packet p = {.link = LINK_IPV4, .cap_len = n, .wire_len = n};
		uint8_t bytes[40];
		struct segment seg;

		memcpy(bytes, ipv4, sizeof(bytes));
		bytes[2] = 0;
		bytes[3] = (uint8_t)n;
		p.bytes = bytes;
		cr_expect_eq(decode_packet(&p, &seg), n < 36 ? DECODE_MALFORMED : DECODE_HEADER,
			     "%u bytes", n);
	}
}

static enum decode_result decode_changed(const uint8_t *bytes, size_t len, uint32_t link, size_t at,
					 uint8_t value, struct segment *seg)
{
	uint8_t copy[256];
	struct packet p = {
		.link = link, .cap_len = (uint32_t)len, .wire_len = (uint32_t)len, .bytes = copy};

	cr_assert_leq(len, sizeof(copy));
	memcpy(copy, bytes, len);
	copy[at] = value;
	return decode_packet(&p, seg);
}

Test(decode, lengths_that_contradict)
{
	struct segment seg;

#define CHANGED(bytes, link, at, value) decode_changed(bytes, sizeof(bytes), link, at, value, &seg)
	cr_expect_eq(CHANGED(ipv4, LINK_IPV4, 0, 0x44), DECODE_MALFORMED, "IP header of 16 bytes");
	cr_expect_eq(CHANGED(ipv4, LINK_IPV4, 0, 0x65), DECODE_MALFORMED, "version 6");
	cr_expect_eq(CHANGED(ipv4, LINK_IPV4, 3, 19), DECODE_MALFORMED, "shorter than the header");
	cr_expect_eq(CHANGED(ipv4, LINK_IPV4, 3, 39), DECODE_HEADER, "no room for TCP");
	cr_expect_eq(CHANGED(ipv4, LINK_IPV4, 32, 0x40), DECODE_HEADER, "TCP header of 16");
	cr_expect_eq(CHANGED(ipv4, LINK_IPV4, 32, 0xf0), DECODE_HEADER, "TCP header of 60");
	cr_expect_eq(CHANGED(ipv6, LINK_IPV6, 0, 0x40), DECODE_MALFORMED, "version 4");
	cr_expect_eq(CHANGED(ip6_extensions, LINK_IPV6, 41, 200), DECODE_MALFORMED,
		     "options longer than the packet");
	cr_expect_eq(CHANGED(auth, LINK_IPV4, 21, 200), DECODE_MALFORMED, "AH longer");
	cr_expect_eq(CHANGED(raw4, LINK_RAW, 0, 0x50), DECODE_OTHER, "version 5");
	cr_expect_eq(CHANGED(null_little, LINK_NULL, 0, 3), DECODE_OTHER, "another family");
	cr_expect_eq(CHANGED(udp, LINK_IPV4, 6, 0x20), DECODE_FRAGMENT, "fragment of UDP");
	cr_expect_eq(CHANGED(ip6_fragment, LINK_IPV6, 40, 132), DECODE_OTHER, "SCTP over IPv6");
}

/* An IP length above what the frame held: the datagram was cut before it came to the capture. */
Test(decode, ip_length_counts_beyond_the_frame)
{
	struct segment seg;

	cr_expect_eq(CHANGED(ipv4, LINK_IPV4, 2, 1), DECODE_TCP);
	cr_expect_eq(seg.payload_len, 256 + 18);
	cr_expect_eq(seg.payload_framed, 18);
	cr_expect_eq(seg.payload_captured, 18);
}

Test(decode, broken_options_end_the_options)
{
	struct segment seg;

	/* the time stamp option says that it is 1, 0 and 200 bytes long */
	for (unsigned i = 0; i < 3; i++) {
		static const uint8_t lengths[] = {1, 0, 200};

		cr_expect_eq(CHANGED(ipv6, LINK_IPV6, 63, lengths[i]), DECODE_TCP);
		cr_expect(!seg.has_ts);
		cr_expect_eq(seg.payload_len, 18);
	}
	/* a known option of a wrong length is skipped */
	cr_expect_eq(CHANGED(ipv6, LINK_IPV6, 63, 9), DECODE_TCP);
	cr_expect(!seg.has_ts);
}

Test(decode, layers_end)
{
	uint8_t tags[4 * 1000 + 14] = {[12] = 0x81};
	struct packet p = {.link = LINK_ETHERNET, .cap_len = sizeof(tags), .bytes = tags};
	struct segment seg;

	for (size_t i = 14; i + 4 <= sizeof(tags); i += 4)
		tags[i + 2] = 0x81;
	p.wire_len = p.cap_len;
	cr_expect_eq(decode_packet(&p, &seg), DECODE_MALFORMED);
}

/* No TCP window lets 2^30 bytes pass: a frame that long is a lie of the file. */
Test(decode, payload_has_a_bound)
{
	struct packet p = {.link = LINK_ETHERNET,
			   .cap_len = sizeof(tso_zero_length),
			   .wire_len = UINT32_MAX,
			   .bytes = tso_zero_length};
	struct segment seg;

	cr_expect_eq(decode_packet(&p, &seg), DECODE_MALFORMED);
	p.wire_len = 54 + 600000; /* BIG TCP */
	cr_expect_eq(decode_packet(&p, &seg), DECODE_TCP);
	cr_expect_eq(seg.payload_len, 600000);
	cr_expect_eq(seg.payload_captured, 18);
}
