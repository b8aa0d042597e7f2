"""Captures that others made, whole, cut and damaged, through a tracer with sanitizers: no finding, and
what it wrote is shown."""

import glob
import gzip
import os
import random

import pytest

import trace

FOLDER = os.path.join(os.path.dirname(__file__), "..", "..", "..", "shared", "captures")
PATHS = sorted(glob.glob(os.path.join(FOLDER, "*.pcap*")))

pytestmark = pytest.mark.skipif(not PATHS, reason="no captures in ../shared/captures")


def read(path):
    opened = gzip.open if path.endswith(".gz") else open
    with opened(path, "rb") as f:
        return f.read()


def look(tmp_path, capture, statuses=(0,), log=None):
    """Analyse it, and have the table and the ladders of the first exchanges printed."""
    out = tmp_path / "out"
    arguments = ["analyze", *([log] if log else []), capture, "--out", out, "--segments"]
    done = trace.run(*arguments, status=None, program=trace.SANITIZED)
    assert done.returncode in statuses, done.stderr
    if not os.path.exists(out / "flows.ndjson"):
        return done
    trace.run("show", out, program=trace.SANITIZED)
    trace.run("show", out, "--story", status=None, program=trace.SANITIZED)
    for line in trace.flows(out)[:3]:
        trace.run("show", out, line["id"], program=trace.SANITIZED)
    return done


@pytest.mark.parametrize("path", PATHS, ids=map(os.path.basename, PATHS))
def test_whole(tmp_path, path):
    """Without a log, and with one that tells of nothing."""
    done = look(tmp_path, path)
    assert "error" not in done.stderr
    assert trace.segments(tmp_path / "out")
    log = tmp_path / "none.ndjson"
    log.write_text("")
    done = look(tmp_path, path, log=log)
    assert "error" not in done.stderr and trace.flows(tmp_path / "out") == []


@pytest.mark.parametrize("path", PATHS, ids=map(os.path.basename, PATHS))
def test_cut_and_damaged(tmp_path, path):
    data = read(path)
    chance = random.Random(len(data))
    for turn in range(8):
        damaged = bytearray(data[:chance.randrange(24, len(data))] if turn % 2 else data)
        for _ in range(chance.randrange(1, 40) if turn % 4 > 1 else 0):
            damaged[chance.randrange(24, len(damaged))] = chance.randrange(256)
        capture = tmp_path / "damaged.pcap"
        capture.write_bytes(gzip.compress(damaged) if turn == 5 else damaged)
        look(tmp_path, capture, statuses=(0, 1))
