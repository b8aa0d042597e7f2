"""Time limits that meet a connection in a state that is easily forgotten."""

import time

import pytest

import check
import peer as peers
import stack

LATE_S = 5.0 if stack.SLOW else 1.5


@pytest.mark.parametrize("goes_on", [False, True])
def test_request_timeout_within_the_head(origin, proxy, peer, goes_on):
    """The answer has left: what the client adds to its head is no request any more."""
    backend = origin()
    front = proxy(backend, request_timeout_ms=300)
    client = peer(front)
    client.send(b"POST /slow HTTP/1.1\r\nHost: a\r\n")
    sent = client.sent
    got = client.read_response("POST")
    answered = time.monotonic()
    assert got.status == 504
    if goes_on:
        client.send(b"Content-Length: 2\r\n\r\nab")
    client.expect_eof()
    check.between(time.monotonic() - answered, 0, LATE_S, "seconds")
    check.refused(front.lines(1)[0], client, got, "request-timeout", 504, [0, sent])
    assert peer(front).get().status == 200
    assert [r.target for r in backend.requests] == ["/"]


def test_a_backend_that_owes_a_100(origin, proxy, peer):
    """The client may wait for the 100 with its body: it is the backend that is silent."""
    def script(conn):
        conn.read_head()
        conn.read_to_end()

    front = proxy(origin(script), backend_timeout_ms=400, body_timeout_ms=20000)
    client = peer(front)
    began = time.monotonic()
    client.send(peers.request("/", ["Expect: 100-continue", "Content-Length: 10"], method="POST"))
    got = client.read_response("POST")
    check.between(time.monotonic() - began, 0.3, 0.4 + LATE_S, "seconds")
    client.expect_eof()
    line = front.lines(1)[0]
    assert (got.status, line["status"], line["end"]) == (504, 504, "backend-timeout")
    assert line["client"]["request"] == [0, client.sent]
    check.client_leg(line["client"], client, got)


def test_a_client_that_owes_its_body_after_a_100(origin, proxy, peer):
    def script(conn):
        conn.read_head()
        conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        conn.read_to_end()

    front = proxy(origin(script), backend_timeout_ms=20000, body_timeout_ms=400)
    client = peer(front)
    client.send(peers.request("/", ["Expect: 100-continue", "Content-Length: 10"], method="POST"))
    assert client.read_head().status == 100
    got = client.read_response("POST")
    assert got.status == 408
    assert front.lines(1)[0]["end"] == "body-timeout"


def test_an_empty_line_is_no_head(origin, proxy, peer):
    """Old clients send CRLF behind a body: the connection is as idle as without."""
    front = proxy(origin(), header_timeout_ms=300, idle_timeout_ms=1500)
    client = peer(front)
    client.get()
    client.send(b"\r\n")
    time.sleep(0.7)
    assert client.get().status == 200
    client.send(b"\r\n")
    began = time.monotonic()
    client.expect_eof()
    check.between(time.monotonic() - began, 1.2, 1.5 + LATE_S, "seconds")
    front.lines(2)


def test_an_empty_line_does_not_hold_up_the_stop(origin, proxy, peer):
    front = proxy(origin())
    client = peer(front)
    client.get()
    client.send(b"\r\n")
    time.sleep(0.1)
    began = time.monotonic()
    front.stop()
    check.between(time.monotonic() - began, 0, 5 if stack.SLOW else 1, "seconds")
    client.expect_eof()
