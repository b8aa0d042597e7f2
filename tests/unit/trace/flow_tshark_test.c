/*
 * flow_tshark_test.c -- stream numbers, relative numbers, lengths, windows and analysis flags as
 * tshark sees them, on traffic made at random and on captures made by others.
 */
#include <criterion/criterion.h>
#include <dirent.h>

#include "tests/unit/trace/tshark.h"
#include "trace/pcapng.h"

#define PACKETS    20000
#define TUPLES     12

#define PICK(list) ((list)[(size_t)rand() % ARRAY_LEN(list)])

/* Where each end of each tuple stands; segments lie near it, or anywhere. */
static uint32_t next_seq[TUPLES][2];

static void random_ends(unsigned tuple, unsigned from, struct segment *seg)
{
	struct addr a = {
		.ip = {192, 0, 2, 1}, .port = (uint16_t)(40000 + tuple / 2), .family = ADDR_IP4};
	struct addr b = {.ip = {198, 51, 100, 7}, .port = 8585, .family = ADDR_IP4};

	if (tuple == 0)
		b = a; /* equal ends */
	else if (tuple % 2)
		memcpy(b.ip, a.ip, sizeof(b.ip)); /* equal addresses */
	seg->src = from == 0 ? a : b;
	seg->dst = from == 0 ? b : a;
}

/* Flags and numbers of any sense or none: SYNs with old and new ISNs, halves of handshakes... */
static void random_segment(struct segment *seg)
{
	static const uint8_t flags[] = {TCP_SYN,           TCP_SYN | TCP_ACK, TCP_ACK | TCP_FIN,
					TCP_RST,           TCP_RST | TCP_ACK, TCP_SYN | TCP_FIN,
					TCP_FIN | TCP_ACK, TCP_SYN | TCP_RST, 0};
	static const uint16_t windows[] = {0, 0, 500, 500, 500, 501, 20};
	static const uint32_t seqs[] = {0, 0, 0, 0, 0, 0, -1U, -1U, -20U, -41U, 20, 1000};
	static const uint32_t acks[] = {0, 0, 0, 0, 0, -20U, -1U, 1, 41};
	static const uint32_t lens[] = {0, 0, 0, 0, 1, 20, 41};
	static const uint32_t isns[] = {-1000U, 0, 1000, 2000};
	unsigned tuple = (unsigned)rand() % TUPLES, from = (unsigned)rand() % 2;
	uint32_t *next = next_seq[tuple];

	*seg = (struct segment){.flags = TCP_ACK, .window = PICK(windows)};
	random_ends(tuple, from, seg);
	if (rand() % 12 == 0)
		seg->flags = PICK(flags);
	if ((seg->flags & TCP_SYN) || rand() % 200 == 0)
		next[from] = PICK(isns);
	seg->payload_len = PICK(lens);
	seg->seq = next[from] + PICK(seqs);
	seg->ack = next[1 - from] + PICK(acks);
	if ((int32_t)(seg->seq + seg->payload_len - next[from]) > 0)
		next[from] = seg->seq + seg->payload_len;
	if (seg->flags & (TCP_SYN | TCP_FIN))
		next[from]++;
}

Test(flow_tshark, random_packets)
{
	static const uint64_t gaps_ns[] = {1,       1000,    50000,    900000,
					   2999999, 3000000, 12345678, -5ULL};
	struct pcapng_interface eth = {.name = "eth0", .link = LINK_ETHERNET};
	static uint8_t frame[FRAME_MAX];
	uint64_t now_ns = 1764000000 * NS_PER_S;
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
		struct packet p = {.ts_ns = now_ns, .bytes = frame};
		struct segment seg;

		random_segment(&seg);
		p.cap_len = frame_write(&seg, frame);
		p.wire_len = p.cap_len;
		cr_assert(pcapng_packet(w, &p, NULL, 0));
		now_ns += PICK(gaps_ns);
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
