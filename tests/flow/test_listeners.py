"""Where the proxy listens: several addresses, IPv6, ports that are taken."""

import socket

import pytest

import check
import stack


def test_ipv6(origin, proxy, peer):
    backend = origin(family=socket.AF_INET6)
    front = proxy(backend, listen=["[::1]:0"])
    client = peer(front)
    got = client.get()
    request = backend.requests[0]
    assert request.get("X-Forwarded-For") == "::1"
    line = front.lines(1)[0]
    assert line["client"]["local"].startswith("[::1]:")
    assert line["backend"]["peer"] == backend.text
    check.exchange(line, client, got, request)


def test_ipv6_to_ipv4(origin, proxy, peer):
    backend = origin()
    front = proxy(backend, listen=["[::1]:0", "127.0.0.1:0"])
    for address in front.addresses:
        assert peer(address).get().status == 200
    lines = front.lines(2)
    assert lines[0]["client"]["local"].startswith("[::1]:")
    assert lines[1]["client"]["local"].startswith("127.0.0.1:")
    assert lines[1]["backend"]["reused"]


def test_urls(origin, proxy, peer):
    front = proxy(origin(), listen=["http://127.0.0.1:0"])
    assert peer(front).get().status == 200
    front.lines(1)


def test_localhost_means_both(origin, proxy, peer):
    front = proxy(origin(), listen=["localhost:0"])
    front.wait_listening(2)
    assert sorted(host for host, _ in front.addresses) == ["127.0.0.1", "::1"]
    for address in front.addresses:
        assert peer(address).get().status == 200


@pytest.mark.parametrize("reuse", [False, True])
def test_a_port_in_use(origin, proxy, tmp_path, reuse):
    """A second instance must not start silently, whatever options the socket has."""
    with socket.socket() as taken:
        if reuse:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        front = proxy(origin(), listen=[f"127.0.0.1:{port}"], wait=False)
        assert front.wait() == 1
        front.expected_status = 1
        assert len(front.stderr.splitlines()) == 1, front.stderr
        assert str(port) in front.stderr


def test_a_second_instance_on_the_same_port(origin, proxy, peer):
    backend = origin()
    first = proxy(backend)
    second = proxy(backend, listen=[f"127.0.0.1:{first.port}"], wait=False)
    assert second.wait() == 1
    second.expected_status = 1
    assert peer(first).get().status == 200


def test_restart_on_the_same_port(origin, proxy, peer):
    """Old connections in TIME_WAIT are no obstacle."""
    backend = origin()
    first = proxy(backend)
    client = peer(first)
    client.get()
    port = first.port
    first.stop()
    client.expect_eof()
    second = proxy(backend, listen=[f"127.0.0.1:{port}"])
    assert peer(second).get().status == 200
    assert stack.LISTENING.search(second.stderr)
