/*
 * server.c -- start and stop of the proxy, and the main thread between them.
 *
 * Order of the start: limits, sockets, log, workers, tap and tracer, rights given up, tracer ready, listen. The
 * main thread serves signals, the resolver, the tap's control socket and, with several workers, accept.
 */
#include "proxy/server.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "proxy/acceptor.h"
#include "proxy/listeners.h"
#include "proxy/tap_hub.h"
#include "proxy/tls_context.h"
#include "proxy/tracer.h"
#include "proxy/worker.h"

#define SERVER_WORKERS_MAX       256
#define SERVER_TRACER_START_S    20
#define SERVER_TRACER_FINISH_MS  5000
#define SERVER_RESERVED_FILES    64
#define SERVER_REFUSED_MAX       64
#define SERVER_CONNECTIONS_LEAST 16
#define SERVER_MEMORY_LOOK_S     2

struct server {
	const struct config *cfg;
	struct event_base *base;
	struct event *on_term, *on_int, *on_usr1, *on_hup, *start_limit, *memory_look, *reaper;
	struct listeners listeners;
	struct worker_shared shared;
	struct worker *workers[SERVER_WORKERS_MAX];
	unsigned worker_count;
	struct acceptor *acceptor; /* of the main thread, with several workers */
	struct tap_hub *hub;
	struct tracer *tracer;
	struct memory memory;
	uint32_t connections_max; /* of the whole proxy */
	unsigned stops;           /* signals seen */
	bool listening;
	bool failed;
};

static void server_post_all(struct server *s, enum worker_message_kind kind)
{
	struct worker_message m = {.kind = kind, .fd = -1};

	for (unsigned i = 0; i < s->worker_count; i++)
		if (s->workers[i] != NULL && !worker_post(s->workers[i], &m))
			log_error("worker %u: no memory for a message", i);
}

/* Begin to stop; the second time at once. */
static void server_stop(struct server *s)
{
	s->stops++;
	if (s->stops == 1) {
		if (s->acceptor != NULL)
			acceptor_stop(s->acceptor);
		server_post_all(s, WORKER_MSG_STOP);
		if (s->base != NULL)
			event_base_loopbreak(s->base);
	} else {
		server_post_all(s, WORKER_MSG_END);
	}
}

static void on_stop_signal(evutil_socket_t sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	server_stop(arg);
}

static void on_reopen_signal(evutil_socket_t sig, short what, void *arg)
{
	struct server *s = arg;

	(void)sig;
	(void)what;
	if (s->shared.log != NULL)
		access_log_reopen(s->shared.log);
}

/* New connections get what the stores hold now; those that are open keep theirs. */
static void server_reload(struct server *s)
{
	char err[CONFIG_ERROR_MAX];
	struct tls_context *fresh = tls_context_reload(s->shared.tls, s->cfg, err);

	if (fresh == NULL) {
		log_error("%s; the stores as they were read before stay in use", err);
		return;
	}
	if (fresh == s->shared.tls) {
		log_notice("SIGHUP: no keystore and no truststore is set, nothing to read again");
		tls_context_unref(fresh);
		return;
	}
	tls_context_unref(s->shared.tls);
	s->shared.tls = fresh;
	for (unsigned i = 0; i < s->worker_count; i++) {
		struct worker_message m = {.kind = WORKER_MSG_TLS, .fd = -1};

		if (s->workers[i] == NULL)
			continue;
		m.tls = tls_context_ref(fresh);
		if (!worker_post(s->workers[i], &m))
			log_error("worker %u: no memory for the stores", i);
	}
	log_notice("keystores and truststore were read again");
}

static void on_reload_signal(evutil_socket_t sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	server_reload(arg);
}

static void server_fail(struct server *s)
{
	s->failed = true;
	event_base_loopbreak(s->base);
}

static void on_memory_look(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;

	(void)fd;
	(void)what;
	memory_give_back(&s->memory);
}

static void on_start_limit(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	log_error("the tracer did not become ready within %d s", SERVER_TRACER_START_S);
	server_fail(arg);
}

/* Everything stands: let clients in. */
static void server_listen(struct server *s)
{
	if (s->listening)
		return;
	s->listening = true;
	event_del(s->start_limit);
	if (!listeners_listen(&s->listeners)) {
		server_fail(s);
		return;
	}
	if (s->acceptor != NULL)
		acceptor_start(s->acceptor);
	else
		server_post_all(s, WORKER_MSG_ACCEPT);
}

static void on_resolved(void *arg)
{
	struct server *s = arg;

	server_post_all(s, WORKER_MSG_RESOLVED);
	if (s->hub != NULL)
		tap_hub_endpoints_changed(s->hub);
}

static void on_tap_give(void *arg, unsigned worker, int fd, bool with_secrets)
{
	struct server *s = arg;
	struct worker_message m = {.kind = WORKER_MSG_TAP, .fd = fd, .with_secrets = with_secrets};

	if (!worker_post(s->workers[worker], &m))
		log_error("worker %u: no memory for the tap", worker);
}

static unsigned on_tap_endpoints(void *arg, struct tap_endpoint *out, unsigned max)
{
	struct server *s = arg;
	struct resolved known;
	unsigned n = 0;

	for (unsigned i = 0; i < s->listeners.count && n < max; i++, n++) {
		out[n].addr = s->listeners.addrs[i];
		out[n].leg = TAP_CLIENT;
		out[n].named = 0;
	}
	resolver_get(s->shared.resolver, &known);
	for (uint32_t i = 0; i < known.count && n < max; i++, n++) {
		out[n].addr = known.addrs[i];
		out[n].leg = TAP_BACKEND;
		out[n].named = !s->cfg->proxy.backend.literal;
	}
	if (known.count == 0 && n < max) {
		/* A name that has no address yet: its port is known. */
		out[n].addr = (struct addr){.family = ADDR_IP4, .port = s->cfg->proxy.backend.port};
		out[n].leg = TAP_BACKEND;
		out[n].named = 1;
		n++;
	}
	return n;
}

static void on_tap_ready(void *arg)
{
	struct server *s = arg;

	if (s->tracer != NULL)
		tracer_ready(s->tracer);
	server_listen(s);
}

static void on_tracer_failed(void *arg)
{
	struct server *s = arg;

	if (!s->listening)
		server_fail(s);
}

static uint_fast32_t server_load(const struct server *s)
{
	uint_fast32_t sum = 0;

	for (unsigned i = 0; i < s->worker_count; i++)
		sum += atomic_load_explicit(&s->workers[i]->load, memory_order_relaxed);
	return sum;
}

static bool on_room(void *arg)
{
	struct server *s = arg;

	return server_load(s) < s->connections_max + SERVER_REFUSED_MAX;
}

/* The only worker accepts for itself. */
static void on_accepted_here(void *arg, const struct accepted *a)
{
	struct server *s = arg;

	atomic_fetch_add_explicit(&s->workers[0]->load, 1, memory_order_relaxed);
	worker_adopt(s->workers[0], a);
}

/* To the worker with the fewest connections, the lowest index on a tie. */
static void on_accepted(void *arg, const struct accepted *a)
{
	struct server *s = arg;
	struct worker_message m = {.kind = WORKER_MSG_CONN, .fd = a->fd, .conn = *a};
	struct worker *best = s->workers[0];
	uint_fast32_t least = UINT_FAST32_MAX;

	for (unsigned i = 0; i < s->worker_count; i++) {
		uint_fast32_t load =
			atomic_load_explicit(&s->workers[i]->load, memory_order_relaxed);

		if (load < least) {
			least = load;
			best = s->workers[i];
		}
	}
	atomic_fetch_add_explicit(&best->load, 1, memory_order_relaxed);
	if (!worker_post(best, &m)) {
		log_warning("worker %u: no memory: a connection was closed", best->index);
		atomic_fetch_sub_explicit(&best->load, 1, memory_order_relaxed);
	}
}

/* As many descriptors as may be had; the connection limit follows from them. */
static void server_limits(struct server *s)
{
	struct rlimit limit;
	uint32_t max = s->cfg->proxy.max_connections;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		limit = (struct rlimit){1024, 1024};
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0)
		limit.rlim_cur = 1024;
	if (max == 0) {
		rlim_t files = MIN(limit.rlim_cur, (rlim_t)UINT32_MAX);

		max = files > SERVER_RESERVED_FILES + 2 * SERVER_CONNECTIONS_LEAST
			      ? (uint32_t)(files - SERVER_RESERVED_FILES) / 2
			      : SERVER_CONNECTIONS_LEAST;
	}
	s->connections_max = max;
	s->shared.connections_max = (max + s->worker_count - 1) / s->worker_count;
}

static bool server_events(struct server *s)
{
	struct timeval limit = {SERVER_TRACER_START_S, 0};
	struct timeval look = {SERVER_MEMORY_LOOK_S, 0};

	s->base = event_base_new();
	if (s->base == NULL)
		return false;
	s->on_term = evsignal_new(s->base, SIGTERM, on_stop_signal, s);
	s->on_int = evsignal_new(s->base, SIGINT, on_stop_signal, s);
	s->on_usr1 = evsignal_new(s->base, SIGUSR1, on_reopen_signal, s);
	s->on_hup = evsignal_new(s->base, SIGHUP, on_reload_signal, s);
	s->start_limit = evtimer_new(s->base, on_start_limit, s);
	s->memory_look = event_new(s->base, -1, EV_PERSIST, on_memory_look, s);
	return s->on_term != NULL && s->on_int != NULL && s->on_usr1 != NULL && s->on_hup != NULL &&
	       s->start_limit != NULL && s->memory_look != NULL &&
	       event_add(s->memory_look, &look) == 0 && event_add(s->on_term, NULL) == 0 &&
	       event_add(s->on_int, NULL) == 0 && event_add(s->on_usr1, NULL) == 0 &&
	       event_add(s->on_hup, NULL) == 0 &&
	       (s->cfg->trace.dir[0] == '\0' || event_add(s->start_limit, &limit) == 0);
}

static bool server_acceptor(struct server *s)
{
	struct acceptor_calls calls = {.arg = s, .room = on_room};
	bool alone = s->worker_count == 1;
	struct acceptor *a;

	calls.accepted = alone ? on_accepted_here : on_accepted;
	a = acceptor_new(alone ? s->workers[0]->base : s->base, &s->listeners, &calls);
	if (alone)
		s->workers[0]->acceptor = a;
	else
		s->acceptor = a;
	if (a == NULL)
		log_error("no memory for the listeners");
	return a != NULL;
}

/* Threads of ours leave signals to the main thread. */
static bool server_start_workers(struct server *s)
{
	sigset_t all, before;
	bool fine = true;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned i = 0; i < s->worker_count && fine; i++)
		fine = worker_start(s->workers[i]);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return fine;
}

static bool server_drop_rights(const struct server *s)
{
	const char *user = s->cfg->proxy.user;
	const struct passwd *pw;

	if (user[0] == '\0')
		return true;
	errno = 0;
	pw = getpwnam(user);
	if (pw == NULL || initgroups(user, pw->pw_gid) != 0 || setgid(pw->pw_gid) != 0 ||
	    setuid(pw->pw_uid) != 0) {
		log_error("[proxy] user = \"%s\": %s", user,
			  errno != 0 ? strerror(errno) : "no such user");
		return false;
	}
	tls_context_check_rights(s->cfg);
	return true;
}

static bool server_start_trace(struct server *s)
{
	const struct tap_hub_calls calls = {
		.arg = s,
		.give = on_tap_give,
		.endpoints = on_tap_endpoints,
		.ready = on_tap_ready,
		.with_secrets = s->cfg->trace.secrets == CONFIG_SECRETS_ON,
	};
	const struct config_trace *cfg = &s->cfg->trace;

	if (cfg->control[0] == '\0')
		return true;
	if (cfg->secrets == CONFIG_SECRETS_ON)
		log_warning("[trace] secrets = on: the keys of all TLS connections go into the "
			    "dump; whoever may read it reads what they carried");
	s->hub = tap_hub_new(s->base, cfg->control, s->shared.run, s->worker_count, &calls);
	if (s->hub == NULL)
		return false;
	if (cfg->dir[0] == '\0')
		return true;
	s->tracer = tracer_start(s->base, s->cfg, cfg->control, on_tracer_failed, s);
	return s->tracer != NULL;
}

static bool server_random(struct server *s)
{
	struct {
		uint64_t seed;
		uint64_t trace;
		uint32_t run;
		uint32_t unused;
	} r;

	if (getrandom(&r, sizeof(r), 0) != sizeof(r)) {
		log_error("getrandom: %s", strerror(errno));
		return false;
	}
	s->shared.id_seed = r.seed;
	request_ids_prefix(r.trace, s->shared.trace_prefix);
	s->shared.run = r.run;
	return true;
}

static bool server_start(struct server *s)
{
	char err[CONFIG_ERROR_MAX];

	s->worker_count = MIN(s->cfg->proxy.workers, (uint32_t)SERVER_WORKERS_MAX);
	server_limits(s);
	if (!server_random(s) || !listeners_bind(&s->listeners, &s->cfg->proxy))
		return false;
	if (!config_make_dir(s->cfg, err)) {
		log_error("%s", err);
		return false;
	}
	if (!server_events(s)) {
		log_error("no memory for the event loop");
		return false;
	}
	s->shared.cfg = s->cfg;
	s->shared.resolver = resolver_new(s->base, &s->cfg->proxy.backend,
					  s->cfg->proxy.connect_timeout_ms, on_resolved, s);
	if (s->shared.resolver == NULL || !server_start_trace(s) || !server_drop_rights(s))
		return false;
	if (s->cfg->log.access_log[0] != '\0') {
		s->shared.log = access_log_open(s->cfg->log.access_log);
		if (s->shared.log == NULL)
			return false;
	}
	for (unsigned i = 0; i < s->worker_count; i++) {
		s->workers[i] = worker_new(i, &s->shared);
		if (s->workers[i] == NULL)
			return false;
	}
	return server_acceptor(s) && server_start_workers(s);
}

/* The workers' counters, one line: how exchanges ended. */
static void server_say_ends(const struct server *s)
{
	char line[800];
	size_t len = 0;
	uint64_t total = 0;

	for (unsigned r = 0; r < REASON_COUNT; r++) {
		uint64_t sum = 0;
		int n;

		for (unsigned i = 0; i < s->worker_count; i++)
			sum += s->workers[i] != NULL ? s->workers[i]->ends[r] : 0;
		total += sum;
		if (sum == 0)
			continue;
		n = snprintf(line + len, sizeof(line) - len, "%s%s %llu", len > 0 ? ", " : "",
			     reason_info((enum reason)r)->word, (unsigned long long)sum);
		if (n > 0)
			len = MIN(len + (size_t)n, sizeof(line) - 1);
	}
	line[len] = '\0';
	if (total > 0)
		log_notice("%llu exchanges: %s", (unsigned long long)total, line);
}

static bool server_workers_live(const struct server *s)
{
	for (unsigned i = 0; i < s->worker_count; i++)
		if (s->workers[i] != NULL && s->workers[i]->started &&
		    !atomic_load(&s->workers[i]->ended))
			return true;
	return false;
}

static void on_reaper(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;

	(void)fd;
	(void)what;
	if (!server_workers_live(s))
		event_base_loopbreak(s->base);
}

/* Wait for the workers with the loop still running: a second signal must be heard. */
static void server_await_workers(struct server *s)
{
	struct timeval often = {0, 10000};

	if (s->base == NULL)
		return;
	s->reaper = event_new(s->base, -1, EV_PERSIST, on_reaper, s);
	if (s->reaper == NULL || event_add(s->reaper, &often) != 0)
		return;
	if (server_workers_live(s))
		event_base_dispatch(s->base);
}

static void server_free(struct server *s)
{
	struct event *events[] = {s->on_term,     s->on_int,      s->on_usr1, s->on_hup,
				  s->start_limit, s->memory_look, s->reaper};

	for (unsigned i = 0; i < s->worker_count; i++)
		if (s->workers[i] != NULL)
			worker_join(s->workers[i]);
	server_say_ends(s);
	for (unsigned i = 0; i < s->worker_count; i++)
		worker_free(s->workers[i]);
	tls_context_unref(s->shared.tls);
	access_log_close(s->shared.log);
	acceptor_free(s->acceptor);
	listeners_close(&s->listeners);
	tap_hub_free(s->hub);
	tracer_finish(s->tracer, SERVER_TRACER_FINISH_MS);
	resolver_free(s->shared.resolver);
	for (unsigned i = 0; i < ARRAY_LEN(events); i++)
		if (events[i] != NULL)
			event_free(events[i]);
	if (s->base != NULL)
		event_base_free(s->base);
	free(s);
}

int server_run(const struct config *cfg, struct tls_context *tls)
{
	struct server *s = calloc(1, sizeof(*s));
	bool fine;

	if (s == NULL) {
		log_error("no memory");
		tls_context_unref(tls);
		return 1;
	}
	s->cfg = cfg;
	s->shared.tls = tls;
	signal(SIGPIPE, SIG_IGN);
	fine = server_start(s);
	if (fine && s->tracer == NULL)
		server_listen(s);
	if (fine && !s->failed)
		event_base_dispatch(s->base);
	if ((!fine || s->failed) && s->stops == 0)
		server_stop(s);
	fine = fine && !s->failed;
	server_await_workers(s);
	server_free(s);
	return fine ? 0 : 1;
}
