"""A response whose end only the close tells, cut by the proxy: never to be taken for complete."""

import signal
import time

import pytest

from origin import response
import peer as peers


def endless(conn):
    conn.next_request()
    conn.send(b"HTTP/1.1 200 OK\r\n\r\nfirst part")
    conn.read_to_end()


@pytest.mark.parametrize("signals", [1, 2])
def test_by_the_stop(origin, proxy, peer, signals):
    backend = origin(endless)
    backend.forgive = True
    front = proxy(backend, stop_ms=300 if signals == 1 else 10000)
    client = peer(front)
    client.send(peers.request())
    client.read_until(b"first part")
    for _ in range(signals):
        front.signal(signal.SIGTERM)
        time.sleep(0.1)
    assert client.read_to_end() == (b"", "reset")
    front.wait()
    line = front.lines(1)[0]
    assert (line["end"], line["at_us"]["response_end"]) == ("shutdown", None)


def accepted(front, peer, lines):
    """A client of HTTP/1.0 that takes nothing: how much of the response the sockets took."""
    client = peer(front, recv_buffer=4096)
    client.send(peers.request("/", version="HTTP/1.0"))
    line = front.lines(lines, timeout_s=15)[-1]
    assert line["end"] == "client-stalled"
    first, past = line["client"]["response"]
    return client, line, past - first


def test_by_the_send_limit_with_the_end_already_read(origin, proxy, peer):
    """Chunks become a body that ends with the connection; the last bytes are still with us."""
    sizes = [50_000_000]

    def script(conn):
        conn.next_request()
        try:
            conn.send(response(b"x" * sizes[-1], framing="chunked"))
        except OSError:
            return
        conn.read_to_end()

    backend = origin(script)
    backend.forgive = True
    front = proxy(backend, send_timeout_ms=300)
    capacity = accepted(front, peer, 1)[2]
    for n, more in enumerate((5_000, 20_000, 60_000, 120_000)):
        sizes.append(capacity + more)
        client, line, _ = accepted(front, peer, n + 2)
        data, how = client.read_to_end()
        assert how == "reset", (more, len(data), line["at_us"])
