/*
 * pcapng.c -- writes pcapng: section header, interfaces, packets with comments, secrets, statistics.
 *
 * Blocks are put together in a buffer and leave it whole, so that a reader of the growing file
 * meets a torn block only in the middle of a write. After an error the file is cut back to its
 * last whole block, and nothing more is written: a block behind a torn one would be lost. Never
 * writes custom blocks or epb_verdict, and reads nothing.
 *
 * Invariant: buf[0, whole) are whole blocks; only the block at hand is behind them.
 */
#include "trace/pcapng.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define BUFFER_BYTES     (256U * 1024)

#define BLOCK_SECTION    0x0a0d0d0aU
#define BLOCK_INTERFACE  1U
#define BLOCK_STATISTICS 5U
#define BLOCK_PACKET     6U
#define BLOCK_SECRETS    10U

#define BYTE_ORDER_MAGIC 0x1a2b3c4dU

enum option {
	OPT_END = 0,
	OPT_COMMENT = 1,
	SHB_HARDWARE = 2,
	SHB_OS = 3,
	SHB_USERAPPL = 4,
	IF_NAME = 2,
	IF_DESCRIPTION = 3,
	IF_TSRESOL = 9,
	IF_FILTER = 11,
	EPB_FLAGS = 2,
	EPB_DROPCOUNT = 4,
	ISB_STARTTIME = 2,
	ISB_ENDTIME = 3,
	ISB_IFRECV = 4,
	ISB_IFDROP = 5,
};

struct pcapng {
	int fd;
	bool failed;
	bool seekable;
	bool has_secrets;    /* buf holds, or held some: what leaves it is wiped */
	uint64_t file_bytes; /* whole blocks in the file, where it can be cut back */
	uint8_t *buf;
	size_t cap;
	size_t len;
	size_t whole;
};

/* ---- the file ---- */

static bool write_all(struct pcapng *w, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(w->fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

bool pcapng_flush(struct pcapng *w)
{
	if (w->failed)
		return false;
	if (!write_all(w, w->buf, w->whole)) {
		w->failed = true;
		if (w->seekable && ftruncate(w->fd, (off_t)w->file_bytes) != 0)
			w->seekable = false;
		return false;
	}
	w->file_bytes += w->whole;
	memmove(w->buf, w->buf + w->whole, w->len - w->whole);
	w->len -= w->whole;
	if (UNLIKELY(w->has_secrets))
		explicit_bzero(w->buf + w->len, w->whole);
	w->whole = 0;
	return true;
}

/*
 * Room for n bytes of the block at hand: what is whole leaves, and a huge block gets a larger
 * buffer.
 */
static bool make_room(struct pcapng *w, size_t n)
{
	uint8_t *buf;
	size_t cap;

	if (w->failed)
		return false;
	if (w->cap - w->len >= n)
		return true;
	if (w->whole > 0 && !pcapng_flush(w))
		return false;
	if (w->cap - w->len >= n)
		return true;
	cap = MAX(w->cap * 2, w->len + n);
	buf = realloc(w->buf, cap);
	if (buf == NULL) {
		w->failed = true;
		return false;
	}
	w->buf = buf;
	w->cap = cap;
	return true;
}

/* ---- blocks: begin, fields and options, end; a failure shows at the end ---- */

static void put_bytes(struct pcapng *w, const void *bytes, size_t len)
{
	static const uint8_t zero[3];
	size_t padding = -len & 3;

	if (!make_room(w, len + padding))
		return;
	memcpy(w->buf + w->len, bytes, len);
	memcpy(w->buf + w->len + len, zero, padding);
	w->len += len + padding;
}

static void put_u32(struct pcapng *w, uint32_t value)
{
	put_bytes(w, &value, sizeof(value));
}

static void put_u16_pair(struct pcapng *w, uint16_t first, uint16_t second)
{
	uint16_t pair[2] = {first, second};

	put_bytes(w, pair, sizeof(pair));
}

static void put_time(struct pcapng *w, uint64_t ts_ns)
{
	put_u32(w, (uint32_t)(ts_ns >> 32));
	put_u32(w, (uint32_t)ts_ns);
}

static void put_option(struct pcapng *w, enum option code, const void *bytes, size_t len)
{
	put_u16_pair(w, (uint16_t)code, (uint16_t)len);
	put_bytes(w, bytes, len);
}

/* Text longer than an option can hold is cut, not in the middle of a character. */
static size_t text_cut(const char *text, size_t len)
{
	if (len <= UINT16_MAX)
		return len;
	len = UINT16_MAX;
	while (len > 0 && ((uint8_t)text[len] & 0xc0) == 0x80)
		len--;
	return len;
}

static void put_text(struct pcapng *w, enum option code, const char *text)
{
	put_option(w, code, text, text_cut(text, strlen(text)));
}

static void put_time_option(struct pcapng *w, enum option code, uint64_t ts_ns)
{
	put_u16_pair(w, (uint16_t)code, 8);
	put_time(w, ts_ns);
}

static void put_u64_option(struct pcapng *w, enum option code, uint64_t value)
{
	put_option(w, code, &value, sizeof(value));
}

static void begin_block(struct pcapng *w, uint32_t type)
{
	put_u32(w, type);
	put_u32(w, 0); /* the length, when it is known */
}

static bool end_block(struct pcapng *w)
{
	uint32_t len;

	if (!make_room(w, 4))
		return false;
	len = (uint32_t)(w->len - w->whole + 4);
	memcpy(w->buf + w->whole + 4, &len, sizeof(len));
	put_u32(w, len);
	w->whole = w->len;
	return true;
}

static bool put_section(struct pcapng *w, const char *application)
{
	int64_t unknown_length = -1;
	struct utsname system;
	char os[sizeof(system.sysname) + sizeof(system.release) + 1];

	begin_block(w, BLOCK_SECTION);
	put_u32(w, BYTE_ORDER_MAGIC);
	put_u16_pair(w, 1, 0);
	put_bytes(w, &unknown_length, sizeof(unknown_length));
	if (uname(&system) == 0) {
		put_text(w, SHB_HARDWARE, system.machine);
		snprintf(os, sizeof(os), "%s %s", system.sysname, system.release);
		put_text(w, SHB_OS, os);
	}
	put_text(w, SHB_USERAPPL, application);
	put_u32(w, OPT_END);
	return end_block(w);
}

struct pcapng *pcapng_new(int fd, const char *application)
{
	struct pcapng *w = calloc(1, sizeof(*w));
	off_t at = lseek(fd, 0, SEEK_CUR);

	if (w == NULL) {
		close(fd);
		return NULL;
	}
	w->fd = fd;
	w->seekable = at >= 0;
	w->file_bytes = at >= 0 ? (uint64_t)at : 0;
	w->cap = BUFFER_BYTES;
	w->buf = malloc(w->cap);
	if (w->buf != NULL && put_section(w, application) && pcapng_flush(w))
		return w;
	w->failed = true;
	(void)pcapng_close(w);
	return NULL;
}

bool pcapng_interface(struct pcapng *w, const struct pcapng_interface *i)
{
	static const uint8_t nanoseconds = 9;

	begin_block(w, BLOCK_INTERFACE);
	put_u16_pair(w, i->link, 0);
	put_u32(w, i->snap_len);
	put_text(w, IF_NAME, i->name);
	if (i->description != NULL)
		put_text(w, IF_DESCRIPTION, i->description);
	put_option(w, IF_TSRESOL, &nanoseconds, 1);
	if (i->filter != NULL) {
		size_t len = MIN(strlen(i->filter) + 1, UINT16_MAX);
		char *filter = malloc(len);

		if (filter == NULL) {
			w->failed = true;
			return false;
		}
		filter[0] = 0; /* a filter for libpcap, as text */
		memcpy(filter + 1, i->filter, len - 1);
		put_option(w, IF_FILTER, filter, len);
		free(filter);
	}
	put_u32(w, OPT_END);
	return end_block(w);
}

/* ---- packets: put together in one go, since there are many ---- */

#define PACKET_FIXED 96 /* what is no packet byte, comment or padding of those */

static char *put_word32(char *p, uint32_t value)
{
	memcpy(p, &value, sizeof(value));
	return p + sizeof(value);
}

/* With the padding to 32 bits. */
static char *put_padded(char *p, const void *bytes, size_t len)
{
	memset(p + (len & ~(size_t)3), 0, 4);
	memcpy(p, bytes, len);
	return p + ((len + 3) & ~(size_t)3);
}

static char *put_head32(char *p, enum option code, size_t len)
{
	return put_word32(p, (uint32_t)code | (uint32_t)len << 16);
}

static size_t comment_len(const struct pcapng_comment *c)
{
	return text_cut(c->text, c->len);
}

static size_t packet_max(const struct packet *p, const struct pcapng_comment *comments,
			 unsigned count)
{
	size_t need = PACKET_FIXED + (size_t)p->cap_len;

	for (unsigned i = 0; i < count; i++)
		need += 8 + comments[i].len;
	return need;
}

static char *put_options(char *at, const struct packet *p, const struct pcapng_comment *comments,
			 unsigned count)
{
	uint32_t flags = p->direction & 3U;

	for (unsigned i = 0; i < count; i++) {
		size_t len = comment_len(&comments[i]);

		at = put_head32(at, OPT_COMMENT, len);
		at = put_padded(at, comments[i].text, len);
	}
	if (flags != 0) {
		at = put_head32(at, EPB_FLAGS, sizeof(flags));
		at = put_word32(at, flags);
	}
	if (p->dropped_before > 0) {
		at = put_head32(at, EPB_DROPCOUNT, 8);
		at = put_word32(at, p->dropped_before);
		at = put_word32(at, 0);
	}
	if (count > 0 || flags != 0 || p->dropped_before > 0)
		at = put_head32(at, OPT_END, 0);
	return at;
}

bool pcapng_packet(struct pcapng *w, const struct packet *p, const struct pcapng_comment *comments,
		   unsigned count)
{
	char *begin, *at;
	uint32_t len;

	if (!make_room(w, packet_max(p, comments, count)))
		return false;
	begin = (char *)w->buf + w->len;
	at = put_word32(begin, BLOCK_PACKET);
	at = put_word32(at, 0); /* the length, when it is known */
	at = put_word32(at, p->iface);
	at = put_word32(at, (uint32_t)(p->ts_ns >> 32));
	at = put_word32(at, (uint32_t)p->ts_ns);
	at = put_word32(at, p->cap_len);
	at = put_word32(at, MAX(p->wire_len, p->cap_len));
	at = put_padded(at, p->bytes, p->cap_len);
	at = put_options(at, p, comments, count);
	len = (uint32_t)(at - begin) + 4;
	(void)put_word32(at, len);
	memcpy(begin + 4, &len, sizeof(len));
	w->len += len;
	w->whole = w->len;
	return true;
}

/* Room is made first: a buffer that grows would leave a copy behind. */
bool pcapng_secrets(struct pcapng *w, uint32_t type, const void *bytes, size_t len)
{
	if (len > UINT32_MAX - 64) {
		w->failed = true;
		return false;
	}
	if (!make_room(w, len + 64))
		return false;
	w->has_secrets = true;
	begin_block(w, BLOCK_SECRETS);
	put_u32(w, type);
	put_u32(w, (uint32_t)len);
	put_bytes(w, bytes, len);
	return end_block(w);
}

bool pcapng_statistics(struct pcapng *w, uint32_t iface, const struct pcapng_statistics *s)
{
	begin_block(w, BLOCK_STATISTICS);
	put_u32(w, iface);
	put_time(w, s->ts_ns);
	if (s->start_ns != 0)
		put_time_option(w, ISB_STARTTIME, s->start_ns);
	put_time_option(w, ISB_ENDTIME, s->ts_ns);
	put_u64_option(w, ISB_IFRECV, s->received);
	put_u64_option(w, ISB_IFDROP, s->dropped);
	put_u32(w, OPT_END);
	return end_block(w);
}

bool pcapng_close(struct pcapng *w)
{
	bool good;

	if (w == NULL)
		return true;
	good = pcapng_flush(w);
	if (close(w->fd) != 0)
		good = false;
	if (w->has_secrets)
		explicit_bzero(w->buf, w->len);
	free(w->buf);
	free(w);
	return good;
}
