/*
 * tracer_test.c -- the child process, played by shell scripts named flowtrace.
 *
 * Each script notes its pid in the test's directory, so that the test can signal it and knows how
 * often it was started.
 */
#include "proxy/tracer.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/unit/proxy/scratch.h"

TestSuite(tracer, .timeout = 40);

#define SOON_NS  (8 * NS_PER_S)
#define PIDS_MAX 16

struct rig {
	struct scratch dir;
	struct event_base *base;
	struct config config;
	struct tracer *tracer;
	unsigned failed;
	bool free_when_failed;
};

/* A flowtrace in the test's directory, found by PATH, that notes its pid and does what body says. */
static void rig_write_program(struct rig *rig, const char *body)
{
	char text[2048];
	const char *path = scratch_path(&rig->dir, "flowtrace");

	snprintf(text, sizeof(text), "#!/bin/sh\ncd '%s' || exit 9\necho $$ >>pids\n%s\n",
		 rig->dir.dir, body);
	file_write(path, text, 0755);
}

static void rig_start(struct rig *rig, const char *body)
{
	char path[256];

	memset(rig, 0, sizeof(*rig));
	scratch_make(&rig->dir);
	snprintf(path, sizeof(path), "/nowhere:%s:/usr/bin:/bin", rig->dir.dir);
	cr_assert(setenv("PATH", path, 1) == 0);
	if (body != NULL)
		rig_write_program(rig, body);
	rig->base = event_base_new();
	snprintf(rig->config.trace.dir, sizeof(rig->config.trace.dir), "%s/out", rig->dir.dir);
	rig->config.trace.buffer_mb = 64;
	rig->config.trace.hold_ms = 2000;
}

static void note_failed(void *arg)
{
	struct rig *rig = arg;

	rig->failed++;
	if (rig->free_when_failed) {
		tracer_finish(rig->tracer, 1000);
		rig->tracer = NULL;
	}
}

static void rig_spawn(struct rig *rig)
{
	rig->tracer = tracer_start(rig->base, &rig->config, "/run/flowproxy tap", note_failed, rig);
	cr_assert(rig->tracer != NULL);
}

static void rig_stop(struct rig *rig, uint32_t ms)
{
	tracer_finish(rig->tracer, ms);
	event_base_free(rig->base);
	scratch_remove(&rig->dir);
}

static void rig_turn(struct rig *rig)
{
	const struct timespec pause = {.tv_nsec = 1000000};

	event_base_loop(rig->base, EVLOOP_NONBLOCK);
	nanosleep(&pause, NULL);
}

static unsigned read_pids(const struct rig *rig, pid_t pids[PIDS_MAX])
{
	char path[128], *text, *at, *end;
	unsigned count = 0;

	snprintf(path, sizeof(path), "%s/pids", rig->dir.dir);
	if (access(path, F_OK) != 0)
		return 0;
	text = at = file_read(path, NULL);
	while (count < PIDS_MAX && (end = strchr(at, '\n')) != NULL) {
		pids[count++] = (pid_t)strtol(at, NULL, 10);
		at = end + 1;
	}
	free(text);
	return count;
}

/* Run until the program was started that often. Returns the last one's pid. */
static pid_t rig_wait_for_start(struct rig *rig, unsigned count)
{
	uint64_t until_ns = clock_mono_ns() + SOON_NS;
	pid_t pids[PIDS_MAX];

	while (read_pids(rig, pids) < count) {
		cr_assert(clock_mono_ns() < until_ns, "not started %u times", count);
		rig_turn(rig);
	}
	return pids[count - 1];
}

/* What the script left in a file, once the file is named so. */
static char *rig_wait_for_file(struct rig *rig, const char *name)
{
	uint64_t until_ns = clock_mono_ns() + SOON_NS;
	const char *path = scratch_path(&rig->dir, name);

	while (access(path, F_OK) != 0) {
		cr_assert(clock_mono_ns() < until_ns);
		rig_turn(rig);
	}
	return file_read(path, NULL);
}

static void rig_run_ms(struct rig *rig, unsigned ms)
{
	uint64_t until_ns = clock_mono_ns() + ms * NS_PER_MS;

	while (clock_mono_ns() < until_ns)
		rig_turn(rig);
}

#define LIVE "exec sleep 60"

/* ---- what it is started with ----------------------------------------------------------------- */

Test(tracer, command_line)
{
	struct rig rig;
	char expected[512], *arguments;

	rig_start(&rig, "for a; do echo \"$a\"; done >args.new; mv args.new args\n" LIVE);
	rig.config.trace.interface_count = 2;
	strcpy(rig.config.trace.interfaces[0], "lo");
	strcpy(rig.config.trace.interfaces[1], "eth0");
	rig.config.trace.payload = CONFIG_PAYLOAD_HEADERS;
	rig_spawn(&rig);
	arguments = rig_wait_for_file(&rig, "args");
	snprintf(expected, sizeof(expected),
		 "capture\n--tap\n/run/flowproxy tap\n--out\n%s/out\n--interfaces\nlo,eth0\n"
		 "--payload\nheaders\n--buffer-mb\n64\n--hold-ms\n2000\n",
		 rig.dir.dir);
	cr_expect_str_eq(arguments, expected);
	free(arguments);
	rig_stop(&rig, 0);
}

Test(tracer, secrets_are_asked_for_when_they_may_be_told)
{
	struct rig rig;
	char *arguments;

	rig_start(&rig, "echo \"$*\" >args.new; mv args.new args\n" LIVE);
	rig.config.trace.secrets = CONFIG_SECRETS_ON;
	rig_spawn(&rig);
	arguments = rig_wait_for_file(&rig, "args");
	cr_expect(strstr(arguments, "--hold-ms 2000 --secrets\n") != NULL, "%s", arguments);
	free(arguments);
	rig_stop(&rig, 0);
}

Test(tracer, without_interfaces_it_finds_them_itself)
{
	struct rig rig;
	char *arguments;

	rig_start(&rig, "echo \"$*\" >args.new; mv args.new args\n" LIVE);
	rig.config.trace.payload = CONFIG_PAYLOAD_NONE;
	rig_spawn(&rig);
	arguments = rig_wait_for_file(&rig, "args");
	cr_expect(strstr(arguments, "/out --payload none --buffer-mb") != NULL, "%s", arguments);
	free(arguments);
	rig_stop(&rig, 0);
}

/* Every interface with the longest name there is. */
Test(tracer, sixteen_interfaces)
{
	struct rig rig;
	char *arguments;

	rig_start(&rig,
		  "echo \"$6 $7\" >args.new; echo \"$8\" >>args.new; mv args.new args\n" LIVE);
	rig.config.trace.interface_count = CONFIG_INTERFACES_MAX;
	for (unsigned i = 0; i < CONFIG_INTERFACES_MAX; i++)
		snprintf(rig.config.trace.interfaces[i], 16, "interface-%05u", i);
	rig_spawn(&rig);
	arguments = rig_wait_for_file(&rig, "args");
	cr_expect(strstr(arguments, "--interfaces interface-00000,interface-00001,") == arguments);
	cr_expect(strstr(arguments, ",interface-00015\n--payload\n") != NULL, "%s", arguments);
	free(arguments);
	rig_stop(&rig, 0);
}

/* Signals, group and descriptors of a fresh program, whatever ours are. */
Test(tracer, a_clean_child)
{
	struct rig rig;
	char *seen, expected[512];
	sigset_t set;
	pid_t pid;

	/* glibc itself ignores two real-time signals in what it spawns: the lower 28 are looked at. */
	rig_start(&rig, "{ readlink /proc/$$/fd/0; echo \"$(readlink /proc/$$/fd/1)\"\n"
			"sed -n 's/^\\(Sig[BI]..\\):.*\\(.......\\)$/\\1 \\2/p' /proc/self/status\n"
			"[ -e /proc/$$/fd/100 ] && echo inherited\n"
			"cut -d' ' -f5 /proc/$$/stat; } >&2\n"
			"echo >seen\n" LIVE);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	cr_assert(dup2(STDERR_FILENO, 100) == 100);
	scratch_path(&rig.dir, "stderr");
	file_write(rig.dir.path, "", 0600);
	cr_assert(freopen(rig.dir.path, "a", stderr) != NULL);
	rig_spawn(&rig);
	pid = rig_wait_for_start(&rig, 1);
	snprintf(expected, sizeof(expected),
		 "/dev/null\n%s/stderr\nSigBlk 0000000\nSigIgn 0000000\n%d\n", rig.dir.dir,
		 (int)pid);
	free(rig_wait_for_file(&rig, "seen"));
	seen = file_read(scratch_path(&rig.dir, "stderr"), NULL);
	cr_expect_str_eq(seen, expected);
	cr_expect_neq(pid, getpgrp());
	free(seen);
	rig_stop(&rig, 0);
}

/* ---- deaths ---------------------------------------------------------------------------------- */

Test(tracer, one_that_ends_before_it_captured_has_failed)
{
	struct rig rig;

	rig_start(&rig, "exit 1");
	rig.free_when_failed = true;
	rig_spawn(&rig);
	for (unsigned i = 0; i < 5000 && rig.failed == 0; i++)
		rig_turn(&rig);
	cr_expect_eq(rig.failed, 1);
	cr_expect(rig.tracer == NULL);
	rig_stop(&rig, 0);
}

Test(tracer, no_restart_after_a_failed_start)
{
	struct rig rig;
	pid_t pids[PIDS_MAX];

	rig_start(&rig, "exit 0");
	rig_spawn(&rig);
	rig_run_ms(&rig, 2500);
	cr_expect_eq(rig.failed, 1);
	cr_expect_eq(read_pids(&rig, pids), 1);
	rig_stop(&rig, 0);
}

/* 1 s, then 2 s: also when the new one does not get as far as capturing. */
Test(tracer, one_that_dies_is_started_again)
{
	struct rig rig;
	uint64_t began_ns;
	pid_t pid;

	rig_start(&rig, LIVE);
	rig_spawn(&rig);
	pid = rig_wait_for_start(&rig, 1);
	tracer_ready(rig.tracer);
	began_ns = clock_mono_ns();
	cr_assert(kill(pid, SIGKILL) == 0);
	pid = rig_wait_for_start(&rig, 2);
	cr_expect_geq(clock_mono_ns() - began_ns, NS_PER_S - 50 * NS_PER_MS);
	cr_expect_lt(clock_mono_ns() - began_ns, 2 * NS_PER_S);
	began_ns = clock_mono_ns();
	cr_assert(kill(pid, SIGKILL) == 0);
	rig_wait_for_start(&rig, 3);
	cr_expect_geq(clock_mono_ns() - began_ns, 2 * NS_PER_S - 50 * NS_PER_MS);
	cr_expect_lt(clock_mono_ns() - began_ns, 4 * NS_PER_S);
	cr_expect_eq(rig.failed, 0);
	rig_stop(&rig, 0);
}

/* The program vanished meanwhile and comes back: it is found by a later attempt. */
Test(tracer, a_restart_that_cannot_be_is_tried_again)
{
	struct rig rig;
	char away[128];
	pid_t pid;

	rig_start(&rig, LIVE);
	rig_spawn(&rig);
	pid = rig_wait_for_start(&rig, 1);
	tracer_ready(rig.tracer);
	snprintf(away, sizeof(away), "%s/away", rig.dir.dir);
	cr_assert(rename(scratch_path(&rig.dir, "flowtrace"), away) == 0);
	cr_assert(kill(pid, SIGKILL) == 0);
	rig_run_ms(&rig, 1500);
	cr_assert(rename(away, scratch_path(&rig.dir, "flowtrace")) == 0);
	rig_wait_for_start(&rig, 2);
	rig_stop(&rig, 0);
}

/* ---- starting -------------------------------------------------------------------------------- */

Test(tracer, without_a_flowtrace_there_is_no_tracing)
{
	struct rig rig;

	rig_start(&rig, NULL);
	cr_expect(tracer_start(rig.base, &rig.config, "/tap", note_failed, &rig) == NULL);
	/* There, but no program. */
	file_write(scratch_path(&rig.dir, "flowtrace"), "#!/no/such/shell\n", 0755);
	cr_expect(tracer_start(rig.base, &rig.config, "/tap", note_failed, &rig) == NULL);
	cr_expect_eq(rig.failed, 0);
	tracer_finish(NULL, 1000);
	rig_stop(&rig, 0);
}

/* ---- the end --------------------------------------------------------------------------------- */

static bool is_gone(pid_t pid)
{
	return kill(pid, 0) != 0 && errno == ESRCH;
}

static uint64_t finish_ns(struct rig *rig, uint32_t ms)
{
	uint64_t began_ns = clock_mono_ns();

	tracer_finish(rig->tracer, ms);
	rig->tracer = NULL;
	return clock_mono_ns() - began_ns;
}

/* It finishes its files by itself: that is waited for, and no longer. */
Test(tracer, one_that_ends_by_itself_is_waited_for)
{
	struct rig rig;
	char *text;
	pid_t pid;

	rig_start(&rig, "sleep 0.3; echo finished >files.new; mv files.new files");
	rig_spawn(&rig);
	pid = rig_wait_for_start(&rig, 1);
	tracer_ready(rig.tracer);
	cr_expect_lt(finish_ns(&rig, 20000), 10 * NS_PER_S);
	cr_expect(is_gone(pid));
	text = file_read(scratch_path(&rig.dir, "files"), NULL);
	cr_expect_str_eq(text, "finished\n");
	free(text);
	rig_stop(&rig, 0);
}

Test(tracer, one_that_does_not_is_terminated)
{
	struct rig rig;
	pid_t pid;

	rig_start(&rig, LIVE);
	rig_spawn(&rig);
	pid = rig_wait_for_start(&rig, 1);
	tracer_ready(rig.tracer);
	cr_expect_geq(finish_ns(&rig, 200), 200 * NS_PER_MS);
	cr_expect(is_gone(pid));
	rig_stop(&rig, 0);
}

/* With its children: the group is ended. */
Test(tracer, one_that_will_not_is_killed)
{
	struct rig rig;
	uint64_t took_ns;
	pid_t pid;

	rig_start(&rig, "trap '' TERM; echo >ignoring; sleep 60; sleep 60");
	rig_spawn(&rig);
	pid = rig_wait_for_start(&rig, 1);
	free(rig_wait_for_file(&rig, "ignoring"));
	tracer_ready(rig.tracer);
	took_ns = finish_ns(&rig, 100);
	cr_expect(took_ns >= 1100 * NS_PER_MS && took_ns < 4 * NS_PER_S);
	cr_expect(is_gone(pid));
	rig_stop(&rig, 0);
}

Test(tracer, one_that_is_dead_already)
{
	struct rig rig;
	pid_t pid;

	rig_start(&rig, LIVE);
	rig_spawn(&rig);
	pid = rig_wait_for_start(&rig, 1);
	tracer_ready(rig.tracer);
	cr_assert(kill(pid, SIGKILL) == 0);
	cr_expect_lt(finish_ns(&rig, 20000), 5 * NS_PER_S);
	cr_expect(is_gone(pid));
	rig_stop(&rig, 0);
}

/* Between death and restart there is nothing to wait for. */
Test(tracer, one_that_waits_to_be_started_again)
{
	struct rig rig;
	pid_t pids[PIDS_MAX], pid;

	rig_start(&rig, LIVE);
	rig_spawn(&rig);
	pid = rig_wait_for_start(&rig, 1);
	tracer_ready(rig.tracer);
	cr_assert(kill(pid, SIGKILL) == 0);
	rig_run_ms(&rig, 300);
	cr_expect_lt(finish_ns(&rig, 20000), 5 * NS_PER_S);
	rig_run_ms(&rig, 1500);
	cr_expect_eq(read_pids(&rig, pids), 1);
	rig_stop(&rig, 0);
}
