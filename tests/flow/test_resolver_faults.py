"""Looking up the backend's name lacks descriptors, memory or the network: it is tried again, and what
was known stays good."""

import errno
import os
import time

import pytest

import errands
from faults import ANY, DATAGRAM, EVER, Faults
import log
from nameserver import Nameserver

NAME = "backend.flowproxy.test"
FAULTS = [("socket", "EMFILE", DATAGRAM), ("recvfrom", "ECONNREFUSED", DATAGRAM),
          ("epoll_ctl", "ENOSPC", DATAGRAM), ("malloc", "ENOMEM", ANY), ("calloc", "ENOMEM", ANY)]


@pytest.fixture
def names(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("a name server of its own (port 53, mount namespace) needs root")
    server = Nameserver(tmp_path, {NAME: ["127.0.0.1"]}, ttl_s=1)
    yield server
    server.stop()


def test_lookups_fail(origin, proxy, tmp_path, peer, names):
    """One kind of failure after the other, each as long as a lookup meets it."""
    backend = origin(errands.backend)
    faults = Faults(tmp_path)
    front = proxy(f"http://{NAME}:{backend.port}", wrapper=names.wrapper, env=faults.env,
                  connect_timeout_ms=400)
    assert peer(front).get("/known").status == 200
    for call, error, kind in FAULTS:
        faults.arm(call, getattr(errno, error), count=EVER, kind=kind)
        wait_until(lambda: faults.hits(call) > 0, f"lookup that needs {call}")
        assert peer(front).get("/meanwhile").status == (503 if call == "calloc" else 200)
        faults.off()
        assert peer(front).get("/afterwards").status == 200
    questions = len(names.questions)
    wait_until(lambda: len(names.questions) > questions, "lookup after the failures")
    log.check_every_exchange(log.wait_lines(front.log_path, 1 + 2 * len(FAULTS)))


def wait_until(condition, what):
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, f"there was no {what}"
        time.sleep(0.01)
