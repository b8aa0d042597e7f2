"""Clients of HTTP/1.0: one request a connection unless they ask, no chunks, no 1xx."""

import check
from origin import answer, response
import peer as peers
import wire


def test_connection_ends_after_the_answer(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    got = client.get(version="HTTP/1.0")
    client.expect_eof()
    assert got.body == b"ok" and got.get("Connection") in (None, "close")
    line = front.lines(1)[0]
    check.exchange(line, client, got, backend.requests[0])
    assert line["version"] == "1.0"
    assert backend.requests[0].version == "HTTP/1.1"


def test_keep_alive_when_asked_and_length_known(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    for _ in range(3):
        got = client.get(fields=["Connection: Keep-Alive"], version="HTTP/1.0")
        assert got.get("Connection").lower() == "keep-alive"
    client.get(version="HTTP/1.0")
    client.expect_eof()
    assert [line["client"]["nth"] for line in front.lines(4)] == [1, 2, 3, 4]
    assert len(backend.conns) == 1


def test_chunks_are_decoded_and_ended_by_close(origin, proxy, peer):
    backend = origin(answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                            + wire.chunked(b"one ", b"two ", b"three")))
    front = proxy(backend)
    client = peer(front)
    got = client.get(fields=["Connection: keep-alive"], version="HTTP/1.0")
    client.expect_eof()
    assert (got.framing, got.body) == ("close", b"one two three")
    assert got.get("Connection") in (None, "close")
    check.exchange(front.lines(1)[0], client, got, backend.requests[0])
    client = peer(front)
    client.get(version="HTTP/1.0")
    assert len(backend.conns) == 1, "decoding must not cost the backend's connection"
    front.lines(2)


def test_a_response_cut_in_the_middle_is_no_complete_one(origin, proxy, peer):
    """Decoded chunks are ended by close: only RST can tell that they are not all."""
    def script(conn):
        conn.next_request()
        conn.reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")

    front = proxy(origin(script))
    client = peer(front)
    client.send(peers.request(version="HTTP/1.0"))
    _, how = client.read_to_end()
    assert how == "reset"
    assert front.lines(1)[0]["end"] == "backend-eof"


def test_post_and_missing_host(origin, proxy, peer):
    backend = origin()
    front = proxy(backend, missing_host="reject")
    client = peer(front)
    got = client.exchange(peers.request(body=b"abc", method="POST", version="HTTP/1.0", host=None),
                          "POST")
    assert got.status == 200
    assert backend.requests[0].get("Host") == backend.text
    assert backend.requests[0].body == b"abc"
    check.exchange(front.lines(1)[0], client, got, backend.requests[0])


def test_close_framing_for_keep_alive_of_head(origin, proxy, peer):
    backend = origin(answer(response(b"", fields=["X: y"])))
    front = proxy(backend)
    client = peer(front)
    got = client.get(fields=["Connection: keep-alive"], method="HEAD", version="HTTP/1.0")
    assert got.get("Connection").lower() == "keep-alive"
    client.get(version="HTTP/1.0")
    front.lines(2)
