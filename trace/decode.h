/*
 * decode.h -- from link-layer bytes to a TCP segment, bounded and total: any bytes give an answer.
 *
 * Ethernet, 802.1Q/QinQ, Linux SLL and SLL2, NULL/LOOP, raw IP; IPv4 with options, IPv6 with
 * extension headers, their fragments; TCP with options. Tunnels are looked into: MPLS, PPPoE, IP in
 * IP, GRE, ERSPAN, VXLAN, Geneve. Of a segment that several headers carry, the innermost count.
 */
#ifndef TRACE_DECODE_H
#define TRACE_DECODE_H

#include "common/attrib.h"
#include "trace/fragments.h"
#include "trace/packet.h"

enum decode_result {
	DECODE_TCP, /* seg is filled in */
	/*
	 * A TCP header whose segment has no known length: quoted by an ICMP error, in the first
	 * fragment of a datagram that was not captured whole, longer than its datagram, or saying
	 * that it is shorter than a header can be. Of seg, addresses, seq, ack, flags, window and
	 * payload_framed are set. It takes part in the numbering of streams alone.
	 */
	DECODE_HEADER,
	DECODE_OTHER,     /* not TCP over IP, or a link type we do not know */
	DECODE_FRAGMENT,  /* part of a datagram that is not complete */
	DECODE_CUT,       /* the capture ends before the TCP header does (snap length) */
	DECODE_MALFORMED, /* lengths contradict each other */
};

/*
 * The next packet of a capture. On DECODE_TCP every field of seg is set (frame, ts_ns, iface from
 * p). Datagrams are joined from their fragments: the segment is that of the packet which completes
 * it. seg->payload is valid until the next call with these fragments, and no longer than p->bytes.
 */
enum decode_result decode_next(struct fragments *fragments, const struct packet *p,
			       struct segment *seg) MUST_CHECK;

/* One packet by itself: a fragment stays one. */
enum decode_result decode_packet(const struct packet *p, struct segment *seg) MUST_CHECK;

#endif
