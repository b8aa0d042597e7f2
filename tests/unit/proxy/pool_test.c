/*
 * pool_test.c -- idle connections to a backend, on real sockets with a loop that the test turns.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "proxy/worker.h"

static struct config cfg;
static struct worker_shared shared = {.cfg = &cfg};
static struct worker *w;
static int listener;
static struct addr backend;
static unsigned wakes;

static void wake(void *arg)
{
	(void)arg;
	wakes++;
}

static void init(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);

	config_defaults(&cfg);
	cfg.proxy.pool_size = 2;
	w = worker_new(0, &shared);
	cr_assert_not_null(w);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(listener, (struct sockaddr *)&in, sizeof(in)), 0);
	cr_assert_eq(listen(listener, 16), 0);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&ss, &len), 0);
	addr_from_sockaddr(&backend, (struct sockaddr *)&ss);
	wakes = 0;
}

static void fini(void)
{
	pool_close(&w->pool, REASON_SHUTDOWN);
	pool_reap(&w->pool);
	worker_free(w);
	close(listener);
}

/* Turn the loop until nothing is left to do, at most for a while. */
static void turn(void)
{
	for (int i = 0; i < 20; i++) {
		event_base_loop(w->base, EVLOOP_NONBLOCK);
		usleep(1000);
	}
	worker_clock(w);
}

/* A connected upstream in use, and the backend's end of it. */
static struct upstream *connected(int *peer)
{
	int error = 0;
	struct upstream *u = upstream_connect(w, &backend, wake, NULL, &error);

	cr_assert_not_null(u, "connect: %d", error);
	*peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	cr_assert_geq(*peer, 0);
	turn();
	cr_assert_eq(u->state, UPSTREAM_BUSY);
	return u;
}

static struct upstream *take(void)
{
	return pool_take(&w->pool, wake, NULL);
}

Test(pool, gives_back_the_newest_first, .init = init, .fini = fini)
{
	int peers[2];
	struct upstream *a = connected(&peers[0]);
	struct upstream *b = connected(&peers[1]);

	cr_assert_null(take());
	pool_give(&w->pool, a, worker_clock(w));
	pool_give(&w->pool, b, worker_clock(w));
	cr_assert_eq(w->pool.count, 2);
	cr_assert_eq(take(), b);
	cr_assert(b->reused);
	cr_assert_eq(b->state, UPSTREAM_BUSY);
	cr_assert_eq(take(), a);
	cr_assert_null(take());
	upstream_close(a, REASON_DONE, false);
	upstream_close(b, REASON_DONE, false);
	close(peers[0]);
	close(peers[1]);
}

Test(pool, a_fin_while_idle_takes_it_out, .init = init, .fini = fini)
{
	int peer;
	struct upstream *u = connected(&peer);

	pool_give(&w->pool, u, worker_clock(w));
	close(peer);
	turn();
	cr_assert_eq(w->pool.count, 0);
	cr_assert_null(take());
}

Test(pool, a_byte_nobody_asked_for_takes_it_out, .init = init, .fini = fini)
{
	int peer;
	struct upstream *u = connected(&peer);

	pool_give(&w->pool, u, worker_clock(w));
	cr_assert_eq(send(peer, "x", 1, 0), 1);
	turn();
	cr_assert_eq(w->pool.count, 0);
	close(peer);
}

/* The event has not been seen yet: the look at the socket finds the FIN. */
Test(pool, a_fin_in_this_very_turn_is_seen_when_taken, .init = init, .fini = fini)
{
	int peer;
	struct upstream *u = connected(&peer);

	pool_give(&w->pool, u, worker_clock(w));
	close(peer);
	cr_assert_eq(w->pool.count, 1);
	cr_assert_null(take());
	cr_assert_eq(w->pool.count, 0);
}

/* They would become the answer to the next request. */
Test(pool, bytes_in_this_very_turn_are_seen_when_taken, .init = init, .fini = fini)
{
	static const char evil[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL";
	int peer;
	struct upstream *u = connected(&peer);

	pool_give(&w->pool, u, worker_clock(w));
	cr_assert_eq(send(peer, evil, sizeof(evil) - 1, 0), (ssize_t)sizeof(evil) - 1);
	cr_assert_eq(w->pool.count, 1);
	cr_assert_null(take());
	cr_assert_eq(w->pool.count, 0);
	close(peer);
}

Test(pool, beyond_its_size_the_oldest_goes, .init = init, .fini = fini)
{
	int peers[3];
	struct upstream *u[3];

	for (unsigned i = 0; i < 3; i++)
		u[i] = connected(&peers[i]);
	for (unsigned i = 0; i < 3; i++)
		pool_give(&w->pool, u[i], worker_clock(w));
	cr_assert_eq(w->pool.count, 2);
	cr_assert_eq(u[0]->state, UPSTREAM_CLOSED);
	cr_assert_eq(u[1]->state, UPSTREAM_IDLE);
	for (unsigned i = 0; i < 3; i++)
		close(peers[i]);
}

Test(pool, idling_ends_at_pool_idle_ms_or_at_the_backends_own_limit, .init = init, .fini = fini)
{
	int peers[2];
	struct upstream *a = connected(&peers[0]);
	struct upstream *b = connected(&peers[1]);
	uint64_t now_ns = worker_clock(w);

	a->idle_max_ns = 4 * NS_PER_S;
	pool_give(&w->pool, a, now_ns);
	pool_give(&w->pool, b, now_ns);
	timeouts_sweep(&w->timeouts, now_ns + 4 * NS_PER_S - 1, 100);
	cr_assert_eq(w->pool.count, 2);
	timeouts_sweep(&w->timeouts, now_ns + 4 * NS_PER_S, 100);
	cr_assert_eq(w->pool.count, 1);
	cr_assert_eq(a->state, UPSTREAM_CLOSED);
	timeouts_sweep(&w->timeouts, now_ns + 30 * NS_PER_S, 100);
	cr_assert_eq(w->pool.count, 0);
	close(peers[0]);
	close(peers[1]);
}

Test(pool, a_refused_connection_wakes_its_user_with_the_error, .init = init, .fini = fini)
{
	struct addr nobody = backend;
	int error = 0;
	struct upstream *u;

	close(listener);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	u = upstream_connect(w, &nobody, wake, NULL, &error);
	cr_assert_not_null(u);
	turn();
	cr_assert_geq(wakes, 1);
	cr_assert_eq(u->conn.error, ECONNREFUSED);
	upstream_close(u, REASON_CONNECT_REFUSED, false);
}
