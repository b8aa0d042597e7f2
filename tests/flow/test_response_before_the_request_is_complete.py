"""The backend's final response comes, whole, while the request's body is still on its way.

However the backend and the client go about it, the client gets all of the response, and what is
still to come of the body becomes no request.
"""

import contextlib
import errno
import threading
import time

import pytest

import check
from faults import EVER, Faults
from origin import response
import peer as peers
import wire

SMALL, BIG = 1000, 12_000_000  # BIG: more than all sockets on the way hold
UPLOAD = 30_000_000
SECRET = b"POST /evil HTTP/1.1\r\nHost: evil\r\nContent-Length: 0\r\n\r\n"


def honest(conn):
    while request := conn.next_request():
        assert request.target == "/next"
        conn.reply(response(b"honest"))


def answering(size, framing, after):
    """Reads the head alone and answers; then: goes on reading, closes, resets, or only waits."""
    def script(conn):
        conn.read_head()
        fields = ["Connection: close"] if after in ("closes", "ends") else []
        with contextlib.suppress(OSError):  # a proxy that wants no more of it
            conn.send(response(b"r" * size, "403 Forbidden", fields, framing))
        if framing == "close" or after == "ends":
            conn.half_close()
        if after == "waits":
            assert conn.origin.over.wait(20)
        elif after != "closes":
            with contextlib.suppress(OSError):
                conn.skip_to_end()

    return script


def body_of(coding, size):
    """The upload's field, and its bytes: they would make a request, if taken for one."""
    part = SECRET * 1000
    if coding == "length":
        return f"Content-Length: {size}", part
    return "Transfer-Encoding: chunked", wire.chunked(part, last=b"")


class Upload(threading.Thread):
    """Sends the body to its end, whatever comes back."""

    def __init__(self, client, part, size):
        super().__init__(daemon=True)
        self.client, self.part, self.size = client, part, size
        self.error = None
        self.start()

    def run(self):
        try:
            sent = 0
            while sent < self.size:
                self.client.send(self.part[:self.size - sent])
                sent += len(self.part)
        except OSError as error:
            self.error = error


# Of a big one that is closed with bytes of the request unread the backend's kernel throws away what
# it has not sent yet.
@pytest.mark.parametrize("coding", ["length", "chunked"])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("size,after", [
    (SMALL, "reads"), (SMALL, "waits"), (SMALL, "ends"), (SMALL, "closes"),
    (BIG, "reads"), (BIG, "waits"), (BIG, "ends")])
def test_of_a_client_that_reads_meanwhile(origin, proxy, peer, size, framing, after, coding):
    backend = origin([answering(size, framing, after), honest])
    backend.over = threading.Event()
    front = proxy(backend)
    files = front.open_files()
    client = peer(front, timeout_s=30)
    field, part = body_of(coding, UPLOAD)
    head = peers.request("/", [field], method="POST")
    client.send(head)
    upload = Upload(client, part, UPLOAD)
    got = client.read_response("POST")
    assert got.status == 403 and got.body == b"r" * size
    assert got.get("Connection") == "close"
    upload.join(35)
    assert not upload.is_alive(), "nobody takes the rest of its body"
    assert upload.error is None, "it was reset in the midst of its body"
    client.half_close()
    client.expect_eof()
    backend.over.set()
    line = front.lines(1)[0]
    assert (line["status"], line["end"], line["backend"]["attempts"]) == (403, "done", 1)
    assert line["client"]["response"] == got.range
    assert line["at_us"]["response_end"] is not None
    whole = line["bytes"]["request_body"] == UPLOAD  # a big response may take as long
    assert (line["at_us"]["request_end"] is not None) == (whole and coding == "length")
    assert not whole or size == BIG
    assert line["bytes"]["response_body"] == size
    assert peer(front).get("/next").body == b"honest"
    for conn in backend.conns:
        with contextlib.suppress(OSError):
            conn.sock.shutdown(2)
    client.close()
    until = time.monotonic() + 10
    while front.open_files() > files + 1:  # the second client
        assert time.monotonic() < until, "descriptors are lost"
        time.sleep(0.01)


@pytest.mark.parametrize("after", ["waits", "ends"])
@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_of_a_client_that_reads_when_it_has_sent_all(origin, proxy, peer, tmp_path, after, coding):
    """Its socket takes nothing of a response that the proxy has whole, and its body has no taker any
    more: it is read all the same, else each would wait for the other."""
    failing = Faults(tmp_path)

    def script(conn):
        conn.read_head()
        failing.arm("send", errno.EAGAIN, count=EVER)
        conn.send(response(b"r" * SMALL, "403 Forbidden"))
        if after == "ends":
            conn.half_close()
        assert conn.origin.over.wait(20)

    backend = origin([script, honest])
    backend.over = threading.Event()
    front = proxy(backend, env=failing.env)
    client = peer(front, timeout_s=30)
    field, part = body_of(coding, UPLOAD)
    client.send(peers.request("/", [field], method="POST"))
    backend.wait_conns(1)
    until = time.monotonic() + 10
    while not failing.hits("send"):
        assert time.monotonic() < until, "the response never came to the proxy"
        time.sleep(0.001)
    upload = Upload(client, part, UPLOAD)
    upload.join(35)
    failing.off()
    backend.over.set()
    assert upload.error is None, "it waits for the end of a body that nobody reads"
    got = client.read_response("POST")
    assert (got.status, got.body_bytes) == (403, SMALL)
    client.half_close()
    client.expect_eof()
    line = front.lines(1)[0]
    assert (line["status"], line["end"]) == (403, "done")
    assert line["client"]["response"] == got.range and line["at_us"]["request_end"] is None
    check.between(line["bytes"]["request_body"], 0, UPLOAD - 1)
    assert peer(front).get("/next").body == b"honest"
