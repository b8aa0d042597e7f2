"""What is no valid request is answered, logged, and never forwarded, not even in part."""

import pytest

import log
from origin import Origin
import stack

OK = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"

# name: (bytes, status, end word); several statuses where the design leaves them open
CASES = {
    # lines and fields
    "garbage": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "bad-request"),
    "no version": (b"GET /\r\n\r\n", {400, 505}, None),
    "two spaces before the target": (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-request"),
    "two spaces before the version": (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-request"),
    "tab in the request line": (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-request"),
    "space behind the version": (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, "bad-request"),
    "bare LF everywhere": (b"GET / HTTP/1.1\nHost: a\n\n", 400, "bad-request"),
    "bare LF behind a field": (OK + b"X: y\n\r\n", 400, "bad-request"),
    "bare LF ends the head": (OK + b"\n", 400, "bad-request"),
    "bare CR in a value": (OK + b"X-Abc:\rTransfer-Encoding: chunked\r\n\r\n", 400, "bad-request"),
    "bare CR behind a value": (OK + b"X: y\rZ: w\r\n\r\n", 400, "bad-request"),
    "space before the colon": (OK + b"X : y\r\n\r\n", 400, "bad-request"),
    "tab before the colon": (OK + b"X\t: y\r\n\r\n", 400, "bad-request"),
    "space before the first field": (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "bad-request"),
    "folded field": (OK + b"X: y\r\n z\r\n\r\n", 400, "bad-request"),
    "folded with a tab": (OK + b"X: y\r\n\tz\r\n\r\n", 400, "bad-request"),
    "empty field name": (OK + b": y\r\n\r\n", 400, "bad-request"),
    "field without a colon": (OK + b"Xy\r\n\r\n", 400, "bad-request"),
    "space in a field name": (OK + b"X y: z\r\n\r\n", 400, "bad-request"),
    "byte above 127 in a field name": (OK + b"X\xe4: z\r\n\r\n", 400, "bad-request"),
    "NUL in a value": (OK + b"X: a\0b\r\n\r\n", 400, "bad-request"),
    "control byte in a value": (OK + b"X: a\x01b\r\n\r\n", 400, "bad-request"),
    "DEL in a value": (OK + b"X: a\x7fb\r\n\r\n", 400, "bad-request"),
    "NUL in the target": (b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-request"),
    # framing
    "length and chunked": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
                           b"0\r\n\r\n", 400, "bad-request"),
    "chunked and length": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"
                           b"0\r\n\r\n", 400, "bad-request"),
    "two lengths": (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400, "bad-request"),
    "the same length twice": (POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400,
                              "bad-request"),
    "a list of lengths": (POST + b"Content-Length: 5, 5\r\n\r\n", 400, "bad-request"),
    "plus in the length": (POST + b"Content-Length: +5\r\n\r\n", 400, "bad-request"),
    "minus in the length": (POST + b"Content-Length: -5\r\n\r\n", 400, "bad-request"),
    "hexadecimal length": (POST + b"Content-Length: 0x5\r\n\r\n", 400, "bad-request"),
    "empty length": (POST + b"Content-Length:\r\n\r\n", 400, "bad-request"),
    "length with a space in it": (POST + b"Content-Length: 1 0\r\n\r\n", 400, "bad-request"),
    "length beyond 64 bits": (POST + b"Content-Length: 18446744073709551617\r\n\r\n", 400,
                              "bad-request"),
    "chunked in HTTP/1.0": (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                            b"0\r\n\r\n", 400, "bad-request"),
    "unknown coding": (POST + b"Transfer-Encoding: gzip\r\n\r\n", {400, 501}, None),
    "coding before chunked": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501,
                              "coding-refused"),
    "chunked twice": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", {400, 501},
                      None),
    "chunked in two fields": (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"
                              b"\r\n\r\n0\r\n\r\n", {400, 501}, None),
    "almost chunked": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", {400, 501}, None),
    "identity": (POST + b"Transfer-Encoding: identity\r\n\r\n", {400, 501}, None),
    "empty coding": (POST + b"Transfer-Encoding:\r\n\r\n", {400, 501}, None),
    "chunked with vertical tab": (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
                                  {400, 501}, None),
    # versions and methods
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", {400, 505}, None),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 501, 505}, None),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", {400, 505}, None),
    "HTTP/0.9 in words": (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", {400, 505}, None),
    "RTSP": (b"GET / RTSP/1.0\r\nHost: a\r\n\r\n", {400, 505}, None),
    "ICE": (b"SOURCE / ICE/1.0\r\nHost: a\r\n\r\n", {400, 501, 505}, None),
    "lower case http": (b"GET / http/1.1\r\nHost: a\r\n\r\n", {400, 505}, None),
    "unknown method": (b"FROBNICATE / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "method-unknown"),
    "lower case method": (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", {400, 501}, None),
    # targets
    "fragment": (b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-request"),
    "no slash": (b"GET a/b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-request"),
    "userinfo": (b"GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-request"),
    "foreign scheme": (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-request"),
    "empty host in the target": (b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-request"),
    "bad port in the target": (b"GET http://a:99999/ HTTP/1.1\r\nHost: a\r\n\r\n", 400,
                               "bad-request"),
    "letters in the port": (b"GET http://a:8x/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-request"),
    "asterisk with GET": (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-request"),
    # hosts
    "two hosts": (OK + b"Host: b\r\n\r\n", 400, "bad-request"),
    "the same host twice": (OK + b"Host: a\r\n\r\n", 400, "bad-request"),
    "host with a path": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "bad-request"),
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One proxy for the whole table; each case then looks at its own line."""
    backend = Origin()
    front = stack.Flowproxy(backend.url, tmp_path_factory.mktemp("malformed"))
    yield backend, front
    front.stop()
    log.check_log(log.read_lines(front.log_path))
    backend.stop()
    assert not backend.conns, "something was forwarded"


LINES = {"seen": 0}


@pytest.mark.parametrize("pieces", ["whole", "bytes"])
@pytest.mark.parametrize("name", CASES)
def test_refused(shared, peer, name, pieces):
    backend, front = shared
    raw, statuses, end = CASES[name]
    client = peer(front)
    if pieces == "whole":
        client.send(raw)
    else:
        try:
            client.send_pieces([raw[at:at + 1] for at in range(len(raw))], pause_s=0.0003)
        except OSError:
            pass  # it was refused before its last byte
    got = client.read_response("POST")
    client.expect_eof()
    LINES["seen"] += 1
    line = front.lines(LINES["seen"])[-1]
    assert got.status in (statuses if isinstance(statuses, set) else {statuses}), got.head
    if end:
        assert line["end"] == end
    else:
        assert line["end"] == {400: "bad-request", 501: line["end"], 505: "version-refused"}[
            got.status]
        assert got.status != 501 or line["end"] in ("method-unknown", "coding-refused")
    assert line["status"] == got.status and line["backend"] is None
    assert got.get("Connection") == "close"
    first, past = line["client"]["request"]
    # malformed: all bytes read
    assert first == 0 and (past == len(raw) if pieces == "whole" else 0 < past <= len(raw))
    assert line["client"]["response"] == got.range
    assert line["at_us"]["request_end"] is None and line["at_us"]["response_end"] is not None
    assert not backend.conns


def test_the_rest_is_read_so_that_the_answer_is_not_lost(shared, peer):
    _, front = shared
    client = peer(front)
    client.send(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n")
    for _ in range(50):
        client.send(b"x" * 20_000)
    got = client.read_response()
    client.expect_eof()
    assert got.status == 400
    LINES["seen"] += 1
    line = front.lines(LINES["seen"])[-1]
    assert line["client"]["request"][1] < client.sent
