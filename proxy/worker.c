/*
 * worker.c -- the event loop of one thread, its inbox, its tick and its end.
 *
 * After every turn of the loop: what was closed is freed, who used up its share runs on, the log and the tick
 * are looked after.
 */
#include "proxy/worker.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "proxy/acceptor.h"
#include "proxy/answer.h"
#include "proxy/client.h"
#include "proxy/relay.h"
#include "proxy/tls_context.h"

#define WORKER_TICK_MS       50
#define WORKER_SWEEP_MOST    4096
#define WORKER_LOOK_MS       100
#define WORKER_EVICT_LOOK    16 /* idle connections looked at to make room for one */
#define WORKER_INBOX         64
#define WORKER_MUTE_GRACE_NS NS_PER_S
#define WORKER_SAY_EVERY_NS  (10 * NS_PER_S)

uint64_t worker_clock(struct worker *w)
{
	w->now_ns = clock_mono_ns();
	return w->now_ns;
}

uint64_t worker_next_conn(struct worker *w)
{
	return atomic_fetch_add_explicit(&w->shared->next_conn, 1, memory_order_relaxed) + 1;
}

static void worker_tick(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd;
	(void)what;
	w->tick_armed = false;
	worker_clock(w);
	pool_recheck(&w->pool);
	timeouts_sweep(&w->timeouts, worker_clock(w), WORKER_SWEEP_MOST);
}

static void worker_log_due(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd;
	(void)what;
	w->log_armed = false;
	worker_clock(w);
}

static void worker_end_all(struct worker *w)
{
	struct client *c;

	while ((c = TAILQ_FIRST(&w->clients)) != NULL)
		client_close(c, REASON_SHUTDOWN, false);
}

static void worker_stop_over(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd;
	(void)what;
	worker_clock(w);
	w->stop = WORKER_ENDS;
	worker_end_all(w);
}

static void worker_drain(struct worker *w)
{
	struct timeval limit = {(time_t)(w->cfg->proxy.stop_ms / 1000),
				(suseconds_t)(w->cfg->proxy.stop_ms % 1000 * 1000)};
	struct client *c, *next;

	if (w->stop != WORKER_RUNS)
		return;
	if (w->acceptor != NULL)
		acceptor_stop(w->acceptor);
	w->stop = WORKER_DRAINS;
	pool_close(&w->pool, REASON_SHUTDOWN);
	for (c = TAILQ_FIRST(&w->clients); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		client_drain(c);
	}
	event_add(&w->stop_event, &limit);
}

static void worker_resolved(struct worker *w)
{
	struct relay *r;
	struct resolved known;

	resolver_get(w->shared->resolver, &known);
	if (known.state == RESOLVED_PENDING)
		return;
	while ((r = TAILQ_FIRST(&w->resolving)) != NULL)
		relay_resolved(r);
}

/* One that is to run in the next turn has requests that wait; or one has just come. */
static bool worker_may_evict(const struct client *c)
{
	return !c->is_again && conn_peek(&c->conn) <= 0;
}

/* The client that has been between two requests for longest, and since when; or NULL. */
static struct client *worker_longest_idle(struct worker *w, uint64_t *since_ns)
{
	unsigned looks = WORKER_EVICT_LOOK;
	struct timeout *t = timeouts_oldest(&w->timeouts, TIMEOUT_IDLE);

	for (; t != NULL && looks-- > 0; t = TAILQ_NEXT(t, link)) {
		struct client *c =
			(struct client *)(void *)((char *)t - offsetof(struct client, phase_limit));

		*since_ns = t->deadline_ns - w->timeouts.duration_ns[TIMEOUT_IDLE];
		if (worker_may_evict(c))
			return c;
	}
	return NULL;
}

/* The same of those that have sent nothing, or empty lines. Each gets a moment for its first byte. */
static struct client *worker_longest_mute(struct worker *w, uint64_t *since_ns)
{
	unsigned looks = WORKER_EVICT_LOOK;
	struct client *c = TAILQ_FIRST(&w->mute);

	for (; c != NULL && looks-- > 0; c = TAILQ_NEXT(c, mute)) {
		*since_ns = c->came_ns;
		if (w->now_ns - c->came_ns < WORKER_MUTE_GRACE_NS)
			return NULL;
		if (worker_may_evict(c))
			return c;
	}
	return NULL;
}

/* Is the limit reached? Then the connection that has idled longest makes room. */
static bool worker_over_limit(struct worker *w)
{
	struct client *idle, *mute;
	uint64_t idle_ns = 0;
	uint64_t mute_ns = 0;

	if (w->client_count - w->refused_count < w->shared->connections_max)
		return false;
	idle = worker_longest_idle(w, &idle_ns);
	mute = worker_longest_mute(w, &mute_ns);
	if (mute != NULL && (idle == NULL || mute_ns < idle_ns))
		idle = mute;
	if (idle == NULL)
		return true;
	client_close(idle, REASON_OVERLOAD, false);
	return false;
}

void worker_lacks(struct worker *w, const char *what)
{
	if (w->said_ns != 0 && w->now_ns - w->said_ns < WORKER_SAY_EVERY_NS)
		return;
	w->said_ns = w->now_ns;
	log_warning("worker %u: no memory for a %s: clients are answered 503", w->index, what);
}

void worker_adopt(struct worker *w, const struct accepted *a)
{
	worker_clock(w);
	if (!client_new(w, a, worker_over_limit(w)))
		atomic_fetch_sub_explicit(&w->load, 1, memory_order_relaxed);
}

/* The connections there are, then what has begun on them. */
static void worker_tell_tracer(struct worker *w, int fd, bool with_secrets)
{
	const struct client *c;

	tap_attach(w->tap, fd, with_secrets);
	TAILQ_FOREACH(c, &w->clients, link)
		if (c->relay != NULL)
			relay_tell_begun(c->relay);
}

static void worker_handle(struct worker *w, struct worker_message *m)
{
	switch (m->kind) {
	case WORKER_MSG_CONN:
		if (w->stop == WORKER_ENDS) {
			close(m->fd);
			atomic_fetch_sub_explicit(&w->load, 1, memory_order_relaxed);
			break;
		}
		worker_adopt(w, &m->conn);
		break;
	case WORKER_MSG_ACCEPT:
		if (w->acceptor != NULL)
			acceptor_start(w->acceptor);
		break;
	case WORKER_MSG_TAP:
		worker_tell_tracer(w, m->fd, m->with_secrets);
		break;
	case WORKER_MSG_RESOLVED:
		worker_resolved(w);
		break;
	case WORKER_MSG_TLS:
		tls_context_unref(w->tls);
		w->tls = m->tls;
		break;
	case WORKER_MSG_STOP:
		worker_drain(w);
		break;
	case WORKER_MSG_END:
		worker_drain(w);
		w->stop = WORKER_ENDS;
		worker_end_all(w);
		break;
	}
}

/* Two arrays take turns: one is filled while the other is read. */
static void worker_inbox(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	struct worker_message *messages;
	uint32_t count, cap;
	uint64_t wakes;

	(void)what;
	if (read(fd, &wakes, sizeof(wakes)) < 0 && errno != EAGAIN && errno != EINTR)
		log_warning("worker %u: inbox: %s", w->index, strerror(errno));
	pthread_mutex_lock(&w->inbox_lock);
	messages = w->inbox;
	count = w->inbox_len;
	cap = w->inbox_cap;
	w->inbox = w->inbox_other;
	w->inbox_cap = w->inbox_other_cap;
	w->inbox_len = 0;
	w->inbox_woken = false;
	w->inbox_other = messages;
	w->inbox_other_cap = cap;
	pthread_mutex_unlock(&w->inbox_lock);
	worker_clock(w);
	for (uint32_t i = 0; i < count; i++)
		worker_handle(w, &messages[i]);
}

/*
 * Under the lock. EAGAIN: the counter is full, which wakes as well. Another failure leaves it to the
 * next message.
 */
static void worker_wake(struct worker *w)
{
	const uint64_t one = 1;
	ssize_t n;

	if (w->inbox_woken)
		return;
	do {
		n = write(w->inbox_fd, &one, sizeof(one));
	} while (n < 0 && errno == EINTR);
	w->inbox_woken = n > 0 || errno == EAGAIN;
	if (!w->inbox_woken)
		log_warning("worker %u: wake: %s", w->index, strerror(errno));
}

bool worker_post(struct worker *w, const struct worker_message *m)
{
	pthread_mutex_lock(&w->inbox_lock);
	if (w->inbox_len == w->inbox_cap) {
		uint32_t cap = w->inbox_cap * 2;
		struct worker_message *grown = realloc(w->inbox, cap * sizeof(*grown));

		if (grown == NULL) {
			pthread_mutex_unlock(&w->inbox_lock);
			if (m->fd >= 0)
				close(m->fd);
			tls_context_unref(m->tls);
			return false;
		}
		w->inbox = grown;
		w->inbox_cap = cap;
	}
	w->inbox[w->inbox_len++] = *m;
	worker_wake(w);
	pthread_mutex_unlock(&w->inbox_lock);
	return true;
}

void worker_arm(struct worker *w)
{
	static const struct timeval tick = {0, WORKER_TICK_MS * 1000L};

	if (w->tick_armed || w->timeouts.count == 0)
		return;
	w->tick_armed = event_add(&w->tick_event, &tick) == 0;
}

/* Hand the log's block over when it is old enough, and be woken for that. */
static void worker_tend_log(struct worker *w)
{
	uint64_t due_ns = access_writer_tick(w->log, w->now_ns);
	uint64_t wait_us;
	struct timeval wait = {0};

	if (due_ns == UINT64_MAX || w->log_armed)
		return;
	wait_us = due_ns > w->now_ns ? (due_ns - w->now_ns) / NS_PER_US + 1 : 1;
	wait.tv_usec = (suseconds_t)MIN(wait_us, 999999ULL);
	w->log_armed = event_add(&w->log_event, &wait) == 0;
}

static void worker_run_again(struct worker *w)
{
	struct client *c;
	uint32_t count = 0;

	/* Only those that are queued now: each gets one share of this turn. */
	TAILQ_FOREACH(c, &w->again, again)
		count++;
	while (count-- > 0 && (c = TAILQ_FIRST(&w->again)) != NULL) {
		TAILQ_REMOVE(&w->again, c, again);
		c->is_again = false;
		worker_clock(w);
		client_run(c);
	}
}

static bool worker_is_done(const struct worker *w)
{
	return w->stop != WORKER_RUNS && TAILQ_EMPTY(&w->clients);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	worker_clock(w);
	while (!worker_is_done(w)) {
		bool again = !TAILQ_EMPTY(&w->again);

		if (event_base_loop(w->base, again ? EVLOOP_ONCE | EVLOOP_NONBLOCK : EVLOOP_ONCE) <
		    0) {
			log_error("worker %u: event loop failed", w->index);
			break;
		}
		if (again)
			worker_run_again(w);
		client_reap(w);
		pool_reap(&w->pool);
		worker_tend_log(w);
		worker_arm(w);
	}
	worker_end_all(w);
	pool_close(&w->pool, REASON_SHUTDOWN);
	client_reap(w);
	pool_reap(&w->pool);
	atomic_store(&w->ended, true);
	return NULL;
}

static void worker_durations(struct worker *w)
{
	const struct config_proxy *p = &w->cfg->proxy;
	uint64_t *d = w->timeouts.duration_ns;

	d[TIMEOUT_HEADER] = p->header_timeout_ms * NS_PER_MS;
	d[TIMEOUT_IDLE] = p->idle_timeout_ms * NS_PER_MS;
	d[TIMEOUT_BODY] = p->body_timeout_ms * NS_PER_MS;
	d[TIMEOUT_SEND] = p->send_timeout_ms * NS_PER_MS;
	d[TIMEOUT_RESOLVE] = d[TIMEOUT_CONNECT] = p->connect_timeout_ms * NS_PER_MS;
	d[TIMEOUT_BACKEND] = p->backend_timeout_ms * NS_PER_MS;
	d[TIMEOUT_POOL] = p->pool_idle_ms * NS_PER_MS;
	d[TIMEOUT_TUNNEL] = p->tunnel_timeout_ms * NS_PER_MS;
	d[TIMEOUT_REQUEST] = p->request_timeout_ms * NS_PER_MS;
	d[TIMEOUT_LOOK] = WORKER_LOOK_MS * NS_PER_MS;
	d[TIMEOUT_LINGER_QUIET] = 2 * NS_PER_S;
	d[TIMEOUT_LINGER_TOTAL] = 30 * NS_PER_S;
}

static struct event_base *worker_base(void)
{
	struct event_config *cfg = event_config_new();
	struct event_base *base = NULL;

	if (cfg == NULL)
		return NULL;
	if (event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK) == 0 &&
	    event_config_require_features(cfg, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE) == 0)
		base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	return base;
}

static bool worker_events(struct worker *w)
{
	static const struct timeval soon;

	w->base = worker_base();
	w->inbox_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->base == NULL || w->inbox_fd < 0)
		return false;
	if (event_assign(&w->inbox_event, w->base, w->inbox_fd, EV_READ | EV_PERSIST, worker_inbox,
			 w) != 0 ||
	    evtimer_assign(&w->tick_event, w->base, worker_tick, w) != 0 ||
	    evtimer_assign(&w->log_event, w->base, worker_log_due, w) != 0 ||
	    evtimer_assign(&w->stop_event, w->base, worker_stop_over, w) != 0)
		return false;
	/* Timers take memory on their first use: better now than when it has run out. */
	return event_add(&w->inbox_event, NULL) == 0 && event_add(&w->tick_event, &soon) == 0 &&
	       event_add(&w->log_event, &soon) == 0;
}

/* A message that stops the worker must not fail for want of memory. */
static bool worker_inboxes(struct worker *w)
{
	w->inbox = calloc(WORKER_INBOX, sizeof(*w->inbox));
	w->inbox_other = calloc(WORKER_INBOX, sizeof(*w->inbox));
	w->inbox_cap = w->inbox_other_cap = WORKER_INBOX;
	return w->inbox != NULL && w->inbox_other != NULL;
}

static bool worker_speaks_tls(const struct config *cfg)
{
	bool tls = cfg->proxy.backend.tls;

	for (uint32_t i = 0; i < cfg->proxy.listen_count; i++)
		tls |= cfg->proxy.listen[i].tls;
	return tls;
}

struct worker *worker_new(unsigned index, struct worker_shared *shared)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (w == NULL)
		goto fail;
	w->index = index;
	w->shared = shared;
	w->cfg = shared->cfg;
	w->tls = tls_context_ref(shared->tls);
	w->inbox_fd = -1;
	TAILQ_INIT(&w->conns);
	TAILQ_INIT(&w->clients);
	TAILQ_INIT(&w->again);
	TAILQ_INIT(&w->mute);
	TAILQ_INIT(&w->dead);
	TAILQ_INIT(&w->free_relays);
	TAILQ_INIT(&w->resolving);
	pthread_mutex_init(&w->inbox_lock, NULL);
	pool_init(&w->pool, w->cfg->proxy.pool_size);
	timeouts_init(&w->timeouts);
	worker_durations(w);
	w->scratch = malloc(WORKER_SCRATCH);
	w->spare_relay = calloc(1, sizeof(*w->spare_relay));
	if (w->scratch == NULL || w->spare_relay == NULL || !buf_reserve(&w->head, ANSWER_MAX) ||
	    !worker_inboxes(w) || !worker_events(w))
		goto fail;
	/* Touched now, so that memory does not seem to grow under the first load. */
	memset(w->scratch, 0, WORKER_SCRATCH);
	w->tap = tap_new(w->base, (uint16_t)index, shared->run, &w->conns);
	w->log = access_writer_new(shared->log);
	if (w->tap == NULL || w->log == NULL)
		goto fail;
	if (worker_speaks_tls(w->cfg)) {
		w->tls_io = tls_io_new(w->tap);
		if (w->tls_io == NULL)
			goto fail;
	}
	return w;
fail:
	log_error("worker %u: no memory or no event loop", index);
	worker_free(w);
	return NULL;
}

bool worker_start(struct worker *w)
{
	int error = pthread_create(&w->thread, NULL, worker_main, w);

	if (error != 0) {
		log_error("worker %u: thread: %s", w->index, strerror(error));
		return false;
	}
	w->started = true;
	return true;
}

void worker_join(struct worker *w)
{
	if (!w->started)
		return;
	pthread_join(w->thread, NULL);
	w->started = false;
}

void worker_free(struct worker *w)
{
	struct relay *r;

	if (w == NULL)
		return;
	worker_join(w);
	for (uint32_t i = 0; i < w->inbox_len; i++) {
		if (w->inbox[i].fd >= 0)
			close(w->inbox[i].fd);
		tls_context_unref(w->inbox[i].tls);
	}
	free(w->inbox);
	free(w->inbox_other);
	while ((r = TAILQ_FIRST(&w->free_relays)) != NULL) {
		TAILQ_REMOVE(&w->free_relays, r, link);
		relay_destroy(r);
	}
	if (w->spare_relay != NULL)
		relay_destroy(w->spare_relay);
	acceptor_free(w->acceptor);
	tls_io_free(w->tls_io);
	tls_context_unref(w->tls);
	tap_free(w->tap);
	access_writer_free(w->log);
	if (w->base != NULL)
		event_base_free(w->base);
	if (w->inbox_fd >= 0)
		close(w->inbox_fd);
	pthread_mutex_destroy(&w->inbox_lock);
	buf_fini(&w->head);
	free(w->scratch);
	free(w);
}
