"""Every size limit, on both of its sides."""

import contextlib

import pytest

import check
from origin import answer, response
import peer as peers
import wire


def head_of(size):
    """A request head of exactly that many bytes."""
    bare = len(peers.request("/", ["X-Fill: "]))
    raw = peers.request("/", ["X-Fill: " + "x" * (size - bare)])
    assert len(raw) == size
    return raw


def test_request_head(origin, proxy, peer):
    backend = origin()
    front = proxy(backend, max_header_bytes=2048)
    client = peer(front)
    fits = client.exchange(head_of(2048))
    assert fits.status == 200
    client = peer(front)
    client.send(head_of(2049))
    got = client.read_response()
    client.expect_eof()
    line = front.lines(2)[1]
    check.refused(line, client, got, "head-too-large", 431)
    assert line["client"]["request"][0] == 0
    assert len(backend.requests) == 1


def test_request_head_that_never_ends(origin, proxy, peer):
    front = proxy(origin(), max_header_bytes=2048)
    client = peer(front)
    client.send(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 2000)
    got = client.read_response()
    client.expect_eof()
    check.refused(front.lines(1)[0], client, got, "head-too-large", 431)


def test_start_line(origin, proxy, peer):
    front = proxy(origin(), max_header_bytes=2048)
    client = peer(front)
    client.send(b"GET /" + b"x" * 4000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    got = client.read_response()
    client.expect_eof()
    check.refused(front.lines(1)[0], client, got, "target-too-long", 414)


def test_number_of_fields(origin, proxy, peer):
    backend = origin()
    front = proxy(backend, max_headers=20)
    client = peer(front)
    assert client.get(fields=["X: y"] * 19).status == 200  # and Host
    raw = peers.request(fields=["X: y"] * 20)
    first = client.sent
    got = client.exchange(raw)
    client.expect_eof()
    check.refused(front.lines(2)[1], client, got, "head-too-large", 431)
    assert front.lines(2)[1]["client"]["request"][0] == first
    assert len(backend.requests) == 1


def test_the_default_takes_64_kib(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    got = client.exchange(head_of(65536))
    assert got.status == 200
    check.exchange(front.lines(1)[0], client, got, backend.requests[0])
    client = peer(front)
    client.send(head_of(65537))
    assert client.read_response().status == 431
    front.lines(2)


def test_body_with_a_length(origin, proxy, peer):
    backend = origin()
    front = proxy(backend, max_body_bytes=1000)
    client = peer(front)
    assert client.post(b"x" * 1000).status == 200
    client.send(peers.request("/", ["Content-Length: 1001"], method="POST"))
    got = client.read_response("POST")
    client.expect_eof()
    line = front.lines(2)[1]
    check.refused(line, client, got, "body-too-large", 413)
    assert len(backend.requests) == 1 and len(backend.conns) == 1


def test_body_in_chunks(origin, proxy, peer):
    backend = origin()
    backend.forgive = True
    front = proxy(backend, max_body_bytes=1000)
    client = peer(front)
    post = peers.request("/", ["Transfer-Encoding: chunked"], method="POST")
    assert client.exchange(post + wire.chunked(b"x" * 600, b"y" * 400), "POST").status == 200
    client.send(post + b"258\r\n" + b"x" * 600 + b"\r\n191\r\n" + b"y" * 401 + b"\r\n")
    got = client.read_response("POST")
    client.expect_eof()
    line = front.lines(2)[1]
    assert (got.status, line["status"], line["end"]) == (413, 413, "body-too-large")
    assert line["client"]["response"] == got.range
    assert len(backend.requests) == 1


def test_response_head(origin, proxy, peer):
    fixed = len(b"HTTP/1.1 200 OK\r\nX: \r\nContent-Length: 2\r\n\r\n")

    def fill(size):
        raw = response(b"ok", fields=["X: " + "x" * (size - fixed)])
        assert len(raw) == size + 2
        return raw

    backend = origin([answer(fill(2048)), answer(fill(2049))])
    front = proxy(backend, max_header_bytes=2048, pool_size=0)
    client = peer(front)
    assert client.get().status == 200
    got = client.get()
    line = front.lines(2)[1]
    assert (got.status, line["status"], line["end"]) == (502, 502, "response-head-too-large")
    check.client_leg(line["client"], client, got)


def test_number_of_response_fields(origin, proxy, peer):
    front = proxy(origin(answer(response(fields=["X: y"] * 40))), max_headers=20)
    assert peer(front).get().status == 502
    assert front.lines(1)[0]["end"] == "response-head-too-large"


@pytest.mark.parametrize("who", ["request", "response"])
def test_trailers_are_bounded(origin, proxy, peer, who):
    endless = wire.chunked(b"x", last=b"0\r\n" + b"X-Trailer: " + b"y" * 200_000)

    def script(conn):
        conn.read_head()
        with contextlib.suppress(OSError):  # a proxy that wants no more of it
            if who == "response":
                conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + endless)
            conn.read_to_end()

    front = proxy(origin(script))
    client = peer(front)
    if who == "request":
        client.send(peers.request("/", ["Transfer-Encoding: chunked"], method="POST") + endless)
        assert client.read_response("POST").status in (400, 431)
        assert front.lines(1)[0]["end"] in ("bad-request", "head-too-large")
    else:
        client.send(peers.request())
        client.read_to_end()
        assert front.lines(1)[0]["end"] in ("bad-response", "response-head-too-large")
