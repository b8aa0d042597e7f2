# run: alone
"""A client that reads slowly, but never stops: send_timeout_ms is no limit for it, though its socket
holds megabytes and tells of room much more rarely than it reads."""

import contextlib
import time

from origin import response
import peer as peers

LIMIT_MS = 500
SIZE = 60_000_000


def large(conn):
    while conn.next_request():
        with contextlib.suppress(OSError):
            conn.send(response(b"x" * SIZE))


def test_it_is_not_given_up(origin, proxy, peer):
    front = proxy(origin(large), send_timeout_ms=LIMIT_MS)
    client = peer(front)
    client.send(peers.request())
    assert client.read_head().status == 200
    first = client.taken
    client.skip(3_000_000)  # the windows and buffers have opened
    until = time.monotonic() + 4 * LIMIT_MS / 1000
    while time.monotonic() < until:
        client.skip(100_000)
        time.sleep(LIMIT_MS / 1000 / 5)
    client.skip(first + SIZE - client.taken)
    line = front.lines(1)[0]
    assert (line["status"], line["end"]) == (200, "done")
    assert line["client"]["response"] == [0, first + SIZE]


def test_it_stops_after_all(origin, proxy, peer):
    backend = origin(large)
    backend.forgive = True  # its connection may end by RST
    front = proxy(backend, send_timeout_ms=LIMIT_MS)
    client = peer(front)
    client.send(peers.request())
    client.skip(3_000_000)
    for _ in range(5):
        client.skip(100_000)
        time.sleep(LIMIT_MS / 1000 / 5)
    began = time.monotonic()
    line = front.lines(1)[0]
    assert (line["status"], line["end"]) == (200, "client-stalled")
    assert time.monotonic() - began < 3 * LIMIT_MS / 1000 + 2
