"""The tracer sleeps while a burst goes through the proxy, and its ring is as small as it can be. The
proxy does not notice; what was lost is counted; what the records then say is still true.

A tcpdump beside it, with a large buffer, knows the truth.
"""

import threading
import time

import pytest

import capture
from origin import Origin
import peer as peers
import stack
import trace
import traffic

pytestmark = pytest.mark.capture

SETTINGS = {"trace.buffer_mb": 1}
ASLEEP_S = 1.0
CLIENTS = 4
NEAR_US = 2000  # two captures stamp one packet within microseconds, on a busy machine a few more


class Burst:
    """Clients that ask all the time until they are told to stop, each over connections of its own:
    one that lasts, and a new one now and then."""

    def __init__(self, front):
        self.front = front
        self.over = threading.Event()
        self.errors, self.slowest_s, self.count = [], 0.0, 0
        self.threads = [threading.Thread(target=self._work) for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def _work(self):
        try:
            while not self.over.is_set():
                lasting = peers.Peer(self.front.address)
                for _ in range(25):
                    self._ask(lasting, "/size/30000", b"")
                    self._ask(lasting, "/size/10", bytes(20000))
                    fresh = peers.Peer(self.front.address)
                    self._ask(fresh, "/size/500", b"x" * 100)
                    fresh.close()
                    time.sleep(0.005)
                lasting.close()
        except Exception as error:  # pylint: disable=broad-except
            self.errors.append(error)

    def _ask(self, client, target, body):
        began = time.monotonic()
        assert client.post(body, target).status == 200
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        self.count += 1  # a few may be missed: threads

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(20)
        assert not self.errors, self.errors


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A traced proxy whose tracer slept in the middle; `beside` is the path of tcpdump's file. One run
    for all tests."""
    folder = tmp_path_factory.mktemp("stall")
    backend = Origin(traffic.answer_by_target)
    front = stack.Flowproxy(backend.url, folder, settings=SETTINGS, trace=True)
    try:
        burst_while_it_sleeps(front, backend, folder)
    finally:
        front.kill()
        backend.stop()
    return front


def burst_while_it_sleeps(front, backend, folder):
    beside = capture.Tcpdump(folder / "beside.pcap",
                             f"tcp port {front.port} or tcp port {backend.port}",
                             options=("-B", "262144"))
    burst = Burst(front)
    time.sleep(0.2)
    sleeper = stack.Sleeper(front)
    sleeper.freeze()
    before = burst.count
    time.sleep(ASLEEP_S)
    front.count_asleep = burst.count - before
    sleeper.thaw()
    time.sleep(0.5)
    burst.stop()
    front.slowest_s = burst.slowest_s
    for _ in range(4):  # slowly: no dump tells of packets lost behind its last one
        time.sleep(0.2)
        traffic.keep_alive(front, count=2)
    front.stop(timeout_s=30)
    assert beside.stop(drain_s=1.5) == 0
    front.beside = beside.path


def test_the_proxy_does_not_suffer(run):
    assert run.count_asleep > 100
    assert run.slowest_s < 1.0


def test_what_was_lost_is_counted(run):
    dropped = trace.told(run, "dropped")
    statistics = capture.interface_statistics(trace.dump_of(run.trace_dir))
    assert dropped > 0
    assert sum(each["ifdrop"] for each in statistics) == dropped
    packets = trace.told(run, "packets")
    assert sum(each["ifrecv"] for each in statistics) == packets + dropped


def truth_of(run, tmp_path):
    lines, _ = trace.analyze(run.trace_dir, tmp_path / "truth", run.beside)
    return {line["id"]: line for line in lines}


def near(ours, true):
    return ours is None or abs(ours - true) <= NEAR_US


def check_part(where, part, true, claimed):
    """What is said of a part is true; claimed counts the parts that are said to be whole."""
    if part is None:
        return
    assert part["seq"] == true["seq"] and part["len"] == true["len"], where
    assert part["retransmitted_bytes"] <= true["retransmitted_bytes"], where
    assert part["missing_bytes"] <= part["len"], where
    if part["missing_bytes"] == 0:
        assert len(part["frames"]) == len(true["frames"]), where
        claimed.append(where)
    else:
        assert len(part["frames"]) < len(true["frames"]), where
    assert near(part["acked_us"], true["acked_us"]), where


def test_what_is_said_is_true(run, tmp_path):
    truth = truth_of(run, tmp_path)
    lines = trace.flows(run.trace_dir)
    assert {line["id"] for line in lines} == set(truth)
    trace.check_folder(run.trace_dir, lines)
    claimed, hurt = [], 0
    for line in lines:
        true = truth[line["id"]]
        incomplete = False
        for name, leg in trace.legs(line):
            for part in ("request", "response"):
                check_part((line, true, name, part), leg[part], true[name][part], claimed)
                incomplete |= leg[part] is None or leg[part]["missing_bytes"] > 0
            if leg["handshake"] and leg["handshake"]["us"] is not None:
                assert near(leg["handshake"]["us"], true[name]["handshake"]["us"]), (line, true)
        for phase, us in (line["phases_us"] or {}).items():
            assert near(us, true["phases_us"][phase]), (phase, line, true)
        assert not incomplete or line["drops"] > 0, line
        hurt += incomplete
    assert hurt > 50 and len(claimed) > 200, (hurt, len(claimed), len(lines))


def test_tshark_sees_the_same_in_the_dump(run):
    """Of those that are told at all: without its SYN a connection has no numbers."""
    lines = trace.flows(run.trace_dir)
    assert trace.assert_agrees_with_tshark(run.trace_dir, trace.dump_of(run.trace_dir), lines) > 100


def test_live_equals_offline(run, tmp_path):
    trace.assert_offline_same(run, tmp_path)
