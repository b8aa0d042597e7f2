/*
 * flow_tshark_test.c -- stream numbers, lengths and first carriers of bytes as tshark sees them, on
 * traffic made at random and on captures made by others.
 */
#include <criterion/criterion.h>
#include <dirent.h>

#include "tests/unit/trace/tshark.h"
#include "trace/pcapng.h"

#define PACKETS 6000
#define TUPLES  12

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
	tshark_compare(path, "", PACKETS);
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
		tshark_compare(path, "", 1);
		free(entries[i]);
	}
	free(entries);
}
