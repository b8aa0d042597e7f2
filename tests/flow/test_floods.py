"""Clients that send without end: each is bounded, has its end word, and others are served meanwhile."""
# run: alone

import collections
import threading
import time

import pytest

import check
import crowd
import log
import peer as peers
import stack

MEMORY_BYTES = 4 << 20
CHUNKED = peers.request("/flood", ["Transfer-Encoding: chunked"], method="POST")


class Flood:
    """work(n), again and again in a thread, n from 0, until the bystander has been measured."""

    def __init__(self, work):
        self.work = work
        self.rounds = 0
        self.over = threading.Event()
        self.error = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            while not self.over.is_set():
                self.work(self.rounds)
                self.rounds += 1
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *failure):
        self.over.set()
        self.thread.join(20)
        assert self.error is None, self.error
        assert self.rounds > 0


def refused(front, raw, status):
    """A work: these bytes, from a new client each time, are answered so."""

    def work(_):
        client = peers.Peer(front.address)
        try:
            client.send(raw)
        except OSError:
            pass  # it was answered before the last byte
        assert client.read_response().status == status
        client.reset()

    return work


HEADS = {
    "one-huge-field": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000, 431, "head-too-large"),
    "many-fields": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X-Name: some value\r\n" * 300, 431,
                    "head-too-large"),
    "tiny-fields": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a:\r\n" * 30_000, 431, "head-too-large"),
    "huge-target": (b"GET /" + b"x" * 100_000, 414, "target-too-long"),
    "endless-name": (b"GET / HTTP/1.1\r\n" + b"n" * 100_000, 431, "head-too-large"),
    "blank-lines": (b"\r\n" * 50_000, 431, "head-too-large"),
    "options": (peers.request("/", ["Connection: " + "a," * 30_000]), 431, "head-too-large"),
    "trailers": (CHUNKED + b"0\r\n" + b"X: y\r\n" * 20_000, 400, "bad-request"),
    "one-trailer": (CHUNKED + b"0\r\nX: " + b"y" * 100_000, 400, "bad-request"),
    "extensions": (CHUNKED + b"1;a=b\r\nx\r\n" * 20_000, 400, "bad-request"),
    "one-extension": (CHUNKED + b"1;" + b"a" * 100_000, 400, "bad-request"),
    "chunk-size": (CHUNKED + b"0" * 100_000, 400, "bad-request"),
}


def test_bombs(apart_backend, proxy, bystander):
    """One kind after the other, again and again, while the bystander is measured."""
    front = proxy(apart_backend.url)
    each = bystander(front)
    watch = crowd.Watch(front, each)
    ends = collections.Counter()
    for raw, status, end in HEADS.values():
        with Flood(refused(front, raw, status)) as flood:
            watch.check_others(times=20, late_s=0.005)
        ends[end] += flood.rounds
    grown = front.rss_bytes() - watch.rss_before
    assert stack.SLOW or grown < MEMORY_BYTES, f"memory grew by {grown} bytes"
    lines = front.lines(each.exchanges + sum(ends.values()), timeout_s=20)
    assert collections.Counter(line["end"] for line in lines) \
        == ends + collections.Counter(done=each.exchanges)
    check.counters(front, lines)


def test_pipelining(apart_backend, proxy, bystander):
    """10 000 requests without reading an answer, then all of them, in order."""
    count = 10_000
    front = proxy(apart_backend.url)
    each = bystander(front)
    watch = crowd.Watch(front, each)
    raw = b"".join(peers.request("*", ["Max-Forwards: 0"], method="OPTIONS") if n % 10 else
                   peers.request(f"/{n}") for n in range(count))
    client = peers.Peer(front.address, recv_buffer=4096, max_segment=536)
    each.begin(watch.seconds)
    sent = quiet = 0
    while sent < len(raw) and quiet < 20:
        took = client.send_some(raw[sent:sent + 65536])
        sent += took
        quiet = 0 if took else quiet + 1
        time.sleep(0 if took else 0.01)
    watch.judge(each.result(), times=10, late_s=0.005)
    grown = front.rss_bytes() - watch.rss_before
    assert stack.SLOW or grown < MEMORY_BYTES, f"memory grew by {grown} bytes"
    watch.check_rest()
    begun = len(log.read_lines(front.log_path)) - each.exchanges
    assert begun < count // 2, "it goes on although nobody reads"
    sender = threading.Thread(target=client.send, args=(raw[sent:],))
    sender.start()
    for n in range(count):
        got = client.read_response("OPTIONS")
        assert (got.status, got.body == b"ok") == (200, n % 10 == 0), n
    sender.join(10)
    lines = front.lines(each.exchanges + count, timeout_s=20)
    mine = [line for line in lines if line["client"]["peer"] == client.local_text]
    assert [line["client"]["nth"] for line in mine] == list(range(1, count + 1))
    assert [line["end"] for line in mine] == ["answered-here" if n % 10 else "done"
                                              for n in range(count)]


def cpu_of(front, work):
    before = front.cpu_s()
    work()
    crowd.settle(front)
    return front.cpu_s() - before


def upload(front, raw):
    """A work: a request with this chunked body is answered."""

    def work():
        client = peers.Peer(front.address)
        client.send(CHUNKED + raw + b"0\r\n\r\n")
        assert client.read_response("POST").status == 200
        client.close()

    return work


def check_linear(front, make, size):
    """Four times as much to do costs about four times as much, never sixteen times."""
    few = cpu_of(front, make(size))
    many = cpu_of(front, make(4 * size))
    assert many < 8 * few + 0.1, f"{few} s of CPU, then {many}"


@pytest.mark.memory
def test_tiny_chunks(apart_backend, proxy):
    front = proxy(apart_backend.url)
    check_linear(front, lambda count: upload(front, b"1\r\nx\r\n" * count), 200_000)
    assert {line["end"] for line in front.lines(2)} == {"done"}


@pytest.mark.memory
def test_trailers_that_connection_names(apart_backend, proxy):
    """Each of thousands of trailers is held against a list that is long, but has few members."""
    front = proxy(apart_backend.url)

    def trailers(count):
        head = peers.request("/", ["Transfer-Encoding: chunked", "Connection: x"
                                   + "," * 30_000 + "y"], method="POST")

        def work():
            client = peers.Peer(front.address)
            client.send(head + b"0\r\n" + b"a:\r\n" * count + b"\r\n")
            assert client.read_response("POST").status == 200
            client.close()

        return work

    spent = cpu_of(front, trailers(15_000))
    assert spent < 0.2, f"{spent} s of CPU for one request of 100 KB"
    assert front.lines(1)[0]["end"] == "done"


@pytest.mark.memory
def test_a_head_byte_by_byte(apart_backend, proxy):
    front = proxy(apart_backend.url)

    def dribble(count):
        def work():
            client = peers.Peer(front.address)
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
            for _ in range(count):
                client.send(b"x")
            client.send(b"\r\n\r\n")
            assert client.read_response().status == 200
            client.close()

        return work

    check_linear(front, dribble, 8_000)
    assert {line["end"] for line in front.lines(2)} == {"done"}


def test_slow_heads(apart_backend, proxy, bystander):
    """A byte now and then does not prolong the limit of a head."""
    front = proxy(apart_backend.url, header_timeout_ms=1000)
    each = bystander(front)
    watch = crowd.Watch(front, each)
    clients = crowd.gather(front, 100, b"GET /slow HTTP/1.1\r\nHost: a\r\nX: ")
    began = time.monotonic()
    each.begin(0.5)
    while time.monotonic() - began < 0.6:
        for client in clients:
            client.send(b"x")
        time.sleep(0.05)
    watch.judge(each.result())
    for client in clients:
        assert client.read_response().status == 408
        client.expect_eof()
    took = time.monotonic() - began
    check.between(took, 0.8, 1.0 + (5.0 if stack.SLOW else 1.5), "seconds")
    lines = front.lines(each.exchanges + 100)
    assert collections.Counter(line["end"] for line in lines) \
        == {"done": each.exchanges, "header-timeout": 100}
    crowd.scatter(clients)
    check.counters(front, lines)


def test_slow_bodies(apart_backend, proxy, bystander):
    """Bodies that stop after half of it: the limit counts from the last byte."""
    front = proxy(apart_backend.url, body_timeout_ms=800)
    each = bystander(front)
    watch = crowd.Watch(front, each)
    head = peers.request("/slow", ["Content-Length: 1000"], method="POST")
    clients = crowd.gather(front, 100, head)
    each.begin(0.5)
    for _ in range(6):
        for client in clients:
            client.send(b"x")
        time.sleep(0.1)
    stopped = time.monotonic()
    watch.judge(each.result())
    for client in clients:
        assert client.read_response("POST").status == 408
        client.expect_eof()
    check.between(time.monotonic() - stopped, 0.6, 0.8 + (5.0 if stack.SLOW else 1.5), "seconds")
    lines = front.lines(each.exchanges + 100)
    assert collections.Counter(line["end"] for line in lines) \
        == {"done": each.exchanges, "body-timeout": 100}
    crowd.scatter(clients)
    check.counters(front, lines)


def test_readers_that_stop(apart_backend, proxy, bystander):
    """They are cut off after send_timeout_ms; others feel nothing."""
    front = proxy(apart_backend.url, send_timeout_ms=800)
    each = bystander(front)
    watch = crowd.Watch(front, each)
    clients = crowd.gather(front, 50, peers.request("/large/100000000"), recv_buffer=4096)
    for client in clients:
        client.read_exactly(100)
    watch.check_others()
    lines = front.lines(each.exchanges + 50)
    assert collections.Counter(line["end"] for line in lines) \
        == {"done": each.exchanges, "client-stalled": 50}
    for client in clients:
        data, _ = client.read_to_end()
        assert len(data) < 100_000_000
    check.counters(front, lines)
