/*
 * decode.c -- from link-layer bytes to a TCP segment.
 *
 * A packet is walked layer by layer: a table has one step per layer, each step reads its header
 * and names the layer that follows. A tunnel is one more step that leads back to LAYER_IP or
 * LAYER_ETHERNET; reassembly begins where a step answers DECODE_FRAGMENT. Never reads a byte but
 * through the cursor, never looks at payload, keeps nothing between packets.
 *
 * Invariant: the captured bytes left are at most wire_left, the bytes that were on the wire.
 */
#include "trace/decode.h"

#include "common/cursor.h"

#define STEPS_MAX            32         /* layers of one packet: more is no traffic but an attack */
#define PAYLOAD_MAX          (1U << 30) /* no TCP window is larger (RFC 7323 section 2.3) */

#define ETHERTYPE_IP4        0x0800
#define ETHERTYPE_IP6        0x86dd
#define ETHERTYPE_VLAN       0x8100
#define ETHERTYPE_8021AD     0x88a8
#define ETHERTYPE_QINQ       0x9100
#define ETHERTYPE_QINQ_OLD   0x9200
#define ETHERTYPE_FIRST      0x0600 /* below it stands a length (IEEE 802.3) */

#define SLL_TYPE_8022        0x0004
#define SLL_ARP_NETLINK      824

#define PROTOCOL_HOP_BY_HOP  0
#define PROTOCOL_TCP         6
#define PROTOCOL_ROUTING     43
#define PROTOCOL_FRAGMENT    44
#define PROTOCOL_AUTH        51
#define PROTOCOL_DESTINATION 60
#define PROTOCOL_MOBILITY    135

enum layer {
	LAYER_END, /* the result stands */
	LAYER_ETHERNET,
	LAYER_SLL,
	LAYER_SLL2,
	LAYER_NULL,
	LAYER_VLAN,
	LAYER_LLC,
	LAYER_IP,
	LAYER_IP4,
	LAYER_IP6,
	LAYER_IP6_OPTIONS,
	LAYER_IP6_FRAGMENT,
	LAYER_AUTH,
	LAYER_TCP,
	LAYER_COUNT,
};

struct decoder {
	struct cursor c;     /* captured bytes from here on, none beyond the IP datagram */
	uint32_t wire_left;  /* bytes on the wire from here on */
	uint32_t frame_len;  /* of the whole packet on the wire */
	uint8_t ip_version;  /* of the innermost datagram */
	bool length_unknown; /* IPv6 payload length 0: a jumbo option may tell */
	enum decode_result result;
	const uint8_t *start;
	struct segment *seg;
};

static enum layer end_with(struct decoder *d, enum decode_result result)
{
	d->result = result;
	return LAYER_END;
}

/* The next n bytes; failed, with the result set, when they were not captured or never there. */
static struct cursor take_header(struct decoder *d, uint32_t n)
{
	struct cursor h = cursor_sub(&d->c, n);

	if (h.failed)
		d->result = d->wire_left < n ? DECODE_MALFORMED : DECODE_CUT;
	else
		d->wire_left -= n;
	return h;
}

/* What follows is n bytes long: what stands behind is padding of the link. */
static void set_length(struct decoder *d, uint32_t n)
{
	d->wire_left = n;
	if (cursor_left(&d->c) > n)
		d->c.end = d->c.at + n;
}

static enum layer layer_of_ethertype(struct decoder *d, uint16_t type)
{
	switch (type) {
	case ETHERTYPE_IP4:
		return LAYER_IP4;
	case ETHERTYPE_IP6:
		return LAYER_IP6;
	case ETHERTYPE_VLAN:
	case ETHERTYPE_8021AD:
	case ETHERTYPE_QINQ:
	case ETHERTYPE_QINQ_OLD:
		return LAYER_VLAN;
	default:
		return end_with(d, DECODE_OTHER);
	}
}

static enum layer layer_of_protocol(struct decoder *d, uint8_t protocol)
{
	if (protocol == PROTOCOL_TCP)
		return LAYER_TCP;
	if (protocol == PROTOCOL_AUTH)
		return LAYER_AUTH;
	if (d->ip_version != 6)
		return end_with(d, DECODE_OTHER);
	switch (protocol) {
	case PROTOCOL_HOP_BY_HOP:
	case PROTOCOL_ROUTING:
	case PROTOCOL_DESTINATION:
	case PROTOCOL_MOBILITY:
		return LAYER_IP6_OPTIONS;
	case PROTOCOL_FRAGMENT:
		return LAYER_IP6_FRAGMENT;
	default:
		return end_with(d, DECODE_OTHER);
	}
}

static enum layer step_ethernet(struct decoder *d)
{
	struct cursor h = take_header(d, 14);
	uint16_t type;

	if (h.failed)
		return LAYER_END;
	cursor_skip(&h, 12);
	type = cursor_be16(&h);
	if (type >= ETHERTYPE_FIRST)
		return layer_of_ethertype(d, type);
	if (type <= d->wire_left)
		set_length(d, type);
	return LAYER_LLC;
}

static enum layer step_vlan(struct decoder *d)
{
	struct cursor h = take_header(d, 4);
	uint16_t type;

	if (h.failed)
		return LAYER_END;
	cursor_skip(&h, 2);
	type = cursor_be16(&h);
	return type >= ETHERTYPE_FIRST ? layer_of_ethertype(d, type) : LAYER_LLC;
}

/* IEEE 802.2 with SNAP and the ethertype of RFC 1042; nothing else carries IP here. */
static enum layer step_llc(struct decoder *d)
{
	struct cursor h = take_header(d, 8);
	uint32_t llc_oui_high, oui_low_type;

	if (h.failed) /* a short frame of 802.2 without SNAP */
		return end_with(d, d->result == DECODE_CUT ? DECODE_CUT : DECODE_OTHER);
	llc_oui_high = cursor_be32(&h);
	oui_low_type = cursor_be32(&h);
	if (llc_oui_high != 0xaaaa0300 || oui_low_type >> 16 != 0)
		return end_with(d, DECODE_OTHER);
	return layer_of_ethertype(d, (uint16_t)oui_low_type);
}

static enum layer layer_of_cooked(struct decoder *d, uint16_t arp_type, uint16_t type)
{
	if (arp_type == SLL_ARP_NETLINK)
		return end_with(d, DECODE_OTHER);
	return type == SLL_TYPE_8022 ? LAYER_LLC : layer_of_ethertype(d, type);
}

static enum layer step_sll(struct decoder *d)
{
	struct cursor h = take_header(d, 16);
	uint16_t arp_type;

	if (h.failed)
		return LAYER_END;
	cursor_skip(&h, 2);
	arp_type = cursor_be16(&h);
	cursor_skip(&h, 10);
	return layer_of_cooked(d, arp_type, cursor_be16(&h));
}

static enum layer step_sll2(struct decoder *d)
{
	struct cursor h = take_header(d, 20);
	uint16_t type, arp_type;

	if (h.failed)
		return LAYER_END;
	type = cursor_be16(&h);
	cursor_skip(&h, 2);
	d->seg->device = cursor_be32(&h);
	arp_type = cursor_be16(&h);
	return layer_of_cooked(d, arp_type, type);
}

/* The address family of the machine that captured, in its byte order; LOOP: in network order. */
static enum layer step_null(struct decoder *d)
{
	struct cursor h = take_header(d, 4);
	uint32_t family = cursor_be32(&h);

	if (h.failed)
		return LAYER_END;
	if (family > 0xffff)
		family = __builtin_bswap32(family);
	switch (family) {
	case 2: /* AF_INET everywhere */
		return LAYER_IP4;
	case 10: /* AF_INET6: Linux, NetBSD and OpenBSD, FreeBSD, Darwin */
	case 24:
	case 28:
	case 30:
		return LAYER_IP6;
	default:
		return end_with(d, DECODE_OTHER);
	}
}

static enum layer step_ip(struct decoder *d)
{
	struct cursor peek = d->c;
	uint8_t version = cursor_u8(&peek) >> 4;

	if (peek.failed)
		return end_with(d, d->wire_left > 0 ? DECODE_CUT : DECODE_MALFORMED);
	if (version == 4)
		return LAYER_IP4;
	return version == 6 ? LAYER_IP6 : end_with(d, DECODE_OTHER);
}

static void read_ip4(struct cursor *h, struct addr *a)
{
	const uint8_t *ip = cursor_take(h, 4);

	*a = (struct addr){.family = ADDR_IP4};
	if (ip != NULL)
		memcpy(a->ip, ip, 4);
}

/* An IPv4-mapped address is the IPv4 address (addr.h). */
static void read_ip6(struct cursor *h, struct addr *a)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	const uint8_t *ip = cursor_take(h, 16);

	*a = (struct addr){.family = ADDR_IP6};
	if (ip == NULL)
		return;
	if (memcmp(ip, mapped, sizeof(mapped)) == 0) {
		a->family = ADDR_IP4;
		memcpy(a->ip, ip + 12, 4);
	} else {
		memcpy(a->ip, ip, 16);
	}
}

static enum layer step_ip4(struct decoder *d)
{
	struct cursor h = take_header(d, 20);
	uint8_t version_length = cursor_u8(&h);
	uint32_t header_len = (version_length & 15U) * 4, total_len;
	uint16_t fragment;
	uint8_t protocol;

	if (h.failed)
		return LAYER_END;
	cursor_skip(&h, 1);
	total_len = cursor_be16(&h);
	d->seg->ip_id = cursor_be16(&h);
	fragment = cursor_be16(&h);
	d->seg->ttl = cursor_u8(&h);
	protocol = cursor_u8(&h);
	cursor_skip(&h, 2);
	read_ip4(&h, &d->seg->src);
	read_ip4(&h, &d->seg->dst);
	if (total_len == 0) /* TSO and BIG TCP: the kernel had no 16 bits for it */
		total_len = d->wire_left + 20;
	if (version_length >> 4 != 4 || header_len < 20 || total_len < header_len)
		return end_with(d, DECODE_MALFORMED);
	set_length(d, total_len - 20);
	h = take_header(d, header_len - 20);
	if (h.failed)
		return LAYER_END;
	d->ip_version = 4;
	if ((fragment & 0x3fff) != 0)
		return end_with(d, protocol == PROTOCOL_TCP ? DECODE_FRAGMENT : DECODE_OTHER);
	return layer_of_protocol(d, protocol);
}

static enum layer step_ip6(struct decoder *d)
{
	struct cursor h = take_header(d, 40);
	uint8_t version = cursor_u8(&h) >> 4, next;
	uint16_t payload_len;

	if (h.failed)
		return LAYER_END;
	if (version != 6)
		return end_with(d, DECODE_MALFORMED);
	cursor_skip(&h, 3);
	payload_len = cursor_be16(&h);
	next = cursor_u8(&h);
	d->seg->ip_id = 0;
	d->seg->ttl = cursor_u8(&h);
	read_ip6(&h, &d->seg->src);
	read_ip6(&h, &d->seg->dst);
	d->ip_version = 6;
	d->length_unknown = payload_len == 0;
	if (payload_len != 0)
		set_length(d, payload_len);
	return layer_of_protocol(d, next);
}

/* The jumbo payload option (RFC 2675) among hop-by-hop options, or 0. */
static uint32_t find_jumbo_len(struct cursor options)
{
	while (cursor_left(&options) > 0 && !options.failed) {
		uint8_t type = cursor_u8(&options), len;

		if (type == 0) /* Pad1 */
			continue;
		len = cursor_u8(&options);
		if (type == 0xc2 && len == 4)
			return cursor_be32(&options);
		cursor_skip(&options, len);
	}
	return 0;
}

static enum layer step_ip6_options(struct decoder *d)
{
	struct cursor h = take_header(d, 8), more;
	uint8_t next = cursor_u8(&h);
	uint32_t len = (cursor_u8(&h) + 1U) * 8, jumbo_len;

	if (h.failed)
		return LAYER_END;
	more = take_header(d, len - 8);
	if (more.failed)
		return LAYER_END;
	if (d->length_unknown) {
		h.end = more.end;
		jumbo_len = find_jumbo_len(h);
		if (jumbo_len > len && jumbo_len - len < d->wire_left)
			set_length(d, jumbo_len - len);
		d->length_unknown = false;
	}
	return layer_of_protocol(d, next);
}

static enum layer step_ip6_fragment(struct decoder *d)
{
	struct cursor h = take_header(d, 8);
	uint8_t next = cursor_u8(&h);
	enum layer layer;

	if (h.failed)
		return LAYER_END;
	cursor_skip(&h, 1);
	layer = layer_of_protocol(d, next);
	if ((cursor_be16(&h) & 0xfff9) == 0) /* an atomic fragment is the whole (RFC 6946) */
		return layer;
	return layer == LAYER_END ? LAYER_END : end_with(d, DECODE_FRAGMENT);
}

static enum layer step_auth(struct decoder *d)
{
	struct cursor h = take_header(d, 8);
	uint8_t next = cursor_u8(&h);
	uint32_t len = (cursor_u8(&h) + 2U) * 4;

	if (h.failed)
		return LAYER_END;
	if (len < 8)
		return end_with(d, DECODE_MALFORMED);
	h = take_header(d, len - 8);
	return h.failed ? LAYER_END : layer_of_protocol(d, next);
}

static void read_sacks(struct cursor *o, struct segment *seg)
{
	while (cursor_left(o) >= 8 && seg->sack_count < SEGMENT_SACKS_MAX) {
		seg->sack[seg->sack_count].left = cursor_be32(o);
		seg->sack[seg->sack_count].right = cursor_be32(o);
		seg->sack_count++;
	}
}

/* Like a receiving kernel: what follows a broken option is ignored, the segment is not. */
static void read_tcp_options(struct cursor o, struct segment *seg)
{
	while (cursor_left(&o) >= 2) {
		uint8_t kind = cursor_u8(&o), len;
		struct cursor value;

		if (kind == 0)
			return;
		if (kind == 1)
			continue;
		len = cursor_u8(&o);
		if (len < 2 || len - 2U > cursor_left(&o))
			return;
		value = cursor_sub(&o, len - 2U);
		if (kind == 2 && len == 4) {
			seg->mss = cursor_be16(&value);
		} else if (kind == 3 && len == 3) {
			seg->wscale = cursor_u8(&value);
		} else if (kind == 5) {
			read_sacks(&value, seg);
		} else if (kind == 8 && len == 10) {
			seg->has_ts = true;
			seg->tsval = cursor_be32(&value);
			seg->tsecr = cursor_be32(&value);
		}
	}
}

static enum layer step_tcp(struct decoder *d)
{
	struct segment *seg = d->seg;
	struct cursor h = take_header(d, 20);
	uint32_t header_len;
	uint16_t length_flags;

	if (h.failed)
		return LAYER_END;
	seg->src.port = cursor_be16(&h);
	seg->dst.port = cursor_be16(&h);
	seg->seq = cursor_be32(&h);
	seg->ack = cursor_be32(&h);
	length_flags = cursor_be16(&h);
	seg->flags = (uint8_t)length_flags;
	seg->window = cursor_be16(&h);
	cursor_skip(&h, 2);
	seg->urgent = cursor_be16(&h);
	header_len = (length_flags >> 12U) * 4U;
	if (header_len < 20)
		return end_with(d, DECODE_MALFORMED);
	h = take_header(d, header_len - 20);
	if (h.failed)
		return LAYER_END;
	read_tcp_options(h, seg);
	if (d->wire_left > PAYLOAD_MAX)
		return end_with(d, DECODE_MALFORMED);
	seg->payload_off = (uint32_t)(d->c.at - d->start);
	seg->payload_captured = (uint32_t)cursor_left(&d->c);
	seg->payload_len = d->wire_left;
	seg->payload_framed = MIN(d->wire_left, d->frame_len - seg->payload_off);
	return end_with(d, DECODE_TCP);
}

typedef enum layer (*layer_step)(struct decoder *d);

static const layer_step steps[LAYER_COUNT] = {
	[LAYER_ETHERNET] = step_ethernet,
	[LAYER_SLL] = step_sll,
	[LAYER_SLL2] = step_sll2,
	[LAYER_NULL] = step_null,
	[LAYER_VLAN] = step_vlan,
	[LAYER_LLC] = step_llc,
	[LAYER_IP] = step_ip,
	[LAYER_IP4] = step_ip4,
	[LAYER_IP6] = step_ip6,
	[LAYER_IP6_OPTIONS] = step_ip6_options,
	[LAYER_IP6_FRAGMENT] = step_ip6_fragment,
	[LAYER_AUTH] = step_auth,
	[LAYER_TCP] = step_tcp,
};

static enum layer layer_of_link(uint32_t link)
{
	switch (link) {
	case LINK_ETHERNET:
		return LAYER_ETHERNET;
	case LINK_SLL:
		return LAYER_SLL;
	case LINK_SLL2:
		return LAYER_SLL2;
	case LINK_NULL:
	case LINK_LOOP:
		return LAYER_NULL;
	case LINK_RAW:
		return LAYER_IP;
	case LINK_IPV4:
		return LAYER_IP4;
	case LINK_IPV6:
		return LAYER_IP6;
	default:
		return LAYER_END;
	}
}

enum decode_result decode_packet(const struct packet *p, struct segment *seg)
{
	enum layer layer = layer_of_link(p->link);
	struct decoder d = {
		.c = cursor_of(p->bytes, p->cap_len),
		.wire_left = MAX(p->wire_len, p->cap_len),
		.frame_len = MAX(p->wire_len, p->cap_len),
		.result = layer == LAYER_END ? DECODE_OTHER : DECODE_MALFORMED,
		.start = p->bytes,
		.seg = seg,
	};

	*seg = (struct segment){
		.ts_ns = p->ts_ns,
		.frame = p->frame,
		.iface = p->iface,
		.wscale = SEGMENT_NO_WSCALE,
	};
	for (unsigned i = 0; i < STEPS_MAX && layer != LAYER_END; i++)
		layer = steps[layer](&d);
	return layer == LAYER_END ? d.result : DECODE_MALFORMED;
}
