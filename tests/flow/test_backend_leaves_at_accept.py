"""A backend that leaves a connection as soon as it has accepted it, before the proxy, whose event of
the new connection waits, has looked at it."""

import time

import pytest

import check
from faults import HELD, Faults
from origin import answer, response
import peer as peers


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("how", ["RST", "FIN"])
def test_before_it_is_used(origin, proxy, peer, tmp_path, how, method):
    """By RST nothing of the request was sent: it is asked again, whatever the method. By FIN it was
    sent to a backend that may have read it, on a fresh connection: once."""
    failing = Faults(tmp_path)

    def leave(conn):
        until = time.monotonic() + 10
        while not failing.hits("getsockopt"):
            assert time.monotonic() < until, "the proxy never looked at its connection"
            time.sleep(0.001)
        if how == "RST":
            conn.reset()
        else:
            conn.half_close()
        failing.off()
        if how == "FIN":
            conn.read_to_end()

    backend = origin([leave, answer(response(b"second"))])
    front = proxy(backend, env=failing.env)
    failing.arm("getsockopt", HELD)
    client = peer(front)
    got = client.exchange(peers.request(body=b"x" if method == "POST" else None, method=method),
                          method)
    line = front.lines(1)[0]
    if how == "RST":
        check.exchange(line, client, got, backend.requests[0])
        assert (got.body, line["backend"]["attempts"]) == (b"second", 2)
        first = line["backend"]["tries"][0]
        assert (first["request"], first["end"]) == (None, "backend-reset")
        assert first["local"] == backend.conns[0].remote_text
    else:
        assert (got.status, line["status"], line["end"]) == (502, 502, "backend-eof")
        assert (line["backend"]["attempts"], len(backend.conns)) == (1, 1)
        assert line["id"].encode() in got.body
