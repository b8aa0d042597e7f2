/*
 * decode_link.c -- the steps of the link layer: from a frame to what its ethertype announces.
 */
#include "trace/decode_layers.h"

#define ETHERTYPE_IP4      0x0800
#define ETHERTYPE_IP6      0x86dd
#define ETHERTYPE_VLAN     0x8100
#define ETHERTYPE_8021AD   0x88a8
#define ETHERTYPE_QINQ     0x9100
#define ETHERTYPE_QINQ_OLD 0x9200
#define ETHERTYPE_MPLS     0x8847
#define ETHERTYPE_MPLS_UP  0x8848
#define ETHERTYPE_PPPOE    0x8864

#define SLL_TYPE_8022      0x0004
#define SLL_ARP_NETLINK    824

enum decode_layer decode_ethertype(struct decoder *d, uint16_t type)
{
	switch (type) {
	case ETHERTYPE_IP4:
		return LAYER_IP4;
	case ETHERTYPE_IP6:
		return LAYER_IP6;
	case ETHERTYPE_VLAN:
	case ETHERTYPE_QINQ:
	case ETHERTYPE_QINQ_OLD:
		return LAYER_VLAN;
	case ETHERTYPE_8021AD:
		return LAYER_8021AD;
	case ETHERTYPE_MPLS:
	case ETHERTYPE_MPLS_UP:
		return LAYER_MPLS;
	case ETHERTYPE_PPPOE:
		return LAYER_PPPOE;
	default:
		return decoder_end(d, DECODE_OTHER);
	}
}

enum decode_layer decode_ethernet(struct decoder *d)
{
	struct cursor h = decoder_take(d, 14);
	uint16_t type;

	if (h.failed)
		return LAYER_END;
	cursor_skip(&h, 12);
	type = cursor_be16(&h);
	if (type >= ETHERTYPE_FIRST)
		return decode_ethertype(d, type);
	if (type <= d->wire_left)
		decoder_set_length(d, type);
	return LAYER_LLC;
}

static enum decode_layer read_tag(struct decoder *d, uint16_t *tag)
{
	struct cursor h = decoder_take(d, 4);
	uint16_t type;

	if (h.failed)
		return LAYER_END;
	*tag = cursor_be16(&h);
	type = cursor_be16(&h);
	return type >= ETHERTYPE_FIRST ? decode_ethertype(d, type) : LAYER_LLC;
}

enum decode_layer decode_vlan(struct decoder *d)
{
	uint16_t tag = 0;
	enum decode_layer next = read_tag(d, &tag);

	if (d->vlan == 0)
		d->vlan = tag & 0xfff;
	return next;
}

/* A provider's tag says nothing about whose addresses follow. */
enum decode_layer decode_8021ad(struct decoder *d)
{
	uint16_t tag;

	return read_tag(d, &tag);
}

/* IEEE 802.2 with SNAP and the ethertype of RFC 1042; nothing else carries IP here. */
enum decode_layer decode_llc(struct decoder *d)
{
	struct cursor h = decoder_take(d, 8);
	uint32_t llc_oui_high, oui_low_type;

	if (h.failed) /* a short frame of 802.2 without SNAP */
		return decoder_end(d, d->result == DECODE_CUT ? DECODE_CUT : DECODE_OTHER);
	llc_oui_high = cursor_be32(&h);
	oui_low_type = cursor_be32(&h);
	if (llc_oui_high != 0xaaaa0300 || oui_low_type >> 16 != 0)
		return decoder_end(d, DECODE_OTHER);
	return decode_ethertype(d, (uint16_t)oui_low_type);
}

static enum decode_layer layer_of_cooked(struct decoder *d, uint16_t arp_type, uint16_t type)
{
	if (arp_type == SLL_ARP_NETLINK)
		return decoder_end(d, DECODE_OTHER);
	return type == SLL_TYPE_8022 ? LAYER_LLC : decode_ethertype(d, type);
}

enum decode_layer decode_sll(struct decoder *d)
{
	struct cursor h = decoder_take(d, 16);
	uint16_t arp_type;

	if (h.failed)
		return LAYER_END;
	cursor_skip(&h, 2);
	arp_type = cursor_be16(&h);
	cursor_skip(&h, 10);
	return layer_of_cooked(d, arp_type, cursor_be16(&h));
}

enum decode_layer decode_sll2(struct decoder *d)
{
	struct cursor h = decoder_take(d, 20);
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
enum decode_layer decode_null(struct decoder *d)
{
	struct cursor h = decoder_take(d, 4);
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
		return decoder_end(d, DECODE_OTHER);
	}
}
