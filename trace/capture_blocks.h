/*
 * capture_blocks.h -- between capture_file.c and capture_blocks.c: the file being read.
 */
#ifndef TRACE_CAPTURE_BLOCKS_H
#define TRACE_CAPTURE_BLOCKS_H

#include "common/cursor.h"
#include "trace/byte_source.h"
#include "trace/capture_file.h"

#define CAPTURE_FILE_BLOCK_MAX      (64U << 20) /* of a block or packet; a larger one is damage */
#define CAPTURE_FILE_INTERFACES_MAX 65536U

#define CAPTURE_BLOCK_SECTION       0x0a0d0d0aU /* reads the same in both byte orders */

struct capture_file_interface {
	char *name; /* may be NULL */
	uint16_t link;
	uint8_t resolution; /* if_tsresol: of 10^-n s, with the highest bit 2^-n s */
	uint32_t snap_len;  /* 0: no limit */
	int64_t offset_s;   /* added to every stamp */
};

struct capture_file {
	struct byte_source *source;
	char *name;
	bool blocks;  /* pcapng */
	bool swapped; /* of the section, or the file */
	bool broken;
	uint8_t record_len; /* of pcap: the header before each packet */
	uint32_t frame;
	uint64_t item_at;             /* offset of the packet or block at hand */
	size_t passed;                /* bytes at the source that the last packet stands in */
	capture_file_secrets secrets; /* NULL: nobody wants them */
	void *secrets_arg;
	struct capture_file_interface *interfaces;
	unsigned interface_count;
	unsigned interface_cap;
	unsigned section_first; /* index of the section's first interface */
};

static inline uint32_t capture_file_u32(const struct capture_file *f, struct cursor *c)
{
	uint32_t v = cursor_native32(c);

	return f->swapped ? __builtin_bswap32(v) : v;
}

static inline uint16_t capture_file_u16(const struct capture_file *f, struct cursor *c)
{
	uint16_t v = cursor_native16(c);

	return f->swapped ? __builtin_bswap16(v) : v;
}

/* Say why the file ends here; BROKEN. */
enum capture_file_result capture_file_fail(struct capture_file *f, char err[CAPTURE_FILE_ERROR_MAX],
					   const char *fmt, ...) PRINTF_LIKE(3, 4);

/* There were fewer bytes than needed, of `what`: end of file or an error. */
enum capture_file_result capture_file_cut(struct capture_file *f, char err[CAPTURE_FILE_ERROR_MAX],
					  const char *what);

/* LINKTYPE_ from the number in a file. */
uint16_t capture_file_link(uint32_t link);

/* NULL: too many, or no memory. */
struct capture_file_interface *capture_file_add_interface(struct capture_file *f) MUST_CHECK;

/* The next packet of a pcapng file. f->passed is 0. */
enum capture_file_result capture_blocks_next(struct capture_file *f, struct packet *p,
					     char err[CAPTURE_FILE_ERROR_MAX]) MUST_CHECK;

#endif
