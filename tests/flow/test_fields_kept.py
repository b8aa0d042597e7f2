"""Everything the rules do not name passes as it was sent: order, case, values, target, reason."""

import pytest

import check
from origin import answer
import peer as peers

FIELDS = [
    (b"user-AGENT", b"odd/1.0 (a; b)"), (b"X-Empty", b""), (b"Cookie", b"a=1; b=\"2\""),
    (b"cookie", b"c=3"), (b"X-Inner", b"two  spaces\tand a tab"), (b"X-Latin", b"caf\xe9 \xff"),
    (b"SOAPAction", b"urn:ConversionRate"), (b"Content-Type", b"text/xml;charset=\"utf-8\""),
    (b"x-weird!#$%&'*+-.^_`|~", b"token"), (b"Accept", b"*/*, text/html;q=0.1"),
    (b"Set-Cookie", b"x=1"), (b"Set-Cookie", b"y=2"), (b"X-Colons", b"a:b:c://d"),
]
RAW = b"".join(n + b": " + v + b"\r\n" for n, v in FIELDS)


def kept(message):
    """The fields we sent, in the order in which they came."""
    ours = {name for name, _ in FIELDS}
    return [field for field in message.fields if field[0] in ours]


def test_of_a_request(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    got = client.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n" + RAW + b"\r\n")
    request = backend.requests[0]
    assert kept(request) == FIELDS
    for name, value in FIELDS:
        line = b"\r\n" + name + b": " + value + b"\r\n" if value else b"\r\n" + name + b":"
        assert line in request.head, (line, request.head)
    check.exchange(front.lines(1)[0], client, got, request)


def test_of_a_response(origin, proxy, peer):
    backend = origin(answer(b"HTTP/1.1 209 Fine, thanks (really)\r\n" + RAW
                            + b"Content-Length: 2\r\n\r\nok"))
    front = proxy(backend)
    client = peer(front)
    got = client.get()
    assert got.start_line == b"HTTP/1.1 209 Fine, thanks (really)"
    assert kept(got) == FIELDS
    check.exchange(front.lines(1)[0], client, got, backend.requests[0])


def test_white_space_around_values_is_all_that_may_go(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    client.exchange(b"GET / HTTP/1.1\r\nHost:a\r\nX-A:1\r\nX-B: \t 2 \t \r\nX-C:\r\nX-D: \r\n\r\n")
    request = backend.requests[0]
    assert [(n, v) for n, v in request.fields if n.startswith(b"X-") and len(n) == 3] == \
        [(b"X-A", b"1"), (b"X-B", b"2"), (b"X-C", b""), (b"X-D", b"")]
    front.lines(1)


def test_an_empty_reason(origin, proxy, peer):
    backend = origin(answer(b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok"))
    front = proxy(backend)
    client = peer(front)
    assert client.get().start_line.startswith(b"HTTP/1.1 200")
    assert front.lines(1)[0]["status"] == 200


TARGETS = [
    "/", "/a%2Fb%c3%A4?q=%20&x=a+b;c", "//double//slash", "/a/../b/./c", "/?", "/??a=b?c",
    "/;p=1,2", "/%", "/%zz", "/a@b:c!$&'()*+,=~-._", "/" + "long/" * 400, "/a|b^c`d\"e<f>",
]


@pytest.mark.parametrize("target", TARGETS)
def test_target_untouched(origin, proxy, peer, target):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    got = client.get(target)
    if got.status == 400:
        assert set(target) & set("|^`\"<>"), "a valid target was refused"
        return
    assert backend.requests[0].target == target
    line = front.lines(1)[0]
    assert line["target"] == target
    check.exchange(line, client, got, backend.requests[0])


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND",
                                    "REPORT", "TRACE"])
def test_method_untouched(origin, proxy, peer, method):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    got = client.get("/x", ["Content-Length: 0"] if method in ("POST", "PUT", "PATCH") else [],
                     method=method)
    assert got.status == 200 and backend.requests[0].method == method
    assert front.lines(1)[0]["method"] == method


def test_head_in_many_pieces(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    raw = peers.request("/pieces", ["X-A: 1", "X-B: 2"])
    client.send_pieces([raw[at:at + 1] for at in range(len(raw))], pause_s=0.001)
    got = client.read_response()
    got.request_range = [0, len(raw)]
    check.exchange(front.lines(1)[0], client, got, backend.requests[0])
