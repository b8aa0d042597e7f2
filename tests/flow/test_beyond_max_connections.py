"""Floods of connections beyond max_connections: 64 are told, the rest wait unaccepted, and those that
are served feel nothing; clients that never send a byte take the room of nobody."""
# run: alone

import collections
import statistics
import time

import check
import log
from origin import response
import peer as peers
import stack

LIMIT = 4
TOLD = 64
WAITING = 200
SILENT = 100
EXCHANGES = 100


def busy_or_not(conn):
    """/busy is answered once the backend is released."""
    while request := conn.next_request():
        if request.target == "/busy":
            conn.origin.wait_release()
        conn.reply(response(b"ok"))


def wait_until(condition, what, timeout_s=10):
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.01)


def hold(backend, client):
    """A request of this client's that the backend has and does not answer."""
    count = sum(request.target == "/busy" for request in list(backend.requests))
    client.send(peers.request("/busy"))
    backend.wait(lambda: sum(r.target == "/busy" for r in backend.requests) > count, "/busy")


def median_s(client, told=()):
    """Of this client's exchanges; those who were told keep their lingering up meanwhile."""
    took = []
    for n in range(EXCHANGES):
        if n % 10 == 0:
            for each in told:
                each.send(b"x")
        began = time.monotonic()
        assert client.get("/served").status == 200
        took.append(time.monotonic() - began)
    return statistics.median(took)


def check_rest(front):
    """The accept that rests, and looks for room ten times a second, costs next to nothing."""
    before = front.cpu_s()
    time.sleep(0.5)
    used = front.cpu_s() - before
    assert stack.SLOW or used < 0.05, f"{used} s of CPU in 0.5 s of silence"


def test_some_are_told_and_the_rest_wait(origin, proxy, peer):
    backend = origin(busy_or_not)
    front = proxy(backend, max_connections=LIMIT)
    busy = [peer(front) for _ in range(LIMIT - 1)]
    served = peer(front)
    quiet = median_s(served)
    for client in busy:
        hold(backend, client)
    # The one that is served has nothing answered while they come: the idle would make room.
    served.send(b"GET /served HTTP/1.1\r\nHost: a\r\nX-Head: ")
    files = front.open_files()
    told = [peer(front) for _ in range(TOLD)]
    for client in told:
        got = client.read_response()
        assert (got.status, got.get("Connection")) == (503, "close")
        client.expect_eof()  # its other direction is read on
    waiting = [peer(front) for _ in range(WAITING)]
    for client in waiting:
        client.send(peers.request("/late"))
    for client in told:
        client.send(b"x")
    check_rest(front)
    assert front.open_files() == files + TOLD
    served.send(b"x\r\n\r\n")
    assert served.read_response().status == 200
    during = median_s(served, told)
    assert stack.SLOW or during < 10 * quiet + 0.005, f"{during} s instead of {quiet}"
    for client in waiting:
        client.expect_silence(0)

    served.send(b"GET /served HTTP/1.1\r\nHost: a\r\nX-Head: ")
    for client in told:
        client.close()
    for client in waiting:
        assert client.read_response().status == 503
        client.expect_eof()
        client.close()
    served.send(b"x\r\n\r\n")
    assert served.read_response().status == 200
    backend.release()
    for client in busy:
        assert client.read_response().status == 200
    assert peer(front).get("/after").status == 200

    done = 2 * EXCHANGES + 2 + len(busy) + 1
    lines = front.lines(done + TOLD + WAITING)
    assert collections.Counter((line["end"], line["status"]) for line in lines) \
        == {("done", 200): done, ("overload", 503): TOLD + WAITING}
    assert not [line for line in lines if line["end"] == "overload" and line["backend"]]
    assert collections.Counter(r.target for r in backend.requests) \
        == {"/busy": len(busy), "/served": 2 * EXCHANGES + 2, "/after": 1}
    check.counters(front, lines)


def test_who_never_sends_a_byte_makes_room(origin, proxy, peer):
    """Within a second, not only when header_timeout_ms is over."""
    backend = origin()
    front = proxy(backend, max_connections=SILENT, header_timeout_ms=60000)
    silent = [peer(front) for _ in range(SILENT)]
    statuses = []

    def is_served():
        client = peer(front)
        statuses.append(client.get("/new").status)
        if statuses[-1] == 503:
            client.close()
        return statuses[-1] == 200

    wait_until(is_served, "silent connections keep everybody out", 6)
    silent[0].expect_eof()  # the one that was silent for longest
    for client in silent[1:]:
        client.expect_silence(0)
    assert silent[1].get("/late").status == 200  # no more than one was needed
    lines = front.lines(len(statuses) + 1)
    assert collections.Counter(line["end"] for line in lines) \
        == collections.Counter(done=2, overload=len(statuses) - 1) - collections.Counter()
    assert [r.target for r in backend.requests] == ["/new", "/late"]
    check.counters(front, lines)


def test_a_flood_of_silent_ones_does_not_keep_others_out(origin, proxy, peer):
    """Many more of them than there is room, twice."""
    front = proxy(origin(), max_connections=20, header_timeout_ms=60000)
    for _ in range(2):
        flood = [peer(front) for _ in range(20 + TOLD)]

        def is_served():
            client = peer(front)
            status = client.get("/new").status
            client.close()
            return status == 200

        wait_until(is_served, "the flood keeps everybody out", 6)
        for client in flood:
            client.reset()
    check_rest(front)
    front.stop()
    ends = collections.Counter(line["end"] for line in log.read_lines(front.log_path))
    assert ends.pop("done") == 2 and ends.pop("overload") >= TOLD and not ends
