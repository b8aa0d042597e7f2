"""A backend whose response has no end, wherever that is: the proxy gives up within its limits, the
client sees a 502 or an abort, and others are served meanwhile."""

import contextlib
import itertools
import time

import pytest

import check
from origin import response
import peer as peers
import stack
import wire

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
READ_MAX = 1 << 20  # bytes of it that the proxy may have read before it gave up
MANY = 64 << 20  # an endless one that gets through so far is not refused

HEADS = {  # name: first bytes, bytes again and again, the end word
    "a status line": (b"HTTP/1.1 200 ", b"O" * 1000, "response-head-too-large"),
    "a field's name": (OK, b"x" * 1000, "response-head-too-large"),
    "a field's value": (OK + b"X: ", b"x" * 1000, "response-head-too-large"),
    "fields": (OK, b"X-Field: value\r\n" * 50, "response-head-too-large"),
    "one byte at a time": (OK + b"X: ", b"x", "response-head-too-large"),
    "large interim responses": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: <%s>\r\n\r\n" % (b"x" * 5000),
                                "too-many-interim"),
    "small interim responses": (b"", b"HTTP/1.1 102 Processing\r\n\r\n", "too-many-interim"),
    "one interim response": (b"HTTP/1.1 100 ", b"C" * 1000, "response-head-too-large"),
    "empty lines": (b"", b"\r\n" * 500, "bad-response"),
    "no HTTP": (b"", bytes(range(256)), "bad-response"),
    "zeros": (b"", b"\0" * 1000, "bad-response"),
}
BODIES = {  # in the midst of the body, once the client has the first chunk
    "a chunk's size": b"0" * 1000,
    "a chunk's extension": (b"5;ext=", b"x" * 1000),
    "extensions of a chunk": (b"5", b";name=value" * 100),
    "a quoted extension": (b"5;ext=\"", b"x y" * 400),
    "a trailer's value": (b"0\r\nX: ", b"x" * 1000),
    "trailers": (b"0\r\n", b"X-Field: value\r\n" * 50),
}


def pour(conn, first, again):
    """Until the proxy has closed. How much was sent."""
    begun = conn.sent
    with contextlib.suppress(OSError):
        conn.send(first)
        while conn.sent - begun < MANY:
            conn.send(again)
        raise AssertionError(f"{MANY} bytes of it were taken")


def honest(conn):
    while conn.next_request():
        conn.reply(response(b"honest"))


def rest(front, backend, files):
    """Nothing is left of it."""
    for conn in backend.conns:
        with contextlib.suppress(OSError):
            conn.sock.shutdown(2)
    until = time.monotonic() + 10
    while front.open_files() > files:
        assert time.monotonic() < until, "descriptors are lost"
        time.sleep(0.01)


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("name", HEADS)
def test_head(origin, proxy, peer, name, version):
    first, again, end = HEADS[name]

    def script(conn):
        conn.next_request()
        pour(conn, first, again)

    backend = origin([script, honest])
    front = proxy(backend)
    files = front.open_files()
    client = peer(front)
    got = client.get(version=version)
    assert got.status == 502 and got.get("Content-Length") == str(len(got.body))
    if version == "HTTP/1.1":
        assert client.get("/next").body == b"honest"
    line = front.lines(1 + (version == "HTTP/1.1"))[0]
    assert (line["status"], line["end"], line["backend"]["attempts"]) == (502, end, 1)
    assert line["id"].encode() in got.body
    assert line["client"]["response"] == got.range
    assert line["client"]["interim"] == got.interim_range
    assert len(got.interim) <= 64
    assert (line["backend"]["response"] or line["backend"]["interim"])[1] <= READ_MAX
    client.close()
    rest(front, backend, files)


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("name", BODIES)
def test_within_the_body(origin, proxy, peer, name, version):
    parts = BODIES[name]
    first, again = parts if isinstance(parts, tuple) else (b"", parts)
    go = []

    def script(conn):
        conn.next_request()
        conn.send(CHUNKED + b"4\r\ngood\r\n")
        conn.origin.wait(lambda: go, "the first chunk at the client")
        pour(conn, first, again)

    backend = origin([script, honest])
    front = proxy(backend)
    files = front.open_files()
    client = peer(front)
    client.send(peers.request(version=version))
    head = client.read_head()
    whole = b"4\r\ngood\r\n" if version == "HTTP/1.1" else b"good"
    assert client.read_exactly(len(whole)) == whole
    go.append(True)
    with backend.changed:
        backend.changed.notify_all()
    more, how = client.read_to_end()
    assert b"\r\n0\r\n" not in b"\r\n" + more, "no last chunk"
    assert version == "HTTP/1.1" or (more, how) == (b"", "reset")
    line = front.lines(1)[0]
    assert (head.status, line["status"], line["end"]) == (200, 200, "bad-response")
    assert line["client"]["response"] == [0, client.received]
    assert line["at_us"]["response_end"] is None
    assert line["backend"]["response"][1] <= READ_MAX
    assert peer(front).get().body == b"honest"
    rest(front, backend, files + 1)  # the second client


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("how", ["leaves", "resets", "the limit"])
def test_body(origin, proxy, peer, framing, how):
    """It may be endless: until the client has had enough, or request_timeout_ms strikes."""
    begin = {"length": OK + b"Content-Length: 9000000000000000000\r\n\r\n", "chunked": CHUNKED,
             "close": OK + b"\r\n"}[framing]
    piece = b"x" * 20_000 if framing != "chunked" else wire.chunked(b"x" * 20_000, last=b"")
    done = []

    def script(conn):
        conn.next_request()
        with contextlib.suppress(OSError):
            conn.send(begin)
            for _ in itertools.count():
                conn.send(piece)
        done.append(conn.sent)

    backend = origin([script, honest])
    front = proxy(backend, request_timeout_ms=700 if how == "the limit" else 0)
    files = front.open_files()
    before = front.rss_bytes()
    client = peer(front)
    client.send(peers.request())
    client.skip(1_000_000)
    if how == "the limit":
        ended = client.skip_to_end()
        assert ended == "reset" or framing != "close"
        assert not bytes(client.received_bytes).endswith(b"0\r\n\r\n")
    elif how == "leaves":
        client.close()
    else:
        client.reset()
    line = front.lines(1)[0]
    assert line["end"] == ("request-timeout" if how == "the limit" else "client-reset")
    assert line["status"] == 200 and line["at_us"]["response_end"] is None
    check.between(line["bytes"]["response_body"], 900_000, 1 << 40)
    assert backend.conns[0].done.wait(10) and done
    if not stack.SLOW:
        assert front.rss_bytes() - before < 4 << 20
    client.close()
    assert peer(front).get().body == b"honest"
    rest(front, backend, files + 1)
