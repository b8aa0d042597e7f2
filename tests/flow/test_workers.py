"""One worker and several: the same behaviour, connections spread, one log."""

import os
import threading
import time

import pytest

import check
from origin import echo
import peer as peers


@pytest.mark.parametrize("workers", [1, 4])
def test_many_clients(origin, proxy, peer, workers):
    backend = origin(echo)
    front = proxy(backend, workers=workers)
    failures = []
    count, each = 16, 25

    def run(number):
        try:
            client = peers.Peer(front.address)
            for n in range(each):
                body = b"%d-%d" % (number, n) * (n + 1)
                got = client.post(body, f"/{number}/{n}")
                assert got.body == body and got.get("X-Target") == f"/{number}/{n}"
            client.close()
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures, failures[0]
    lines = front.lines(count * each)
    by_target = {request.target: request for request in backend.requests}
    for line in lines:
        assert line["end"] == "done"
        check.backend_leg(line["backend"], by_target[line["target"]])
    assert len({line["client"]["conn"] for line in lines}) == count


def test_connections_are_spread(origin, proxy, peer):
    """With four workers and their own pools, eight busy clients need a connection each; and once
    idle, one client after the other shares the pool of its worker: at most four are used."""
    backend = origin(echo)
    front = proxy(backend, workers=4)
    clients = [peer(front) for _ in range(8)]
    for client in clients:
        client.get("/warm")
    assert len(backend.conns) == 4, "eight clients should meet four workers, two each"
    lines = front.lines(8)
    used = {}
    for line in lines:
        used.setdefault(line["backend"]["conn"], set()).add(line["client"]["conn"])
    assert sorted(len(mine) for mine in used.values()) == [2, 2, 2, 2]


def test_a_worker_that_is_free_gets_the_next(origin, proxy, peer):
    backend = origin(echo)
    front = proxy(backend, workers=2)
    first, second, third = peer(front), peer(front), peer(front)
    for number, client in enumerate((first, second, third)):
        client.get(f"/{number}")
    second.close()
    time.sleep(0.2)
    fourth = peer(front)  # two on worker 0, none on worker 1
    fourth.get("/3")
    by_target = {line["target"]: line["backend"]["conn"] for line in front.lines(4)}
    assert by_target["/3"] == by_target["/1"] != by_target["/0"]


def test_threads(origin, proxy, peer):
    front = proxy(origin(), workers=3)
    peer(front).get()
    assert len(os.listdir(f"/proc/{front.pid}/task")) >= 4


@pytest.mark.parametrize("workers", [1, 3])
def test_a_graceful_stop_reaches_all(origin, proxy, peer, workers):
    def script(conn):
        while conn.next_request():
            conn.origin.go.wait(10)
            conn.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    backend = origin(script)
    backend.go = threading.Event()
    front = proxy(backend, workers=workers)
    clients = [peer(front) for _ in range(6)]
    for client in clients:
        client.send(peers.request())
    backend.wait_requests(6)
    front.signal(15)
    backend.go.set()
    assert [client.read_response().status for client in clients] == [200] * 6
    front.stop()
    assert {line["end"] for line in front.lines(6)} == {"done"}
