"""A backend that sends more than its response: nobody else's answer may come of it."""

import pytest

from origin import response
import peer as peers
import wire

EVIL = response(b"evil", status="299 Evil")
READ = 64 * 1024  # the first read of a response


def exactly(size):
    head = len(response(b"")) - 1 + len(str(size))
    raw = response(b"x" * (size - head))
    raw = raw if len(raw) == size else response(b"x" * (size - head - (len(raw) - size)))
    assert len(raw) == size
    return raw


@pytest.mark.parametrize("size", [100, READ])
def test_it_is_not_the_next_response(origin, proxy, peer, size):
    def script(conn):
        conn.next_request()
        conn.reply(response(b"x" * 3_000_000))  # opens the windows
        conn.next_request()
        conn.origin.front.freeze()
        conn.send(exactly(size) + EVIL)
        conn.origin.front.thaw()
        try:
            conn.next_request()
            conn.read_to_end()
        except (wire.Truncated, wire.Closed, AssertionError, OSError):
            pass

    def honest(conn):
        while conn.next_request():
            conn.reply(response(b"honest"))

    backend = origin([script, honest])
    backend.front = front = proxy(backend)
    client = peer(front)
    client.get("/windows")
    client.send(peers.request("/2") + peers.request("/3"))
    assert client.read_response().status == 200
    got = client.read_response()
    assert (got.status, got.body) == (200, b"honest")
    assert [line["backend"]["conn"] for line in front.lines(3)][2] != \
        front.lines(3)[1]["backend"]["conn"]
