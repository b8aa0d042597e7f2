"""Several requests at once on one connection: answers in order, ranges side by side."""

import check
from origin import echo
import peer as peers
import wire


def pipelined():
    """Ten requests of every kind, with what their answers carry."""
    requests, bodies = [], []
    for n in range(10):
        body = b"%d" % n * (n * 7)
        if n % 3 == 0:
            requests.append(peers.request(f"/{n}"))
            body = b""
        elif n % 3 == 1:
            requests.append(peers.request(f"/{n}", body=body, method="POST"))
        else:
            requests.append(peers.request(f"/{n}", ["Transfer-Encoding: chunked"], method="PUT")
                            + wire.chunked(body[:5], body[5:]))
        bodies.append(body)
    return requests, bodies


def assert_answered(backend, front, client, requests, bodies, answers):
    assert [a.body for a in answers] == bodies
    assert [a.get("X-Target") for a in answers] == [f"/{n}" for n in range(10)]
    lines = front.lines(10)
    at = 0
    for n, line in enumerate(lines):
        answers[n].request_range = [at, at + len(requests[n])]
        at += len(requests[n])
        check.exchange(line, client, answers[n], backend.requests[n])
        assert line["client"]["nth"] == n + 1
    return lines


def test_ten_in_one_segment(origin, proxy, peer):
    backend = origin(echo)
    front = proxy(backend)
    client = peer(front)
    requests, bodies = pipelined()
    client.send(b"".join(requests))
    answers = [client.read_response() for _ in requests]
    lines = assert_answered(backend, front, client, requests, bodies, answers)
    # start is the read that brought the first byte: the same one for all, but for the tick by
    # which two readings of the difference between the clocks may disagree
    starts = sorted(line["start"] for line in lines)
    assert int(starts[-1][20:29]) - int(starts[0][20:29]) in range(50_000), starts
    assert len(backend.conns) == 1


def test_split_anywhere(origin, proxy, peer):
    backend = origin(echo)
    front = proxy(backend)
    requests, bodies = pipelined()
    raw = b"".join(requests)
    client = peer(front)
    client.send_pieces([raw[at:at + 37] for at in range(0, len(raw), 37)], pause_s=0.002)
    answers = [client.read_response() for _ in requests]
    assert_answered(backend, front, client, requests, bodies, answers)


def test_forty_requests_are_more_than_one_turn(origin, proxy, peer):
    backend = origin(echo)
    front = proxy(backend)
    client = peer(front)
    client.send(b"".join(peers.request(f"/{n}") for n in range(40)))
    assert [client.read_response().get("X-Target") for _ in range(40)] == \
        [f"/{n}" for n in range(40)]
    client.expect_silence(0.2)
    front.lines(40)


def test_what_follows_a_close_is_not_looked_at(origin, proxy, peer):
    backend = origin(echo)
    front = proxy(backend)
    client = peer(front)
    client.send(peers.request("/1") + peers.request("/2", ["Connection: close"])
                + peers.request("/3"))
    assert client.read_response().get("X-Target") == "/1"
    assert client.read_response().get("X-Target") == "/2"
    client.expect_eof()
    assert len(front.lines(2)) == 2 and len(backend.requests) == 2


def test_an_error_behind_a_good_request_does_not_overtake_it(origin, proxy, peer):
    backend = origin(echo)
    front = proxy(backend)
    client = peer(front)
    bad = b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"
    good = peers.request("/good")
    client.send(good + bad)
    assert client.read_response().get("X-Target") == "/good"
    refused = client.read_response()
    client.expect_eof()
    lines = front.lines(2)
    check.refused(lines[1], client, refused, "bad-request", 400,
                  [len(good), len(good) + len(bad)])
    assert len(backend.requests) == 1


def test_empty_lines_between_requests_belong_to_none(origin, proxy, peer):
    backend = origin(echo)
    front = proxy(backend)
    client = peer(front)
    request = peers.request("/x")
    client.send(request + b"\r\n" + request)
    first, second = client.read_response(), client.read_response()
    n = len(request)
    first.request_range, second.request_range = [0, n], [n + 2, 2 * n + 2]
    lines = front.lines(2)
    check.exchange(lines[0], client, first, backend.requests[0])
    check.exchange(lines[1], client, second, backend.requests[1])
