/*
 * decode_plain.c -- one look at the bytes whose places are fixed in the plain form.
 *
 * Never guesses: what differs in any byte that matters is left to the walk through the layers.
 */
#include "trace/decode_plain.h"

#include <string.h>

#include "common/cursor.h"

#define ETHERNET_LEN  14U
#define SLL2_LEN      20U
#define IP_LEN        20U
#define TCP_LEN       20U
#define STAMPED_LEN   (TCP_LEN + 12U) /* with NOP, NOP and the timestamp option */

#define ETHERTYPE_IP4 0x0800
#define ARP_NETLINK   824
#define PROTOCOL_TCP  6

static inline uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Passes the link's header. False: it announces something else than IPv4. */
static inline bool pass_link(const struct packet *p, struct cursor *c, struct segment *seg)
{
	const uint8_t *h;

	seg->device = 0;
	if (p->link == LINK_ETHERNET) {
		h = cursor_take(c, ETHERNET_LEN);
		return h != NULL && be16(h + 12) == ETHERTYPE_IP4;
	}
	if (p->link != LINK_SLL2)
		return false;
	h = cursor_take(c, SLL2_LEN);
	if (h == NULL || be16(h) != ETHERTYPE_IP4 || be16(h + 8) == ARP_NETLINK)
		return false;
	seg->device = be32(h + 4);
	return true;
}

static inline void read_addr(const uint8_t *ip, const uint8_t *port, struct addr *a)
{
	*a = (struct addr){.family = ADDR_IP4, .port = be16(port)};
	memcpy(a->ip, ip, 4);
}

/* The TCP header, of which doff says how long it is. False: it has other options. */
static inline bool read_tcp(const uint8_t *t, uint32_t doff, struct segment *seg)
{
	static const uint8_t stamp[4] = {1, 1, 8, 10};

	/* What is not set below is not there. */
	memset(&seg->seq, 0, offsetof(struct segment, payload) - offsetof(struct segment, seq));
	seg->seq = be32(t + 4);
	seg->ack = be32(t + 8);
	seg->flags = t[13];
	seg->window = be16(t + 14);
	seg->urgent = be16(t + 18);
	seg->wscale = SEGMENT_NO_WSCALE;
	seg->has_ts = doff == STAMPED_LEN;
	if (doff == TCP_LEN)
		return true;
	if (memcmp(t + TCP_LEN, stamp, sizeof(stamp)) != 0)
		return false;
	seg->tsval = be32(t + TCP_LEN + 4);
	seg->tsecr = be32(t + TCP_LEN + 8);
	return true;
}

bool decode_plain(const struct packet *p, struct segment *seg)
{
	struct cursor c = cursor_of(p->bytes, p->cap_len);
	uint32_t total_len, doff;
	const uint8_t *ip, *t;

	if (!pass_link(p, &c, seg))
		return false;
	ip = cursor_take(&c, IP_LEN + TCP_LEN);
	if (ip == NULL || ip[0] != 0x45 || (be16(ip + 6) & 0x3fff) != 0 || ip[9] != PROTOCOL_TCP)
		return false;
	total_len = be16(ip + 2);
	t = ip + IP_LEN;
	doff = (t[12] >> 4U) * 4U;
	if ((doff != TCP_LEN && doff != STAMPED_LEN) || total_len < IP_LEN + doff ||
	    total_len - IP_LEN - TCP_LEN > cursor_left(&c) || !read_tcp(t, doff, seg))
		return false;
	seg->ts_ns = p->ts_ns;
	seg->frame = p->frame;
	seg->iface = p->iface;
	seg->ip_id = be16(ip + 4);
	seg->ttl = ip[8];
	read_addr(ip + 12, t, &seg->src);
	read_addr(ip + 16, t + 2, &seg->dst);
	seg->payload = t + doff;
	seg->payload_off = (uint32_t)(seg->payload - p->bytes);
	seg->payload_len = total_len - IP_LEN - doff;
	seg->payload_captured = seg->payload_len;
	seg->payload_framed = seg->payload_len;
	return true;
}
