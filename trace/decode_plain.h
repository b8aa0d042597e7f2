/*
 * decode_plain.h -- the form that nearly every packet has, read in one go: Ethernet or SLL2, an IPv4
 * datagram without options and in one piece, captured whole, a TCP header with the timestamp option
 * or none.
 */
#ifndef TRACE_DECODE_PLAIN_H
#define TRACE_DECODE_PLAIN_H

#include <stdbool.h>

#include "common/attrib.h"
#include "trace/packet.h"

/*
 * True: seg is what the walk through the layers would make of it (decode.h). False: the packet has
 * another form, and seg holds nothing of use.
 */
bool decode_plain(const struct packet *p, struct segment *seg) MUST_CHECK;

#endif
