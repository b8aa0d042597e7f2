"""The tracer sleeps for so long that the proxy's buffer for it is full (4 MiB): records are dropped and
counted, the exchanges that ran then say so, and what was told is as exact as ever."""

import re
import time

import pytest

import log
from origin import response
import peer as peers
from stack import Sleeper
import trace
import traffic

pytestmark = pytest.mark.capture

ASKED = 16000
AT_ONCE = 400
ONE = peers.request("/", ["Max-Forwards: 0"], method="OPTIONS")  # the proxy answers it itself


def answer_when_told(conn):
    """/held is answered when the test says release()."""
    while (request := conn.next_request()) is not None:
        if request.target == "/held":
            conn.origin.wait(lambda: conn.origin.released, "the release", timeout_s=60)
        conn.reply(response(b"x" * 100))


def burst(front):
    client = peers.Peer(front.address, timeout_s=60)
    for _ in range(ASKED // AT_ONCE):
        client.send(ONE * AT_ONCE)
        for _ in range(AT_ONCE):
            assert client.read_response("OPTIONS").status == 200
    client.close()


def without(line):
    return {key: value for key, value in line.items() if key != "tap_drops"}


def test_records_that_had_to_be_dropped(origin, proxy, peer, tmp_path):
    backend = origin(answer_when_told)
    front = proxy(backend, trace=True, settings={"trace.payload": "headers"})
    held = peer(front)
    held.send(peers.request("/held"))
    backend.wait_requests(1)
    tracer = Sleeper(front)
    tracer.freeze()
    began = time.monotonic()
    burst(front)
    took_s = time.monotonic() - began
    tracer.thaw()
    traffic.keep_alive(front)
    trace.wait_flows(front.trace_dir, 1000, timeout_s=30)  # by then it has read what waited
    backend.release()
    assert held.read_response().status == 200
    front.stop(timeout_s=60)
    assert took_s < 30  # nobody waited for the tracer

    said = front.wait_stderr(r"had to drop \d+ records of its tap")
    dropped = int(re.search(r"drop (\d+) records", said).group(1))
    logged = {line["id"]: line["target"] for line in log.read_lines(front.log_path)}
    lines = trace.flows(front.trace_dir)
    assert len(logged) == ASKED + 6 and {line["id"] for line in lines} <= set(logged)
    untold = len(logged) - len(lines)
    assert 0 < untold <= dropped
    hurt = [line for line in lines if "tap_drops" in line]
    assert all(0 < line["tap_drops"] <= dropped for line in hurt)
    assert "/held" in [logged[line["id"]] for line in hurt]

    offline, _ = trace.analyze(front.trace_dir, tmp_path / "offline",
                               trace.dump_of(front.trace_dir))
    true = {line["id"]: line for line in offline}
    assert set(true) == set(logged) and not any("tap_drops" in line for line in offline)
    exact = [line for line in lines if line["end"] != "tap-lost"]
    assert len(exact) > 1000
    for line in exact:
        assert without(line) == true[line["id"]]
