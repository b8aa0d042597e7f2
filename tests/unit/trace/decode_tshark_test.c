/*
 * decode_tshark_test.c -- tunnels within tunnels, fragments and quotes, made at random: every stream
 * number, length and sequence number as tshark has it.
 *
 * A packet is built from the inside: a segment, then layers around it. An IP layer may come in
 * fragments, each of which goes on outwards by itself.
 */
#include "tests/unit/trace/tshark.h"
#include "trace/pcapng.h"

#define SEGMENTS   4000
#define DEPTH_MAX  3
#define LAYERS_MAX 400 /* bytes of headers around a segment */

enum kind { KIND_IP4, KIND_IP6, KIND_ETHERNET };

/* Bytes that grow to the front. */
struct bytes {
	uint8_t room[LAYERS_MAX + 2000];
	uint8_t *at;
	uint32_t len;
	enum kind kind;
	bool is_piece;    /* a fragment itself */
	bool is_fragment; /* or has one within: it is not quoted */
};

struct maker {
	struct pcapng *w;
	uint64_t ts_ns;
	bool with_cuts;
};

static unsigned below(unsigned n)
{
	return (unsigned)rand() % n;
}

static bool one_in(unsigned n)
{
	return below(n) == 0;
}

static uint8_t *grow(struct bytes *b, uint32_t n)
{
	b->at -= n;
	b->len += n;
	cr_assert_geq(b->at, b->room);
	memset(b->at, 0, n);
	return b->at;
}

static void copy_bytes(struct bytes *to, const struct bytes *from)
{
	*to = *from;
	to->at = to->room + (from->at - from->room);
}

/* ---- layers ---- */

/* Private addresses and others; one direction or the other. */
static void put_ip4_ends(uint8_t *ends)
{
	static const uint8_t pairs[3][8] = {{10, 0, 0, 1, 10, 0, 0, 2},
					    {198, 51, 100, 1, 203, 0, 113, 9},
					    {192, 168, 7, 7, 198, 51, 100, 7}};
	const uint8_t *pair = pairs[below(3)];
	bool turned = one_in(2);

	memcpy(ends, pair + (turned ? 4 : 0), 4);
	memcpy(ends + 4, pair + (turned ? 0 : 4), 4);
}

static void add_ip4(struct bytes *b, uint8_t protocol)
{
	uint32_t len = b->len;
	uint8_t *ip = grow(b, 20);

	ip[0] = 0x45;
	frame_put16(ip + 2, 20 + len);
	frame_put16(ip + 4, (1 + below(60)) << 10); /* tshark mixes it with protocol and VLAN */
	ip[8] = 64;
	ip[9] = protocol;
	put_ip4_ends(ip + 12);
	b->kind = KIND_IP4;
	b->is_piece = false;
}

static void put_ip6_ends(uint8_t *ends)
{
	ends[0] = 0x20;
	ends[16] = 0x20;
	ends[15] = (uint8_t)(1 + below(2));
	ends[31] = 3 - ends[15];
}

static void add_ip6(struct bytes *b, uint8_t next)
{
	uint32_t len = b->len;
	uint8_t *ip = grow(b, 40);

	ip[0] = 0x60;
	frame_put16(ip + 4, len);
	ip[6] = next;
	ip[7] = 64;
	put_ip6_ends(ip + 8);
	b->kind = KIND_IP6;
	b->is_piece = false;
}

static void add_any_ip(struct bytes *b, uint8_t protocol)
{
	if (one_in(3))
		add_ip6(b, protocol);
	else
		add_ip4(b, protocol);
}

static unsigned ethertype_of(const struct bytes *b)
{
	return b->kind == KIND_ETHERNET ? 0x6558 : b->kind == KIND_IP4 ? 0x0800 : 0x86dd;
}

static void add_udp(struct bytes *b, unsigned port)
{
	uint32_t len = b->len;
	uint8_t *udp = grow(b, 8);

	frame_put16(udp + (one_in(4) ? 0 : 2), port);
	frame_put16(udp + (udp[0] == 0 && udp[1] == 0 ? 0 : 2), 50000 + below(100));
	frame_put16(udp + 4, 8 + len);
	add_any_ip(b, 17);
}

static void add_gre(struct bytes *b)
{
	unsigned type = ethertype_of(b), flags = below(16) << 12 & 0xb000;
	uint8_t *gre;

	if (b->kind == KIND_ETHERNET && one_in(2)) { /* ERSPAN: none, II, III, III with more */
		unsigned version = below(4);

		type = version < 2 ? 0x88be : 0x22eb;
		flags = version == 0 ? flags & 0xa000 : flags | 0x1000;
		if (version == 3)
			grow(b, 8);
		if (version > 0)
			grow(b, version == 1 ? 8 : 12)[0] = version == 1 ? 0x10 : 0x20;
		if (version == 3)
			b->at[11] = 1;
	}
	grow(b, (flags & 0x8000 ? 4 : 0) + (flags & 0x2000 ? 4 : 0) + (flags & 0x1000 ? 4 : 0));
	gre = grow(b, 4);
	frame_put16(gre, flags);
	frame_put16(gre + 2, type);
	add_any_ip(b, 47);
}

static void add_geneve(struct bytes *b)
{
	unsigned type = ethertype_of(b), options = below(3);
	uint8_t *geneve;

	for (unsigned i = 0; i < options; i++)
		grow(b, 8)[3] = 1;
	geneve = grow(b, 8);
	geneve[0] = (uint8_t)(options * 2);
	frame_put16(geneve + 2, type);
	add_udp(b, 6081);
}

/* PPPoE or MPLS below an ethertype of their own. */
static unsigned add_shim(struct bytes *b)
{
	unsigned labels = 1 + below(3);
	uint32_t len = b->len;
	uint8_t *p;

	if (one_in(2)) {
		p = grow(b, 8);
		p[0] = 0x11;
		frame_put16(p + 4, 2 + len);
		frame_put16(p + 6, b->kind == KIND_IP4 ? 0x21 : 0x57);
		return 0x8864;
	}
	for (unsigned i = 0; i < labels; i++)
		frame_put32(grow(b, 4), (100 + i) << 12 | (i == 0 ? 0x140 : 0x40));
	return 0x8847;
}

static void add_ethernet(struct bytes *b)
{
	unsigned type = one_in(6) ? add_shim(b) : ethertype_of(b);
	uint8_t *p;

	for (unsigned tags = one_in(3) ? 1 + below(2) : 0; tags > 0; tags--) {
		p = grow(b, 4);
		frame_put16(p, 0x100 << below(2));
		frame_put16(p + 2, type);
		type = tags == 2 ? 0x8100 : one_in(2) ? 0x8100 : 0x88a8;
	}
	p = grow(b, 14);
	p[5] = 1;
	p[11] = 2;
	frame_put16(p + 12, type);
	b->kind = KIND_ETHERNET;
}

/* An ICMP error about it, with as much of it as fits. */
static void add_quote(struct bytes *b)
{
	static const uint8_t types4[] = {3, 4, 5, 11, 12, 0, 8}, types6[] = {1, 2, 3, 4, 128};
	bool is4 = b->kind == KIND_IP4;

	b->len = one_in(2) ? MIN(b->len, (is4 ? 20 : 40) + below(60)) : b->len;
	grow(b, 8)[0] = is4 ? types4[below(sizeof(types4))] : types6[below(sizeof(types6))];
	if (is4)
		add_ip4(b, 1);
	else
		add_ip6(b, 58);
}

/* ---- one packet ---- */

static void wrap(struct maker *m, const struct bytes *inner, unsigned depth);

static void write_frame(struct maker *m, const struct bytes *b)
{
	struct packet p = {.ts_ns = m->ts_ns += NS_PER_MS, .bytes = b->at, .wire_len = b->len};

	p.cap_len = m->with_cuts && one_in(8) ? below(b->len) : b->len;
	cr_assert(pcapng_packet(m->w, &p, NULL, 0));
}

/* Bytes [off, past) of the IP payload, as a fragment with the header of the whole. */
static void wrap_fragment(struct maker *m, const struct bytes *whole, uint32_t off, uint32_t past,
			  uint32_t id, unsigned depth)
{
	bool is4 = whole->kind == KIND_IP4;
	uint32_t header = is4 ? 20 : 40, last = whole->len - header;
	struct bytes b = {.kind = whole->kind, .is_fragment = true};
	uint8_t *p;

	b.at = b.room + LAYERS_MAX;
	b.len = past - off;
	memcpy(b.at, whole->at + header + off, b.len);
	if (!is4) {
		p = grow(&b, 8);
		p[0] = whole->at[6];
		frame_put16(p + 2, off | (past < last));
		frame_put32(p + 4, id);
	}
	p = grow(&b, header);
	memcpy(p, whole->at, header);
	if (is4) {
		frame_put16(p + 2, 20 + past - off);
		frame_put16(p + 6, off / 8 | (past < last ? 0x2000 : 0));
	} else {
		frame_put16(p + 4, 8 + past - off);
		p[6] = 44;
	}
	b.is_piece = true;
	wrap(m, &b, depth);
}

/* Pieces in any order; some overlap, some come twice, some are missing. */
static void wrap_fragments(struct maker *m, const struct bytes *whole, unsigned depth)
{
	uint32_t len = whole->len - (whole->kind == KIND_IP4 ? 20 : 40);
	uint32_t step = MAX(8 * (1 + below(4)), (len / 5 + 7) / 8 * 8);
	unsigned count = (len + step - 1) / step, first = below(count);
	uint32_t id = 70000 + below(100);

	for (unsigned i = 0; i < count; i++) {
		uint32_t off = (i + first) % count * step, past = MIN(off + step, len);

		if (one_in(30))
			continue;
		if (one_in(10))
			past = MIN(past + 8, len);
		if (one_in(10) && off >= 8)
			off -= 8;
		for (unsigned times = one_in(12) ? 2 : 1; times > 0; times--)
			wrap_fragment(m, whole, off, past, id, depth);
	}
}

static void wrap_ip(struct bytes *b)
{
	switch (below(4)) {
	case 0:
		add_any_ip(b, b->kind == KIND_IP4 ? 4 : 41);
		break;
	case 1:
		add_gre(b);
		break;
	case 2:
		add_geneve(b);
		break;
	default:
		add_ethernet(b);
		break;
	}
}

static void wrap_ethernet(struct bytes *b)
{
	switch (below(3)) {
	case 0:
		add_gre(b);
		break;
	case 1:
		add_geneve(b);
		break;
	default:
		grow(b, 8)[0] = 8; /* VXLAN */
		add_udp(b, one_in(2) ? 4789 : 8472);
		break;
	}
}

/* The next layer around it, and so on until a frame is written. */
static void wrap(struct maker *m, const struct bytes *inner, unsigned depth)
{
	struct bytes b;

	copy_bytes(&b, inner);
	if (b.kind != KIND_ETHERNET && !b.is_piece && b.len > 60 && one_in(12)) {
		wrap_fragments(m, &b, depth);
		return;
	}
	if (b.kind != KIND_ETHERNET && !b.is_fragment && one_in(20))
		add_quote(&b);
	if (depth == 0) {
		if (b.kind != KIND_ETHERNET)
			add_ethernet(&b);
		write_frame(m, &b);
		return;
	}
	if (b.kind == KIND_ETHERNET)
		wrap_ethernet(&b);
	else
		wrap_ip(&b);
	wrap(m, &b, depth - 1);
}

static void make_segment(struct maker *m)
{
	static const uint8_t flags[] = {TCP_SYN, TCP_SYN | TCP_ACK, TCP_ACK, TCP_ACK, TCP_RST};
	struct bytes b = {.len = one_in(3) ? 0 : below(300)};
	uint8_t *tcp;

	b.at = b.room + LAYERS_MAX;
	memset(b.at, 'x', b.len);
	tcp = grow(&b, 20);
	frame_put16(tcp, 40000 + below(30));
	frame_put16(tcp + 2, 8585);
	frame_put32(tcp + 4, 1000 * below(3));
	frame_put32(tcp + 8, 1000 * below(3));
	tcp[12] = one_in(40) ? (uint8_t)(below(16) << 4) : 0x50;
	tcp[13] = flags[below(sizeof(flags))];
	frame_put16(tcp + 14, 500);
	add_any_ip(&b, 6);
	wrap(m, &b, below(DEPTH_MAX + 1));
}

static void compare_random(unsigned seed, bool with_cuts)
{
	struct pcapng_interface eth = {.name = "eth0", .link = LINK_ETHERNET};
	struct maker m = {.ts_ns = 1764000000 * NS_PER_S, .with_cuts = with_cuts};
	char path[64];
	int fd;

	need_tshark();
	fd = frame_scratch(path);
	m.w = pcapng_new(dup(fd), "x");
	cr_assert_not_null(m.w);
	cr_assert(pcapng_interface(m.w, &eth));
	srand(seed);
	for (unsigned i = 0; i < SEGMENTS; i++)
		make_segment(&m);
	cr_assert(pcapng_close(m.w));
	tshark_compare(path, "-d udp.port==8472,vxlan", SEGMENTS / 2);
	close(fd);
}

Test(decode_tshark, tunnels_fragments_and_quotes)
{
	compare_random(20261124, false);
}

Test(decode_tshark, cut_by_a_snap_length)
{
	compare_random(4711, true);
}

/* Among them a whole datagram in the first fragment of a cut one: its length is known. */
Test(decode_tshark, carriers_cut_by_a_snap_length)
{
	compare_random(1402, true);
}
