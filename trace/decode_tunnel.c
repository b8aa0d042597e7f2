/*
 * decode_tunnel.c -- the steps of what carries one network through another: MPLS, PPPoE, GRE, VXLAN,
 * Geneve.
 *
 * A tunnel's own addresses are forgotten: the segment's are those of the innermost datagram. GRE
 * and UDP are told by what they announce; a tunnel on another port is not looked for.
 */
#include "trace/decode_layers.h"

#define GRE_CHECKSUM   0x8000
#define GRE_ROUTING    0x4000
#define GRE_KEY        0x2000
#define GRE_SEQUENCE   0x1000
#define GRE_ACK        0x0080 /* version 1 (RFC 2637) */
#define GRE_VERSION    0x0007

#define GRE_BRIDGING   0x6558 /* Ethernet; Geneve says it alike */
#define GRE_ERSPAN     0x88be
#define GRE_ERSPAN3    0x22eb
#define GRE_PPP        0x880b

#define PPP_IP4        0x0021
#define PPP_IP6        0x0057
#define PPP_MPLS       0x0281

#define PORT_VXLAN     4789
#define PORT_VXLAN_OLD 8472 /* Linux' default, from before RFC 7348 */
#define PORT_GENEVE    6081

/* ---- MPLS, PPPoE ----------------------------------------------------------------------------- */

/* One entry of the label stack; what follows the last is told by its first bits alone. */
enum decode_layer decode_mpls(struct decoder *d)
{
	struct cursor h = decoder_take(d, 4);
	uint32_t entry = cursor_be32(&h);

	if (h.failed)
		return LAYER_END;
	return entry >> 8 & 1 ? LAYER_IP : LAYER_MPLS;
}

enum decode_layer decode_pppoe(struct decoder *d)
{
	struct cursor h = decoder_take(d, 6);
	uint8_t code;
	uint16_t len;

	if (h.failed)
		return LAYER_END;
	cursor_skip(&h, 1);
	code = cursor_u8(&h);
	cursor_skip(&h, 2);
	len = cursor_be16(&h);
	if (code != 0)
		return decoder_end(d, DECODE_OTHER);
	decoder_set_length(d, MIN(len, d->wire_left));
	return LAYER_PPP;
}

/* The protocol's first byte is left out when it is 0 (RFC 1661 section 6.5). */
enum decode_layer decode_ppp(struct decoder *d)
{
	struct cursor h = decoder_take(d, 1);
	uint16_t protocol = cursor_u8(&h);

	if (h.failed)
		return LAYER_END;
	if ((protocol & 1) == 0) {
		h = decoder_take(d, 1);
		protocol = (uint16_t)(protocol << 8 | cursor_u8(&h));
	}
	if (h.failed)
		return LAYER_END;
	switch (protocol) {
	case PPP_IP4:
		return LAYER_IP4;
	case PPP_IP6:
		return LAYER_IP6;
	case PPP_MPLS:
		return LAYER_MPLS;
	default:
		return decoder_end(d, DECODE_OTHER);
	}
}

/* ---- GRE ------------------------------------------------------------------------------------- */

/* Source routes (RFC 1701): family 2, offset 1, length 1, address; the last is all zero. */
static bool skip_routes(struct decoder *d)
{
	struct cursor h;
	uint32_t entry;

	do {
		h = decoder_take(d, 4);
		entry = cursor_be32(&h);
		if (!h.failed)
			h = decoder_take(d, entry & 0xff);
	} while (entry != 0 && !h.failed);
	return !h.failed;
}

/* Over address and control of HDLC, which may stand before PPP's protocol. */
static enum decode_layer skip_hdlc(struct decoder *d)
{
	struct cursor peek = d->c;

	if (cursor_be16(&peek) == 0xff03)
		(void)decoder_take(d, 2);
	return LAYER_PPP;
}

enum decode_layer decode_gre(struct decoder *d)
{
	struct cursor h = decoder_take(d, 4);
	uint16_t flags = cursor_be16(&h), type = cursor_be16(&h);
	uint32_t more = 0;

	if (h.failed)
		return LAYER_END;
	more += flags & (GRE_CHECKSUM | GRE_ROUTING) ? 4 : 0;
	more += flags & GRE_KEY ? 4 : 0;
	more += flags & GRE_SEQUENCE ? 4 : 0;
	more += (flags & GRE_VERSION) == 1 && (flags & GRE_ACK) ? 4 : 0;
	h = decoder_take(d, more);
	if (h.failed || (flags & GRE_ROUTING && !skip_routes(d)))
		return LAYER_END;
	switch (type) {
	case GRE_BRIDGING:
		return LAYER_ETHERNET;
	case GRE_ERSPAN: /* the first version has no header, and no sequence number */
		return flags & GRE_SEQUENCE ? LAYER_ERSPAN2 : LAYER_ETHERNET;
	case GRE_ERSPAN3:
		return LAYER_ERSPAN3;
	case GRE_PPP:
		return skip_hdlc(d);
	default:
		return decode_ethertype(d, type);
	}
}

/*
 * Version and VLAN of what was mirrored stand first in both. Which VLAN tells fragments apart is
 * Wireshark's choice.
 */
enum decode_layer decode_erspan2(struct decoder *d)
{
	struct cursor h = decoder_take(d, 8);

	if (d->vlan == 0)
		d->vlan = cursor_be16(&h) & 0xfff;
	return h.failed ? LAYER_END : LAYER_ETHERNET;
}

/* The last bit of the header tells of 8 bytes more. */
enum decode_layer decode_erspan3(struct decoder *d)
{
	struct cursor h = decoder_take(d, 12);

	d->vlan = cursor_be16(&h) & 0xfff;
	cursor_skip(&h, 9);
	if (cursor_u8(&h) & 1)
		h = decoder_take(d, 8);
	return h.failed ? LAYER_END : LAYER_ETHERNET;
}

/* ---- over UDP -------------------------------------------------------------------------------- */

static enum decode_layer layer_of_port(uint16_t port)
{
	if (port == PORT_VXLAN || port == PORT_VXLAN_OLD)
		return LAYER_VXLAN;
	return port == PORT_GENEVE ? LAYER_GENEVE : LAYER_END;
}

enum decode_layer decode_udp(struct decoder *d)
{
	struct cursor h = decoder_take(d, 8);
	uint16_t from = cursor_be16(&h), to = cursor_be16(&h), len = cursor_be16(&h);
	enum decode_layer layer = layer_of_port(MIN(from, to));

	if (h.failed)
		return LAYER_END;
	if (layer == LAYER_END)
		layer = layer_of_port(MAX(from, to));
	if (layer == LAYER_END || len < 8)
		return decoder_end(d, DECODE_OTHER);
	decoder_set_length(d, MIN(len - 8U, d->wire_left));
	return layer;
}

enum decode_layer decode_vxlan(struct decoder *d)
{
	struct cursor h = decoder_take(d, 8);

	return h.failed ? LAYER_END : LAYER_ETHERNET;
}

enum decode_layer decode_geneve(struct decoder *d)
{
	struct cursor h = decoder_take(d, 8);
	uint32_t options_len = (cursor_u8(&h) & 0x3fU) * 4;
	uint16_t type;

	if (h.failed)
		return LAYER_END;
	cursor_skip(&h, 1);
	type = cursor_be16(&h);
	h = decoder_take(d, options_len);
	if (h.failed)
		return LAYER_END;
	return type == GRE_BRIDGING ? LAYER_ETHERNET : decode_ethertype(d, type);
}
