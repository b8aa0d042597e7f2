/*
 * decode.h -- from link-layer bytes to a TCP segment, bounded and total: any bytes give an answer.
 *
 * Ethernet, 802.1Q/QinQ, Linux SLL and SLL2, NULL/LOOP, raw IP; IPv4 with options, IPv6 with
 * extension headers; TCP with options. The layers are a table of steps, so that tunnels can be
 * added as further steps.
 */
#ifndef TRACE_DECODE_H
#define TRACE_DECODE_H

#include "common/attrib.h"
#include "trace/packet.h"

enum decode_result {
	DECODE_TCP,       /* seg is filled in */
	DECODE_OTHER,     /* not TCP over IP, or a link type we do not know */
	DECODE_FRAGMENT,  /* part of a fragmented datagram: no TCP header can be trusted here */
	DECODE_CUT,       /* the capture ends before the TCP header does (snap length) */
	DECODE_MALFORMED, /* lengths contradict each other */
};

/* On DECODE_TCP every field of seg is set (frame, ts_ns, iface from p). */
enum decode_result decode_packet(const struct packet *p, struct segment *seg) MUST_CHECK;

#endif
