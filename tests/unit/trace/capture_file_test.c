/*
 * capture_file_test.c -- pcap and pcapng in both byte orders, what is refused, and files that end or
 * break at every byte.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/wait.h>

#include "tests/unit/trace/capture_image.h"
#include "tests/unit/trace/frames.h"
#include "trace/capture_file.h"

static char err[CAPTURE_FILE_ERROR_MAX];

/* The first len bytes as a file; NULL when it cannot be opened. */
static struct capture_file *open_cut(const struct image *m, size_t len)
{
	char path[64];
	struct capture_file *f;
	int fd = frame_scratch(path);

	cr_assert_eq(write(fd, m->bytes, len), (ssize_t)len);
	err[0] = '\0';
	f = capture_file_open(path, err);
	cr_expect_eq(f == NULL, err[0] != '\0');
	close(fd);
	return f;
}

static struct capture_file *open_image(const struct image *m)
{
	struct capture_file *f = open_cut(m, m->len);

	cr_assert_not_null(f, "%s", err);
	return f;
}

static void expect_packet(struct capture_file *f, uint32_t frame, uint32_t iface, uint64_t ts_ns,
			  const char *text, uint32_t wire_len)
{
	struct packet p;

	cr_assert_eq(capture_file_next(f, &p, err), CAPTURE_FILE_PACKET, "frame %u: %s", frame,
		     err);
	cr_expect_eq(p.frame, frame);
	cr_expect_eq(p.iface, iface);
	cr_expect_eq(p.ts_ns, ts_ns, "frame %u: %llu", frame, (unsigned long long)p.ts_ns);
	cr_expect_eq(p.cap_len, strlen(text));
	cr_expect_eq(p.wire_len, wire_len);
	cr_expect_eq(p.link, capture_file_interface_link(f, iface));
	cr_expect_arr_eq(p.bytes, text, strlen(text));
}

static void expect_end(struct capture_file *f)
{
	struct packet p;

	cr_expect_eq(capture_file_next(f, &p, err), CAPTURE_FILE_END);
	cr_expect_eq(capture_file_next(f, &p, err), CAPTURE_FILE_END);
	capture_file_close(f);
}

/* The file gives `packets` packets and then says `what`; the place is told. */
static void expect_broken(struct capture_file *f, unsigned packets, size_t offset, const char *what)
{
	char place[64];
	struct packet p;

	snprintf(place, sizeof(place), ": byte %zu: ", offset);
	for (unsigned i = 0; i < packets; i++)
		cr_assert_eq(capture_file_next(f, &p, err), CAPTURE_FILE_PACKET);
	cr_expect_eq(capture_file_next(f, &p, err), CAPTURE_FILE_BROKEN);
	cr_expect_not_null(strstr(err, what), "%s", err);
	cr_expect_not_null(strstr(err, place), "%s, not%s", err, place);
	cr_expect_eq(capture_file_next(f, &p, err), CAPTURE_FILE_END);
	capture_file_close(f);
}

Test(capture_file, pcap_of_every_kind)
{
	for (unsigned kind = 0; kind < 4; kind++) {
		struct image m = {.swapped = kind & 1};
		bool nano = kind & 2;
		struct capture_file *f;

		put_pcap_header(&m, nano ? 0xa1b23c4d : 0xa1b2c3d4, LINK_SLL);
		put_record(&m, 1764000000, 123456, "first", 5);
		put_record(&m, 4294967295, 999999, "", 60);
		put_record(&m, 7, 1, "third one", 1500);
		f = open_image(&m);
		cr_expect_eq(capture_file_interfaces(f), 1);
		cr_expect_null(capture_file_interface_name(f, 0));
		cr_expect_eq(capture_file_interface_link(f, 0), LINK_SLL);
		expect_packet(f, 1, 0, 1764000000 * NS_PER_S + (nano ? 123456 : 123456000), "first",
			      5);
		expect_packet(f, 2, 0, 4294967295 * NS_PER_S + (nano ? 999999 : 999999000), "", 60);
		expect_packet(f, 3, 0, 7 * NS_PER_S + (nano ? 1 : 1000), "third one", 1500);
		expect_end(f);
	}
}

/* Interface, protocol and packet type stand behind each packet's lengths. */
Test(capture_file, pcap_of_the_modified_kind)
{
	for (unsigned kind = 0; kind < 2; kind++) {
		struct image m = {.swapped = kind};
		struct capture_file *f;
		struct packet p;

		put_pcap_header(&m, 0xa1b2cd34, LINK_ETHERNET);
		for (uint32_t i = 0; i < 2; i++) {
			put32(&m, 1764000000);
			put32(&m, i);
			put32(&m, 5);
			put32(&m, 60);
			put(&m, "\0\0\0\2\x08\0\0\0", 8);
			put(&m, i == 0 ? "first" : "other", 5);
		}
		put(&m, "cut", 3);
		f = open_image(&m);
		expect_packet(f, 1, 0, 1764000000 * NS_PER_S, "first", 60);
		expect_packet(f, 2, 0, 1764000000 * NS_PER_S + NS_PER_US, "other", 60);
		cr_expect_eq(capture_file_next(f, &p, err), CAPTURE_FILE_BROKEN);
		capture_file_close(f);
	}
}

/* Upper bits of the link type tell of an FCS; raw IP has older numbers. */
Test(capture_file, pcap_link_types)
{
	static const struct {
		uint32_t written;
		uint16_t link;
	} cases[] = {{1, LINK_ETHERNET}, {0xf4000001, LINK_ETHERNET},
		     {12, LINK_RAW},     {14, LINK_RAW},
		     {101, LINK_RAW},    {276, LINK_SLL2},
		     {147, 147}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct image m = {0};
		struct capture_file *f;

		put_pcap_header(&m, 0xa1b2c3d4, cases[i].written);
		f = open_image(&m);
		cr_expect_eq(capture_file_interface_link(f, 0), cases[i].link);
		expect_end(f);
	}
}

static void fill_sections(struct image *m)
{
	for (unsigned section = 0; section < 2; section++) {
		m->swapped = !m->swapped;
		put_section(m);
		put_interface(m, LINK_ETHERNET, 0, "eth0", 9, 0);
		put_packet(m, 0, 1764000000123456789, "nanoseconds", 2000, 0, 0);
		put_interface(m, LINK_SLL2, 8, NULL, 0, 0);
		put_packet(m, 1, 1764000000123456, "micro", 5, PACKET_OUTBOUND, 77);
		put_packet(m, 0, 5, "x", 1, PACKET_INBOUND, 0);
	}
}

Test(capture_file, pcapng_sections_in_both_byte_orders)
{
	for (unsigned order = 0; order < 2; order++) {
		struct image m = {.swapped = order};
		struct capture_file *f;

		fill_sections(&m);
		f = open_image(&m);
		for (unsigned section = 0; section < 2; section++) {
			struct packet p;
			uint32_t frame = 3 * section, iface = 2 * section;

			expect_packet(f, frame + 1, iface, 1764000000123456789, "nanoseconds",
				      2000);
			cr_assert_eq(capture_file_next(f, &p, err), CAPTURE_FILE_PACKET);
			cr_expect_eq(p.frame, frame + 2);
			cr_expect_eq(p.iface, iface + 1);
			cr_expect_eq(p.link, LINK_SLL2);
			cr_expect_eq(p.ts_ns, 1764000000123456000);
			cr_expect_eq(p.direction, PACKET_OUTBOUND);
			cr_expect_eq(p.dropped_before, 77);
			cr_assert_eq(capture_file_next(f, &p, err), CAPTURE_FILE_PACKET);
			cr_expect_eq(p.direction, PACKET_INBOUND);
			cr_expect_eq(p.dropped_before, 0);
			cr_expect_eq(p.ts_ns, 5);
		}
		cr_expect_eq(capture_file_interfaces(f), 4);
		cr_expect_str_eq(capture_file_interface_name(f, 2), "eth0");
		cr_expect_null(capture_file_interface_name(f, 3));
		expect_end(f);
	}
}

Test(capture_file, every_resolution_of_time)
{
	static const struct {
		uint8_t resolution;
		int64_t offset_s;
		uint64_t units, ns;
	} cases[] = {
		{6, 0, 1500000, 1500000000},
		{3, 0, 1500, 1500000000},
		{7, 0, 15000001, 1500000100},
		{9, 0, UINT64_MAX, UINT64_MAX},
		{12, 0, 1500000000999, 1500000000},
		{19, 0, 15000000000000000000U, 1500000000},
		{127, 0, UINT64_MAX, 0},
		{0x80, 0, 2, 2000000000},
		{0x81, 0, 3, 1500000000},
		{0x8a, 0, 1536, 1500000000},
		{0x94, 0, (1 << 20) + 1, 1000000953},
		{0xc0, 0, 1ULL << 63, 500000000},
		{0xff, 0, UINT64_MAX, 0},
		{6, 1764000000, 5, 1764000000000005000},
		{6, -1, 1500000, 500000000},
		{6, -2, 1500000, 0},
		{1, 0, UINT64_MAX, UINT64_MAX}, /* past what 64 bits of nanoseconds can say */
		{9, INT64_MAX, 1, UINT64_MAX},
		{9, INT64_MIN, 1, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct image m = {.swapped = i & 1};
		struct capture_file *f;

		put_section(&m);
		put_interface(&m, LINK_ETHERNET, 0, "x", cases[i].resolution, cases[i].offset_s);
		put_packet(&m, 0, cases[i].units, "x", 1, 0, 0);
		f = open_image(&m);
		expect_packet(f, 1, 0, cases[i].ns, "x", 1);
		expect_end(f);
	}
}

Test(capture_file, simple_and_old_packets)
{
	struct image m = {0};
	struct capture_file *f;
	struct packet p;

	put_section(&m);
	put_interface(&m, LINK_ETHERNET, 8, "eth0", 0, 0);
	put_interface(&m, LINK_ETHERNET, 0, "eth1", 0, 0);
	begin(&m, 3); /* simple, cut by the snap length */
	put32(&m, 20);
	put_padded(&m, "eight by", 8);
	end(&m);
	begin(&m, 3);
	put32(&m, 5);
	put_padded(&m, "whole", 5);
	end(&m);
	begin(&m, 2); /* old: interface 1, 9 drops */
	put16(&m, 1);
	put16(&m, 9);
	put32(&m, 0);
	put32(&m, 1000001);
	put32(&m, 3);
	put32(&m, 30);
	put_padded(&m, "old", 3);
	put16(&m, 2);
	put16(&m, 4);
	put32(&m, PACKET_OUTBOUND | 0x1c);
	put32(&m, 0);
	end(&m);
	f = open_image(&m);
	expect_packet(f, 1, 0, 0, "eight by", 20);
	expect_packet(f, 2, 0, 0, "whole", 5);
	cr_assert_eq(capture_file_next(f, &p, err), CAPTURE_FILE_PACKET);
	cr_expect_eq(p.frame, 3);
	cr_expect_eq(p.iface, 1);
	cr_expect_eq(p.ts_ns, 1000001000);
	cr_expect_eq(p.dropped_before, 9);
	cr_expect_eq(p.direction, PACKET_OUTBOUND);
	cr_expect_eq(p.wire_len, 30);
	expect_end(f);
}

/* Of the blocks that are no packets, Wireshark numbers some. */
Test(capture_file, other_blocks)
{
	static const struct {
		uint32_t type;
		bool numbered;
	} cases[] = {
		{4, false},    {5, false},         {7, false},     {10, false},   {0x1234, false},
		{0xbad, true}, {0x40000bad, true}, {9, true},      {0x204, true}, {0x216, true},
		{0x221, true}, {0x208, false},     {0x217, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct image m = {0};
		struct capture_file *f;

		put_section(&m);
		put_interface(&m, LINK_ETHERNET, 0, NULL, 0, 0);
		put_packet(&m, 0, 1, "a", 1, 0, 0);
		put_other(&m, cases[i].type);
		put_packet(&m, 0, 2, "b", 1, 0, 0);
		f = open_image(&m);
		expect_packet(f, 1, 0, 1000, "a", 1);
		expect_packet(f, cases[i].numbered ? 3 : 2, 0, 2000, "b", 1);
		expect_end(f);
	}
}

/* tshark counts the same way, on this machine's version. */
Test(capture_file, frame_numbers_are_wiresharks)
{
	static const uint32_t others[] = {4, 5, 9, 10, 0xbad, 0x40000bad, 0x204, 0x208, 0x1234};
	struct image m = {0};
	uint8_t frame[FRAME_MAX];
	struct segment seg = {.src = {.ip = {192, 0, 2, 1}, .port = 1, .family = ADDR_IP4},
			      .dst = {.ip = {192, 0, 2, 2}, .port = 2, .family = ADDR_IP4}};
	uint32_t len = frame_write(&seg, frame);
	char path[64], command[256], out[512], ours[512] = "";
	struct capture_file *f;
	struct packet p;
	int fd;

	if (frame_command("command -v tshark >/dev/null 2>&1", out, sizeof(out)) != 0)
		cr_skip_test("tshark is not installed");
	put_section(&m);
	put_interface(&m, LINK_ETHERNET, 0, NULL, 0, 0);
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		put_other(&m, others[i]);
		begin(&m, 3);
		put32(&m, len);
		put_padded(&m, frame, len);
		end(&m);
	}
	fd = frame_scratch(path);
	cr_assert_eq(write(fd, m.bytes, m.len), (ssize_t)m.len);
	f = capture_file_open(path, err);
	cr_assert_not_null(f);
	while (capture_file_next(f, &p, err) == CAPTURE_FILE_PACKET)
		sprintf(ours + strlen(ours), "%u\n", p.frame);
	capture_file_close(f);
	snprintf(command, sizeof(command),
		 "tshark -n -r %s -Y tcp -T fields -e frame.number 2>/dev/null", path);
	cr_expect_eq(frame_command(command, out, sizeof(out)), 0);
	cr_expect_str_eq(ours, out);
	close(fd);
}

Test(capture_file, refused_at_once)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *what;
	} cases[] = {
		{"", 0, "empty"},
		{"\xd4", 1, "no capture file"},
		{"GET / HTTP/1.1\r\n", 16, "no capture file"},
		{"\x1f\x8b\x08\x00\x00", 5, "ends at byte 5 in the middle of its gzip data"},
		{"\x28\xb5\x2f\xfd\x00", 5, "ends at byte 5 in the middle of its zstd data"},
		{"\x1f\x8b\x07\x00\x00", 5, "the gzip data is damaged"},
		{"\xfd\x37zXZ", 5, "xz -dc"},
		{"BZh9", 4, "bzip2 -dc"},
		{"\x04\x22\x4d\x18", 4, "lz4 -dc"},
		{"\xa1\xb2\xcd\x34\x00\x02\x00\x04", 8, "middle of its header"},
		{"\xa1\xb2\xc3\xd4\x00\x02\x00\x04", 8, "middle of its header"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct image m = {0};

		put(&m, cases[i].bytes, cases[i].len);
		cr_expect_null(open_cut(&m, m.len), "case %zu", i);
		cr_expect_not_null(strstr(err, cases[i].what), "%s", err);
		cr_expect_null(strchr(err, '\n'));
	}
	cr_expect_null(capture_file_open("/nowhere/to/be.found", err));
	cr_expect_str_eq(err, "/nowhere/to/be.found: No such file or directory");
	cr_expect_null(capture_file_open("/", err));
	cr_expect_not_null(strstr(err, "Is a directory"), "%s", err);
}

Test(capture_file, another_version)
{
	struct image m = {0};

	put_pcap_header(&m, 0xa1b2c3d4, 1);
	m.bytes[4] = 3;
	cr_expect_null(open_cut(&m, m.len));
	cr_expect_not_null(strstr(err, "version 3.4"), "%s", err);
	m = (struct image){0};
	put_section(&m);
	m.bytes[12] = 2;
	expect_broken(open_image(&m), 0, 0, "version 2");
}

/* Whatever the length, what stood before is given out, and the cut is told with its place. */
Test(capture_file, pcap_cut_at_every_byte)
{
	struct image m = {0};
	size_t past[4] = {24};

	put_pcap_header(&m, 0xa1b2c3d4, 1);
	for (unsigned i = 0; i < 3; i++) {
		put_record(&m, i, 0, "some bytes", 10);
		past[i + 1] = m.len;
	}
	for (size_t len = 24; len <= m.len; len++) {
		unsigned whole = 0;

		while (whole < 3 && past[whole + 1] <= len)
			whole++;
		if (past[whole] == len) {
			struct capture_file *f = open_cut(&m, len);

			for (unsigned i = 0; i < whole; i++)
				expect_packet(f, i + 1, 0, i * NS_PER_S, "some bytes", 10);
			expect_end(f);
		} else {
			expect_broken(open_cut(&m, len), whole, past[whole],
				      "ends in the middle of");
		}
	}
}

Test(capture_file, pcapng_cut_at_every_byte)
{
	struct image m = {0};
	size_t past[16], blocks = 0;
	unsigned packets[16] = {0};

	put_section(&m);
	past[blocks++] = m.len;
	put_interface(&m, LINK_ETHERNET, 0, "eth0", 9, 3);
	past[blocks++] = m.len;
	for (unsigned i = 0; i < 3; i++) {
		put_packet(&m, 0, i, "some bytes", 10, PACKET_INBOUND, 5);
		packets[blocks] = i + 1;
		past[blocks++] = m.len;
		put_other(&m, i == 0 ? 0xbad : 5);
		packets[blocks] = i + 1;
		past[blocks++] = m.len;
	}
	for (size_t len = 4; len <= m.len; len++) {
		size_t whole = 0;
		unsigned before;

		while (whole < blocks && past[whole] <= len)
			whole++;
		before = whole > 0 ? packets[whole - 1] : 0;
		if (whole > 0 && past[whole - 1] == len) {
			struct capture_file *f = open_cut(&m, len);
			struct packet p;

			for (unsigned i = 0; i < before; i++)
				cr_assert_eq(capture_file_next(f, &p, err), CAPTURE_FILE_PACKET);
			expect_end(f);
		} else {
			struct capture_file *f = open_cut(&m, len);
			enum capture_file_result r;
			unsigned got = 0;
			struct packet p;

			while ((r = capture_file_next(f, &p, err)) == CAPTURE_FILE_PACKET)
				got++;
			cr_expect_eq(got, before);
			cr_expect_eq(r, CAPTURE_FILE_BROKEN);
			cr_expect_not_null(strstr(err, "ends in the middle of"), "%s", err);
			capture_file_close(f);
		}
	}
}

static void set32(struct image *m, size_t at, uint32_t value)
{
	memcpy(m->bytes + at, &value, sizeof(value));
}

Test(capture_file, lengths_that_lie)
{
	struct image m = {0};
	size_t packet, after;

	put_section(&m);
	put_interface(&m, LINK_ETHERNET, 0, NULL, 0, 0);
	put_packet(&m, 0, 1, "fine", 4, 0, 0);
	packet = m.len;
	put_packet(&m, 0, 1, "some bytes", 10, 0, 0);
	after = m.len;
	put_packet(&m, 0, 1, "more bytes", 10, 0, 0);

#define BROKEN(at, value, what)                                       \
	do {                                                          \
		struct image changed = m;                             \
		set32(&changed, at, value);                           \
		expect_broken(open_image(&changed), 1, packet, what); \
	} while (0)
	BROKEN(packet + 4, 8, "a block that says it is 8 bytes long");
	BROKEN(packet + 4, 0, "0 bytes long");
	BROKEN(packet + 4, 45, "45 bytes long");
	BROKEN(packet + 4, 0xfffffffc, "the file is damaged");
	BROKEN(packet + 4, 1 << 20, "ends in the middle of a block");
	BROKEN(packet + 4, 40, "two lengths differ");
	BROKEN(after - 4, 40, "two lengths differ");
	BROKEN(packet + 20, 13, "longer than its block");
	BROKEN(packet + 20, 0xffffffff, "longer than its block");
	BROKEN(packet + 8, 1, "interface 1, which is not described");
	BROKEN(packet + 8, 0xffffffff, "which is not described");
	BROKEN(packet, 0x0a0d0d0a, "without a byte order");
	/* an unknown block that is larger than the rest of the file */
	set32(&m, packet, 0x7777);
	BROKEN(packet + 4, 0xfffffffc, "ends in the middle of a block");
}

Test(capture_file, pcap_packet_of_a_damaged_length)
{
	struct image m = {0};
	size_t at;

	put_pcap_header(&m, 0xa1b2c3d4, 1);
	put_record(&m, 0, 0, "fine", 4);
	at = m.len;
	put_record(&m, 0, 0, "damaged", 7);
	set32(&m, at + 8, 0x80000000);
	expect_broken(open_image(&m), 1, at, "the file is damaged");
}

/* A new section forgets the interfaces of the one before. */
Test(capture_file, interface_of_another_section)
{
	struct image m = {0};
	size_t at;

	put_section(&m);
	put_interface(&m, LINK_ETHERNET, 0, NULL, 0, 0);
	put_packet(&m, 0, 1, "x", 1, 0, 0);
	put_section(&m);
	at = m.len;
	put_packet(&m, 0, 1, "x", 1, 0, 0);
	expect_broken(open_image(&m), 1, at, "interface 0, which is not described");
}

Test(capture_file, options_that_end_early)
{
	struct image m = {0};
	struct capture_file *f;

	put_section(&m);
	begin(&m, 1);
	put16(&m, LINK_ETHERNET);
	put16(&m, 0);
	put32(&m, 0);
	put16(&m, 2); /* a name longer than its block */
	put16(&m, 400);
	put(&m, "eth0", 4);
	end(&m);
	put_packet(&m, 0, 1, "x", 1, 0, 0);
	f = open_image(&m);
	expect_packet(f, 1, 0, 1000, "x", 1);
	cr_expect_null(capture_file_interface_name(f, 0));
	expect_end(f);
}

/* From a pipe, in pieces as a slow writer gives them. */
Test(capture_file, standard_input)
{
	struct image m = {0};
	struct capture_file *f;
	int ends[2], status;
	pid_t writer;

	fill_sections(&m);
	cr_assert_eq(pipe(ends), 0);
	writer = fork();
	cr_assert_geq(writer, 0);
	if (writer == 0) {
		for (size_t i = 0; i < m.len; i++)
			if (write(ends[1], m.bytes + i, 1) != 1)
				_exit(1);
		_exit(0);
	}
	close(ends[1]);
	cr_assert_eq(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
	close(ends[0]);
	f = capture_file_open("-", err);
	cr_assert_not_null(f, "%s", err);
	for (uint32_t i = 1; i <= 6; i++) {
		struct packet p;

		cr_expect_eq(capture_file_next(f, &p, err), CAPTURE_FILE_PACKET);
		cr_expect_eq(p.frame, i);
	}
	expect_end(f);
	cr_expect_eq(waitpid(writer, &status, 0), writer);
	cr_expect_eq(status, 0);
}
