/*
 * packet.h -- one captured packet as it travels through the tracer, and the TCP segment in it.
 *
 * capture or capture_file -> sorter -> numbering -> decode -> flow/stream -> correlate, dump.
 */
#ifndef TRACE_PACKET_H
#define TRACE_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"

/* LINKTYPE_ values (the pcap file's numbers) that decode knows. */
enum packet_link {
	LINK_NULL = 0,
	LINK_ETHERNET = 1,
	LINK_RAW = 101,
	LINK_LOOP = 108,
	LINK_SLL = 113,
	LINK_IPV4 = 228,
	LINK_IPV6 = 229,
	LINK_SLL2 = 276,
};

enum packet_direction {
	PACKET_DIRECTION_UNKNOWN = 0,
	PACKET_INBOUND = 1, /* values of the pcapng EPB flags word */
	PACKET_OUTBOUND = 2,
};

struct packet {
	uint64_t ts_ns; /* CLOCK_REALTIME capture stamp */
	uint32_t frame; /* from 1 in the dump or file; 0 until numbered */
	uint32_t iface; /* index of the interface within the run or file */
	uint32_t link;  /* enum packet_link, or another LINKTYPE_ that is passed on undecoded */
	uint32_t cap_len;
	uint32_t wire_len;
	uint32_t
		dropped_before; /* packets the interface lost since its previous one (epb_dropcount) */
	uint8_t direction;      /* enum packet_direction, as far as the capture knows */
	uint16_t note_len;
	const uint8_t *bytes; /* cap_len; owned by whoever passes the packet, valid for the call */
	const uint8_t *note;  /* an anchor note (anchor_note.h) that a file has on it, or NULL */
};

enum tcp_flag {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
	TCP_URG = 0x20,
	TCP_ECE = 0x40,
	TCP_CWR = 0x80,
};

#define SEGMENT_SACKS_MAX 4

/* A decoded TCP segment. Sequence numbers in host order. */
struct segment {
	uint64_t ts_ns;
	uint32_t frame;
	uint32_t iface;
	uint32_t device; /* Linux' interface index (SLL2: a capture on `any`); 0: not told */
	struct addr src;
	struct addr dst;
	uint32_t seq;
	uint32_t ack;    /* raw field, meaningful as an ACK only with TCP_ACK */
	uint16_t window; /* raw field */
	uint8_t flags;
	uint8_t ttl;
	uint32_t ip_id; /* IPv4 identification; IPv6: 0 */
	uint16_t urgent;
	uint16_t mss;   /* option, 0: none */
	uint8_t wscale; /* option, SEGMENT_NO_WSCALE: none */
	uint8_t sack_count;
	bool is_short;       /* it says that its header is shorter than one can be */
	bool is_cut;         /* not all of its header was captured */
	bool sack_permitted; /* option of a SYN */
	uint16_t mptcp;      /* a bit per subtype of the MPTCP options in it (RFC 8684 section 3) */
	bool has_ts;
	uint32_t tsval;
	uint32_t tsecr;
	/* payload_captured bytes, in the packet's or in those of the datagram that it completes. */
	const uint8_t *payload;
	uint32_t payload_captured;
	uint32_t payload_off; /* in packet.bytes: where the payload (that part of it) begins */
	uint32_t payload_len; /* on the wire, as the IP header says */
	/*
	 * As much of it as the frame had room for: Wireshark's tcp.len. Less only in a truncated
	 * frame. SEGMENT_NO_LEN of a header alone whose segment has no known length.
	 */
	uint32_t payload_framed;
	struct {
		uint32_t left, right;
	} sack[SEGMENT_SACKS_MAX]; /* sack_count of them */
};

#define SEGMENT_NO_WSCALE 255
#define SEGMENT_NO_LEN    UINT32_MAX

#endif
