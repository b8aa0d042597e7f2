"""The TLS peers of the tests, without the proxy: both ends of a connection count the same records,
and the kernel counts the same bytes."""

import contextlib
import os
import socket
import threading

import pytest

import certs
import tcp_info
import tls_peer

SIZES = (1, 100, 16384, 16385, 60000, 0, 5)


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as each:
        yield each


class Served:
    """One connection on the other end: what comes goes back, then close_notify, if anybody is
    there to read it."""

    def __init__(self, listener, context):
        self.error = None
        self.thread = threading.Thread(target=self._serve, args=(listener, context))
        self.thread.start()

    def _serve(self, listener, context):
        try:
            self.sock = tls_peer.TlsSocket(listener.accept()[0], context, server=True)
            while data := self.sock.recv(1 << 16):
                self.sock.sendall(data)
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def join(self):
        self.thread.join(10)
        assert not self.error, self.error
        return self.sock


def talk(listener, server, client, session=None):
    """Both ends of a connection that has ended, and its session."""
    served = Served(listener, server)
    sock = tls_peer.TlsSocket(socket.create_connection(listener.getsockname()), client,
                              name="localhost", session=session)
    sock.settimeout(10)
    sent, got = bytearray(), bytearray()
    for size in SIZES:
        sent += os.urandom(size)
        sock.sendall(sent[len(sent) - size:])
        while len(got) < len(sent):
            got += sock.recv(1000 + size)
    sock.shutdown(socket.SHUT_WR)
    assert sock.recv(1) == b"" and not sock.cut
    assert got == sent
    return sock, served.join(), sock.tls.session


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_both_ends_count_alike(listener, version):
    server = tls_peer.server_context(certs.server(), version)
    client = tls_peer.client_context(certs.ca().cert, version)
    session = None
    for resumed in (False, True):
        ours, theirs, session = talk(listener, server, client, session)
        assert (ours.version, ours.resumed, theirs.resumed) == (version, resumed, resumed)
        assert ours.sent.records == theirs.received.records
        assert ours.received.records == theirs.sent.records
        assert tls_peer.marks(ours) == tls_peer.marks(theirs)
        assert ours.sent.plain == ours.received.plain == sum(SIZES)
        for each in (ours, theirs):
            counted = tcp_info.of_socket(each)
            assert counted.bytes_received == each.received.wire + 1  # the FIN counts as a byte
        first = 0
        for size in filter(None, SIZES):
            begin, end = ours.sent.wire_range(first, first + size)
            records = [r for r in ours.sent.records if begin <= r.first and r.past <= end]
            assert (records[0].plain_first, records[-1].plain_past) == (first, first + size)
            assert sum(r.plain_past - r.plain_first for r in records) == size
            assert ours.sent.plain_range(begin, end) == [first, first + size]
            first += size
        ours.close()
        theirs.close()


def test_marks_of_a_second_client_hello(listener):
    """The first ClientHello and the last ServerHello (RFC 8446 section 4.1.4)."""
    server = tls_peer.server_context(certs.server(), "1.3")
    server.set_ecdh_curve("secp384r1")
    ours, theirs, _ = talk(listener, server, tls_peer.client_context(certs.ca().cert))
    assert [retry for kind, _, retry in ours.received.hellos if kind == 2] == [True, False]
    assert len([1 for kind, _, _ in ours.sent.hellos if kind == 1]) == 2
    said = tls_peer.marks(ours)
    assert said == tls_peer.marks(theirs)
    assert said["client_hello"][0] == 0 and said["server_hello"][0] > 0
    for each in (ours, theirs):
        each.close()


@pytest.mark.parametrize("how", ["close", "cut_off", "reset"])
def test_how_it_ends(listener, how):
    served = Served(listener, tls_peer.server_context(certs.server()))
    sock = tls_peer.TlsSocket(socket.create_connection(listener.getsockname()),
                              tls_peer.client_context(certs.ca().cert), name="localhost")
    sock.sendall(b"x")
    assert sock.recv(10) == b"x"
    getattr(sock, how)()
    if how == "reset":
        served.thread.join(10)
        assert isinstance(served.error, ConnectionResetError)
    else:
        assert served.join().cut == (how == "cut_off")


def test_nobody_is_believed_unseen(listener):
    """A client that does not know the authority says so, and the server hears it."""
    served = Served(listener, tls_peer.server_context(certs.server()))
    with pytest.raises(tls_peer.Alert):
        tls_peer.TlsSocket(socket.create_connection(listener.getsockname()),
                           tls_peer.client_context(certs.Authority("another").cert),
                           name="localhost")
    served.thread.join(10)
    assert served.error.reason == "TLSV1_ALERT_UNKNOWN_CA"
