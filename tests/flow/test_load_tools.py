"""wrk, ab, siege and curl before the proxy: by their own counters nothing failed, and by the log each
request is one line that is done. And tls-load, the bench's own: it fails unless its handshakes are
of the kind that was asked for."""

import collections
import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading

import pytest

import certs
import log
from origin import Origin, echo
import stack

SOAP = b"<soap:Envelope xmlns:soap='http://schemas.xmlsoap.org/soap/envelope/'><soap:Body/></soap:Envelope>"


def needs(tool, package):
    return pytest.mark.skipif(shutil.which(tool) is None,
                              reason=f"{tool} is not installed (Debian: {package})")


def run(argv, tmp_path, timeout_s=60, status=0):
    """Its standard output."""
    done = subprocess.run([str(a) for a in argv], cwd=tmp_path, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout_s,
                          env=dict(os.environ, HOME=str(tmp_path)), check=False)
    assert done.returncode == status, (argv, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


@pytest.fixture
def backend():
    tool = stack.Tool("load-origin")
    yield tool
    tool.stop()


def ends_of(front):
    """How often each end word stands in the log, when the proxy has stopped."""
    front.stop()
    lines = log.read_lines(front.log_path)
    log.check_log(lines)
    return collections.Counter(line["end"] for line in lines)


@needs("wrk", "wrk")
@pytest.mark.parametrize("connections", [1, 64])
def test_wrk(backend, proxy, tmp_path, connections):
    front = proxy(backend)
    script = tmp_path / "post.lua"
    script.write_text('wrk.method = "POST"\nwrk.body = "<x/>"\n')
    said = run(["wrk", "-t1", f"-c{connections}", "-d1s", "-s", script, front.url + "/soap"],
               tmp_path).decode()
    requests = int(re.search(r"(\d+) requests in", said).group(1))
    assert requests > 0 and "Socket errors" not in said and "Non-2xx" not in said, said
    ends = ends_of(front)
    # it hangs up in the midst of what runs when its time is over
    assert ends["done"] >= requests
    assert sum(ends.values()) - requests <= connections, ends


@needs("ab", "apache2-utils")
@pytest.mark.parametrize("options", [[], ["-k"], ["-p", "body"], ["-k", "-p", "body"],
                                     ["-k", "-i"]], ids=" ".join)
def test_ab(backend, proxy, tmp_path, options):
    """HTTP/1.0, with and without keep-alive."""
    (tmp_path / "body").write_bytes(SOAP)
    front = proxy(backend)
    said = run(["ab", "-q", "-n", 1000, "-c", 10, "-T", "text/xml", *options,
                front.url + "/currency"], tmp_path).decode()
    assert re.search(r"Complete requests:\s+1000\n", said), said
    assert re.search(r"Failed requests:\s+0\n", said) and "Non-2xx" not in said, said
    if "-k" in options:
        assert re.search(r"Keep-Alive requests:\s+1000\n", said), said
    assert ends_of(front) == {"done": 1000}


@needs("siege", "siege")
@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_siege(backend, proxy, tmp_path, connection):
    front = proxy(backend)
    (tmp_path / "siegerc").write_text(f"connection = {connection}\nprotocol = HTTP/1.1\n"
                                      "verbose = false\nquiet = true\nlogging = false\n"
                                      "parser = false\njson_output = true\n")
    (tmp_path / "urls").write_text(f"{front.url}/65536\n{front.url}/soap POST <x/>\n")
    said = run(["siege", "-R", tmp_path / "siegerc", "-b", "-c", 10, "-r", 50, "-f",
                tmp_path / "urls"], tmp_path)
    told = json.loads(said[said.index(b"{"):])
    assert told["failed_transactions"] == 0 and told["availability"] == 100.0, told
    assert ends_of(front) == {"done": told["transactions"]}


# ---- curl ----

@pytest.fixture
def echoing(origin, proxy):
    backend = origin(echo)
    return backend, proxy(backend)


def curl(tmp_path, *arguments):
    return run(["curl", "-sS", "--max-time", 20, *arguments], tmp_path)


def test_curl_uses_one_connection_for_several(echoing, tmp_path):
    _, front = echoing
    said = curl(tmp_path, "-w", "%{http_code} %{num_connects}\n", "-o", "1", "-o", "2", "-o", "3",
                *(f"{front.url}/{n}" for n in range(3)))
    assert said.split() == [b"200", b"1", b"200", b"0", b"200", b"0"]
    lines = front.lines(3)
    assert [line["client"]["nth"] for line in lines] == [1, 2, 3]
    assert {line["end"] for line in lines} == {"done"}


def test_curl_posts_with_expect(echoing, tmp_path):
    """A body beyond 1 MiB is asked for first; nobody answers 100 here, and curl sends after 1 s."""
    _, front = echoing
    body = os.urandom(1_100_000)
    (tmp_path / "body").write_bytes(body)
    assert curl(tmp_path, "--data-binary", "@body", front.url + "/upload") == body
    line = front.lines(1)[0]
    assert (line["end"], line["bytes"]["request_body"]) == ("done", len(body))


def test_curl_uploads_chunked(echoing, tmp_path):
    backend, front = echoing
    body = os.urandom(700_000)
    (tmp_path / "body").write_bytes(body)
    assert curl(tmp_path, "-H", "Transfer-Encoding: chunked", "-H", "Expect:", "-T", "body",
                front.url + "/upload") == body
    assert backend.requests[0].framing == "chunked" and backend.requests[0].method == "PUT"
    assert front.lines(1)[0]["end"] == "done"


def test_curl_of_http10_and_head(echoing, tmp_path):
    _, front = echoing
    assert curl(tmp_path, "--http1.0", "-d", "abc", front.url + "/old") == b"abc"
    assert curl(tmp_path, "-I", front.url + "/head").startswith(b"HTTP/1.1 200")
    lines = front.lines(2)
    assert [(x["version"], x["method"]) for x in lines] == [("1.0", "POST"), ("1.1", "HEAD")]


def test_curl_in_parallel(proxy, tmp_path):
    """50 transfers, up to 20 at once, each of them whole."""
    backend = Origin(echo)
    try:
        front = proxy(backend)
        (tmp_path / "body").write_bytes(os.urandom(50_000))
        wanted = hashlib.sha256((tmp_path / "body").read_bytes()).hexdigest()
        curl(tmp_path, "--parallel", "--parallel-max", 20, "--data-binary", "@body",
             *(x for n in range(50) for x in ("-o", f"out{n}", f"{front.url}/{n}")))
        for n in range(50):
            assert hashlib.sha256((tmp_path / f"out{n}").read_bytes()).hexdigest() == wanted
        assert {line["end"] for line in front.lines(50)} == {"done"}
    finally:
        backend.stop()
    backend.check()


# ---- tls-load ----

class TlsServer:
    """Answers one request on each connection with 382 bytes, and closes."""

    def __init__(self, tickets):
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(certs.server().chain, certs.server().key)
        self.context.num_tickets = tickets
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), plain:
                with self.context.wrap_socket(plain, server_side=True) as conn:
                    self._answer(conn)

    @staticmethod
    def _answer(conn):
        have = b""
        while b"\r\n\r\n" not in have:
            have += conn.recv(4096)
        conn.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 382\r\n\r\n" + b"x" * 382)

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)


@pytest.fixture
def tls_server(request):
    server = TlsServer(getattr(request, "param", 2))
    yield server
    server.stop()


def tls_load(server, *options, status=0):
    """(requests, failed, full handshakes, resumed ones, what it said on stderr)"""
    done = subprocess.run(
        [stack.program("tools/tls-load"), "--to", f"127.0.0.1:{server.port}", "--ca",
         certs.ca().cert, "--seconds", "1", *options], capture_output=True, text=True, timeout=60,
        check=False)
    assert done.returncode == status, (done.stdout, done.stderr)
    result = re.search(r"^RESULT (\d+) \d+ \d+ \d+ (\d+)$", done.stdout, re.M)
    handshakes = re.search(r"^handshakes (\d+) full, (\d+) resumed$", done.stdout, re.M)
    return (*map(int, result.groups() + handshakes.groups()), done.stderr)


@pytest.mark.parametrize("connections", ["1", "8"])
def test_tls_load_resumes_all_but_the_first(tls_server, connections):
    requests, failed, full, resumed, _ = tls_load(tls_server, "--resumed", "--connections",
                                                  connections)
    assert (full, failed) == (1, 0) and resumed == requests - 1 > 0


def test_tls_load_resumes_none(tls_server):
    requests, failed, full, resumed, _ = tls_load(tls_server, "--full", "--connections", "4")
    assert (resumed, failed) == (0, 0) and full == requests > 0


@pytest.mark.parametrize("tls_server", [0], indirect=True)
def test_tls_load_fails_when_nothing_can_be_resumed(tls_server):
    """One that gives no tickets: what was measured would not be what was asked for."""
    *_, full, resumed, said = tls_load(tls_server, "--resumed", status=1)
    assert resumed == 0 and full > 1
    assert said == "tls-load: these are not the handshakes that were asked for\n"


def test_tls_load_looks_at_the_answers(tls_server):
    requests, failed, _, _, said = tls_load(tls_server, "--full", "--bytes", "383", status=1)
    assert requests == 0 and failed > 0
    assert "the first: status 200 with 382 bytes" in said


def test_tls_load_verifies(tls_server):
    requests, _, full, _, said = tls_load(tls_server, "--full", "--name", "wrong.invalid", status=1)
    assert (requests, full) == (0, 0) and "certificate verify failed" in said


def test_tls_load_through_the_proxy(backend, proxy):
    """What it counts is what the log says of the connections."""
    front = proxy(backend, listen=("https://127.0.0.1:0",))
    requests, failed, full, resumed, _ = tls_load(front, "--resumed", "--post", "<x/>")
    assert (full, failed) == (1, 0) and resumed == requests - 1 > 0
    front.stop()
    lines = log.read_lines(front.log_path)
    log.check_log(lines)
    assert len(lines) == requests
    assert collections.Counter(line["client"]["tls"]["resumed"] for line in lines) \
        == {False: full, True: resumed}
