/*
 * decode_ip.c -- the steps of IPv4 and IPv6 with their extensions, and what ICMP quotes of them.
 *
 * Fragments are handed to fragments.c, and the walk goes on in the datagram that one of them
 * completes.
 */
#include "trace/decode_layers.h"
#include "trace/fragments.h"

#define PROTOCOL_HOP_BY_HOP  0
#define PROTOCOL_ICMP4       1
#define PROTOCOL_IP4         4
#define PROTOCOL_TCP         6
#define PROTOCOL_UDP         17
#define PROTOCOL_IP6         41
#define PROTOCOL_ROUTING     43
#define PROTOCOL_FRAGMENT    44
#define PROTOCOL_GRE         47
#define PROTOCOL_AUTH        51
#define PROTOCOL_ICMP6       58
#define PROTOCOL_DESTINATION 60
#define PROTOCOL_MOBILITY    135
#define PROTOCOL_MPLS        137

/* The protocols that only IPv6 has. */
static enum decode_layer layer_of_ip6(struct decoder *d, uint8_t protocol)
{
	switch (protocol) {
	case PROTOCOL_HOP_BY_HOP:
	case PROTOCOL_ROUTING:
	case PROTOCOL_DESTINATION:
	case PROTOCOL_MOBILITY:
		return LAYER_IP6_OPTIONS;
	case PROTOCOL_FRAGMENT:
		return LAYER_IP6_FRAGMENT;
	case PROTOCOL_ICMP6:
		return LAYER_ICMP6;
	default:
		return decoder_end(d, DECODE_OTHER);
	}
}

enum decode_layer decode_protocol(struct decoder *d, uint8_t protocol)
{
	switch (protocol) {
	case PROTOCOL_TCP:
		return LAYER_TCP;
	case PROTOCOL_UDP:
		return LAYER_UDP;
	case PROTOCOL_GRE:
		return LAYER_GRE;
	case PROTOCOL_IP4: /* some carry IPv6 by it */
		return LAYER_IP;
	case PROTOCOL_IP6:
		return LAYER_IP6;
	case PROTOCOL_MPLS:
		return LAYER_MPLS;
	case PROTOCOL_AUTH:
		return LAYER_AUTH;
	default:
		break;
	}
	if (d->ip_version == 6)
		return layer_of_ip6(d, protocol);
	return protocol == PROTOCOL_ICMP4 ? LAYER_ICMP4 : decoder_end(d, DECODE_OTHER);
}

enum decode_layer decode_ip(struct decoder *d)
{
	struct cursor peek = d->c;
	uint8_t version = cursor_u8(&peek) >> 4;

	if (peek.failed)
		return decoder_end(d, d->wire_left > 0 ? DECODE_CUT : DECODE_MALFORMED);
	if (version == 4)
		return LAYER_IP4;
	return version == 6 ? LAYER_IP6 : decoder_end(d, DECODE_OTHER);
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

/* ---- fragments ------------------------------------------------------------------------------- */

/* Addresses that several networks may have at once, told apart by their VLAN. */
static bool is_private(const struct addr *a)
{
	return a->family == ADDR_IP4 &&
	       (a->ip[0] == 10 || (a->ip[0] == 172 && (a->ip[1] & 0xf0) == 16) ||
		(a->ip[0] == 192 && a->ip[1] == 168) || (a->ip[0] == 169 && a->ip[1] == 254));
}

/* Go on in the datagram that this fragment completes. */
static enum decode_layer join(struct decoder *d, const struct fragment_key *key,
			      const struct fragment *fragment, enum decode_layer next)
{
	uint32_t len;
	const uint8_t *bytes = fragments_add(d->fragments, key, fragment, &len);

	if (bytes == NULL)
		return decoder_end(d, DECODE_FRAGMENT);
	if (!d->is_joined)
		d->joined_off = (uint32_t)(d->c.at - d->start);
	d->is_joined = true;
	d->start = bytes;
	d->frame_len = len;
	d->c = cursor_of(bytes, len);
	d->wire_left = len;
	return next;
}

/*
 * A fragment's payload is at hand. Of one that was not captured whole, or stands in a quote, only
 * the header that it may begin with can be read.
 */
static enum decode_layer read_fragment(struct decoder *d, uint8_t protocol, uint32_t id,
				       uint32_t off, bool more)
{
	struct fragment_key key = {
		.src = d->seg->src, .dst = d->seg->dst, .id = id, .protocol = protocol};
	struct fragment fragment = {.ts_ns = d->seg->ts_ns, .off = off, .more = more};
	enum decode_layer next = decode_protocol(d, protocol);

	if (next == LAYER_END)
		return LAYER_END;
	if (d->is_quoted || cursor_left(&d->c) < d->wire_left) {
		d->is_cut = true;
		return off == 0 && d->ip_version == 4 ? next : decoder_end(d, DECODE_FRAGMENT);
	}
	if (d->fragments == NULL)
		return decoder_end(d, DECODE_FRAGMENT);
	if (d->ip_version == 6) /* RFC 8200 section 4.5 */
		key.protocol = 0;
	if (is_private(&key.src) || is_private(&key.dst))
		key.vlan = d->vlan;
	fragment.len = d->wire_left;
	fragment.bytes = d->c.at;
	return join(d, &key, &fragment, next);
}

/* ---- headers --------------------------------------------------------------------------------- */

enum decode_layer decode_ip4(struct decoder *d)
{
	struct cursor h = decoder_take(d, 20);
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
		return decoder_end(d, DECODE_MALFORMED);
	decoder_set_length(d, total_len - 20);
	h = decoder_take(d, header_len - 20);
	if (h.failed)
		return LAYER_END;
	d->ip_version = 4;
	if ((fragment & 0x3fff) != 0)
		return read_fragment(d, protocol, d->seg->ip_id, (fragment & 0x1fffU) * 8,
				     (fragment & 0x2000) != 0);
	d->is_cut = false; /* what was cut is a carrier of this */
	return decode_protocol(d, protocol);
}

enum decode_layer decode_ip6(struct decoder *d)
{
	struct cursor h = decoder_take(d, 40);
	uint8_t version = cursor_u8(&h) >> 4, next;
	uint16_t payload_len;

	if (h.failed)
		return LAYER_END;
	if (version != 6)
		return decoder_end(d, DECODE_MALFORMED);
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
		decoder_set_length(d, payload_len);
	return decode_protocol(d, next);
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

enum decode_layer decode_ip6_options(struct decoder *d)
{
	struct cursor h = decoder_take(d, 8), more;
	uint8_t next = cursor_u8(&h);
	uint32_t len = (cursor_u8(&h) + 1U) * 8, jumbo_len;

	if (h.failed)
		return LAYER_END;
	more = decoder_take(d, len - 8);
	if (more.failed)
		return LAYER_END;
	if (d->length_unknown) {
		h.end = more.end;
		jumbo_len = find_jumbo_len(h);
		if (jumbo_len > len && jumbo_len - len < d->wire_left)
			decoder_set_length(d, jumbo_len - len);
		d->length_unknown = false;
	}
	return decode_protocol(d, next);
}

enum decode_layer decode_ip6_fragment(struct decoder *d)
{
	struct cursor h = decoder_take(d, 8);
	uint8_t next = cursor_u8(&h);
	uint16_t off_more;

	if (h.failed)
		return LAYER_END;
	cursor_skip(&h, 1);
	off_more = cursor_be16(&h);
	if ((off_more & 0xfff9) == 0) /* an atomic fragment is the whole (RFC 6946) */
		return decode_protocol(d, next);
	return read_fragment(d, next, cursor_be32(&h), off_more & 0xfff8U, (off_more & 1) != 0);
}

enum decode_layer decode_auth(struct decoder *d)
{
	struct cursor h = decoder_take(d, 8);
	uint8_t next = cursor_u8(&h);
	uint32_t len = (cursor_u8(&h) + 2U) * 4;

	if (h.failed)
		return LAYER_END;
	if (len < 8)
		return decoder_end(d, DECODE_MALFORMED);
	h = decoder_take(d, len - 8);
	return h.failed ? LAYER_END : decode_protocol(d, next);
}

/* ---- ICMP ------------------------------------------------------------------------------------ */

/* An error quotes the datagram it is about, cut anywhere behind its first bytes. */
static enum decode_layer read_quote(struct decoder *d, uint32_t quoting, enum decode_layer quoted)
{
	struct cursor h = decoder_take(d, 8);
	uint8_t type = cursor_u8(&h);

	if (h.failed)
		return LAYER_END;
	if (type >= 32 || (quoting >> type & 1) == 0)
		return decoder_end(d, DECODE_OTHER);
	d->is_quoted = true;
	return quoted;
}

/* Unreachable, source quench, time exceeded, parameter problem (RFC 792). */
enum decode_layer decode_icmp4(struct decoder *d)
{
	return read_quote(d, 1U << 3 | 1U << 4 | 1U << 11 | 1U << 12, LAYER_IP4);
}

/* Unreachable, too big, time exceeded, parameter problem (RFC 4443). */
enum decode_layer decode_icmp6(struct decoder *d)
{
	return read_quote(d, 1U << 1 | 1U << 2 | 1U << 3 | 1U << 4, LAYER_IP6);
}
