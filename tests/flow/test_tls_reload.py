"""SIGHUP under load, with several workers: certificates change for new connections, what is open goes
on, a broken file changes nothing and is named."""

import collections
import os
import signal
import threading
import time

import pytest

import certs
import log
from origin import echo
import peer as peers
import stack
import tls_peer

HTTPS = ("https://127.0.0.1:0",)
WORKERS = 4
CLIENTS = 6
ROUNDS = 8 if stack.SLOW else 12


def put(path, certificate):
    """In one step, as certificate tools do it."""
    with open(certificate.store, "rb") as f:
        certs.write_secret(path + ".new", f.read())
    os.rename(path + ".new", path)


def serial_of(client):
    return client.sock.tls.getpeercert()["serialNumber"]


def serial(certificate):
    return certs.openssl("x509", "-in", certificate.cert, "-noout", "-serial").decode().strip() \
        .partition("=")[2]


class Load:
    """Clients that connect again and again, some resuming the session before, until stop()."""

    def __init__(self, front, server_name="test.example"):
        self.front = front
        self.name = server_name
        self.over = threading.Event()
        self.errors = []
        self.seen = collections.Counter()  # serial numbers
        self.resumed = 0
        self.asked = 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._work, args=(n,), daemon=True)
                        for n in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def _work(self, number):
        context = tls_peer.client_context(certs.ca().cert, ("1.2", "1.3")[number % 2])
        session = None
        try:
            while not self.over.is_set():
                session = self._once(context, session)
        except Exception as error:  # pylint: disable=broad-except
            self.errors.append(error)

    def _once(self, context, session):
        client = peers.Peer(self.front.address, tls=context, session=session, timeout_s=30)
        for n in range(3):
            assert client.post(b"x" * 500, f"/{n}").status == 200
        with self.lock:
            self.seen[serial_of(client)] += 1
            self.resumed += client.sock.resumed
            self.asked += 3
        session = client.sock.tls.session
        client.close()
        return session

    def wait_seen(self, wanted, timeout_s=20):
        """Until so many new connections have been shown a certificate of that number."""
        before = self.seen[wanted]
        until = time.monotonic() + timeout_s
        while self.seen[wanted] < before + CLIENTS:
            assert not self.errors, self.errors
            assert time.monotonic() < until, f"{wanted} is not shown: {self.seen}"
            time.sleep(0.005)

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(30)
        assert not self.errors, self.errors


def reload(front, pattern):
    """SIGHUP, and the line that says what came of it."""
    known = len(front.stderr_lines)
    front.signal(signal.SIGHUP)
    return wait_said(front, pattern, known)


def wait_said(front, pattern, known, timeout_s=20):
    import re
    until = time.monotonic() + timeout_s
    while True:
        with front.changed:
            for line in front.stderr_lines[known:]:
                if re.search(pattern, line):
                    return line
        assert time.monotonic() < until, front.stderr
        time.sleep(0.005)


def test_under_load(origin, proxy, tmp_path, peer):
    one, two = certs.server(), certs.ca().issue("the next one")
    store = str(tmp_path / "store.pem")
    put(store, one)
    backend = origin(echo, tls=tls_peer.server_context(certs.server()))
    front = proxy(backend, listen=HTTPS, settings={"tls.keystore": store}, workers=WORKERS)
    stays = peer(front)
    assert stays.get("/first").status == 200
    load = Load(front)
    try:
        load.wait_seen(serial(one))
        for n in range(ROUNDS):
            shown = (two, one)[n % 2]
            put(store, shown)
            front.signal(signal.SIGHUP)
            load.wait_seen(serial(shown))
    finally:
        load.stop()
    assert stays.get("/last").status == 200 and serial_of(stays) == serial(one)
    assert set(load.seen) == {serial(one), serial(two)}
    assert load.resumed > 0
    front.stop()
    lines = log.read_lines(front.log_path)
    assert len(lines) == load.asked + 2 and {line["end"] for line in lines} == {"done"}


@pytest.mark.parametrize("broken", ["garbage", "empty", "other-key", "gone"])
def test_broken_file_changes_nothing(origin, proxy, tmp_path, broken):
    store = str(tmp_path / "store.pem")
    put(store, certs.server())
    front = proxy(origin(echo, tls=False), listen=HTTPS, settings={"tls.keystore": store},
                  workers=2)
    front.wait_listening(1)
    another = certs.ca().issue("another")
    with open(another.key, "rb") as key, open(certs.server().cert, "rb") as cert:
        mixed = key.read() + cert.read()
    if broken == "gone":
        os.remove(store)
    else:
        certs.write_secret(store, {"garbage": b"-----BEGIN nothing", "empty": b"",
                                   "other-key": mixed}[broken])
    said = reload(front, "store.pem")
    assert "keystore" in said
    for _ in range(4):
        client = peers.Peer(front.address)
        assert client.get().status == 200 and serial_of(client) == serial(certs.server())
        client.close()
    # and when it is whole again, it is taken
    put(store, another)
    front.signal(signal.SIGHUP)
    until = time.monotonic() + 10
    while True:
        client = peers.Peer(front.address)
        shown = serial_of(client)
        client.close()
        if shown == serial(another):
            break
        assert time.monotonic() < until


def test_trust_changes_for_backends_and_clients(origin, proxy, tmp_path):
    """Whom we believe is read again too, for both legs."""
    stranger = certs.Authority("stranger")
    trust = tmp_path / "trust.pem"
    trust.write_bytes(certs.read(stranger.cert))
    backend = origin(echo, tls=tls_peer.server_context(certs.server()))
    front = proxy(backend, listen=HTTPS,
                  settings={"tls.truststore": trust, "tls.client_auth": "required",
                            "tls.keystore": certs.server().store})
    context = tls_peer.client_context(certs.ca().cert, "1.2", stranger.client("somebody"))
    client = peers.Peer(front.address, tls=context)
    assert client.get("/not-yet").status == 502
    client.close()
    trust.write_bytes(certs.read(certs.ca().cert))
    front.signal(signal.SIGHUP)
    context = tls_peer.client_context(certs.ca().cert, "1.2", certs.client())
    until = time.monotonic() + 10
    while True:
        try:
            client = peers.Peer(front.address, tls=context)
            break
        except tls_peer.Alert:
            assert time.monotonic() < until
    assert client.get("/now").status == 200
    client.close()
