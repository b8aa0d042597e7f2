/*
 * lines_test.c -- NDJSON files: appending, torn lines, and a full disk.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/log.h"
#include "trace/lines.h"

static char path[32];

static void make_file(const char *text)
{
	int fd;

	strcpy(path, "/tmp/lines_test.XXXXXX");
	fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	log_init("test");
}

static void holds(const char *text)
{
	static char bytes[1 << 20];
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, bytes, sizeof(bytes) - 1);

	close(fd);
	cr_assert_geq(n, 0);
	bytes[n] = '\0';
	cr_expect_str_eq(bytes, text);
}

static void append(const char *line, enum lines_mode mode)
{
	char err[LINES_ERROR_MAX];
	struct lines *l = lines_open(path, mode, err);

	cr_assert_not_null(l, "%s", err);
	lines_add(l, line, strlen(line));
	cr_expect_eq(lines_close(l), 0);
}

Test(lines, appends_behind_whole_lines)
{
	static const struct {
		const char *before, *after;
	} cases[] = {
		{"", "{}\n"},
		{"{\"a\":1}\n", "{\"a\":1}\n{}\n"},
		{"{\"a\":1}\n{\"to", "{\"a\":1}\n{}\n"},
		{"{\"to", "{}\n"},
		{"\n", "\n{}\n"},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		make_file(cases[i].before);
		append("{}\n", LINES_APPEND);
		holds(cases[i].after);
		unlink(path);
	}
}

Test(lines, torn_line_longer_than_a_block_is_cut)
{
	static char text[10000];

	memset(text, 'x', sizeof(text) - 1);
	text[1] = '\n';
	make_file(text);
	append("{}\n", LINES_APPEND);
	holds("x\n{}\n");
	unlink(path);
}

Test(lines, begins_anew)
{
	make_file("old\n");
	append("{}\n", LINES_NEW);
	holds("{}\n");
	unlink(path);
}

Test(lines, lines_leave_with_a_flush_and_long_ones_at_once)
{
	static char text[300001], both[300004];
	char err[LINES_ERROR_MAX];
	struct lines *l;

	make_file("");
	l = lines_open(path, LINES_APPEND, err);
	cr_assert_not_null(l);
	lines_add(l, "{}\n", 3);
	holds("");
	lines_flush(l);
	holds("{}\n");
	memset(text, 'x', sizeof(text) - 2);
	text[sizeof(text) - 2] = '\n';
	lines_add(l, text, strlen(text));
	snprintf(both, sizeof(both), "{}\n%s", text);
	holds(both);
	cr_expect_eq(lines_close(l), 0);
	unlink(path);
}

/* A limit on the size of files stands for the full disk. */
Test(lines, full_disk_costs_whole_lines)
{
	char err[LINES_ERROR_MAX];
	struct rlimit limit;
	struct lines *l;

	make_file("{\"a\":1}\n");
	l = lines_open(path, LINES_APPEND, err);
	cr_assert_not_null(l);
	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = 12;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	lines_add(l, "{\"b\":2}\n", 8);
	lines_add(l, "{\"c\":3}\n", 8);
	lines_flush(l);
	holds("{\"a\":1}\n");
	limit.rlim_cur = limit.rlim_max;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	lines_add(l, "{\"d\":4}\n", 8);
	cr_expect_eq(lines_close(l), 2);
	holds("{\"a\":1}\n{\"d\":4}\n");
	unlink(path);
}

Test(lines, no_such_folder)
{
	char err[LINES_ERROR_MAX];

	cr_expect_null(lines_open("/nowhere/flows.ndjson", LINES_APPEND, err));
	cr_expect_str_eq(err, "/nowhere/flows.ndjson: No such file or directory");
}
