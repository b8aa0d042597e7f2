"""Assertions that join the three witnesses of an exchange: client, backend and log line."""

import collections
import re

import log


def exchange(line, peer, response, request=None, end="done", moments=log.ALL_MOMENTS):
    """The line says what the client (peer, response) and the backend (request) counted.

    request   what the origin read, with its reply_range; None: the backend had no part in it
    moments   those that came; None: not looked at
    """
    assert line["end"] == end, line
    assert line["status"] == response.status, line
    client_leg(line["client"], peer, response)
    assert line["bytes"]["response_body"] == response.body_bytes, line
    if request is None:
        assert line["backend"] is None, line
    else:
        backend_leg(line["backend"], request)
        assert line["bytes"]["request_body"] == request.body_bytes, line
    if moments is not None:
        log.assert_moments(line, *moments)


def client_leg(leg, peer, response):
    assert leg["peer"] == peer.local_text and leg["local"] == peer.remote_text, leg
    if response.request_range is not None:
        assert leg["request"] == response.request_range, leg
    assert leg["interim"] == response.interim_range, leg
    assert leg["response"] == response.range, leg


def backend_leg(leg, request):
    assert leg["peer"] == request.conn.local_text, leg
    assert leg["local"] == request.conn.remote_text, leg
    assert leg["request"] == request.range, leg
    assert leg["interim"] == request.interim_range, leg
    assert leg["response"] == request.reply_range, leg


def refused(line, peer, response, end, status, request_range=None):
    """An answer of the proxy itself; the backend had no part in it."""
    assert response.status == status, response.head
    assert line["end"] == end and line["status"] == status, line
    assert line["backend"] is None, line
    if request_range is not None:
        assert line["client"]["request"] == request_range, line["client"]
    client_leg(line["client"], peer, response)


def between(value, low, high, what="value"):
    assert low <= value <= high, f"{what} {value} is not between {low} and {high}"


def counters(front, lines):
    """What the proxy says of itself when it stops is what the log says."""
    front.stop()
    said = re.search(r"(\d+) exchanges: (.*)", front.stderr)
    counts = {word: int(n) for word, n in re.findall(r"([a-z-]+) (\d+)", said.group(2))}
    assert int(said.group(1)) == len(lines)
    assert counts == collections.Counter(line["end"] for line in lines)
