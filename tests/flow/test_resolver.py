"""Backends by name: hosts file, name server, changes after the TTL, failures."""

import os
import time

import pytest

import check
from nameserver import NXDOMAIN, SERVFAIL, Nameserver
from origin import answer, response

NAME = "backend.flowproxy.test"


@pytest.fixture
def names(tmp_path):
    """names(records, ttl_s) starts a name server."""
    if os.geteuid() != 0:
        pytest.skip("a name server of its own (port 53, mount namespace) needs root")
    started = []

    def start(records, **options):
        started.append(Nameserver(tmp_path, records, **options))
        return started[-1]

    yield start
    for each in started:
        each.stop()


def until(condition, timeout_s=8):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.1)


def test_the_hosts_file(origin, proxy, peer):
    backend = origin()
    front = proxy(f"http://localhost:{backend.port}", host_header="backend")
    client = peer(front)
    got = client.get()
    assert backend.requests[0].get("Host") == f"localhost:{backend.port}"
    check.exchange(front.lines(1)[0], client, got, backend.requests[0])


def test_a_name_server(origin, proxy, peer, names):
    backend = origin()
    server = names({NAME: ["127.0.0.1"]})
    front = proxy(f"http://{NAME}:{backend.port}", wrapper=server.wrapper)
    client = peer(front)
    for _ in range(3):
        got = client.get()
        assert got.status == 200
    check.exchange(front.lines(3)[2], client, got, backend.requests[2])
    assert len([kind for name, kind in server.questions if kind == 1]) == 1, "asked again too soon"


def test_a_new_address_after_the_ttl(origin, proxy, peer, names):
    first = origin(answer(response(b"first", fields=["Connection: close"])))
    second = origin(answer(response(b"second", fields=["Connection: close"])),
                    address=("127.0.0.2", first.port))
    server = names({NAME: ["127.0.0.1"]}, ttl_s=1)
    front = proxy(f"http://{NAME}:{first.port}", wrapper=server.wrapper)
    client = peer(front)
    assert client.get().body == b"first"
    server.records[NAME] = ["127.0.0.2"]
    until(lambda: client.get().body == b"second")
    line = front.lines(len(first.requests) + len(second.requests))[-1]
    assert line["backend"]["peer"] == f"127.0.0.2:{first.port}"


def test_the_second_address_when_the_first_refuses(origin, proxy, peer, names):
    backend = origin()
    server = names({NAME: ["127.0.0.9", "127.0.0.1"]})
    front = proxy(f"http://{NAME}:{backend.port}", wrapper=server.wrapper)
    client = peer(front)
    got = client.get()
    assert got.status == 200
    line = front.lines(1)[0]
    assert line["end"] == "done" and line["backend"]["peer"] == backend.text


def test_an_unknown_name_and_its_coming_into_being(origin, proxy, peer, names):
    backend = origin()
    server = names({NAME: NXDOMAIN})
    front = proxy(f"http://{NAME}:{backend.port}", wrapper=server.wrapper)
    client = peer(front)
    got = client.get()
    line = front.lines(1)[0]
    check.refused(line, client, got, "resolve-failed", 502)
    server.records[NAME] = ["127.0.0.1"]
    until(lambda: client.get().status == 200)


def test_the_last_good_address_outlives_a_failure(origin, proxy, peer, names):
    backend = origin(answer(response(fields=["Connection: close"])))
    server = names({NAME: ["127.0.0.1"]}, ttl_s=1)
    front = proxy(f"http://{NAME}:{backend.port}", wrapper=server.wrapper)
    client = peer(front)
    assert client.get().status == 200
    server.records[NAME] = SERVFAIL
    asked = len(server.questions)
    until(lambda: len(server.questions) > asked + 1)
    assert client.get().status == 200


def test_a_name_server_that_does_not_answer(origin, proxy, peer, names):
    backend = origin()
    server = names({NAME: None})
    front = proxy(f"http://{NAME}:{backend.port}", wrapper=server.wrapper, connect_timeout_ms=500)
    client = peer(front)
    began = time.monotonic()
    got = client.get()
    check.between(time.monotonic() - began, 0, 6, "seconds")
    line = front.lines(1)[0]
    assert (got.status, line["end"]) in [(502, "resolve-failed"), (504, "connect-timeout")]
    assert line["status"] == got.status and line["backend"] is None
