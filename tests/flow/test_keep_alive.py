"""Connections of both legs carry one exchange after the other, and the log tells which."""

import check
from origin import answer, response


def test_four_posts_on_one_connection_each(origin, proxy, peer):
    backend = origin(answer(response(b"one"), response(b"two"), response(b"three")))
    front = proxy(backend)
    client = peer(front)
    answers = [client.post(b"<request/>", target=f"/{n}") for n in range(4)]
    assert [a.body for a in answers] == [b"one", b"two", b"three", b"three"]
    lines = front.lines(4)
    for n, (line, got, request) in enumerate(zip(lines, answers, backend.requests)):
        check.exchange(line, client, got, request)
        assert line["client"]["nth"] == line["backend"]["nth"] == n + 1
        assert line["backend"]["reused"] == (n > 0)
        assert line["backend"]["attempts"] == 1 and line["backend"]["tries"] == []
        assert (line["method"], line["target"], line["version"]) == ("POST", f"/{n}", "1.1")
    assert len(backend.conns) == 1
    assert {line["client"]["conn"] for line in lines} == {lines[0]["client"]["conn"]}
    assert len({line["run"] for line in lines}) == 1


def test_connection_close_of_the_client_is_obeyed(origin, proxy, peer):
    front = proxy(origin())
    client = peer(front)
    got = client.get(fields=["Connection: close"])
    assert got.get("Connection") == "close"
    client.expect_eof()
    assert front.lines(1)[0]["end"] == "done"


def test_connection_close_of_the_backend_concerns_its_leg_alone(origin, proxy, peer):
    backend = origin(answer(response(b"x", fields=["Connection: close"])))
    front = proxy(backend)
    client = peer(front)
    first, second = client.get("/1"), client.get("/2")
    assert first.get("Connection") is None
    lines = front.lines(2)
    check.exchange(lines[0], client, first, backend.requests[0])
    check.exchange(lines[1], client, second, backend.requests[1])
    assert [line["backend"]["nth"] for line in lines] == [1, 1]
    assert [line["backend"]["reused"] for line in lines] == [False, False]
    assert [line["client"]["nth"] for line in lines] == [1, 2]
    assert len(backend.conns) == 2


def test_clients_share_backend_connections(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    for _ in range(3):
        client = peer(front)
        client.get()
        client.close()
    assert len(backend.conns) == 1
    assert [line["backend"]["nth"] for line in front.lines(3)] == [1, 2, 3]
    assert len({line["client"]["conn"] for line in front.lines(3)}) == 3


def test_concurrent_requests_get_connections_of_their_own(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    clients = [peer(front) for _ in range(5)]
    for _ in range(3):
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        for client in clients:
            assert client.read_response().status == 200
    lines = front.lines(15)
    assert len({line["client"]["conn"] for line in lines}) == 5
    assert 1 <= len(backend.conns) <= 5
