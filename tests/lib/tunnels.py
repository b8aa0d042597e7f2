"""WebSocket upgrades of the tests: what a client asks with, what a backend answers, and what the log
must say of the tunnel between them."""

import log
import peer as peers

WANTS = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]


def switch(*fields):
    """A 101 to websocket, with these fields more."""
    lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket",
             *fields, "", ""]
    return "\r\n".join(lines).encode()


SWITCH = switch("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")


def accept(conn):
    """The backend's part: a request to upgrade, and the 101."""
    request = conn.next_request()
    assert request.get("Upgrade") == "websocket", request.head
    conn.reply(SWITCH)


def echo(conn):
    """A script: what comes goes back in upper case, until the client ends it."""
    accept(conn)
    while data := conn.read_some():
        conn.send(data.upper())


def open_by(client, target="/ws", early=b""):
    """The client's part; its 101 knows the request's range."""
    raw = peers.request(target, WANTS)
    client.send(raw + early)
    got = client.read_response()
    assert got.status == 101, got.head
    got.request_range = [0, len(raw)]
    return got


def span(first, past):
    return [first, past] if past > first else None


def check_line(line, end, client=None, got=None, conn=None):
    """The log's ranges are what each peer counted on its own connection. A peer that is not given
    did not count: it was reset, or stopped reading."""
    assert (line["end"], line["status"]) == (end, 101), line
    log.assert_moments(line, *log.ALL_MOMENTS)
    assert line["bytes"] == {"request_body": 0, "response_body": 0}
    if client is not None:
        leg = line["client"]
        assert leg["request"] == got.request_range and leg["response"] == got.range, leg
        assert leg["tunnel"] == {"up": span(got.request_range[1], client.sent),
                                 "down": span(got.past, client.received)}, leg
    if conn is not None:
        leg, request = line["backend"], conn.requests[0]
        assert leg["request"] == request.range and leg["response"] == request.reply_range, leg
        assert leg["tunnel"] == {"up": span(request.past, conn.received),
                                 "down": span(request.reply_range[1], conn.sent)}, leg
