"""[trace] secrets = on: tshark shows every request and response of both legs in dump.pcapng, and
without it, or without the secrets, none."""

import os
import re
import signal
import socket
import stat
import subprocess
import threading

import pytest

import certs
import decrypted
import peer as peers
import stack
import tls_peer
import trace
import traffic

pytestmark = pytest.mark.capture

# On a machine with much else to do, nothing leaves before its time.
SECRETS = {"trace.secrets": "on", "trace.hold_ms": 10000}
WARNING = r"\[trace\] secrets = on: the keys of all TLS connections go into the dump"


@pytest.fixture
def traced(origin, proxy):
    """traced(version="1.2") starts a proxy with TLS on both legs, and its tracer."""
    def start(version=None, settings=None, **options):
        backend = origin(traffic.answer_by_target,
                         tls=tls_peer.server_context(certs.server(), version))
        backend.forgive = True
        return proxy(backend, trace=True, listen=("https://127.0.0.1:0",),
                     settings=dict(SECRETS, **(settings or {})), **options)
    return start


def client_of(front, version=None, session=None):
    return peers.Peer(front.address, tls=tls_peer.client_context(certs.ca().cert, version),
                      session=session)


def several(front, targets=("/size/10",), version=None):
    client = client_of(front, version)
    for target in targets:
        assert client.get(target).status == 200
    client.close()


def in_parallel(front, count, target=several, *arguments):
    failed = []

    def run():
        try:
            target(front, *arguments)
        except Exception as error:  # pylint: disable=broad-except
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed


def resumed(front, version):
    """A connection, and one that resumes its session; the backend's are made anew, too."""
    context = tls_peer.client_context(certs.ca().cert, version)
    first = peers.Peer(front.address, tls=context)
    assert first.get("/close").status == 200
    session = first.sock.tls.session
    first.close()
    second = peers.Peer(front.address, tls=context, session=session)
    assert second.get("/close").status == 200
    assert second.sock.resumed
    second.close()


def large(front, version):
    client = client_of(front, version)
    assert client.get("/size/65536").body_bytes == 65536
    assert client.post(os.urandom(65536), "/size/3").status == 200
    client.send(b"".join(peers.request(f"/size/{n * 10}") for n in range(6)))
    for _ in range(6):
        assert client.read_response().status == 200
    client.close()


def mode_of(folder, name):
    return stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode)


FILES = ("dump.pcapng", "flows.ndjson", "conns.ndjson")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_every_exchange_of_both_legs(traced, tmp_path, version):
    front = traced(version)
    several(front, ("/size/1", "/size/2", "/size/3"), version)
    resumed(front, version)
    large(front, version)
    in_parallel(front, 20, several, ("/size/4", "/size/5"), version)
    front.stop()
    lines, dump = decrypted.proxy_lines(front.trace_dir), trace.dump_of(front.trace_dir)
    for name in ("client", "backend"):
        assert {line[name]["tls"]["version"] for line in lines} == {version}
        assert {line[name]["tls"]["resumed"] for line in lines} == {True, False}
    assert decrypted.assert_opens(dump, lines) > 150
    assert trace.told(front, "uncommented") == 0
    assert len([line for line in front.stderr_lines if "secrets" in line]) == 1
    front.wait_stderr(WARNING)
    assert {mode_of(front.trace_dir, name) for name in FILES} == {0o600}
    labels = {line.split(" ")[0] for line in decrypted.secrets(dump)}
    assert labels == ({"CLIENT_RANDOM"} if version == "1.2" else
                      {f"{side}_{kind}" for side in ("CLIENT", "SERVER")
                       for kind in ("HANDSHAKE_TRAFFIC_SECRET", "TRAFFIC_SECRET_0")})
    # handed on
    bare = tmp_path / "bare.pcapng"
    subprocess.run(["editcap", "--discard-all-secrets", dump, bare], check=True, timeout=60)
    assert not decrypted.secrets(bare) and not decrypted.shown(bare)
    # blocks of secrets are no frames, and an annotated copy has them
    trace.assert_agrees_with_tshark(front.trace_dir, dump, trace.flows(front.trace_dir))
    trace.assert_offline_same(front, tmp_path)
    copy = tmp_path / "offline" / "dump.pcapng"
    decrypted.assert_opens(copy, lines)
    assert decrypted.secrets(copy) == decrypted.secrets(dump)
    assert {mode_of(tmp_path / "offline", name) for name in (*FILES, "proxy.ndjson")} == {0o600}


def test_off_by_default(traced):
    front = traced(settings={"trace.secrets": "off"})
    several(front)
    front.stop()
    dump = trace.dump_of(front.trace_dir)
    assert len(decrypted.logged(decrypted.proxy_lines(front.trace_dir))) == 4
    assert not decrypted.secrets(dump) and not decrypted.shown(dump)
    assert "secrets" not in front.stderr
    mask = os.umask(0)
    os.umask(mask)
    assert {mode_of(front.trace_dir, name) for name in FILES} == {0o644 & ~mask}


# ---- key updates -----------------------------------------------------------------------------------

class Dialogue:
    """openssl s_client or s_server, which make a key update of a line with K."""

    def __init__(self, *arguments):
        self.said = b""
        self.changed = threading.Condition()
        self.child = subprocess.Popen(["openssl", *map(str, arguments)], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while data := self.child.stdout.read1(65536):
            with self.changed:
                self.said += data
                self.changed.notify_all()

    def say(self, raw):
        self.child.stdin.write(raw)
        self.child.stdin.flush()

    def wait(self, pattern, count=1):
        with self.changed:
            assert self.changed.wait_for(lambda: len(re.findall(pattern, self.said)) >= count,
                                         timeout=15), (pattern, self.said)
            return re.findall(pattern, self.said)[-1]

    def end(self):
        self.child.kill()
        self.child.wait()


@pytest.fixture
def dialogue():
    started = []

    def start(*arguments):
        started.append(Dialogue(*arguments))
        return started[-1]

    yield start
    for each in started:
        each.end()


def test_key_updates_of_both_legs(dialogue, proxy):
    server = certs.server()
    backend = dialogue("s_server", "-accept", "127.0.0.1:0", "-tls1_3", "-cert", server.cert, "-key",
                       server.key, "-CAfile", certs.ca().cert)
    port = backend.wait(rb"ACCEPT [^\n]*:(\d+)\n").decode()
    front = proxy(f"https://127.0.0.1:{port}", trace=True, listen=("https://127.0.0.1:0",),
                  settings=SECRETS)
    client = dialogue("s_client", "-connect", f"127.0.0.1:{front.port}", "-tls1_3", "-CAfile",
                      certs.ca().cert)
    client.wait(rb"Verify return code: 0 ")
    for n in range(1, 4):
        client.say(peers.request(f"/update/{n}"))
        backend.wait(b"GET /update/%d " % n)
        backend.say(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
        client.wait(b"HTTP/1.1 200", n)
        backend.say(b"K\n")  # s_server says nothing of it, but looks there before it reads on
        client.say(b"K\n")
        client.wait(b"KEYUPDATE", n)
    client.end()
    front.stop()
    lines, dump = decrypted.proxy_lines(front.trace_dir), trace.dump_of(front.trace_dir)
    assert [line["backend"]["nth"] for line in lines] == [1, 2, 3]
    decrypted.assert_opens(dump, lines)
    updates = decrypted.capture.tshark_fields(dump, "tcp.srcport",
                                              display_filter="tls.handshake.type == 24")
    senders = {int(row["tcp.srcport"]) for row in updates}
    assert {front.port, int(port)} < senders and len(senders) == 4, updates


def test_stores_that_were_read_again(traced):
    front = traced()
    several(front, ("/close",))
    front.signal(signal.SIGHUP)
    front.wait_stderr("were read again")
    several(front, ("/close",))
    front.stop()
    lines = decrypted.proxy_lines(front.trace_dir)
    assert decrypted.assert_opens(trace.dump_of(front.trace_dir), lines) == 8


# ---- restarts and stalls ---------------------------------------------------------------------------

def test_after_a_restart_of_the_tracer(traced):
    front = traced()
    old = client_of(front)
    assert old.get("/close").status == 200
    before = len(front.stderr_lines)
    os.kill(trace.tracer_of(front), signal.SIGKILL)
    front.wait_stderr(r"capturing on .*dump-2\.pcapng")
    assert "was ended by signal 9" in "\n".join(front.stderr_lines[before:])
    for _ in range(2):  # the worker has turned round: it knows of the tracer as well
        assert old.get("/close").status == 200
    several(front, ("/size/1", "/size/2"))
    in_parallel(front, 5)
    assert old.get("/close").status == 200
    old.close()
    front.stop()
    lines = decrypted.proxy_lines(front.trace_dir)
    of_old = lines[0]["client"]["conn"]
    dump = trace.dump_of(front.trace_dir, "dump-2.pcapng")
    opened = {leg["conn"] for line in lines[3:] for _, leg in trace.legs(line)} - {
        leg["conn"] for line in lines[:3] for _, leg in trace.legs(line)}
    assert of_old not in opened and len(opened) > 6
    found = decrypted.shown(dump)
    expected = decrypted.logged(lines, lambda leg: leg["conn"] in opened)
    assert sum(expected.values()) >= 24 and not expected - found, expected - found
    assert not found & decrypted.logged(lines, lambda leg: leg["conn"] == of_old)
    assert mode_of(front.trace_dir, "dump-2.pcapng") == 0o600


def test_tracer_that_stalls_while_connections_open(traced):
    front = traced(settings={"proxy.workers": 2})
    several(front)
    tracer = stack.Sleeper(front)
    tracer.freeze()
    try:
        in_parallel(front, 10, several, ("/close", "/size/7"))
        trace.settle(0.5)
    finally:
        tracer.thaw()
    several(front, ("/close",))
    front.stop()
    lines = decrypted.proxy_lines(front.trace_dir)
    assert decrypted.assert_opens(trace.dump_of(front.trace_dir), lines) >= 4 * 22
    assert trace.told(front, "uncommented") == 0


class Freezer:
    """Before the backend: the proxy is frozen just before the first bytes of the backend come to it,
    and knows nothing of them until they have long been captured."""

    def __init__(self, backend):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.backend = backend
        self.front = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"https://127.0.0.1:{self.listener.getsockname()[1]}"

    def _run(self):
        ours, _ = self.listener.accept()
        theirs = socket.create_connection(("127.0.0.1", self.backend.port))
        up = threading.Thread(target=self._pass, args=(ours, theirs), daemon=True)
        up.start()
        hello = theirs.recv(65536)
        self.front.freeze()
        ours.sendall(hello)
        trace.settle(0.3)
        self.front.thaw()
        self._pass(theirs, ours)
        up.join()
        ours.close()
        theirs.close()

    @staticmethod
    def _pass(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one of them has reset it

    def stop(self):
        self.thread.join(10)
        self.listener.close()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_packets_wait_for_their_secrets(origin, proxy, version):
    backend = origin(traffic.answer_by_target, tls=tls_peer.server_context(certs.server(), version))
    freezer = Freezer(backend)
    front = freezer.front = proxy(freezer.url, trace=True, listen=("https://127.0.0.1:0",),
                                  settings=SECRETS)
    several(front, ("/size/9", "/close"))
    front.stop()
    freezer.stop()
    lines = decrypted.proxy_lines(front.trace_dir)
    assert decrypted.assert_opens(trace.dump_of(front.trace_dir), lines) == 8


# ---- attached by hand ------------------------------------------------------------------------------

@pytest.fixture
def attached(origin, proxy, tmp_path):
    """attached(secrets of the proxy, options of flowtrace) runs one exchange; the folder, and what
    the tracer said."""
    def run(secrets, *options):
        folder = tmp_path / "trace"
        folder.mkdir()
        (folder / "flows.ndjson").write_text("")
        (folder / "flows.ndjson").chmod(0o666)
        backend = origin(traffic.answer_by_target, tls=tls_peer.server_context(certs.server()))
        front = proxy(backend, listen=("https://127.0.0.1:0",), settings={
            "trace.control": tmp_path / "tap.sock", "trace.secrets": secrets})
        tracer = trace.Capture(tmp_path / "tap.sock", folder, *options)
        try:
            several(front)
            front.stop()
            assert tracer.wait() == 0
        finally:
            tracer.kill()
        return folder, tracer.stderr, decrypted.log.read_lines(front.log_path)
    return run


def test_by_hand(attached):
    folder, said, lines = attached("on", "--secrets")
    assert decrypted.assert_opens(folder / "dump.pcapng", lines) == 4
    assert "secrets" not in said
    assert {mode_of(folder, name) for name in FILES} == {0o600}


def test_proxy_that_may_not_tell(attached):
    folder, said, _ = attached("off", "--secrets")
    assert not decrypted.secrets(folder / "dump.pcapng")
    assert "the proxy tells no secrets ([trace] secrets = off)" in said
    assert mode_of(folder, "flows.ndjson") == 0o666


def test_tracer_that_does_not_want_them(attached):
    folder, _, _ = attached("on")
    assert not decrypted.secrets(folder / "dump.pcapng")
    assert mode_of(folder, "flows.ndjson") == 0o666


def test_wanted_without_payload(tmp_path):
    tracer = trace.Capture(tmp_path / "none", tmp_path, "--secrets", "--payload", "headers",
                           wait=False)
    assert tracer.wait() == 2
    assert "there is nothing to decrypt without --payload full" in tracer.stderr
