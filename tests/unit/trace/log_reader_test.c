/*
 * log_reader_test.c -- lines of proxy.ndjson: every value, every member that is missing or wrong,
 * and files that end badly.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "trace/log_reader.h"

/* The line of the design, with a retry, an interim response and a tunnel. */
static const char full[] =
	"{\"v\":1,\"run\":\"5d2c\",\"id\":\"9f3c51d27be40a18\","
	"\"start\":\"2026-11-23T08:15:04.123456789Z\",\"method\":\"POST\","
	"\"target\":\"/currencyconvertor.asmx\",\"version\":\"1.1\",\"host\":\"localhost:8585\","
	"\"soap\":{\"action\":\"urn:ConversionRate\",\"operation\":null,\"fault\":null},"
	"\"status\":200,\"end\":\"done\","
	"\"client\":{\"conn\":3,\"nth\":2,\"local\":\"127.0.0.1:8585\","
	"\"peer\":\"127.0.0.1:40112\",\"opened\":\"2026-11-23T08:15:03.000000001Z\",\"tls\":null,"
	"\"request\":[622,933],\"interim\":[1179,1204],\"response\":[1204,1786],"
	"\"tunnel\":{\"up\":[933,1000],\"down\":null}},"
	"\"backend\":{\"conn\":5,\"nth\":2,\"reused\":true,\"local\":\"127.0.0.1:51544\","
	"\"peer\":\"[::1]:8080\",\"opened\":\"2026-11-23T08:15:03.500000000Z\",\"tls\":null,"
	"\"request\":[604,915],\"interim\":null,\"response\":[1180,1762],\"attempts\":2,"
	"\"tries\":[{\"conn\":4,\"nth\":9,\"local\":null,\"peer\":\"127.0.0.1:8080\","
	"\"request\":[1,2],\"response\":null,\"end\":\"backend-eof\"}]},"
	"\"at_us\":{\"request_end\":9,\"backend_ready\":11,\"backend_request_end\":25,"
	"\"backend_response_start\":410,\"backend_response_end\":null,\"response_end\":431},"
	"\"bytes\":{\"request_body\":301,\"response_body\":382}}\n";

static void expect_range(const struct byte_range *r, uint64_t first, uint64_t past)
{
	cr_expect_eq(r->first, first);
	cr_expect_eq(r->past, past);
}

static void expect_addr(const struct addr *a, const char *text)
{
	char out[ADDR_TEXT_MAX];

	addr_format(a, out);
	cr_expect_str_eq(out, text);
}

static void expect_client(const struct leg_record *l)
{
	uint64_t opened_ns;

	cr_expect_eq(l->conn, 3);
	cr_expect_eq(l->nth, 2);
	expect_addr(&l->local, "127.0.0.1:8585");
	expect_addr(&l->peer, "127.0.0.1:40112");
	cr_assert(clock_parse("2026-11-23T08:15:03.000000001Z", 30, &opened_ns));
	cr_expect_eq(l->opened_ns, opened_ns);
	expect_range(&l->request, 622, 933);
	expect_range(&l->interim, 1179, 1204);
	expect_range(&l->response, 1204, 1786);
	expect_range(&l->tunnel_up, 933, 1000);
	cr_expect_not(byte_range_exists(&l->tunnel_down));
}

static void expect_backend(const struct exchange_record *x)
{
	const struct leg_record *l = &x->backend;

	cr_expect_eq(l->conn, 5);
	cr_expect_eq(l->nth, 2);
	cr_expect_eq(l->reused, 1);
	expect_addr(&l->peer, "[::1]:8080");
	expect_range(&l->request, 604, 915);
	cr_expect_not(byte_range_exists(&l->interim));
	expect_range(&l->response, 1180, 1762);
	cr_expect_eq(x->attempts, 2);
	cr_assert_eq(x->tries_count, 1);
	cr_expect_eq(x->tries[0].leg.conn, 4);
	cr_expect_eq(x->tries[0].leg.nth, 9);
	cr_expect_eq(x->tries[0].leg.local.family, ADDR_NONE);
	expect_range(&x->tries[0].leg.request, 1, 2);
	cr_expect_not(byte_range_exists(&x->tries[0].leg.response));
	cr_expect_str_eq(x->tries[0].end, "backend-eof");
}

Test(log_reader, every_value_of_a_line)
{
	static const int64_t at_us[MOMENT_COUNT] = {9, 11, 25, 410, MOMENT_NEVER, 431};
	struct exchange_record x;
	struct log_tls tls;
	char err[LOG_ERROR_MAX] = "";
	uint64_t start_ns;

	cr_assert(log_line_parse(full, strlen(full), &x, &tls, err), "%s", err);
	cr_expect_eq(x.run, 0x5d2c);
	cr_expect_eq(x.id, 0x9f3c51d27be40a18);
	cr_assert(clock_parse("2026-11-23T08:15:04.123456789Z", 30, &start_ns));
	cr_expect_eq(x.start_ns, start_ns);
	cr_expect_eq(x.status, 200);
	cr_expect_str_eq(x.end, "done");
	expect_client(&x.client);
	expect_backend(&x);
	for (unsigned i = 0; i < MOMENT_COUNT; i++)
		cr_expect_eq(x.at_us[i], at_us[i]);
	cr_expect_eq(x.request_body_bytes, 301);
	cr_expect_eq(x.response_body_bytes, 382);
}

/* The full line with one piece of text replaced. */
static char *with(const char *piece, const char *by)
{
	const char *p = strstr(full, piece);
	char *line = malloc(sizeof(full) + strlen(by));

	cr_assert_not_null(p, "%s", piece);
	memcpy(line, full, (size_t)(p - full));
	strcpy(line + (p - full), by);
	strcat(line, p + strlen(piece));
	return line;
}

static void accepted(const char *piece, const char *by, struct exchange_record *x)
{
	struct log_tls tls;
	char *line = with(piece, by);
	char err[LOG_ERROR_MAX] = "";

	cr_expect(log_line_parse(line, strlen(line), x, &tls, err), "%s", err);
	free(line);
}

Test(log_reader, what_never_was_is_null)
{
	struct exchange_record x;

	accepted("\"status\":200", "\"status\":null", &x);
	cr_expect_eq(x.status, 0);
	accepted("\"request\":[622,933]", "\"request\":null", &x);
	cr_expect_not(byte_range_exists(&x.client.request));
	accepted("\"method\":\"POST\"", "\"method\":null", &x);
	accepted("\"run\":\"5d2c\"", "\"run\":\"ffffffff\"", &x);
	cr_expect_eq(x.run, 0xffffffff);
	accepted("\"version\":\"1.1\"", "\"version\":null,\"cut\":true,\"later\":[{}]", &x);
}

Test(log_reader, no_backend)
{
	const char *from = strstr(full, "\"backend\":{"), *to = strstr(full, "\"at_us\"");
	struct exchange_record x;
	struct log_tls tls;
	char err[LOG_ERROR_MAX] = "", line[sizeof(full)];
	int len = snprintf(line, sizeof(line), "%.*s\"backend\":null,%s", (int)(from - full), full,
			   to);

	cr_assert(log_line_parse(line, (size_t)len, &x, &tls, err), "%s", err);
	cr_expect_eq(x.backend.conn, 0);
	cr_expect_eq(x.tries_count, 0);
	cr_expect_not(byte_range_exists(&x.backend.request));
}

static void refused(const char *piece, const char *by, const char *why)
{
	struct exchange_record x;
	struct log_tls tls;
	char *line = with(piece, by);
	char err[LOG_ERROR_MAX] = "";

	cr_expect_not(log_line_parse(line, strlen(line), &x, &tls, err), "%s", by);
	cr_expect_not_null(strstr(err, why), "%s: %s", by, err);
	free(line);
}

Test(log_reader, wrong_members_are_named)
{
	refused("\"v\":1", "\"v\":2", "v: ");
	refused("\"run\":\"5d2c\"", "\"run\":\"5d2x\"", "run: hexadecimal");
	refused("\"run\":\"5d2c\"", "\"run\":\"123456789\"", "run: hexadecimal");
	refused("\"id\":\"9f3c51d27be40a18\"", "\"id\":\"9f3c\"", "id: hexadecimal");
	refused("\"id\":\"9f3c51d27be40a18\",", "", "id: missing");
	refused("2026-11-23T08:15:04.123456789Z", "yesterday", "start: ");
	refused("\"method\":\"POST\"", "\"method\":7", "method: ");
	refused("\"status\":200", "\"status\":99", "status: ");
	refused("\"status\":200,", "", "status: missing");
	refused("\"end\":\"done\"", "\"end\":\"\"", "end: ");
	refused("\"end\":\"done\"", "\"end\":\"a-word-that-is-much-too-long\"", "end: ");
	refused("\"conn\":3", "\"conn\":0", "client.conn: ");
	refused("\"conn\":3", "\"conn\":-3", "client.conn: ");
	refused("\"nth\":2", "\"nth\":4294967296", "client.nth: ");
	refused("\"local\":\"127.0.0.1:8585\"", "\"local\":\"localhost\"", "client.local: ");
	refused("[622,933]", "[933,622]", "client.request: ");
	refused("[622,933]", "[622,622]", "client.request: ");
	refused("[622,933]", "[622]", "client.request: ");
	refused("[622,933]", "[-1,933]", "client.request: ");
	refused("[622,933]", "\"622\"", "client.request: ");
	refused("\"response\":[1204,1786],", "", "client.response: missing");
	refused("\"tunnel\":{\"up\"", "\"tunnel\":{\"sideways\"", "client.up: missing");
	refused("\"reused\":true", "\"reused\":1", "backend.reused: ");
	refused("\"attempts\":2", "\"attempts\":0", "backend.attempts: ");
	refused("\"tries\":[", "\"tries\":[1,", "backend.tries: ");
	refused("\"end\":\"backend-eof\"", "\"end\":null", "backend.tries[0].end: ");
	refused("\"backend_ready\":11", "\"backend_ready\":-1", "at_us.backend_ready: ");
	refused("\"backend_ready\":11", "\"backend_ready\":1.5", "at_us.backend_ready: ");
	refused("\"backend_ready\":11,", "", "at_us.backend_ready: missing");
	refused("\"request_body\":301", "\"request_body\":null", "bytes.request_body: ");
	refused("\"client\":{", "\"client\":[],\"was\":{", "client: an object");
	refused("{\"v\"", "[{\"v\"", "no JSON at column");
	refused("\"v\":1,", "\"v\":1,\"v\":1,", "no JSON at column");
}

/* ---- files ----------------------------------------------------------------------------------- */

static void write_file(char path[32], const char *text, size_t len)
{
	int fd;

	strcpy(path, "/tmp/log_reader.XXXXXX");
	fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, len), (ssize_t)len);
	close(fd);
}

static enum log_result read_all(const char *path, unsigned *count, bool *torn,
				char err[LOG_ERROR_MAX])
{
	struct log_reader *r = log_reader_open(path, err);
	struct exchange_record x;
	struct log_tls tls;
	enum log_result result;

	cr_assert_not_null(r);
	*count = 0;
	while ((result = log_reader_next(r, &x, &tls, err)) == LOG_RECORD)
		(*count)++;
	*torn = log_reader_is_torn(r);
	cr_expect_eq(log_reader_next(r, &x, &tls, err), LOG_END);
	log_reader_close(r);
	return result;
}

Test(log_reader, files)
{
	static const struct {
		const char *tail;
		unsigned count;
		bool torn;
		const char *why;
	} cases[] = {
		{"", 1, false, NULL},
		{full, 2, false, NULL},
		{"{\"v\":1,\"run\":\"5d", 1, true, NULL},
		{"{\"v\":1,\"run\":\"5d\n", 1, false, ":2: no JSON"},
		{"{}\n", 1, false, ":2: v: missing"},
		{"\n", 1, false, ":2: "},
		{"[]\n", 1, false, ":2: line: an object"},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char text[2 * sizeof(full)], path[32], err[LOG_ERROR_MAX] = "";
		int len = snprintf(text, sizeof(text), "%s%s", full, cases[i].tail);
		unsigned count;
		bool torn;
		enum log_result result;

		write_file(path, text, (size_t)len);
		result = read_all(path, &count, &torn, err);
		cr_expect_eq(result, cases[i].why != NULL ? LOG_BROKEN : LOG_END);
		cr_expect_eq(count, cases[i].count);
		cr_expect_eq(torn, cases[i].torn);
		if (cases[i].why != NULL) {
			cr_expect_eq(strncmp(err, path, strlen(path)), 0, "%s", err);
			cr_expect_not_null(strstr(err, cases[i].why), "%s", err);
		}
		unlink(path);
	}
}

Test(log_reader, last_line_without_newline_counts_when_it_is_whole)
{
	char path[32], err[LOG_ERROR_MAX];
	unsigned count;
	bool torn;

	write_file(path, full, strlen(full) - 1);
	cr_expect_eq(read_all(path, &count, &torn, err), LOG_END);
	cr_expect_eq(count, 1);
	cr_expect_not(torn);
	unlink(path);
}

Test(log_reader, line_without_end_is_refused)
{
	size_t len = LOG_LINE_MAX + 10;
	char *text = malloc(len), path[32], err[LOG_ERROR_MAX];
	unsigned count;
	bool torn;

	memset(text, ' ', len);
	write_file(path, text, len);
	cr_expect_eq(read_all(path, &count, &torn, err), LOG_BROKEN);
	cr_expect_not_null(strstr(err, ":1: the line is too long"), "%s", err);
	unlink(path);
	free(text);
}

Test(log_reader, no_such_file)
{
	char err[LOG_ERROR_MAX];

	cr_expect_null(log_reader_open("/nowhere/proxy.ndjson", err));
	cr_expect_str_eq(err, "/nowhere/proxy.ndjson: No such file or directory");
}
