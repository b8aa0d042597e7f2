/*
 * decode_layers.h -- between the files of the decoder: the layers, and the packet being walked.
 *
 * A step reads its layer's header and names the layer that follows, or says with decoder_end() what
 * the packet is. decode.c has the table of steps.
 *
 * Invariant: the captured bytes left are at most wire_left, the bytes that were on the wire.
 */
#ifndef TRACE_DECODE_LAYERS_H
#define TRACE_DECODE_LAYERS_H

#include "common/cursor.h"
#include "trace/decode.h"

#define ETHERTYPE_FIRST 0x0600 /* below it stands a length (IEEE 802.3) */

enum decode_layer {
	LAYER_END, /* the result stands */
	LAYER_ETHERNET,
	LAYER_SLL,
	LAYER_SLL2,
	LAYER_NULL,
	LAYER_VLAN,
	LAYER_8021AD,
	LAYER_LLC,
	LAYER_MPLS,
	LAYER_PPPOE,
	LAYER_PPP,
	LAYER_IP,
	LAYER_IP4,
	LAYER_IP6,
	LAYER_IP6_OPTIONS,
	LAYER_IP6_FRAGMENT,
	LAYER_AUTH,
	LAYER_ICMP4,
	LAYER_ICMP6,
	LAYER_GRE,
	LAYER_ERSPAN2,
	LAYER_ERSPAN3,
	LAYER_UDP,
	LAYER_VXLAN,
	LAYER_GENEVE,
	LAYER_TCP,
	LAYER_COUNT,
};

struct decoder {
	struct cursor c;     /* captured bytes from here on, none beyond the IP datagram */
	uint32_t wire_left;  /* bytes on the wire from here on */
	uint32_t frame_len;  /* from `start` on: what the layers around have room for */
	uint16_t vlan;       /* of the outermost tag but a provider's */
	uint8_t ip_version;  /* of the innermost datagram */
	bool length_unknown; /* IPv6 payload length 0: a jumbo option may tell */
	bool is_quoted;      /* by an ICMP error: the segment's length is not known */
	bool is_cut;         /* nor is it in a fragment that was not captured whole */
	bool is_joined;      /* the bytes at hand are a datagram joined from fragments */
	enum decode_result result;
	const uint8_t *start;
	uint32_t joined_off;         /* is_joined: where the frame's own part of it begins */
	struct fragments *fragments; /* NULL: they are not joined */
	struct segment *seg;
};

static inline enum decode_layer decoder_end(struct decoder *d, enum decode_result result)
{
	d->result = result;
	return LAYER_END;
}

/* The next n bytes; failed, with the result set, when they were not captured or never there. */
static inline struct cursor decoder_take(struct decoder *d, uint32_t n)
{
	struct cursor h = cursor_sub(&d->c, n);

	if (h.failed)
		d->result = d->wire_left < n ? DECODE_MALFORMED : DECODE_CUT;
	else
		d->wire_left -= n;
	return h;
}

/* What follows is n bytes long: what stands behind is padding of the link. */
static inline void decoder_set_length(struct decoder *d, uint32_t n)
{
	d->wire_left = n;
	d->frame_len = MIN(d->frame_len, (uint32_t)(d->c.at - d->start) + n);
	if (cursor_left(&d->c) > n)
		d->c.end = d->c.at + n;
}

/* As decode_next() for a packet of any form, plain ones (decode_plain.h) too. */
enum decode_result decode_walk(struct fragments *fragments, const struct packet *p,
			       struct segment *seg) MUST_CHECK;

/* What an ethertype or an IP protocol number announces. */
enum decode_layer decode_ethertype(struct decoder *d, uint16_t type);
enum decode_layer decode_protocol(struct decoder *d, uint8_t protocol);

/* ---- steps: decode_link.c ---- */
enum decode_layer decode_ethernet(struct decoder *d);
enum decode_layer decode_sll(struct decoder *d);
enum decode_layer decode_sll2(struct decoder *d);
enum decode_layer decode_null(struct decoder *d);
enum decode_layer decode_vlan(struct decoder *d);
enum decode_layer decode_8021ad(struct decoder *d);
enum decode_layer decode_llc(struct decoder *d);

/* ---- decode_ip.c ---- */
enum decode_layer decode_ip(struct decoder *d);
enum decode_layer decode_ip4(struct decoder *d);
enum decode_layer decode_ip6(struct decoder *d);
enum decode_layer decode_ip6_options(struct decoder *d);
enum decode_layer decode_ip6_fragment(struct decoder *d);
enum decode_layer decode_auth(struct decoder *d);
enum decode_layer decode_icmp4(struct decoder *d);
enum decode_layer decode_icmp6(struct decoder *d);

/* ---- decode_tunnel.c ---- */
enum decode_layer decode_mpls(struct decoder *d);
enum decode_layer decode_pppoe(struct decoder *d);
enum decode_layer decode_ppp(struct decoder *d);
enum decode_layer decode_gre(struct decoder *d);
enum decode_layer decode_erspan2(struct decoder *d);
enum decode_layer decode_erspan3(struct decoder *d);
enum decode_layer decode_udp(struct decoder *d);
enum decode_layer decode_vxlan(struct decoder *d);
enum decode_layer decode_geneve(struct decoder *d);

#endif
