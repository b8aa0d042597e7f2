"""Each system call on the request path fails, at each place of a small scenario, and in storms.

Whatever fails: the proxy lives, nothing hangs, every request that was begun leaves one log line that
agrees with what its client saw (errands.judge), and afterwards all is as before: service,
descriptors, no CPU at rest.

From accept() to the log line these calls are made (strace, and the code); a star: it has no failure
that would be noticed.

    accept             accept4, getsockname
    client, backend    recv, send, sendmsg, setsockopt, getsockopt (SO_ERROR), shutdown, close
    backend            socket, connect, getsockname
    event loop         epoll_ctl; epoll_wait and read of the inbox (EINTR alone: others are bugs)
    several workers    write to the inbox's eventfd
    memory             malloc, calloc, realloc; at the start also aligned_alloc
    log                write, open; fstat*, fcntl*, lseek*, ftruncate* (test_log_faults.py)
    name of a backend  socket, connect, send, recvfrom (test_resolver_faults.py)
    tap                send, recv, ioctl, setsockopt (test_tap_faults.py)
    clocks             clock_gettime*, which stays out of the kernel
"""

import errno
import threading

import pytest

from faults import ANY, EVER, LOCAL, OTHER, SHORT, STREAM, Faults, Rig
from origin import response
import peer as peers

CASES = {
    "accept4": ["EMFILE", "ENOBUFS", "ECONNABORTED", "EINTR", "EPERM"],
    "socket": ["EMFILE", "ENFILE", "ENOBUFS"],
    "connect": ["ECONNREFUSED", "EADDRNOTAVAIL", "ENETUNREACH"],
    "setsockopt": ["ENOBUFS"],
    "getsockopt": ["ENOBUFS"],
    "getsockname": ["ENOBUFS"],
    "recv": ["ECONNRESET", "ETIMEDOUT", "ENOMEM", "EINTR", "EAGAIN", "SHORT"],
    "send": ["EPIPE", "ECONNRESET", "ENOBUFS", "EINTR", "EAGAIN", "SHORT"],
    "sendmsg": ["EPIPE", "ENOMEM", "EINTR", "EAGAIN", "SHORT"],
    "shutdown": ["ENOTCONN"],
    "epoll_ctl": ["ENOSPC", "ENOMEM"],
    "epoll_wait": ["EINTR"],
    "close": ["EINTR", "EIO"],
    "calloc": ["ENOMEM"],
    "realloc": ["ENOMEM"],
}
STEP = {"accept4": 7, "epoll_wait": 3}  # not every place: it pauses for 100 ms, it changes nothing
OF_CLIENT = ("recv", "send", "sendmsg")


def error_of(name):
    return SHORT if name == "SHORT" else getattr(errno, name)


@pytest.mark.parametrize("call", CASES)
def test_one_call_fails(origin, proxy, tmp_path, call):
    """At each place of the scenario in turn; in its other ways at every third."""
    rig = Rig(origin, proxy, tmp_path)
    rig.faults.count(call)
    rig.errands.run()
    places = range(1, rig.faults.seen(call) + 1, STEP.get(call, 1))
    hits = tried = 0
    for error in CASES[call]:
        for n in places[::1 if error == CASES[call][0] else 3]:
            tried += 1
            rig.faults.arm(call, error_of(error), first=n)
            rig.errands.run(f"{call} number {n}: {error}")
            hits += rig.faults.hits(call)
    assert hits >= 0.6 * tried, "hardly anything failed"
    rig.finish()
    # Only a client whose own connection fails is left without an answer.
    assert len(rig.errands.unanswered()) <= (hits if call in OF_CLIENT else 0)


@pytest.mark.parametrize("call,error,end", [
    ("socket", "EMFILE", "no-descriptor"), ("socket", "ENOBUFS", "no-memory"),
    ("connect", "ENETUNREACH", "connect-failed"), ("epoll_ctl", "ENOSPC", "no-memory"),
    ("calloc", "ENOMEM", "no-memory")])
def test_a_lasting_lack(origin, proxy, tmp_path, call, error, end):
    """Everybody is told, everybody has a line; when it is over, all is well."""
    rig = Rig(origin, proxy, tmp_path)
    rig.faults.arm(call, error_of(error), count=EVER)
    for _ in range(20):
        assert rig.errands.run(f"each {call}: {error}") == 0
    answers = [saw for saws in rig.errands.saw.values() for saw in saws
               if saw.note != "at first" and saw.how == "whole"]
    assert {saw.status for saw in answers} <= {503, 502, 400}
    lines = rig.finish()
    assert sum(line["end"] == end for line in lines) >= 100


@pytest.mark.parametrize("first,status", [
    (b"GET", 503), (b"\r\nGET", 503), (b"\n", 503), (b"\r\r", 503), (b"\r\n", None),
    (b"\r\n\r", None)])
def test_no_memory_at_the_first_bytes(origin, proxy, peer, tmp_path, first, status):
    """Empty lines are no request; anything else is, a bare CR or LF too."""
    def script(conn):
        conn.next_request()
        taken.set()
        go.wait(10)
        conn.reply(response())
        conn.next_request()

    taken, go, faults = threading.Event(), threading.Event(), Faults(tmp_path)
    front = proxy(origin(script), env=faults.env)
    client, other = peer(front), peer(front)
    other.send(peers.request())  # the worker has both by now, and no relay to spare
    assert taken.wait(10)
    faults.arm("calloc", errno.ENOMEM)
    client.send(first)
    if status is None:
        client.expect_eof()
    else:
        assert client.read_response().status == status
        client.expect_eof()
    assert faults.hits("calloc") == 1
    go.set()
    assert other.read_response().status == 200
    lines = front.lines(1 if status is None else 2)
    assert [(x["status"], x["end"]) for x in lines[:-1]] == [(503, "no-memory")] * (status is not None)


STORMS = {
    "lack": {"calloc": ("ENOMEM", 3), "realloc": ("ENOMEM", 4), "socket": ("EMFILE", 5),
             "epoll_ctl": ("ENOSPC", 11), "getsockname": ("ENOBUFS", 2),
             "setsockopt": ("ENOBUFS", 2), "accept4": ("ECONNABORTED", 9)},
    "network": {"recv": ("ECONNRESET", 23), "send": ("EPIPE", 19), "sendmsg": ("ECONNRESET", 3),
                "connect": ("ECONNREFUSED", 3), "shutdown": ("ENOTCONN", 2),
                "getsockopt": ("ENOBUFS", 2), "close": ("EINTR", 2)},
    "pieces": {"recv": ("SHORT", 2), "send": ("SHORT", 2), "sendmsg": ("SHORT", 2),
               "epoll_wait": ("EINTR", 3)},
    "spurious": {"recv": ("EAGAIN", 2), "send": ("EAGAIN", 2), "sendmsg": ("EINTR", 2),
                 "accept4": ("EINTR", 2), "calloc": ("ENOMEM", 5)},
}


@pytest.mark.parametrize("storm", STORMS)
def test_much_fails_at_once(origin, proxy, tmp_path, storm):
    """Several clients side by side, several calls that fail again and again."""
    rig = Rig(origin, proxy, tmp_path)
    for call, (error, every) in STORMS[storm].items():
        rig.faults.arm(call, error_of(error), count=EVER, every=every)
    errors = []

    def client():
        try:
            for _ in range(8):
                rig.errands.run(storm)
        except Exception as error:  # pylint: disable=broad-except
            errors.append(error)

    threads = [threading.Thread(target=client) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors, errors[0]
    for call in STORMS[storm]:
        assert rig.faults.hits(call) > 0, call
    rig.finish()


@pytest.mark.parametrize("call,error,every", [
    ("write", "EINTR", 2), ("read", "EINTR", 2), ("realloc", "ENOMEM", 3), ("calloc", "ENOMEM", 3),
    ("epoll_ctl", "ENOSPC", 5), ("accept4", "ECONNABORTED", 3)])
def test_several_workers(origin, proxy, tmp_path, call, error, every):
    """A connection passes through the main thread and a worker's inbox."""
    rig = Rig(origin, proxy, tmp_path, settings={"proxy.workers": 3})
    rig.faults.arm(call, error_of(error), count=EVER, every=every,
                   kind=OTHER if call in ("write", "read") else ANY)
    for _ in range(10):
        rig.errands.run(f"each {every}th {call}: {error}")
    assert rig.faults.hits(call) > 0
    rig.finish()
    assert not rig.errands.unanswered()


@pytest.mark.capture
@pytest.mark.parametrize("call,error", [
    ("send", "EPIPE"), ("send", "ENOBUFS"), ("send", "EAGAIN"), ("recv", "ECONNRESET"),
    ("recv", "EINTR"), ("ioctl", "ENOTTY"), ("setsockopt", "EPERM")])
def test_the_tap(origin, proxy, tmp_path, call, error):
    """Whatever happens to it, requests do not notice."""
    rig = Rig(origin, proxy, tmp_path, trace=True)
    rig.faults.arm(call, error_of(error), count=EVER, every=2,
                   kind=STREAM if call == "ioctl" else LOCAL)
    for _ in range(5):
        assert rig.errands.run(f"tap: {call}: {error}") == rig.whole
    rig.faults.off()
    rig.errands.judge()
