# run: alone
"""Exchanges wait half a minute for packets that may still concern them, and soon need more than
trace.buffer_mb: the tracer then records those that wait longest. None is lost, its memory stays
within the buffer, and what it says is what the packets show.
"""

import re
import shutil
import subprocess
import threading
import time

import pytest

import stack
import trace

pytestmark = [pytest.mark.capture,
              pytest.mark.skipif(shutil.which("wrk") is None,
                                 reason="wrk is not installed (Debian: wrk)"),
              pytest.mark.skipif(bool(stack.SANITIZE),
                                 reason="the sanitizers' malloc does not tell what is allocated")]

BUFFER_MB = 16
EXCHANGES = 30000  # each takes some 800 bytes
SLACK_MB = 6  # those of the last quarter of a second may not go yet


class Watch:
    """The most memory that a process had for itself, besides its rings."""

    def __init__(self, pid):
        self.pid, self.first_kb, self.most_kb = pid, 0, 0
        self.over = threading.Event()
        self.first_kb = self._look()
        self.thread = threading.Thread(target=self._work)
        self.thread.start()

    def _look(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as f:
            return int(re.search(r"RssAnon:\s+(\d+) kB", f.read()).group(1))

    def _work(self):
        while not self.over.wait(0.02):
            self.most_kb = max(self.most_kb, self._look())

    def stop(self):
        self.over.set()
        self.thread.join()
        return (self.most_kb - self.first_kb) / 1024


def ask(front, count):
    """At least so many requests; how many were answered."""
    done, until = 0, time.monotonic() + 60
    while done < count:
        assert time.monotonic() < until, done
        said = subprocess.run(["wrk", "-t1", "-c4", "-d1s", front.url + "/soap"],
                              capture_output=True, text=True, timeout=30, check=True).stdout
        assert "Socket errors" not in said and "Non-2xx" not in said, said
        done += int(re.search(r"(\d+) requests in", said).group(1))
    return done


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("buffer")
    backend = stack.Tool("load-origin")
    front = stack.Flowproxy(backend.url, folder, trace=True,
                            settings={"trace.buffer_mb": BUFFER_MB, "trace.hold_ms": 30000})
    try:
        watch = Watch(trace.tracer_of(front))
        try:
            front.asked = ask(front, EXCHANGES)
        finally:
            front.used_mb = watch.stop()
        front.stop(timeout_s=60)
    finally:
        front.kill()
        backend.stop()
    return front


def test_memory_stays_within_the_buffer(run):
    assert run.used_mb < BUFFER_MB + SLACK_MB


def test_no_exchange_is_lost_and_those_that_had_to_go_are_told(run):
    flows = trace.flows(run.trace_dir)
    hurried = [line for line in flows if line.get("hurried")]
    assert len({line["id"] for line in flows}) == len(flows) >= run.asked
    assert trace.told(run, "exchanges") == len(flows)
    assert 0 < len(hurried) < len(flows)
    line = run.wait_stderr(r"flowtrace: warning: \d+ exchanges were recorded early")
    assert int(re.search(r"(\d+) exchanges", line).group(1)) == len(hurried)


def test_what_they_say_is_what_the_packets_show(run, tmp_path):
    lines, _ = trace.analyze(run.trace_dir, tmp_path / "offline",
                             trace.dump_of(run.trace_dir))
    offline = {line["id"]: line for line in lines}
    live = trace.flows(run.trace_dir)
    assert {line["id"] for line in live} == set(offline)
    for line in live:
        for name, leg in trace.legs(line):
            for part in ("request", "response"):
                assert leg[part] == offline[line["id"]][name][part], (name, part, line)
