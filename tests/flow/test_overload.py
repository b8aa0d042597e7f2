"""More clients than max_connections: the idle make room, the others are told."""

import time

from origin import response
import peer as peers


def held(conn):
    while conn.next_request():
        conn.origin.wait_release()
        conn.reply(response(b"ok"))


def test_busy_connections_stay_and_a_further_one_is_refused(origin, proxy, peer):
    backend = origin(held)
    front = proxy(backend, max_connections=4)
    clients = [peer(front) for _ in range(4)]
    for client in clients:
        client.send(peers.request("/busy"))
    backend.wait_requests(4)
    late = peer(front)
    got = late.exchange(peers.request("/late"))
    late.expect_eof()
    assert got.status == 503
    backend.release()
    for client in clients:
        assert client.read_response().status == 200
    lines = front.lines(5)
    refused = next(line for line in lines if line["end"] == "overload")
    assert (refused["status"], refused["backend"]) == (503, None)
    assert refused["client"]["peer"] == late.local_text
    assert refused["client"]["response"] == got.range
    assert sum(line["end"] == "done" for line in lines) == 4
    time.sleep(0.1)
    clients[0].close()
    deadline = time.monotonic() + 5
    status = 503
    while status == 503 and time.monotonic() < deadline:
        again = peer(front)
        status = again.get("/again").status
    assert status == 200


def test_the_longest_idle_makes_room(origin, proxy, peer):
    front = proxy(origin(), max_connections=3)
    clients = []
    for _ in range(3):
        clients.append(peer(front))
        clients[-1].get()
        time.sleep(0.02)
    clients[0].get()  # now the second is the longest idle
    newest = peer(front)
    assert newest.get().status == 200
    clients[1].expect_eof()
    for client in (clients[0], clients[2], newest):
        assert client.get().status == 200
    assert {line["end"] for line in front.lines(8)} == {"done"}
