/*
 * access_file_test.c -- the log's file: torn lines, full disks, FIFOs, pipes.
 */
#include "proxy/access_file.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/attrib.h"
#include "proxy/access_line.h"
#include "tests/unit/proxy/scratch.h"

/* As in the log's thread: a write that nobody reads is an error, not a signal. */
static void block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	sigaddset(&set, SIGXFSZ);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

TestSuite(access_file, .timeout = 20, .init = block_signals);

static bool impatient(void *arg, uint32_t waited_ms)
{
	unsigned *asked = arg;

	(void)waited_ms;
	(*asked)++;
	return false;
}

static uint64_t write_text(struct access_file *f, const char *text)
{
	unsigned asked = 0;

	return access_file_write(f, text, strlen(text), impatient, &asked);
}

static void expect_file(const char *path, const char *expected)
{
	char *text = file_read(path, NULL);

	cr_expect_str_eq(text, expected);
	free(text);
}

/* Open a file that holds `before`, write a line, and look at what it holds then. */
static void expect_appended(const char *before, const char *after)
{
	struct access_file f;
	struct scratch s;
	const char *path;

	scratch_make(&s);
	path = scratch_path(&s, "log");
	file_write(path, before, 0644);
	cr_assert(access_file_open(&f, path));
	cr_expect_eq(write_text(&f, "{\"new\"}\n"), 0);
	access_file_close(&f);
	expect_file(path, after);
	scratch_remove(&s);
}

Test(access_file, a_new_file_is_made)
{
	struct access_file f;
	struct scratch s;
	struct stat st;
	const char *path;

	umask(022);
	scratch_make(&s);
	path = scratch_path(&s, "log");
	cr_assert(access_file_open(&f, path));
	cr_expect(stat(path, &st) == 0 && (st.st_mode & 0777) == 0644);
	cr_expect_eq(write_text(&f, "{1}\n{2}\n"), 0);
	access_file_close(&f);
	expect_file(path, "{1}\n{2}\n");
	scratch_remove(&s);
}

Test(access_file, whole_lines_are_appended_to)
{
	expect_appended("", "{\"new\"}\n");
	expect_appended("{1}\n", "{1}\n{\"new\"}\n");
	expect_appended("\n", "\n{\"new\"}\n");
}

Test(access_file, a_torn_line_is_cut)
{
	expect_appended("{1}\n{\"v\":1,\"ru", "{1}\n{\"new\"}\n");
	expect_appended("{", "{\"new\"}\n");
}

/* What is no line of ours is someone's file: nothing of it is lost. */
Test(access_file, foreign_text_is_ended_not_cut)
{
	expect_appended("{1}\nprecious", "{1}\nprecious\n{\"new\"}\n");
	expect_appended("precious", "precious\n{\"new\"}\n");
}

Test(access_file, a_torn_line_is_found_however_long)
{
	static char before[2 * ACCESS_LINE_MAX], after[2 * ACCESS_LINE_MAX + 16];
	const size_t lengths[] = {4095, 4096, 4097, 8191, 8192, 8193, ACCESS_LINE_MAX - 1};

	for (unsigned i = 0; i < ARRAY_LEN(lengths); i++) {
		memset(before, 'x', sizeof(before));
		memcpy(before, "{1}\n{", 5);
		before[4 + lengths[i]] = '\0';
		expect_appended(before, "{1}\n{\"new\"}\n");
		/* and as the only line */
		before[3] = 'x';
		before[lengths[i]] = '\0';
		expect_appended(before, "{\"new\"}\n");
	}
	/* longer than any line of ours */
	memset(before, 'x', sizeof(before));
	memcpy(before, "{1}\n{", 5);
	before[ACCESS_LINE_MAX + 4096] = '\0';
	strcpy(after, before);
	strcat(after, "\n{\"new\"}\n");
	expect_appended(before, after);
}

Test(access_file, what_cannot_be_opened_says_so)
{
	struct access_file f;
	struct scratch s;

	scratch_make(&s);
	cr_expect_not(access_file_open(&f, s.dir));
	cr_expect_not(access_file_open(&f, "/nowhere/log"));
	scratch_remove(&s);
}

Test(access_file, a_full_device_loses_every_line)
{
	struct access_file f;

	cr_assert(access_file_open(&f, "/dev/full"));
	cr_expect_eq(write_text(&f, "{1}\n{2}\n{3}\n"), 3);
	cr_expect_eq(f.error, ENOSPC);
	cr_expect_eq(write_text(&f, "{4}\n"), 1);
	access_file_close(&f);
}

static void limit_file_size(rlim_t bytes)
{
	struct rlimit limit;

	cr_assert(getrlimit(RLIMIT_FSIZE, &limit) == 0);
	limit.rlim_cur = bytes;
	cr_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

/* The limit stands for a full disk: write() is short, then it fails. */
Test(access_file, half_a_line_is_cut_back_when_there_is_no_room)
{
	struct access_file f;
	struct scratch s;
	const char *path;

	scratch_make(&s);
	path = scratch_path(&s, "log");
	cr_assert(access_file_open(&f, path));
	limit_file_size(11);
	cr_expect_eq(write_text(&f, "{1234}\n{2345}\n{3456}\n"), 2);
	cr_expect_eq(f.error, EFBIG);
	expect_file(path, "{1234}\n");
	cr_expect_eq(write_text(&f, "{abcdefgh}\n"), 1);
	expect_file(path, "{1234}\n");
	cr_expect_eq(write_text(&f, "{5}\n"), 0);
	limit_file_size(RLIM_INFINITY);
	cr_expect_eq(write_text(&f, "{4567}\n"), 0);
	access_file_close(&f);
	expect_file(path, "{1234}\n{5}\n{4567}\n");
	scratch_remove(&s);
}

/* Somebody else wrote behind our half line: it cannot be cut back, only ended. */
Test(access_file, half_a_line_that_cannot_be_cut_back_is_ended)
{
	struct access_file f;
	struct scratch s;
	const char *path;

	scratch_make(&s);
	path = scratch_path(&s, "log");
	cr_assert(access_file_open(&f, path));
	cr_expect_eq(write_text(&f, "{1}\n"), 0);
	f.needs_newline = true;
	cr_expect_eq(write_text(&f, "{2}\n"), 0);
	cr_expect_not(f.needs_newline);
	access_file_close(&f);
	expect_file(path, "{1}\n\n{2}\n");
	scratch_remove(&s);
}

/* Standard output that a shell opened without O_APPEND: no hole is left by cutting back. */
Test(access_file, standard_output_to_a_file)
{
	struct access_file f;
	struct scratch s;
	const char *path;
	int fd;

	scratch_make(&s);
	path = scratch_path(&s, "out");
	file_write(path, "", 0644);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert(fd >= 0 && dup2(fd, STDOUT_FILENO) == STDOUT_FILENO);
	close(fd);
	cr_assert(access_file_open(&f, "-"));
	limit_file_size(6);
	cr_expect_eq(write_text(&f, "{1}\n{22}\n"), 1);
	limit_file_size(RLIM_INFINITY);
	cr_expect_eq(write_text(&f, "{3}\n"), 0);
	access_file_close(&f);
	expect_file(path, "{1}\n{3}\n");
	scratch_remove(&s);
}

Test(access_file, a_pipe_that_nobody_reads_is_an_error)
{
	struct access_file f;
	int pipe_fds[2];

	cr_assert(pipe2(pipe_fds, O_CLOEXEC) == 0);
	cr_assert(dup2(pipe_fds[1], STDOUT_FILENO) == STDOUT_FILENO);
	close(pipe_fds[1]);
	cr_assert(access_file_open(&f, "-"));
	cr_expect_eq(write_text(&f, "{1}\n"), 0);
	close(pipe_fds[0]);
	cr_expect_eq(write_text(&f, "{2}\n"), 1);
	cr_expect_eq(f.error, EPIPE);
	access_file_close(&f);
}

/* A pipe on standard output stays blocking, and yet a reader that sleeps is not waited for. */
Test(access_file, a_full_pipe_is_given_up_when_patience_ends)
{
	static char lines[256 * 1024];
	struct access_file f;
	unsigned asked = 0;
	int pipe_fds[2];

	for (size_t i = 0; i < sizeof(lines); i += 64) {
		memset(lines + i, 'x', 63);
		lines[i + 63] = '\n';
	}
	cr_assert(pipe2(pipe_fds, O_CLOEXEC) == 0);
	cr_assert(dup2(pipe_fds[1], STDOUT_FILENO) == STDOUT_FILENO);
	cr_assert(access_file_open(&f, "-"));
	cr_expect_eq(access_file_write(&f, lines, sizeof(lines), impatient, &asked),
		     (sizeof(lines) - 65536) / 64);
	cr_expect_eq(f.error, ETIMEDOUT);
	cr_expect_eq(asked, 1);
	cr_expect_eq(fcntl(pipe_fds[1], F_GETFL) & O_NONBLOCK, 0);
	access_file_close(&f);
}

static bool drain(void *arg, uint32_t waited_ms)
{
	static char bytes[65536];
	int *fd = arg;

	(void)waited_ms;
	return read(*fd, bytes, sizeof(bytes)) > 0;
}

/* A FIFO needs no reader to be opened; one that comes late gets whole lines. */
Test(access_file, a_fifo_waits_for_its_reader)
{
	static char lines[256 * 1024];
	struct access_file f;
	struct scratch s;
	const char *path;
	int fd;

	for (size_t i = 0; i < sizeof(lines); i += 64) {
		memset(lines + i, 'x', 63);
		lines[i + 63] = '\n';
	}
	scratch_make(&s);
	path = scratch_path(&s, "fifo");
	cr_assert(mkfifo(path, 0600) == 0);
	cr_assert(access_file_open(&f, path));
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	cr_assert(fd >= 0);
	cr_expect_eq(access_file_write(&f, lines, sizeof(lines), drain, &fd), 0);
	access_file_close(&f);
	close(fd);
	scratch_remove(&s);
}

Test(access_file, half_a_line_in_a_fifo_is_ended_before_the_next)
{
	static char line[70000], got[140000];
	struct access_file f;
	struct scratch s;
	const char *path;
	ssize_t n, len = 0;
	int fd;

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 2] = '\n';
	scratch_make(&s);
	path = scratch_path(&s, "fifo");
	cr_assert(mkfifo(path, 0600) == 0);
	cr_assert(access_file_open(&f, path));
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	cr_assert(fd >= 0);
	cr_expect_eq(write_text(&f, line), 1);
	while ((n = read(fd, got + len, sizeof(got) - (size_t)len)) > 0)
		len += n;
	cr_expect_eq(len, 65536);
	cr_expect_eq(write_text(&f, "{next}\n"), 0);
	n = read(fd, got, sizeof(got));
	cr_expect_eq(n, 8);
	cr_expect_eq(memcmp(got, "\n{next}\n", 8), 0);
	access_file_close(&f);
	close(fd);
	scratch_remove(&s);
}

Test(access_file, opened_again_by_name)
{
	struct access_file f;
	struct scratch s;
	char moved[128];
	const char *path;

	scratch_make(&s);
	snprintf(moved, sizeof(moved), "%s/log.1", s.dir);
	path = scratch_path(&s, "log");
	cr_assert(access_file_open(&f, path));
	cr_expect_eq(write_text(&f, "{1}\n"), 0);
	cr_assert(rename(path, moved) == 0);
	cr_expect_eq(write_text(&f, "{2}\n"), 0);
	cr_expect(access_file_reopen(&f));
	cr_expect_eq(write_text(&f, "{3}\n"), 0);
	expect_file(moved, "{1}\n{2}\n");
	expect_file(path, "{3}\n");
	/* It cannot be opened any more: the open file is still good. */
	cr_assert(unlink(path) == 0 && mkdir(path, 0700) == 0);
	cr_expect_not(access_file_reopen(&f));
	cr_expect_eq(write_text(&f, "{4}\n"), 0);
	access_file_close(&f);
	rmdir(path);
	scratch_remove(&s);
}

Test(access_file, lines_are_counted)
{
	cr_expect_eq(access_file_count_lines("", 0), 0);
	cr_expect_eq(access_file_count_lines("abc", 3), 0);
	cr_expect_eq(access_file_count_lines("a\n\nb\n", 5), 3);
}
