"""The backend answers and closes while the request is on its way: send() fails, the answer counts."""

import signal

import pytest

import check
from origin import response
import peer as peers


def leave_with(raw):
    """After one big upload, which opens the windows, answer the next head at once and close."""
    def script(conn):
        head = conn.read_head()
        conn.skip(int(head.get("Content-Length")))
        conn.send(response(b"first"))
        conn.read_head()
        conn.origin.front.signal(signal.SIGSTOP)
        conn.origin.client.send(b"y" * conn.origin.size)
        conn.send(raw)
        conn.half_close()
        conn.close()
        conn.origin.front.signal(signal.SIGCONT)

    return script


@pytest.mark.parametrize("framing", ["length", "close"])
@pytest.mark.parametrize("size", [100_000, 400_000])
def test_the_answer_counts(origin, proxy, peer, framing, size):
    backend = origin(leave_with(response(b"no", "413 Content Too Large", framing=framing)))
    backend.front = front = proxy(backend)
    backend.client = client = peer(front)
    backend.size = size
    client.post(b"x" * 4_000_000)
    first = client.sent
    head = peers.request("/", [f"Content-Length: {size}"], method="POST")
    client.send(head)
    got = client.read_response("POST")
    assert (got.status, got.body) == (413, b"no")
    line = front.lines(2)[1]
    assert (line["status"], line["end"]) == (413, "done")
    assert line["client"]["response"] == got.range
    check.between(line["client"]["request"][1], first + len(head), first + len(head) + size)
    request = line["backend"]["request"]
    if request[1] - request[0] < size:
        assert line["at_us"]["backend_request_end"] is None, "it was not sent whole"
