"""A response that ends too soon is an abort for the client, never a complete response."""

import threading
import time

import pytest

import check
from origin import response
import peer as peers
import wire

HEADS = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 100,
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" + b"x" * 100
               + b"\r\n",
    "within a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc8\r\n" + b"x" * 100,
    "before the last line": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n"
                            + b"x" * 100 + b"\r\n0\r\n",
}


@pytest.mark.parametrize("how", ["eof", "reset"])
@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_within_the_body(origin, proxy, peer, name, how, version):
    seen = threading.Event()

    def script(conn):
        conn.next_request()
        conn.reply(HEADS[name])
        seen.wait(5)
        if how == "reset":
            conn.reset()

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    client.send(peers.request(version=version))
    head = client.read_head()
    assert head.status == 200
    seen.set()
    if head.get("Content-Length"):
        with pytest.raises(wire.Truncated):
            client.read_exactly(1000)
    elif head.get("Transfer-Encoding"):
        rest, _ = client.read_to_end()
        assert b"\r\n0\r\n\r\n" not in rest
    else:
        _, ended = client.read_to_end()
        assert ended == "reset", "a FIN says that an unframed body is whole"
    line = front.lines(1)[0]
    assert (line["end"], line["status"]) == (f"backend-{how}", 200)
    assert line["at_us"]["backend_response_start"] is not None
    assert line["at_us"]["backend_response_end"] is None
    assert line["at_us"]["response_end"] is None
    check.backend_leg(line["backend"], backend.requests[0])
    assert line["client"]["response"] == [0, client.received]
    assert line["bytes"]["response_body"] == 100
    assert len(backend.conns) == 1


@pytest.mark.parametrize("how", ["eof", "reset"])
@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\nContent-"])
def test_before_the_head_was_whole(origin, proxy, peer, how, part):
    def script(conn):
        conn.next_request()
        if part:
            conn.reply(part)
            time.sleep(0.1)
        if how == "reset":
            conn.reset()

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    got = client.post(b"body")
    line = front.lines(1)[0]
    assert (got.status, line["status"], line["end"]) == (502, 502, f"backend-{how}")
    check.client_leg(line["client"], client, got)
    assert line["backend"]["response"] == ([0, len(part)] if part else None)
    assert line["backend"]["attempts"] == 1 and len(backend.conns) == 1


def test_the_proxy_goes_on(origin, proxy, peer):
    def cut(conn):
        conn.next_request()
        conn.send(HEADS["length"])

    def good(conn):
        while conn.next_request():
            conn.reply(response(b"fine"))

    front = proxy(origin([cut, good]))
    with pytest.raises(wire.Truncated):
        peer(front).get()
    assert peer(front).get().body == b"fine"
    assert [line["end"] for line in front.lines(2)] == ["backend-eof", "done"]


def test_a_large_one_keeps_every_byte_it_had(origin, proxy, peer):
    def script(conn):
        conn.next_request()
        conn.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n")
        conn.reply(b"x" * 2_000_000)

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    with pytest.raises(wire.Truncated) as ended:
        client.get()
    got = ended.value.message
    assert len(got.body) <= 2_000_000
    line = front.lines(1)[0]
    assert line["end"] == "backend-eof"
    assert line["bytes"]["response_body"] == 2_000_000
    check.backend_leg(line["backend"], backend.requests[0])
