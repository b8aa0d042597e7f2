/*
 * show_sample.h -- a small traced run for the tests of what `flowtrace show` prints: a folder, its
 * records, and a dump made segment by segment.
 */
#ifndef TESTS_UNIT_TRACE_SHOW_SAMPLE_H
#define TESTS_UNIT_TRACE_SHOW_SAMPLE_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/attrib.h"
#include "trace/packet.h"
#include "trace/pcapng.h"
#include "trace/screen.h"

/* Start of the exchange, and stamp of frame 1. */
#define SAMPLE_NS    1796026504000000000ULL
#define SAMPLE_START "2026-11-30T08:15:04.000045000Z"
#define SAMPLE_ID    "9f3c51d27be40a18"

/* An ordinary exchange: its handshakes, a piggybacked ACK, the client's close. */
#define SAMPLE_FLOW                                                                               \
	"{\"v\":1,\"run\":\"00005d2c\",\"id\":\"" SAMPLE_ID "\",\"dump\":\"dump.pcapng\","        \
	"\"start\":\"" SAMPLE_START "\",\"status\":200,\"end\":\"done\","                         \
	"\"client\":{\"conn\":1,\"nth\":1,\"stream\":0,\"anchor\":\"syn\","                       \
	"\"handshake\":{\"frames\":[1,2,3],\"us\":30},"                                           \
	"\"request\":{\"seq\":1,\"len\":311,\"next_seq\":312,\"frames\":[4],\"acked_in\":5,"      \
	"\"acked_us\":15,\"retransmitted_bytes\":0,\"retransmitted_in\":[],\"missing_bytes\":0}," \
	"\"interim\":null,"                                                                       \
	"\"response\":{\"seq\":1,\"len\":600,\"next_seq\":601,\"frames\":[12],\"acked_in\":14,"   \
	"\"acked_us\":30,\"retransmitted_bytes\":600,\"retransmitted_in\":[13],"                  \
	"\"missing_bytes\":0},"                                                                   \
	"\"close\":{\"by\":\"client\",\"how\":\"fin\",\"frames\":[15,16,17]}},"                   \
	"\"backend\":{\"conn\":2,\"nth\":1,\"reused\":false,\"attempts\":1,\"stream\":1,"         \
	"\"anchor\":\"syn\",\"handshake\":{\"frames\":[6,7,8],\"us\":30},"                        \
	"\"request\":{\"seq\":1,\"len\":350,\"next_seq\":351,\"frames\":[9],\"acked_in\":10,"     \
	"\"acked_us\":15,\"retransmitted_bytes\":0,\"retransmitted_in\":[],\"missing_bytes\":0}," \
	"\"interim\":null,"                                                                       \
	"\"response\":{\"seq\":1,\"len\":582,\"next_seq\":583,\"frames\":[10],\"acked_in\":11,"   \
	"\"acked_us\":15,\"retransmitted_bytes\":0,\"retransmitted_in\":[],\"missing_bytes\":0}," \
	"\"close\":null,\"tries\":[]},"                                                           \
	"\"phases_us\":{\"total\":150,\"upload\":0,\"proxy_request\":45,\"handshake\":30,"        \
	"\"think\":15,\"proxy_response\":30,\"backend_send\":0,\"download\":0,\"delivery\":30},"  \
	"\"overlap\":null,\"verdict\":\"proxy_request\",\"drops\":0}\n"

#define SAMPLE_PROXY                                                                             \
	"{\"v\":1,\"run\":\"00005d2c\",\"id\":\"" SAMPLE_ID "\",\"start\":\"" SAMPLE_START "\"," \
	"\"method\":\"POST\",\"target\":\"/currencyconvertor.asmx\",\"version\":\"1.1\","        \
	"\"host\":null,\"soap\":{\"action\":\"urn:ConversionRate\"},\"status\":200,"             \
	"\"end\":\"done\",\"at_us\":{\"request_end\":9,\"response_end\":131}}\n"

#define SAMPLE_CONNS                                                                              \
	"{\"v\":1,\"run\":\"00005d2c\",\"dump\":\"dump.pcapng\",\"leg\":\"client\",\"conn\":1,"   \
	"\"stream\":0,\"anchor\":\"syn\",\"local\":\"127.0.0.1:8585\","                           \
	"\"peer\":\"127.0.0.1:40112\",\"opened\":\"" SAMPLE_START "\","                           \
	"\"handshake\":{\"frames\":[1,2,3],\"us\":30},"                                           \
	"\"close\":{\"by\":\"client\",\"how\":\"fin\",\"frames\":[15,16,17]},"                    \
	"\"history\":\"ShADadFaf\",\"exchanges\":1,\"ids\":[\"" SAMPLE_ID "\"],\"ws_shift\":0}\n" \
	"{\"v\":1,\"run\":\"00005d2c\",\"dump\":\"dump.pcapng\",\"leg\":\"backend\",\"conn\":2,"  \
	"\"stream\":1,\"anchor\":\"syn\",\"local\":\"127.0.0.1:51544\","                          \
	"\"peer\":\"127.0.0.1:8080\",\"opened\":\"" SAMPLE_START "\","                            \
	"\"handshake\":{\"frames\":[6,7,8],\"us\":30},"                                           \
	"\"close\":{\"by\":\"proxy\",\"how\":\"rst\",\"frames\":[18]},"                           \
	"\"history\":\"ShADadR\",\"exchanges\":1,\"ids\":[\"" SAMPLE_ID "\"],\"ws_shift\":0}\n"

/* ---- the folder ---- */

struct sample {
	char dir[64];
	struct pcapng *dump;
	uint32_t frame;
};

static inline void sample_path(const struct sample *s, const char *name, char out[128])
{
	snprintf(out, 128, "%s/%s", s->dir, name);
}

static inline void sample_write(const struct sample *s, const char *name, const char *text)
{
	char path[128];
	FILE *f;

	sample_path(s, name, path);
	f = fopen(path, "w");
	cr_assert(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

static inline void sample_begin(struct sample *s)
{
	const struct pcapng_interface lo = {.name = "lo", .link = LINK_RAW};
	char path[128];
	int fd;

	*s = (struct sample){0};
	snprintf(s->dir, sizeof(s->dir), "/tmp/flowtrace-unit-XXXXXX");
	cr_assert(mkdtemp(s->dir) != NULL);
	sample_path(s, "dump.pcapng", path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
	cr_assert(fd >= 0);
	s->dump = pcapng_new(fd, "unit test");
	cr_assert(s->dump != NULL && pcapng_interface(s->dump, &lo));
}

static inline void sample_close_dump(struct sample *s)
{
	cr_assert(pcapng_close(s->dump));
	s->dump = NULL;
}

static inline void sample_remove(struct sample *s)
{
	static const char *const names[] = {"dump.pcapng", "flows.ndjson", "conns.ndjson",
					    "proxy.ndjson"};
	char path[128];

	if (s->dump != NULL)
		sample_close_dump(s);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		sample_path(s, names[i], path);
		(void)unlink(path);
	}
	(void)rmdir(s->dir);
}

/* ---- segments ---- */

struct sample_ends {
	uint16_t from, to;
};

static inline void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffff);
}

/* One segment on loopback, 15 us after the one before; payload NULL: zeros. */
static inline void sample_payload(struct sample *s, uint16_t from, uint16_t to, unsigned flags,
				  uint32_t seq, uint32_t ack, const void *payload, unsigned len)
{
	static const uint8_t loopback[4] = {127, 0, 0, 1};
	uint8_t bytes[40 + 2000] = {0};
	struct packet p = {.link = LINK_RAW, .bytes = bytes};

	cr_assert_leq(len, 2000);
	bytes[0] = 0x45;
	put16(bytes + 2, 40 + len);
	put16(bytes + 4, s->frame + 1);
	bytes[8] = 64;
	bytes[9] = 6;
	memcpy(bytes + 12, loopback, 4);
	memcpy(bytes + 16, loopback, 4);
	put16(bytes + 20, from);
	put16(bytes + 22, to);
	put32(bytes + 24, seq);
	put32(bytes + 28, ack);
	bytes[32] = 0x50;
	bytes[33] = (uint8_t)flags;
	put16(bytes + 34, 512);
	if (payload != NULL)
		memcpy(bytes + 40, payload, len);
	p.cap_len = p.wire_len = 40 + len;
	p.ts_ns = SAMPLE_NS + s->frame * 15000ULL;
	s->frame++;
	cr_assert(pcapng_packet(s->dump, &p, NULL, 0));
}

static inline void sample_segment(struct sample *s, uint16_t from, uint16_t to, unsigned flags,
				  uint32_t seq, uint32_t ack, unsigned len)
{
	sample_payload(s, from, to, flags, seq, ack, NULL, len);
}

#define SYN TCP_SYN
#define ACK TCP_ACK
#define PSH (TCP_PSH | TCP_ACK)
#define FIN (TCP_FIN | TCP_ACK)

/* The segments of SAMPLE_FLOW: client 40112, proxy 8585 and 51544, backend 8080. */
static inline void sample_segments(struct sample *s)
{
	const uint32_t c = 1000, p = 0xffffff00u, q = 7000, b = 9000; /* initial numbers */

	sample_segment(s, 40112, 8585, SYN, c, 0, 0);
	sample_segment(s, 8585, 40112, SYN | ACK, p, c + 1, 0);
	sample_segment(s, 40112, 8585, ACK, c + 1, p + 1, 0);
	sample_segment(s, 40112, 8585, PSH, c + 1, p + 1, 311);
	sample_segment(s, 8585, 40112, ACK, p + 1, c + 312, 0);
	sample_segment(s, 51544, 8080, SYN, q, 0, 0);
	sample_segment(s, 8080, 51544, SYN | ACK, b, q + 1, 0);
	sample_segment(s, 51544, 8080, ACK, q + 1, b + 1, 0);
	sample_segment(s, 51544, 8080, PSH, q + 1, b + 1, 350);
	sample_segment(s, 8080, 51544, PSH, b + 1, q + 351, 582);
	sample_segment(s, 51544, 8080, ACK, q + 351, b + 583, 0);
	sample_segment(s, 8585, 40112, PSH, p + 1, c + 312, 600);
	sample_segment(s, 8585, 40112, PSH, p + 1, c + 312, 600);
	sample_segment(s, 40112, 8585, ACK, c + 312, p + 601, 0);
	sample_segment(s, 40112, 8585, FIN, c + 312, p + 601, 0);
	sample_segment(s, 8585, 40112, FIN, p + 601, c + 313, 0);
	sample_segment(s, 40112, 8585, ACK, c + 313, p + 602, 0);
	sample_segment(s, 51544, 8080, TCP_RST | ACK, q + 351, b + 583, 0);
}

/* The whole folder of SAMPLE_FLOW. */
static inline void sample_make(struct sample *s)
{
	sample_begin(s);
	sample_segments(s);
	sample_close_dump(s);
	sample_write(s, "flows.ndjson", SAMPLE_FLOW);
	sample_write(s, "conns.ndjson", SAMPLE_CONNS);
	sample_write(s, "proxy.ndjson", SAMPLE_PROXY);
}

/* ---- printed text ---- */

struct printed {
	struct screen screen;
	char *text;
	size_t len;
};

static inline void print_to(struct printed *p, bool utf8)
{
	*p = (struct printed){0};
	if (utf8)
		cr_assert_not_null(setlocale(LC_CTYPE, "C.UTF-8"));
	p->screen.out = open_memstream(&p->text, &p->len);
	p->screen.utf8 = utf8;
	cr_assert_not_null(p->screen.out);
}

/* What was printed; no line of it is wider than the screen. Columns are counted as characters. */
static inline const char *print_end(struct printed *p)
{
	unsigned column = 0;

	cr_assert_eq(fclose(p->screen.out), 0);
	for (size_t i = 0; i < p->len; i++) {
		if (p->text[i] == '\n')
			column = 0;
		else if (((unsigned char)p->text[i] & 0xc0) != 0x80)
			column++;
		cr_assert_leq(column, SCREEN_COLUMNS, "a line is too wide:\n%s", p->text);
	}
	return p->text;
}

static inline void expect_line(const char *text, const char *line)
{
	const char *at = strstr(text, line);

	cr_expect(at != NULL && (at == text || at[-1] == '\n') && at[strlen(line)] == '\n',
		  "no line\n%s\nin\n%s", line, text);
}

#endif
