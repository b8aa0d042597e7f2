"""A FIN says "I send no more", not "I am gone"."""

import time

import check
from origin import answer, response
import peer as peers


def test_after_a_complete_request(origin, proxy, peer):
    def script(conn):
        conn.next_request()
        time.sleep(0.2)
        conn.reply(response(b"late"))
        conn.next_request()

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    raw = peers.request()
    client.send(raw)
    client.half_close()
    got = client.read_response()
    got.request_range = [0, len(raw)]
    assert got.body == b"late"
    client.expect_eof()
    check.exchange(front.lines(1)[0], client, got, backend.requests[0])


def test_after_several_pipelined_requests(origin, proxy, peer):
    backend = origin(answer(response(b"1"), response(b"2"), response(b"3" * 100_000)))
    front = proxy(backend)
    client = peer(front)
    client.send(peers.request("/1") + peers.request("/2") + peers.request("/3"))
    client.half_close()
    assert [client.read_response().body[:1] for _ in range(3)] == [b"1", b"2", b"3"]
    client.expect_eof()
    assert [line["end"] for line in front.lines(3)] == ["done"] * 3


def test_behind_a_body(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    client.send(peers.request("/", ["Content-Length: 100000"], method="POST") + b"x" * 50_000)
    time.sleep(0.05)
    client.send(b"y" * 50_000)
    client.half_close()
    got = client.read_response("POST")
    assert got.status == 200 and backend.requests[0].body_bytes == 100_000
    client.expect_eof()
    assert front.lines(1)[0]["end"] == "done"


def test_between_exchanges_it_is_an_ordinary_close(origin, proxy, peer):
    front = proxy(origin())
    client = peer(front)
    client.get()
    client.half_close()
    client.expect_eof()
    assert len(front.lines(1)) == 1


def test_without_a_byte_there_is_no_line(origin, proxy, peer):
    front = proxy(origin())
    client = peer(front)
    client.half_close()
    client.expect_eof()
    peer(front).get()
    front.lines(1)


def test_within_the_head(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    client.send(b"GET /half HTTP/1.1\r\nHost: a\r\n")
    client.half_close()
    rest, _ = client.read_to_end()
    assert rest == b""
    line = front.lines(1)[0]
    assert (line["end"], line["status"], line["backend"]) == ("client-eof", None, None)
    assert line["client"]["request"] == [0, client.sent] and line["client"]["response"] is None
    assert not backend.conns


def test_within_the_body(origin, proxy, peer):
    backend = origin()
    backend.forgive = True
    front = proxy(backend)
    client = peer(front)
    head = peers.request("/", ["Content-Length: 1000"], method="POST")
    client.send(head + b"x" * 500)
    client.half_close()
    rest, _ = client.read_to_end()
    assert rest == b""
    line = front.lines(1)[0]
    assert (line["end"], line["status"]) == ("client-eof", None)
    assert line["client"]["request"] == [0, len(head) + 500]
    assert line["at_us"]["request_end"] is None
    assert line["bytes"]["request_body"] == 500
    if line["backend"]:
        assert backend.wait_conns(1).done.wait(5)
    assert not backend.requests


def test_of_the_backend_behind_its_response(origin, proxy, peer):
    """Its last data came with a FIN: the connection is not given to the next request."""
    def script(conn):
        conn.next_request()
        conn.send_with_fin(response(b"last"))
        conn.read_to_end()

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    for _ in range(20):
        assert client.post(b"x").body == b"last"
    for line in front.lines(20):
        assert (line["end"], line["backend"]["nth"], line["backend"]["attempts"]) == ("done", 1, 1)
