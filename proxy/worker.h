/*
 * worker.h -- one thread with its event loop, its connections, its pool and its buffers.
 *
 * Nothing of a worker is touched by another thread but its inbox and its load.
 */
#ifndef PROXY_WORKER_H
#define PROXY_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/attrib.h"
#include "config/config.h"
#include "proxy/accepted.h"
#include "proxy/access_log.h"
#include "proxy/buf.h"
#include "proxy/conn.h"
#include "proxy/pool.h"
#include "proxy/reason.h"
#include "proxy/request_ids.h"
#include "proxy/resolver.h"
#include "proxy/tap.h"
#include "proxy/timeouts.h"

#define WORKER_SCRATCH      (256 * 1024)
#define WORKER_BUDGET_BYTES (256 * 1024)
#define WORKER_BUDGET_STEPS 32
#define WORKER_RELAYS_KEPT  512

struct acceptor;
struct client;
struct relay;
struct tls_context;

/* What all workers use: read-only, or safe from any thread. */
struct worker_shared {
	const struct config *cfg;
	struct resolver *resolver;
	struct access_log *log;
	struct tls_context *tls; /* what a worker begins with; later ones come by WORKER_MSG_TLS */
	uint32_t run;
	uint64_t id_seed;
	char trace_prefix[TRACEPARENT_PREFIX_LEN];
	uint32_t connections_max; /* of one worker */
	atomic_uint_fast64_t next_conn;
};

enum worker_stop {
	WORKER_RUNS,
	WORKER_DRAINS, /* no new exchange on a connection once it has answered */
	WORKER_ENDS,   /* everything still open is cut */
};

enum worker_message_kind {
	WORKER_MSG_CONN,     /* conn: a client */
	WORKER_MSG_ACCEPT,   /* begin to accept */
	WORKER_MSG_TAP,      /* fd: a tracer's end */
	WORKER_MSG_RESOLVED, /* the backend's addresses changed */
	WORKER_MSG_TLS,      /* tls: for new connections, with a reference that goes along */
	WORKER_MSG_STOP,
	WORKER_MSG_END,
};

struct worker_message {
	enum worker_message_kind kind;
	int fd;
	bool with_secrets; /* of a tap */
	struct accepted conn;
	struct tls_context *tls;
};

TAILQ_HEAD(client_list, client);
TAILQ_HEAD(relay_list, relay);

struct worker {
	unsigned index;
	struct worker_shared *shared;
	const struct config *cfg;
	struct event_base *base;
	struct acceptor *acceptor; /* of its own, when it is the only worker; else NULL */
	pthread_t thread;
	bool started;
	atomic_bool ended; /* its thread has done its last */
	enum worker_stop stop;

	uint64_t now_ns;      /* CLOCK_MONOTONIC of the newest worker_clock() */
	char *scratch;        /* WORKER_SCRATCH bytes: recv() goes here */
	struct buf head;      /* a head being written */
	int64_t budget_bytes; /* of the callback that runs */

	struct conn_list conns;
	struct client_list clients;    /* every open client */
	struct client_list again;      /* to run in the next turn */
	struct client_list mute;       /* have sent nothing but empty lines, the oldest first */
	struct client_list dead;       /* to free at the end of this turn */
	struct relay_list free_relays; /* at most WORKER_RELAYS_KEPT */
	struct relay_list resolving;   /* wait for the backend's addresses */
	uint32_t free_relay_count;
	struct relay *spare_relay; /* answers where there is no memory for another */
	uint64_t said_ns;          /* monotonic: when that was last said, or 0 */
	uint32_t client_count;
	uint32_t refused_count; /* of them: lingering after an overload answer */

	struct tls_context *tls; /* of new connections, a reference of its own */
	struct pool pool;
	uint32_t good_addr; /* of the backend's, the one that took a connection last */
	struct timeouts timeouts;
	struct tap *tap;
	struct tls_io *tls_io; /* NULL: nothing of this worker speaks TLS */
	struct access_writer *log;

	struct event inbox_event;
	struct event tick_event;
	struct event log_event;
	struct event stop_event;
	bool tick_armed;
	bool log_armed;
	int inbox_fd;
	pthread_mutex_t inbox_lock;
	struct worker_message *inbox;
	uint32_t inbox_len;
	uint32_t inbox_cap;
	struct worker_message
		*inbox_other; /* the array that is being read, or waits to be filled */
	uint32_t inbox_other_cap;
	bool inbox_woken; /* the eventfd tells of what is in the inbox */

	atomic_uint_fast32_t load; /* connections given to it and not closed */
	uint64_t exchanges;
	uint64_t ends[REASON_COUNT];
};

/* NULL with a line on stderr. The thread is started by worker_start(). */
struct worker *worker_new(unsigned index, struct worker_shared *shared) MUST_CHECK;
bool worker_start(struct worker *w) MUST_CHECK;
/* Wait for a started thread, which ends after WORKER_MSG_STOP or _END. */
void worker_join(struct worker *w);
/* Joins first. NULL is fine. */
void worker_free(struct worker *w);

/* From any thread. False (and an owned fd closed, a reference given back) when memory ran out. */
bool worker_post(struct worker *w, const struct worker_message *m);

/* Take over an accepted socket. In the worker's thread. */
void worker_adopt(struct worker *w, const struct accepted *a);

/* Read the clock into w->now_ns. */
uint64_t worker_clock(struct worker *w);

/* Numbers of a run's connections, on both legs, from 1. */
uint64_t worker_next_conn(struct worker *w);

/* Say, now and then, that something could not be had for a client. */
void worker_lacks(struct worker *w, const char *what);

/* Limits were set: have the tick running. */
void worker_arm(struct worker *w);

#endif
