"""What the proxy needs at its start and does not get: one line that says what, and exit status 1.

Each call of the start fails in turn, each allocation too. Where the proxy can do without, it runs
and serves; it never crashes, and never stays without serving.
"""

import errno
import re
import signal

import pytest

from faults import Faults
from origin import dead_port
import peer as peers
import stack

ERROR = re.compile(r"flowproxy: error: .+")
LISTENING = re.compile(r"listening on http://127\.0\.0\.1:(\d+)")
CALLS = [("socket", "EMFILE"), ("setsockopt", "ENOBUFS"), ("getsockname", "ENOBUFS"),
         ("eventfd", "ENFILE"), ("epoll_ctl", "ENOSPC"), ("open", "ENFILE"),
         ("pthread_create", "EAGAIN"), ("malloc", "ENOMEM"), ("calloc", "ENOMEM"),
         ("realloc", "ENOMEM"), ("aligned_alloc", "ENOMEM")]
NEEDED = {"socket", "setsockopt", "getsockname", "eventfd", "epoll_ctl", "open", "pthread_create", "malloc", "calloc", "realloc",
          "aligned_alloc"}


def start(tmp_path, faults):
    """Start it; where it listens a client is served, and it is stopped. Its status, and its errors;
    None when the call was one of the sanitizer's own."""
    process = stack.Process(
        [stack.program("flowproxy"), "--backend", f"http://localhost:{dead_port()}", "--listen",
         "127.0.0.1:0", "--set", "proxy.workers=2", "--access-log", str(tmp_path / "log.ndjson")],
        env=faults.env)
    try:
        try:
            line = process.wait_stderr(LISTENING.pattern)
        except AssertionError:
            line = None
        if line:
            client = peers.Peer(("127.0.0.1", int(LISTENING.search(line).group(1))))
            client.send(peers.request(fields=["Connection: close"]))
            answer = client.read_to_end()[0]
            client.close()
            process.signal(signal.SIGTERM)
        status = process.wait()
    finally:
        process.kill()
    if "__asan::AsanThread::ThreadStart" in process.stderr:
        return None
    assert line is None or re.match(rb"HTTP/1.1 50[23] ", answer), answer
    assert not stack.REPORTS.search(process.stderr), process.stderr
    return status, ERROR.findall(process.stderr)


@pytest.mark.parametrize("call,error", CALLS)
def test_each_call_of_the_start(tmp_path, call, error):
    faults = Faults(tmp_path, "count")
    faults.count(call)
    assert start(tmp_path, faults) == (0, [])
    places = faults.seen(call)
    refusals = hits = 0
    for n in range(1, places + 1):
        faults = Faults(tmp_path, f"faults{n}")
        faults.arm(call, getattr(errno, error), first=n)
        outcome = start(tmp_path, faults)
        if outcome is None:
            continue
        status, errors = outcome
        assert (status, len(errors)) in ((0, 0), (1, 1)), (call, n, status, errors)
        refusals += status
        hits += faults.hits(call)
        assert faults.bad_closes == 0
    assert hits >= places * 0.6
    assert (refusals > 0) == (call in NEEDED)
