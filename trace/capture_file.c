/*
 * capture_file.c -- reads capture files: opens them, tells the formats apart, and reads pcap.
 *
 * The blocks of pcapng are capture_blocks.c's. Nothing is believed: each length is checked against
 * what stands around it before it is used. Never seeks, and never holds more than one block.
 */
#include "trace/capture_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trace/capture_blocks.h"

#define MAGIC_PCAP_US    0xa1b2c3d4U
#define MAGIC_PCAP_NS    0xa1b23c4dU
#define MAGIC_MODIFIED   0xa1b2cd34U
#define PCAP_HEADER      24
#define PCAP_RECORD      16
#define PCAP_RECORD_MAX  24 /* of the modified format: interface, protocol and type behind it */
#define LINK_RAW_LINUX   12 /* LINK_RAW as some programs write it */
#define LINK_RAW_OPENBSD 14

enum capture_file_result capture_file_fail(struct capture_file *f, char err[CAPTURE_FILE_ERROR_MAX],
					   const char *fmt, ...)
{
	va_list args;
	int n;

	f->broken = true;
	n = snprintf(err, CAPTURE_FILE_ERROR_MAX, "%.300s: byte %llu%s: ", f->name,
		     (unsigned long long)f->item_at,
		     byte_source_is_packed(f->source) ? " unpacked" : "");
	va_start(args, fmt);
	vsnprintf(err + n, CAPTURE_FILE_ERROR_MAX - (size_t)n, fmt, args);
	va_end(args);
	return CAPTURE_FILE_BROKEN;
}

enum capture_file_result capture_file_cut(struct capture_file *f, char err[CAPTURE_FILE_ERROR_MAX],
					  const char *what)
{
	const char *fault = byte_source_fault(f->source);

	if (fault != NULL)
		return capture_file_fail(f, err, "%s", fault);
	return capture_file_fail(f, err, "the file ends in the middle of %s", what);
}

uint16_t capture_file_link(uint32_t link)
{
	link &= 0xffff;
	return link == LINK_RAW_LINUX || link == LINK_RAW_OPENBSD ? LINK_RAW : (uint16_t)link;
}

struct capture_file_interface *capture_file_add_interface(struct capture_file *f)
{
	if (f->interface_count == f->interface_cap) {
		unsigned cap = f->interface_cap == 0 ? 4 : f->interface_cap * 2;
		struct capture_file_interface *list;

		if (cap > CAPTURE_FILE_INTERFACES_MAX)
			return NULL;
		list = realloc(f->interfaces, cap * sizeof(*list));
		if (list == NULL)
			return NULL;
		f->interfaces = list;
		f->interface_cap = cap;
	}
	f->interfaces[f->interface_count] = (struct capture_file_interface){.resolution = 6};
	return &f->interfaces[f->interface_count++];
}

/* ---- pcap ---- */

static bool open_pcap(struct capture_file *f, uint32_t magic, char err[CAPTURE_FILE_ERROR_MAX])
{
	struct capture_file_interface *i;
	struct cursor c;
	unsigned major, minor;

	if (byte_source_fill(f->source, PCAP_HEADER) < PCAP_HEADER) {
		(void)capture_file_cut(f, err, "its header");
		return false;
	}
	c = cursor_of(byte_source_at(f->source), PCAP_HEADER);
	cursor_skip(&c, 4);
	major = capture_file_u16(f, &c);
	minor = capture_file_u16(f, &c);
	if (major != 2 || minor < 3) {
		(void)capture_file_fail(
			f, err, "version %u.%u of the pcap format is not known here", major, minor);
		return false;
	}
	cursor_skip(&c, 12);
	i = capture_file_add_interface(f);
	if (i == NULL) {
		(void)capture_file_fail(f, err, "out of memory");
		return false;
	}
	i->link = capture_file_link(capture_file_u32(f, &c));
	i->resolution = magic == MAGIC_PCAP_NS ? 9 : 6;
	f->record_len = magic == MAGIC_MODIFIED ? PCAP_RECORD_MAX : PCAP_RECORD;
	f->passed = PCAP_HEADER;
	return true;
}

static enum capture_file_result next_pcap(struct capture_file *f, struct packet *p,
					  char err[CAPTURE_FILE_ERROR_MAX])
{
	size_t got = byte_source_fill(f->source, f->record_len);
	uint32_t seconds, fraction;
	struct cursor c;

	if (got == 0 && byte_source_fault(f->source) == NULL)
		return CAPTURE_FILE_END;
	if (got < f->record_len)
		return capture_file_cut(f, err, "a packet");
	c = cursor_of(byte_source_at(f->source), PCAP_RECORD);
	seconds = capture_file_u32(f, &c);
	fraction = capture_file_u32(f, &c);
	*p = (struct packet){.link = f->interfaces[0].link};
	p->cap_len = capture_file_u32(f, &c);
	p->wire_len = capture_file_u32(f, &c);
	p->ts_ns = seconds * NS_PER_S + fraction * (f->interfaces[0].resolution == 9 ? 1 : 1000ULL);
	if (p->cap_len > CAPTURE_FILE_BLOCK_MAX)
		return capture_file_fail(f, err, "a packet of %u bytes: the file is damaged",
					 p->cap_len);
	f->passed = (size_t)f->record_len + p->cap_len;
	if (byte_source_fill(f->source, f->passed) < f->passed)
		return capture_file_cut(f, err, "a packet");
	p->bytes = byte_source_at(f->source) + f->record_len;
	p->frame = ++f->frame;
	return CAPTURE_FILE_PACKET;
}

/* ---- both ---- */

/* Formats that other programs unpack. */
static const struct {
	uint8_t bytes[4];
	uint8_t len;
	const char *program;
} compressions[] = {
	{{0xfd, '7', 'z', 'X'}, 4, "xz"},
	{{'B', 'Z', 'h'}, 3, "bzip2"},
	{{0x04, 0x22, 0x4d, 0x18}, 4, "lz4"},
};

static void refuse_format(struct capture_file *f, const uint8_t *magic, size_t len,
			  char err[CAPTURE_FILE_ERROR_MAX])
{
	if (unpack_format_of(magic, len) != UNPACK_NONE) {
		(void)capture_file_fail(f, err, "compressed twice");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(compressions); i++) {
		if (len < compressions[i].len ||
		    memcmp(magic, compressions[i].bytes, compressions[i].len) != 0)
			continue;
		(void)capture_file_fail(f, err, "compressed; give it through a pipe: %s -dc FILE",
					compressions[i].program);
		return;
	}
	(void)capture_file_fail(f, err, "no capture file (pcap or pcapng)");
}

/* The first bytes of what is to be read, unpacked when they are compressed; 0: err says why. */
static size_t open_source(struct capture_file *f, char err[CAPTURE_FILE_ERROR_MAX])
{
	size_t got = byte_source_fill(f->source, 4);
	enum unpack_format format = unpack_format_of(byte_source_at(f->source), got);

	if (format != UNPACK_NONE) {
		if (!byte_source_unpack(f->source, format)) {
			(void)capture_file_fail(f, err, "no memory");
			return 0;
		}
		got = byte_source_fill(f->source, 4);
	}
	if (got == 0 && byte_source_fault(f->source) != NULL)
		(void)capture_file_cut(f, err, "nothing");
	else if (got == 0)
		(void)capture_file_fail(f, err, "the file is empty");
	return got;
}

static bool open_format(struct capture_file *f, char err[CAPTURE_FILE_ERROR_MAX])
{
	size_t got = open_source(f, err);
	uint32_t magic = 0, swapped;

	if (got == 0)
		return false;
	memcpy(&magic, byte_source_at(f->source), MIN(got, sizeof(magic)));
	swapped = __builtin_bswap32(magic);
	if (got >= 4 && magic == CAPTURE_BLOCK_SECTION) {
		f->blocks = true;
		return true;
	}
	f->swapped =
		swapped == MAGIC_PCAP_US || swapped == MAGIC_PCAP_NS || swapped == MAGIC_MODIFIED;
	if (f->swapped)
		magic = swapped;
	if (magic == MAGIC_PCAP_US || magic == MAGIC_PCAP_NS || magic == MAGIC_MODIFIED)
		return open_pcap(f, magic, err);
	if (got < 4 && byte_source_fault(f->source) != NULL)
		(void)capture_file_cut(f, err, "its header");
	else
		refuse_format(f, byte_source_at(f->source), got, err);
	return false;
}

struct capture_file *capture_file_open(const char *path, char err[CAPTURE_FILE_ERROR_MAX])
{
	bool standard_input = strcmp(path, "-") == 0;
	int fd = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	struct capture_file *f;

	if (fd < 0) {
		int error = errno;

		snprintf(err, CAPTURE_FILE_ERROR_MAX, "%.300s: %s", path, strerror(error));
		errno = error;
		return NULL;
	}
	f = calloc(1, sizeof(*f));
	if (f != NULL) {
		f->source = byte_source_new(fd);
		f->name = strdup(standard_input ? "standard input" : path);
	}
	if (f == NULL || f->source == NULL || f->name == NULL) {
		snprintf(err, CAPTURE_FILE_ERROR_MAX, "%.300s: out of memory", path);
		capture_file_close(f);
		errno = ENOMEM;
		return NULL;
	}
	if (!open_format(f, err)) {
		capture_file_close(f);
		errno = 0;
		return NULL;
	}
	return f;
}

void capture_file_close(struct capture_file *f)
{
	if (f == NULL)
		return;
	byte_source_free(f->source);
	for (unsigned i = 0; i < f->interface_count; i++)
		free(f->interfaces[i].name);
	free(f->interfaces);
	free(f->name);
	free(f);
}

enum capture_file_result capture_file_next(struct capture_file *f, struct packet *p,
					   char err[CAPTURE_FILE_ERROR_MAX])
{
	if (f->broken)
		return CAPTURE_FILE_END;
	if (!byte_source_skip(f->source, f->passed))
		return capture_file_cut(f, err, "a packet");
	f->passed = 0;
	f->item_at = byte_source_offset(f->source);
	return f->blocks ? capture_blocks_next(f, p, err) : next_pcap(f, p, err);
}

void capture_file_on_secrets(struct capture_file *f, capture_file_secrets fn, void *arg)
{
	f->secrets = fn;
	f->secrets_arg = arg;
}

unsigned capture_file_interfaces(const struct capture_file *f)
{
	return f->interface_count;
}

const char *capture_file_interface_name(const struct capture_file *f, unsigned i)
{
	return i < f->interface_count ? f->interfaces[i].name : NULL;
}

uint16_t capture_file_interface_link(const struct capture_file *f, unsigned i)
{
	return i < f->interface_count ? f->interfaces[i].link : 0;
}
