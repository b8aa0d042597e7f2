"""Who makes room at max_connections: whoever has asked for nothing, but not a head under way."""

import collections
import time

import pytest

import check
import crowd
import peer as peers
import wire

MOST = 100


def answered(clients):
    """Those that have something to read, once one has."""
    until = time.monotonic() + 1
    while True:
        ready = [c for c in clients if wire.wait_readable(c.sock, 0)]
        if ready or time.monotonic() > until:
            return ready
        time.sleep(0.01)


@pytest.mark.parametrize("first", ["a-request", "an-empty-line"])
def test_idle_flood(apart_backend, proxy, bystander, first):
    """Idle connections make room, the oldest first, whether or not they have ever asked."""
    front = proxy(apart_backend.url, max_connections=MOST)
    each = bystander(front)
    clients = crowd.gather(front, MOST, b"\r\n" if first == "an-empty-line" else b"")
    for client in clients if first == "a-request" else ():
        assert client.get().status == 200
    time.sleep(1.2)
    during = each.measure(0.4)
    assert during["count"] > 8 and not during["failed"], during
    gone = answered(clients)
    assert 0 < len(gone) < MOST and gone == clients[:len(gone)]
    for client in gone:
        client.expect_eof()
    asked = MOST if first == "a-request" else 0
    lines = front.lines(each.exchanges + asked)
    assert {line["end"] for line in lines} == {"done"}
    crowd.scatter(clients[len(gone):])
    check.counters(front, lines)


def test_half_heads_do_not_make_room(apart_backend, proxy):
    """They have asked: they have their time limit, and who comes meanwhile is told."""
    front = proxy(apart_backend.url, max_connections=MOST, header_timeout_ms=2500)
    clients = crowd.gather(front, MOST, b"GET /half HTTP/1.1\r\nHost: a\r\n")
    time.sleep(1.2)
    late = peers.Peer(front.address)
    assert late.get().status == 503
    late.close()
    for client in clients:
        assert client.read_response().status == 408
        client.close()
    again = peers.Peer(front.address)
    assert again.get().status == 200
    ends = collections.Counter(line["end"] for line in front.lines(MOST + 2))
    assert ends == {"header-timeout": MOST, "overload": 1, "done": 1}
