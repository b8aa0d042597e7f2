/*
 * capture_blocks.c -- reads the blocks of pcapng (draft-ietf-opsawg-pcapng).
 *
 * Sections, interfaces, packets of all three kinds, and secrets if they are wanted; other blocks are
 * passed over without being
 * held. Never follows a length that does not fit into its block.
 */
#include "trace/capture_blocks.h"

#include <string.h>

#include "trace/anchor_note.h"

#define BLOCK_INTERFACE      1
#define BLOCK_PACKET_OLD     2
#define BLOCK_PACKET_SIMPLE  3
#define BLOCK_PACKET         6
#define BLOCK_JOURNAL        9
#define BLOCK_SECRETS        10
#define BLOCK_SYSDIG         0x204
#define BLOCK_SYSDIG_2       0x216
#define BLOCK_SYSDIG_2_LARGE 0x221
#define BLOCK_CUSTOM         0xbad
#define BLOCK_CUSTOM_NO_COPY 0x40000bad

#define BYTE_ORDER_MAGIC     0x1a2b3c4dU
#define BLOCK_LEN_MIN        12

#define OPT_END              0
#define OPT_COMMENT          1
#define OPT_IF_NAME          2
#define OPT_IF_TSRESOL       9
#define OPT_IF_TSOFFSET      14
#define OPT_FLAGS            2
#define OPT_DROPCOUNT        4

#define DROPS_UNKNOWN        0xffff

/* A block at the source, whole; body is what stands between its two lengths. */
struct block {
	uint32_t type;
	uint32_t len;
	struct cursor body;
};

static uint64_t u64_of(const struct capture_file *f, struct cursor *c)
{
	const uint8_t *p = cursor_take(c, 8);
	uint64_t v = 0;

	if (p != NULL)
		memcpy(&v, p, sizeof(v));
	return f->swapped ? __builtin_bswap64(v) : v;
}

/* The next option; false at the end of the list. */
static bool next_option(const struct capture_file *f, struct cursor *c, uint16_t *code,
			struct cursor *value)
{
	uint16_t len;

	*code = capture_file_u16(f, c);
	len = capture_file_u16(f, c);
	if (c->failed || *code == OPT_END)
		return false;
	*value = cursor_sub(c, len);
	cursor_skip(c, -len & 3U);
	return !value->failed;
}

/* ---- time ---- */

static uint64_t saturate(unsigned __int128 ns)
{
	return ns > UINT64_MAX ? UINT64_MAX : (uint64_t)ns;
}

static uint64_t power_of_ten(unsigned n)
{
	uint64_t power = 1;

	while (n-- > 0)
		power *= 10;
	return power;
}

static uint64_t units_to_ns(uint8_t resolution, uint64_t units)
{
	unsigned n = resolution & 0x7fU;
	unsigned __int128 wide = units;

	if (resolution & 0x80)
		return saturate(wide * NS_PER_S >> n);
	if (n <= 9)
		return saturate(wide * power_of_ten(9 - n));
	return n - 9 < 20 ? units / power_of_ten(n - 9) : 0;
}

static uint64_t stamp_of(const struct capture_file_interface *i, uint32_t high, uint32_t low)
{
	uint64_t ns = units_to_ns(i->resolution, (uint64_t)high << 32 | low);
	__int128 moved = (__int128)ns + (__int128)i->offset_s * (int64_t)NS_PER_S;

	return moved < 0 ? 0 : saturate((unsigned __int128)moved);
}

/* ---- sections and interfaces ---- */

/* Read the section's byte order from the 12 bytes at the source. */
static enum capture_file_result read_byte_order(struct capture_file *f,
						char err[CAPTURE_FILE_ERROR_MAX])
{
	struct cursor c;
	uint32_t magic;

	if (byte_source_fill(f->source, 12) < 12)
		return capture_file_cut(f, err, "a section header");
	c = cursor_of(byte_source_at(f->source), 12);
	cursor_skip(&c, 8);
	magic = cursor_native32(&c);
	if (magic != BYTE_ORDER_MAGIC && magic != __builtin_bswap32(BYTE_ORDER_MAGIC))
		return capture_file_fail(f, err, "a section header without a byte order");
	f->swapped = magic != BYTE_ORDER_MAGIC;
	return CAPTURE_FILE_PACKET;
}

static enum capture_file_result add_section(struct capture_file *f, struct block *b,
					    char err[CAPTURE_FILE_ERROR_MAX])
{
	unsigned major;

	cursor_skip(&b->body, 4);
	major = capture_file_u16(f, &b->body);
	if (b->body.failed || major != 1)
		return capture_file_fail(
			f, err, "version %u of the pcapng format is not known here", major);
	f->section_first = f->interface_count;
	return CAPTURE_FILE_PACKET;
}

static enum capture_file_result add_interface(struct capture_file *f, struct block *b,
					      char err[CAPTURE_FILE_ERROR_MAX])
{
	struct capture_file_interface *i;
	uint16_t link = capture_file_u16(f, &b->body), code;
	uint32_t snap_len;
	struct cursor value;

	cursor_skip(&b->body, 2);
	snap_len = capture_file_u32(f, &b->body);
	if (b->body.failed)
		return capture_file_fail(f, err, "an interface block that is too short");
	i = capture_file_add_interface(f);
	if (i == NULL)
		return capture_file_fail(f, err, "more interfaces than can be held");
	i->link = capture_file_link(link);
	i->snap_len = snap_len;
	while (next_option(f, &b->body, &code, &value)) {
		if (code == OPT_IF_NAME && i->name == NULL)
			i->name = strndup((const char *)value.at, cursor_left(&value));
		else if (code == OPT_IF_TSRESOL && cursor_left(&value) == 1)
			i->resolution = cursor_u8(&value);
		else if (code == OPT_IF_TSOFFSET && cursor_left(&value) == 8)
			i->offset_s = (int64_t)u64_of(f, &value);
	}
	return CAPTURE_FILE_PACKET;
}

/* ---- packets ---- */

/* Of the comments only what an earlier run has noted about the connection. */
static void read_comment(const struct cursor *value, struct packet *p)
{
	static const char prefix[] = ANCHOR_NOTE_PREFIX;
	size_t len = cursor_left(value);

	if (len < sizeof(prefix) || memcmp(value->at, prefix, sizeof(prefix) - 1) != 0)
		return;
	p->note = value->at;
	p->note_len = (uint16_t)MIN(len, UINT16_MAX);
}

static void read_packet_options(const struct capture_file *f, struct cursor *c, struct packet *p)
{
	struct cursor value;
	uint64_t drops;
	uint16_t code;

	while (next_option(f, c, &code, &value)) {
		if (code == OPT_FLAGS && cursor_left(&value) == 4) {
			p->direction = capture_file_u32(f, &value) & 3U;
		} else if (code == OPT_COMMENT) {
			read_comment(&value, p);
		} else if (code == OPT_DROPCOUNT && cursor_left(&value) == 8) {
			drops = u64_of(f, &value);
			p->dropped_before = (uint32_t)MIN(drops, UINT32_MAX);
		}
	}
	if (p->direction > PACKET_OUTBOUND)
		p->direction = PACKET_DIRECTION_UNKNOWN;
}

static const struct capture_file_interface *find_interface(struct capture_file *f, uint32_t local,
							   struct packet *p,
							   char err[CAPTURE_FILE_ERROR_MAX])
{
	if (local >= f->interface_count - f->section_first) {
		(void)capture_file_fail(f, err, "a packet of interface %u, which is not described",
					local);
		return NULL;
	}
	p->iface = f->section_first + local;
	p->link = f->interfaces[p->iface].link;
	return &f->interfaces[p->iface];
}

static enum capture_file_result take_bytes(struct capture_file *f, struct block *b,
					   struct packet *p, char err[CAPTURE_FILE_ERROR_MAX])
{
	p->bytes = cursor_take(&b->body, p->cap_len);
	if (b->body.failed)
		return capture_file_fail(f, err, "a packet longer than its block");
	cursor_skip(&b->body, MIN(-p->cap_len & 3U, cursor_left(&b->body)));
	return CAPTURE_FILE_PACKET;
}

/* The enhanced packet block, and its predecessor with 16 bits each for interface and drops. */
static enum capture_file_result read_packet(struct capture_file *f, struct block *b,
					    struct packet *p, char err[CAPTURE_FILE_ERROR_MAX])
{
	const struct capture_file_interface *i;
	uint32_t local, high, low;
	uint16_t drops = DROPS_UNKNOWN;

	if (b->type == BLOCK_PACKET_OLD) {
		local = capture_file_u16(f, &b->body);
		drops = capture_file_u16(f, &b->body);
	} else {
		local = capture_file_u32(f, &b->body);
	}
	high = capture_file_u32(f, &b->body);
	low = capture_file_u32(f, &b->body);
	p->cap_len = capture_file_u32(f, &b->body);
	p->wire_len = capture_file_u32(f, &b->body);
	if (b->body.failed)
		return capture_file_fail(f, err, "a packet block that is too short");
	i = find_interface(f, local, p, err);
	if (i == NULL || take_bytes(f, b, p, err) == CAPTURE_FILE_BROKEN)
		return CAPTURE_FILE_BROKEN;
	p->ts_ns = stamp_of(i, high, low);
	p->dropped_before = drops == DROPS_UNKNOWN ? 0 : drops;
	read_packet_options(f, &b->body, p);
	return CAPTURE_FILE_PACKET;
}

/* No interface (the first), no time, no captured length: as much as there may be. */
static enum capture_file_result read_simple_packet(struct capture_file *f, struct block *b,
						   struct packet *p,
						   char err[CAPTURE_FILE_ERROR_MAX])
{
	const struct capture_file_interface *i;

	p->wire_len = capture_file_u32(f, &b->body);
	if (b->body.failed)
		return capture_file_fail(f, err, "a packet block that is too short");
	i = find_interface(f, 0, p, err);
	if (i == NULL)
		return CAPTURE_FILE_BROKEN;
	p->cap_len = i->snap_len == 0 ? p->wire_len : MIN(p->wire_len, i->snap_len);
	p->cap_len = (uint32_t)MIN(p->cap_len, cursor_left(&b->body));
	return take_bytes(f, b, p, err);
}

/* ---- secrets ---- */

static enum capture_file_result pass_secrets(struct capture_file *f, struct block *b,
					     char err[CAPTURE_FILE_ERROR_MAX])
{
	uint32_t type = capture_file_u32(f, &b->body);
	uint32_t len = capture_file_u32(f, &b->body);
	const uint8_t *bytes = cursor_take(&b->body, len);

	if (b->body.failed)
		return capture_file_fail(f, err, "secrets longer than their block");
	f->secrets(f->secrets_arg, type, bytes, len);
	return CAPTURE_FILE_PACKET;
}

/* ---- blocks ---- */

static bool is_known(const struct capture_file *f, uint32_t type)
{
	if (type == BLOCK_SECRETS)
		return f->secrets != NULL;
	return type == CAPTURE_BLOCK_SECTION || type == BLOCK_INTERFACE ||
	       type == BLOCK_PACKET_OLD || type == BLOCK_PACKET_SIMPLE || type == BLOCK_PACKET;
}

/* Wireshark shows these in its packet list: they take a frame number (tried on 4.0). */
static bool takes_frame(uint32_t type)
{
	return type == BLOCK_CUSTOM || type == BLOCK_CUSTOM_NO_COPY || type == BLOCK_JOURNAL ||
	       type == BLOCK_SYSDIG || type == BLOCK_SYSDIG_2 || type == BLOCK_SYSDIG_2_LARGE;
}

/* Type and length of the block at the source; END at the end of the file. */
static enum capture_file_result read_block_head(struct capture_file *f, struct block *b,
						char err[CAPTURE_FILE_ERROR_MAX])
{
	size_t got = byte_source_fill(f->source, 8);
	struct cursor c = cursor_of(byte_source_at(f->source), got);

	f->item_at = byte_source_offset(f->source);
	if (got == 0 && byte_source_fault(f->source) == NULL)
		return CAPTURE_FILE_END;
	if (got < 8)
		return capture_file_cut(f, err, "a block");
	b->type = capture_file_u32(f, &c);
	if (b->type == CAPTURE_BLOCK_SECTION && read_byte_order(f, err) == CAPTURE_FILE_BROKEN)
		return CAPTURE_FILE_BROKEN;
	c = cursor_of(byte_source_at(f->source), 8);
	cursor_skip(&c, 4);
	b->len = capture_file_u32(f, &c);
	if (b->len < BLOCK_LEN_MIN || b->len % 4 != 0)
		return capture_file_fail(f, err, "a block that says it is %u bytes long", b->len);
	if (is_known(f, b->type) && b->len > CAPTURE_FILE_BLOCK_MAX)
		return capture_file_fail(f, err, "a block of %u bytes: the file is damaged",
					 b->len);
	return CAPTURE_FILE_PACKET;
}

static enum capture_file_result read_block_body(struct capture_file *f, struct block *b,
						char err[CAPTURE_FILE_ERROR_MAX])
{
	struct cursor c;

	if (byte_source_fill(f->source, b->len) < b->len)
		return capture_file_cut(f, err, "a block");
	c = cursor_of(byte_source_at(f->source), b->len);
	cursor_skip(&c, 8);
	b->body = cursor_sub(&c, b->len - BLOCK_LEN_MIN);
	if (capture_file_u32(f, &c) != b->len)
		return capture_file_fail(f, err, "a block whose two lengths differ");
	return CAPTURE_FILE_PACKET;
}

enum capture_file_result capture_blocks_next(struct capture_file *f, struct packet *p,
					     char err[CAPTURE_FILE_ERROR_MAX])
{
	enum capture_file_result r;
	struct block b = {0};

	while ((r = read_block_head(f, &b, err)) == CAPTURE_FILE_PACKET) {
		*p = (struct packet){0};
		if (is_known(f, b.type) && read_block_body(f, &b, err) == CAPTURE_FILE_BROKEN)
			return CAPTURE_FILE_BROKEN;
		if (b.type == CAPTURE_BLOCK_SECTION)
			r = add_section(f, &b, err);
		else if (b.type == BLOCK_INTERFACE)
			r = add_interface(f, &b, err);
		else if (b.type == BLOCK_PACKET_SIMPLE)
			r = read_simple_packet(f, &b, p, err);
		else if (b.type == BLOCK_SECRETS && f->secrets != NULL)
			r = pass_secrets(f, &b, err);
		else if (is_known(f, b.type))
			r = read_packet(f, &b, p, err);
		if (r == CAPTURE_FILE_BROKEN)
			return r;
		if (p->bytes != NULL) {
			f->passed = b.len;
			p->frame = ++f->frame;
			return CAPTURE_FILE_PACKET;
		}
		if (!byte_source_skip(f->source, b.len))
			return capture_file_cut(f, err, "a block");
		f->frame += takes_frame(b.type);
	}
	return r;
}
