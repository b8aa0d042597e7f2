"""Bodies of a gigabyte and slow readers: bounded memory, and a slow side slows the other down."""
# run: alone

import threading
import time

import pytest

import check
import peer as peers
import stack
import tls_mode
import wire

GIGABYTE = 1_000_000_000
SIZE = 50_000_000 if stack.SLOW else GIGABYTE
BLOCK = b"0123456789abcdef" * 65536
MEMORY_BYTES = 8 << 20
# what the kernel may hold on the way, on both legs (net.ipv4.tcp_rmem and tcp_wmem)
IN_SOCKETS = 40 << 20


class MemoryWatch:
    """The largest resident size that a process had, sampled."""

    def __init__(self, process):
        self.process = process
        self.first = self.most = process.rss_bytes()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.ended.wait(0.02):
            self.most = max(self.most, self.process.rss_bytes())

    def check(self):
        self.ended.set()
        self.thread.join()
        grown = self.most - self.first
        if not stack.SLOW:
            assert grown < MEMORY_BYTES, f"memory grew by {grown} bytes"


def send_all(stream, size):
    sent = 0
    while sent < size:
        part = memoryview(BLOCK)[:min(len(BLOCK), size - sent)]
        stream.send(part)
        sent += len(part)


def drain(stream, size, scratch=bytearray(1 << 20)):
    """Read size bytes as fast as can be, without keeping them."""
    left = size - len(stream.read_some()) if stream._buffer else size
    while left > 0:
        n = stream.sock.recv_into(scratch, min(left, len(scratch)))
        if n == 0:
            raise wire.Truncated("eof")
        left -= n
        stream.received += n
        stream.taken += n


def warm(front, client):
    """Buffers are allocated at the first exchange: measure from there."""
    client.get("/warm")
    return MemoryWatch(front)


def serve_download(conn):
    request = conn.next_request()
    while request:
        if request.target == "/warm":
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        else:
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
            try:
                send_all(conn, SIZE)
            except OSError:
                return
        request = conn.next_request()


def serve_upload(conn):
    while True:
        try:
            head = conn.read_head()
        except wire.Closed:
            return
        drain(conn, int(head.get("Content-Length") or 0))
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def test_download(origin, proxy, peer):
    front = proxy(origin(serve_download))
    client = peer(front)
    watch = warm(front, client)
    client.send(peers.request("/big"))
    head = client.read_head()
    assert head.get("Content-Length") == str(SIZE)
    drain(client, SIZE)
    watch.check()
    assert client.get("/warm").status == 200
    line = front.lines(3)[1]
    assert line["end"] == "done" and line["bytes"]["response_body"] == SIZE
    assert line["client"]["response"] == [head.first, head.past + SIZE]


def test_upload(origin, proxy, peer):
    front = proxy(origin(serve_upload))
    client = peer(front)
    watch = warm(front, client)
    head = peers.request("/big", [f"Content-Length: {SIZE}"], method="POST")
    first = client.sent
    client.send(head)
    send_all(client, SIZE)
    assert client.read_response("POST").body == b"ok"
    watch.check()
    line = front.lines(2)[1]
    assert line["end"] == "done" and line["bytes"]["request_body"] == SIZE
    assert line["client"]["request"] == [first, first + len(head) + SIZE]


def test_slow_reader(origin, proxy, peer):
    """A client at 100 KB/s holds the backend back."""
    backend = origin(serve_download)
    front = proxy(backend)
    client = peer(front)
    watch = warm(front, client)
    client.send(peers.request("/big"))
    client.read_head()
    began = time.monotonic()
    while time.monotonic() - began < 3:
        client.skip(10_000)
        time.sleep(0.1)
    sent = backend.conns[0].sent
    time.sleep(0.5)
    assert backend.conns[0].sent - sent < 2_000_000, "the backend was not slowed down"
    assert sent < min(IN_SOCKETS, SIZE), f"{sent} bytes were taken for a client that reads none"
    watch.check()
    before = front.cpu_s()
    time.sleep(1)
    assert front.cpu_s() - before < (0.5 if stack.SLOW else 0.1), "it spins while it waits"
    client.reset()
    assert front.lines(2)[1]["end"] == "client-reset"


def test_slow_backend(origin, proxy, peer):
    """A backend at 100 KB/s holds the client back."""
    def script(conn):
        request = conn.next_request()
        while request and request.target == "/warm":
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            request = conn.read_head()
        try:
            while True:
                conn.skip(10_000)
                time.sleep(0.1)
        except (wire.Truncated, OSError):
            pass

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    watch = warm(front, client)
    client.send(peers.request("/big", [f"Content-Length: {SIZE}"], method="POST"))
    client.sock.setblocking(False)
    began = time.monotonic()
    history = []
    while time.monotonic() - began < 3:
        if not client.send_some(BLOCK):
            time.sleep(0.01)
        history.append((time.monotonic() - began, client.sent))
    early = next(sent for at, sent in history if at > 2.0)
    assert client.sent - early < 2_000_000, "the client was not slowed down"
    assert client.sent < min(IN_SOCKETS, SIZE)
    watch.check()
    client.reset()
    assert front.lines(2)[1]["end"] == "client-reset"


@pytest.mark.memory
def test_many_idle_connections_cost_little(origin, proxy, peer):
    front = proxy(origin(), workers=1)
    peer(front).get()
    before = front.rss_bytes()
    clients = [peer(front) for _ in range(1000)]
    for client in clients[::100]:
        client.get()
    deadline = time.monotonic() + 10
    while front.open_files() < 1000 and time.monotonic() < deadline:
        time.sleep(0.02)
    most = 24576 if tls_mode.CLIENT else 4096
    check.between((front.rss_bytes() - before) / 1000, 0, most, "bytes per idle connection")


@pytest.mark.parametrize("count", [50])
def test_many_slow_readers_at_once(origin, proxy, peer, count):
    """Each may hold its bounded buffer, and not more."""
    def script(conn):
        conn.next_request()
        try:
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
            send_all(conn, 50_000_000)
        except OSError:
            pass

    front = proxy(origin(script))
    before = front.rss_bytes()
    clients = [peer(front, recv_buffer=4096) for _ in range(count)]
    for client in clients:
        client.send(peers.request())
    time.sleep(2)
    if not stack.SLOW:
        grown = front.rss_bytes() - before
        assert grown < count * 600_000 + MEMORY_BYTES, grown
    for client in clients:
        client.reset()
    assert {line["end"] for line in front.lines(count)} == {"client-reset"}
