"""A pooled connection that the backend has left: what is asked again, and what must not be."""

import random
import threading
import time

import pytest

import check
from origin import answer, dead_port, response, revive, url_of
import peer as peers


def once_then_leave(read=True, how="close", part=b""):
    """Answer one request well; read the next (or only its first byte) and leave."""
    def script(conn):
        conn.next_request()
        conn.reply(response(b"first"))
        if read:
            conn.next_request()
        else:
            conn.read_exactly(1)
        if part:
            conn.reply(part)
        if how == "reset":
            conn.reset()

    return script


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_idempotent_requests_are_asked_again(origin, proxy, peer, method, how):
    second = response(b"second")
    if method == "HEAD":
        second = second[:-len(b"second")]
    backend = origin([once_then_leave(how=how), answer(second)])
    front = proxy(backend)
    client = peer(front)
    client.get("/1")
    body = b"x" * 1000 if method == "PUT" else None
    got = client.exchange(peers.request("/2", body=body, method=method), method)
    assert got.status == 200 and got.body == (b"" if method == "HEAD" else b"second")
    line = front.lines(2)[1]
    check.exchange(line, client, got, backend.requests[2])
    assert (line["backend"]["attempts"], line["backend"]["reused"]) == (2, False)
    first = line["backend"]["tries"][0]
    assert first["end"] == ("backend-eof" if how == "close" else "backend-reset")
    assert first["request"] == backend.requests[1].range and first["response"] is None
    assert first["conn"] != line["backend"]["conn"] and first["nth"] == 2
    assert first["local"] == backend.conns[0].remote_text


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_post_is_never_asked_twice(origin, proxy, peer, how):
    backend = origin([once_then_leave(how=how), answer(response(b"second"))])
    front = proxy(backend)
    client = peer(front)
    client.get("/1")
    got = client.post(b"<order/>", "/2")
    line = front.lines(2)[1]
    word = "backend-eof" if how == "close" else "backend-reset"
    assert (got.status, line["status"], line["end"]) == (502, 502, word)
    assert (line["backend"]["attempts"], line["backend"]["reused"]) == (1, True)
    assert line["backend"]["request"] == backend.requests[1].range
    check.client_leg(line["client"], client, got)
    assert len(backend.conns) == 1 and len(backend.requests) == 2


def test_no_retry_on_a_fresh_connection(origin, proxy, peer):
    def leave(conn):
        conn.next_request()

    backend = origin(leave)
    front = proxy(backend)
    got = peer(front).get()
    line = front.lines(1)[0]
    assert (got.status, line["end"], line["backend"]["attempts"]) == (502, "backend-eof", 1)
    assert len(backend.requests) == 1


@pytest.mark.parametrize("part", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_no_retry_after_a_byte_of_a_response(origin, proxy, peer, part):
    backend = origin([once_then_leave(part=part), answer(response(b"second"))])
    front = proxy(backend)
    client = peer(front)
    client.get("/1")
    got = client.get("/2")
    line = front.lines(2)[1]
    assert (got.status, line["end"], line["backend"]["attempts"]) == (502, "backend-eof", 1)
    assert len(backend.conns) == 1


def test_no_retry_when_the_request_is_no_longer_at_hand(origin, proxy, peer):
    """Only what fits into the request buffer can be sent again."""
    def script(conn):
        conn.next_request()
        conn.reply(response(b"first"))
        conn.read_head()
        conn.read_exactly(200_000)

    backend = origin([script, answer(response(b"second"))])
    front = proxy(backend)
    client = peer(front)
    client.get("/1")
    client.send(peers.request("/2", ["Content-Length: 300000"], method="PUT"))
    for _ in range(20):
        client.send(b"x" * 10_000)
        time.sleep(0.005)
    got = client.read_response("PUT")
    line = front.lines(2)[1]
    assert got.status == 502 and line["end"] in ("backend-eof", "backend-reset")
    assert line["backend"]["attempts"] == 1 and len(backend.conns) == 1


def test_a_body_that_is_still_coming_is_sent_on_after_a_retry(origin, proxy, peer):
    backend = origin([once_then_leave(read=False, how="reset"), answer(response(b"second"))])
    front = proxy(backend)
    client = peer(front)
    client.get("/1")
    first = client.sent
    client.send(peers.request("/2", ["Content-Length: 20"], method="PUT") + b"0123456789")
    time.sleep(0.3)
    client.send(b"abcdefghij")
    got = client.read_response("PUT")
    got.request_range = [first, client.sent]
    assert (got.status, got.body) == (200, b"second")
    assert backend.requests[1].body == b"0123456789abcdefghij"
    line = front.lines(2)[1]
    check.exchange(line, client, got, backend.requests[1])
    assert line["backend"]["attempts"] == 2


def test_connecting_is_tried_three_times(proxy, peer):
    port = dead_port()
    front = proxy(f"http://127.0.0.1:{port}")
    client = peer(front)
    for method in ("GET", "POST"):
        body = b"x" if method == "POST" else None
        got = client.exchange(peers.request(body=body, method=method), method)
        assert got.status == 502
    for line in front.lines(2):
        assert (line["status"], line["end"]) == (502, "connect-refused")
        assert line["at_us"]["backend_ready"] is None
        if line["backend"] is not None:
            assert line["backend"]["request"] is None and line["backend"]["response"] is None


def test_a_backend_that_comes_back(origin, proxy, peer):
    port = dead_port()
    front = proxy(url_of(f"127.0.0.1:{port}"))
    client = peer(front)
    assert client.get().status == 502
    revive(port)
    origin(address=("127.0.0.1", port))
    assert client.get().status == 200
    assert [line["end"] for line in front.lines(2)] == ["connect-refused", "done"]


def test_the_race_with_a_backend_that_closes(origin, proxy, peer):
    """It leaves about when the next request comes: every GET is answered, every POST has a line,
    and none reaches the application twice."""
    seen = []
    lock = threading.Lock()
    dice = random.Random(8585)

    def script(conn):
        for _ in range(dice.randint(1, 3)):
            request = conn.next_request()
            if request is None:
                return
            with lock:
                seen.append(request.target)
            conn.reply(response(b"ok"))
        time.sleep(dice.random() * 0.003)

    backend = origin(script)
    backend.forgive = True
    front = proxy(backend)
    client = peer(front)
    statuses = {"GET": [], "POST": []}
    for n in range(300):
        method = "POST" if n % 2 else "GET"
        raw = peers.request(f"/{n}", body=b"x" if n % 2 else None, method=method)
        statuses[method].append(client.exchange(raw, method).status)
        time.sleep(dice.random() * 0.003)
    assert set(statuses["GET"]) == {200}
    assert set(statuses["POST"]) <= {200, 502}
    lines = front.lines(300)
    posts = [target for target in seen if int(target[1:]) % 2]
    assert len(set(posts)) == len(posts), "a POST reached the application twice"
    for line in lines:
        assert line["end"] in ("done", "backend-eof", "backend-reset"), line
        assert (line["status"] == 200) == (line["end"] == "done")
