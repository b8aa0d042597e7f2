"""Backends of HTTP/1.0: asked in HTTP/1.1, answered for in HTTP/1.1, kept only when they say so."""

import pytest

import check
from origin import answer, response
import wire

TEN = b"HTTP/1.0 200 OK\r\n"


@pytest.mark.parametrize("fields,conns", [
    (b"", 2), (b"Connection: keep-alive\r\n", 1), (b"Connection: Keep-Alive, x\r\n", 1),
    (b"Connection: keep-alive, close\r\n", 2), (b"Keep-Alive: timeout=5\r\n", 2),
    (b"Proxy-Connection: keep-alive\r\n", 2),
])
def test_reuse(origin, proxy, peer, fields, conns):
    backend = origin(answer(TEN + fields + b"Content-Length: 2\r\n\r\nok"))
    front = proxy(backend)
    client = peer(front)
    answers = [client.get(), client.get()]
    assert len(backend.conns) == conns
    for line, got, request in zip(front.lines(2), answers, backend.requests):
        assert got.version == "HTTP/1.1" and got.body == b"ok" and got.get("Connection") is None
        assert request.version == "HTTP/1.1" and request.get("Connection") is None
        check.exchange(line, client, got, request)


def test_a_body_without_a_length_ends_both_connections(origin, proxy, peer):
    """Keep-alive cannot be meant where only the close tells the end."""
    def script(conn):
        conn.next_request()
        conn.reply(TEN + b"Connection: keep-alive\r\n\r\nbody")

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    got = client.get()
    assert (got.framing, got.body, got.get("Connection")) == ("close", b"body", "close")
    client.expect_eof()
    check.exchange(front.lines(1)[0], client, got, backend.requests[0])


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_204_and_head_need_no_length(origin, proxy, peer, version):
    backend = origin(answer(b"HTTP/1.0 204 N\r\nConnection: keep-alive\r\n\r\n",
                            TEN + b"Connection: keep-alive\r\n\r\n", response(b"next")))
    front = proxy(backend)
    client = peer(front)
    keep = ["Connection: keep-alive"]
    answers = [client.get("/1", keep, version=version),
               client.get("/2", keep, method="HEAD", version=version),
               client.get("/3", keep, version=version)]
    assert [got.body for got in answers] == [b"", b"", b"next"] and len(backend.conns) == 1
    for line, got, request in zip(front.lines(3), answers, backend.requests):
        assert (got.get("Connection") == "keep-alive") == (version == "HTTP/1.0")
        check.exchange(line, client, got, request)


def test_both_sides_of_http10(origin, proxy, peer):
    backend = origin(answer(TEN + b"Content-Length: 2\r\n\r\nok"))
    front = proxy(backend)
    client = peer(front)
    for _ in range(2):
        got = client.get(fields=["Connection: keep-alive"], version="HTTP/1.0")
        assert got.get("Connection") == "keep-alive"
    got = client.get(version="HTTP/1.0")
    assert got.get("Connection") == "close"
    client.expect_eof()
    assert len(backend.conns) == 3
    with pytest.raises(wire.Closed):
        client.read_response()
    front.lines(3)


def test_an_interim_response_of_http10_is_one(origin, proxy, peer):
    """It should not send any; what it has sent is still no final one."""
    def script(conn):
        conn.next_request()
        conn.reply_interim(b"HTTP/1.0 100 Continue\r\n\r\n")
        conn.reply(TEN + b"Content-Length: 2\r\n\r\nok")

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    got = client.get()
    assert [m.start_line for m in got.interim] == [b"HTTP/1.1 100 Continue"]
    check.exchange(front.lines(1)[0], client, got, backend.requests[0])
