/*
 * analyze_test.c -- the offline path from files to files: one capture and several, a folder that
 * holds its inputs already, what lies outside the capture, and inputs that break off.
 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "tests/unit/trace/frames.h"
#include "trace/analyze.h"
#include "trace/capture_file.h"
#include "trace/pcapng.h"

#define T0 1700000000000000000ULL

static const struct addr client = {.ip = {192, 0, 2, 1}, .port = 40000, .family = ADDR_IP4};
static const struct addr listener = {.ip = {198, 51, 100, 7}, .port = 8585, .family = ADDR_IP4};

static char folder[] = "/tmp/analyze_test.XXXXXX";

static const char *in(const char *name)
{
	static char paths[8][128];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, 128, "%s/%s", folder, name);
	return path;
}

static void make_folder(void)
{
	log_init("test");
	cr_assert_not_null(mkdtemp(folder));
	cr_assert_eq(mkdir(in("in"), 0755), 0);
}

static void remove_folder(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", folder);
	cr_assert_eq(system(command), 0);
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	cr_assert_not_null(f);
	fputs(text, f);
	fclose(f);
}

static const char *read_text(const char *path)
{
	static char bytes[65536];
	FILE *f = fopen(path, "r");
	size_t len;

	cr_assert_not_null(f, "%s", path);
	len = fread(bytes, 1, sizeof(bytes) - 1, f);
	bytes[len] = '\0';
	fclose(f);
	return bytes;
}

/* ---- a log line and its packets -------------------------------------------------------------- */

static void write_log(const char *path, const char *tail)
{
	char text[8192];

	snprintf(text, sizeof(text),
		 "{\"v\":1,\"run\":\"00005d2c\",\"id\":\"00000000000000ab\","
		 "\"start\":\"2023-11-14T22:13:20.000120000Z\",\"method\":\"GET\","
		 "\"target\":\"/\",\"version\":\"1.1\",\"host\":null,\"soap\":null,\"status\":200,"
		 "\"end\":\"answered-here\",\"client\":{\"conn\":1,\"nth\":1,"
		 "\"local\":\"198.51.100.7:8585\",\"peer\":\"192.0.2.1:40000\","
		 "\"opened\":\"2023-11-14T22:13:20.000050000Z\",\"tls\":null,\"request\":[0,100],"
		 "\"interim\":null,\"response\":[0,200]},\"backend\":null,"
		 "\"at_us\":{\"request_end\":0,\"backend_ready\":null,"
		 "\"backend_request_end\":null,\"backend_response_start\":null,"
		 "\"backend_response_end\":null,\"response_end\":180},"
		 "\"bytes\":{\"request_body\":0,\"response_body\":150}}\n%s",
		 tail);
	write_text(path, text);
}

static const struct {
	unsigned us, from, flags;
	uint32_t seq, ack, len;
} segments[] = {
	{0, 0, TCP_SYN, 1000, 0, 0},      {10, 1, TCP_SYN | TCP_ACK, 5000, 1001, 0},
	{20, 0, TCP_ACK, 1001, 5001, 0},  {100, 0, TCP_ACK | TCP_PSH, 1001, 5001, 100},
	{110, 1, TCP_ACK, 5001, 1101, 0}, {300, 1, TCP_ACK | TCP_PSH, 5001, 1101, 200},
	{310, 0, TCP_ACK, 1101, 5201, 0},
};

#define SEGMENTS (sizeof(segments) / sizeof(*segments))

/* Before this segment secrets stand in the captures; 0: in none. */
static unsigned secrets_before;

static const char secrets[] = "CLIENT_RANDOM 0123 4567\n";

/* Those of the segments for which the bit is set. */
static void write_capture(const char *path, const char *iface, unsigned which)
{
	const struct pcapng_interface i = {.name = iface, .link = LINK_ETHERNET};
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	struct pcapng *w = pcapng_new(fd, "test");
	static uint8_t frame[FRAME_MAX];

	cr_assert_not_null(w);
	cr_assert(pcapng_interface(w, &i));
	for (unsigned n = 0; n < SEGMENTS; n++) {
		struct segment seg = {.src = segments[n].from == 0 ? client : listener,
				      .dst = segments[n].from == 0 ? listener : client,
				      .seq = segments[n].seq,
				      .ack = segments[n].ack,
				      .flags = (uint8_t)segments[n].flags,
				      .window = 500,
				      .payload_len = segments[n].len};
		struct packet p = {.ts_ns = T0 + segments[n].us * 1000ULL,
				   .link = LINK_ETHERNET,
				   .bytes = frame};

		if ((which >> n & 1) == 0)
			continue;
		if (n > 0 && n == secrets_before)
			cr_assert(pcapng_secrets(w, PCAPNG_SECRETS_TLS, secrets,
						 sizeof(secrets) - 1));
		p.cap_len = p.wire_len = frame_write(&seg, frame);
		cr_assert(pcapng_packet(w, &p, NULL, 0));
	}
	cr_assert(pcapng_close(w));
}

#define ALL 0x7fU

static const char expected[] =
	"{\"v\":1,\"run\":\"00005d2c\",\"id\":\"00000000000000ab\",\"dump\":\"%s\","
	"\"start\":\"2023-11-14T22:13:20.000120000Z\",\"status\":200,\"end\":\"answered-here\","
	"\"client\":{\"conn\":1,\"nth\":1,\"stream\":0,\"anchor\":\"syn\","
	"\"handshake\":{\"frames\":[1,2,3],\"us\":20},\"tls\":null,"
	"\"request\":{\"seq\":1,\"len\":100,\"next_seq\":101,\"frames\":[4],\"acked_in\":5,"
	"\"acked_us\":10,\"retransmitted_bytes\":0,\"retransmitted_in\":[],\"missing_bytes\":0},"
	"\"interim\":null,"
	"\"response\":{\"seq\":1,\"len\":200,\"next_seq\":201,\"frames\":[6],\"acked_in\":7,"
	"\"acked_us\":10,\"retransmitted_bytes\":0,\"retransmitted_in\":[],\"missing_bytes\":0},"
	"\"close\":null},\"backend\":null,"
	"\"phases_us\":{\"total\":210,\"upload\":0,\"proxy_request\":200,\"handshake\":0,"
	"\"think\":0,\"proxy_response\":0,\"backend_send\":0,\"download\":0,\"delivery\":10},"
	"\"overlap\":null,\"verdict\":\"proxy_request\",\"drops\":0}\n";

static void expect_flows(const char *path, const char *dump)
{
	char text[4096];

	snprintf(text, sizeof(text), expected, dump);
	cr_expect_str_eq(read_text(path), text);
}

static int analyze(const char *log, const char *one, const char *two, const char *out)
{
	char paths[2][128];
	char *const captures[] = {paths[0], paths[1]};
	struct analyze_options o = {.log = log,
				    .captures = captures,
				    .capture_count = two != NULL ? 2 : 1,
				    .out = out,
				    .hold_ms = 2000};

	snprintf(paths[0], sizeof(paths[0]), "%s", one);
	snprintf(paths[1], sizeof(paths[1]), "%s", two != NULL ? two : "");
	return analyze_run(&o);
}

static unsigned packets_in(const char *path)
{
	char err[CAPTURE_FILE_ERROR_MAX];
	struct capture_file *f = capture_file_open(path, err);
	enum capture_file_result result;
	struct packet p;
	unsigned count = 0;

	cr_assert_not_null(f, "%s", err);
	while ((result = capture_file_next(f, &p, err)) == CAPTURE_FILE_PACKET)
		count++;
	cr_expect_eq(result, CAPTURE_FILE_END, "%s", err);
	capture_file_close(f);
	return count;
}

Test(analyze, folder_holds_all_that_show_needs, .init = make_folder, .fini = remove_folder)
{
	write_log(in("in/access.ndjson"), "");
	write_capture(in("in/x.pcap"), "eth0", ALL);
	cr_expect_eq(analyze(in("in/access.ndjson"), in("in/x.pcap"), NULL, in("out")), 0);
	expect_flows(in("out/flows.ndjson"), "x.pcapng");
	cr_expect_not_null(strstr(read_text(in("out/conns.ndjson")),
				  "\"dump\":\"x.pcapng\",\"leg\":\"client\",\"conn\":1"));
	cr_expect_not_null(strstr(read_text(in("out/proxy.ndjson")), "answered-here"));
	cr_expect_eq(packets_in(in("out/x.pcapng")), SEGMENTS);
	cr_expect_eq(access(in("out/flows.ndjson.part"), F_OK), -1);
}

Test(analyze, folder_of_its_inputs_keeps_them, .init = make_folder, .fini = remove_folder)
{
	struct stat before, after;

	write_log(in("in/proxy.ndjson"), "");
	write_capture(in("in/dump.pcapng"), "eth0", ALL);
	write_text(in("in/flows.ndjson"), "of before\n");
	cr_assert_eq(stat(in("in/dump.pcapng"), &before), 0);
	cr_expect_eq(analyze(in("in/proxy.ndjson"), in("in/dump.pcapng"), NULL, in("in")), 0);
	cr_assert_eq(stat(in("in/dump.pcapng"), &after), 0);
	cr_expect_eq(before.st_ino, after.st_ino);
	cr_expect_eq(before.st_size, after.st_size);
	expect_flows(in("in/flows.ndjson"), "dump.pcapng");
	cr_expect_not_null(strstr(read_text(in("in/proxy.ndjson")), "answered-here"));
}

Test(analyze, several_captures_are_merged_by_time, .init = make_folder, .fini = remove_folder)
{
	write_log(in("in/proxy.ndjson"), "");
	write_capture(in("in/client.pcapng"), "eth0", 0x2d);
	write_capture(in("in/server.pcapng"), "eth1", ALL & ~0x2dU);
	cr_expect_eq(analyze(in("in/proxy.ndjson"), in("in/server.pcapng"), in("in/client.pcapng"),
			     in("out")),
		     0);
	expect_flows(in("out/flows.ndjson"), "dump.pcapng");
	cr_expect_eq(packets_in(in("out/dump.pcapng")), SEGMENTS);
}

Test(analyze, exchanges_that_the_capture_was_not_there_for_have_no_line, .init = make_folder,
     .fini = remove_folder)
{
	char tail[4096], *p;

	write_log(in("in/proxy.ndjson"), "");
	snprintf(tail, sizeof(tail), "%s", read_text(in("in/proxy.ndjson")));
	while ((p = strstr(tail, "2023-11-14")) != NULL) /* the same a year before */
		p[3] = '2';
	memcpy(strstr(tail, "00ab"), "00cd", 4);
	memcpy(strstr(tail, "\"conn\":1"), "\"conn\":9", 8);
	write_log(in("in/proxy.ndjson"), tail);
	write_capture(in("in/dump.pcapng"), "eth0", ALL);
	cr_expect_eq(analyze(in("in/proxy.ndjson"), in("in/dump.pcapng"), NULL, in("out")), 0);
	expect_flows(in("out/flows.ndjson"), "dump.pcapng");
}

/* ---- secrets in the inputs ------------------------------------------------------------------- */

static void note_secrets(void *arg, uint32_t type, const void *bytes, size_t len)
{
	unsigned *seen = arg;

	cr_expect_eq(type, PCAPNG_SECRETS_TLS);
	cr_expect_eq(len, sizeof(secrets) - 1);
	cr_expect_eq(memcmp(bytes, secrets, len), 0);
	(*seen)++;
}

/* How many packets stand before the only secrets of a file. */
static unsigned packets_before_secrets(const char *path)
{
	char err[CAPTURE_FILE_ERROR_MAX];
	struct capture_file *f = capture_file_open(path, err);
	unsigned count = 0, before = 0, seen = 0;
	struct packet p;

	cr_assert_not_null(f, "%s", err);
	capture_file_on_secrets(f, note_secrets, &seen);
	while (capture_file_next(f, &p, err) == CAPTURE_FILE_PACKET) {
		before += seen == 0;
		count++;
	}
	cr_expect_eq(seen, 1);
	cr_expect_eq(count, SEGMENTS);
	capture_file_close(f);
	return before;
}

static unsigned mode_of(const char *path)
{
	struct stat st;

	cr_assert_eq(stat(path, &st), 0, "%s", path);
	return st.st_mode & 07777;
}

static void expect_modes(const char *dump, unsigned mode)
{
	cr_expect_eq(mode_of(in(dump)), mode, "%o", mode_of(in(dump)));
	cr_expect_eq(mode_of(in("out/flows.ndjson")), mode);
	cr_expect_eq(mode_of(in("out/conns.ndjson")), mode);
	cr_expect_eq(mode_of(in("out/proxy.ndjson")), mode);
}

Test(analyze, secrets_are_copied_to_their_place_and_nobody_else_may_read_them, .init = make_folder,
     .fini = remove_folder)
{
	mode_t mask = umask(0);

	secrets_before = 3;
	write_log(in("in/access.ndjson"), "");
	write_capture(in("in/x.pcapng"), "eth0", ALL);
	cr_assert_eq(mkdir(in("out"), 0755), 0);
	write_text(in("out/flows.ndjson"), "of before\n");
	write_text(in("out/x.pcapng"), "of before\n");
	write_text(in("out/x.pcapng.part"), "of a run that was ended\n");
	cr_expect_eq(mode_of(in("out/x.pcapng")), 0666);
	cr_expect_eq(analyze(in("in/access.ndjson"), in("in/x.pcapng"), NULL, in("out")), 0);
	expect_flows(in("out/flows.ndjson"), "x.pcapng");
	cr_expect_eq(packets_before_secrets(in("out/x.pcapng")), 3);
	expect_modes("out/x.pcapng", 0600);
	umask(mask);
}

Test(analyze, secrets_of_one_capture_among_several, .init = make_folder, .fini = remove_folder)
{
	write_log(in("in/proxy.ndjson"), "");
	write_capture(in("in/client.pcapng"), "eth0", 0x2d);
	secrets_before = 4;
	write_capture(in("in/server.pcapng"), "eth1", ALL & ~0x2dU);
	cr_expect_eq(analyze(in("in/proxy.ndjson"), in("in/server.pcapng"), in("in/client.pcapng"),
			     in("out")),
		     0);
	cr_expect_leq(packets_before_secrets(in("out/dump.pcapng")), 4);
	expect_modes("out/dump.pcapng", 0600);
}

Test(analyze, without_secrets_files_are_as_the_umask_says, .init = make_folder,
     .fini = remove_folder)
{
	mode_t mask = umask(026);

	write_log(in("in/access.ndjson"), "");
	write_capture(in("in/x.pcapng"), "eth0", ALL);
	cr_expect_eq(analyze(in("in/access.ndjson"), in("in/x.pcapng"), NULL, in("out")), 0);
	expect_modes("out/x.pcapng", 0640);
	umask(mask);
}

static void cut(const char *path, long by)
{
	struct stat st;

	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(truncate(path, st.st_size - by), 0);
}

static void redirect(void)
{
	make_folder();
	cr_redirect_stderr();
	cr_redirect_stdout();
}

Test(analyze, broken_capture_is_reported_after_all_before_it, .init = redirect,
     .fini = remove_folder)
{
	write_log(in("in/proxy.ndjson"), "");
	write_capture(in("in/dump.pcapng"), "eth0", ALL);
	cut(in("in/dump.pcapng"), 10);
	cr_expect_eq(analyze(in("in/proxy.ndjson"), in("in/dump.pcapng"), NULL, in("out")), 1);
	/* All but the last packet, which is the response's ACK. */
	cr_expect_not_null(
		strstr(read_text(in("out/flows.ndjson")), "\"frames\":[6],\"acked_in\":null"));
}

Test(analyze, broken_log_is_reported_after_all_before_it, .init = redirect, .fini = remove_folder)
{
	write_log(in("in/proxy.ndjson"), "{\"v\":1}\n{\"v\":1}\n");
	write_capture(in("in/dump.pcapng"), "eth0", ALL);
	cr_expect_eq(analyze(in("in/proxy.ndjson"), in("in/dump.pcapng"), NULL, in("out")), 1);
	expect_flows(in("out/flows.ndjson"), "dump.pcapng");
}

Test(analyze, missing_inputs_leave_nothing, .init = redirect, .fini = remove_folder)
{
	write_log(in("in/proxy.ndjson"), "");
	write_capture(in("in/dump.pcapng"), "eth0", ALL);
	cr_expect_eq(analyze(in("in/nothing.ndjson"), in("in/dump.pcapng"), NULL, in("out")), 1);
	cr_expect_eq(access(in("out/flows.ndjson"), F_OK), -1);
	cr_expect_eq(access(in("out/flows.ndjson.part"), F_OK), -1);
	cr_expect_eq(analyze(in("in/proxy.ndjson"), in("in/nothing.pcap"), NULL, in("out")), 1);
	cr_expect_eq(access(in("out/flows.ndjson"), F_OK), -1);
	cr_expect_eq(analyze(in("in/proxy.ndjson"), in("in/dump.pcapng"), NULL,
			     in("in/dump.pcapng")),
		     1);
}

Test(analyze, without_a_folder_the_table_is_printed, .init = redirect, .fini = remove_folder)
{
	char text[8192];
	size_t len;
	FILE *out;

	write_log(in("in/proxy.ndjson"), "");
	write_capture(in("in/dump.pcapng"), "eth0", ALL);
	cr_expect_eq(analyze(in("in/proxy.ndjson"), in("in/dump.pcapng"), NULL, NULL), 0);
	fflush(stdout);
	out = cr_get_redirected_stdout();
	len = fread(text, 1, sizeof(text) - 1, out);
	text[len] = '\0';
	cr_expect_not_null(strstr(text, "GET /"), "%s", text);
	cr_expect_not_null(strstr(text, "210 us"), "%s", text);
}
