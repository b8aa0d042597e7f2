"""A response without length or chunks ends with the connection, and only a FIN makes it whole."""

import threading

import pytest

import check
from origin import answer_and_close, response
import wire


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_fin_completes_it(origin, proxy, peer, version):
    backend = origin(answer_and_close(response(b"tail " * 1000, framing="close")))
    front = proxy(backend)
    client = peer(front)
    got = client.get(version=version)
    assert got.body == b"tail " * 1000
    line = front.lines(1)[0]
    check.exchange(line, client, got, backend.requests[0])
    if got.framing == "close":
        assert client.ended == "eof"


def test_version_10_of_the_backend(origin, proxy, peer):
    backend = origin(answer_and_close(b"HTTP/1.0 200 OK\r\nX: y\r\n\r\nold"))
    front = proxy(backend)
    client = peer(front)
    got = client.get()
    assert got.body == b"old" and got.version == "HTTP/1.1"
    check.exchange(front.lines(1)[0], client, got, backend.requests[0])


def test_rst_does_not_complete_it(origin, proxy, peer):
    def script(conn):
        conn.next_request()
        conn.reply(response(b"half", framing="close"))
        assert conn.origin.seen.wait(5)
        conn.reset()

    backend = origin(script)
    backend.seen = threading.Event()
    front = proxy(backend)
    client = peer(front)
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    head = client.read_head()
    assert head.status == 200
    backend.seen.set()
    rest, how = client.read_to_end()
    # chunked: without the last chunk; until close: only RST can say it
    if head.get("Transfer-Encoding") == "chunked":
        assert not rest.endswith(b"0\r\n\r\n")
    else:
        assert how == "reset", rest
    line = front.lines(1)[0]
    assert (line["end"], line["status"]) == ("backend-reset", 200)
    assert line["at_us"]["response_end"] is None


def test_client_that_goes_on_gets_another_connection(origin, proxy, peer):
    backend = origin([answer_and_close(response(b"tail", framing="close")),
                      answer_and_close(response(b"next"))])
    front = proxy(backend)
    client = peer(front)
    first = client.get("/1")
    assert first.body == b"tail"
    try:
        second = client.get("/2")
    except (wire.Closed, OSError):
        second = peer(front).get("/2")
    assert second.body == b"next"
    lines = front.lines(2)
    assert [line["backend"]["reused"] for line in lines] == [False, False]
