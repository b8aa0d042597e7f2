"""Tunnels whose two ends both send and do not read: each is held to two buffers, none spins, others
are served, and what was held arrives whole once it is read."""
# run: alone

import socket
import statistics
import threading
import time

import pytest

import check
from origin import response
import tunnels

TUNNELS = 24
EACH_BYTES = (2 * 256 + 32) << 10
BLOCK = bytes(range(256)) * 256


def begin(conn):
    conn.pumped = 0
    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)


def pump(conns):
    """Send on all of them until none takes anything for a while."""
    quiet = 0
    while quiet < 5:
        took = 0
        for conn in conns:
            n = conn.send_some(BLOCK[conn.pumped % 256:])
            conn.pumped += n
            took += n
        quiet = 0 if took else quiet + 1
        if not took:
            time.sleep(0.02)


def check_pattern(data):
    assert data == (BLOCK * (len(data) // len(BLOCK) + 1))[:len(data)]


class Ends:
    """What the backend's ends of all tunnels have done, and may do."""

    def __init__(self):
        self.full = threading.Semaphore(0)
        self.read = threading.Event()
        self.got = []

    def script(self, conn):
        begin(conn)
        request = conn.next_request()
        while request and request.get("Upgrade") is None:
            conn.reply(response(b"ok"))
            request = conn.next_request()
        if request is None:
            return
        conn.reply(tunnels.SWITCH)
        pump([conn])
        self.full.release()
        assert self.read.wait(30)
        conn.half_close()
        self.got.append(conn.read_to_end())


def median_s(client):
    took = []
    for _ in range(50):
        began = time.monotonic()
        assert client.get().status == 200
        took.append(time.monotonic() - began)
    return statistics.median(took)


@pytest.mark.memory
def test_neither_end_reads(origin, proxy, peer):
    ends = Ends()
    front = proxy(origin(ends.script, recv_buffer=32768))
    other = peer(front)
    quiet = median_s(other)
    before = front.rss_bytes()
    clients = [peer(front, recv_buffer=32768) for _ in range(TUNNELS)]
    for client in clients:
        begin(client)
        tunnels.open_by(client)
    pump(clients)
    for _ in clients:
        assert ends.full.acquire(timeout=20)  # pylint: disable=consider-using-with
    each = (front.rss_bytes() - before) / TUNNELS
    assert each < EACH_BYTES, f"{each} bytes per tunnel"
    used = front.cpu_s()
    time.sleep(0.5)
    used = front.cpu_s() - used
    assert used < 0.05, f"{used} s of CPU in 0.5 s of silence"
    during = median_s(other)
    assert during < 10 * quiet + 0.005, f"{during} s instead of {quiet}"

    ends.read.set()
    for client in clients:
        client.half_close()
        data, how = client.read_to_end()
        assert how == "eof" and len(data) > 1 << 18
        check_pattern(data)
    lines = front.lines(100 + TUNNELS)
    check.counters(front, lines)
    lines = [line for line in lines if line["status"] == 101]
    assert len(lines) == TUNNELS == len(ends.got)
    assert {line["end"] for line in lines} <= {"tunnel-client", "tunnel-backend"}
    for data, how in ends.got:
        assert how == "eof"
        check_pattern(data)
    assert sorted(len(data) for data, _ in ends.got) == sorted(client.pumped for client in clients)
    for line in lines:
        for way in ("up", "down"):
            sizes = [line[leg]["tunnel"][way][1] - line[leg]["tunnel"][way][0]
                     for leg in ("client", "backend")]
            assert sizes[0] == sizes[1] > 0, line
