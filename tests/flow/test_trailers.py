"""Trailers of chunked bodies are forwarded, in order, with names and values as sent."""

import check
import peer as peers
import wire

LAST = b"0\r\nX-Checksum: abc\r\nx-second:  two words \r\nX-Checksum: again\r\n\r\n"
TRAILERS = [(b"X-Checksum", b"abc"), (b"x-second", b"two words"), (b"X-Checksum", b"again")]


def test_of_a_request(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    got = client.exchange(
        peers.request("/", ["Transfer-Encoding: chunked", "Trailer: X-Checksum, x-second"],
                      method="POST") + wire.chunked(b"body", last=LAST), "POST")
    request = backend.requests[0]
    assert request.trailers == TRAILERS and request.body == b"body"
    check.exchange(front.lines(1)[0], client, got, request)


def test_of_a_response(origin, proxy, peer):
    def script(conn):
        while conn.next_request():
            conn.reply(b"HTTP/1.1 200 OK\r\nTrailer: X-Checksum\r\nTransfer-Encoding: chunked\r\n"
                       b"\r\n" + wire.chunked(b"body", last=LAST))

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    for n in range(2):
        got = client.get()
        assert got.trailers == TRAILERS and got.body == b"body"
    check.exchange(front.lines(2)[1], client, got, backend.requests[1])


def test_a_client_of_http10_gets_none(origin, proxy, peer):
    def script(conn):
        conn.next_request()
        conn.reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                   + wire.chunked(b"bo", b"dy", last=LAST))
        conn.next_request()

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    got = client.get(version="HTTP/1.0")
    client.expect_eof()
    assert (got.framing, got.body) == ("close", b"body")
    check.exchange(front.lines(1)[0], client, got, backend.requests[0])


def test_framing_fields_among_them_do_no_harm(origin, proxy, peer):
    last = b"0\r\nContent-Length: 5\r\nTransfer-Encoding: gzip\r\nHost: evil\r\nX: y\r\n\r\n"
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    raw = peers.request("/1", ["Transfer-Encoding: chunked"], method="POST") \
        + wire.chunked(b"body", last=last)
    client.send(raw + peers.request("/2"))
    statuses = [client.read_response("POST").status]
    if statuses == [200]:
        assert client.read_response().status == 200
        assert [r.target for r in backend.requests] == ["/1", "/2"]
        names = [n.lower() for n, _ in backend.requests[0].trailers]
        assert not {b"content-length", b"transfer-encoding", b"host"} & set(names)
        front.lines(2)
    else:
        assert statuses == [400]
