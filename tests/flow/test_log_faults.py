"""Writing and opening the access log fails: lines are kept where they can be, else counted and said."""

import errno
import re
import signal

import pytest

from errands import Errands, backend, wait_for
from faults import EVER, FILE, SHORT, Faults
import log

LOST = re.compile(r"(\d+) lines lost, (\d+) so far: (.*)")


@pytest.fixture
def logged(origin, proxy, tmp_path):
    faults = Faults(tmp_path)
    front = proxy(origin(backend), env=faults.env)
    return front, Errands(front), faults


@pytest.mark.parametrize("error,every", [(errno.EINTR, 2), (errno.EAGAIN, 2), (SHORT, 1)],
                         ids=["EINTR", "EAGAIN", "short"])
def test_interrupted_or_short_writes_lose_nothing(logged, error, every):
    _, errands, faults = logged
    faults.arm("write", error, count=2000, every=every, kind=FILE)
    for _ in range(5):
        errands.run()
    errands.judge()
    assert faults.hits("write") > 0


@pytest.mark.parametrize("name", ["EIO", "ENOSPC", "EDQUOT"])
def test_a_failing_disk_is_counted(logged, peer, name):
    """Lines in the log and lines said to be lost are together all that were begun."""
    front, errands, faults = logged
    client = peer(front)
    assert client.get("/before").status == 200
    front.lines(1)
    for n in range(30):
        faults.arm("write", getattr(errno, name), count=EVER, every=2, kind=FILE)
        assert client.get(f"/{n}").status == 200
    faults.off()
    assert client.get("/last").status == 200
    lines = wait_for(front.log_path, "/last")
    log.check_log(lines)
    front.stop()
    told = [LOST.search(line) for line in front.stderr.splitlines() if LOST.search(line)]
    lost = int(told[-1].group(2)) if told else 0
    assert len(lines) + lost == 32
    assert sum(int(line.group(1)) for line in told) == lost
    numbers = list(log.exchange_numbers(lines))
    assert {number ^ numbers[0] for number in numbers} <= set(range(32))


def test_the_log_cannot_be_opened_again(logged, peer):
    """The old file goes on."""
    front, _, faults = logged
    client = peer(front)
    client.get("/before")
    faults.arm("open", errno.ENFILE, count=1)
    front.signal(signal.SIGUSR1)
    front.wait_stderr("cannot be opened")
    client.get("/after")
    assert [line["target"] for line in front.lines(2)] == ["/before", "/after"]
    front.signal(signal.SIGUSR1)
    front.wait_stderr("opened again")
    client.get("/again")
    front.lines(3)
