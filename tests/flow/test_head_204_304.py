"""Responses that have no body whatever their fields say."""

import pytest

import check
from origin import answer, dead_port, response

CASES = {
    "HEAD with length": ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"),
    "HEAD chunked": ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "HEAD without framing": ("HEAD", b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n"),
    "204": ("POST", b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n"),
    "304 with length": ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5000\r\n\r\n"),
    "304 chunked": ("GET", b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"),
}


@pytest.mark.parametrize("name", CASES)
def test_no_body(origin, proxy, peer, name):
    method, raw = CASES[name]
    backend = origin(answer(raw, response(b"next")))
    front = proxy(backend)
    client = peer(front)
    body = ["Content-Length: 0"] if method == "POST" else []
    first = client.get("/1", body, method=method)
    second = client.get("/2")
    assert (first.body_bytes, second.body) == (0, b"next")
    if "length" in name:
        assert first.get("Content-Length") == "5000"
    lines = front.lines(2)
    check.exchange(lines[0], client, first, backend.requests[0])
    check.exchange(lines[1], client, second, backend.requests[1])
    assert lines[0]["bytes"]["response_body"] == 0
    assert len(backend.conns) == 1


def test_content_length_of_a_204_is_dropped(origin, proxy, peer):
    backend = origin(answer(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"))
    front = proxy(backend)
    client = peer(front)
    got = client.get()
    assert got.status == 204 and got.get("Content-Length") is None
    check.exchange(front.lines(1)[0], client, got, backend.requests[0])


def test_head_of_an_own_answer_has_no_body(proxy, peer):
    front = proxy(f"http://127.0.0.1:{dead_port()}")
    client = peer(front)
    got = client.get(method="HEAD")
    assert got.status == 502 and int(got.get("Content-Length")) > 0
    if got.get("Connection") is None:
        client.expect_silence(0.1)
    else:
        client.expect_eof()
    line = front.lines(1)[0]
    assert line["client"]["response"] == got.range and line["bytes"]["response_body"] == 0
