"""`flowtrace analyze` without a log: exchanges are read from the packets. The same capture with and
without its log must agree leg by leg, in every range, frame, acknowledgement and status."""

import collections
import os

import pytest

import log
import trace
import traffic

pytestmark = pytest.mark.capture

PARTS = ("request", "interim", "response")


def analyzed(capture_file, out, *options):
    """The folder that analyze makes of a capture alone."""
    trace.run("analyze", capture_file, "--out", out, *options)
    return str(out)


@pytest.fixture
def traced(origin, proxy):
    backend = origin(traffic.answer_by_target)
    backend.forgive = True
    front = proxy(backend, trace=True)
    traffic.run(front)
    traffic.run(front, kinds=(traffic.failing,), clients=2)
    front.stop()
    return front


def legs_with_log(folder):
    """(stream, seq of the request) -> (exchange's line, its leg, the log's leg)"""
    logged = {line["id"]: line for line in log.read_lines(os.path.join(folder, "proxy.ndjson"))}
    legs = {}
    for line in trace.flows(folder):
        for name, leg in trace.legs(line):
            if leg["request"]:
                legs[(leg["stream"], leg["request"]["seq"])] = (line, name, leg, logged[line["id"]])
    return legs


def test_every_leg_agrees(traced, tmp_path):
    found = analyzed(trace.dump_of(traced.trace_dir), tmp_path / "found")
    with_log = legs_with_log(traced.trace_dir)
    lines = trace.flows(found)
    assert len({line["id"] for line in lines}) == len(lines)
    compared = collections.Counter()
    for line in lines:
        leg = line["client"]
        assert line["backend"] is None and line["run"] is None
        key = (leg["stream"], leg["request"]["seq"])
        other, name, theirs, logged = with_log.pop(key)
        compared[name] += 1
        if other["end"] == "done" or other["status"] == 101:
            assert line["status"] == other["status"], (line, other)
            for part in PARTS:
                assert leg[part] == theirs[part], (part, line, other)
            assert leg.get("tunnel") == theirs.get("tunnel"), (line, other)
            assert leg["handshake"] == theirs["handshake"] or leg["nth"] != theirs["nth"]
        elif theirs["response"] is not None and logged["at_us"]["response_end"] is not None:
            assert leg["response"] == theirs["response"], (line, other)
        trace.check_phases(line)
    # What is left never had a whole head.
    for line, name, leg, logged in with_log.values():
        assert line["end"] in ("bad-request", "client-eof", "client-reset", "header-timeout"), line
    assert compared["client"] > 40 and compared["backend"] > 40
    check_lines(found)
    check_read_again(found, trace.dump_of(traced.trace_dir), tmp_path / "again")


def check_read_again(found, dump, out):
    """What stands in place of the log is a log."""
    lines, _ = trace.analyze(found, out, dump)
    told = {line["id"]: line for line in trace.flows(found)}
    assert {line["id"] for line in lines} == set(told)
    for line in lines:
        if line["end"] == "done":
            for part in PARTS:
                assert line["client"][part] == told[line["id"]]["client"][part]


def check_lines(found):
    """What stands in place of the log."""
    logged = {line["id"]: line for line in log.read_lines(os.path.join(found, "proxy.ndjson"))}
    for line in trace.flows(found):
        trace.check_flow(line, logged[line["id"]])
    assert all(line["method"] and line["target"] for line in logged.values())
