"""Traffic of many kinds through a proxy: what the tests of the tracer look at."""

import os
import threading
import time

from origin import response
import peer as peers
import wire


def answer_by_target(conn):
    """The backend: /size/N answers N bytes, /chunked/N in chunks, /close says close,
    /tunnel becomes a tunnel, /half stops half way, /reset resets instead of answering."""
    while True:
        request = conn.next_request(keep=False)
        if request is None:
            return
        kind, _, rest = request.target.strip("/").partition("/")
        if kind == "chunked":
            conn.reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(int(rest)):
                conn.reply(b"400\r\n" + b"c" * 1024 + b"\r\n")
            conn.reply(b"0\r\n\r\n")
        elif kind == "close":
            conn.reply(response(b"bye", fields=["Connection: close"]))
            return
        elif kind == "until-close":
            conn.reply(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000)
            return
        elif kind == "reset":
            conn.reset()
            return
        elif kind == "tunnel":
            conn.reply(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                       b"Connection: Upgrade\r\n\r\n")
            while data := conn.read_some():
                conn.send(data.upper())
            return
        elif kind == "half":
            conn.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
            return
        else:
            conn.reply(response(b"x" * (int(rest) if kind == "size" else 2)))


def keep_alive(front, count=5):
    client = peers.Peer(front.address)
    for n in range(count):
        assert client.get(f"/size/{n * 700}").status == 200
    client.close()


def pipelined(front):
    client = peers.Peer(front.address)
    client.send(b"".join(peers.request(f"/size/{n * 10}") for n in range(6)))
    for _ in range(6):
        assert client.read_response().status == 200
    client.close()


def large(front):
    client = peers.Peer(front.address)
    assert client.get("/size/1048576").body_bytes == 1 << 20
    assert client.post(os.urandom(1 << 20)).status == 200
    assert client.get("/chunked/300").body_bytes == 300 * 1024
    client.close()


def chunked_upload(front):
    client = peers.Peer(front.address)
    raw = peers.request("/", ["Transfer-Encoding: chunked"], method="POST")
    client.send_pieces([raw, wire.chunked(b"a" * 3000, b"b" * 40000)], pause_s=0.01)
    assert client.read_response("POST").status == 200
    client.close()


def closing(front):
    """Ended by close on either side, HTTP/1.0 too."""
    for target, version in (("/close", "HTTP/1.1"), ("/until-close", "HTTP/1.1"),
                            ("/size/10", "HTTP/1.0"), ("/until-close", "HTTP/1.0")):
        client = peers.Peer(front.address)
        assert client.get(target, version=version).status == 200
        client.close()


def slow_pieces(front):
    client = peers.Peer(front.address)
    raw = peers.request("/size/100", body=b"p" * 300, method="POST")
    client.send_pieces([raw[at:at + 50] for at in range(0, len(raw), 50)], pause_s=0.003)
    assert client.read_response("POST").status == 200
    client.close()


def tunnel(front):
    client = peers.Peer(front.address)
    client.send(peers.request("/tunnel", ["Upgrade: websocket", "Connection: Upgrade"]))
    assert client.read_response().status == 101
    for n in range(1, 4):
        client.send(b"ping" * n)
        assert client.read_exactly(4 * n) == b"PING" * n
    client.half_close()
    client.expect_eof()
    client.close()


def failing(front):
    """A malformed request, a backend that resets, one that stops half way, clients that leave."""
    client = peers.Peer(front.address)
    client.send(b"BROKEN\r\n\r\n")
    assert client.read_response().status == 400
    client.close()
    client = peers.Peer(front.address)
    assert client.post(b"x", "/reset").status == 502
    client.close()
    client = peers.Peer(front.address)
    client.send(peers.request("/half"))
    client.read_to_end()
    client.close()
    client = peers.Peer(front.address)
    client.send(peers.request("/", body=b"x" * 10, method="POST")[:-5])
    time.sleep(0.02)
    client.reset()
    idle = peers.Peer(front.address)
    idle.close()


KINDS = (keep_alive, pipelined, large, chunked_upload, closing, slow_pieces, tunnel)


def run(front, kinds=KINDS, clients=3):
    """All kinds, by several clients at once."""
    errors = []

    def work(shift):
        for n in range(len(kinds)):
            try:
                kinds[(n + shift) % len(kinds)](front)
            except Exception as error:  # pylint: disable=broad-except
                errors.append((kinds[(n + shift) % len(kinds)].__name__, error))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not errors, errors
