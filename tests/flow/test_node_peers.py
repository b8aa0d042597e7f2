"""Node's HTTP client and server as peers, each with its keep-alive habits."""

import json
import os
import shutil
import subprocess
import time

import pytest

import log
from origin import echo
import stack

NODE = shutil.which("node")
SCRIPTS = os.path.join(stack.ROOT, "tests", "lib", "node")

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed (Debian: nodejs)")


def ask(front, count, concurrency=8, keep_alive=True, pause_ms=0):
    """What Node's client has to tell."""
    done = subprocess.run(
        [NODE, os.path.join(SCRIPTS, "client.js"), front.url, str(count), str(concurrency),
         str(keep_alive).lower(), str(pause_ms)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
        check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
    told = json.loads(done.stdout)
    assert not told["failures"], told
    return told


def lines_of(front):
    front.stop()
    lines = log.read_lines(front.log_path)
    log.check_log(lines)
    return lines


@pytest.fixture
def server():
    """server(keep_alive_ms, hint) starts Node's server."""
    started = []

    def start(keep_alive_ms, hint):
        started.append(stack.Tool(NODE, os.path.join(SCRIPTS, "server.js"), str(keep_alive_ms),
                                  str(hint).lower()))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.mark.parametrize("keep_alive", [True, False])
def test_client(origin, proxy, keep_alive):
    front = proxy(origin(echo))
    assert ask(front, 400, keep_alive=keep_alive)["right"] == 400
    lines = lines_of(front)
    assert [line["end"] for line in lines] == ["done"] * 400
    conns = {line["client"]["conn"] for line in lines}
    # without keep-alive a connection still serves who waits for one
    assert len(conns) <= 8 if keep_alive else len(conns) > 8, len(conns)


def test_server(server, proxy):
    front = proxy(server(5000, hint=True))
    assert ask(front, 400)["right"] == 400
    lines = lines_of(front)
    assert [line["end"] for line in lines] == ["done"] * 400
    assert sum(line["backend"]["reused"] for line in lines) >= 400 - 2 * 8


def test_server_that_closes_just_then(server, proxy):
    """Requests come when the server's 40 ms are over: a GET is asked again, a POST is right or 502."""
    front = proxy(server(40, hint=False))
    told = ask(front, 1000, concurrency=20, pause_ms=40)
    assert told["badGateway"]["GET"] == 0
    assert told["right"] + told["badGateway"]["POST"] == 1000
    lines = lines_of(front)
    assert len(lines) == 1000
    for line in lines:
        assert line["end"] == "done" or (line["method"], line["status"]) == ("POST", 502), line
        if line["end"] != "done":
            assert line["end"] in ("backend-eof", "backend-reset") and line["backend"]["reused"]


def test_the_servers_hint_is_heeded(server, proxy, peer):
    """Keep-Alive: timeout=3 means that a connection is not used after 2 s."""
    front = proxy(server(3000, hint=True))
    client = peer(front)
    client.get("/1")
    client.get("/2")
    files = front.open_files()
    until = time.monotonic() + 4
    while front.open_files() >= files:
        assert time.monotonic() < until, "the connection is kept beyond the server's hint"
        time.sleep(0.02)
    client.get("/3")
    assert [line["backend"]["reused"] for line in front.lines(3)] == [False, True, False]
