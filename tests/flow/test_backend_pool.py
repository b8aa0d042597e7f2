"""Backend connections between exchanges: taken late, watched while idle, bounded in number."""

import time

import pytest

import check
from origin import answer, response
import peer as peers


def leave_idle(how):
    def script(conn):
        conn.next_request()
        conn.reply(response(b"first"))
        time.sleep(0.05)
        if how == "reset":
            conn.reset()

    return script


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_idle_connection_that_ended_is_noticed(origin, proxy, peer, how, method):
    backend = origin([leave_idle(how), answer(response(b"second"))])
    front = proxy(backend)
    client = peer(front)
    client.get("/1")
    assert backend.conns[0].done.wait(5)
    time.sleep(0.1)
    body = b"x" if method == "POST" else None
    got = client.exchange(peers.request("/2", body=body, method=method), method)
    line = front.lines(2)[1]
    check.exchange(line, client, got, backend.requests[1])
    assert (line["backend"]["attempts"], line["backend"]["reused"]) == (1, False)


def test_bytes_on_an_idle_connection_end_it(origin, proxy, peer):
    def script(conn):
        conn.next_request()
        conn.reply(response(b"first"))
        time.sleep(0.05)
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
        conn.read_to_end()

    backend = origin([script, answer(response(b"second"))])
    front = proxy(backend)
    client = peer(front)
    client.get("/1")
    time.sleep(0.2)
    assert client.get("/2").body == b"second"
    assert front.lines(2)[1]["backend"]["nth"] == 1
    assert backend.conns[0].done.wait(5)


def test_an_idle_connection_of_the_backend_is_closed_with_it(origin, proxy, peer):
    """FIN of the backend while idle: the proxy closes its side too."""
    def script(conn):
        conn.next_request()
        conn.reply(response(b"first"))
        conn.half_close()
        assert conn.read_to_end() == (b"", "eof")

    backend = origin(script)
    front = proxy(backend)
    peer(front).get()
    assert backend.conns[0].done.wait(5)
    front.lines(1)


def test_taken_when_the_head_is_complete_not_before(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
    time.sleep(0.2)
    assert not backend.conns
    client.send(b"\r\n")
    assert client.read_response().status == 200
    line = front.lines(1)[0]
    assert line["at_us"]["request_end"] >= 150_000
    assert line["at_us"]["backend_ready"] >= line["at_us"]["request_end"]


def hold(count):
    """Answers once all connections have a request, so that none is reused meanwhile."""
    def script(conn):
        while conn.next_request():
            conn.origin.wait(lambda: len(conn.origin.requests) >= count, "the others")
            conn.reply(response(b"ok"))

    return script


def test_size(origin, proxy, peer):
    backend = origin(hold(4))
    front = proxy(backend, pool_size=2)
    clients = [peer(front) for _ in range(4)]
    for client in clients:
        client.send(peers.request())
    for client in clients:
        assert client.read_response().status == 200
    assert len(backend.conns) == 4
    time.sleep(0.2)
    assert sum(conn.done.is_set() for conn in backend.conns) == 2
    front.lines(4)


def test_size_zero(origin, proxy, peer):
    backend = origin()
    front = proxy(backend, pool_size=0)
    client = peer(front)
    for _ in range(3):
        assert client.post(b"x").status == 200
    assert [line["backend"]["reused"] for line in front.lines(3)] == [False] * 3
    assert len(backend.conns) == 3


def test_a_response_ended_by_close_is_not_pooled(origin, proxy, peer):
    def script(conn):
        conn.next_request()
        conn.reply(response(b"tail", framing="close"))

    backend = origin(script)
    front = proxy(backend)
    for _ in range(2):
        client = peer(front)
        assert client.get().body == b"tail"
    assert [line["backend"]["nth"] for line in front.lines(2)] == [1, 1]


def test_http10_backends_are_not_pooled_unless_they_say_so(origin, proxy, peer):
    old = b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold"
    kept = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nold"
    backend = origin([answer(old), answer(kept)])
    front = proxy(backend)
    client = peer(front)
    for _ in range(3):
        assert client.get().body == b"old"
    assert [line["backend"]["reused"] for line in front.lines(3)] == [False, False, True]
