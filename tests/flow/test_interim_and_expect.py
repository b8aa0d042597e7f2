"""1xx responses and Expect: 100-continue pass through, and stand in ranges of their own."""

import check
from origin import answer, response
import peer as peers

HEAD = peers.request("/", ["Expect: 100-continue", "Content-Length: 10"], method="POST")
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"


def test_continue_comes_from_the_backend(origin, proxy, peer):
    def script(conn):
        head = conn.read_head()
        assert head.get("Expect") == "100-continue"
        conn.send(GO_ON)
        assert conn.read_exactly(10) == b"0123456789"
        conn.send(response(b"thanks"))
        conn.read_to_end()

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    client.send(HEAD)
    interim = client.read_head()
    assert interim.start_line == b"HTTP/1.1 100 Continue"
    client.send(b"0123456789")
    got = client.read_response("POST")
    assert got.body == b"thanks"
    line = front.lines(1)[0]
    conn = backend.wait_conns(1)
    assert line["end"] == "done" and line["status"] == 200
    assert line["client"]["request"] == [0, client.sent]
    assert line["client"]["interim"] == interim.range
    assert line["client"]["response"] == got.range
    assert line["backend"]["request"] == [0, conn.taken]
    assert line["backend"]["interim"] == [0, len(GO_ON)]
    assert line["backend"]["response"] == [len(GO_ON), conn.sent]
    assert line["bytes"] == {"request_body": 10, "response_body": 6}


def test_final_answer_instead_of_continue(origin, proxy, peer):
    def script(conn):
        conn.read_head()
        conn.send(response(b"no", status="417 Expectation Failed"))
        conn.read_to_end()

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    client.send(HEAD)
    got = client.read_response("POST")
    got.request_range = [0, len(HEAD)]
    client.expect_eof()  # whether the body comes is unknown, so the connection ends
    line = front.lines(1)[0]
    check.client_leg(line["client"], client, got)
    assert (line["status"], line["end"]) == (417, "done")
    assert line["at_us"]["request_end"] is None and line["at_us"]["response_end"] is not None
    assert backend.wait_conns(1).done.wait(5)


def test_hints_reach_a_client_of_http11(origin, proxy, peer):
    def script(conn):
        while conn.next_request():
            conn.reply_interim(HINTS)
            conn.reply_interim(HINTS)
            conn.reply(response(b"page"))

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    first, second = client.get("/1"), client.get("/2")
    assert [m.status for m in first.interim] == [103, 103]
    assert first.interim[0].get("Link") == "</style.css>; rel=preload"
    lines = front.lines(2)
    check.exchange(lines[0], client, first, backend.requests[0])
    check.exchange(lines[1], client, second, backend.requests[1])


def test_hints_are_kept_from_a_client_of_http10(origin, proxy, peer):
    def script(conn):
        conn.next_request()
        conn.reply_interim(HINTS)
        conn.reply(response(b"page"))
        conn.next_request()

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    got = client.get(version="HTTP/1.0")
    assert got.interim == [] and got.body == b"page"
    line = front.lines(1)[0]
    check.exchange(line, client, got, backend.requests[0])
    assert line["client"]["interim"] is None
    assert line["backend"]["interim"] == [0, len(HINTS)]


def test_expect_of_http10_is_dropped(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    client.send(peers.request("/", ["Expect: 100-continue"], body=b"x" * 10, method="POST",
                              version="HTTP/1.0"))
    assert client.read_response("POST").status == 200
    assert backend.requests[0].get("Expect") is None
    assert front.lines(1)[0]["end"] == "done"


def test_sixty_four_interim_responses_are_enough(origin, proxy, peer):
    backend = origin(answer(GO_ON * 64 + response(b"at last")))
    front = proxy(backend)
    got = peer(front).get()
    assert len(got.interim) == 64 and got.body == b"at last"
    assert front.lines(1)[0]["end"] == "done"


def test_too_many_interim_responses(origin, proxy, peer):
    def script(conn):
        conn.next_request()
        conn.send(GO_ON * 65 + response(b"at last"))
        conn.read_to_end()

    front = proxy(origin(script))
    got = peer(front).get()
    assert got.status == 502
    line = front.lines(1)[0]
    assert (line["status"], line["end"]) == (502, "too-many-interim")


def test_too_many_bytes_of_interim_responses(origin, proxy, peer):
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: <" + b"x" * 8000 + b">\r\n\r\n"

    def script(conn):
        conn.next_request()
        try:
            conn.send(hint * 10 + response(b"at last"))
        except OSError:
            return
        conn.read_to_end()

    front = proxy(origin(script))
    got = peer(front).get()
    assert got.status == 502
    assert front.lines(1)[0]["end"] == "too-many-interim"
