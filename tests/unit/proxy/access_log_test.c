/*
 * access_log_test.c -- blocks from workers to the thread: order, age, loss, reopening, the end.
 */
#include "proxy/access_log.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/unit/proxy/sample_line.h"
#include "tests/unit/proxy/scratch.h"

TestSuite(access_log, .timeout = 30);

#define SOON_NS (5 * NS_PER_S)

static void sleep_ms(unsigned ms)
{
	const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&t, NULL);
}

/* Wait, at most 5 s, until the file has that many bytes. */
static bool wait_for_size(const char *path, off_t size)
{
	uint64_t until_ns = clock_mono_ns() + SOON_NS;
	struct stat st;

	while (stat(path, &st) != 0 || st.st_size != size) {
		if (clock_mono_ns() > until_ns)
			return false;
		sleep_ms(1);
	}
	return true;
}

static size_t line_len(const struct sample *s)
{
	static char text[65536];

	return access_line_format(&s->line, text, sizeof(text));
}

/* Each line's id, in file order; every line must be whole. Returns how many. */
static size_t read_ids(const char *path, uint64_t *ids, size_t max)
{
	size_t len, count = 0;
	char *text = file_read(path, &len);
	char *line = text;

	while (line < text + len) {
		char *end = strchr(line, '\n');

		cr_assert(end != NULL, "torn: %s", line);
		*end = '\0';
		cr_assert(count < max);
		cr_assert_eq(strncmp(line, "{\"v\":1,\"run\":\"00005d2c\",\"id\":\"", 30), 0, "%s",
			     line);
		cr_assert(end - line > 21);
		cr_assert_str_eq(end - 21, "\"response_body\":382}}");
		ids[count++] = strtoull(line + 30, NULL, 16);
		line = end + 1;
	}
	free(text);
	return count;
}

Test(access_log, lines_arrive_when_the_block_is_10_ms_old)
{
	struct scratch dir;
	struct sample s;
	struct access_log *log;
	struct access_writer *w;
	const char *path;
	uint64_t ids[2];

	scratch_make(&dir);
	sample_init(&s);
	path = scratch_path(&dir, "log");
	log = access_log_open(path);
	w = access_writer_new(log);
	cr_assert(log != NULL && w != NULL);
	cr_expect_eq(access_writer_tick(w, 500), UINT64_MAX);
	access_writer_add(w, &s.line, 1000);
	cr_expect_eq(access_writer_tick(w, 1000), 1000 + 10 * NS_PER_MS);
	s.x.id = 2;
	access_writer_add(w, &s.line, 1000 + 9 * NS_PER_MS);
	cr_expect_eq(access_writer_tick(w, 1000 + 9 * NS_PER_MS), 1000 + 10 * NS_PER_MS);
	sleep_ms(30);
	cr_expect(wait_for_size(path, 0));
	cr_expect_eq(access_writer_tick(w, 1000 + 10 * NS_PER_MS), UINT64_MAX);
	cr_expect(wait_for_size(path, (off_t)(2 * line_len(&s))));
	cr_expect_eq(access_writer_tick(w, 1000 + 30 * NS_PER_MS), UINT64_MAX);
	cr_assert_eq(read_ids(path, ids, 2), 2);
	cr_expect_eq(ids[0], 0x9f3c51d27be40a18);
	cr_expect_eq(ids[1], 2);
	access_writer_free(w);
	access_log_close(log);
	scratch_remove(&dir);
}

Test(access_log, a_full_block_leaves_at_once)
{
	struct scratch dir;
	struct sample s;
	struct access_log *log;
	struct access_writer *w;
	struct stat st;
	const char *path;
	uint64_t until_ns = clock_mono_ns() + SOON_NS;

	scratch_make(&dir);
	sample_init(&s);
	path = scratch_path(&dir, "log");
	log = access_log_open(path);
	w = access_writer_new(log);
	cr_assert(log != NULL && w != NULL);
	for (unsigned i = 0; i < 262144 / line_len(&s) + 1; i++)
		access_writer_add(w, &s.line, 1000);
	/* A write() in progress shows in parts. */
	do
		cr_assert(stat(path, &st) == 0 && clock_mono_ns() < until_ns);
	while (st.st_size < 200000 || st.st_size % (off_t)line_len(&s) != 0);
	access_writer_free(w);
	access_log_close(log);
	scratch_remove(&dir);
}

#define THREADS 4
#define LINES   5000

struct load {
	struct access_log *log;
	uint64_t base;
};

static void *run_worker(void *arg)
{
	struct load *load = arg;
	struct sample s;
	struct access_writer *w = access_writer_new(load->log);

	sample_init(&s);
	cr_assert(w != NULL);
	for (unsigned i = 0; i < LINES; i++) {
		s.x.id = load->base + i;
		access_writer_add(w, &s.line, clock_mono_ns());
		access_writer_tick(w, clock_mono_ns());
		/* As a busy worker does, so that hardly a line is lost. */
		if (i % 20 == 19)
			sleep_ms(1);
	}
	access_writer_free(w);
	return NULL;
}

static int compare_ids(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/*
 * Several workers, and the file is opened again and again meanwhile: each line is in the file once
 * and whole, or counted as lost.
 */
Test(access_log, all_lines_of_all_workers)
{
	static uint64_t ids[THREADS * LINES];
	struct load loads[THREADS];
	pthread_t threads[THREADS];
	struct scratch dir;
	struct access_log *log;
	const char *path;
	uint64_t lost;
	size_t count;

	scratch_make(&dir);
	path = scratch_path(&dir, "log");
	log = access_log_open(path);
	cr_assert(log != NULL);
	for (unsigned i = 0; i < THREADS; i++) {
		loads[i] = (struct load){log, (uint64_t)i << 32};
		cr_assert(pthread_create(&threads[i], NULL, run_worker, &loads[i]) == 0);
	}
	for (unsigned i = 0; i < 20; i++) {
		sleep_ms(10);
		access_log_reopen(log);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	lost = access_log_lost(log);
	access_log_close(log);
	count = read_ids(path, ids, THREADS * LINES);
	cr_expect_eq(count + lost, THREADS * LINES);
	cr_expect_lt(lost, THREADS * LINES / 2);
	qsort(ids, count, sizeof(ids[0]), compare_ids);
	for (size_t i = 0; i < count; i++) {
		cr_assert(ids[i] >> 32 < THREADS && (ids[i] & UINT32_MAX) < LINES);
		cr_assert(i == 0 || ids[i] > ids[i - 1]);
	}
	scratch_remove(&dir);
}

Test(access_log, reopen_needs_no_line)
{
	struct scratch dir;
	struct access_log *log;
	const char *path;

	scratch_make(&dir);
	path = scratch_path(&dir, "log");
	log = access_log_open(path);
	cr_assert(log != NULL && unlink(path) == 0);
	access_log_reopen(log);
	cr_expect(wait_for_size(path, 0));
	access_log_close(log);
	scratch_remove(&dir);
}

Test(access_log, without_a_log_lines_go_nowhere)
{
	struct access_writer *w = access_writer_new(NULL);
	struct sample s;

	sample_init(&s);
	cr_assert(w != NULL);
	access_writer_add(w, &s.line, 1000);
	cr_expect_eq(access_writer_tick(w, NS_PER_S), UINT64_MAX);
	access_writer_free(w);
	access_writer_free(NULL);
	access_log_close(NULL);
}

/* stderr into a file, to read what was said. */
static void redirect_stderr(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);

	cr_assert(fd >= 0 && dup2(fd, STDERR_FILENO) == STDERR_FILENO);
	close(fd);
}

Test(access_log, lost_lines_are_counted_and_said_once_a_second)
{
	struct scratch dir;
	struct sample s;
	struct access_log *log;
	struct access_writer *w;
	uint64_t began_ns = clock_mono_ns();
	unsigned said = 0;
	char *text;

	scratch_make(&dir);
	sample_init(&s);
	redirect_stderr(scratch_path(&dir, "stderr"));
	log = access_log_open("/dev/full");
	w = access_writer_new(log);
	cr_assert(log != NULL && w != NULL);
	for (unsigned i = 1; i <= 50; i++) {
		access_writer_add(w, &s.line, i * 10 * NS_PER_MS);
		access_writer_tick(w, (i + 1) * 10 * NS_PER_MS);
		sleep_ms(2);
	}
	access_writer_free(w);
	for (unsigned i = 0; i < 2000 && access_log_lost(log) < 50; i++)
		sleep_ms(1);
	cr_expect_eq(access_log_lost(log), 50);
	/* What the first warning did not hold is said a second later, with no line to remind of it. */
	sleep_ms(1500);
	text = file_read(dir.path, NULL);
	for (const char *at = text; (at = strstr(at, "lines lost")) != NULL; at++)
		said++;
	cr_expect(said >= 2 && said <= 1 + (clock_mono_ns() - began_ns) / NS_PER_S, "%s", text);
	cr_expect(strstr(text, "access log /dev/full: ") != NULL, "%s", text);
	cr_expect(strstr(text, ", 50 so far: No space left on device\n") != NULL, "%s", text);
	free(text);
	access_log_close(log);
	scratch_remove(&dir);
}

/*
 * A reader that sleeps: lines are lost when all blocks are full, adding one takes no time, and what
 * comes out when it wakes is whole.
 */
Test(access_log, a_stalled_reader_costs_lines_not_time)
{
	const unsigned lines = 5000;
	struct scratch dir;
	struct sample s;
	struct access_log *log;
	struct access_writer *w;
	const char *path;
	uint64_t began_ns, got = 0, newlines = 0;
	static char bytes[65536];
	ssize_t n;
	char last = '\0';
	int fd;

	scratch_make(&dir);
	sample_init(&s);
	path = scratch_path(&dir, "fifo");
	cr_assert(mkfifo(path, 0600) == 0);
	log = access_log_open(path);
	w = access_writer_new(log);
	cr_assert(log != NULL && w != NULL);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	cr_assert(fd >= 0);
	began_ns = clock_mono_ns();
	for (unsigned i = 0; i < lines; i++)
		access_writer_add(w, &s.line, began_ns);
	cr_expect_lt(clock_mono_ns() - began_ns, SOON_NS);
	cr_expect_gt(access_log_lost(log), 3000);
	cr_expect_lt(access_log_lost(log), lines - 1000);
	access_writer_free(w);
	for (unsigned i = 0; i < 3000 && newlines + access_log_lost(log) < lines; i++) {
		n = read(fd, bytes, sizeof(bytes));
		if (n <= 0) {
			sleep_ms(1);
			continue;
		}
		for (ssize_t j = 0; j < n; j++)
			newlines += bytes[j] == '\n';
		got += (uint64_t)n;
		last = bytes[n - 1];
	}
	cr_expect_eq(newlines + access_log_lost(log), lines);
	cr_expect_eq(got, newlines * line_len(&s));
	cr_expect_eq(last, '\n');
	close(fd);
	access_log_close(log);
	scratch_remove(&dir);
}

/*
 * A thread that is behind is not given block after block for their age: some lines now and then fit
 * into what is there, however long it takes to come back.
 */
Test(access_log, a_few_lines_wait_for_a_thread_that_is_behind)
{
	struct scratch dir;
	struct sample s;
	struct access_log *log;
	struct access_writer *w;
	const char *path;
	uint64_t now_ns = NS_PER_S;
	int fd;

	scratch_make(&dir);
	sample_init(&s);
	path = scratch_path(&dir, "fifo");
	cr_assert(mkfifo(path, 0600) == 0);
	log = access_log_open(path);
	w = access_writer_new(log);
	cr_assert(log != NULL && w != NULL);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	cr_assert(fd >= 0);
	/* More than a pipe holds, so that the thread is kept waiting. */
	for (unsigned i = 0; i < 200; i++)
		access_writer_add(w, &s.line, now_ns);
	for (unsigned i = 0; i < 100; i++) {
		now_ns += 10 * NS_PER_MS;
		(void)access_writer_tick(w, now_ns);
		access_writer_add(w, &s.line, now_ns);
	}
	cr_expect_eq(access_log_lost(log), 0);
	close(fd);
	access_writer_free(w);
	access_log_close(log);
	scratch_remove(&dir);
}

/* The end of the program does not hang on a reader that never reads. */
Test(access_log, closing_gives_a_stalled_reader_a_second)
{
	struct scratch dir;
	struct sample s;
	struct access_log *log;
	struct access_writer *w;
	uint64_t began_ns;
	const char *path;

	scratch_make(&dir);
	sample_init(&s);
	path = scratch_path(&dir, "fifo");
	cr_assert(mkfifo(path, 0600) == 0);
	log = access_log_open(path);
	w = access_writer_new(log);
	cr_assert(log != NULL && w != NULL);
	for (unsigned i = 0; i < 1500; i++)
		access_writer_add(w, &s.line, 1000);
	access_writer_free(w);
	began_ns = clock_mono_ns();
	access_log_close(log);
	cr_expect_lt(clock_mono_ns() - began_ns, SOON_NS);
	scratch_remove(&dir);
}
