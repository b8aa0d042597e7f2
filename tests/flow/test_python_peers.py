"""Python's own HTTP clients and servers as peers, each with its keep-alive habits."""

import http.client
import http.server
import os
import threading
import urllib.request

import pytest

from origin import echo


class Handler(http.server.BaseHTTPRequestHandler):
    """Sends each body back; GET has none."""

    def log_message(self, *_arguments):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST


@pytest.fixture
def server():
    """server(version) starts http.server with that protocol_version; its URL."""
    started = []

    def start(version):
        handler = type("VersionedHandler", (Handler,), {"protocol_version": version})
        started.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=started[-1].serve_forever, daemon=True).start()
        return "http://127.0.0.1:%d" % started[-1].server_port

    yield start
    for each in started:
        each.shutdown()
        each.server_close()


def ask(front, count):
    """Bodies and none in turn over one http.client connection; all must come back."""
    conn = http.client.HTTPConnection(*front.address, timeout=10)
    for n in range(count):
        body = os.urandom(n * 37 % 5000) if n % 2 else None
        conn.request("POST" if body is not None else "GET", f"/{n}", body)
        response = conn.getresponse()
        assert (response.status, response.read()) == (200, body or b""), n
    conn.close()


def done_lines(front, count):
    lines = front.lines(count)
    assert {line["end"] for line in lines} == {"done"}
    return lines


def test_http_client_keeps_its_connection(origin, proxy):
    front = proxy(origin(echo))
    ask(front, 200)
    lines = done_lines(front, 200)
    assert {line["client"]["conn"] for line in lines} == {1}
    assert sum(line["backend"]["reused"] for line in lines) == 199


def test_urllib_closes_each(origin, proxy):
    front = proxy(origin(echo))
    for n in range(100):
        body = os.urandom(n * 41)
        with urllib.request.urlopen(f"{front.url}/{n}", data=body, timeout=10) as response:
            assert response.status == 200 and response.read() == body
            assert response.headers["Connection"] == "close"
    lines = done_lines(front, 100)
    assert len({line["client"]["conn"] for line in lines}) == 100


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_http_server(server, proxy, version):
    """As HTTP/1.0 it closes after each response; the client's connection does not notice."""
    front = proxy(server(version))
    ask(front, 100)
    lines = done_lines(front, 100)
    assert {line["client"]["conn"] for line in lines} == {1}
    assert sum(line["backend"]["reused"] for line in lines) == (99 if version[-1] == "1" else 0)
