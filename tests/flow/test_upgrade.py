"""Upgrade: websocket is passed on and a 101 to it comes back; everything else of the kind is ignored,
refused or a bad response. What then goes through the tunnel: test_tunnel.py."""

import signal
import time

import pytest

import check
import log
from origin import response
import peer as peers
from tunnels import SWITCH, WANTS, switch
import wire


def takes_over(conn):
    """A backend that switches, and ends the tunnel at once."""
    conn.next_request()
    conn.reply(SWITCH)


def switched(front, backend, client, got):
    """The 101 reached the client and stands in the log. Returns what the backend was asked."""
    assert got.status == 101 and got.get("Upgrade") == "websocket", got.head
    assert got.get("Connection").lower() == "upgrade", got.head
    client.expect_eof()
    client.close()
    line = front.lines(1)[0]
    assert (line["status"], line["end"]) == (101, "tunnel-backend")
    check.client_leg(line["client"], client, got)
    check.backend_leg(line["backend"], backend.requests[0])
    log.assert_moments(line, *log.ALL_MOMENTS)
    return backend.requests[0]


# ---- asked for ----


@pytest.mark.parametrize("fields", [
    ["Connection: Upgrade", "Upgrade: websocket"],
    ["Connection: keep-alive, UPGRADE", "Upgrade: WebSocket"],
    ["Connection: keep-alive", "Connection: upgrade", "Upgrade: websocket"],
    ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c, websocket", "HTTP2-Settings: AAMAAABk"],
    ["Connection: Upgrade", "Upgrade: foo/2", "Upgrade: websocket"],
    ["Connection: Upgrade", "Upgrade: websocket", "Content-Length: 0"],
    ["Connection: Upgrade", "Upgrade: websocket", "Expect: 100-continue"],
])
def test_websocket_is_asked_for(origin, proxy, peer, fields):
    backend = origin(takes_over)
    front = proxy(backend)
    client = peer(front)
    request = switched(front, backend, client, client.get("/ws", fields))
    assert request.get("Upgrade") == "websocket" and request.get("Connection") == "Upgrade"
    assert request.get("HTTP2-Settings") is None


def test_its_own_fields_pass_untouched(origin, proxy, peer):
    ask = ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13",
           "Sec-WebSocket-Protocol: soap, wamp", "Sec-WebSocket-Extensions: permessage-deflate; "
           "client_max_window_bits", "Sec-WebSocket-Extensions: x", "Origin: http://a.example"]
    tell = ["Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "Sec-WebSocket-Protocol: soap",
            "Sec-WebSocket-Extensions: permessage-deflate"]

    def script(conn):
        conn.next_request()
        conn.reply(switch(*tell))

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    got = client.get("/ws", ["Connection: Upgrade", "Upgrade: websocket"] + ask)
    request = switched(front, backend, client, got)

    def of_websocket(message, more=()):
        return [f"{n.decode()}: {v.decode()}" for n, v in message.fields
                if n.startswith(b"Sec-") or n.decode() in more]

    assert of_websocket(request, ("Origin",)) == ask
    assert of_websocket(got) == tell


# ---- not asked for, or for something else ----


@pytest.mark.parametrize("fields,method,version", [
    (["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ"], "GET",
     "HTTP/1.1"),
    (["Connection: upgrade", "Upgrade: TLS/1.0"], "GET", "HTTP/1.1"),
    (["Connection: Upgrade", "Upgrade: websockets"], "GET", "HTTP/1.1"),
    (["Connection: Upgrade", "Upgrade: websocket", "Content-Length: 0"], "POST", "HTTP/1.1"),
    (["Connection: Upgrade", "Upgrade: websocket"], "OPTIONS", "HTTP/1.1"),
    (["Upgrade: websocket"], "GET", "HTTP/1.1"),
    (["Connection: keep-alive", "Upgrade: websocket"], "GET", "HTTP/1.1"),
    (["Connection: Upgrade"], "GET", "HTTP/1.1"),
    (["Connection: Upgrade, keep-alive", "Upgrade: websocket"], "GET", "HTTP/1.0"),
])
def test_others_are_ignored(origin, proxy, peer, fields, method, version):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    got = client.get("/", fields, method=method, version=version)
    request = backend.requests[0]
    for name in ("Upgrade", "HTTP2-Settings", "Connection"):
        assert request.get(name) is None, request.head
    assert got.status == 200 and got.get("Upgrade") is None
    line = front.lines(1)[0]
    check.client_leg(line["client"], client, got)
    check.backend_leg(line["backend"], request)
    assert line["end"] == "done"


@pytest.mark.parametrize("fields", [
    ["Content-Length: 5"], ["Transfer-Encoding: chunked"]], ids=["length", "chunked"])
def test_with_a_body_it_is_ignored(origin, proxy, peer, fields):
    body = b"12345" if "Length" in fields[0] else wire.chunked(b"12345")
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    got = client.exchange(peers.request("/ws", WANTS + fields) + body)
    request = backend.requests[0]
    assert request.get("Upgrade") is None and request.body == b"12345"
    check.exchange(front.lines(1)[0], client, got, request)


# ---- the backend's decision ----


@pytest.mark.parametrize("refusal", [
    response(b"no", "403 Forbidden"),
    response(b"", "426 Upgrade Required", ["Connection: Upgrade", "Upgrade: websocket, foo/1"]),
    response(b"plain", framing="chunked"),
    response(b"plain", fields=["Connection: Upgrade", "Upgrade: websocket"]),
], ids=["403", "426", "200", "200-that-offers"])
def test_a_refusal_leaves_an_ordinary_connection(origin, proxy, peer, refusal):
    """What the client sent behind it waited for that, and is the next request."""
    def script(conn):
        conn.next_request()
        conn.expect_silence(0.05)
        conn.reply(refusal)
        conn.next_request()
        conn.reply(response(b"second"))

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    first, second = peers.request("/ws", WANTS), peers.request("/next")
    client.send(first + second)
    one = client.read_response()
    two = client.read_response()
    assert one.status == int(refusal.split()[1]) and two.body == b"second"
    # RFC 9110 section 15.5.22
    offers = "websocket, foo/1" if one.status == 426 else None
    assert one.get("Upgrade") == offers
    assert (one.get("Connection") or "").lower() == ("upgrade" if offers else "")
    one.request_range = [0, len(first)]
    two.request_range = [len(first), len(first + second)]
    assert [r.target for r in backend.requests] == ["/ws", "/next"]
    lines = front.lines(2)
    for line, got, request in zip(lines, (one, two), backend.requests):
        check.exchange(line, client, got, request)
        assert "tunnel" not in line["client"]


def test_frames_behind_a_refused_upgrade_are_no_request(origin, proxy, peer):
    backend = origin(lambda conn: (conn.next_request(), conn.reply(response(b"", "403 No"))))
    front = proxy(backend)
    client = peer(front)
    head = peers.request("/ws", WANTS)
    client.send(head + b"\x81\x85\x01\x02\x03\x04hello")
    assert client.read_response().status == 403
    got = client.read_response()
    assert got.status == 400 and got.get("Connection") == "close"
    client.expect_eof()
    lines = front.lines(2)
    assert [line["end"] for line in lines] == ["done", "bad-request"]
    assert lines[1]["client"]["request"] == [len(head), len(head) + 11]
    assert len(backend.requests) == 1


def test_a_426_that_also_closes(origin, proxy, peer):
    front = proxy(origin(lambda conn: (conn.next_request(), conn.reply(
        response(b"", "426 Upgrade Required", ["Connection: Upgrade", "Upgrade: websocket"])))))
    got = peer(front).get("/", ["Connection: close"])
    assert got.status == 426 and got.get("Upgrade") == "websocket"
    assert got.get("Connection") == "close, Upgrade"
    front.lines(1)


@pytest.mark.parametrize("fields", [
    ["Content-Length: 5"], ["Transfer-Encoding: chunked"], ["X: 1", "Keep-Alive: timeout=5"]])
def test_a_101_has_no_framing(origin, proxy, peer, fields):
    """RFC 9110 section 8.6, RFC 9112 section 6.1: what follows is the tunnel's."""
    def script(conn):
        conn.next_request()
        conn.reply(switch(*fields))
        conn.send(b"12345 and more")

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    got = client.get("/ws", WANTS)
    assert client.read_exactly(14) == b"12345 and more"
    switched(front, backend, client, got)
    assert got.get("Content-Length") is None and got.get("Transfer-Encoding") is None


def test_a_101_behind_interim_responses(origin, proxy, peer):
    def script(conn):
        conn.next_request()
        conn.reply_interim(b"HTTP/1.1 100 Continue\r\n\r\n"
                           b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        conn.reply(SWITCH)

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    got = client.get("/ws", WANTS)
    assert [i.status for i in got.interim] == [100, 103]
    switched(front, backend, client, got)


def test_bytes_in_the_packet_of_the_101(origin, proxy, peer):
    """The backend's tunnel begins right behind its head, wherever the packet ends."""
    def script(conn):
        conn.next_request()
        conn.send(SWITCH + b"first words")
        conn.requests[0].reply_range = [0, len(SWITCH)]

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    got = client.get("/ws", WANTS)
    assert client.read_exactly(11) == b"first words"
    switched(front, backend, client, got)
    line = front.lines(1)[0]
    assert line["backend"]["tunnel"]["down"] == [len(SWITCH), len(SWITCH) + 11]
    assert line["client"]["tunnel"]["down"] == [got.past, got.past + 11]


def bad_101(*fields, version="1.1"):
    return b"\r\n".join([f"HTTP/{version} 101 Switching Protocols".encode(),
                         *[f.encode() for f in fields], b"", b""])


BAD = {
    "asked-for-nothing": ([], "HTTP/1.1", SWITCH),
    "asked-for-h2c": (["Connection: Upgrade", "Upgrade: h2c"], "HTTP/1.1", SWITCH),
    "asked-in-1.0": (WANTS, "HTTP/1.0", SWITCH),
    "asked-without-option": (["Upgrade: websocket"], "HTTP/1.1", SWITCH),
    "no-upgrade": (WANTS, "HTTP/1.1", bad_101("Connection: Upgrade")),
    "empty-upgrade": (WANTS, "HTTP/1.1", bad_101("Connection: Upgrade", "Upgrade:")),
    "no-option": (WANTS, "HTTP/1.1", bad_101("Upgrade: websocket")),
    "other-protocol": (WANTS, "HTTP/1.1", bad_101("Connection: Upgrade", "Upgrade: h2c")),
    "two-protocols": (WANTS, "HTTP/1.1", bad_101("Connection: Upgrade", "Upgrade: websocket, h2c")),
    "two-upgrades": (WANTS, "HTTP/1.1", bad_101("Connection: Upgrade", "Upgrade: websocket",
                                                "Upgrade: TLS/1.0")),
    "in-1.0": (WANTS, "HTTP/1.1", bad_101("Connection: Upgrade", "Upgrade: websocket",
                                          version="1.0")),
    "both-framings": (WANTS, "HTTP/1.1", bad_101("Connection: Upgrade", "Upgrade: websocket",
                                                 "Content-Length: 1", "Transfer-Encoding: chunked")),
}


@pytest.mark.parametrize("case", BAD)
def test_a_101_that_does_not_hold(origin, proxy, peer, case):
    fields, version, raw = BAD[case]

    def script(conn):
        conn.next_request()
        conn.reply(raw + b"secret")
        conn.read_to_end()  # it may be reset, with bytes unread

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    got = client.get("/ws", fields, version=version)
    assert got.status == 502 and b"secret" not in client.received_bytes
    line = front.lines(1)[0]
    assert (line["end"], line["status"]) == ("bad-response", 502)
    check.client_leg(line["client"], client, got)
    assert backend.wait_conns(1).done.wait(5)


def test_a_101_before_the_request_was_sent(origin, proxy, peer):
    """The backend cannot agree to what it has not read, and the rest would go into the tunnel."""
    def script(conn):
        conn.read_until(b"\r\n")
        conn.send(SWITCH)
        conn.origin.client.read_response()
        conn.read_to_end()

    backend = origin(script, recv_buffer=4096, max_segment=536)
    front = proxy(backend, max_header_bytes=1 << 20)
    backend.client = client = peer(front)
    client.send(peers.request("/ws", WANTS + [f"X-{n}: " + "x" * 8000 for n in range(100)]))
    assert backend.wait_conns(1).done.wait(10)
    line = front.lines(1)[0]
    assert (line["end"], line["status"]) == ("bad-response", 502)


def test_a_101_that_the_client_never_got(origin, proxy, peer):
    """It went away just before: no moment says that the 101 was sent."""
    def script(conn):
        conn.next_request()
        conn.origin.front.signal(signal.SIGSTOP)
        time.sleep(0.1)
        conn.send(SWITCH + b"hello")
        conn.origin.client.reset()
        conn.origin.front.signal(signal.SIGCONT)
        conn.read_to_end()

    backend = origin(script)
    backend.forgive = True
    backend.front = front = proxy(backend)
    backend.client = client = peer(front)
    client.send(peers.request("/ws", WANTS))
    line = front.lines(1)[0]
    assert line["end"] in ("client-reset", "tunnel-client") and line["status"] is None
    assert line["client"]["response"] is None
    assert line["at_us"]["response_end"] is None


# ---- other ways to ask for a tunnel ----


def test_connect_is_refused(origin, proxy, peer):
    """What is sent behind it was meant for the tunnel: it is never read as a request."""
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    raw = b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n"
    client.send(raw + peers.request("/inner"))
    got = client.read_response("CONNECT")
    assert got.get("Connection") == "close"
    client.expect_eof()
    assert got.get("Allow") and "CONNECT" not in got.get("Allow")
    check.refused(front.lines(1)[0], client, got, "method-refused", 405, [0, len(raw)])
    assert not backend.conns


def test_the_preface_of_http2_is_refused(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    got = client.read_response()
    client.expect_eof()
    line = front.lines(1)[0]
    check.refused(line, client, got, line["end"], got.status)
    assert (got.status, line["end"]) in ((505, "version-refused"), (400, "bad-request"))
    assert not backend.conns
