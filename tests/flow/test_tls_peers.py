"""TLS as others speak it: curl, the openssl command, Python, Node, nginx and HAProxy, in front of the
proxy and behind it, with TLS 1.2 alone and TLS 1.3 alone."""

import functools
import http.client
import http.server
import json
import os
import re
import shutil
import ssl
import subprocess
import threading
import time

import pytest

import bench_subjects
import certs
import log
import neighbours
from origin import echo
import stack
import tls_mode
import tls_peer

HTTPS = ("https://127.0.0.1:0",)
VERSIONS = ("1.2", "1.3")
NODE = shutil.which("node")
SCRIPTS = os.path.join(stack.ROOT, "tests", "lib", "node")

both_versions = pytest.mark.parametrize("version", VERSIONS)


def done_lines(front, count, leg, version):
    """The log's lines, all done, whose leg spoke that version."""
    lines = log.wait_lines(front.log_path, count)
    assert len(lines) == count and {line["end"] for line in lines} == {"done"}
    for line in lines:
        assert line[leg]["tls"]["version"] == version, line[leg]["tls"]
    return lines


def resumed(lines, leg):
    """How many of its connections resumed an earlier one's session, and of how many."""
    conns = {line[leg]["conn"]: line[leg]["tls"]["resumed"] for line in lines}
    return sum(conns.values()), len(conns)


@pytest.fixture
def front(origin, proxy):
    return proxy(origin(echo, tls=False), listen=HTTPS)


# ---- in front -------------------------------------------------------------------------------------------

@both_versions
def test_curl(front, tmp_path, version):
    """Some requests on a connection, each of which is verified; bodies as they were sent."""
    body = os.urandom(70000)
    (tmp_path / "body").write_bytes(body)
    urls = [f"https://test.example:{front.port}/{n}" for n in range(6)]
    done = subprocess.run(
        ["curl", "-sS", "--cacert", certs.ca().cert, "--resolve",
         f"test.example:{front.port}:127.0.0.1", f"--tlsv{version}", "--tls-max", version,
         "--data-binary", "@body", *urls],
        cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0 and done.stdout == body * 6, done.stderr
    lines = done_lines(front, 6, "client", version)
    assert resumed(lines, "client")[1] == 1
    assert {line["client"]["tls"]["sni"] for line in lines} == {"test.example"}
    # curl offers h2 too
    assert {line["client"]["tls"]["alpn"] for line in lines} == {"http/1.1"}


@both_versions
def test_curl_asks_for_http2(front, version):
    """Of what it offers we know http/1.1."""
    done = subprocess.run(
        ["curl", "-sS", "--cacert", certs.ca().cert, "--http2", f"--tlsv{version}", "--tls-max",
         version, "-w", "%{http_version}", "-d", "x", front.url],
        capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, b"x1.1"), done
    line, = done_lines(front, 1, "client", version)
    assert (line["client"]["tls"]["sni"], line["client"]["tls"]["alpn"]) == (None, "http/1.1")


def test_curl_with_its_own_certificate(origin, proxy):
    backend = origin(echo, tls=False)
    front = proxy(backend, listen=HTTPS, settings={"tls.client_auth": "required",
                                                   "tls.truststore": certs.ca().cert})
    done = subprocess.run(
        ["curl", "-sS", "--cacert", certs.ca().cert, "--cert", certs.client().chain, "--key",
         certs.client().key, "-d", "x", front.url], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, b"x"), done.stderr
    line, = log.wait_lines(front.log_path, 1)
    assert (line["client"]["tls"]["subject"], line["client"]["tls"]["verify"]) \
        == ("CN=a client", "ok")
    assert backend.requests[0].get("X-Client-Cert-Subject") == "CN=a client"


@both_versions
def test_openssl_s_client(front, version):
    asked = b"".join(b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n%s\r\nabc"
                     % (n, b"Connection: close\r\n" * (n == 3)) for n in range(4))
    done = subprocess.run(
        ["openssl", "s_client", "-quiet", "-connect", "127.0.0.1:%d" % front.port, "-CAfile",
         certs.ca().cert, "-verify_return_error", "-no_ign_eof", f"-tls{version.replace('.', '_')}",
         "-servername", "test.example", "-ign_eof"],
        input=asked, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done
    assert done.stdout.count(b"HTTP/1.1 200") == 4 and done.stdout.endswith(b"abc"), done.stdout
    done_lines(front, 4, "client", version)


@both_versions
def test_python_client(front, version):
    context = tls_peer.client_context(certs.ca().cert, version)
    for n in range(3):
        conn = http.client.HTTPSConnection("localhost", front.port, context=context, timeout=10)
        for m in range(20):
            body = os.urandom(m * 3001)
            conn.request("POST", f"/{n}/{m}", body)
            got = conn.getresponse()
            assert (got.status, got.read()) == (200, body)
        conn.close()
    done_lines(front, 60, "client", version)


@both_versions
@pytest.mark.skipif(NODE is None, reason="node is not installed (Debian: nodejs)")
def test_node_client(front, version):
    done = subprocess.run(
        [NODE, f"--tls-min-v{version}", f"--tls-max-v{version}", os.path.join(SCRIPTS, "client.js"),
         f"https://localhost:{front.port}", "300", "6", "true", "0"],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
        env=dict(os.environ, NODE_EXTRA_CA_CERTS=certs.ca().cert))
    assert done.returncode == 0 and not done.stderr, done.stderr
    told = json.loads(done.stdout)
    assert told["right"] == 300 and not told["failures"], told
    done_lines(front, 300, "client", version)


@pytest.fixture
def neighbour(tmp_path):
    """neighbour(kind, backend_port, tls) starts one."""
    started = []

    def start(kind, backend_port, tls):
        started.append(kind(backend_port, tmp_path / f"neighbour{len(started)}", tls))
        return started[-1]

    yield start
    for each in started:
        each.stop()


def ask(address, count):
    """Plain GET and POST in turn; all bodies must come back."""
    conn = http.client.HTTPConnection(*address, timeout=10)
    for n in range(count):
        body = os.urandom(n * 331 % 40_000) if n % 2 else None
        conn.request("POST" if body is not None else "GET", f"/{n}", body)
        response = conn.getresponse()
        assert (response.status, response.read()) == (200, body or b""), n
    conn.close()


@both_versions
@pytest.mark.parametrize("kind", [neighbours.Nginx, neighbours.HaproxyServerClose],
                         ids=lambda kind: kind.name)
def test_proxy_in_front(front, neighbour, kind, version):
    """It verifies us, and resumes its sessions with us."""
    before = neighbour(kind, front.port, {"back": certs.ca().cert, "version": version})
    ask(("127.0.0.1", before.port), 100)
    lines = done_lines(front, 100, "client", version)
    again, conns = resumed(lines, "client")
    assert conns > 5 and again >= conns - 2, (again, conns)


# ---- behind -----------------------------------------------------------------------------------------------

@both_versions
@pytest.mark.parametrize("kind", [neighbours.Nginx, neighbours.Haproxy], ids=lambda kind: kind.name)
def test_proxy_behind(origin, neighbour, proxy, kind, version):
    """It closes its kept connections in between; each new one resumes."""
    backend = origin(echo, tls=False)
    backend.forgive = True  # HAProxy ends its connections by RST
    back = neighbour(kind, backend.port, {"front": certs.server(), "version": version})
    front = proxy(back)
    ask(front.address, 100)
    time.sleep(0.1)  # HAProxy's limit of idle connections is over
    ask(front.address, 50)
    lines = done_lines(front, 150, "backend", version)
    again, conns = resumed(lines, "backend")
    assert conns > 1 and again == conns - 1, (again, conns)
    assert {line["backend"]["tls"]["verify"] for line in lines} == {"ok"}


class Handler(http.server.BaseHTTPRequestHandler):
    """Sends each body back."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST


@both_versions
def test_python_server(proxy, version):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = tls_peer.server_context(certs.server(), version).wrap_socket(
        server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        front = proxy(f"https://localhost:{server.server_port}")
        ask(front.address, 60)
        lines = done_lines(front, 60, "backend", version)
        assert {line["backend"]["tls"]["sni"] for line in lines} == {"localhost"}
    finally:
        server.shutdown()
        server.server_close()


@both_versions
@pytest.mark.skipif(NODE is None, reason="node is not installed (Debian: nodejs)")
def test_node_server(proxy, version):
    server = stack.Tool(NODE, f"--tls-min-v{version}", f"--tls-max-v{version}",
                        os.path.join(SCRIPTS, "server.js"), "40", "false", certs.server().chain,
                        certs.server().key)
    try:
        front = proxy(server.url)
        files = front.open_files()
        ask(front.address, 40)
        until = time.monotonic() + 10
        while front.open_files() > files:
            assert time.monotonic() < until, "the server does not close its connections"
            time.sleep(0.02)
        ask(front.address, 40)
        lines = done_lines(front, 80, "backend", version)
        again, conns = resumed(lines, "backend")
        assert conns > 1 and again == conns - 1, (again, conns)
    finally:
        server.stop()


class SServer(bench_subjects.Subject):
    """`openssl s_server -HTTP`: one file for each connection, ended by close."""

    name = "s_server"

    def __init__(self, workdir, version):
        self.version = version
        super().__init__(None, None, str(workdir))

    def start(self, _backend_port):
        with open(os.path.join(self.workdir, "file"), "wb") as f:
            f.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + b"line\n" * 9000)
        self.spawn(["/usr/bin/openssl", "s_server", "-accept", f"127.0.0.1:{self.port}", "-HTTP",
                    "-cert", certs.server().cert, "-key", certs.server().key, "-quiet",
                    f"-tls{self.version.replace('.', '_')}"])

    def wait_ready(self):
        neighbours.Neighbour.wait_ready(self)


@both_versions
def test_openssl_s_server(proxy, peer, tmp_path, version):
    """Its responses have no length: each is whole since close_notify ends it."""
    server = SServer(tmp_path, version)
    try:
        front = proxy(f"https://127.0.0.1:{server.port}")
        for _ in range(4):
            got = peer(front).get("/file")
            assert (got.status, got.body) == (200, b"line\n" * 9000)
        lines = done_lines(front, 4, "backend", version)
        assert resumed(lines, "backend") == (3, 4)
    finally:
        server.stop()


# ---- both at once -------------------------------------------------------------------------------------------

def test_min_version(origin, proxy, peer):
    """min_version = 1.3: on both legs TLS 1.2 is refused."""
    settings = {"tls.min_version": "1.3"}
    backend = origin(echo, tls=tls_peer.server_context(certs.server(), "1.2"))
    front = proxy(backend, listen=HTTPS, settings=settings)
    with pytest.raises(tls_peer.Alert) as said:
        peer(front, tls=tls_peer.client_context(certs.ca().cert, "1.2"))
    assert said.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"
    assert peer(front, tls=tls_peer.client_context(certs.ca().cert, "1.3")).get().status == 502
    lines = front.lines(2)
    assert [line["end"] for line in lines] == ["tls-handshake", "backend-tls-failed"]
    assert re.search("unsupported protocol", lines[0]["client"]["tls"]["error"]), lines[0]
    assert re.search("protocol version", lines[1]["backend"]["tls"]["error"]), lines[1]


@functools.lru_cache(None)
def shops():
    """Certificates of several names: exact, by wildcard, and the first for anybody else."""
    return [certs.ca().issue(name, names=names) for name, names in (
        ("first", ["first.example", "127.0.0.1"]),
        ("exact", ["a.shop.example"]),
        ("wildcard", ["*.shop.example"]))]


@both_versions
@pytest.mark.parametrize("asked, shown", [
    ("first.example", "first"), ("a.shop.example", "exact"), ("A.Shop.Example", "exact"),
    ("b.shop.example", "wildcard"), ("unknown.example", "first"), ("a.b.shop.example", "first"),
    (None, "first")])
def test_names(origin, proxy, asked, shown, version):
    front = proxy(origin(echo, tls=False), listen=HTTPS,
                  settings={"tls.keystore": [shop.store for shop in shops()]})
    context = tls_peer.client_context(None, version)
    sock = tls_peer.TlsSocket(neighbours.socket.create_connection(front.address), context,
                              name=asked)
    der = sock.tls.getpeercert(binary_form=True)
    wanted = next(shop for shop in shops() if shop.name == shown)
    assert ssl.DER_cert_to_PEM_cert(der).strip() == certs.read(wanted.cert).decode().strip()
    sock.close()


def test_both_legs_of_one_exchange(origin, proxy, peer):
    """TLS 1.2 on one, 1.3 on the other; the log tells them apart."""
    backend = origin(echo, tls=tls_peer.server_context(certs.server(), "1.3"))
    front = proxy(backend, listen=HTTPS)
    client = peer(front, tls=tls_peer.client_context(certs.ca().cert, "1.2"))
    assert client.post(b"x").body == b"x"
    line, = front.lines(1)
    assert (line["client"]["tls"]["version"], line["backend"]["tls"]["version"]) == ("1.2", "1.3")
    assert line["client"]["tls"]["sni"] == tls_mode.SERVER_NAME
    assert backend.requests[0].get("X-Forwarded-Proto") == "https"
