/*
 * tracer.c -- the child process `flowtrace capture`.
 *
 * Never touches the tap: whether the tracer captures is told from outside (tracer_ready). The child
 * gets no descriptor of ours but stderr, which is its standard output too (ours may carry the
 * access log), and is not tied to our life: it ends when the tap ends, having seen how the
 * connections closed.
 *
 * Invariant: pid > 0 exactly while a child is running or not yet waited for; pidfd and the exit
 * event belong to it.
 */
#include "proxy/tracer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "common/clock.h"
#include "common/log.h"

#define PROGRAM       "flowtrace"
#define ARGUMENTS_MAX 16
#define DELAY_MIN_S   1
#define DELAY_MAX_S   30
/* One that captured for so long did not die of its start. */
#define GOOD_LIFE_NS (30 * NS_PER_S)
#define TERM_WAIT_MS 1000
#define KILL_WAIT_MS 1000

struct tracer {
	struct event_base *base;
	tracer_failed failed;
	void *arg;
	char program[CONFIG_PATH_MAX];
	char control[CONFIG_PATH_MAX];
	char dir[CONFIG_PATH_MAX];
	char interfaces[CONFIG_INTERFACES_MAX * 16];
	char buffer_mb[16];
	char hold_ms[16];
	char *argv[ARGUMENTS_MAX];
	pid_t pid;
	int pidfd;
	struct event exit;
	struct event retry;
	bool was_ready;    /* any child of this tracer */
	uint64_t ready_ns; /* when this child said so, monotonic; 0: not yet */
	unsigned delay_s;  /* before the next start */
};

/* ---- program and arguments ------------------------------------------------------------------- */

/* dir/flowtrace is there and may be run. dir need not end with NUL; empty: the current one. */
static bool is_program_in(const char *dir, size_t dir_len, char out[CONFIG_PATH_MAX])
{
	int n = snprintf(out, CONFIG_PATH_MAX, "%.*s/" PROGRAM, dir_len > 0 ? (int)dir_len : 1,
			 dir_len > 0 ? dir : ".");

	return n > 0 && n < CONFIG_PATH_MAX && access(out, X_OK) == 0;
}

static bool find_program(char out[CONFIG_PATH_MAX])
{
	char self[CONFIG_PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self));
	const char *slash = len > 0 ? memrchr(self, '/', (size_t)len) : NULL;
	const char *path = getenv("PATH");

	if (slash != NULL && is_program_in(self, (size_t)(slash - self), out))
		return true;
	while (path != NULL && *path != '\0') {
		size_t dir_len = strcspn(path, ":");

		if (is_program_in(path, dir_len, out))
			return true;
		path += dir_len;
		path += *path == ':';
	}
	return false;
}

static void join_interfaces(const struct config_trace *cfg, char *out, size_t cap)
{
	size_t used = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i < cfg->interface_count; i++) {
		int n = snprintf(out + used, cap - used, "%s%s", i > 0 ? "," : "",
				 cfg->interfaces[i]);

		used += n > 0 ? MIN((size_t)n, cap - used - 1) : 0;
	}
}

static char *payload_word(enum config_payload payload)
{
	static char words[][8] = {
		[CONFIG_PAYLOAD_FULL] = "full",
		[CONFIG_PAYLOAD_HEADERS] = "headers",
		[CONFIG_PAYLOAD_NONE] = "none",
	};

	return words[payload];
}

static void set_arguments(struct tracer *t, const struct config_trace *cfg,
			  const char *control_path)
{
	static char name[] = PROGRAM, capture[] = "capture", tap[] = "--tap", out[] = "--out",
		    interfaces[] = "--interfaces", payload[] = "--payload",
		    buffer_mb[] = "--buffer-mb", hold_ms[] = "--hold-ms", secrets[] = "--secrets";
	char **a = t->argv;

	snprintf(t->control, sizeof(t->control), "%s", control_path);
	snprintf(t->dir, sizeof(t->dir), "%s", cfg->dir);
	snprintf(t->buffer_mb, sizeof(t->buffer_mb), "%u", cfg->buffer_mb);
	snprintf(t->hold_ms, sizeof(t->hold_ms), "%u", cfg->hold_ms);
	join_interfaces(cfg, t->interfaces, sizeof(t->interfaces));
	*a++ = name;
	*a++ = capture;
	*a++ = tap;
	*a++ = t->control;
	*a++ = out;
	*a++ = t->dir;
	if (cfg->interface_count > 0) {
		*a++ = interfaces;
		*a++ = t->interfaces;
	}
	*a++ = payload;
	*a++ = payload_word(cfg->payload);
	*a++ = buffer_mb;
	*a++ = t->buffer_mb;
	*a++ = hold_ms;
	*a++ = t->hold_ms;
	if (cfg->secrets == CONFIG_SECRETS_ON)
		*a++ = secrets;
	*a = NULL;
}

/* ---- start and restart ----------------------------------------------------------------------- */

/* Signals as a fresh program expects them, and a process group of its own. */
static int set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t all, none;
	int error = posix_spawnattr_setflags(
		attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);

	sigfillset(&all);
	sigemptyset(&none);
	if (error == 0)
		error = posix_spawnattr_setpgroup(attributes, 0);
	if (error == 0)
		error = posix_spawnattr_setsigdefault(attributes, &all);
	if (error == 0)
		error = posix_spawnattr_setsigmask(attributes, &none);
	return error;
}

static int set_descriptors(posix_spawn_file_actions_t *actions)
{
	int error =
		posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);

	if (error == 0)
		error = posix_spawn_file_actions_adddup2(actions, STDERR_FILENO, STDOUT_FILENO);
	if (error == 0)
		error = posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
	return error;
}

/* posix_spawn() runs nothing of ours between fork and exec: other threads may hold any lock. */
static int spawn_program(struct tracer *t)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int error = posix_spawnattr_init(&attributes);

	if (error != 0)
		return error;
	error = posix_spawn_file_actions_init(&actions);
	if (error == 0) {
		error = set_attributes(&attributes);
		if (error == 0)
			error = set_descriptors(&actions);
		if (error == 0)
			error = posix_spawn(&t->pid, t->program, &actions, &attributes, t->argv,
					    environ);
		posix_spawn_file_actions_destroy(&actions);
	}
	posix_spawnattr_destroy(&attributes);
	return error;
}

static void on_exit_of_child(evutil_socket_t fd, short what, void *arg);

/* A child, and the event that tells of its end. False with a line on stderr. */
static bool tracer_spawn(struct tracer *t)
{
	int error = spawn_program(t);

	if (error != 0) {
		log_error("%s: cannot be started: %s", t->program, strerror(error));
		t->pid = 0;
		return false;
	}
	t->ready_ns = 0;
	t->pidfd = pidfd_open(t->pid, 0);
	event_assign(&t->exit, t->base, t->pidfd, EV_READ, on_exit_of_child, t);
	if (t->pidfd >= 0 && event_add(&t->exit, NULL) == 0)
		return true;
	log_error("%s: cannot be watched: %s", t->program, strerror(errno));
	kill(-t->pid, SIGKILL);
	waitpid(t->pid, NULL, 0);
	if (t->pidfd >= 0)
		close(t->pidfd);
	t->pid = 0;
	return false;
}

static void retry_later(struct tracer *t)
{
	struct timeval delay = {.tv_sec = t->delay_s};

	event_add(&t->retry, &delay);
	t->delay_s = MIN(2 * t->delay_s, DELAY_MAX_S);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct tracer *t = arg;

	(void)fd;
	(void)what;
	if (!tracer_spawn(t))
		retry_later(t);
}

static void describe_status(int status, char *out, size_t cap)
{
	if (WIFSIGNALED(status))
		snprintf(out, cap, "was ended by signal %d", WTERMSIG(status));
	else
		snprintf(out, cap, "ended with status %d", WEXITSTATUS(status));
}

/* The child, if it has ended, is no more. */
static bool reap(struct tracer *t, int *status)
{
	pid_t pid;

	do
		pid = waitpid(t->pid, status, WNOHANG);
	while (pid < 0 && errno == EINTR);
	if (pid == 0)
		return false;
	/* Someone else waited for it: it is gone all the same. */
	if (pid < 0)
		*status = 0;
	event_del(&t->exit);
	close(t->pidfd);
	t->pid = 0;
	return true;
}

static void on_exit_of_child(evutil_socket_t fd, short what, void *arg)
{
	struct tracer *t = arg;
	char end[48];
	int status;

	(void)fd;
	(void)what;
	if (!reap(t, &status)) {
		event_add(&t->exit, NULL);
		return;
	}
	describe_status(status, end, sizeof(end));
	if (!t->was_ready) {
		log_error("%s %s before it captured", t->program, end);
		/* t may be freed in there. */
		t->failed(t->arg);
		return;
	}
	if (t->ready_ns != 0 && clock_mono_ns() - t->ready_ns >= GOOD_LIFE_NS)
		t->delay_s = DELAY_MIN_S;
	log_warning("%s %s; it is started again in %u s", t->program, end, t->delay_s);
	retry_later(t);
}

struct tracer *tracer_start(struct event_base *base, const struct config *cfg,
			    const char *control_path, tracer_failed failed, void *arg)
{
	struct tracer *t = calloc(1, sizeof(*t));

	if (t == NULL) {
		log_error(PROGRAM ": no memory");
		return NULL;
	}
	t->base = base;
	t->failed = failed;
	t->arg = arg;
	t->delay_s = DELAY_MIN_S;
	event_assign(&t->retry, base, -1, 0, on_retry, t);
	set_arguments(t, &cfg->trace, control_path);
	if (!find_program(t->program)) {
		log_error(PROGRAM ": neither beside this program nor in PATH; tracing needs it");
		free(t);
		return NULL;
	}
	if (!tracer_spawn(t)) {
		free(t);
		return NULL;
	}
	return t;
}

void tracer_ready(struct tracer *t)
{
	t->was_ready = true;
	t->ready_ns = clock_mono_ns();
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Wait for the child's end. True: it has ended. */
static bool wait_for_exit(struct tracer *t, uint32_t ms, int *status)
{
	uint64_t until_ns = clock_mono_ns() + ms * NS_PER_MS;

	for (;;) {
		struct pollfd p = {.fd = t->pidfd, .events = POLLIN};
		uint64_t now_ns;

		if (reap(t, status))
			return true;
		now_ns = clock_mono_ns();
		if (now_ns >= until_ns)
			return false;
		(void)poll(&p, 1, (int)((until_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS));
	}
}

/* In a row: what it was told, ask, insist. What we may not signal is left to itself. */
static void end_child(struct tracer *t, uint32_t ms)
{
	char end[48];
	int status;

	if (wait_for_exit(t, ms, &status)) {
		describe_status(status, end, sizeof(end));
		if (status != 0)
			log_warning("%s %s", t->program, end);
		return;
	}
	log_warning("%s does not end: it is terminated after %u ms", t->program, ms);
	kill(-t->pid, SIGTERM);
	if (wait_for_exit(t, TERM_WAIT_MS, &status))
		return;
	kill(-t->pid, SIGKILL);
	if (wait_for_exit(t, KILL_WAIT_MS, &status))
		return;
	log_warning("%s does not end: it is left to itself (pid %d)", t->program, (int)t->pid);
	event_del(&t->exit);
	close(t->pidfd);
}

void tracer_finish(struct tracer *t, uint32_t ms)
{
	if (t == NULL)
		return;
	event_del(&t->retry);
	if (t->pid > 0)
		end_child(t, ms);
	free(t);
}
