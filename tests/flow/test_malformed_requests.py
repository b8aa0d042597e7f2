"""What is no valid request is answered, logged, and never forwarded, not even in part.

The tables are in tests/data. Behind each malformed request stands a good one in the same packet,
which must never reach the backend: nobody knows where a malformed message ends.
"""

import re
import time

import pytest

import log
from malformed_bodies import CHUNKS
from malformed_requests import BEHIND, FRAMED, HEADS
from origin import Origin, response
import peer as peers
import stack
import tls_mode

GOOD = peers.request("/smuggled", ["X-Smuggled: yes"])
CHUNKED_HEAD = peers.request("/first", ["Transfer-Encoding: chunked"], method="POST")
BEGUN = b"3\r\nabc\r\n"


def script(conn):
    """Answers whole requests; what else came is looked at by the tests and at their end."""
    while True:
        request = conn.next_request()
        if request is None:
            return
        conn.reply(response(b"first"))


class Shared:
    """One proxy and one backend for the whole table; each case looks at its own line."""

    def __init__(self, workdir):
        self.backend = Origin(script)
        self.backend.forgive = True  # it sees requests that are cut short
        # no pool: the bytes of each connection are counted from 0
        self.front = stack.Flowproxy(self.backend.url, workdir, settings={"pool_size": 0})
        self.tail = log.Tail(self.front.log_path)

    def backend_conn(self, line):
        """The backend's end of the connection that the line names, when it is over."""
        where = line["backend"]["local"]
        self.backend.wait(lambda: any(c.remote_text == where for c in self.backend.conns), where)
        conn = [c for c in self.backend.conns if c.remote_text == where][-1]  # ports come again
        assert conn.done.wait(10), "the backend's connection was left open"
        return conn


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    it = Shared(tmp_path_factory.mktemp("malformed"))
    yield it
    it.front.stop()
    log.check_log(log.read_lines(it.front.log_path))
    it.backend.stop()
    for conn in it.backend.conns:
        assert b"smuggled" not in conn.received_bytes.lower(), bytes(conn.received_bytes)


def blank_bytes(raw):
    """Of the empty lines before a request, which belong to none."""
    return len(re.match(rb"(\r\n)*", raw).group())


def by_name(table):
    return pytest.mark.parametrize("case", table, ids=[case[0] for case in table])


def assert_refused(client, got, line, status, end):
    """The answer, its end, and the line that tells of it."""
    assert (got.status, got.get("Connection")) == (status, "close"), got.head
    assert got.get("Date") and (got.get("Allow") is None) == (status != 405)
    client.expect_eof()
    assert (line["status"], line["end"]) == (status, end)
    assert line["client"]["response"] == got.range
    assert line["client"]["peer"] == client.local_text
    assert line["bytes"]["response_body"] == got.body_bytes


def assert_moments(line, *others):
    log.assert_moments(line, "response_end", *others)


@by_name(HEADS)
def test_in_the_head(shared, peer, case):
    _, _, raw, status, end = case
    method = "HEAD" if raw.startswith(b"HEAD") else "GET"
    before = len(shared.backend.conns)
    client = peer(shared.front)
    client.send(raw + GOOD)
    got = client.read_response(method)
    line = shared.tail.lines_of(client)[0]
    assert_refused(client, got, line, status, end)
    # malformed: all bytes read
    assert line["client"]["request"] == [blank_bytes(raw), len(raw + GOOD)]
    assert line["backend"] is None and line["bytes"]["request_body"] == 0
    assert_moments(line)
    assert len(shared.backend.conns) == before


def dribble(clients, raws):
    """A byte to each in turn, so that each byte is a segment of its own, until it is refused."""
    for at in range(max(len(raw) for raw in raws)):
        for client, raw in zip(clients, raws):
            if at < len(raw):
                client.send(raw[at:at + 1])


def test_in_the_head_in_dribbles(shared, peer):
    """The same answer and word for all of them, whatever came after the byte that was too much."""
    cases = [case for case in HEADS if len(case[2]) < 400]
    assert len(cases) > 250
    before = len(shared.backend.conns)
    for first in range(0, len(cases), 100):
        part = cases[first:first + 100]
        clients = [peer(shared.front) for _ in part]
        dribble(clients, [raw for _, _, raw, _, _ in part])
        for client, (name, _, raw, status, end) in zip(clients, part):
            client.send(GOOD)
            got = client.read_response("HEAD" if raw.startswith(b"HEAD") else "GET")
            line = shared.tail.lines_of(client)[0]
            try:
                assert_refused(client, got, line, status, end)
                low, past = line["client"]["request"]
                # The last byte and what follows it may come in one read.
                assert low == blank_bytes(raw) < past <= len(raw) or past == len(raw + GOOD)
                assert line["backend"] is None
                assert_moments(line)
            except AssertionError as failure:
                raise AssertionError(f"{name}: {failure}") from failure
    assert len(shared.backend.conns) == before


@by_name(FRAMED)
def test_not_for_the_backend(shared, peer, case):
    """Right in themselves; what follows a CONNECT is meant for its tunnel and is no request."""
    name, _, raw, status, end = case
    client = peer(shared.front)
    client.send(raw + GOOD)
    got = client.read_response()
    line = shared.tail.lines_of(client)[0]
    assert_refused(client, got, line, status, end)
    assert line["client"]["request"] == [0, len(raw)] and line["backend"] is None
    assert_moments(line, *([] if "body" in name else ["request_end"]))


@by_name(BEHIND)
def test_behind_a_whole_request(shared, peer, case):
    _, _, first, rest, status, end = case
    client = peer(shared.front)
    client.send(first + rest + GOOD)
    assert client.read_response("POST").body == b"first"
    got = client.read_response()
    lines = shared.tail.lines_of(client, 2)
    assert_refused(client, got, lines[1], status, end)
    assert lines[0]["end"] == "done" and lines[0]["client"]["request"] == [0, len(first)]
    assert lines[1]["client"]["request"] == [len(first) + blank_bytes(rest),
                                             len(first + rest + GOOD)]
    assert lines[1]["backend"] is None
    sent = shared.backend.requests[-1]
    assert sent.target == "/first" and lines[0]["backend"]["request"] == sent.range
    assert sent.body in first


def received_up_to(mark, conn):
    until = time.monotonic() + 10
    while not conn.received_bytes.endswith(mark):
        assert time.monotonic() < until, bytes(conn.received_bytes)
        time.sleep(0.001)
    return bytes(conn.received_bytes)


@by_name(CHUNKS)
@pytest.mark.parametrize("begun", [False, True], ids=["at once", "begun"])
def test_in_the_body(shared, peer, case, begun):
    """At once: not a byte leaves. Begun: what was right before, and the backend sees an end."""
    _, _, bad = case
    backend, client = shared.backend, peer(shared.front)
    before = len(backend.conns)
    sent = b""
    if begun:
        client.send(CHUNKED_HEAD + BEGUN)
        sent = received_up_to(BEGUN, backend.wait_conns(before + 1))
        client.send(bad + GOOD)
    else:
        client.send(CHUNKED_HEAD + bad + GOOD)
    got = client.read_response("POST")
    line = shared.tail.lines_of(client)[0]
    assert_refused(client, got, line, 400, "bad-request")
    assert line["client"]["request"] == [0, client.sent]
    conn = shared.backend_conn(line)
    # Over TLS its session tickets may stand unread when the proxy leaves it.
    assert bytes(conn.received_bytes) == sent
    assert conn.ended == "eof" or tls_mode.BACKEND and conn.ended == "reset"
    assert line["backend"]["request"] == ([0, len(sent)] if begun else None)
    assert line["backend"]["response"] is None and line["backend"]["attempts"] == 1
    assert_moments(line, "backend_ready")


def test_a_fault_behind_more_than_is_kept(shared, peer):
    """All bytes read, also those beyond the 16 KiB that wait for a connection."""
    client = peer(shared.front)
    raw = CHUNKED_HEAD + b"5000\r\n" + b"x" * 0x5000 + b"bad" + b"y" * 1000
    client.send(raw)
    got = client.read_response("POST")
    line = shared.tail.lines_of(client)[0]
    assert_refused(client, got, line, 400, "bad-request")
    assert line["client"]["request"] == [0, len(raw)]
    assert b"bad" not in shared.backend_conn(line).received_bytes


def test_the_rest_is_read_so_that_the_answer_is_not_lost(shared, peer):
    client = peer(shared.front)
    client.send(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n")
    for _ in range(50):
        client.send(b"x" * 20_000)
    got = client.read_response()
    client.expect_eof()
    assert got.status == 400
    assert shared.tail.lines_of(client)[0]["client"]["request"][1] < client.sent
