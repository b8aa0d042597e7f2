/*
 * tap_rig.h -- a worker's tap on a real event base, with the tracer's end of the socket in hand.
 */
#ifndef TESTS_UNIT_PROXY_TAP_RIG_H
#define TESTS_UNIT_PROXY_TAP_RIG_H

#include <criterion/criterion.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "proxy/tap.h"
#include "tests/unit/proxy/sample_line.h"
#include "tests/unit/proxy/tap_peer.h"

#define RUN     0xfeed5d2c
#define WORKER  3
#define SOON_NS (5 * NS_PER_S)

struct rig {
	struct event_base *base;
	struct conn_list conns;
	struct tap *tap;
	struct tap_peer peer;
	bool with_secrets; /* for those that attach from now on */
};

static inline void rig_attach(struct rig *rig)
{
	int pair[2];

	cr_assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	tap_peer_init(&rig->peer, pair[1], RUN, WORKER);
	tap_attach(rig->tap, pair[0], rig->with_secrets);
}

static inline void rig_start(struct rig *rig)
{
	TAILQ_INIT(&rig->conns);
	rig->base = event_base_new();
	rig->tap = tap_new(rig->base, WORKER, RUN, &rig->conns);
	cr_assert(rig->base != NULL && rig->tap != NULL);
	rig->peer = (struct tap_peer){.fd = -1};
	rig->with_secrets = false;
}

static inline void rig_start_attached(struct rig *rig)
{
	rig_start(rig);
	rig_attach(rig);
	cr_assert(tap_active(rig->tap));
}

static inline void rig_stop(struct rig *rig)
{
	tap_free(rig->tap);
	event_base_free(rig->base);
	if (rig->peer.fd >= 0)
		close(rig->peer.fd);
	tap_peer_fini(&rig->peer);
}

/* Let the loop run until that many records came, at most 5 s. */
static inline void rig_run_until(struct rig *rig, size_t bytes)
{
	uint64_t until_ns = clock_mono_ns() + SOON_NS;

	while (rig->peer.len < bytes) {
		struct timespec pause = {.tv_nsec = 200000};

		cr_assert(clock_mono_ns() < until_ns, "%zu of %zu bytes", rig->peer.len, bytes);
		event_base_loop(rig->base, EVLOOP_NONBLOCK);
		tap_peer_receive_all(&rig->peer);
		nanosleep(&pause, NULL);
	}
}

/* Some turns of the loop in which nothing should come. */
static inline void rig_run_ms(struct rig *rig, unsigned ms)
{
	uint64_t until_ns = clock_mono_ns() + ms * NS_PER_MS;

	while (clock_mono_ns() < until_ns) {
		event_base_loop(rig->base, EVLOOP_NONBLOCK);
		tap_peer_receive_all(&rig->peer);
	}
}

static inline struct conn sample_conn(uint64_t id)
{
	return (struct conn){
		.fd = -1,
		.leg = id % 2 == 0 ? TAP_BACKEND : TAP_CLIENT,
		.id = id,
		.opened_ns = 1795421704000000001ULL + id,
		.read_off = 1000 + id,
		.sent_off = 2000 + id,
		.local = sample_addr("127.0.0.1:8585"),
		.peer = sample_addr("[2001:db8::1]:40112"),
		.nth = (uint32_t)(10 + id),
	};
}

#endif
