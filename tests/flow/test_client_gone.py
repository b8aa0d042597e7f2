"""The client resets: the backend's leg ends at once, and the line tells how far things had come."""

import threading
import signal
import time

from origin import response
import peer as peers
import wire


def ended_soon(conn, within_s=2.0):
    assert conn.done.wait(within_s), "the backend's connection outlived the client"


def test_while_the_backend_thinks(origin, proxy, peer):
    def script(conn):
        conn.next_request()
        _, how = conn.read_to_end()
        assert how in ("eof", "reset")

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    client.send(peers.request("/think"))
    conn = backend.wait_conns(1)
    backend.wait_requests(1)
    client.reset()
    ended_soon(conn)
    line = front.lines(1)[0]
    assert (line["end"], line["status"]) == ("client-reset", None)
    assert line["client"]["request"] == [0, client.sent] and line["client"]["response"] is None
    assert line["backend"]["request"] == [0, conn.taken] and line["backend"]["response"] is None
    assert line["at_us"]["backend_request_end"] is not None
    assert line["at_us"]["backend_response_start"] is None


def test_together_with_its_request(origin, proxy, peer):
    """The request and the RST come in one turn of the loop, and the backend thinks on and on."""
    def script(conn):
        conn.next_request()
        conn.reply(response())
        conn.next_request()
        conn.read_to_end()

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    first = client.get()
    front.freeze()
    client.send(peers.request("/think"))
    client.reset()
    front.thaw()
    ended_soon(backend.wait_conns(1))
    line = front.lines(2)[1]
    assert (line["end"], line["status"]) == ("client-reset", None)
    assert line["client"]["request"] == [first.request_range[1], client.sent]
    assert line["client"]["response"] is None


def test_while_it_uploads(origin, proxy, peer):
    def script(conn):
        conn.read_head()
        conn.read_exactly(1000)
        conn.origin.half.set()
        conn.read_to_end()

    backend = origin(script)
    backend.half = threading.Event()
    front = proxy(backend)
    client = peer(front)
    head = peers.request("/", ["Content-Length: 5000"], method="POST")
    client.send(head + b"x" * 1000)
    assert backend.half.wait(5)
    client.reset()
    ended_soon(backend.wait_conns(1))
    line = front.lines(1)[0]
    assert (line["end"], line["status"]) == ("client-reset", None)
    assert line["client"]["request"] == [0, len(head) + 1000]
    assert line["bytes"]["request_body"] == 1000


def test_while_it_downloads(origin, proxy, peer):
    def script(conn):
        conn.next_request()
        try:
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            for _ in range(1000):
                conn.send(b"x" * 1_000_000)
        except (OSError, wire.Truncated):
            return
        raise AssertionError("a gigabyte was taken for a client that had gone")

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    client.send(peers.request())
    client.read_head()
    client.read_exactly(10_000)
    client.reset()
    ended_soon(backend.wait_conns(1), 5)
    line = front.lines(1)[0]
    assert (line["end"], line["status"]) == ("client-reset", 200)
    assert line["at_us"]["response_end"] is None
    assert line["client"]["response"][1] >= 10_000
    assert 10_000 <= line["bytes"]["response_body"] < 1_000_000_000


def test_within_the_head(origin, proxy, peer):
    front = proxy(origin())
    client = peer(front)
    client.send(b"GET / HTTP/1.1\r\nHost")
    time.sleep(0.1)
    client.reset()
    line = front.lines(1)[0]
    assert (line["end"], line["status"], line["backend"]) == ("client-reset", None, None)
    assert line["client"]["request"] == [0, client.sent]


def test_between_exchanges_leaves_no_line(origin, proxy, peer):
    front = proxy(origin())
    client = peer(front)
    client.get()
    client.reset()
    peer(front).get()
    time.sleep(0.1)
    front.lines(2)


def test_closing_without_reading_the_response(origin, proxy, peer):
    """close() with unread bytes is an RST too."""
    def script(conn):
        while conn.next_request():
            conn.reply(response(b"x" * 3_000_000))

    backend = origin(script)
    backend.forgive = True
    front = proxy(backend)
    client = peer(front)
    client.send(peers.request())
    client.read_head()
    client.close()
    line = front.lines(1)[0]
    assert line["status"] == 200 and line["end"] in ("client-reset", "done")


def test_just_before_the_response(origin, proxy, peer):
    """Not a byte of the response left: no status was told."""
    def script(conn):
        conn.next_request()
        conn.origin.front.signal(signal.SIGSTOP)
        time.sleep(0.1)
        conn.reply(response(b"too late"))
        conn.origin.client.reset()
        conn.origin.front.signal(signal.SIGCONT)
        conn.read_to_end()

    backend = origin(script)
    backend.forgive = True
    backend.front = front = proxy(backend)
    backend.client = client = peer(front)
    client.send(peers.request())
    line = front.lines(1)[0]
    assert (line["end"], line["status"]) == ("client-reset", None)
    assert line["client"]["response"] is None and line["at_us"]["response_end"] is None
