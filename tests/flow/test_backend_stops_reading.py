"""A backend that takes the head of an upload and then nothing, until no window is open and the client
cannot send any more; and what may happen next."""

import contextlib
import threading
import time

import pytest

import check
from origin import response
import peer as peers
import stack

LENGTH = 80_000_000  # more than all sockets on the way hold
LIMIT_MS = 600
LATE_S = 5.0 if stack.SLOW else 2.0
BLOCK = b"u" * 100_000


class Stall:
    """An upload that has come to a stop. The backend goes on with `then(conn)`."""

    def __init__(self, origin, proxy, peer, then, **settings):
        self.go = threading.Event()
        self.backend = origin([self._script, self.honest])
        self.backend.forgive = True  # what it does at the end may come too late
        self.front = proxy(self.backend, **settings)
        self.files = self.front.open_files()
        self.peer = peer
        self.then = then
        self.client = peer(self.front, timeout_s=30)
        self.client.send(peers.request("/", [f"Content-Length: {LENGTH}"], method="POST"))
        self.head = self.client.sent
        self._fill()

    def _script(self, conn):
        conn.read_head()
        assert self.go.wait(20)
        if self.then:
            self.then(conn)

    @staticmethod
    def honest(conn):
        while conn.next_request():
            conn.reply(response(b"honest"))

    def _fill(self):
        """Until the client can send no more, and the proxy has nothing to do."""
        self.client.sock.setblocking(False)
        until = time.monotonic() + 20
        quiet = 0
        while quiet < 20:
            assert time.monotonic() < until and self.client.sent < LENGTH
            sent = self.client.send_some(BLOCK)
            quiet = 0 if sent or set(self.front.thread_states()) != {"S"} else quiet + 1
            if not sent:
                time.sleep(0.005)
        self.client.sock.settimeout(30)

    def send_rest(self):
        left = LENGTH - (self.client.sent - self.head)
        while left > 0:
            part = BLOCK[:left]
            self.client.send(part)
            left -= len(part)

    def finish(self):
        """Others are served, and nothing is left. The log's line."""
        line = self.front.lines(1)[0]
        self.go.set()
        with contextlib.suppress(OSError):
            self.client.close()
        client = self.peer(self.front)
        assert client.get().body == b"honest"
        client.close()
        for conn in self.backend.conns:
            with contextlib.suppress(OSError):
                conn.sock.shutdown(2)
        until = time.monotonic() + 10
        while self.front.open_files() > self.files:
            assert time.monotonic() < until, "descriptors are lost"
            time.sleep(0.01)
        assert line["backend"]["attempts"] == 1
        assert line["backend"]["request"][1] - line["client"]["request"][1] < 1000
        return line


def test_it_reads_on(origin, proxy, peer):
    """Nothing is lost, and the time that it took is no fault."""
    got_bytes = []

    def read_on(conn):
        conn.skip(LENGTH)
        got_bytes.append(LENGTH)
        conn.send(response(b"all of it"))
        Stall.honest(conn)

    stall = Stall(origin, proxy, peer, read_on)
    stall.go.set()
    stall.send_rest()
    got = stall.client.read_response("POST")
    assert (got.status, got.body, got.get("Connection")) == (200, b"all of it", None)
    assert got_bytes == [LENGTH]
    line = stall.finish()
    assert (line["end"], line["bytes"]["request_body"]) == ("done", LENGTH)


def test_it_reads_a_little_now_and_then(origin, proxy, peer):
    """Its kernel takes bytes, though our socket, with megabytes in its buffer, tells of no room."""
    def sip(conn):
        until = time.monotonic() + 3 * LIMIT_MS / 1000
        while time.monotonic() < until:
            conn.skip(200_000)
            time.sleep(LIMIT_MS / 1000 / 6)
        conn.skip_to_end()

    stall = Stall(origin, proxy, peer, sip, backend_timeout_ms=LIMIT_MS)
    stall.go.set()
    with pytest.raises(AssertionError, match="0 of 1 lines"):
        print(stall.front.lines(1, timeout_s=2 * LIMIT_MS / 1000))
    stall.client.reset()
    assert stall.finish()["end"] == "client-reset"


@pytest.mark.parametrize("how", ["FIN", "RST", "close"])
def test_it_leaves(origin, proxy, peer, how):
    def leave(conn):
        if how == "RST":
            conn.reset()
        elif how == "FIN":
            conn.half_close()
            assert conn.origin.over.wait(20)

    stall = Stall(origin, proxy, peer, leave)
    stall.backend.over = threading.Event()
    stall.go.set()
    got = stall.client.read_response("POST")
    stall.send_rest()  # it is not reset while it still sends
    stall.client.half_close()
    stall.client.expect_eof()
    stall.backend.over.set()
    line = stall.finish()
    end = "backend-eof" if how == "FIN" else "backend-reset"
    assert (got.status, line["status"], line["end"]) == (502, 502, end)
    assert line["id"].encode() in got.body and got.get("Connection") == "close"
    assert line["client"]["response"] == got.range
    assert line["at_us"]["request_end"] is None


@pytest.mark.parametrize("after", ["waits", "closes"])
def test_it_answers(origin, proxy, peer, after):
    def reply(conn):
        conn.send(response(b"enough", "413 Content Too Large"))
        if after == "waits":
            assert conn.origin.over.wait(20)

    stall = Stall(origin, proxy, peer, reply)
    stall.backend.over = threading.Event()
    stall.go.set()
    got = stall.client.read_response("POST")
    stall.send_rest()
    stall.client.half_close()
    stall.client.expect_eof()
    stall.backend.over.set()
    line = stall.finish()
    assert (got.status, got.body, got.get("Connection")) == (413, b"enough", "close")
    assert (line["status"], line["end"]) == (413, "done")
    assert line["client"]["response"] == got.range
    assert line["at_us"]["request_end"] is None


def test_it_never_goes_on(origin, proxy, peer):
    stall = Stall(origin, proxy, peer, None, backend_timeout_ms=LIMIT_MS)
    began = time.monotonic()
    got = stall.client.read_response("POST")
    check.between(time.monotonic() - began, 0, LIMIT_MS / 1000 + LATE_S, "seconds")
    stall.send_rest()
    stall.client.half_close()
    stall.client.expect_eof()
    line = stall.finish()
    assert (got.status, line["status"], line["end"]) == (504, 504, "backend-stalled")
    assert line["id"].encode() in got.body
    assert line["client"]["response"] == got.range


@pytest.mark.parametrize("how", ["RST", "FIN"])
def test_the_client_leaves(origin, proxy, peer, how):
    """Its RST ends all at once; its FIN stands behind bytes that nobody can take."""
    stall = Stall(origin, proxy, peer, None, backend_timeout_ms=60000 if how == "RST" else LIMIT_MS)
    if how == "RST":
        stall.client.reset()
    else:
        stall.client.half_close()
    line = stall.front.lines(1, timeout_s=5)[0]
    if how == "RST":
        assert (line["status"], line["end"]) == (None, "client-reset")
    else:
        assert (line["status"], line["end"]) == (504, "backend-stalled")
        assert stall.client.read_response("POST").status == 504
    stall.finish()
