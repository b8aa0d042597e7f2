"""OPTIONS and TRACE count their hops; where the count is 0 the proxy is the final recipient."""

import pytest

import check
import log
import peer as peers

MOMENTS = ("request_end", "response_end")
TRACE = (b"TRACE /a?b HTTP/1.1\r\nHost: test.example\r\nMax-Forwards: 0\r\nX-Kept:1\r\n"
         b"Authorization: Basic c2VjcmV0\r\ncookie: id=secret\r\nProxy-Authorization: secret\r\n"
         b"X-API-Key: secret\r\nx-kept: caf\xe9\r\nUser-Agent: me\r\n\r\n")
REFLECTED = (b"TRACE /a?b HTTP/1.1\r\nHost: test.example\r\nMax-Forwards: 0\r\nX-Kept: 1\r\n"
             b"x-kept: caf\xe9\r\nUser-Agent: me\r\n\r\n")


def test_a_trace_is_reflected_without_its_secrets(origin, proxy, peer):
    """RFC 9110 section 9.3.8: the request as received, as message/http."""
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    for n in range(2):
        got = client.exchange(TRACE, "TRACE")
        assert got.get("Content-Type") == "message/http" and got.body == REFLECTED
        assert got.get("Connection") is None and got.get("Date")
        line = front.lines(n + 1)[n]
        check.refused(line, client, got, "answered-here", 200, got.request_range)
        assert line["bytes"] == {"request_body": 0, "response_body": len(REFLECTED)}
        log.assert_moments(line, *MOMENTS)
    assert not backend.conns


def test_a_trace_of_http10_ends_its_connection(origin, proxy, peer):
    front = proxy(origin())
    client = peer(front)
    got = client.exchange(b"TRACE / HTTP/1.0\r\nMax-Forwards: 0\r\n\r\n", "TRACE")
    assert got.body == b"TRACE / HTTP/1.0\r\nMax-Forwards: 0\r\n\r\n"
    assert got.get("Connection") == "close"
    client.expect_eof()
    check.refused(front.lines(1)[0], client, got, "answered-here", 200)


def test_a_large_trace(origin, proxy, peer):
    """Fields without white space grow by it: there is room all the same."""
    front = proxy(origin())
    client = peer(front)
    raw = (b"TRACE / HTTP/1.1\r\nHost:a\r\nMax-Forwards:0\r\n"
           + b"".join(b"x%d:%s\r\n" % (n, b"y" * 200) for n in range(250)) + b"\r\n")
    got = client.exchange(raw, "TRACE")
    assert got.body.count(b": ") == 252 and len(got.body) == len(raw) + 252
    assert got.body.replace(b": ", b":") == raw
    check.refused(front.lines(1)[0], client, got, "answered-here", 200, [0, len(raw)])


@pytest.mark.parametrize("target", ["*", "/x"])
def test_options(origin, proxy, peer, target):
    """An empty answer that says which methods pass (RFC 9110 section 9.3.7)."""
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    got = client.get(target, ["Max-Forwards: 00"], method="OPTIONS")
    assert {"GET", "POST", "OPTIONS", "TRACE"} <= set(got.get("Allow").split(", "))
    assert got.get("Content-Length") == "0" and got.get("Content-Type") is None
    check.refused(front.lines(1)[0], client, got, "answered-here", 200, got.request_range)
    assert client.get("/next").status == 200 and len(backend.requests) == 1
    front.lines(2)


@pytest.mark.parametrize("value,passed", [
    ("1", "0"), ("007", "6"), ("4294967290", "4294967289"),
    ("99999999999999999999999", "4294967293"),  # no more than our own maximum
    ("", ""), ("x", "x"), ("-1", "-1"), ("1, 1", "1, 1"),  # no number: not ours to judge
])
@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
def test_counting_down(origin, proxy, peer, method, value, passed):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    got = client.get("/", [f"Max-Forwards: {value}"], method=method)
    assert backend.requests[0].get("Max-Forwards") == passed
    check.exchange(front.lines(1)[0], client, got, backend.requests[0])


def test_several_counts_become_one(origin, proxy, peer):
    """So that the next hop cannot read another than we have counted down."""
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    fields = ["Max-Forwards: 4000000000"] + ["Max-Forwards: 1"] * 250
    got = client.get("/", fields, method="TRACE")
    assert backend.requests[0].get("Max-Forwards") == "3999999999"
    check.exchange(front.lines(1)[0], client, got, backend.requests[0])


def test_other_methods_do_not_count(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    for method in ("GET", "POST", "DELETE", "PROPFIND"):
        fields = ["Max-Forwards: 0"] + (["Content-Length: 0"] if method == "POST" else [])
        assert client.get("/", fields, method=method).status == 200
    assert [r.get("Max-Forwards") for r in backend.requests] == ["0"] * 4
    front.lines(4)


def test_an_unread_body_ends_the_connection(origin, proxy, peer):
    """What follows such a head is not for us to read as the next request."""
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    head = peers.request("/", ["Max-Forwards: 0", "Content-Length: 40"], method="OPTIONS")
    client.send(head + peers.request("/smuggled"))
    got = client.read_response("OPTIONS")
    assert got.get("Connection") == "close"
    client.expect_eof()
    line = front.lines(1)[0]
    check.refused(line, client, got, "answered-here", 200)
    assert line["at_us"]["request_end"] is None and not backend.conns
