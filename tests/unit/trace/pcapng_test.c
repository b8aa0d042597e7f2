/*
 * pcapng_test.c -- what is written is read back by tshark, capinfos, tcpdump and our own reader, and
 * a full disk leaves whole blocks.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/unit/trace/frames.h"
#include "trace/capture_file.h"
#include "trace/pcapng.h"

#define START_NS  1764000000123456789ULL
#define BIG_BYTES 66000 /* more than a segment can be, with its comments more than the buffer */

static const struct segment seg = {
	.src = {.ip = {192, 0, 2, 1}, .port = 40000, .family = ADDR_IP4},
	.dst = {.ip = {198, 51, 100, 7}, .port = 8585, .family = ADDR_IP4},
	.seq = 1000,
	.ack = 2000,
	.window = 500,
	.flags = TCP_PSH | TCP_ACK,
	.payload_len = 100,
};

static struct pcapng *new_file(char path[64])
{
	struct pcapng *w = pcapng_new(frame_scratch(path), "flowtrace 0.1");

	cr_assert_not_null(w);
	return w;
}

static void add_interfaces(struct pcapng *w)
{
	struct pcapng_interface lo = {
		.name = "lo",
		.description = "loopback",
		.filter = "inbound and (tcp and (port 8585))",
		.link = LINK_ETHERNET,
		.snap_len = 262144,
	};
	struct pcapng_interface eth = {
		.name = "eth-with-long", .link = LINK_ETHERNET, .snap_len = 262144};

	cr_assert(pcapng_interface(w, &lo));
	cr_assert(pcapng_interface(w, &eth));
}

static struct packet packet_of(const uint8_t *bytes, uint32_t len)
{
	return (struct packet){.ts_ns = START_NS,
			       .cap_len = len,
			       .wire_len = len,
			       .link = LINK_ETHERNET,
			       .bytes = bytes};
}

#define COMMENT(text)                  \
	{                              \
		text, sizeof(text) - 1 \
	}

/* Four packets: two comments; nothing; cut, outbound, behind drops; on the second interface. */
static void add_packets(struct pcapng *w)
{
	static const struct pcapng_comment comments[] = {
		COMMENT("req=9f3c51d27be40a18 leg=backend part=request off=0-311 of 311"),
		COMMENT("req=9f3c51d27be40a19 leg=backend part=response acked"),
	};
	static uint8_t frame[FRAME_MAX];
	uint32_t len = frame_write(&seg, frame);
	struct packet p = packet_of(frame, len);

	cr_assert(pcapng_packet(w, &p, comments, 2));
	p.ts_ns++;
	cr_assert(pcapng_packet(w, &p, NULL, 0));
	p.ts_ns = START_NS + 7 * NS_PER_S;
	p.cap_len = 61; /* no multiple of four */
	p.direction = PACKET_OUTBOUND;
	p.dropped_before = 4711;
	cr_assert(pcapng_packet(w, &p, NULL, 0));
	p.iface = 1;
	p.direction = PACKET_INBOUND;
	p.dropped_before = 0;
	p.cap_len = len;
	cr_assert(pcapng_packet(w, &p, comments, 1));
}

static void write_whole_file(char path[64], int *fd)
{
	struct pcapng_statistics s = {
		.ts_ns = START_NS + 8 * NS_PER_S,
		.start_ns = START_NS - NS_PER_S,
		.received = 123456789012,
		.dropped = 4711,
	};
	struct pcapng *w;

	*fd = frame_scratch(path);
	w = pcapng_new(dup(*fd), "flowtrace 0.1");
	cr_assert_not_null(w);
	add_interfaces(w);
	add_packets(w);
	cr_assert(pcapng_statistics(w, 0, &s));
	s.dropped = 0;
	cr_assert(pcapng_statistics(w, 1, &s));
	cr_assert(pcapng_close(w));
}

static void need(const char *program)
{
	char command[128], out[16];

	snprintf(command, sizeof(command), "command -v %s >/dev/null 2>&1", program);
	if (frame_command(command, out, sizeof(out)) != 0)
		cr_skip_test("%s is not installed", program);
}

/* Run with the file as last argument; stdout and stderr, without what root is told. */
static int run_on(const char *command, const char *path, char *out, size_t cap)
{
	char line[512];

	snprintf(line, sizeof(line), "{ %s %s 2>&1; echo status=$?; } | grep -v 'Running as user'",
		 command, path);
	return frame_command(line, out, cap);
}

Test(pcapng, tshark_reads_it)
{
	static const char want[] =
		"1|1764000000.123456789|lo|154|154||"
		"req=9f3c51d27be40a18 leg=backend part=request off=0-311 of 311,"
		"req=9f3c51d27be40a19 leg=backend part=response acked|\n"
		"2|1764000000.123456790|lo|154|154|||\n"
		"3|1764000007.123456789|lo|61|154|0x00000002||4711\n"
		"4|1764000007.123456789|eth-with-long|154|154|0x00000001|"
		"req=9f3c51d27be40a18 leg=backend part=request off=0-311 of 311|\n"
		"status=0\n";
	char path[64], out[4096];
	int fd;

	need("tshark");
	write_whole_file(path, &fd);
	run_on("tshark -n -T fields -E separator='|' -e frame.number -e frame.time_epoch "
	       "-e frame.interface_name -e frame.cap_len -e frame.len -e frame.packet_flags "
	       "-e frame.comment -e frame.drop_count -r",
	       path, out, sizeof(out));
	cr_expect_str_eq(out, want, "%s", out);
	close(fd);
}

Test(pcapng, capinfos_reads_it)
{
	static const char *const want[] = {
		"File type:           Wireshark/... - pcapng",
		"Number of packets:   4",
		"Capture oper-sys:    Linux ",
		"Capture application: flowtrace 0.1",
		"Number of interfaces in file: 2",
		"Name = lo",
		"Description = loopback",
		"Name = eth-with-long",
		"Filter string = inbound and (tcp and (port 8585))",
		"Time precision = nanoseconds (9)",
		"Number of stat entries = 1",
		"Strict time order:   True",
		"status=0",
	};
	char path[64], out[8192];
	int fd;

	need("capinfos");
	write_whole_file(path, &fd);
	run_on("capinfos", path, out, sizeof(out));
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		cr_expect_not_null(strstr(out, want[i]), "no '%s' in:\n%s", want[i], out);
	cr_expect_null(strstr(out, "arning"), "%s", out);
	close(fd);
}

Test(pcapng, tcpdump_reads_it)
{
	char path[64], out[4096], *line = out;
	unsigned lines = 0;
	int fd;

	need("tcpdump");
	write_whole_file(path, &fd);
	run_on("tcpdump -n -tt --nano -r", path, out, sizeof(out));
	cr_expect_not_null(strstr(out,
				  "1764000000.123456790 IP 192.0.2.1.40000 > 198.51.100.7.8585: "
				  "Flags [P.], seq 0:100, ack 1, win 500, length 100"),
			   "%s", out);
	for (; (line = strchr(line, '\n')) != NULL; line++)
		lines++;
	cr_expect_eq(lines, 6, "the file's name, four packets and the status, but:\n%s", out);
	cr_expect_not_null(strstr(out, "status=0"));
	close(fd);
}

Test(pcapng, our_reader_reads_it)
{
	char path[64], err[CAPTURE_FILE_ERROR_MAX] = "";
	struct capture_file *f;
	struct packet p;
	int fd;

	write_whole_file(path, &fd);
	f = capture_file_open(path, err);
	cr_assert_not_null(f, "%s", err);
	for (uint32_t i = 1; i <= 4; i++) {
		cr_assert_eq(capture_file_next(f, &p, err), CAPTURE_FILE_PACKET, "%s", err);
		cr_expect_eq(p.frame, i);
		cr_expect_eq(p.ts_ns, i < 3 ? START_NS + i - 1 : START_NS + 7 * NS_PER_S);
		cr_expect_eq(p.iface, i == 4);
		cr_expect_eq(p.link, LINK_ETHERNET);
		cr_expect_eq(p.cap_len, i == 3 ? 61 : 154);
		cr_expect_eq(p.wire_len, 154);
		cr_expect_eq(p.direction, i < 3 ? 0 : i == 3 ? PACKET_OUTBOUND : PACKET_INBOUND);
		cr_expect_eq(p.dropped_before, i == 3 ? 4711 : 0);
		cr_expect_eq(p.bytes[FRAME_HEADERS], 'x');
	}
	cr_expect_eq(capture_file_next(f, &p, err), CAPTURE_FILE_END);
	cr_expect_eq(capture_file_interfaces(f), 2);
	cr_expect_str_eq(capture_file_interface_name(f, 0), "lo");
	cr_expect_str_eq(capture_file_interface_name(f, 1), "eth-with-long");
	capture_file_close(f);
	close(fd);
}

/* Packets of the file, and how it ended. */
static uint32_t count_packets(const char *path, enum capture_file_result *result)
{
	char err[CAPTURE_FILE_ERROR_MAX] = "";
	struct capture_file *f = capture_file_open(path, err);
	struct packet p;
	uint32_t count = 0;

	cr_assert_not_null(f, "%s", err);
	while ((*result = capture_file_next(f, &p, err)) == CAPTURE_FILE_PACKET)
		count++;
	capture_file_close(f);
	return count;
}

/* A reader of the growing file sees whole blocks, and all of them after a flush. */
Test(pcapng, every_write_ends_on_a_whole_block)
{
	enum capture_file_result result;
	static uint8_t bytes[BIG_BYTES];
	char path[64], comment[40000];
	struct pcapng_comment comments[6];
	struct pcapng *w = new_file(path);
	struct packet p;

	memset(comment, 'c', sizeof(comment));
	for (unsigned i = 0; i < 6; i++)
		comments[i] = (struct pcapng_comment){comment, sizeof(comment) - 1};
	add_interfaces(w);
	for (uint32_t i = 1; i <= 200; i++) {
		p = packet_of(bytes, i % 10 == 0 ? BIG_BYTES : 1000 + i);
		cr_assert(pcapng_packet(w, &p, comments, i % 10 == 0 ? 6 : 0));
		if (i % 7 == 0) {
			cr_expect_leq(count_packets(path, &result), i);
			cr_expect_eq(result, CAPTURE_FILE_END);
		}
		if (i % 50 != 0)
			continue;
		cr_assert(pcapng_flush(w));
		cr_expect_eq(count_packets(path, &result), i);
	}
	cr_assert(pcapng_close(w));
}

Test(pcapng, long_comment_is_cut_between_characters)
{
	static char text[3 * 30000 + 1];
	const struct pcapng_comment comments[] = {{text, sizeof(text) - 1}};
	char path[64], err[CAPTURE_FILE_ERROR_MAX];
	uint8_t head[8], bytes[4] = {0};
	struct packet p = packet_of(bytes, 4), read_back;
	struct capture_file *f;
	struct pcapng *w;
	int fd = frame_scratch(path);
	off_t at;

	for (unsigned i = 0; i < 30000; i++)
		memcpy(text + 3 * i, "\xe2\x82\xac", 3); /* the euro sign */
	w = pcapng_new(dup(fd), "x");
	cr_assert_not_null(w);
	add_interfaces(w);
	cr_assert(pcapng_flush(w));
	at = lseek(fd, 0, SEEK_END);
	cr_assert(pcapng_packet(w, &p, comments, 1));
	cr_assert(pcapng_close(w));
	/* block head 8, fields 20, data 4, then option 1 and its length */
	cr_assert_eq(pread(fd, head, 4, at + 32), 4);
	cr_expect_eq(head[0] | head[1] << 8, 1);
	cr_expect_eq(head[2] | head[3] << 8, 65535 / 3 * 3);
	f = capture_file_open(path, err);
	cr_assert_not_null(f);
	cr_expect_eq(capture_file_next(f, &read_back, err), CAPTURE_FILE_PACKET);
	cr_expect_eq(capture_file_next(f, &read_back, err), CAPTURE_FILE_END);
	capture_file_close(f);
	close(fd);
}

/* The disk is full in the middle of a block: the file is cut back, and the writer says so. */
Test(pcapng, full_disk_leaves_whole_blocks)
{
	struct rlimit limit = {.rlim_cur = 300000, .rlim_max = RLIM_INFINITY};
	char path[] = "/tmp/flowproxy-pcapng-XXXXXX";
	enum capture_file_result result;
	static uint8_t bytes[1000];
	struct packet p = packet_of(bytes, sizeof(bytes));
	struct pcapng *w;
	struct stat st;
	bool good = true;
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	signal(SIGXFSZ, SIG_IGN);
	w = pcapng_new(fd, "x");
	cr_assert_not_null(w);
	add_interfaces(w);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (unsigned i = 0; i < 1000 && good; i++)
		good = pcapng_packet(w, &p, NULL, 0);
	cr_expect(!good);
	cr_expect(!pcapng_packet(w, &p, NULL, 0));
	cr_expect(!pcapng_flush(w));
	cr_expect(!pcapng_close(w));
	cr_expect_eq(stat(path, &st), 0);
	cr_expect_gt(st.st_size, 200000);
	cr_expect_lt(st.st_size, 300000);
	cr_expect_gt(count_packets(path, &result), 200);
	cr_expect_eq(result, CAPTURE_FILE_END);
	unlink(path);
}

Test(pcapng, failure_from_the_beginning)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		cr_skip_test("no /dev/full");
	cr_expect_null(pcapng_new(fd, "x"));
	cr_expect_eq(fcntl(fd, F_GETFD), -1); /* it was owned, and is closed */
	cr_expect(pcapng_close(NULL));
}
