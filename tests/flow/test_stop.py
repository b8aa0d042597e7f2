"""Ending the proxy: running exchanges are finished, everything is on disk, in bounded time."""

import signal
import threading
import time

import pytest

import check
import log
from origin import response
import peer as peers
import stack


def slowly(seconds):
    def script(conn):
        while conn.next_request():
            conn.origin.waiting.set()
            conn.origin.go.wait(seconds)
            conn.reply(response(b"finished"))

    return script


def start(origin, script):
    backend = origin(script)
    backend.waiting, backend.go = threading.Event(), threading.Event()
    return backend


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle(origin, proxy, peer, number):
    front = proxy(origin())
    client = peer(front)
    client.get()
    began = time.monotonic()
    front.stop(number)
    check.between(time.monotonic() - began, 0, 5 if stack.SLOW else 1, "seconds")
    client.expect_eof()
    front.lines(1)


def test_a_running_exchange_is_finished(origin, proxy, peer):
    backend = start(origin, slowly(10))
    front = proxy(backend)
    client = peer(front)
    raw = peers.request("/running")
    client.send(raw)
    assert backend.waiting.wait(5)
    front.signal(signal.SIGTERM)
    time.sleep(0.3)
    with pytest.raises(OSError):
        peer(front)  # it accepts no more
    backend.go.set()
    got = client.read_response()
    got.request_range = [0, len(raw)]
    assert got.body == b"finished" and got.get("Connection") == "close"
    client.expect_eof()
    front.stop()
    check.exchange(front.lines(1)[0], client, got, backend.requests[0])


def test_a_running_response_is_finished(origin, proxy, peer):
    def script(conn):
        conn.next_request()
        conn.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nfour")
        conn.origin.waiting.set()
        conn.origin.go.wait(10)
        conn.reply(b"more")
        conn.next_request()

    backend = start(origin, script)
    front = proxy(backend)
    client = peer(front)
    client.send(peers.request())
    assert backend.waiting.wait(5)
    client.read_until(b"four")
    front.signal(signal.SIGTERM)
    time.sleep(0.2)
    backend.go.set()
    assert client.read_exactly(4) == b"more"
    client.expect_eof()
    front.stop()
    assert front.lines(1)[0]["end"] == "done"


def test_a_request_that_waits_behind_it_is_answered(origin, proxy, peer):
    """It was read, and its sender was told that the connection goes on."""
    def script(conn):
        conn.next_request()
        conn.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nfour")
        conn.origin.waiting.set()
        conn.origin.go.wait(10)
        conn.reply(b"more")
        conn.next_request()

    backend = start(origin, [script, slowly(0)])
    front = proxy(backend)
    client = peer(front)
    client.send(peers.request("/1") + peers.request("/2"))
    assert backend.waiting.wait(5)
    client.read_until(b"four")
    front.signal(signal.SIGTERM)
    time.sleep(0.2)
    backend.go.set()
    assert client.read_exactly(4) == b"more"
    got = client.read_response()
    assert got.body == b"finished" and got.get("Connection") == "close"
    client.expect_eof()
    front.stop()
    assert [(x["target"], x["end"]) for x in front.lines(2)] == [("/1", "done"), ("/2", "done")]


def test_stop_ms_is_the_limit(origin, proxy, peer):
    backend = start(origin, slowly(30))
    backend.forgive = True
    front = proxy(backend, stop_ms=400)
    client = peer(front)
    client.send(peers.request())
    assert backend.waiting.wait(5)
    front.signal(signal.SIGTERM)
    began = time.monotonic()
    got = client.read_response()
    check.between(time.monotonic() - began, 0.3, 3, "seconds")
    assert got.status == 503
    client.expect_eof()
    front.stop()
    backend.go.set()
    line = front.lines(1)[0]
    assert (line["status"], line["end"]) == (503, "shutdown")
    check.client_leg(line["client"], client, got)


def test_a_second_signal_ends_it_at_once(origin, proxy, peer):
    backend = start(origin, slowly(30))
    backend.forgive = True
    front = proxy(backend)
    client = peer(front)
    client.send(peers.request())
    assert backend.waiting.wait(5)
    front.signal(signal.SIGTERM)
    time.sleep(0.2)
    assert front.running()
    began = time.monotonic()
    front.signal(signal.SIGTERM)
    status = front.wait(5)
    assert status is not None, "it waited on"
    check.between(time.monotonic() - began, 0, 2, "seconds")
    backend.go.set()
    front.expected_status = status
    assert status in (0, 1)
    log.check_log(log.read_lines(front.log_path))


def test_sigkill_leaves_whole_lines(origin, proxy, peer):
    backend = origin()
    backend.forgive = True  # over TLS it hears no close_notify then
    front = proxy(backend)
    client = peer(front)
    for _ in range(50):
        client.get()
    front.lines(50)
    front.signal(signal.SIGKILL)
    front.wait()
    front.expected_status = -signal.SIGKILL
    with open(front.log_path, "rb") as f:
        assert f.read().endswith(b"}\n")
    front.lines(50)


def test_lines_of_the_last_moment_are_written(origin, proxy, peer):
    front = proxy(origin())
    client = peer(front)
    for _ in range(20):
        client.get()
    front.stop()  # at once, within the 10 ms that a line may wait
    front.lines(20)
