/*
 * conn_test.c -- offsets, pending bytes and ends of one connection, on a socket pair.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/conn.h"

static struct conn c;
static int peer;

static void init(void)
{
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	c = (struct conn){.fd = fds[0], .readable = true, .writable = true};
	peer = fds[1];
}

static void fini(void)
{
	conn_close(&c, false);
	close(peer);
}

Test(conn, counts_what_it_read_and_what_was_taken, .init = init, .fini = fini)
{
	char bytes[16];
	char ab[] = "ab", cde[] = "cde";
	struct iovec parts[3] = {{ab, 2}, {NULL, 0}, {cde, 3}};

	cr_assert_eq(send(peer, "hello", 5, 0), 5);
	cr_assert_eq(conn_read(&c, bytes, 3), 3);
	cr_assert_eq(c.read_off, 3);
	cr_assert(c.readable, "a full read may have left something");
	cr_assert_eq(conn_read(&c, bytes, sizeof(bytes)), 2);
	cr_assert_eq(c.read_off, 5);
	cr_assert_not(c.readable, "a short read has drained the socket");
	cr_assert(c.drained);
	cr_assert(conn_send(&c, parts, 3));
	cr_assert_eq(c.sent_off, 5);
	cr_assert_eq(recv(peer, bytes, sizeof(bytes), 0), 5);
	cr_assert_arr_eq(bytes, "abcde", 5);
}

Test(conn, keeps_what_the_socket_does_not_take, .init = init, .fini = fini)
{
	static char block[1 << 20], got[1 << 20];
	struct iovec part = {block, sizeof(block)};
	size_t have = 0;

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (char)(i * 7 + i / 251);
	cr_assert(conn_send(&c, &part, 1));
	cr_assert_gt(conn_pending(&c), 0);
	cr_assert_eq(c.sent_off + conn_pending(&c), sizeof(block));
	cr_assert_not(c.writable);
	while (have < sizeof(block)) {
		ssize_t n = recv(peer, got + have, sizeof(got) - have, 0);

		cr_assert_gt(n, 0);
		have += (size_t)n;
		c.writable = true;
		cr_assert(conn_flush(&c));
		cr_assert_eq(c.sent_off + conn_pending(&c), sizeof(block));
	}
	cr_assert_eq(conn_pending(&c), 0);
	cr_assert_null(c.out.data, "an idle connection keeps no buffer");
	cr_assert_arr_eq(got, block, sizeof(block));
}

Test(conn, order_holds_behind_pending_bytes, .init = init, .fini = fini)
{
	char xy[] = "xy";
	struct iovec part = {xy, 1};

	c.writable = false;
	cr_assert(conn_send(&c, &part, 1));
	part.iov_base = xy + 1;
	c.writable = true;
	cr_assert(conn_send(&c, &part, 1));
	cr_assert_eq(conn_pending(&c), 2);
	cr_assert_eq(c.sent_off, 0);
	cr_assert_arr_eq(buf_at(&c.out), "xy", 2);
}

Test(conn, tells_again_end_and_failure_apart, .init = init, .fini = fini)
{
	char bytes[4];
	struct iovec part = {bytes, 1};

	cr_assert_eq(conn_read(&c, bytes, sizeof(bytes)), CONN_AGAIN);
	cr_assert(c.drained);
	shutdown(peer, SHUT_WR);
	c.readable = true;
	cr_assert_eq(conn_read(&c, bytes, sizeof(bytes)), CONN_EOF);
	cr_assert(c.peer_closed);
	close(peer);
	peer = -1;
	cr_assert_not(conn_send(&c, &part, 1));
	cr_assert_eq(c.error, EPIPE);
	cr_assert_eq(c.sent_off, 0);
}

/* After a FIN there is no second edge: reading goes on until the end is seen. */
Test(conn, reads_on_while_the_peer_is_closing, .init = init, .fini = fini)
{
	char bytes[16];

	cr_assert_eq(send(peer, "last", 4, 0), 4);
	shutdown(peer, SHUT_WR);
	conn_note_event(&c, EV_READ | EV_CLOSED);
	cr_assert_eq(conn_read(&c, bytes, sizeof(bytes)), 4);
	cr_assert(c.readable);
	cr_assert_eq(conn_read(&c, bytes, sizeof(bytes)), CONN_EOF);
	cr_assert_not(c.readable);
}

/* No second edge tells of what came between a short read and the question whether there was an RST. */
Test(conn, recheck_forgets_no_event, .init = init, .fini = fini)
{
	char bytes[16];

	cr_assert_eq(send(peer, "one", 3, 0), 3);
	cr_assert_eq(conn_read(&c, bytes, sizeof(bytes)), 3);
	cr_assert(c.unsure);
	cr_assert_eq(send(peer, "two", 3, 0), 3);
	conn_note_event(&c, EV_READ);
	cr_assert_not(conn_recheck(&c));
	cr_assert(c.readable);
	cr_assert_eq(conn_read(&c, bytes, sizeof(bytes)), 3);
	cr_assert_not(conn_recheck(&c));
	cr_assert_not(c.readable);
	cr_assert_not(c.unsure);
}
