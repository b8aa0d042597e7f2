/*
 * log_feed_test.c -- which lines of a log are known when, and that each comes exactly once.
 */
#include "trace/log_feed.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"

#define START_NS 1700000000000000000ULL
#define LINES    60000U

static char path[64];
static unsigned times_given[LINES];
static uint64_t known_ns;
static unsigned given;

static void make_path(void)
{
	snprintf(path, sizeof(path), "/tmp/flowtrace-log-feed-%d", (int)getpid());
	memset(times_given, 0, sizeof(times_given));
	known_ns = 0;
	given = 0;
}

static void remove_path(void)
{
	unlink(path);
}

/* A line in the proxy's own form; with_space in another one, which jansson reads. */
static void write_line(FILE *f, unsigned id, uint64_t start_ns, uint64_t us, bool with_space)
{
	char start[CLOCK_TEXT_LEN + 1] = "";

	clock_format(start_ns, start);
	start[CLOCK_TEXT_LEN] = '\0';
	fprintf(f,
		"{\"v\":1,%s\"run\":\"%08x\",\"id\":\"%016x\",\"start\":\"%s\",\"method\":\"GET\","
		"\"target\":\"/\",\"version\":\"1.1\",\"host\":null,\"request_id\":null,"
		"\"traceparent\":null,\"soap\":{\"action\":null,\"operation\":null,\"fault\":null},"
		"\"status\":200,\"end\":\"done\",\"client\":{\"conn\":1,\"nth\":%u,"
		"\"local\":\"198.51.100.7:8585\",\"peer\":\"192.0.2.1:40000\",\"opened\":\"%s\","
		"\"tls\":null,\"request\":[0,100],\"interim\":null,\"response\":[0,200]},"
		"\"backend\":null,\"at_us\":{\"request_end\":0,\"backend_ready\":null,"
		"\"backend_request_end\":null,\"backend_response_start\":null,"
		"\"backend_response_end\":null,\"response_end\":%llu},"
		"\"bytes\":{\"request_body\":0,\"response_body\":150}}\n",
		with_space ? " " : "", 7, id, start, id + 1, start, (unsigned long long)us);
}

static void on_exchange(void *arg, const struct exchange_record *x, const struct log_tls *tls)
{
	(void)tls;
	(void)arg;
	cr_assert_lt(x->id, LINES);
	times_given[x->id]++;
	given++;
}

static void on_known(void *arg, uint64_t ns)
{
	(void)arg;
	cr_expect_geq(ns, known_ns);
	known_ns = ns;
}

static struct log_feed *open_feed(void)
{
	const struct log_feed_calls calls = {.exchange = on_exchange, .known = on_known};
	char err[LOG_ERROR_MAX];
	struct log_feed *f = log_feed_open(path, &calls, err);

	cr_assert_not_null(f, "%s", err);
	return f;
}

static void expect_each_once(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		cr_assert_eq(times_given[i], 1, "line %u: %u times", i, times_given[i]);
	cr_expect_eq(given, count);
}

/* A thousand a second; every exchange must be known before its first packet. */
Test(log_feed, just_ahead_of_the_packets, .init = make_path, .fini = remove_path)
{
	FILE *log = fopen(path, "w");
	struct log_feed *f;
	uint32_t run;

	for (unsigned i = 0; i < LINES; i++)
		write_line(log, i, START_NS + i * NS_PER_MS, 300, i % 1000 == 7);
	fclose(log);
	f = open_feed();
	cr_expect(log_feed_run(f, &run) && run == 7);
	cr_expect_eq(given, 0); /* nothing took long */
	for (unsigned i = 0; i < LINES; i += 100) {
		log_feed_until(f, START_NS + i * NS_PER_MS);
		cr_assert_eq(times_given[i], 1, "line %u is late", i);
		cr_assert_leq(given, i + 100 + 2 * 8192 + 5000); /* and memory is bounded */
	}
	log_feed_rest(f);
	expect_each_once(LINES);
	cr_expect_null(log_feed_fault(f));
	log_feed_close(f);
}

/* What took minutes, or stands behind what began later, is known from the start. */
Test(log_feed, long_and_disordered_lines, .init = make_path, .fini = remove_path)
{
	FILE *log = fopen(path, "w");
	struct log_feed *f;

	for (unsigned i = 0; i < 1000; i++)
		if (i % 100 == 50) /* an hour, ended just here */
			write_line(log, i, START_NS + i * NS_PER_S - 3600 * NS_PER_S, 3600000000ULL,
				   false);
		else if (i % 100 == 51) /* its line came a minute late */
			write_line(log, i, START_NS + i * NS_PER_S - 60 * NS_PER_S, 10, false);
		else
			write_line(log, i, START_NS + i * NS_PER_S, 10, false);
	fclose(log);
	f = open_feed();
	cr_expect_eq(given, 20);
	for (unsigned i = 50; i < 1000; i += 100)
		cr_expect(times_given[i] == 1 && times_given[i + 1] == 1);
	log_feed_until(f, START_NS);
	log_feed_rest(f);
	expect_each_once(1000);
	log_feed_close(f);
}

/* The capture begins when most of the log is over: what was before passes without being held. */
Test(log_feed, a_log_from_long_before, .init = make_path, .fini = remove_path)
{
	FILE *log = fopen(path, "w");
	struct log_feed *f;

	for (unsigned i = 0; i < 20000; i++)
		write_line(log, i, START_NS + i * NS_PER_S, 10, false);
	fclose(log);
	f = open_feed();
	log_feed_until(f, START_NS + 19999 * NS_PER_S);
	cr_expect_gt(known_ns, START_NS + 19000 * NS_PER_S);
	expect_each_once(20000);
	log_feed_close(f);
}

Test(log_feed, a_broken_line_ends_both_readings, .init = make_path, .fini = remove_path)
{
	FILE *log = fopen(path, "w");
	struct log_feed *f;

	write_line(log, 0, START_NS, 10, false);
	write_line(log, 1, START_NS - 100 * NS_PER_S, 10, false); /* early */
	fputs("{\"v\":1,\n", log);
	write_line(log, 2, START_NS, 10, false);
	fclose(log);
	f = open_feed();
	cr_expect_eq(given, 1);
	log_feed_until(f, START_NS);
	log_feed_rest(f);
	expect_each_once(2);
	cr_assert_not_null(log_feed_fault(f));
	cr_expect_not_null(strstr(log_feed_fault(f), ":3: "), "%s", log_feed_fault(f));
	log_feed_close(f);
}

Test(log_feed, a_torn_end_is_no_fault, .init = make_path, .fini = remove_path)
{
	FILE *log = fopen(path, "w");
	struct log_feed *f;
	uint32_t run;

	write_line(log, 0, START_NS, 10, false);
	fputs("{\"v\":1,\"run\":\"00", log);
	fclose(log);
	f = open_feed();
	log_feed_rest(f);
	expect_each_once(1);
	cr_expect_null(log_feed_fault(f));
	cr_expect(log_feed_is_torn(f));
	cr_expect(log_feed_run(f, &run));
	log_feed_close(f);
}

/* A pipe cannot be read twice: all of it is known at once. */
Test(log_feed, a_log_from_a_pipe, .init = make_path, .fini = remove_path)
{
	struct log_feed *f;
	uint32_t run;
	FILE *log;

	cr_assert_eq(mkfifo(path, 0600), 0);
	if (fork() == 0) {
		log = fopen(path, "w");
		for (unsigned i = 0; i < 500; i++)
			write_line(log, i, START_NS + i * NS_PER_S, 10, false);
		fclose(log);
		_exit(0);
	}
	f = open_feed();
	expect_each_once(500);
	cr_expect(log_feed_run(f, &run) && run == 7);
	log_feed_rest(f);
	expect_each_once(500);
	log_feed_close(f);
}
