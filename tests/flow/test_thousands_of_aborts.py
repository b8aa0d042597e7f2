"""Thousands of exchanges aborted by either side, by FIN and by RST, at every stage, 32 at a time and
in a mixed order with a fixed seed: no descriptor, no memory and no log line is lost by any.

Memory: the later thousands may add 1 MiB at most to what the first thousand has used.
"""

import collections
import os
import random
import socket
import threading
import time

import pytest

import check
import log
from nameserver import Nameserver
from origin import response
import peer as peers
import stack
import wire

CLIENTS = 32
FIRST, LATER = (600, 1200) if stack.SLOW else (1200, 3600)
GROWTH_MAX = 1 << 20
BODY = b"b" * 3000
LARGE = b"r" * (1 << 20)
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"

CLIENT_GONE = {"fin": {"client-eof"}, "rst": {"client-reset"}}
# A close with bytes unread is an RST, and an RST may come before the bytes are read.
BACKEND_GONE = {"fin": {"backend-eof", "backend-reset"}, "rst": {"backend-eof", "backend-reset"}}
# By stage: how it may end in the log.
ENDS = {
    "client-in-head": CLIENT_GONE,
    "client-after-head": CLIENT_GONE,
    "client-in-body": CLIENT_GONE,
    "client-in-chunk": CLIENT_GONE,
    "client-waits": {"fin": {"done", "client-reset"}, "rst": {"done", "client-reset"}},
    "client-in-response": {"fin": {"done", "client-reset"}, "rst": {"done", "client-reset"}},
    "client-in-tunnel": {"fin": {"tunnel-client"}, "rst": {"tunnel-client"}},
    "client-refused": {"fin": {"bad-request"}, "rst": {"bad-request"}},
    "backend-at-once": BACKEND_GONE,
    "backend-in-upload": BACKEND_GONE,
    "backend-in-head": BACKEND_GONE,
    "backend-in-body": BACKEND_GONE,
    "backend-in-chunk": BACKEND_GONE,
    "backend-in-tunnel": {"fin": {"tunnel-backend"}, "rst": {"tunnel-backend"}},
    "nobody": {"fin": {"done"}, "rst": {"done"}},
}
UNREAD = ("client-in-head",)  # the log knows no target of these


def leave(conn, how):
    if how == "rst":
        conn.reset()
    else:
        conn.close()


# ---- the backend ----------------------------------------------------------------------------------

PIECES = {"backend-in-head": b"HTTP/1.1 200 OK\r\nContent-Le",
          "backend-in-body": b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 100,
          "backend-in-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nx"}


def backend(conn):
    try:
        while answer(conn):
            pass
    except (wire.Closed, wire.Truncated, OSError):
        pass  # the proxy has passed on that the client left


def answer(conn):
    """One request. False: this connection is over."""
    request = conn.read_head()
    _, stage, how, _ = request.target.split("/")
    framing, length = wire.body_framing(request)
    if stage == "backend-at-once":
        leave(conn, how)
        return False
    if stage == "backend-in-upload":
        conn.read_exactly(100)
        leave(conn, how)
        return False
    if framing == "length":
        conn.skip(length)
    elif framing == "chunked":
        conn.read_until(b"\r\n0\r\n\r\n")
    if stage in PIECES:
        conn.send(PIECES[stage])
        leave(conn, how)
        return False
    if stage.endswith("-in-tunnel"):
        conn.send(SWITCH)
        assert conn.read_exactly(4) == b"ping"
        conn.send(b"pong")
        if stage == "backend-in-tunnel":
            leave(conn, how)
            return False
        return bool(conn.read_some())
    if stage == "client-waits":
        conn.origin.stopped.wait(0.002)
    conn.send(response(LARGE if stage == "client-in-response" else b"ok"))
    return True


# ---- the clients ----------------------------------------------------------------------------------

def abort(client, stage, how, number):
    """One exchange; returns what it asked for."""
    target = f"/{stage}/{how}/{number}"
    post = peers.request(target, body=BODY, method="POST")
    sent = {
        "client-in-head": post[:len(target) + 3],
        "client-after-head": post[:-len(BODY)],
        "client-in-body": post[:-100],
        "client-in-chunk": peers.request(target, ["Transfer-Encoding: chunked"], method="POST")
        + b"10\r\n12345",
        "client-refused": f"GET {target} HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\nmore".encode(),
    }
    if stage.endswith("-in-tunnel"):
        client.send(peers.request(target, ["Upgrade: websocket", "Connection: Upgrade"]))
        assert client.read_response().status == 101
        client.send(b"ping")
        assert client.read_exactly(4) == b"pong"
        if stage == "backend-in-tunnel":
            client.read_to_end()
    elif stage == "client-in-response":
        client.send(post)
        client.read_exactly(2000)
    elif stage.startswith("backend-"):
        client.send(post)
        try:
            assert client.read_response("POST").status == 502
        except wire.Truncated:
            assert stage in ("backend-in-body", "backend-in-chunk")
    elif stage == "nobody":
        client.send(post)
        assert client.read_response("POST").status == 200
    else:
        client.send(sent.get(stage, post))
    leave(client, how)
    return target


class Crowd:
    """So many clients at work on one list of exchanges."""

    def __init__(self, front, work, exchange=abort):
        self.front = front
        self.exchange = exchange
        self.work = list(work)
        self.errors = []
        self.lock = threading.Lock()

    def run(self):
        threads = [threading.Thread(target=self._client) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(100)
        assert not self.errors, self.errors[0]
        assert not self.work, "not all was done"

    def _client(self):
        while True:
            with self.lock:
                if not self.work or self.errors:
                    return
                stage, how, number = self.work.pop()
            try:
                self.exchange(peers.Peer(self.front.address), stage, how, number)
            except Exception as error:  # pylint: disable=broad-except
                self.errors.append((stage, how, number, error))


def count_lines(path):
    try:
        with open(path, "rb") as f:
            return sum(block.count(b"\n") for block in iter(lambda: f.read(1 << 20), b""))
    except FileNotFoundError:
        return 0


def wait_until(condition, what, timeout_s=20):
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, what()
        time.sleep(0.02)


def settle(front, backend_, lines, files):
    """All lines are written, and all connections closed."""
    wait_until(lambda: count_lines(front.log_path) >= lines,
               lambda: f"{count_lines(front.log_path)} lines of {lines}")
    for conn in list(backend_.conns) if backend_ else ():
        try:
            conn.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
    wait_until(lambda: front.open_files() <= files,
               lambda: f"{front.open_files()} descriptors, {files} before")


def check_lines(lines, work):
    """Each request has one line, which says what was done to it."""
    log.check_log(lines)
    log.check_every_exchange(lines)
    assert len(lines) == len(work)
    named = {line["target"]: line for line in lines if line["target"]}
    nameless = collections.Counter(line["end"] for line in lines if not line["target"])
    wanted = collections.Counter()
    for stage, how, number in work:
        if stage in UNREAD:
            wanted[next(iter(ENDS[stage][how]))] += 1
            continue
        line = named.pop(f"/{stage}/{how}/{number}", None)
        if stage == "client-refused" and line is None:
            wanted["bad-request"] += 1
            continue
        assert line is not None, f"no line for /{stage}/{how}/{number}"
        assert line["end"] in ENDS[stage][how], (stage, how, line)
    assert not named and nameless == wanted


def test_at_every_stage(origin, proxy):
    backend_ = origin(backend)
    front = proxy(backend_)
    dice = random.Random(20261124)
    kinds = [(stage, how) for stage in ENDS for how in ("fin", "rst")]
    work = [(*kinds[n % len(kinds)], n) for n in range(FIRST + LATER)]
    first, later = work[:FIRST], work[FIRST:]
    files = front.open_files()
    for part in (first, later):
        dice.shuffle(part)
    Crowd(front, first).run()
    settle(front, backend_, FIRST, files)
    before = front.rss_bytes()
    Crowd(front, later).run()
    settle(front, backend_, FIRST + LATER, files)
    grown = front.rss_bytes() - before
    lines = log.read_lines(front.log_path)
    check_lines(lines, work)
    if not stack.SLOW:
        assert grown < GROWTH_MAX, f"{grown} bytes more after {LATER} exchanges"
    check.counters(front, lines)


def run_away(front, count, dice):
    """Clients that leave while there is no backend yet."""
    work = [("nobody", dice.choice(("fin", "rst")), n) for n in range(count)]

    def leave_soon(client, stage, how, number):
        client.send(peers.request(f"/{stage}/{how}/{number}", body=BODY, method="POST"))
        time.sleep(dice.random() * 0.02)
        leave(client, how)

    Crowd(front, work, leave_soon).run()
    return work


def check_run_away(front, work, files, ends):
    settle(front, None, len(work), files)
    lines = log.read_lines(front.log_path)
    log.check_log(lines)
    log.check_every_exchange(lines)
    assert sorted(line["target"] for line in lines) == sorted("/%s/%s/%d" % each for each in work)
    assert {line["end"] for line in lines} <= ends
    assert "client-reset" in {line["end"] for line in lines}
    check.counters(front, lines)


def test_while_connecting(proxy):
    """The backend's queue is full: its SYNs are not answered."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    full = [socket.socket() for _ in range(4)]
    for each in full:
        each.setblocking(False)
        each.connect_ex(listener.getsockname())
    front = proxy(f"http://127.0.0.1:{listener.getsockname()[1]}", connect_timeout_ms=300)
    files = front.open_files()
    work = run_away(front, 600, random.Random(1))
    # Whoever only closed still waits for the answer, as after a half-close.
    check_run_away(front, work, files, {"client-reset", "connect-timeout"})
    for each in [listener, *full]:
        each.close()


def test_while_resolving(proxy, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("a name server of its own (port 53, mount namespace) needs root")
    names = Nameserver(tmp_path, {"silent.flowproxy.test": None})
    front = proxy("http://silent.flowproxy.test:80", wrapper=names.wrapper,
                  connect_timeout_ms=1000)
    # A socket of the lookup comes and goes.
    files = front.open_files() + 1
    work = run_away(front, 600, random.Random(2))
    check_run_away(front, work, files, {"client-reset", "resolve-failed"})
    names.stop()
