"""The same exchange, cut into segments at every place, gives the same bytes and the same line."""

import time

import pytest

import check
from origin import echo
import peer as peers
import wire

RAW = peers.request("/cut", ["Transfer-Encoding: chunked", "X-A: 1"], method="POST") \
    + wire.chunked(b"hello ", b"world", last=b"0\r\nX-T: 1\r\n\r\n")
ANSWER = (b"HTTP/1.1 200 OK\r\nX-B: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
          + wire.chunked(b"good", b"bye", last=b"0\r\nX-T: 2\r\n\r\n"))


def test_request_cut_in_two_everywhere(origin, proxy, peer):
    backend = origin(echo)
    front = proxy(backend)
    client = peer(front)
    for at in range(1, len(RAW)):
        first = client.sent
        client.send_pieces([RAW[:at], RAW[at:]], pause_s=0.002)
        got = client.read_response("POST")
        assert got.body == b"hello world", at
        got.request_range = [first, client.sent]
        if at % 40 == 0:
            check.exchange(front.lines(at)[-1], client, got, backend.requests[-1])
    lines = front.lines(len(RAW) - 1)
    assert len(backend.conns) == 1
    for at, line in enumerate(lines):
        assert line["client"]["request"] == [at * len(RAW), (at + 1) * len(RAW)]
        assert line["bytes"] == {"request_body": 11, "response_body": 11}
        assert line["end"] == "done"


def test_response_cut_in_two_everywhere(origin, proxy, peer):
    def script(conn):
        at = 0
        while conn.next_request():
            at += 1
            conn.reply(ANSWER[:at])
            time.sleep(0.002)
            conn.reply(ANSWER[at:])

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    for at in range(1, len(ANSWER)):
        got = client.get()
        assert got.body == b"goodbye" and got.trailers == [(b"X-T", b"2")], at
    lines = front.lines(len(ANSWER) - 1)
    assert len(backend.conns) == 1
    for line, request in zip(lines, backend.requests):
        check.backend_leg(line["backend"], request)
        assert line["bytes"]["response_body"] == 7


def test_byte_by_byte_both_ways(origin, proxy, peer):
    def script(conn):
        conn.next_request()
        for at in range(len(ANSWER)):
            conn.reply(ANSWER[at:at + 1])
            time.sleep(0.001)
        conn.next_request()

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    client.send_pieces([RAW[at:at + 1] for at in range(len(RAW))], pause_s=0.001)
    got = client.read_response("POST")
    got.request_range = [0, len(RAW)]
    assert got.body == b"goodbye"
    check.exchange(front.lines(1)[0], client, got, backend.requests[0])


BODY = b"body\r\n0\r\n\r\n"  # that looks like chunks
FRAMED = {
    "none": (b"", b""),
    "length": (b"Content-Length: 0011\r\n", BODY),
    "chunked": (b"Transfer-Encoding: Chunked\r\n",
                b"0b ;a; b=c\t; d=\"e;\\\" f\"\r\n" + BODY
                + b"\r\n00;last\r\nX-T: 1\r\nHost: no\r\n\r\n"),
    "close": (b"", BODY),
}


@pytest.mark.parametrize("back", FRAMED)
@pytest.mark.parametrize("there,version", [("none", "1.1"), ("length", "1.1"), ("chunked", "1.1"),
                                           ("none", "1.0"), ("length", "1.0")])
def test_every_framing_byte_by_byte(origin, proxy, peer, there, back, version):
    """All of them both ways, to clients of both versions, each byte in a segment of its own."""
    status = b"204 No Content" if back == "none" else b"200 OK"
    answer = b"HTTP/1.1 " + status + b"\r\n" + FRAMED[back][0] + b"\r\n" + FRAMED[back][1]

    def script(conn):
        request = conn.next_request()
        assert request.framing == there and request.body == (BODY if FRAMED[there][1] else b"")
        assert request.get("Content-Length") in (None, "11")
        for at in range(len(answer)):
            conn.reply(answer[at:at + 1])
        if back != "close":
            conn.next_request()

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    raw = b"POST / HTTP/" + version.encode() + b"\r\nHost: a\r\n" + b"\r\n".join(FRAMED[there])
    for at in range(len(raw)):
        client.send(raw[at:at + 1])
    got = client.read_response("POST")
    got.request_range = [0, len(raw)]
    assert got.body == (b"" if back == "none" else BODY)
    assert got.framing == {"chunked": "close" if version == "1.0" else "chunked"}.get(back, back)
    assert got.trailers == ([(b"X-T", b"1")] if (back, version) == ("chunked", "1.1") else [])
    assert backend.requests[0].trailers == ([(b"X-T", b"1")] if there == "chunked" else [])
    if version == "1.0" or back == "close":
        client.expect_eof()
    else:
        client.expect_silence(0.01)
    check.exchange(front.lines(1)[0], client, got, backend.requests[0])
