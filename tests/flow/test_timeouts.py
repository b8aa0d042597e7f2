"""Every time limit: when it strikes, what the client is told, and its word in the log."""

import contextlib
import socket
import time

import pytest

import check
from origin import answer, response
import peer as peers
import stack
import wire

# Limits are swept by a tick; a loaded machine may add to it.
LATE_S = 5.0 if stack.SLOW else 1.5


@contextlib.contextmanager
def takes(limit_s):
    began = time.monotonic()
    yield
    check.between(time.monotonic() - began, limit_s * 0.8, limit_s + LATE_S, "seconds")


def wait_forever(conn):
    conn.next_request()
    conn.read_to_end()


def test_header_timeout(origin, proxy, peer):
    front = proxy(origin(), header_timeout_ms=400)
    client = peer(front)
    with takes(0.4):
        client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n")
        time.sleep(0.2)
        client.send(b"X: still not the end\r\n")  # the whole head counts, not the gap
        got = client.read_response()
    client.expect_eof()
    check.refused(front.lines(1)[0], client, got, "header-timeout", 408, [0, client.sent])


def test_header_timeout_without_a_byte_is_silent(origin, proxy, peer):
    front = proxy(origin(), header_timeout_ms=400)
    client = peer(front)
    with takes(0.4):
        client.expect_eof()
    peer(front).get()
    assert front.lines(1)[0]["end"] == "done"


def test_header_timeout_of_a_later_head(origin, proxy, peer):
    front = proxy(origin(), header_timeout_ms=400)
    client = peer(front)
    client.get()
    time.sleep(0.6)  # idle time does not count
    first = client.sent
    with takes(0.4):
        client.send(b"GET /second HTTP/1.1\r\n")
        got = client.read_response()
    client.expect_eof()
    check.refused(front.lines(2)[1], client, got, "header-timeout", 408, [first, client.sent])


def test_idle_timeout(origin, proxy, peer):
    front = proxy(origin(), idle_timeout_ms=400)
    client = peer(front)
    client.get()
    with takes(0.4):
        client.expect_eof()
    assert len(front.lines(1)) == 1


def test_body_timeout(origin, proxy, peer):
    backend = origin(lambda conn: conn.read_to_end())
    front = proxy(backend, body_timeout_ms=400)
    client = peer(front)
    client.send(peers.request("/", ["Content-Length: 100"], method="POST") + b"x" * 10)
    time.sleep(0.3)
    client.send(b"x" * 10)
    with takes(0.4):
        got = client.read_response("POST")
    client.expect_eof()
    line = front.lines(1)[0]
    assert (got.status, line["status"], line["end"]) == (408, 408, "body-timeout")
    check.client_leg(line["client"], client, got)
    assert line["client"]["request"] == [0, client.sent]
    assert line["at_us"]["request_end"] is None
    assert line["bytes"]["request_body"] == 20


def test_send_timeout(origin, proxy, peer):
    """The client takes no byte of a response that does not fit into the sockets' buffers."""
    def script(conn):
        conn.next_request()
        try:
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            for _ in range(100):
                conn.send(b"x" * 1_000_000)
        except OSError:
            return
        conn.read_to_end()

    backend = origin(script)
    front = proxy(backend, send_timeout_ms=500)
    client = peer(front, recv_buffer=4096)
    client.send(peers.request())
    line = front.lines(1, timeout_s=15)[0]
    assert (line["end"], line["status"]) == ("client-stalled", 200)
    assert line["at_us"]["response_end"] is None
    data, _ = client.read_to_end()
    assert len(data) < 100_000_000
    assert backend.wait_conns(1).done.wait(5)


@contextlib.contextmanager
def deaf_listener():
    """A port whose queue is full: a SYN to it stays without an answer."""
    with contextlib.ExitStack() as stack_:
        listener = stack_.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack_.enter_context(socket.socket())
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(listener.getsockname())
        time.sleep(0.1)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_connect_timeout(proxy, peer):
    with deaf_listener() as url:
        front = proxy(url, connect_timeout_ms=400)
        client = peer(front)
        began = time.monotonic()
        got = client.get()
        check.between(time.monotonic() - began, 0.35, 3 * 0.4 + LATE_S, "seconds")
        line = front.lines(1)[0]
        assert (got.status, line["status"], line["end"]) == (504, 504, "connect-timeout")
        check.client_leg(line["client"], client, got)
        assert line["at_us"]["backend_ready"] is None


def test_backend_timeout_before_the_response(origin, proxy, peer):
    backend = origin(wait_forever)
    front = proxy(backend, backend_timeout_ms=400)
    client = peer(front)
    with takes(0.4):
        got = client.get()
    line = front.lines(1)[0]
    assert (got.status, line["status"], line["end"]) == (504, 504, "backend-timeout")
    check.client_leg(line["client"], client, got)
    assert line["backend"]["request"] == backend.requests[0].range
    assert line["at_us"]["backend_response_start"] is None
    assert line["backend"]["attempts"] == 1, "a slow backend is not asked twice"
    assert backend.conns[0].done.wait(5)


def test_backend_timeout_within_the_response(origin, proxy, peer):
    def script(conn):
        conn.next_request()
        conn.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 10)
        conn.read_to_end()

    backend = origin(script)
    front = proxy(backend, backend_timeout_ms=400)
    client = peer(front)
    with takes(0.4), pytest.raises(wire.Truncated):
        client.get()
    line = front.lines(1)[0]
    assert (line["status"], line["end"]) == (200, "backend-timeout")
    check.backend_leg(line["backend"], backend.requests[0])
    assert line["at_us"]["response_end"] is None and line["bytes"]["response_body"] == 10


def test_backend_timeout_is_no_limit_of_the_whole(origin, proxy, peer):
    def script(conn):
        conn.next_request()
        conn.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
        for _ in range(8):
            time.sleep(0.2)
            conn.reply(b"x")
        conn.next_request()

    backend = origin(script)
    front = proxy(backend, backend_timeout_ms=800)
    client = peer(front)
    got = client.get()
    check.exchange(front.lines(1)[0], client, got, backend.requests[0])


def test_backend_that_takes_nothing(origin, proxy, peer):
    def script(conn):
        time.sleep(30 if stack.SLOW else 8)
        conn.read_to_end()

    backend = origin(script, recv_buffer=4096)
    front = proxy(backend, backend_timeout_ms=500)
    client = peer(front, timeout_s=15)
    client.send(peers.request("/", ["Content-Length: 100000000"], method="POST"))
    client.sock.setblocking(False)
    block = b"x" * 1_000_000
    quiet = time.monotonic()
    while time.monotonic() - quiet < 0.3 and client.sent < 90_000_000:
        if client.send_some(block):
            quiet = time.monotonic()
        else:
            time.sleep(0.01)
    client.sock.settimeout(15)
    got = client.read_response("POST")
    line = front.lines(1)[0]
    assert (got.status, line["status"], line["end"]) == (504, 504, "backend-stalled")
    assert line["client"]["response"] == got.range


def test_pool_idle(origin, proxy, peer):
    backend = origin()
    front = proxy(backend, pool_idle_ms=400)
    client = peer(front)
    client.get()
    conn = backend.conns[0]
    with takes(0.4):
        assert conn.done.wait(5)
    client.get()
    assert [line["backend"]["reused"] for line in front.lines(2)] == [False, False]
    assert [line["backend"]["attempts"] for line in front.lines(2)] == [1, 1]


def test_pool_idle_stays_below_the_backends_own(origin, proxy, peer):
    backend = origin(answer(response(fields=["Keep-Alive: timeout=2, max=100"])))
    front = proxy(backend)
    client = peer(front)
    client.get()
    with takes(1.0):
        assert backend.conns[0].done.wait(5)
    front.lines(1)


def test_request_timeout(origin, proxy, peer):
    backend = origin(wait_forever)
    front = proxy(backend, request_timeout_ms=400)
    client = peer(front)
    with takes(0.4):
        got = client.get()
    line = front.lines(1)[0]
    assert (got.status, line["status"], line["end"]) == (504, 504, "request-timeout")
    check.client_leg(line["client"], client, got)


def test_request_timeout_within_the_response(origin, proxy, peer):
    def script(conn):
        conn.next_request()
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        try:
            for _ in range(100):
                conn.send(b"x")
                time.sleep(0.05)
        except OSError:
            pass

    front = proxy(origin(script), request_timeout_ms=600)
    client = peer(front)
    with takes(0.6), pytest.raises(wire.Truncated):
        client.get()
    line = front.lines(1)[0]
    assert (line["status"], line["end"]) == (200, "request-timeout")


def test_max_requests(origin, proxy, peer):
    front = proxy(origin(), max_requests=3)
    client = peer(front)
    assert [client.get().get("Connection") for _ in range(3)] == [None, None, "close"]
    client.expect_eof()
    front.lines(3)


def test_max_age(origin, proxy, peer):
    front = proxy(origin(), max_age_ms=500)
    client = peer(front)
    began = time.monotonic()
    count = 0
    while time.monotonic() - began < 5:
        got = client.get()
        count += 1
        if got.get("Connection") == "close":
            break
        time.sleep(0.05)
    check.between(time.monotonic() - began, 0.4, 0.5 + LATE_S, "seconds")
    client.expect_eof()
    assert {line["end"] for line in front.lines(count)} == {"done"}
