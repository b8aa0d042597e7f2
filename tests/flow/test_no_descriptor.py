"""Out of file descriptors: no busy loop, an answer where one is possible, and recovery."""
# run: alone

import resource
import time

import check
import peer as peers
import stack
import wire

LIMIT = {resource.RLIMIT_NOFILE: (72, 72)}


def test_accepting_pauses_without_a_busy_loop(origin, proxy, peer):
    front = proxy(origin(), max_connections=4096, limits=LIMIT)
    clients = [peer(front) for _ in range(90)]
    time.sleep(0.3)
    before = front.cpu_s()
    time.sleep(1.0)
    spent = front.cpu_s() - before
    assert spent < (0.6 if stack.SLOW else 0.15), f"{spent} s of CPU in a second of waiting"
    assert front.running()
    for client in clients:
        client.close()
    deadline = time.monotonic() + 10
    status = None
    while status != 200 and time.monotonic() < deadline:
        try:
            status = peer(front).get().status
        except (OSError, wire.Closed, wire.Truncated):
            time.sleep(0.05)
    assert status == 200, "it never recovered"


def test_no_descriptor_for_the_backend(origin, proxy, peer):
    """All descriptors are in use by clients: a request gets 503, and later ones are served."""
    backend = origin()
    front = proxy(backend, max_connections=4096, limits=LIMIT)
    clients = []
    while front.open_files() < 72 and len(clients) < 80:
        clients.append(peer(front))
        time.sleep(0.005)
    got = clients[0].get("/first")
    line = front.lines(1)[0]
    assert (got.status, line["status"], line["end"]) == (503, 503, "no-descriptor")
    check.client_leg(line["client"], clients[0], got)
    for client in clients[1:]:
        client.close()
    time.sleep(0.5)
    assert peer(front).get("/second").status == 200


def test_the_default_limit_leaves_room_for_the_backends(origin, proxy, peer):
    """(RLIMIT_NOFILE - 64) / 2 clients, each of which can have a backend connection."""
    backend = origin()
    front = proxy(backend, limits={resource.RLIMIT_NOFILE: (84, 84)})
    clients = [peer(front) for _ in range(10)]
    for client in clients:
        client.send(peers.request())
    assert [client.read_response().status for client in clients] == [200] * 10
    assert {line["end"] for line in front.lines(10)} == {"done"}
