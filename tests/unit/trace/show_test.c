/*
 * show_test.c -- the command as it is typed: which files, which exchange, which status.
 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/unit/trace/show_sample.h"
#include "trace/show.h"

static int show(const char *of, const char *more)
{
	char name[] = "show", first[256], second[64];
	char *argv[] = {name, first, second, NULL};

	snprintf(first, sizeof(first), "%s", of);
	snprintf(second, sizeof(second), "%s", more != NULL ? more : "");
	log_init("flowtrace");
	cr_redirect_stdout();
	cr_redirect_stderr();
	if (more == NULL)
		argv[2] = NULL;
	return show_main(more != NULL ? 3 : 2, argv);
}

/* All that was written to stderr is "flowtrace: error: ", these three in a row, and a newline. */
static void expect_error(const char *before, const char *name, const char *after)
{
	char want[512];

	snprintf(want, sizeof(want), "flowtrace: error: %s%s%s\n", before, name, after);
	fflush(stderr);
	cr_expect_stderr_eq_str(want);
}

static void expect_no_error(void)
{
	fflush(stderr);
	cr_expect_stderr_eq_str("");
}

Test(show, the_table_of_a_folder)
{
	struct sample s;

	sample_make(&s);
	cr_expect_eq(show(s.dir, NULL), 0);
	cr_expect_stdout_eq_str(
		"2026-11-30, times in UTC\n"
		"id       start        request                      got   total backend  resent where "
		"the time went\n"
		"9f3c51d2 08:15:04.000 POST /currencyconvertor.asmx 200  150 us 2#1*        600 "
		"proxy_request 30%\n"
		"\n"
		"1 exchange: 1 2xx; mean 150 us, longest 150 us (9f3c51d2); "
		"1 backend connection, reused 0 times\n"
		"600 bytes were sent again, in 1 exchange\n");
	sample_remove(&s);
}

Test(show, a_file_without_siblings)
{
	struct sample s;
	char path[128];

	sample_begin(&s);
	sample_write(&s, "flows.ndjson", "{\"id\":\"7\",\"end\":\"done\"}\n");
	sample_path(&s, "flows.ndjson", path);
	cr_expect_eq(show(path, NULL), 0);
	cr_expect_stdout_eq_str(
		"1970-01-01, times in UTC\n"
		"id       start        request                      got   total backend  resent where "
		"the time went\n"
		"7        00:00:00.000 -                            -         - -             0 -\n"
		"\n"
		"1 exchange: 1 without an answer\n");
	sample_remove(&s);
}

Test(show, a_folder_without_records)
{
	struct sample s;

	sample_begin(&s);
	cr_expect_eq(show(s.dir, NULL), 1);
	expect_error(
		"", s.dir,
		"/flows.ndjson: No such file or directory; `flowproxy --trace DIR` or `flowtrace analyze` writes it");
	sample_remove(&s);
}

Test(show, a_bad_line_is_said_and_the_rest_is_shown)
{
	struct sample s;
	char path[128];

	sample_make(&s);
	sample_write(&s, "flows.ndjson", "{}\n" SAMPLE_FLOW "{}\n");
	sample_path(&s, "flows.ndjson", path);
	cr_expect_eq(show(s.dir, NULL), 1);
	expect_error("", path, ":1: no \"id\" of hexadecimal digits in it");
	sample_remove(&s);
}

Test(show, an_exchange_by_the_beginning_of_its_id)
{
	struct sample s;

	sample_make(&s);
	cr_expect_eq(show(s.dir, "9F3C"), 0);
	expect_no_error();
	sample_remove(&s);
}

Test(show, an_ambiguous_id)
{
	struct sample s;

	sample_begin(&s);
	sample_write(
		&s, "flows.ndjson",
		"{\"id\":\"ab01\"}\n{\"id\":\"ab02\"}\n{\"id\":\"cd\"}\n{\"id\":\"ab01\"}\n"
		"{\"id\":\"ab03\"}\n{\"id\":\"ab04\"}\n{\"id\":\"ab05\"}\n{\"id\":\"ab06\"}\n");
	cr_expect_eq(show(s.dir, "ab"), 1);
	expect_error(
		"", "ab",
		" begins several ids: ab01, ab02, ab03, ab04, ab05 and 1 more; give more digits");
	sample_remove(&s);
}

Test(show, an_id_that_is_not_there)
{
	struct sample s;
	char path[128];

	sample_make(&s);
	sample_path(&s, "flows.ndjson", path);
	cr_expect_eq(show(s.dir, "1234"), 1);
	expect_error("", path, ": no exchange with an id that begins with 1234");
	sample_remove(&s);
}

/* The record tells what it can, and the status that the dump is gone. */
Test(show, an_exchange_without_its_dump)
{
	struct sample s;
	char path[128];

	sample_make(&s);
	sample_path(&s, "dump.pcapng", path);
	cr_assert_eq(unlink(path), 0);
	cr_expect_eq(show(s.dir, SAMPLE_ID), 1);
	sample_remove(&s);
}

Test(show, wrong_usage)
{
	cr_expect_eq(show("/tmp", "xyz"), 2);
	expect_error("show: \"", "xyz", "\" is no id: it has up to 16 hexadecimal digits");
}

Test(show, a_wrong_option)
{
	cr_expect_eq(show("/tmp", "--stories"), 2);
	expect_error("show: there is no option ", "--stories", " (flowtrace show -h)");
}

Test(show, a_story)
{
	struct sample s;

	sample_make(&s);
	cr_expect_eq(show(s.dir, "--story"), 0);
	expect_no_error();
	sample_remove(&s);
}

Test(show, a_story_with_a_gap)
{
	struct sample s;
	char path[128];

	sample_make(&s);
	sample_write(&s, "conns.ndjson", "");
	sample_path(&s, "flows.ndjson", path);
	cr_expect_eq(show(s.dir, "--story"), 1);
	expect_error("", path, ": 2 things are missing in this story, listed in it");
	sample_remove(&s);
}
