"""A backend that cannot be reached, in a namespace where that is made so: no route, a route that says
so, a firewall that refuses or swallows; and names with several addresses, some of them dead."""

import contextlib
import os
import time

import pytest

import check
import net
from origin import answer, response
import peer as peers
import stack

NAME = "backend.flowproxy.test"
DEAD, ALIVE = "10.99.0.1", "10.98.0.1"  # ALIVE: a second address of the namespace
PORT = 8080
LATE_S = 5.0 if stack.SLOW else 2.0

# How an address is dead: what is done in the namespace, the end word, and for how long it is tried.
DEATHS = {
    "no route": ("", "connect-failed", 0),
    "unreachable": ("ip route add unreachable {}/32", "connect-failed", 0),
    "prohibited": ("ip route add prohibit {}/32", "connect-failed", 0),
    "blackhole": ("ip route add blackhole {}/32", "connect-failed", 0),
    "refused": ("ip address add {}/32 dev lo", "connect-refused", 0),
    "refused by a firewall": ("{reject} tcp reset", "connect-refused", 0),
    "swallowed": ("{drop}", "connect-timeout", 600),
}


class Place:
    """One namespace with a loopback of its own, where addresses die as a test says."""

    def __init__(self, workdir):
        self.name = f"flowtest-dead-{os.getpid()}"
        self.workdir = str(workdir)
        self.wrapper = ["ip", "netns", "exec", self.name]

    def start(self):
        net.run("ip", "netns", "add", self.name)
        net.run("ip", "-n", self.name, "link", "set", "lo", "up")
        net.run("ip", "-n", self.name, "address", "add", f"{ALIVE}/32", "dev", "lo")

    def stop(self):
        net.run("ip", "netns", "del", self.name)

    def kill(self, address, how):
        command = DEATHS[how][0]
        if not command:
            return
        if command.startswith("ip "):
            net.run(*self.wrapper, *command.format(address).split(" "))
            return
        net.run(*self.wrapper, "ip", "route", "replace", address + "/32", "dev", "lo")
        verdict = command.format(reject="reject with", drop="drop")
        net.run(*self.wrapper, "nft",
                "table ip dead {\nchain out { type filter hook output priority 0; "
                f"ip daddr {address} tcp dport {PORT} {verdict}\n}}\n}}")

    def named(self, addresses):
        """A command that shows a program a hosts file with the name at these addresses."""
        path = os.path.join(self.workdir, "hosts")
        with open(path, "w", encoding="ascii") as f:
            f.writelines(f"{address} {NAME}\n" for address in addresses)
        return [*self.wrapper, "unshare", "-m", "sh", "-c",
                'mount --bind "$0" /etc/hosts && exec "$@"', path]


@pytest.fixture
def place(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("a namespace needs root")
    it = Place(tmp_path)
    it.start()
    yield it
    it.stop()


@contextlib.contextmanager
def takes(limit_ms):
    began = time.monotonic()
    yield
    check.between(time.monotonic() - began, 0.8 * limit_ms / 1000, limit_ms / 1000 + LATE_S, "s")


def exchange(client, method):
    body = b"<order/>" if method == "POST" else None
    return client.exchange(peers.request(body=body, method=method), method)


@pytest.mark.parametrize("how", DEATHS)
def test_the_only_address(proxy, peer, place, how):
    _, end, tried_ms = DEATHS[how]
    status = 504 if end == "connect-timeout" else 502
    attempts = 1 if end == "connect-timeout" else 3
    place.kill(DEAD, how)
    front = proxy(f"http://{DEAD}:{PORT}", wrapper=place.wrapper,
                  connect_timeout_ms=tried_ms if status == 504 else 5000)
    files = front.open_files()
    for n, method in enumerate(("GET", "POST")):
        with net.inside(place.name):
            client = peer(front)
        with takes(tried_ms * attempts):
            got = exchange(client, method)
        line = front.lines(n + 1)[n]
        assert (got.status, line["status"], line["end"]) == (status, status, end)
        assert line["id"].encode() in got.body
        assert line["client"]["response"] == got.range
        assert line["at_us"]["backend_ready"] is None
        if line["backend"] is not None:  # null: the kernel gave no connection at all
            assert line["backend"]["peer"] == f"{DEAD}:{PORT}"
            assert line["backend"]["attempts"] == attempts
            assert {each["end"] for each in line["backend"]["tries"]} <= {end}
            assert line["backend"]["request"] is None and line["backend"]["response"] is None
        client.close()
    until = time.monotonic() + 10
    while front.open_files() > files:
        assert time.monotonic() < until, "descriptors are lost"
        time.sleep(0.01)


@pytest.mark.parametrize("how", DEATHS)
def test_the_first_of_two_addresses(origin, proxy, peer, place, how):
    """The second is tried within the same attempt, has its share of the time, and comes first from
    then on."""
    tried_ms = DEATHS[how][2]
    place.kill(DEAD, how)
    with net.inside(place.name):
        backend = origin(answer(response(b"alive", fields=["Connection: close"])),
                         address=(ALIVE, PORT))
    front = proxy(f"http://{NAME}:{PORT}", wrapper=place.named([DEAD, ALIVE]),
                  connect_timeout_ms=1200)
    with net.inside(place.name):
        client = peer(front)
    for n, method in enumerate(("POST", "GET", "POST")):
        with takes(tried_ms if n == 0 else 0):
            got = exchange(client, method)
        assert (got.status, got.body) == (200, b"alive")
        line = front.lines(n + 1)[n]
        check.exchange(line, client, got, backend.requests[n])
        assert line["backend"]["attempts"] == 1 and line["backend"]["peer"] == f"{ALIVE}:{PORT}"


def test_the_good_one_dies(origin, proxy, peer, place):
    """Then the other one, which was dead, is the good one."""
    with net.inside(place.name):
        first = origin(answer(response(b"first", fields=["Connection: close"])),
                       address=(ALIVE, PORT))
    place.kill(DEAD, "refused")
    front = proxy(f"http://{NAME}:{PORT}", wrapper=place.named([DEAD, ALIVE]))
    with net.inside(place.name):
        client = peer(front)
        assert exchange(client, "POST").body == b"first"
        first.stop()
        origin(answer(response(b"second", fields=["Connection: close"])), address=(DEAD, PORT))
    assert [exchange(client, "POST").body for _ in range(2)] == [b"second"] * 2
    lines = front.lines(3)
    assert [line["backend"]["peer"] for line in lines] == [
        f"{address}:{PORT}" for address in (ALIVE, DEAD, DEAD)]
    assert [line["backend"]["attempts"] for line in lines] == [1, 1, 1]


def test_all_of_three_addresses(proxy, peer, place):
    """The last one's failure is the attempt's; each attempt goes over all."""
    dead = [f"10.99.0.{n}" for n in (1, 2, 3)]
    for address in dead:
        place.kill(address, "refused")
    front = proxy(f"http://{NAME}:{PORT}", wrapper=place.named(dead))
    with net.inside(place.name):
        client = peer(front)
    assert exchange(client, "POST").status == 502
    line = front.lines(1)[0]
    backend = line["backend"]
    assert (line["end"], backend["attempts"]) == ("connect-refused", 3)
    # Each connection has its number: the third, the sixth and the ninth end an attempt.
    ends = [each["conn"] for each in backend["tries"] + [backend]]
    assert [conn - line["client"]["conn"] for conn in ends] == [3, 6, 9]
    assert {each["peer"] for each in backend["tries"]} == {backend["peer"]} == {f"{dead[2]}:{PORT}"}


def test_all_swallowed(proxy, peer, place):
    """The limit is one for all of them, and nobody waits for it three times."""
    addresses = [f"10.99.0.{n}" for n in (1, 2, 3)]
    for address in addresses:
        place.kill(address, "swallowed")
    front = proxy(f"http://{NAME}:{PORT}", wrapper=place.named(addresses), connect_timeout_ms=900)
    with net.inside(place.name):
        client = peer(front)
    with takes(900):
        assert exchange(client, "GET").status == 504
    line = front.lines(1)[0]
    assert (line["end"], line["backend"]["attempts"]) == ("connect-timeout", 1)
    assert line["backend"]["conn"] == line["client"]["conn"] + 3, "all three were tried"
