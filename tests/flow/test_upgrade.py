"""Upgrade: websocket becomes a tunnel when the backend says so; all others are ignored."""

import signal
import time

import pytest

import check
import log
import peer as peers

WANTS = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
SWITCH = (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
          b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")


def tunnel_script(conn):
    """Accept, then send back in upper case whatever comes."""
    request = conn.next_request()
    assert request.get("Upgrade") == "websocket"
    assert request.get("Connection").lower() == "upgrade"
    conn.reply(SWITCH)
    while True:
        data = conn.read_some()
        if not data:
            return
        conn.send(data.upper())


def test_both_ways_until_the_client_closes(origin, proxy, peer):
    backend = origin(tunnel_script)
    front = proxy(backend)
    client = peer(front)
    request = peers.request("/ws", WANTS)
    got = client.exchange(request)
    assert got.status == 101 and got.get("Upgrade") == "websocket"
    assert got.get("Connection").lower() == "upgrade"
    for word in (b"hello", b"x" * 100_000):
        client.send(word)
        assert client.read_exactly(len(word)) == word.upper()
    client.half_close()
    client.expect_eof()
    line = front.lines(1)[0]
    conn = backend.wait_conns(1)
    assert (line["status"], line["end"]) == (101, "tunnel-client")
    up, down = 100_005, 100_005
    check.client_leg(line["client"], client, got)
    check.backend_leg(line["backend"], conn.requests[0])
    assert line["client"]["tunnel"] == {"up": [len(request), len(request) + up],
                                        "down": [got.past, got.past + down]}
    first = conn.requests[0].past
    assert line["backend"]["tunnel"] == {"up": [first, first + up],
                                         "down": [len(SWITCH), len(SWITCH) + down]}


def test_the_backend_ends_it(origin, proxy, peer):
    def script(conn):
        conn.next_request()
        conn.reply(SWITCH)
        conn.send(b"bye")

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    assert client.exchange(peers.request("/ws", WANTS)).status == 101
    assert client.read_to_end() == (b"bye", "eof")
    client.close()
    line = front.lines(1)[0]
    assert line["end"] == "tunnel-backend"
    assert line["client"]["tunnel"]["up"] is None
    assert line["client"]["tunnel"]["down"][1] - line["client"]["tunnel"]["down"][0] == 3


def test_what_the_client_sends_behind_it_waits_for_the_decision(origin, proxy, peer):
    def script(conn):
        conn.next_request()
        time.sleep(0.2)
        conn.expect_silence(0.1)
        conn.reply(SWITCH)
        assert conn.read_exactly(5) == b"early"
        conn.send(b"done")

    front = proxy(origin(script))
    client = peer(front)
    client.send(peers.request("/ws", WANTS) + b"early")
    assert client.read_response().status == 101
    assert client.read_exactly(4) == b"done"
    client.expect_eof()
    client.close()
    assert front.lines(1)[0]["end"] == "tunnel-backend"


def test_a_refusal_leaves_an_ordinary_connection(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    client.send(peers.request("/ws", WANTS) + peers.request("/next"))
    assert client.read_response().status == 200
    assert client.read_response().status == 200
    assert [r.target for r in backend.requests] == ["/ws", "/next"]
    assert [line["end"] for line in front.lines(2)] == ["done", "done"]


def test_silence_ends_a_tunnel(origin, proxy, peer):
    def script(conn):
        conn.next_request()
        conn.reply(SWITCH)
        conn.read_to_end()

    front = proxy(origin(script), tunnel_timeout_ms=300)
    client = peer(front)
    assert client.exchange(peers.request("/ws", WANTS)).status == 101
    began = time.monotonic()
    rest, how = client.read_to_end()
    assert rest == b"" and how in ("eof", "reset")
    check.between(time.monotonic() - began, 0.2, 2.0, "seconds")
    line = front.lines(1)[0]
    assert (line["end"], line["status"]) == ("tunnel-timeout", 101)


@pytest.mark.parametrize("fields,method", [
    (["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ"], "GET"),
    (["Connection: upgrade", "Upgrade: TLS/1.0"], "GET"),
    (["Connection: Upgrade", "Upgrade: websocket"], "POST"),
    (["Upgrade: websocket"], "GET"),
])
def test_others_are_ignored(origin, proxy, peer, fields, method):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    body = ["Content-Length: 0"] if method == "POST" else []
    got = client.get("/", fields + body, method=method)
    request = backend.requests[0]
    for name in ("Upgrade", "HTTP2-Settings", "Connection"):
        assert request.get(name) is None, request.head
    check.exchange(front.lines(1)[0], client, got, request)


def test_a_101_nobody_asked_for(origin, proxy, peer):
    def script(conn):
        conn.next_request()
        conn.send(SWITCH)
        conn.read_to_end()

    front = proxy(origin(script))
    assert peer(front).get().status == 502
    assert front.lines(1)[0]["end"] == "bad-response"


def test_connect_is_refused(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    raw = b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n"
    client.send(raw)
    got = client.read_response("CONNECT")
    if got.get("Connection") == "close":
        client.expect_eof()
    assert got.get("Allow")
    check.refused(front.lines(1)[0], client, got, "method-refused", 405, [0, len(raw)])
    assert not backend.conns
    log.check_log(front.lines(1))


@pytest.mark.parametrize("who", ["client", "backend"])
def test_a_reset_ends_it_too(origin, proxy, peer, who):
    def script(conn):
        conn.next_request()
        conn.reply(SWITCH)
        assert conn.read_exactly(2) == b"go"
        if who == "backend":
            conn.reset()
        else:
            conn.read_to_end()

    front = proxy(origin(script))
    client = peer(front)
    assert client.exchange(peers.request("/ws", WANTS)).status == 101
    client.send(b"go")
    if who == "client":
        time.sleep(0.1)
        client.reset()
    else:
        client.read_to_end()
    line = front.lines(1)[0]
    assert (line["end"], line["status"]) == ("tunnel-" + who, 101)


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
