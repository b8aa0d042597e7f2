"""Expect: 100-continue, in the orders in which its parts can happen (RFC 9110 section 10.1.1)."""

import threading

import pytest

import check
import log
from origin import response
import peer as peers

BODY = b"0123456789"
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
BEFORE_THE_END = [m for m in log.MOMENTS if m not in ("request_end", "backend_request_end")]


def head(target="/", method="POST", framing="Content-Length: 10"):
    return peers.request(target, ["Expect: 100-continue", framing], method=method)


def read_head(conn):
    """The head of a request whose body may never come; what is answered belongs to it."""
    request = conn.read_head()
    assert request.get("Expect") == "100-continue"
    request.conn = conn
    conn.requests.append(request)
    return request


def read_body(conn):
    request = conn.requests[-1]
    request.body = conn.read_exactly(len(BODY))
    request.body_bytes, request.past = len(BODY), conn.taken
    assert request.body == BODY


@pytest.mark.parametrize("says", [True, False], ids=["100", "no 100"])
def test_the_client_does_not_wait(origin, proxy, peer, says):
    """Head and body in one packet; a 100 that comes all the same is passed on."""
    def script(conn):
        request = read_head(conn)
        if says:
            conn.reply_interim(GO_ON)
        read_body(conn)
        conn.reply(response(request.body))
        conn.read_to_end()

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    got = client.exchange(head() + BODY, "POST")
    assert got.body == BODY and [m.status for m in got.interim] == [100] * says
    check.exchange(front.lines(1)[0], client, got, backend.conns[0].requests[0])
    client.expect_silence(0.05)


def test_the_client_sends_when_it_has_waited_enough(origin, proxy, peer):
    """The backend says nothing until the body is there (RFC: the client does not wait for ever)."""
    arrived = threading.Event()

    def script(conn):
        read_head(conn)
        arrived.set()
        read_body(conn)
        conn.reply(response(b"late"))
        conn.read_to_end()

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    client.send(head())
    assert arrived.wait(10)
    client.expect_silence(0.2)
    client.send(BODY)
    got = client.read_response("POST")
    got.request_range = [0, client.sent]
    assert got.interim == [] and got.body == b"late"
    check.exchange(front.lines(1)[0], client, got, backend.conns[0].requests[0])


@pytest.mark.parametrize("framing", ["Content-Length: 10", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("close", [False, True], ids=["goes on", "close"])
@pytest.mark.parametrize("first", [b"", GO_ON], ids=["at once", "behind a 100"])
def test_a_final_answer_before_the_body(origin, proxy, peer, framing, close, first):
    """Nobody knows whether the body still comes: both connections end, and what comes is no request."""
    def script(conn):
        read_head(conn)
        if first:
            conn.reply_interim(first)
        conn.reply(response(b"no", "417 Expectation Failed", ["Connection: close"] * close))
        if not close:
            conn.read_to_end()

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    raw = head(framing=framing)
    client.send(raw)
    got = client.read_response("POST")
    assert (got.status, got.body, got.get("Connection")) == (417, b"no", "close")
    client.send(peers.request("/smuggled"))
    got.request_range = [0, len(raw)]
    client.expect_eof()
    line = front.lines(1)[0]
    conn = backend.conns[0]
    assert conn.done.wait(10) and len(backend.conns) == 1
    check.client_leg(line["client"], client, got)
    check.backend_leg(line["backend"], conn.requests[0])
    assert (line["status"], line["end"]) == (417, "done")
    log.assert_moments(line, *BEFORE_THE_END)
    assert b"smuggled" not in conn.received_bytes


@pytest.mark.parametrize("says,end,status", [
    (True, "body-timeout", 408),     # the client was told to go on: it is to blame
    (False, "backend-timeout", 504),  # it waits for a word of the backend, and so do we
], ids=["100", "no 100"])
def test_the_body_never_comes(origin, proxy, peer, says, end, status):
    def script(conn):
        read_head(conn)
        if says:
            conn.reply_interim(GO_ON)
        conn.read_to_end()

    backend = origin(script)
    front = proxy(backend, body_timeout_ms=300, backend_timeout_ms=300)
    client = peer(front)
    client.send(head())
    got = client.read_response("POST")
    assert (got.status, got.get("Connection")) == (status, "close")
    assert [m.status for m in got.interim] == [100] * says
    client.expect_eof()
    line = front.lines(1)[0]
    assert (line["status"], line["end"]) == (status, end)
    assert line["client"]["request"] == [0, len(head())]
    check.backend_leg(line["backend"], backend.conns[0].requests[0])
    assert backend.conns[0].done.wait(10)


@pytest.mark.parametrize("method,retried", [("PUT", True), ("POST", False)])
def test_a_stale_connection_before_the_100(origin, proxy, peer, method, retried):
    """The head is all that was sent, and is sent again where the method allows it."""
    def stale(conn):
        conn.next_request()
        conn.reply(response())
        read_head(conn)

    def fresh(conn):
        read_head(conn)
        conn.reply_interim(GO_ON)
        read_body(conn)
        conn.reply(response(b"thanks"))
        conn.read_to_end()

    backend = origin([stale, fresh])
    front = proxy(backend)
    client = peer(front)
    client.get("/warm")
    first = client.sent
    client.send(head(method=method))
    if not retried:
        got = client.read_response(method)
        assert (got.status, got.interim) == (502, [])
        client.expect_eof()
        line = front.lines(2)[1]
        assert (line["end"], line["backend"]["attempts"]) == ("backend-eof", 1)
        return
    assert client.read_head().status == 100
    client.send(BODY)
    got = client.read_response(method)
    assert got.body == b"thanks"
    line = front.lines(2)[1]
    assert (line["end"], line["backend"]["attempts"]) == ("done", 2)
    assert line["client"]["request"] == [first, client.sent]
    check.backend_leg(line["backend"], backend.conns[1].requests[0])
    assert [t["end"] for t in line["backend"]["tries"]] == ["backend-eof"]


def test_an_expectation_of_another_kind_is_the_backends(origin, proxy, peer):
    """It may be met or refused there (RFC 9110 section 10.1.1); we judge it not."""
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    got = client.get(fields=["Expect: the-unexpected", "Expect: 100-Continue"])
    assert backend.requests[0].all("Expect") == ["the-unexpected", "100-Continue"]
    check.exchange(front.lines(1)[0], client, got, backend.requests[0])
