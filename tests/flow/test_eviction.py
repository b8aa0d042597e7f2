"""Room is made by idle connections only, and an idle connection holds no buffer."""

import time

import pytest

import peer as peers
import tls_mode


def test_requests_that_wait_are_not_idle(origin, proxy, peer):
    """Pipelined requests beyond one turn's share were read already: they are answered."""
    front = proxy(origin(), max_connections=1)
    client = peer(front)
    client.get()
    front.freeze()
    count = 100
    client.send(peers.request("*", ["Max-Forwards: 0"], method="OPTIONS") * count)
    late = peer(front)
    front.thaw()
    for _ in range(count):
        assert client.read_response("OPTIONS").status == 200
    assert late.get().status in (200, 503)
    front.lines(count + 2)


def test_a_request_that_has_just_come_is_not_idle(origin, proxy, peer):
    """It stands in the socket, behind the new connection in the same turn of the loop."""
    front = proxy(origin(), max_connections=1)
    client = peer(front)
    client.get()
    for n in range(2, 12, 2):
        front.freeze()
        late = peer(front)
        client.send(peers.request("/kept"))
        front.thaw()
        assert client.read_response().status == 200
        assert late.get().status == 503
        assert sorted(line["end"] for line in front.lines(n + 1)[n - 1:]) == ["done", "overload"]
        late.close()


@pytest.mark.memory
def test_an_idle_connection_keeps_no_buffer(origin, proxy, peer):
    front = proxy(origin())
    peer(front).get()
    before = front.rss_bytes()
    clients = [peer(front) for _ in range(500)]
    for client in clients:
        client.send(peers.request("/", ["X: " + "y" * 50_000])[:-2])
        time.sleep(0.005)
        client.send(b"\r\n")
        assert client.read_response().status == 200
    grown = (front.rss_bytes() - before) / len(clients)
    assert grown < (32768 if tls_mode.CLIENT else 16384), f"{grown} bytes per idle connection"
