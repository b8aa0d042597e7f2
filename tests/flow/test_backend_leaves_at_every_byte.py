"""A backend that leaves after each byte of a request and of a response, by FIN and by RST.

Whatever had come: a client whose response had not begun gets a 502 that names its exchange and is
served on; one whose response had begun sees that it is not whole. Nothing is asked twice.
"""

import socket
import time

import pytest

import log
from origin import Origin, response
import peer as peers
import stack
import wire

INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </style>\r\n\r\n"
FIELDS = b"Content-Type: text/plain\r\n"
BODY = b"0123456789abcdefghij"
SHAPES = {  # interim responses, final head, body
    "length": (b"", b"HTTP/1.1 200 OK\r\n" + FIELDS + b"Content-Length: 20\r\n\r\n", BODY),
    "chunked": (INTERIM, b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"A;ext=1\r\n0123456789\r\n00a\r\nabcdefghij\r\n0\r\nX-Sum: 20\r\n\r\n"),
    "close": (INTERIM * 2, b"HTTP/1.1 200 OK\r\n" + FIELDS + b"\r\n", BODY),
}
WORD = {"fin": "backend-eof", "rst": "backend-reset"}


def leave(conn, how):
    if how == "rst":
        conn.reset()
        return
    conn.half_close()
    conn.read_to_end()


def backend_script(conn):
    """/response/SHAPE/COUNT/HOW: so much of the response; /request/COUNT/HOW: so much is read of the
    request; anything else is answered well. Each connection is used once."""
    head = conn.sock.recv(1 << 16, socket.MSG_PEEK)
    _, kind, *rest = head.split(b" ")[1].decode().split("/")
    if kind == "request":
        read = int(rest[0])
        assert len(conn.sock.recv(read)) == read
        leave(conn, rest[1])
        return
    conn.next_request()
    if kind == "response":
        conn.send(b"".join(SHAPES[rest[0]])[:int(rest[1])])
        leave(conn, rest[2])
        return
    conn.reply(response(b"honest", fields=["Connection: close"]))


class Shared:
    def __init__(self, workdir):
        self.backend = Origin(backend_script)
        self.front = stack.Flowproxy(self.backend.url, workdir)
        self.tail = log.Tail(self.front.log_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    it = Shared(tmp_path_factory.mktemp("bytes"))
    yield it
    it.front.stop()
    log.check_log(log.read_lines(it.front.log_path))
    it.backend.stop()
    it.backend.check()


@pytest.fixture(autouse=True)
def no_descriptor_is_lost(shared):
    before = shared.front.open_files()
    yield
    for conn in shared.backend.conns:
        try:
            conn.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
    shared.backend.conns.clear()
    until = time.monotonic() + 10
    while shared.front.open_files() > before:
        assert time.monotonic() < until, "descriptors are lost"
        time.sleep(0.005)


class Case:
    """One exchange, and the next one of a client that may go on."""

    def __init__(self, shared, peer, target, version):
        self.name = target
        self.client = peer(shared.front)
        self.client.send(peers.request(target, body=BODY, method="POST", version=version))
        self.how = None
        try:
            self.got = self.client.read_response("POST")
        except wire.Truncated as cut:
            self.got, self.how = cut.message, cut.how
        self.next = self.got.status == 502 and self.got.get("Connection") is None
        if self.next:
            assert self.client.get("/next").body == b"honest", target
        elif self.got.complete and self.got.get("Connection") == "close":
            self.client.expect_eof()
        self.client.close()


def each_line(shared, cases):
    """The line of each; all at once, since the log comes in blocks."""
    for case in cases:
        yield case, shared.tail.lines_of(case.client, 1 + case.next)[0]


def check_502(case, line, version):
    got = case.got
    assert got.status == line["status"] == 502 and got.get("Content-Length") == str(len(got.body))
    assert line["id"].encode() in got.body, got.body
    assert line["client"]["response"] == got.range
    assert case.next == (version == "HTTP/1.1"), "its connection goes on where HTTP allows it"


def check_cut(case, line):
    """The head had left: what the client has can not be taken for a whole response."""
    got = case.got
    assert got.status == line["status"] == 200 and not got.complete
    if got.framing == "close":  # the end of the connection would be that of the response
        assert case.how == "reset"
    assert line["client"]["response"] == [got.first, case.client.received]
    assert line["at_us"]["response_end"] is None
    assert line["at_us"]["backend_response_end"] is None


def check_whole(case, line, body):
    assert (case.got.status, case.got.body, line["status"]) == (200, body, 200)
    assert case.got.complete and line["client"]["response"] == case.got.range
    log.assert_moments(line, *log.ALL_MOMENTS)


def check_response(case, line, shape, count, how, version):
    interim, head, body = SHAPES[shape]
    begun, whole = len(interim + head), len(interim + head + body)
    complete = count == whole if shape != "close" else how == "fin" and count >= begun
    assert line["end"] == ("done" if complete else WORD[how])
    assert line["backend"]["attempts"] == 1
    told = [at for at in (len(INTERIM), 2 * len(INTERIM)) if at <= min(count, len(interim))]
    first = told[-1] if told else 0
    assert line["backend"]["interim"] == ([0, first] if told else None)
    assert len(case.got.interim) == (len(told) if version == "HTTP/1.1" else 0)
    assert line["backend"]["response"] == ([first, count] if count > first else None)
    if complete:
        check_whole(case, line, BODY if shape != "close" else BODY[:count - begun])
    elif count < begun:
        check_502(case, line, version)
    else:
        check_cut(case, line)


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("shape", SHAPES)
def test_of_the_response(shared, peer, shape, how, version):
    cases = [Case(shared, peer, f"/response/{shape}/{count}/{how}", version)
             for count in range(len(b"".join(SHAPES[shape])) + 1)]
    for count, (case, line) in enumerate(each_line(shared, cases)):
        try:
            check_response(case, line, shape, count, how, version)
        except AssertionError as error:
            raise AssertionError(f"{case.name}: {line}") from error


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_of_the_request(shared, peer, how):
    probe = Case(shared, peer, f"/request/1/{how}", "HTTP/1.1")
    first, past = next(each_line(shared, [probe]))[1]["backend"]["request"]
    # the target is longer by up to two digits
    cases = [Case(shared, peer, f"/request/{count}/{how}", "HTTP/1.1")
             for count in range(1, past - first + 1)]
    for case, line in each_line(shared, cases):
        assert (line["end"], line["backend"]["attempts"]) == (WORD[how], 1), line
        assert line["backend"]["response"] is None
        assert line["bytes"]["request_body"] == len(BODY)
        check_502(case, line, "HTTP/1.1")
