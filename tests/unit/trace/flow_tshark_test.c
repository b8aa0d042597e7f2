/*
 * flow_tshark_test.c -- stream numbers, lengths and first carriers of bytes as tshark sees them, on
 * traffic made at random and on captures made by others.
 */
#include <criterion/criterion.h>
#include <dirent.h>

#include "tests/unit/trace/frames.h"
#include "trace/capture_file.h"
#include "trace/decode.h"
#include "trace/flow.h"
#include "trace/pcapng.h"

#define PACKETS 6000
#define TUPLES  12

static void need_tshark(void)
{
	char out[16];

	if (frame_command("command -v tshark >/dev/null 2>&1", out, sizeof(out)) != 0)
		cr_skip_test("tshark is not installed");
}

/* One line per TCP packet (what sFlow quotes is none): frame, tcp.stream, raw sequence number, length. */
static void our_lines(const char *path, FILE *out)
{
	char err[CAPTURE_FILE_ERROR_MAX] = "";
	struct capture_file *f = capture_file_open(path, err);
	struct flow_table *t = flow_table_new();
	struct packet p;

	cr_assert_not_null(f, "%s", err);
	cr_assert_not_null(t);
	while (capture_file_next(f, &p, err) == CAPTURE_FILE_PACKET) {
		struct flow_place place;
		struct segment seg;

		if (decode_packet(&p, &seg) != DECODE_TCP)
			continue;
		cr_assert(flow_table_add(t, &seg, &place));
		fprintf(out, "%u\t%u\t%u\t%u\n", p.frame, place.flow->number, seg.seq,
			seg.payload_framed);
	}
	flow_table_free(t);
	capture_file_close(f);
}

static void compare_file(const char *path, unsigned least)
{
	char command[1024], ours[256] = "", theirs[256] = "";
	FILE *mine = tmpfile(), *tshark;
	unsigned lines = 0;

	cr_assert_not_null(mine);
	our_lines(path, mine);
	rewind(mine);
	snprintf(
		command, sizeof(command),
		"tshark -n -o tcp.desegment_tcp_streams:FALSE -r '%s' -Y 'tcp && !sflow' -T fields "
		"-e frame.number -e tcp.stream -e tcp.seq_raw -e tcp.len 2>/dev/null",
		path);
	tshark = popen(command, "r");
	cr_assert_not_null(tshark);
	while (fgets(theirs, sizeof(theirs), tshark) != NULL) {
		cr_assert_not_null(fgets(ours, sizeof(ours), mine), "%s: tshark has %s", path,
				   theirs);
		cr_assert_str_eq(ours, theirs, "%s: ours %s, theirs %s", path, ours, theirs);
		lines++;
	}
	cr_expect_null(fgets(ours, sizeof(ours), mine), "%s: tshark has not %s", path, ours);
	cr_expect_eq(pclose(tshark), 0);
	cr_expect_geq(lines, least, "%s: %u TCP packets", path, lines);
	fclose(mine);
}

/* Flags, addresses and numbers of any sense or none: SYNs with old and new ISNs, halves of handshakes... */
static void random_segment(struct segment *seg)
{
	static const uint8_t flags[] = {
		TCP_SYN,           TCP_SYN | TCP_ACK, TCP_ACK, TCP_ACK | TCP_PSH,
		TCP_ACK | TCP_PSH, TCP_ACK | TCP_FIN, TCP_RST, TCP_RST | TCP_ACK,
		TCP_ACK,           TCP_SYN | TCP_FIN, 0};
	unsigned tuple = (unsigned)rand() % TUPLES;
	struct addr a = {
		.ip = {192, 0, 2, 1}, .port = (uint16_t)(40000 + tuple / 2), .family = ADDR_IP4};
	struct addr b = {.ip = {198, 51, 100, 7}, .port = 8585, .family = ADDR_IP4};

	if (tuple == 0)
		b = a; /* equal ends */
	else if (tuple % 2)
		memcpy(b.ip, a.ip, sizeof(b.ip)); /* equal addresses */
	*seg = (struct segment){.flags = flags[(size_t)rand() % sizeof(flags)], .window = 500};
	seg->src = rand() % 2 ? a : b;
	seg->dst = memcmp(&seg->src, &a, sizeof(a)) == 0 ? b : a;
	seg->seq = (uint32_t)(rand() % 4) * 1000 - 1000;
	seg->ack = (uint32_t)(rand() % 4) * 1000 - 1000;
	seg->payload_len = rand() % 3 == 0 ? (uint32_t)rand() % 40 : 0;
}

Test(flow_tshark, numbers_of_random_packets)
{
	struct pcapng_interface eth = {.name = "eth0", .link = LINK_ETHERNET};
	static uint8_t frame[FRAME_MAX];
	struct pcapng *w;
	char path[64];
	int fd;

	need_tshark();
	fd = frame_scratch(path);
	w = pcapng_new(dup(fd), "x");
	cr_assert_not_null(w);
	cr_assert(pcapng_interface(w, &eth));
	srand(20261123);
	for (unsigned i = 0; i < PACKETS; i++) {
		struct packet p = {.ts_ns = 1764000000 * NS_PER_S + i * NS_PER_MS, .bytes = frame};
		struct segment seg;

		random_segment(&seg);
		p.cap_len = frame_write(&seg, frame);
		p.wire_len = p.cap_len;
		cr_assert(pcapng_packet(w, &p, NULL, 0));
	}
	cr_assert(pcapng_close(w));
	compare_file(path, PACKETS);
	close(fd);
}

static int is_pcap(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return dot != NULL && strcmp(dot, ".pcap") == 0;
}

/* Next to the checkout, where there are some. */
Test(flow_tshark, captures_made_by_others)
{
	static const char folder[] = "../shared/captures";
	struct dirent **entries;
	int count = scandir(folder, &entries, is_pcap, alphasort);
	char path[512];

	if (count <= 0)
		cr_skip_test("no captures in %s", folder);
	need_tshark();
	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
		compare_file(path, 1);
		free(entries[i]);
	}
	free(entries);
}
