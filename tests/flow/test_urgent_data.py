"""TCP's urgent data: a byte like any other. Whoever sends it sends a stream of bytes, HTTP knows no
second one, and the offsets that the proxy logs must be those of the wire."""

import socket

import pytest

import capture
import check
import peer as peers
import trace
from origin import answer, echo, response

BODY = bytes(range(256)) * 4


def send_urgently(client, raw, marks):
    """The bytes of raw, those at `marks` urgent, the last mark's message being complete at once."""
    at = 0
    for mark in marks:
        client.send(raw[at:mark])
        client._count_sent(raw[mark:mark + 1])  # pylint: disable=protected-access
        client.sock.send(raw[mark:mark + 1], socket.MSG_OOB)
        at = mark + 1
    client.send(raw[at:])


def post(body):
    return peers.request("/", body=body, method="POST")


def head_len():
    return post(BODY).index(b"\r\n\r\n") + 4


@pytest.mark.parametrize("marks", [[3], [3, 20], ["head"], ["head", 400], [-1]],
                         ids=lambda marks: "-".join(map(str, marks)))
def test_urgent_bytes_of_a_request(origin, proxy, peer, marks):
    """In the head, at the begin and in the middle of the body, and the last byte; all of it has come
    before the proxy looks, so that nothing will wake it a second time."""
    backend = origin(echo)
    front = proxy(backend)
    client = peer(front)
    raw = post(BODY)
    places = [head_len() if mark == "head" else mark % len(raw) for mark in marks]
    front.freeze()
    send_urgently(client, raw, places)
    front.thaw()
    got = client.read_response("POST")
    assert got.body == BODY
    line, = front.lines(1)
    assert line["client"]["request"] == [0, len(raw)]
    assert line["bytes"]["request_body"] == len(BODY)
    check.client_leg(line["client"], client, got)
    # and the next one on the same connections
    assert client.post(b"next").body == b"next"
    front.lines(2)


def test_urgent_bytes_of_a_response(origin, proxy, peer):
    raw = response(BODY)
    places = [5, len(raw) - 500, len(raw) - 1]

    def script(conn):
        while (request := conn.next_request()) is not None:
            request.reply_range = [conn.sent, conn.sent + len(raw)]
            send_urgently(conn, raw, places)

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    for _ in range(3):
        assert client.get("/").body == BODY
    for n, line in enumerate(front.lines(3)):
        assert line["backend"]["response"] == [n * len(raw), (n + 1) * len(raw)]
        assert line["end"] == "done" and line["bytes"]["response_body"] == len(BODY)


@pytest.mark.capture
def test_traced(origin, proxy, peer, tmp_path):
    """Every frame is where it was, behind the urgent bytes as before them."""
    backend = origin(answer())
    front = proxy(backend, trace=True)
    client = peer(front)
    for n in range(4):
        raw = post(BODY[:100 + n])
        send_urgently(client, raw, [10, len(raw) - 30])
        assert client.read_response("POST").status == 200
    client.close()
    front.stop()
    lines = trace.flows(front.trace_dir)
    trace.check_folder(front.trace_dir, lines)
    dump = trace.dump_of(front.trace_dir)
    assert trace.assert_agrees_with_tshark(front.trace_dir, dump, lines) == 16
    trace.assert_offline_same(front, tmp_path)
    for line in lines:
        for _, leg in trace.legs(line):
            for part in ("request", "response"):
                assert leg[part]["missing_bytes"] == 0 and leg[part]["acked_in"], line
    assert len(capture.tshark_fields(dump, "frame.number", display_filter="tcp.flags.urg==1")) == 8
