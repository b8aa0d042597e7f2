/*
 * capture_image.h -- capture files made in memory, block by block, in either byte order.
 */
#ifndef TESTS_UNIT_TRACE_CAPTURE_IMAGE_H
#define TESTS_UNIT_TRACE_CAPTURE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX 65536

/* A file made in memory, in this machine's byte order or the other. */
struct image {
	bool swapped;
	size_t len;
	size_t block; /* where the block at hand begins */
	uint8_t bytes[FILE_MAX];
};

static inline void put(struct image *m, const void *bytes, size_t len)
{
	if (m->len + len > FILE_MAX)
		abort();
	memcpy(m->bytes + m->len, bytes, len);
	m->len += len;
}

static inline void put16(struct image *m, uint16_t v)
{
	v = m->swapped ? __builtin_bswap16(v) : v;
	put(m, &v, sizeof(v));
}

static inline void put32(struct image *m, uint32_t v)
{
	v = m->swapped ? __builtin_bswap32(v) : v;
	put(m, &v, sizeof(v));
}

static inline void put64(struct image *m, uint64_t v)
{
	v = m->swapped ? __builtin_bswap64(v) : v;
	put(m, &v, sizeof(v));
}

static inline void put_padded(struct image *m, const void *bytes, size_t len)
{
	put(m, bytes, len);
	put(m, "\0\0\0", -len & 3);
}

static inline void put_option(struct image *m, uint16_t code, const void *bytes, uint16_t len)
{
	put16(m, code);
	put16(m, len);
	put_padded(m, bytes, len);
}

static inline void begin(struct image *m, uint32_t type)
{
	m->block = m->len;
	put32(m, type);
	put32(m, 0);
}

static inline void end(struct image *m)
{
	size_t past = m->len + 4;
	uint32_t len = (uint32_t)(past - m->block);

	put32(m, len);
	m->len = m->block + 4;
	put32(m, len);
	m->len = past;
}

static inline void put_section(struct image *m)
{
	begin(m, 0x0a0d0d0a);
	put32(m, 0x1a2b3c4d);
	put16(m, 1);
	put16(m, 0);
	put64(m, UINT64_MAX);
	put_option(m, 4, "a test", 6);
	put32(m, 0);
	end(m);
}

/* resolution 0: no option; name NULL: none */
static inline void put_interface(struct image *m, uint16_t link, uint32_t snap_len,
				 const char *name, uint8_t resolution, int64_t offset_s)
{
	begin(m, 1);
	put16(m, link);
	put16(m, 0);
	put32(m, snap_len);
	if (name != NULL)
		put_option(m, 2, name, (uint16_t)strlen(name));
	if (resolution != 0)
		put_option(m, 9, &resolution, 1);
	if (offset_s != 0) {
		put16(m, 14);
		put16(m, 8);
		put64(m, (uint64_t)offset_s);
	}
	put32(m, 0);
	end(m);
}

/* direction 0 and drops 0: no options */
static inline void put_packet(struct image *m, uint32_t iface, uint64_t stamp, const char *text,
			      uint32_t wire_len, uint32_t direction, uint64_t drops)
{
	begin(m, 6);
	put32(m, iface);
	put32(m, (uint32_t)(stamp >> 32));
	put32(m, (uint32_t)stamp);
	put32(m, (uint32_t)strlen(text));
	put32(m, wire_len);
	put_padded(m, text, strlen(text));
	if (direction != 0 || drops != 0) {
		put_option(m, 1, "a comment", 9);
		put16(m, 2);
		put16(m, 4);
		put32(m, direction);
		put16(m, 4);
		put16(m, 8);
		put64(m, drops);
		put32(m, 0);
	}
	end(m);
}

/* A block that is no packet, with a body that Wireshark does not call damaged. */
static inline void put_other(struct image *m, uint32_t type)
{
	static const char journal[] =
		"__CURSOR=x\n__REALTIME_TIMESTAMP=1764000000000000\nMESSAGE=hello\n";
	static const uint8_t zero[64];

	begin(m, type);
	if (type == 9) {
		put_padded(m, journal, strlen(journal));
	} else if (type == 4 || (type & 0xff00) == 0x200) {
		put(m, zero, sizeof(zero));
	} else {
		put32(m, type == 5 ? 0 : 0x544c534b);
		put32(m, 4);
		put(m, "abcd", 4);
	}
	end(m);
}

static inline void put_pcap_header(struct image *m, uint32_t magic, uint32_t link)
{
	put32(m, magic);
	put16(m, 2);
	put16(m, 4);
	put32(m, 0);
	put32(m, 0);
	put32(m, 65535);
	put32(m, link);
}

static inline void put_record(struct image *m, uint32_t seconds, uint32_t fraction,
			      const char *text, uint32_t wire_len)
{
	put32(m, seconds);
	put32(m, fraction);
	put32(m, (uint32_t)strlen(text));
	put32(m, wire_len);
	put(m, text, strlen(text));
}

#endif
