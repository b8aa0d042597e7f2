"""Bytes and an RST behind them, both there when the proxy looks: the RST is not overlooked."""

import signal
import threading
import time

import pytest

import check
from origin import response
import peer as peers
import stack
import wire

LATE_S = 5.0 if stack.SLOW else 1.5


@pytest.mark.parametrize("part,status", [
    (b"HTTP/1.1 200 OK\r\nContent-Len", 502),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive!", 200),
])
def test_of_the_backend(origin, proxy, peer, part, status):
    def script(conn):
        conn.next_request()
        conn.origin.front.signal(signal.SIGSTOP)
        time.sleep(0.1)
        conn.send(part)
        conn.reset()
        conn.origin.front.signal(signal.SIGCONT)

    backend = origin(script)
    backend.front = front = proxy(backend)
    client = peer(front)
    began = time.monotonic()
    client.send(peers.request())
    if status == 502:
        assert client.read_response().status == 502
    else:
        with pytest.raises(wire.Truncated):
            client.read_response()
    check.between(time.monotonic() - began, 0, 0.1 + LATE_S, "seconds")
    line = front.lines(1)[0]
    assert (line["status"], line["end"]) == (status, "backend-reset")


def test_of_the_client_in_its_head(origin, proxy, peer):
    front = proxy(origin())
    client = peer(front)
    client.get()
    front.signal(signal.SIGSTOP)
    time.sleep(0.1)
    client.send(b"GET / HTTP/1.1\r\nHost")
    client.reset()
    front.signal(signal.SIGCONT)
    line = front.lines(2, timeout_s=LATE_S)[1]
    assert line["end"] == "client-reset"


@pytest.mark.parametrize("raw", [
    peers.request(body=b"x" * 100, method="POST")[:-100],
    peers.request(body=b"x" * 100, method="POST")[:-1],
    peers.request(fields=["Transfer-Encoding: chunked"], method="POST") + b"5\r\n12",
    peers.request(),
    peers.request(body=b"x" * 100, method="POST"),
], ids=["head", "body", "chunk", "get", "post"])
def test_of_the_client_whose_backend_is_awaited(origin, proxy, peer, raw):
    """The exchange ends now, not when the backend answers or a limit strikes."""
    left = threading.Event()

    def script(conn):
        assert conn.next_request() is not None
        conn.reply(response())
        try:
            conn.read_to_end()
        finally:
            left.set()

    front = proxy(origin(script))
    client = peer(front)
    assert client.get().status == 200
    front.signal(signal.SIGSTOP)
    time.sleep(0.1)
    client.send(raw)
    client.reset()
    front.signal(signal.SIGCONT)
    line = front.lines(2, timeout_s=LATE_S)[1]
    assert (line["end"], line["status"]) == ("client-reset", None)
    assert left.wait(LATE_S), "the backend's connection stays"
