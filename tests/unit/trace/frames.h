/*
 * frames.h -- Ethernet frames with TCP over IPv4 for tests, with correct checksums, and scratch
 * files to put them in.
 */
#ifndef TESTS_UNIT_TRACE_FRAMES_H
#define TESTS_UNIT_TRACE_FRAMES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/addr.h"
#include "trace/packet.h"

#define FRAME_HEADERS 54
#define FRAME_MAX     70000

static inline void frame_put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline void frame_put32(uint8_t *at, uint32_t value)
{
	frame_put16(at, value >> 16);
	frame_put16(at + 2, value & 0xffff);
}

static inline uint32_t frame_sum(const uint8_t *bytes, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return sum;
}

static inline uint16_t frame_fold(uint32_t sum)
{
	while (sum > 0xffff)
		sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)~sum;
}

/* Write the frame of seg, with seg->payload_len bytes of text; returns its length. */
static inline uint32_t frame_write(const struct segment *seg, uint8_t frame[FRAME_MAX])
{
	uint8_t *ip = frame + 14, *tcp = ip + 20;
	uint32_t tcp_len = 20 + seg->payload_len;

	memset(frame, 0, FRAME_HEADERS);
	frame[0] = 2;
	frame[6] = 2;
	frame[11] = 1;
	frame_put16(frame + 12, 0x0800);
	ip[0] = 0x45;
	frame_put16(ip + 2, 20 + tcp_len);
	frame_put16(ip + 4, seg->ip_id);
	frame_put16(ip + 6, 0x4000);
	ip[8] = 64;
	ip[9] = 6;
	memcpy(ip + 12, seg->src.ip, 4);
	memcpy(ip + 16, seg->dst.ip, 4);
	frame_put16(ip + 10, frame_fold(frame_sum(ip, 20, 0)));
	frame_put16(tcp, seg->src.port);
	frame_put16(tcp + 2, seg->dst.port);
	frame_put32(tcp + 4, seg->seq);
	frame_put32(tcp + 8, seg->ack);
	tcp[12] = 0x50;
	tcp[13] = seg->flags;
	frame_put16(tcp + 14, seg->window);
	memset(tcp + 20, 'x', seg->payload_len);
	frame_put16(tcp + 16,
		    frame_fold(frame_sum(ip + 12, 8, frame_sum(tcp, tcp_len, 6 + tcp_len))));
	return FRAME_HEADERS + seg->payload_len;
}

/* A file without a name: its path is written to path, its descriptor returned. */
static inline int frame_scratch(char path[64])
{
	int fd = memfd_create("frames", 0);

	if (fd < 0)
		abort();
	snprintf(path, 64, "/proc/%d/fd/%d", (int)getpid(), fd);
	return fd;
}

/* What a command prints, up to cap - 1 bytes; its exit status, or -1. */
static inline int frame_command(const char *command, char *out, size_t cap)
{
	FILE *f = popen(command, "r");
	size_t len = 0, n;

	if (f == NULL)
		return -1;
	while (len < cap - 1 && (n = fread(out + len, 1, cap - 1 - len, f)) > 0)
		len += n;
	out[len] = '\0';
	return pclose(f);
}

#endif
