"""nginx and HAProxy as backends, which close often, and before flowproxy, as its clients."""

import gzip
import http.client
import os
import shutil
import subprocess
import time

import pytest

import neighbours
from origin import echo

BOTH = [neighbours.Nginx, neighbours.Haproxy, neighbours.HaproxyServerClose]

pytestmark = pytest.mark.skipif(
    not all(shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
            for name in ("nginx", "haproxy")),
    reason="nginx and haproxy are not installed (Debian: nginx-light haproxy)")


@pytest.fixture
def neighbour(tmp_path):
    """neighbour(kind, backend_port) starts one."""
    started = []

    def start(kind, backend_port):
        started.append(kind(backend_port, tmp_path / f"neighbour{len(started)}"))
        return started[-1]

    yield start
    for each in started:
        each.stop()


def ask(address, count, pause_s=0.0):
    """GET and POST in turn over as many connections as it takes; all bodies must come back."""
    conn = http.client.HTTPConnection(*address, timeout=10)
    for n in range(count):
        body = os.urandom(n * 331 % 20_000) if n % 2 else None
        conn.request("POST" if body is not None else "GET", f"/{n}", body)
        response = conn.getresponse()
        assert (response.status, response.read()) == (200, body or b""), n
        time.sleep(pause_s)
    conn.close()


def assert_done(front, count):
    lines = front.lines(count)
    assert {line["end"] for line in lines} == {"done"}
    return lines


@pytest.mark.parametrize("kind", BOTH, ids=lambda kind: kind.name)
def test_behind(origin, neighbour, proxy, kind):
    """It closes its kept connections in between, and nobody loses a request by that."""
    backend = origin(echo)
    backend.forgive = True  # HAProxy ends its connections by RST
    back = neighbour(kind, backend.port)
    front = proxy(back)
    ask(front.address, 150)
    # idle for longer than its limit in between: what it closed must not be used
    ask(front.address, 10, pause_s=0.08)
    lines = assert_done(front, 160)
    reused = sum(line["backend"]["reused"] for line in lines)
    if kind is neighbours.Nginx:
        # three requests a connection, whose last response says Connection: close
        assert 80 <= reused <= 160 * 2 / 3 + 1, reused
    elif kind is neighbours.Haproxy:
        assert 100 <= reused < 160, reused


def test_files_of_nginx(origin, neighbour, proxy, peer):
    """sendfile with a length, gzip in chunks, ranges, 304."""
    back = neighbour(neighbours.Nginx, origin(echo).port)
    text, binary = b"currency,rate\n" * 20_000, os.urandom(500_000)
    back.put("rates.txt", text)
    back.put("binary", binary)
    front = proxy(back)
    client = peer(front)
    plain = client.get("/files/binary")
    assert plain.body == binary and plain.framing == "length"
    zipped = client.get("/files/rates.txt", ["Accept-Encoding: gzip"])
    assert zipped.framing == "chunked" and gzip.decompress(zipped.body) == text
    part = client.get("/files/binary", ["Range: bytes=1000-1999"])
    assert (part.status, part.body) == (206, binary[1000:2000])
    again = client.get("/files/binary", ["If-None-Match: " + plain.get("ETag")])
    assert (again.status, again.body) == (304, b"")
    assert client.get("/files/none").status == 404
    assert_done(front, 5)


def test_nginx_says_continue(origin, neighbour, proxy, tmp_path):
    """curl waits for it with a large body; nginx says it at once."""
    back = neighbour(neighbours.Nginx, origin(echo).port)
    front = proxy(back)
    body = os.urandom(1_200_000)
    (tmp_path / "body").write_bytes(body)
    done = subprocess.run(
        ["curl", "-sS", "-v", "--max-time", "20", "--data-binary", "@body", front.url + "/upload"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30, check=False)
    assert done.returncode == 0 and done.stdout == body
    assert b"< HTTP/1.1 100 Continue" in done.stderr
    assert assert_done(front, 1)[0]["client"]["interim"] is not None


@pytest.mark.parametrize("kind", BOTH, ids=lambda kind: kind.name)
def test_before(origin, neighbour, proxy, kind):
    """As flowproxy's client: addresses are chained, and its keep-alive is served."""
    backend = origin(echo)
    front = proxy(backend)
    before = neighbour(kind, front.port)
    ask(("127.0.0.1", before.port), 150)
    lines = assert_done(front, 150)
    for request in backend.requests:
        assert request.get("X-Forwarded-For") == "127.0.0.1, 127.0.0.1"
        assert request.get("Via") == "1.1 flowproxy"
    assert len({line["client"]["conn"] for line in lines}) < 150 \
        or kind is neighbours.HaproxyServerClose
