"""The backend answers before it has read the request."""

import threading

import check
from origin import response
import peer as peers


def test_a_final_answer_ends_the_upload(origin, proxy, peer):
    def script(conn):
        conn.read_head()
        conn.send(response(b"too much", status="413 Content Too Large"))
        conn.read_to_end()

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    client.send(peers.request("/", ["Content-Length: 100000000"], method="POST") + b"x" * 1000)
    got = client.read_response("POST")
    assert (got.status, got.body) == (413, b"too much")
    assert got.get("Connection") == "close"
    client.expect_eof()
    line = front.lines(1)[0]
    assert (line["status"], line["end"]) == (413, "done")
    assert line["at_us"]["request_end"] is None
    assert line["at_us"]["backend_response_end"] is not None
    assert line["at_us"]["response_end"] is not None
    assert line["client"]["response"] == got.range
    assert line["client"]["request"] == [0, client.sent]
    assert backend.wait_conns(1).done.wait(5), "the backend's connection was left open"


def test_a_client_that_sends_on_still_gets_the_answer(origin, proxy, peer):
    """Closing at once would answer its bytes with RST, and the response would be lost."""
    def script(conn):
        conn.read_head()
        conn.send(response(b"too much", status="413 Content Too Large"))
        conn.read_to_end()

    front = proxy(origin(script))
    client = peer(front)
    client.send(peers.request("/", ["Content-Length: 100000000"], method="POST"))
    sent = 0

    def upload():
        nonlocal sent
        try:
            for _ in range(100):
                client.send(b"x" * 100_000)
                sent += 100_000
        except OSError:
            pass

    sender = threading.Thread(target=upload)
    sender.start()
    sender.join(10)
    got = client.read_response("POST")
    assert (got.status, got.body) == (413, b"too much")
    line = front.lines(1)[0]
    first, past = line["client"]["request"]
    # what was read only to be thrown away belongs to no range
    assert first == 0 and past <= client.sent
    assert line["bytes"]["request_body"] <= sent


def test_both_directions_at_the_same_time(origin, proxy, peer):
    """A response that begins early but ends after the request is an ordinary exchange."""
    def script(conn):
        head = conn.read_head()
        conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(10):
            conn.send(b"3e8\r\n" + conn.read_exactly(1000) + b"\r\n")
        conn.send(b"0\r\n\r\n")
        assert head.get("Content-Length") == "10000"
        conn.next_request()
        conn.send(response(b"next"))
        conn.read_to_end()

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    head = peers.request("/", ["Content-Length: 10000"], method="POST")
    client.send(head)
    for n in range(10):
        client.send(b"%d" % n * 1000)
        if n == 4:
            answer = client.read_head()
            assert answer.status == 200
    body = client.read_until(b"\r\n0\r\n\r\n")
    assert len(body) == 10 * 1007 + 5
    if answer.get("Connection") == "close":  # it was not sure yet that the request would end
        client.expect_eof()
        client = peer(front)
    assert client.get("/next").body == b"next"
    line = front.lines(2)[0]
    assert (line["status"], line["end"]) == (200, "done")
    assert line["client"]["request"] == [0, len(head) + 10000]
    assert line["bytes"] == {"request_body": 10000, "response_body": 10000}
    assert all(us is not None for us in line["at_us"].values())
    assert line["at_us"]["backend_response_start"] <= line["at_us"]["request_end"]
    assert len(backend.conns) == 1


def test_early_answer_to_chunks(origin, proxy, peer):
    def script(conn):
        conn.read_head()
        conn.send(response(b"no", status="403 Forbidden"))
        conn.read_to_end()

    front = proxy(origin(script))
    client = peer(front)
    client.send(peers.request("/", ["Transfer-Encoding: chunked"], method="POST")
                + b"5\r\nhello\r\n")
    got = client.read_response("POST")
    assert got.status == 403
    client.expect_eof()
    line = front.lines(1)[0]
    assert (line["status"], line["end"]) == (403, "done")
    check.between(line["client"]["request"][1], client.sent - 10, client.sent)


def test_early_answer_and_close_of_the_backend(origin, proxy, peer):
    """It does not even wait for the peer: the response counts all the same."""
    def script(conn):
        conn.read_head()
        conn.send(response(b"no", status="403 Forbidden", fields=["Connection: close"]))
        conn.half_close()
        conn.read_to_end()

    front = proxy(origin(script))
    client = peer(front)
    client.send(peers.request("/", ["Content-Length: 1000000"], method="PUT") + b"x" * 500_000)
    got = client.read_response("PUT")
    assert (got.status, got.body) == (403, b"no")
    assert front.lines(1)[0]["end"] == "done"
