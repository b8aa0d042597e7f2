"""Fields that concern one connection stay on it, whatever Connection names."""

import check
from origin import answer, response
import peer as peers
import wire

ALWAYS = {"connection", "keep-alive", "proxy-connection", "upgrade", "transfer-encoding"}


def lower(message):
    return [name.lower() for name in message.names()]


def test_of_a_request(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    got = client.get(fields=["Connection: keep-alive, X-Private", "X-Private: secret",
                             "connection: x-other", "X-Other: too", "Keep-Alive: timeout=5",
                             "Proxy-Connection: keep-alive", "TE: deflate", "X-Kept: yes"])
    request = backend.requests[0]
    assert request.get("X-Kept") == "yes" and request.get("TE") is None
    assert not (ALWAYS | {"x-private", "x-other"}) & set(lower(request)), request.head
    check.exchange(front.lines(1)[0], client, got, request)


def test_te_trailers_is_said_again_for_the_next_hop(origin, proxy, peer):
    """The proxy forwards trailers, so it may say so; the option is its own (RFC 9110 10.1.4)."""
    backend = origin()
    front = proxy(backend)
    peer(front).get(fields=["Connection: TE, X-Private", "TE: gzip;q=0.5, trailers",
                            "X-Private: secret"])
    request = backend.requests[0]
    assert (request.get("TE"), request.get("Connection")) in [("trailers", "TE"), (None, None)]
    assert request.get("X-Private") is None
    front.lines(1)


def test_of_a_response(origin, proxy, peer):
    backend = origin(answer(response(b"x", fields=[
        "Connection: keep-alive, X-Private", "X-Private: secret", "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive", "X-Kept: yes"])))
    front = proxy(backend)
    client = peer(front)
    first, second = client.get(), client.get()
    for got in (first, second):
        assert got.get("X-Kept") == "yes"
        assert not (ALWAYS | {"x-private"}) & set(lower(got)), got.head
    assert len(backend.conns) == 1
    check.exchange(front.lines(2)[1], client, second, backend.requests[1])


def test_connection_cannot_name_away_what_matters(origin, proxy, peer):
    backend = origin(answer(response(b"abc", fields=["Connection: Content-Length, Date"])))
    front = proxy(backend)
    client = peer(front)
    got = client.exchange(
        b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\nX-Forwarded-For: 1.2.3.4\r\n"
        b"Connection: Host, Content-Length, Transfer-Encoding, X-Forwarded-For, Via, "
        b"X-Forwarded-Proto\r\nVia: 1.0 first\r\n\r\nbody", "POST")
    request = backend.requests[0]
    assert (request.get("Host"), request.get("Content-Length")) == ("here", "4")
    assert request.get("X-Forwarded-For") == "1.2.3.4, 127.0.0.1"
    assert "1.0 first" in ", ".join(request.all("Via"))
    assert got.get("Content-Length") == "3" and got.body == b"abc"
    check.exchange(front.lines(1)[0], client, got, request)


def test_an_odd_connection_field(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    client.get(fields=["Connection: ,, X-A ,\t,x-b", "X-A: 1", "X-B: 2", "X-C: 3"])
    names = lower(backend.requests[0])
    assert "x-c" in names and not {"x-a", "x-b", "connection"} & set(names)
    front.lines(1)


LAST = b"0\r\nX-Private: 1\r\nX-Kept: 2\r\nx-other: 3\r\n\r\n"
NAMED = ["Connection: X-Private", "Connection: close, X-Other"]


def test_trailers_that_connection_names(origin, proxy, peer):
    """"...header or trailer field(s) with the same name" (RFC 9110 section 7.6.1), both ways."""
    def script(conn):
        assert conn.next_request().trailers == [(b"X-Kept", b"2")]
        conn.reply(b"HTTP/1.1 200 OK\r\n" + "\r\n".join(NAMED).encode()
                   + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + wire.chunked(b"a", last=LAST))

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    got = client.exchange(peers.request("/", NAMED + ["Transfer-Encoding: chunked"], method="POST")
                          + wire.chunked(b"body", last=LAST), "POST")
    assert got.trailers == [(b"X-Kept", b"2")]
    check.exchange(front.lines(1)[0], client, got, backend.requests[0])


def test_a_field_of_an_options_name(origin, proxy, peer):
    """Of what is called close, keep-alive, upgrade and te nothing passes either."""
    backend = origin(answer(response(b"x", fields=["Connection: close", "Close: 1", "X: y"])))
    front = proxy(backend)
    client = peer(front)
    got = client.get(fields=["Connection: close, keep-alive, te, upgrade", "Close: 1", "Upgrade: x",
                             "Keep-Alive: 1", "TE: gzip", "X: y"])
    for message in (got, backend.requests[0]):
        assert not {"close", "upgrade", "keep-alive", "te"} & set(lower(message)), message.head
        assert message.get("X") == "y"
    check.exchange(front.lines(1)[0], client, got, backend.requests[0])


def test_upgrade_of_a_426_is_for_the_client(origin, proxy, peer):
    """It must say to what (RFC 9110 section 15.5.22); the option goes with it (section 7.8)."""
    backend = origin(answer(response(b"x", "426 Upgrade Required", [
        "Connection: upgrade", "Upgrade: websocket"])))
    front = proxy(backend)
    client = peer(front)
    first, last = client.get(), client.get(fields=["Connection: close"])
    for got, option in ((first, "Upgrade"), (last, "close, Upgrade")):
        assert (got.status, got.get("Upgrade")) == (426, "websocket")
        assert got.get("Connection") == option
    client.expect_eof()
    for line, got, request in zip(front.lines(2), (first, last), backend.requests):
        check.exchange(line, client, got, request)
