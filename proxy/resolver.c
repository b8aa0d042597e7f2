/*
 * resolver.c -- looks the backend's name up with c-ares, again and again, and keeps what was found.
 *
 * Each lookup has a channel of its own, which reads resolv.conf and the rest anew: a proxy that runs
 * for months follows the system's settings. c-ares never blocks here, its sockets are watched by
 * the main thread's event base; the hosts file is read in place.
 *
 * Invariant: `now` changes under the lock and by publish() only; while a lookup runs there is a
 * channel, and while none runs there is none.
 */
#include "proxy/resolver.h"

#include <ares.h>
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

#define FAILURE_MS       1000
#define TTL_LEAST_S      1
#define HOSTS_FILE_MS    10000
#define TRY_TIMEOUT_MIN  100  /* ms, of the first query to a server; c-ares doubles it each round */
#define TRY_TIMEOUT_MAX  2000 /* ms */
#define TRIES_IN_TIMEOUT 5    /* the first query gets this part of the whole time limit */
#define TRIES            4

enum lookup_state {
	LOOKUP_WAITING, /* timer runs to the next lookup; no channel but the very first */
	LOOKUP_RUNNING, /* timer runs to the lookup's time limit; lookup_done() is still to come */
};

/* One socket of c-ares. */
struct watch {
	struct watch *next;
	struct resolver *owner;
	struct event *event;
	ares_socket_t fd;
};

struct resolver {
	struct event_base *base;
	const struct config_backend *cfg;
	uint32_t timeout_ms;
	resolver_changed changed;
	void *arg;
	char *servers;
	bool hosts_from_env;

	enum lookup_state state;
	struct event *timer; /* NULL: a literal address */
	struct event *tick;  /* when c-ares itself wants to repeat a query */
	bool library;        /* ares_library_init() is to be undone */
	ares_channel channel;
	struct watch *watches;
	bool asked;   /* this lookup has sent something to a server */
	bool failing; /* the last lookup failed, and it has been said */
	bool closing; /* the channel is being destroyed: what it still tells is not heard */

	pthread_mutex_t lock; /* of now */
	struct resolved now;
};

/* ---- c-ares' sockets and timeouts ---------------------------------------------------------------- */

static void timer_in_ms(struct event *timer, uint64_t ms)
{
	const struct timeval tv = {.tv_sec = (time_t)(ms / 1000),
				   .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

	/* It can only fail for want of memory on the first add; those are made at the start. */
	(void)event_add(timer, &tv);
}

static void channel_close(struct resolver *r)
{
	if (r->channel == NULL)
		return;
	r->closing = true;
	ares_destroy(r->channel);
	r->closing = false;
	r->channel = NULL;
}

/* After everything that may have moved c-ares: wait for what it waits for, or put it away. */
static void lookup_settle(struct resolver *r)
{
	struct timeval tv;

	if (r->state == LOOKUP_WAITING) {
		event_del(r->tick);
		channel_close(r);
	} else if (ares_timeout(r->channel, NULL, &tv) != NULL) {
		(void)event_add(r->tick, &tv);
	} else {
		event_del(r->tick);
	}
}

static void watch_ready(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	struct resolver *r = w->owner;

	/* w may be gone after this. */
	ares_process_fd(r->channel, (what & EV_READ) != 0 ? fd : ARES_SOCKET_BAD,
			(what & EV_WRITE) != 0 ? fd : ARES_SOCKET_BAD);
	lookup_settle(r);
}

static void tick_due(evutil_socket_t fd, short what, void *arg)
{
	struct resolver *r = arg;

	(void)fd;
	(void)what;
	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	lookup_settle(r);
}

static struct watch **watch_find(struct resolver *r, ares_socket_t fd)
{
	struct watch **at = &r->watches;

	while (*at != NULL && (*at)->fd != fd)
		at = &(*at)->next;
	return at;
}

static void watch_remove(struct watch **at)
{
	struct watch *w = *at;

	*at = w->next;
	if (w->event != NULL)
		event_free(w->event);
	free(w);
}

/*
 * c-ares says what it wants of a socket; neither: it is about to close it. Where memory is short the
 * socket stays unwatched and the lookup runs into its time limit.
 */
static void socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct resolver *r = arg;
	struct watch **at = watch_find(r, fd);
	short what = (short)((readable ? EV_READ : 0) | (writable ? EV_WRITE : 0) | EV_PERSIST);
	struct watch *w;

	r->asked = true;
	if (*at != NULL)
		watch_remove(at);
	if (!readable && !writable)
		return;
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return;
	*w = (struct watch){.next = r->watches, .owner = r, .fd = fd};
	r->watches = w;
	w->event = event_new(r->base, fd, what, watch_ready, w);
	if (w->event == NULL || event_add(w->event, NULL) != 0)
		watch_remove(&r->watches);
}

/* ARES_SUCCESS, or why not. */
static int channel_open(struct resolver *r)
{
	uint32_t first_ms = r->timeout_ms / TRIES_IN_TIMEOUT;
	struct ares_options options = {
		.timeout = (int)MAX(MIN(first_ms, TRY_TIMEOUT_MAX), TRY_TIMEOUT_MIN),
		.tries = TRIES,
		.sock_state_cb = socket_state,
		.sock_state_cb_data = r,
	};
	int status =
		ares_init_options(&r->channel, &options,
				  ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);

	if (status != ARES_SUCCESS) {
		r->channel = NULL;
		return status;
	}
	if (r->servers == NULL)
		return ARES_SUCCESS;
	status = ares_set_servers_ports_csv(r->channel, r->servers);
	if (status != ARES_SUCCESS)
		channel_close(r);
	return status;
}

/* ---- answers ------------------------------------------------------------------------------------- */

static void publish(struct resolver *r, const struct resolved *next)
{
	bool differs = memcmp(&r->now, next, sizeof(*next)) != 0;

	if (!differs)
		return;
	pthread_mutex_lock(&r->lock);
	r->now = *next;
	pthread_mutex_unlock(&r->lock);
	r->changed(r->arg);
}

static void answer_failed(struct resolver *r, int status)
{
	struct resolved next = {.state = RESOLVED_FAILED};

	if (!r->failing)
		log_warning("backend %s cannot be resolved (%s)%s", r->cfg->host,
			    status == ARES_ECANCELLED ? ares_strerror(ARES_ETIMEOUT)
						      : ares_strerror(status),
			    r->now.count > 0 ? "; the last known addresses stay" : "");
	r->failing = true;
	timer_in_ms(r->timer, FAILURE_MS);
	if (r->now.count == 0)
		publish(r, &next);
}

static void answer_add(struct resolved *next, const struct sockaddr *sa, uint16_t port)
{
	struct addr a;

	addr_from_sockaddr(&a, sa);
	a.port = port;
	if (a.family == ADDR_NONE || next->count == RESOLVED_MAX)
		return;
	for (uint32_t i = 0; i < next->count; i++)
		if (addr_equal(&next->addrs[i], &a) && next->addrs[i].scope_id == a.scope_id)
			return;
	next->addrs[next->count++] = a;
}

/* The smallest of all records that led to the addresses; what looks negative is 0 (RFC 2181 section 8). */
static uint64_t answer_ttl_s(const struct ares_addrinfo *info)
{
	int least = INT32_MAX;

	for (const struct ares_addrinfo_node *n = info->nodes; n != NULL; n = n->ai_next)
		least = MIN(least, n->ai_ttl);
	for (const struct ares_addrinfo_cname *n = info->cnames; n != NULL; n = n->next)
		least = MIN(least, n->ttl);
	return (uint64_t)MAX(least, TTL_LEAST_S);
}

/*
 * Nothing in an answer tells the hosts file from a record with TTL 0; but for the file (and for
 * "localhost", which c-ares answers itself) no socket is opened.
 */
static void answer_taken(struct resolver *r, const struct ares_addrinfo *info)
{
	struct resolved next = {.state = RESOLVED_OK};

	for (const struct ares_addrinfo_node *n = info->nodes; n != NULL; n = n->ai_next)
		answer_add(&next, n->ai_addr, r->cfg->port);
	if (next.count == 0) {
		answer_failed(r, ARES_ENODATA);
		return;
	}
	if (r->failing)
		log_notice("backend %s is resolved again", r->cfg->host);
	r->failing = false;
	timer_in_ms(r->timer, r->asked ? answer_ttl_s(info) * 1000 : HOSTS_FILE_MS);
	publish(r, &next);
}

/* c-ares is done with one lookup. It may not be destroyed in here: lookup_settle() does it. */
static void lookup_done(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct resolver *r = arg;

	(void)timeouts;
	if (!r->closing) {
		r->state = LOOKUP_WAITING;
		if (status == ARES_SUCCESS && info != NULL)
			answer_taken(r, info);
		else
			answer_failed(r, status);
	}
	if (info != NULL)
		ares_freeaddrinfo(info);
}

static void lookup_begin(struct resolver *r)
{
	const struct ares_addrinfo_hints hints = {
		.ai_flags = r->hosts_from_env ? ARES_AI_ENVHOSTS : 0,
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
	};
	int status = r->channel != NULL ? ARES_SUCCESS : channel_open(r);

	if (status != ARES_SUCCESS) {
		answer_failed(r, status);
		return;
	}
	r->state = LOOKUP_RUNNING;
	r->asked = false;
	timer_in_ms(r->timer, r->timeout_ms);
	ares_getaddrinfo(r->channel, r->cfg->host, NULL, &hints, lookup_done, r);
	lookup_settle(r);
}

static void timer_due(evutil_socket_t fd, short what, void *arg)
{
	struct resolver *r = arg;

	(void)fd;
	(void)what;
	if (r->state == LOOKUP_WAITING) {
		lookup_begin(r);
		return;
	}
	/*
	 * Calls lookup_done(), with success when one family had been answered already. Should c-ares
	 * go on instead, with the next search domain, time is up all the same.
	 */
	ares_cancel(r->channel);
	if (r->state == LOOKUP_RUNNING) {
		r->state = LOOKUP_WAITING;
		answer_failed(r, ARES_ETIMEOUT);
	}
	lookup_settle(r);
}

/* ---- what others call ---------------------------------------------------------------------------- */

static bool resolver_start(struct resolver *r)
{
	int status = ares_library_init(ARES_LIB_INIT_ALL);

	r->library = status == ARES_SUCCESS;
	if (r->library)
		status = channel_open(r);
	if (status != ARES_SUCCESS) {
		log_error("cannot resolve names: %s", ares_strerror(status));
		return false;
	}
	r->timer = evtimer_new(r->base, timer_due, r);
	r->tick = evtimer_new(r->base, tick_due, r);
	if (r->timer == NULL || r->tick == NULL || event_add(r->timer, &(struct timeval){0}) != 0) {
		log_error("cannot resolve names: %s", strerror(ENOMEM));
		return false;
	}
	return true;
}

struct resolver *resolver_new_from(struct event_base *base, const struct config_backend *cfg,
				   uint32_t timeout_ms, const struct resolver_sources *sources,
				   resolver_changed changed, void *arg)
{
	struct resolver *r = calloc(1, sizeof(*r));

	if (r == NULL) {
		log_error("cannot resolve names: %s", strerror(ENOMEM));
		return NULL;
	}
	pthread_mutex_init(&r->lock, NULL);
	r->base = base;
	r->cfg = cfg;
	r->timeout_ms = timeout_ms;
	r->changed = changed;
	r->arg = arg;
	if (cfg->literal) {
		r->now = (struct resolved){.state = RESOLVED_OK, .count = 1, .addrs = {cfg->addr}};
		return r;
	}
	r->hosts_from_env = sources->hosts_from_env;
	if (sources->servers != NULL) {
		r->servers = strdup(sources->servers);
		if (r->servers == NULL) {
			log_error("cannot resolve names: %s", strerror(ENOMEM));
			goto fail;
		}
	}
	if (!resolver_start(r))
		goto fail;
	return r;
fail:
	resolver_free(r);
	return NULL;
}

struct resolver *resolver_new(struct event_base *base, const struct config_backend *cfg,
			      uint32_t timeout_ms, resolver_changed changed, void *arg)
{
	static const struct resolver_sources system;

	return resolver_new_from(base, cfg, timeout_ms, &system, changed, arg);
}

void resolver_free(struct resolver *r)
{
	if (r == NULL)
		return;
	channel_close(r);
	while (r->watches != NULL)
		watch_remove(&r->watches);
	if (r->timer != NULL)
		event_free(r->timer);
	if (r->tick != NULL)
		event_free(r->tick);
	if (r->library)
		ares_library_cleanup();
	pthread_mutex_destroy(&r->lock);
	free(r->servers);
	free(r);
}

void resolver_get(struct resolver *r, struct resolved *out)
{
	pthread_mutex_lock(&r->lock);
	*out = r->now;
	pthread_mutex_unlock(&r->lock);
}
