"""Bodies with a length and in chunks, in both directions: payload kept, framing counted.

Malformed ones are a table of their own: tests/data/malformed_bodies.py.
"""

import hashlib

import pytest

import check
from origin import response
import peer as peers
import wire

SIZES = [0, 1, 4096, 65536, 300_000]


def payload(size):
    """Bytes that do not repeat at any convenient distance."""
    block = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(331))
    return (block * (size // len(block) + 1))[:size]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_upload(origin, proxy, peer, framing, size):
    body = payload(size)

    def script(conn):
        request = conn.next_request()
        while request:
            conn.reply(response(hashlib.sha256(request.body).hexdigest().encode()))
            request = conn.next_request()

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    if framing == "length":
        raw = peers.request("/up", body=body, method="POST")
    else:
        raw = peers.request("/up", ["Transfer-Encoding: chunked"], method="POST") \
            + wire.chunked(body[:size // 3], body[size // 3:])
    answers = [client.exchange(raw, "POST"), client.exchange(raw, "POST")]
    for n, (line, got) in enumerate(zip(front.lines(2), answers)):
        assert got.body == hashlib.sha256(body).hexdigest().encode()
        check.exchange(line, client, got, backend.requests[n])
        assert backend.requests[n].framing == framing
        assert line["bytes"]["request_body"] == size


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_download(origin, proxy, peer, framing, size):
    body = payload(size)

    def script(conn):
        while conn.next_request():
            conn.reply(response(body, framing=framing))
            if framing == "close":
                return

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    got = client.get("/down")
    assert got.body == body and got.complete
    line = front.lines(1)[0]
    check.exchange(line, client, got, backend.requests[0])
    assert line["bytes"]["response_body"] == size
    if framing == "length":
        assert (got.framing, got.get("Content-Length")) == ("length", str(size))
    if framing == "chunked":
        assert got.framing == "chunked"


CHUNKED = {
    "one byte each": wire.chunked(*[b"%d" % (n % 10) for n in range(100)]),
    "extensions": b'5;a=b\r\n01234\r\n5; c="d;\\"e" ;f\r\n56789\r\n0;last\r\n\r\n',
    "leading zeros": b"0000000005\r\n01234\r\n5\r\n56789\r\n000\r\n\r\n",
    "sixteen digits": b"000000000000000a\r\n0123456789\r\n0000000000000000\r\n\r\n",
    "upper case": b"A\r\n0123456789\r\n0\r\n\r\n",
    "both cases": b"1a\r\n01234567890123456789012345\r\n1B\r\n678901234567890123456789012\r\n"
                  b"2F\r\n34567890123456789012345678901234567890123456789\r\n0\r\n\r\n",
    "trailers": b"a\r\n0123456789\r\n0\r\nX-Sum: 45\r\n\r\n",
}


@pytest.mark.parametrize("name", CHUNKED)
@pytest.mark.parametrize("pieces", ["whole", "bytes"])
def test_odd_chunks(origin, proxy, peer, name, pieces):
    def script(conn):
        request = conn.next_request()
        conn.reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED[name])
        assert request.body == (b"0123456789" * 10)[:len(request.body)] and request.body
        conn.next_request()

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    raw = peers.request("/", ["Transfer-Encoding: chunked"], method="POST") + CHUNKED[name]
    if pieces == "whole":
        client.send(raw)
    else:
        client.send_pieces([raw[at:at + 1] for at in range(len(raw))], pause_s=0.0005)
    got = client.read_response("POST")
    got.request_range = [0, len(raw)]
    assert got.body == (b"0123456789" * 10)[:len(got.body)] and got.body_bytes in (10, 100)
    check.exchange(front.lines(1)[0], client, got, backend.requests[0])
