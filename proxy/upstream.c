/*
 * upstream.c -- life and death of one backend connection.
 *
 * Invariant: only UPSTREAM_IDLE ones stand in the pool's list, and only they have an idle limit.
 */
#include "proxy/upstream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "proxy/worker.h"

/* The backend has taken the connection: TLS first, if it speaks that. */
static bool upstream_begin_tls(struct upstream *u)
{
	struct tls *tls;

	if (!u->w->cfg->proxy.backend.tls || u->conn.tls != NULL)
		return true;
	tls = tls_new(u->w->tls_io, u->w->tls, TLS_CONNECTS, &u->conn);
	if (tls == NULL) {
		u->conn.error = ENOMEM;
		return false;
	}
	conn_begin_tls(&u->conn, tls);
	return true;
}

/* Is it connected, and is its handshake over? */
static void upstream_greet(struct upstream *u)
{
	enum tls_handshake how;

	/* A handshake finds an error by itself, and first the alert that came before it. */
	if (u->conn.tls == NULL)
		conn_look_for_error(&u->conn);
	if (u->tls_failed || u->conn.error != 0 || !upstream_begin_tls(u))
		return;
	how = u->conn.tls != NULL ? conn_handshake(&u->conn, NULL, NULL) : TLS_HANDSHAKE_DONE;
	if (how == TLS_HANDSHAKE_MORE)
		return;
	if (u->conn.tls != NULL)
		tap_tls(u->w->tap, &u->conn, u->conn.tls_marks);
	u->tls_failed = how != TLS_HANDSHAKE_DONE;
	if (!u->tls_failed)
		u->state = UPSTREAM_BUSY;
}

static void upstream_event(evutil_socket_t fd, short what, void *arg)
{
	struct upstream *u = arg;

	(void)fd;
	worker_clock(u->w);
	conn_note_event(&u->conn, what);
	switch (u->state) {
	case UPSTREAM_CONNECTING:
		upstream_greet(u);
		u->wake(u->wake_arg);
		break;
	case UPSTREAM_BUSY:
		u->wake(u->wake_arg);
		break;
	case UPSTREAM_IDLE:
		/* A FIN, an RST, or bytes that nobody asked for: of no use to anyone. A notice that
		 * was under way when it was pooled is none of these. */
		if (!conn_is_quiet(&u->conn))
			upstream_close(u, REASON_BACKEND_CLOSED, false);
		break;
	case UPSTREAM_CLOSED:
		break;
	}
}

static void upstream_idle_over(struct timeout *t, enum timeout_class what)
{
	struct upstream *u =
		(struct upstream *)(void *)((char *)t - offsetof(struct upstream, idle_limit));

	(void)what;
	upstream_close(u, REASON_IDLE_TIMEOUT, false);
}

/* A socket that is connecting to the address, or -1 with *error. */
static int upstream_socket(const struct addr *to, int *error)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(to, &ss);
	int one = 1;
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);

	if (fd < 0) {
		*error = errno;
		return -1;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	conn_take_urgent(fd);
	if (connect(fd, (const struct sockaddr *)&ss, len) != 0 && errno != EINPROGRESS) {
		*error = errno;
		close(fd);
		return -1;
	}
	return fd;
}

static void upstream_addresses(struct upstream *u, const struct addr *to)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);

	u->conn.peer = *to;
	if (getsockname(u->conn.fd, (struct sockaddr *)&ss, &len) == 0)
		addr_from_sockaddr(&u->conn.local, (const struct sockaddr *)&ss);
	conn_describe(&u->conn);
}

struct upstream *upstream_connect(struct worker *w, const struct addr *to, upstream_wake wake,
				  void *arg, int *error)
{
	struct upstream *u = calloc(1, sizeof(*u));

	if (u == NULL) {
		*error = ENOMEM;
		return NULL;
	}
	u->w = w;
	u->wake = wake;
	u->wake_arg = arg;
	u->idle_max_ns = UINT64_MAX;
	timeout_init(&u->idle_limit, upstream_idle_over);
	u->conn.leg = TAP_BACKEND;
	u->conn.id = worker_next_conn(w);
	u->conn.opened_ns = clock_real_ns();
	u->conn.fd = upstream_socket(to, error);
	if (u->conn.fd < 0) {
		free(u);
		return NULL;
	}
	upstream_addresses(u, to);
	if (!conn_watch(&u->conn, w->base, upstream_event, u)) {
		*error = ENOMEM;
		conn_close(&u->conn, false);
		free(u);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&w->conns, &u->conn, all);
	tap_open(w->tap, &u->conn);
	return u;
}

void upstream_close(struct upstream *u, enum reason why, bool reset)
{
	struct worker *w = u->w;

	if (u->state == UPSTREAM_CLOSED)
		return;
	if (u->state == UPSTREAM_IDLE)
		pool_forget(&w->pool, u);
	timeout_clear(&w->timeouts, &u->idle_limit);
	u->state = UPSTREAM_CLOSED;
	tap_close(w->tap, &u->conn, reason_info(why)->word);
	TAILQ_REMOVE(&w->conns, &u->conn, all);
	conn_close(&u->conn, reset);
	TAILQ_INSERT_TAIL(&w->pool.dead, u, link);
}

void upstream_leg(struct upstream *u, struct leg_record *leg)
{
	conn_leg(&u->conn, leg);
	leg->reused = u->reused;
}
