/*
 * tap_position_test.c -- the tracer asks for positions of real TCP connections until it is anchored.
 */
#include "proxy/tap.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/proxy/tap_rig.h"

TestSuite(tap_position, .timeout = 30);

/* A TCP connection over loopback: ours as a conn, and the other end. */
static int tcp_pair(struct conn *c, uint64_t id)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), other;

	*c = sample_conn(id);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert(listener >= 0 && c->fd >= 0);
	cr_assert(bind(listener, (struct sockaddr *)&a, sizeof(a)) == 0);
	cr_assert(listen(listener, 1) == 0);
	cr_assert(getsockname(listener, (struct sockaddr *)&a, &len) == 0);
	cr_assert(connect(c->fd, (struct sockaddr *)&a, sizeof(a)) == 0);
	other = accept(listener, NULL, NULL);
	cr_assert(other >= 0);
	close(listener);
	return other;
}

static struct tap_position take_position(struct rig *rig, uint64_t conn)
{
	struct tap_position position;

	tap_peer_take(&rig->peer, TAP_POSITION, &position, sizeof(position));
	cr_assert_eq(position.conn, conn);
	return position;
}

/* The tracer asks, is told at once, and again after each exchange until it is anchored. */
Test(tap_position, positions_until_anchored)
{
	struct rig rig;
	struct conn c;
	struct tap_position position;
	struct pollfd readable;
	uint64_t before_ns;
	int other;

	rig_start(&rig);
	other = tcp_pair(&c, 11);
	readable = (struct pollfd){.fd = c.fd, .events = POLLIN};
	TAILQ_INSERT_TAIL(&rig.conns, &c, all);
	rig_attach(&rig);
	rig_run_until(&rig, sizeof(struct tap_open));
	rig.peer.at = rig.peer.len;
	tap_position(rig.tap, &c);
	rig_run_ms(&rig, 5);
	cr_expect_eq(tap_peer_type(&rig.peer), 0);

	cr_assert(send(other, "12345", 5, 0) == 5 && poll(&readable, 1, 5000) == 1);
	c.drained = false;
	before_ns = clock_real_ns();
	tap_peer_send_conn(&rig.peer, TAP_ASK, 11);
	rig_run_until(&rig, rig.peer.at + sizeof(position));
	position = take_position(&rig, 11);
	cr_expect(position.sent_off == 2011 && position.read_off == 1011);
	cr_expect(position.inq == 5 && position.outq == 0 && position.drained == 0);
	cr_expect(position.before_real_ns >= before_ns &&
		  position.after_real_ns >= position.before_real_ns &&
		  position.after_real_ns <= clock_real_ns());

	/* The peer's window is full: bytes wait in our socket. */
	while (send(c.fd, "0123456789abcdef", 16, MSG_DONTWAIT) > 0)
		;
	c.drained = true;
	tap_position(rig.tap, &c);
	rig_run_until(&rig, rig.peer.at + sizeof(position));
	position = take_position(&rig, 11);
	cr_expect(position.inq == 5 && position.outq > 0 && position.drained == 1);

	tap_peer_send_conn(&rig.peer, TAP_ANCHORED, 11);
	rig_run_ms(&rig, 5);
	tap_position(rig.tap, &c);
	rig_run_ms(&rig, 5);
	cr_expect_eq(tap_peer_type(&rig.peer), 0);
	close(other);
	close(c.fd);
	rig_stop(&rig);
}

/* An end takes a sequence number too: R of the peer's, and S of ours, say no more where one stands. */
Test(tap_position, connections_that_end)
{
	struct rig rig;
	struct conn c;
	struct pollfd readable;
	int other;

	rig_start(&rig);
	other = tcp_pair(&c, 11);
	c.drained = true;
	readable = (struct pollfd){.fd = c.fd, .events = POLLIN};
	TAILQ_INSERT_TAIL(&rig.conns, &c, all);
	rig_attach(&rig);
	rig_run_until(&rig, sizeof(struct tap_open));
	rig.peer.at = rig.peer.len;
	tap_peer_send_conn(&rig.peer, TAP_ASK, 11);
	rig_run_until(&rig, rig.peer.at + sizeof(struct tap_position));
	cr_expect_eq(take_position(&rig, 11).drained, 1);

	cr_assert(shutdown(other, SHUT_WR) == 0 && poll(&readable, 1, 5000) == 1);
	tap_position(rig.tap, &c); /* nobody has read the end yet */
	rig_run_until(&rig, rig.peer.at + sizeof(struct tap_position));
	cr_expect_eq(take_position(&rig, 11).drained, 0);

	cr_assert(shutdown(c.fd, SHUT_WR) == 0);
	tap_position(rig.tap, &c);
	rig_run_ms(&rig, 5);
	cr_expect_eq(tap_peer_type(&rig.peer), 0);
	close(other);
	close(c.fd);
	rig_stop(&rig);
}

#define MANY 300

/* All of them, in portions, but for one that closes before its turn. */
Test(tap_position, positions_of_every_connection)
{
	struct conn *conns = calloc(MANY, sizeof(*conns));
	struct rig rig;
	struct conn tcp;
	unsigned seen = 0;
	int other;

	cr_assert(conns != NULL);
	rig_start_attached(&rig);
	other = tcp_pair(&tcp, 1);
	for (unsigned i = 0; i < MANY; i++) {
		conns[i] = sample_conn(i + 1);
		conns[i].fd = tcp.fd;
		TAILQ_INSERT_TAIL(&rig.conns, &conns[i], all);
	}
	tap_peer_send_conn(&rig.peer, TAP_ASK, 0);
	/* One turn takes the question, the next gives the first portion. */
	while (rig.peer.len == 0) {
		event_base_loop(rig.base, EVLOOP_ONCE);
		tap_peer_receive_all(&rig.peer);
	}
	cr_expect_lt(rig.peer.len, MANY * sizeof(struct tap_position) / 2);
	TAILQ_REMOVE(&rig.conns, &conns[MANY - 1], all);
	tap_close(rig.tap, &conns[MANY - 1], "idle-timeout");
	memset(&conns[MANY - 1], 0xee, sizeof(conns[0]));
	rig_run_until(&rig, (MANY - 1) * sizeof(struct tap_position) + sizeof(struct tap_close));
	rig_run_ms(&rig, 5);
	while (tap_peer_type(&rig.peer) != 0) {
		if (tap_peer_type(&rig.peer) == TAP_CLOSE) {
			struct tap_close ended;

			tap_peer_take(&rig.peer, TAP_CLOSE, &ended, sizeof(ended));
			cr_expect_eq(ended.conn, MANY);
		} else {
			seen++;
			take_position(&rig, seen);
		}
	}
	cr_expect_eq(seen, MANY - 1);
	close(other);
	close(tcp.fd);
	rig_stop(&rig);
	free(conns);
}

/* Numbers that do not exist, or that go while they are asked for, are no matter. */
Test(tap_position, asking_for_what_is_not_there)
{
	struct rig rig;
	struct conn c;
	struct tap_ask asks[1000];
	int other;

	rig_start_attached(&rig);
	other = tcp_pair(&c, 77);
	TAILQ_INSERT_TAIL(&rig.conns, &c, all);
	for (unsigned i = 0; i < 1000; i++)
		asks[i] = (struct tap_ask){.r = {.type = TAP_ASK, .len = sizeof(asks[0])},
					   .conn = i + 1};
	asks[500].r.type = TAP_ANCHORED;
	tap_peer_send(&rig.peer, asks, sizeof(asks));
	rig_run_until(&rig, sizeof(struct tap_position));
	rig_run_ms(&rig, 5);
	take_position(&rig, 77);
	cr_expect_eq(tap_peer_type(&rig.peer), 0);
	/* One that has closed meanwhile has no position, and no trouble. */
	close(c.fd);
	c.fd = -1;
	tap_position(rig.tap, &c);
	rig_run_ms(&rig, 5);
	cr_expect_eq(tap_peer_type(&rig.peer), 0);
	close(other);
	rig_stop(&rig);
}
