"""What is no valid response becomes a 502, and nothing of it reaches the client."""

import pytest

import check
import wire

LENGTH = b"Content-Length: 2\r\n\r\nok"
OK = b"HTTP/1.1 200 OK\r\n"

CASES = {
    "garbage": b"hello, I am no web server\r\n\r\n",
    "HTTP/0.9": b"<html>\r\n\r\n</html>",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\n" + LENGTH,
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\n" + LENGTH,
    "RTSP": b"RTSP/1.0 200 OK\r\n" + LENGTH,
    "status of two digits": b"HTTP/1.1 20 OK\r\n" + LENGTH,
    "status of four digits": b"HTTP/1.1 2000 OK\r\n" + LENGTH,
    "status 99": b"HTTP/1.1 099 Low\r\n" + LENGTH,
    "status 600": b"HTTP/1.1 600 High\r\n" + LENGTH,
    "status in letters": b"HTTP/1.1 abc OK\r\n" + LENGTH,
    "no status": b"HTTP/1.1 \r\n" + LENGTH,
    "NUL in the reason": b"HTTP/1.1 200 O\0K\r\n" + LENGTH,
    "bare LF in the status line": b"HTTP/1.1 200 OK\n" + LENGTH,
    "bare LF behind a field": OK + b"X: y\n" + LENGTH,
    "bare LF ends the head": OK + b"Content-Length: 2\r\n\nok",
    "bare CR in a value": OK + b"X: y\rz\r\n" + LENGTH,
    "empty line before": b"\r\n" + OK + LENGTH,
    "space before the colon": OK + b"X : y\r\n" + LENGTH,
    "space before the first field": OK + b" X: y\r\n" + LENGTH,
    "folded field": OK + b"X: y\r\n z\r\n" + LENGTH,
    "empty field name": OK + b": y\r\n" + LENGTH,
    "NUL in a value": OK + b"X: a\0b\r\n" + LENGTH,
    "two lengths": OK + b"Content-Length: 3\r\n" + LENGTH,
    "negative length": OK + b"Content-Length: -2\r\n\r\nok",
    "length and chunked": OK + b"Transfer-Encoding: chunked\r\n" + LENGTH,
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown coding": OK + b"Transfer-Encoding: gzip\r\n\r\nxx",
    "coding before chunked": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "empty coding": OK + b"Transfer-Encoding:\r\n\r\n",
}


@pytest.mark.parametrize("name", CASES)
def test_becomes_a_502(origin, proxy, peer, name):
    raw = CASES[name]

    def script(conn):
        conn.next_request()
        conn.reply(raw)
        conn.read_to_end()

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    got = client.get("/x")
    line = front.lines(1)[0]
    assert (got.status, line["status"], line["end"]) == (502, 502, "bad-response")
    assert b"hello" not in got.body and got.get("Content-Type").startswith("text/plain")
    conn = backend.conns[0]
    assert line["backend"]["request"] == conn.requests[0].range
    first, past = line["backend"]["response"]
    assert first == 0 and 0 < past <= len(raw)
    check.client_leg(line["client"], client, got)
    assert line["at_us"]["backend_response_end"] is None
    assert conn.done.wait(5), "its connection was left open"
    assert len(backend.conns) == 1, "a malformed answer is no reason to ask again"


def test_bytes_behind_a_response_spoil_the_connection(origin, proxy, peer):
    """They answer nothing, so whatever follows on that connection cannot be trusted."""
    def script(conn):
        conn.next_request()
        conn.send(OK + LENGTH + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
        conn.read_to_end()

    def good(conn):
        conn.next_request()
        conn.reply(OK + LENGTH)
        conn.next_request()

    backend = origin([script, good])
    front = proxy(backend)
    client = peer(front)
    assert client.get("/1").body == b"ok"
    assert client.get("/2").body == b"ok"
    lines = front.lines(2)
    assert lines[0]["backend"]["response"] == [0, len(OK + LENGTH)]
    assert lines[1]["backend"]["conn"] != lines[0]["backend"]["conn"]
    assert [line["end"] for line in lines] == ["done", "done"]


def test_a_response_before_any_request_is_not_used(origin, proxy, peer):
    def eager(conn):
        conn.send(OK + b"X-Eager: yes\r\n" + LENGTH)
        conn.read_to_end()

    backend = origin(eager)
    front = proxy(backend)
    client = peer(front)
    try:
        got = client.get()
    except wire.Closed:
        got = None
    # it may be taken for the answer when it comes behind the request, never for a second one
    assert got is None or got.status in (200, 502)
    front.lines(1)
