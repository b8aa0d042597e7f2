"""What is no valid response becomes a 502, and nothing of it reaches any client.

The tables are in tests/data. Behind each malformed response stands a good one in the same packet,
which must never become the answer to anything.
"""

import threading

import pytest

import log
from malformed_bodies import CHUNKS
from malformed_responses import ASKED, EXTRA, HEADS, LENGTH, OK
from origin import Origin, response
import peer as peers
import stack
import wire

EVIL = b"HTTP/1.1 299 Evil\r\nContent-Length: 4\r\n\r\nevil"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BEGUN = b"4\r\ngood\r\n"


class Shared:
    """One proxy and one backend for the whole table. A request for /case is answered by what
    `play` was given; any other is answered honestly, on whatever connection it comes."""

    def __init__(self, workdir):
        self.play = None
        self.backend = Origin(self._script)
        self.front = stack.Flowproxy(self.backend.url, workdir)
        self.tail = log.Tail(self.front.log_path)

    def _script(self, conn):
        while True:
            request = conn.next_request()
            if request is None:
                return
            if request.target == "/case":
                self.play(conn)
                conn.read_to_end()
                return
            conn.reply(response(b"honest"))

    def backend_request(self, line):
        """What the backend read of the exchange, once its connection is over."""
        where = line["backend"]["local"]
        conn = [c for c in self.backend.conns if c.remote_text == where][-1]  # ports come again
        assert conn.done.wait(10), "the backend's connection was left open"
        request = conn.requests[-1]
        assert request.target == "/case"
        return request


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    it = Shared(tmp_path_factory.mktemp("malformed"))
    yield it
    it.front.stop()
    log.check_log(log.read_lines(it.front.log_path))
    it.backend.stop()
    it.backend.check()


def by_name(table):
    return pytest.mark.parametrize("case", table, ids=[case[0] for case in table])


def assert_honest(client):
    """The next request on the same connection gets its own answer."""
    got = client.get("/honest")
    assert (got.status, got.body) == (200, b"honest")


def assert_502(shared, client, got, line, end="bad-response"):
    assert (got.status, got.get("Connection")) == (502, None), got.head
    assert got.get("Content-Type") == "text/plain" and b"exchange" in got.body
    assert (line["status"], line["end"]) == (502, end)
    assert line["client"]["response"] == got.range
    assert line["client"]["interim"] == got.interim_range
    assert line["bytes"]["response_body"] == got.body_bytes
    request = shared.backend_request(line)
    assert line["backend"]["request"] == request.range
    assert line["backend"]["attempts"] == 1, "a malformed answer is no reason to ask again"
    assert line["at_us"]["backend_response_end"] is None
    return request


@by_name(HEADS)
@pytest.mark.parametrize("pieces", ["whole", "bytes"])
def test_in_the_head(shared, peer, case, pieces):
    name, _, raw = case

    def play(conn):
        if pieces == "whole":
            conn.reply(raw + EVIL)
            return
        try:
            for at in range(len(raw)):
                conn.reply(raw[at:at + 1])
            conn.reply(EVIL)
        except OSError:
            pass  # refused before its last byte

    shared.play = play
    client = peer(shared.front)
    got = client.get("/case")
    assert_honest(client)
    line = shared.tail.lines_of(client, 2)[0]
    end = "response-head-too-large" if name == "257 fields" else "bad-response"
    request = assert_502(shared, client, got, line, end)
    first, past = request.reply_range
    if pieces == "whole":
        assert line["backend"]["response"] == [first, past]  # malformed: all bytes read
    else:
        assert line["backend"]["response"][0] == first < line["backend"]["response"][1]


@by_name(ASKED)
def test_for_what_was_asked(shared, peer, case):
    _, _, fields, raw = case
    shared.play = lambda conn: conn.reply(raw + EVIL)
    client = peer(shared.front)
    got = client.get("/case", fields)
    assert_honest(client)
    assert_502(shared, client, got, shared.tail.lines_of(client, 2)[0])


def test_an_interim_response_before_it_has_left(shared, peer):
    """It was right and has its own range; the final one is ours."""
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"

    def play(conn):
        conn.reply_interim(hint)
        conn.reply(OK + b"X : y\r\n" + LENGTH)

    shared.play = play
    client = peer(shared.front)
    got = client.get("/case")
    assert [m.status for m in got.interim] == [103]
    assert_honest(client)
    line = shared.tail.lines_of(client, 2)[0]
    request = assert_502(shared, client, got, line)
    assert line["backend"]["interim"] == request.interim_range
    assert line["backend"]["response"] == request.reply_range


@by_name(CHUNKS)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_in_the_body_at_once(shared, peer, case, version):
    """The head has not left yet: a 502, whatever the client's version."""
    shared.play = lambda conn: conn.reply(CHUNKED + BEGUN + case[2] + EVIL)
    client = peer(shared.front)
    got = client.get("/case", version="HTTP/" + version)
    if version == "1.1":
        assert_honest(client)
        line = shared.tail.lines_of(client, 2)[0]
        request = assert_502(shared, client, got, line)
        assert line["backend"]["response"] == request.reply_range
    else:
        client.expect_eof()
        line = shared.tail.lines_of(client)[0]
        assert (got.status, line["status"], line["end"]) == (502, 502, "bad-response")
        assert got.get("Connection") == "close" and line["client"]["response"] == got.range


@by_name(CHUNKS)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_in_the_body_begun(shared, peer, case, version):
    """The head has left: the client sees that the body is not whole; chunks by their missing end, a
    body that ends with the connection by RST alone."""
    seen = threading.Event()

    def play(conn):
        conn.reply(CHUNKED + BEGUN)
        assert seen.wait(10)
        conn.reply(case[2] + EVIL)

    shared.play = play
    client = peer(shared.front)
    client.send(peers.request("/case", version="HTTP/" + version))
    head = client.read_head()
    good = BEGUN if version == "1.1" else b"good"
    assert client.read_exactly(len(good)) == good
    seen.set()
    rest, how = client.read_to_end()
    assert (rest, how) == (b"", "eof" if version == "1.1" else "reset")
    line = shared.tail.lines_of(client)[0]
    request = shared.backend_request(line)
    assert (head.status, line["status"], line["end"]) == (200, 200, "bad-response")
    assert line["client"]["response"] == [0, client.received]
    assert line["backend"]["response"] == request.reply_range
    log.assert_moments(line, *set(log.MOMENTS) - {"backend_response_end", "response_end"})


@by_name(EXTRA)
@pytest.mark.parametrize("when", ["at once", "later"])
def test_bytes_behind_a_response(shared, peer, case, when):
    """They answer nothing, so whatever follows on that connection cannot be trusted."""
    _, _, method, version, raw, rest = case
    later = threading.Event()

    def at_once(conn):
        conn.requests[-1].reply_range = [conn.sent, conn.sent + len(raw)]
        conn.send(raw + rest)

    def afterwards(conn):
        conn.reply(raw)
        assert later.wait(10)
        try:
            conn.send(rest)
        except OSError:
            pass  # it was not to be used again anyway

    shared.play = at_once if when == "at once" else afterwards
    client = peer(shared.front)
    got = client.get("/case", method=method, version="HTTP/" + version)
    later.set()
    assert b"evil" not in got.body.lower() and got.complete
    if version == "1.0":
        client.expect_eof()
        line = shared.tail.lines_of(client)[0]
        shared.backend_request(line)
    else:
        if when == "later":  # pooled, it is closed as soon as the bytes are there
            assert shared.backend.requests[-1].conn.done.wait(10)
        assert_honest(client)
        line = shared.tail.lines_of(client, 2)[0]
    request = shared.backend_request(line)
    assert (line["end"], line["status"]) == ("done", got.status)
    assert line["client"]["response"] == got.range
    assert line["backend"]["response"] == request.reply_range
    assert shared.backend.requests[-1].conn is not request.conn or version == "1.0"
    log.assert_moments(line, *log.MOMENTS)


def test_a_response_before_any_request_is_not_used(origin, proxy, peer):
    def eager(conn):
        conn.send(OK + b"X-Eager: yes\r\n" + LENGTH)
        conn.read_to_end()

    backend = origin(eager)
    front = proxy(backend)
    client = peer(front)
    try:
        got = client.get()
    except wire.Closed:
        got = None
    # it may be taken for the answer when it comes behind the request, never for a second one
    assert got is None or got.status in (200, 502)
    front.lines(1)
