/*
 * decode.c -- from link-layer bytes to a TCP segment.
 *
 * A packet is walked layer by layer: a table has one step per layer, each step reads its header and
 * names the layer that follows. A tunnel is a step that leads back to IP or Ethernet. Never reads a
 * byte but through the cursor, never looks at payload, and keeps nothing between packets but the
 * fragments that it was given a place for.
 */
#include "trace/decode.h"

#include "trace/decode_layers.h"
#include "trace/decode_plain.h"

#define STEPS_MAX      32         /* layers of one packet: more is no traffic but an attack */
#define PAYLOAD_MAX    (1U << 30) /* no TCP window is larger (RFC 7323 section 2.3) */
#define TCP_HEADER     20
#define TCP_HEADER_CUT 16 /* up to the window: what tells a segment, as Wireshark has it */

/* ---- TCP ------------------------------------------------------------------------------------- */

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
		} else if (kind == 4) {
			seg->sack_permitted = true;
		} else if (kind == 5) {
			read_sacks(&value, seg);
		} else if (kind == 8 && len == 10) {
			seg->has_ts = true;
			seg->tsval = cursor_be32(&value);
			seg->tsecr = cursor_be32(&value);
		} else if (kind == 30 && len > 2) {
			seg->mptcp |= (uint16_t)(1U << (cursor_u8(&value) >> 4));
		}
	}
}

/* Bytes that the layers around have room for from here on. */
static uint32_t framed_left(const struct decoder *d)
{
	return MIN(d->wire_left, d->frame_len - (uint32_t)(d->c.at - d->start));
}

/* Where the payload lies. */
static void place_payload(const struct decoder *d, uint32_t framed, struct segment *seg)
{
	seg->payload = d->c.at;
	seg->payload_off = d->is_joined ? d->joined_off : (uint32_t)(d->c.at - d->start);
	seg->payload_captured = (uint32_t)cursor_left(&d->c);
	seg->payload_len = d->wire_left;
	seg->payload_framed = framed;
}

/* Wireshark counts the length of a segment also when its header says that it is too short for one. */
static enum decode_layer header_alone(struct decoder *d, uint32_t framed, uint32_t header_len)
{
	bool is_known = !d->is_quoted && !d->is_cut && header_len <= framed;

	d->seg->is_short = header_len < TCP_HEADER;
	d->seg->payload_framed = is_known ? framed - header_len : SEGMENT_NO_LEN;
	return decoder_end(d, DECODE_HEADER);
}

/* A header whose options were cut off tells all that a segment needs. */
static enum decode_layer decode_tcp(struct decoder *d)
{
	struct segment *seg = d->seg;
	struct cursor h = d->c, options;
	uint32_t header_len, framed = framed_left(d);
	uint16_t length_flags;

	if (cursor_left(&h) < TCP_HEADER_CUT)
		return decoder_end(d, d->wire_left < TCP_HEADER_CUT && !d->is_quoted
					      ? DECODE_MALFORMED
					      : DECODE_CUT);
	seg->src.port = cursor_be16(&h);
	seg->dst.port = cursor_be16(&h);
	seg->seq = cursor_be32(&h);
	seg->ack = cursor_be32(&h);
	length_flags = cursor_be16(&h);
	seg->flags = (uint8_t)length_flags;
	seg->window = cursor_be16(&h);
	header_len = (length_flags >> 12U) * 4U;
	if (d->is_quoted || d->is_cut || header_len < TCP_HEADER || header_len > framed)
		return header_alone(d, framed, header_len);
	cursor_skip(&h, 2);
	seg->urgent = cursor_be16(&h);
	seg->is_cut = header_len > cursor_left(&d->c);
	options = cursor_sub(&d->c, MIN(header_len, cursor_left(&d->c)));
	cursor_skip(&options, TCP_HEADER);
	if (header_len > TCP_HEADER)
		read_tcp_options(options, seg);
	d->wire_left -= header_len;
	if (d->wire_left > PAYLOAD_MAX)
		return decoder_end(d, DECODE_MALFORMED);
	place_payload(d, framed - header_len, seg);
	return decoder_end(d, DECODE_TCP);
}

/* ---- the walk -------------------------------------------------------------------------------- */

typedef enum decode_layer (*layer_step)(struct decoder *d);

static const layer_step steps[LAYER_COUNT] = {
	[LAYER_ETHERNET] = decode_ethernet,
	[LAYER_SLL] = decode_sll,
	[LAYER_SLL2] = decode_sll2,
	[LAYER_NULL] = decode_null,
	[LAYER_VLAN] = decode_vlan,
	[LAYER_8021AD] = decode_8021ad,
	[LAYER_LLC] = decode_llc,
	[LAYER_MPLS] = decode_mpls,
	[LAYER_PPPOE] = decode_pppoe,
	[LAYER_PPP] = decode_ppp,
	[LAYER_IP] = decode_ip,
	[LAYER_IP4] = decode_ip4,
	[LAYER_IP6] = decode_ip6,
	[LAYER_IP6_OPTIONS] = decode_ip6_options,
	[LAYER_IP6_FRAGMENT] = decode_ip6_fragment,
	[LAYER_AUTH] = decode_auth,
	[LAYER_ICMP4] = decode_icmp4,
	[LAYER_ICMP6] = decode_icmp6,
	[LAYER_GRE] = decode_gre,
	[LAYER_ERSPAN2] = decode_erspan2,
	[LAYER_ERSPAN3] = decode_erspan3,
	[LAYER_UDP] = decode_udp,
	[LAYER_VXLAN] = decode_vxlan,
	[LAYER_GENEVE] = decode_geneve,
	[LAYER_TCP] = decode_tcp,
};

static enum decode_layer layer_of_link(uint32_t link)
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

enum decode_result decode_walk(struct fragments *fragments, const struct packet *p,
			       struct segment *seg)
{
	enum decode_layer layer = layer_of_link(p->link);
	struct decoder d = {
		.c = cursor_of(p->bytes, p->cap_len),
		.wire_left = MAX(p->wire_len, p->cap_len),
		.frame_len = MAX(p->wire_len, p->cap_len),
		.result = layer == LAYER_END ? DECODE_OTHER : DECODE_MALFORMED,
		.start = p->bytes,
		.fragments = fragments,
		.seg = seg,
	};

	/* Addresses and payload are set where they are found: clearing all costs a third of the walk. */
	memset(&seg->seq, 0, offsetof(struct segment, payload) - offsetof(struct segment, seq));
	seg->ts_ns = p->ts_ns;
	seg->frame = p->frame;
	seg->iface = p->iface;
	seg->device = 0;
	seg->wscale = SEGMENT_NO_WSCALE;
	for (unsigned i = 0; i < STEPS_MAX && layer != LAYER_END; i++)
		layer = steps[layer](&d);
	return layer == LAYER_END ? d.result : DECODE_MALFORMED;
}

enum decode_result decode_next(struct fragments *fragments, const struct packet *p,
			       struct segment *seg)
{
	if (fragments != NULL)
		fragments_release(fragments);
	return decode_plain(p, seg) ? DECODE_TCP : decode_walk(fragments, p, seg);
}

enum decode_result decode_packet(const struct packet *p, struct segment *seg)
{
	return decode_next(NULL, p, seg);
}
