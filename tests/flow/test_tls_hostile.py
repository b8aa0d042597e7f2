"""Peers that misuse TLS: bytes in odd pieces, handshakes that break off or are garbage, connections
that never finish one, the wrong protocol on a port, ends without close_notify, renegotiation, early
data. Nobody else is disturbed, and the log has a line for each.
"""

import collections
import ctypes
import ctypes.util
import os
import random
import re
import resource
import select
import socket
import ssl
import struct
import subprocess
import time

import pytest

import certs
import check
import crowd
import log
from origin import echo, response
import peer as peers
import stack
import tls_peer
import wire

HTTPS = ("https://127.0.0.1:0",)
VERSIONS = ("1.2", "1.3")
CROWD = 1000


@pytest.fixture
def front(origin, proxy):
    """A proxy that speaks TLS to its clients; its backend is plain and echoes."""
    return proxy(origin(echo, tls=False), listen=HTTPS, header_timeout_ms=3000)


def context(version=None):
    return tls_peer.client_context(certs.ca().cert, version)


def raw_connection(front):
    sock = socket.create_connection(front.address, 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def hello_bytes(version=None):
    """A ClientHello's record."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context(version).wrap_bio(incoming, outgoing, server_hostname="test.example")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def drained(sock, seconds=10):
    """What comes until the other side has ended the connection, and how it did."""
    sock.settimeout(seconds)
    data = b""
    try:
        while piece := sock.recv(1 << 16):
            data += piece
    except ConnectionResetError:
        return data, "reset"
    return data, "eof"


def serves(front):
    """Somebody who behaves is served."""
    client = peers.Peer(front.address)
    got = client.post(b"still here", "/behaves")
    client.close()
    return (got.status, got.body) == (200, b"still here")


def failures(front, count, timeout_s=10):
    """So many lines of failed handshakes, without those of serves()."""
    until = time.monotonic() + timeout_s
    while True:
        lines = [line for line in log.read_lines(front.log_path) if line["target"] != "/behaves"]
        if len(lines) >= count:
            break
        assert time.monotonic() < until, f"{len(lines)} lines of {count}"
        time.sleep(0.02)
    assert len(lines) == count, [(x["end"], x["target"]) for x in lines]
    for line in lines:
        log.check_line(line)
    return lines


def check_failure(line, end="tls-handshake"):
    assert (line["end"], line["status"], line["method"]) == (end, None, None), line
    assert line["client"]["response"] is None and line["backend"] is None, line
    tls = line["client"]["tls"]
    assert tls is None or tls["error"] and line["client"]["request"] is None, line


# ---- pieces -------------------------------------------------------------------------------------------

class Dribble(tls_peer.TlsSocket):
    """Sends its ciphertext byte by byte."""

    piece_bytes = 1


@pytest.mark.parametrize("version", VERSIONS)
def test_ciphertext_byte_by_byte(front, version):
    raw = raw_connection(front)
    client = peers.Peer.over(Dribble(raw, context(version), name="test.example"))
    for n in range(3):
        got = client.post(b"x" * 300, f"/{n}")
        assert (got.status, got.body) == (200, b"x" * 300)
        assert front.lines(n + 1)[n]["client"]["request"] == got.request_range
    client.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_backend_ciphertext_byte_by_byte(origin, proxy, peer, version):
    backend = origin(echo, tls=tls_peer.server_context(certs.server(), version))
    backend.tls_class = Dribble
    client = peer(proxy(backend))
    for n in range(3):
        assert client.post(b"x" * 300, f"/{n}").body == b"x" * 300


@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize("version", VERSIONS)
def test_hello_in_many_records(front, version, size):
    """A handshake message may be cut into records anywhere (RFC 8446 section 5.1)."""

    class Split(tls_peer.TlsSocket):
        def _collect(self):
            made = super()._collect()
            if not self.sent.records and made[:1] == b"\x16":
                body = made[5:]
                whole = made
                made = b"".join(whole[:3] + struct.pack(">H", len(body[at:at + size]))
                                + body[at:at + size] for at in range(0, len(body), size))
                self._unsent[-len(whole):] = made
            return made

    client = peers.Peer.over(Split(raw_connection(front), context(version), name="test.example"))
    assert client.post(b"pieces").body == b"pieces"
    line, = log.wait_lines(front.log_path, 1)
    assert line["client"]["tls"]["client_hello"] == tls_peer.marks(client.sock)["client_hello"]
    client.close()


# ---- handshakes that go wrong ---------------------------------------------------------------------------

class Stop(OSError):
    """The connection has done what it was to do."""


def tampering(cut, then):
    """A TlsSocket that sends `cut` bytes of its own, then does `then(raw)` and stops."""

    class Tampering(tls_peer.TlsSocket):
        left = cut

        def _flush(self, flags=0):
            with self._sending:
                while self._unsent:
                    if self.left == 0:
                        then(self.raw)
                        raise Stop
                    n = self.raw.send(bytes(self._unsent[:self.left]), flags)
                    del self._unsent[:n]
                    self.left -= n

    return Tampering


def handshake_bytes(front, version):
    """How many bytes a client sends, and where its records end."""
    client = peers.Peer(front.address, tls=context(version))
    got = client.post(b"still here", "/behaves")
    assert got.status == 200
    marks = [r.past for r in client.sock.sent.records]
    finished = tls_peer.marks(client.sock)["client_finished"][1]
    client.close()
    return [past for past in marks if past <= finished]


def break_off(front, version, cut, then, wait):
    raw = raw_connection(front)
    try:
        client = tampering(cut, then)(raw, context(version), name="test.example")
        client.sendall(peers.request("/never"))
    except Stop:
        pass
    except ConnectionError:
        pass
    if wait and raw.fileno() >= 0:
        drained(raw)
    raw.close()


def places(ends):
    """Within and at the end of each record, but not where the handshake is done."""
    cuts, before = [], 0
    for past in ends:
        cuts += [before + 1, before + 4, before + 5, (before + past) // 2, past - 1, past]
        before = past
    return sorted(set(cut for cut in cuts if 0 < cut < ends[-1]))


ENDS = {
    "fin": lambda raw: raw.shutdown(socket.SHUT_WR),
    "reset": lambda raw: (raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                         struct.pack("ii", 1, 0)), raw.close()),
    "garbage": lambda raw: raw.sendall(random.Random(1).randbytes(20000)),
    "zeros": lambda raw: raw.sendall(bytes(20000)),
}


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("version", VERSIONS)
def test_client_breaks_off_anywhere(front, version, how):
    cuts = places(handshake_bytes(front, version))
    for cut in cuts:
        break_off(front, version, cut, ENDS[how], wait=how != "reset")
    lines = failures(front, len(cuts))
    for line in lines:
        check_failure(line)
    assert serves(front)


@pytest.mark.parametrize("version", VERSIONS)
def test_any_byte_of_a_client_is_wrong(front, version):
    """One bit is turned in each byte of a handshake: it fails, or TLS did not mind."""
    ends = handshake_bytes(front, version)
    draw = random.Random(version)
    bytes_to_turn = sorted(draw.sample(range(ends[-1]), 120) + [0, 1, 2, 3, 4, 5, 9])
    fine = 0
    for at in bytes_to_turn:

        class Turned(tls_peer.TlsSocket):
            seen = 0

            def _collect(self, at=at):
                made = super()._collect()
                if self.seen <= at < self.seen + len(made):
                    self._unsent[len(self._unsent) - len(made) + at - self.seen] ^= 1 << at % 8
                self.seen += len(made)
                return made

        raw = raw_connection(front)
        raw.settimeout(0.5)  # a length that is too large makes the proxy wait for the rest
        try:
            client = peers.Peer.over(Turned(raw, context(version), name="test.example"))
            fine += client.get("/behaves").status == 200
            client.close()
        except (ConnectionError, TimeoutError, wire.Closed,
                wire.Truncated, ValueError):
            raw.close()
    lines = failures(front, len(bytes_to_turn) - fine)
    assert {line["end"] for line in lines} <= {"tls-handshake", "bad-request", "plain-on-tls"}
    assert fine < len(bytes_to_turn) // 4
    assert serves(front)


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("version", VERSIONS)
def test_backend_breaks_off_anywhere(origin, proxy, peer, version, how):
    """Each is a 502 of its own; the client's connection goes on."""
    cuts = []

    def script(conn):
        conn.next_request()
        cuts.extend(places([r.past for r in conn.sock.sent.records[:conn.sock.first_flight + 3]]))
        conn.reply(response(fields=["Connection: close"]))

    backend = origin(script, tls=tls_peer.server_context(certs.server(), version))
    front = proxy(backend)
    client = peer(front)
    assert client.get().status == 200
    line, = front.lines(1)
    last = line["backend"]["tls"]["server_finished"][0]
    cuts = [cut for cut in cuts if cut <= last]
    assert len(cuts) > 10
    for n, cut in enumerate(cuts):
        backend.tls_class = tampering(cut, ENDS[how])
        backend.tls = tls_peer.server_context(certs.server(), version)  # knows no session to resume
        got = client.get(f"/{n}")
        assert got.status == 502, cut
    lines = front.lines(1 + len(cuts))[1:]
    for line in lines:
        assert line["end"] == "backend-tls-failed" and line["backend"]["tls"]["error"], line
        assert line["backend"]["request"] is None
    backend.tls_class = tls_peer.TlsSocket
    assert client.get("/again").status == 200


@pytest.mark.parametrize("raw", [
    b"\x16\x03\x01\xff\xff" + bytes(100),  # longer than a record may be
    b"\x16\x03\x01\x00\x00" * 40,  # empty ones
    b"\x16\x03\x01\x00\x04\x01\xff\xff\xff" + b"\x16\x03\x03\x40\x00" + bytes(16384),  # 16 MiB hello
    b"\x15\x03\x01\x00\x02\x01\x00" * 200,  # warnings
    b"\x14\x03\x01\x00\x01\x01" * 40,
    b"\x17\x03\x03\x00\x10" + bytes(16),
    b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(40),  # SSL 2.0
    b"\x16\x03\x00\x00\x04\x01\x00\x00\x00",
    b"\xff" * 300,
], ids=["long", "empty", "huge-hello", "warnings", "ccs", "data", "ssl2", "ssl3", "ff"])
def test_records_that_are_none(front, raw):
    sock = raw_connection(front)
    sock.sendall(raw)
    sock.shutdown(socket.SHUT_WR)
    drained(sock)
    sock.close()
    line, = failures(front, 1)
    check_failure(line)
    assert serves(front)


def test_silence_is_ended(front):
    """The limit of a head holds for the handshake, too. Who sends no byte leaves no line."""
    began = time.monotonic()
    silent, half = raw_connection(front), raw_connection(front)
    half.sendall(hello_bytes()[:50])
    for sock in (silent, half):
        drained(sock)
        sock.close()
    check.between(time.monotonic() - began, 2.8, 6 if not stack.SLOW else 20)
    check_failure(failures(front, 1)[0], "tls-timeout")


@pytest.mark.memory
def test_a_thousand_half_open_handshakes_take_little_memory(origin, proxy):
    front = proxy(origin(echo, tls=False), listen=HTTPS, header_timeout_ms=30000)
    hello = hello_bytes()
    assert serves(front)
    crowd.settle(front)
    before = front.rss_bytes()
    clients = half_open(front, hello)
    crowd.settle(front)
    each = (front.rss_bytes() - before) / CROWD
    assert each < 48 * 1024, each
    assert serves(front)
    for sock in clients:
        sock.close()


def half_open(front, hello):
    """Half of them have sent half a ClientHello, half a whole one and nothing after it."""
    clients = []
    for n in range(CROWD):
        sock = raw_connection(front)
        sock.sendall(hello if n % 2 else hello[:len(hello) // 2])
        clients.append(sock)
    return clients


def test_a_thousand_half_open_handshakes(origin, proxy, limits):
    front = proxy(origin(echo, tls=False), listen=HTTPS, header_timeout_ms=4000, limits=limits)
    clients = half_open(front, hello_bytes())
    assert serves(front)
    for sock in clients:
        drained(sock, 30)
        sock.close()
    lines = failures(front, CROWD, 20)
    assert collections.Counter(line["end"] for line in lines) == {"tls-timeout": CROWD}
    for line in lines:
        check_failure(line, "tls-timeout")
    assert serves(front)


@pytest.fixture
def limits():
    return {resource.RLIMIT_NOFILE: (4096, 4096)}


# ---- the wrong protocol ---------------------------------------------------------------------------------

@pytest.mark.parametrize("raw", [
    b"GET / HTTP/1.1\r\nHost: test.example\r\n\r\n",
    b"POST /soap HTTP/1.1\r\nHost: test.example\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100000,
    b"\r\nGET / HTTP/1.0\r\n\r\n",
    b"GET",
], ids=["get", "post", "crlf", "begun"])
def test_plain_http_on_a_tls_port(front, raw):
    client = peers.Peer(front.address, tls=False)
    client.send(raw)
    client.half_close()
    got = client.read_response()
    assert got.status == 400 and b"HTTPS" in got.body, got.body
    client.expect_eof()
    line, = front.lines(1)
    assert (line["end"], line["status"], line["backend"]) == ("plain-on-tls", 400, None)
    assert line["client"]["response"] == got.range
    assert serves(front)


def test_tls_on_a_plain_port(origin, proxy):
    front = proxy(origin(echo, tls=False), listen=("http://127.0.0.1:0",))
    sock = raw_connection(front)
    sock.sendall(hello_bytes())
    assert drained(sock)[0] == b""
    sock.close()
    line, = front.lines(1)
    check_failure(line, "tls-on-plain")
    assert line["client"]["tls"] is None
    client = peers.Peer(front.address)
    assert client.get().status == 200
    client.close()


def test_tls_towards_a_plain_backend(origin, proxy, peer):
    """It answers our ClientHello with HTTP."""

    def script(conn):
        conn.read_some()
        conn.send(response(b"no TLS here", status="400 Bad Request"))

    backend = origin(script, tls=False)
    front = proxy(backend.url.replace("http:", "https:"))
    assert peer(front).get().status == 502
    line, = front.lines(1)
    assert line["end"] == "backend-tls-failed" and line["backend"]["tls"]["error"], line


def test_cr_in_a_record_of_its_own(front):
    """It may be an empty line's; when it is none, the request began with it."""
    client = peers.Peer(front.address)
    client.send(b"\r")
    crowd.settle(front)
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.read_response().status == 400
    line, = front.lines(1)
    assert line["client"]["request"] == [0, client.sent]
    client.close()
    client = peers.Peer(front.address)
    client.send(b"\r")
    crowd.settle(front)
    client.send(b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.read_response().status == 200
    assert front.lines(2)[1]["client"]["request"] == [1, client.sent]
    client.close()


# ---- ends without close_notify ----------------------------------------------------------------------------

@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("how", ["close", "cut_off"])
def test_response_that_ends_by_close(origin, proxy, peer, how, version):
    """Without close_notify nobody knows that it is whole (RFC 9112 section 9.8)."""

    def script(conn):
        conn.next_request()
        conn.reply(response(b"all of it", framing="close"))
        getattr(conn.sock, how)()

    backend = origin(script, tls=tls_peer.server_context(certs.server(), version))
    front = proxy(backend, listen=HTTPS)
    client = peer(front)
    client.send(peers.request())
    if how == "close":
        got = client.read_response()
        assert (got.status, got.body) == (200, b"all of it")
    else:
        with pytest.raises(wire.Truncated):
            client.read_response()
    line, = front.lines(1)
    assert line["end"] == ("done" if how == "close" else "backend-eof"), line
    assert (line["at_us"]["backend_response_end"] is not None) == (how == "close")


@pytest.mark.parametrize("together", [True, False])
def test_close_notify_is_an_end_without_a_fin(origin, proxy, peer, together):
    """In one segment with the last bytes, or behind them; the connection stays open below it."""

    def script(conn):
        conn.next_request()
        raw = response(b"all of it", framing="close")
        if together:
            conn.reply(raw[:-1])
            conn.sock.send(raw[-1:], socket.MSG_MORE)
        else:
            conn.reply(raw)
            time.sleep(0.1)
        conn.sock.notify()
        conn.sock._flush()
        conn.origin.wait_release()

    backend = origin(script, tls=tls_peer.server_context(certs.server()))
    front = proxy(backend, listen=HTTPS)
    client = peer(front, timeout_s=5)
    client.send(peers.request())
    got = client.read_response()
    assert (got.status, got.body) == (200, b"all of it")
    assert front.lines(1)[0]["end"] == "done"
    backend.release()


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_what_is_framed_needs_no_close_notify(origin, proxy, peer, framing):
    def script(conn):
        conn.next_request()
        conn.reply(response(b"all of it", framing=framing))
        conn.sock.cut_off()

    front = proxy(origin(script, tls=tls_peer.server_context(certs.server())), listen=HTTPS)
    client = peer(front)
    for n in range(3):
        got = client.get(f"/{n}")
        assert (got.status, got.body) == (200, b"all of it")
    assert {line["end"] for line in front.lines(3)} == {"done"}


def test_client_cuts_its_upload(origin, proxy, peer):
    """A body by length is short, with close_notify or without."""
    backend = origin(echo, tls=False)
    backend.forgive = True  # it has the beginning of a request
    front = proxy(backend, listen=HTTPS)
    raw = peers.request("/cut", body=b"x" * 1000, method="POST")
    for end in (lambda sock: sock.shutdown(socket.SHUT_WR),
                lambda sock: sock.raw.shutdown(socket.SHUT_WR)):
        client = peer(front)
        client.send(raw[:-10])
        end(client.sock)
        client.read_to_end()
    assert [line["end"] for line in front.lines(2)] == ["client-eof"] * 2


def test_data_after_close_notify(front):
    """What follows it is not read: no request is taken from it."""
    raw = raw_connection(front)
    sock = tls_peer.TlsSocket(raw, context("1.3"), name="test.example")
    client = peers.Peer.over(sock)
    got = client.get("/first")
    sock.notify()
    sock._flush()
    raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32) + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    drained(raw)
    client.close()
    assert [line["target"] for line in front.lines(1)] == ["/first"] and got.status == 200


# ---- what the openssl command can do ------------------------------------------------------------------------

def s_client(front, options, said, until="HTTP/1.1 ", timeout_s=20):
    """`openssl s_client` which is fed `said`, pieces with a pause before each. All its output, which it
    is waited for until there is that in it."""
    child = subprocess.Popen(
        ["openssl", "s_client", "-connect", "%s:%d" % front.address, "-CAfile", certs.ca().cert,
         "-servername", "test.example", *options],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output, ends_at = b"", time.monotonic() + timeout_s
    try:
        for pause_s, piece in said:
            time.sleep(pause_s)
            child.stdin.write(piece)
            child.stdin.flush()
    except BrokenPipeError:
        pass
    try:
        while until.encode() not in output and time.monotonic() < ends_at:
            piece = tls_peer.ready(child.stdout, select.POLLIN, 0.1) and child.stdout.read1()
            if piece == b"":
                break
            output += piece or b""
        rest, _ = child.communicate(timeout=timeout_s)
        return (output + rest).decode("utf-8", "replace")
    finally:
        child.kill()
        child.wait()


LAST = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def test_renegotiation_is_refused(front):
    """TLS 1.2: it says no, and never does a second handshake."""
    said = s_client(front, ["-tls1_2"], [(0.3, b"R\n"), (0.3, LAST)], until="enegotiation\n")
    assert re.search("no renegotiation", said, re.I), said
    assert serves(front)


def test_new_keys_are_taken(front):
    """TLS 1.3: the client has new ones, and wants us to have some (RFC 8446 section 4.6.3)."""
    said = s_client(front, ["-tls1_3"], [(0.3, b"k\n"), (0.2, b"K\n"), (0.2, LAST)])
    assert "KEYUPDATE" in said and "HTTP/1.1 200" in said, said
    line, = front.lines(1)
    assert (line["target"], line["end"]) == ("/last", "done")


def allow_early_data(path, bytes_max=16384):
    """Makes a saved session one of a server that takes early data, which the proxy never says."""
    lib = ctypes.CDLL(ctypes.util.find_library("ssl"))
    crypto = ctypes.CDLL(ctypes.util.find_library("crypto"))
    for each in (crypto.BIO_new_file, lib.PEM_read_bio_SSL_SESSION):
        each.restype = ctypes.c_void_p
    bio = ctypes.c_void_p(crypto.BIO_new_file(os.fsencode(path), b"r"))
    session = ctypes.c_void_p(lib.PEM_read_bio_SSL_SESSION(bio, None, None, None))
    assert session.value, "no session was saved"
    crypto.BIO_free(bio)
    assert lib.SSL_SESSION_get_max_early_data(session) == 0, "the proxy's ticket allows early data"
    lib.SSL_SESSION_set_max_early_data(session, ctypes.c_uint32(bytes_max))
    bio = ctypes.c_void_p(crypto.BIO_new_file(os.fsencode(path), b"w"))
    assert lib.PEM_write_bio_SSL_SESSION(bio, session) == 1
    crypto.BIO_free(bio)
    lib.SSL_SESSION_free(session)


def test_early_data_is_not_taken(front, tmp_path):
    """A request in it could be sent again by anybody. Our tickets do not allow it, so whoever sends
    some all the same is refused."""
    saved, early = tmp_path / "session", tmp_path / "early"
    said = s_client(front, ["-tls1_3", "-sess_out", str(saved)], [(0.3, LAST)])
    assert "HTTP/1.1 200" in said, said
    allow_early_data(saved)
    early.write_bytes(b"POST /replayed HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    said = s_client(front, ["-tls1_3", "-sess_in", str(saved), "-early_data", str(early)],
                    [(0.3, LAST)])
    assert "Early data was rejected" in said and "unexpected message" in said, said
    first, second = front.lines(2)
    assert (first["target"], first["end"]) == ("/last", "done")
    check_failure(second)
    assert serves(front)


def test_no_compression_and_no_old_versions(front):
    for options in (["-tls1"], ["-tls1_1"]):
        said = s_client(front, [*options, "-cipher", "ALL@SECLEVEL=0"], [(0, b"")])
        assert re.search("alert protocol version|unsupported protocol|no protocols available", said)
    said = s_client(front, ["-tls1_2"], [(0.3, LAST)])
    assert "Compression: NONE" in said and "Secure Renegotiation IS supported" in said, said
