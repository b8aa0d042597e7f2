"""X-Request-Id and W3C traceparent: the client's pass on, others are made and logged."""

import re

import check
import origin as origins

OWN = re.compile(r"00-([0-9a-f]{16})([0-9a-f]{16})-([0-9a-f]{16})-01\Z")
THEIRS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def seen(request):
    """What the backend was told."""
    return (request.all("X-Request-Id"), request.all("traceparent"), request.all("tracestate"))


def logged(line):
    return line["request_id"], line["traceparent"]


def own(line):
    """The two values that the proxy makes for this exchange; the run's part is not looked at."""
    match = OWN.match(line["traceparent"])
    assert match and match.group(2) == match.group(3) == line["id"], line
    assert match.group(1) != "0" * 16
    return match.group(1)


def test_made_where_the_client_sent_none(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    answers = [client.get(), client.post(b"x"),
               client.get(fields=["X-Request-Id:", "traceparent: ", "tracestate: a=b"])]
    lines = front.lines(3)
    for line, request, got in zip(lines, backend.requests, answers):
        check.exchange(line, client, got, request)
        assert line["request_id"] == line["id"]
        assert seen(request) == ([line["id"]], [line["traceparent"]], [])
        assert got.get("X-Request-Id") is None  # the response is the backend's
    assert len({own(line) for line in lines}) == 1
    other = proxy(backend)
    peer(other).get()
    assert own(other.lines(1)[0]) != own(lines[0])


def test_the_clients_pass_unchanged(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    cases = [
        (["X-Request-ID: abc"], ["abc"], None),
        (["x-request-id: \"one\" two", "X-REQUEST-ID: three", "X-Request-Id:"],
         ['"one" two', "three"], None),
        (["X-Request-Id: caf\u00e9".encode("latin-1")], ["caf\u00e9"], None),
        (["X-Request-Id: a", f"TraceParent: {THEIRS}", "tracestate: a=b", "tracestate: c=d"],
         ["a"], (THEIRS, ["a=b", "c=d"])),
        (["X-Request-Id: a", "traceparent: cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
          "Connection: X-Request-Id, traceparent, tracestate", "tracestate: a=b"],
         ["a"], ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x", ["a=b"])),
    ]
    for n, (fields, ids, trace) in enumerate(cases, 1):
        got = client.get(fields=fields)
        line, request = front.lines(n)[-1], backend.requests[-1]
        check.exchange(line, client, got, request)
        assert line["request_id"] == ids[0].replace("\u00e9", "\\xe9")
        if trace is None:
            own(line)
            trace = (line["traceparent"], [])
        assert seen(request) == (ids, [trace[0]], trace[1])
        assert line["traceparent"] == trace[0]


def test_a_malformed_traceparent_is_replaced(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    cases = [
        ["traceparent: 00-1-2-3"],
        [f"traceparent: {THEIRS}-x"],
        [f"traceparent: {THEIRS.upper()}"],
        [f"traceparent: ff{THEIRS[2:]}"],
        ["traceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01"],
        [f"traceparent: {THEIRS}", f"Traceparent: {THEIRS}"],
        [],
    ]
    for n, fields in enumerate(cases, 1):
        client.get(fields=["tracestate: a=b", *fields, "TraceState: c=d"])
        line = front.lines(n)[-1]
        own(line)
        assert seen(backend.requests[-1]) == ([line["id"]], [line["traceparent"]], []), fields


def test_keep_makes_nothing(origin, proxy, peer):
    backend = origin()
    front = proxy(backend, request_ids="keep")
    client = peer(front)
    cases = [
        ([], ([], [], []), (None, None)),
        (["X-Request-Id:", "traceparent: 00-1-2-3", "traceparent: x", "tracestate: a=b"],
         ([""], ["00-1-2-3", "x"], ["a=b"]), (None, "00-1-2-3")),
        (["X-Request-Id: a", "X-Request-Id: b"], (["a", "b"], [], []), ("a", None)),
    ]
    for n, (fields, wanted, in_line) in enumerate(cases, 1):
        got = client.get(fields=fields)
        line = front.lines(n)[-1]
        check.exchange(line, client, got, backend.requests[-1])
        assert seen(backend.requests[-1]) == wanted
        assert logged(line) == in_line


def test_both_attempts_have_the_same_ids(origin, proxy, peer):
    """The first connection is dropped as its second request comes; it is sent again on another."""

    def leaves(conn):
        conn.next_request()
        conn.reply(origins.response())
        conn.next_request()

    backend = origin([leaves, origins.answer()])
    front = proxy(backend)
    client = peer(front)
    client.get()
    got = client.get()
    line = front.lines(2)[1]
    assert line["backend"]["attempts"] == 2 and line["request_id"] == line["id"]
    assert seen(backend.requests[1]) == seen(backend.requests[2]) \
        == ([line["id"]], [line["traceparent"]], [])
    check.exchange(line, client, got, backend.requests[2])


def test_answers_of_our_own(origin, proxy, peer):
    """No head was written for a backend: what the client sent is logged, nothing is made."""
    front = proxy(origin(), max_body_bytes=1)
    client = peer(front)
    got = client.get(method="OPTIONS", fields=["Max-Forwards: 0", "X-Request-Id: mine"])
    line = front.lines(1)[0]
    check.refused(line, client, got, "answered-here", 200)
    assert logged(line) == ("mine", None)
    client.send(b"broken\r\n\r\n")
    got = client.read_response()
    line = front.lines(2)[1]
    check.refused(line, client, got, "bad-request", 400)
    assert logged(line) == (None, None)
    front = proxy(f"http://127.0.0.1:{origins.dead_port()}")
    client = peer(front)
    assert client.get().status == 502
    line = front.lines(1)[0]
    assert line["request_id"] == line["id"] and own(line)


def test_long_ids_are_cut_in_the_log_alone(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    long_id, later = "i" * 5000, f"cc{THEIRS[2:]}-{'t' * 5000}"
    client.get(fields=[f"X-Request-Id: {long_id}", f"traceparent: {later}"])
    line = front.lines(1)[0]
    assert seen(backend.requests[0]) == ([long_id], [later], [])
    assert logged(line) == (long_id[:2048], later[:2048]) and line["cut"] is True
