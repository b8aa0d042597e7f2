"""segments.ndjson: stream, seq, len, ack, win and Wireshark's labels equal tshark's on every
packet, of traffic made at random, of captures made by others and of a traced run; and live lines
are offline lines."""

import glob
import gzip
import os
import re
import shutil
import subprocess

import pytest

import log
import soup
import trace
import traffic

WORDS = ("reused_ports", "retransmission", "fast_retransmission", "spurious_retransmission",
         "out_of_order", "lost_segment", "ack_lost_segment", "duplicate_ack", "zero_window",
         "zero_window_probe", "zero_window_probe_ack", "keep_alive", "keep_alive_ack",
         "window_update", "window_full")
FIELDS = ("frame.number", "tcp.stream", "tcp.seq", "tcp.len", "tcp.ack", "tcp.window_size",
          "tcp.flags", "_ws.malformed") + tuple("tcp.analysis." + word for word in WORDS)
CAPTURES = os.path.join(os.path.dirname(__file__), "..", "..", "..", "shared", "captures")


def analyze(tmp_path, path):
    """The lines of segments.ndjson of a capture that no log tells of."""
    none = tmp_path / "none.ndjson"
    none.write_text("")
    trace.run("analyze", none, path, "--out", tmp_path / "out", "--segments")
    return trace.segments(tmp_path / "out")


def tshark_rows(path):
    argv = ["tshark", "-n", "-r", str(path), "-o", "tcp.desegment_tcp_streams:FALSE",
            "-Y", "tcp && !sflow", "-T", "fields", "-E", "separator=/t", "-E", "occurrence=l"]
    for field in FIELDS:
        argv += ["-e", field]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True) as child:
        for line in child.stdout:
            yield line.rstrip("\n").split("\t")


def assert_equal(path, lines):
    """Returns how many packets bear a label of Wireshark's."""
    flagged, at = 0, 0
    for row in tshark_rows(path):
        line, at = lines[at], at + 1
        words = [word for word, value in zip(WORDS, row[8:]) if value]
        has_ack = int(row[6], 16) & soup.ACK
        assert [line["frame"], line["stream"], line["seq"], line["len"], line["win"]] == \
            [int(row[i]) for i in (0, 1, 2, 3, 5)], (path, row, line)
        assert line["ack"] == (int(row[4]) if has_ack else None), (path, row, line)
        if not row[7]:  # else a bug of tshark's own, which then shows no flags
            assert sorted(line["ws"]) == sorted(words), (path, row, line)
        flagged += bool(words)
    assert at == len(lines), path
    return flagged


@pytest.mark.parametrize("seed, packets, interfaces, mptcp", [
    (1, 60000, 1, False), (2, 40000, 3, False), (3, 20000, 2, True)])
def test_traffic_at_random(tmp_path, seed, packets, interfaces, mptcp):
    path = tmp_path / "soup.pcapng"
    count = soup.Soup(path, seed, interfaces=interfaces, mptcp=mptcp).fill(packets)
    lines = analyze(tmp_path, path)
    assert len(lines) == count
    assert assert_equal(path, lines) > packets / 2
    assert {word for line in lines for word in line["ws"]} == set(WORDS)


def test_more_than_is_kept_of_what_nobody_acknowledges(tmp_path):
    path = tmp_path / "soup.pcapng"
    made = soup.Soup(path, 7, pairs=2)
    made.unheard(10500)
    for _ in range(3000):
        made.step()
    made.unheard(10500)
    made.out.close()
    assert assert_equal(path, analyze(tmp_path, path)) > 1000


def test_captures_made_by_others(tmp_path):
    paths = sorted(glob.glob(os.path.join(CAPTURES, "*.pcap*")))
    if not paths:
        pytest.skip("no captures in ../shared/captures")
    for path in paths:
        if path.endswith(".gz"):
            plain = tmp_path / os.path.basename(path)[:-3]
            with gzip.open(path) as packed, open(plain, "wb") as out:
                shutil.copyfileobj(packed, out)
            path = plain
        assert_equal(path, analyze(tmp_path, path))


def test_needs_a_folder():
    done = trace.run("analyze", "x.ndjson", "y.pcap", "--segments", status=2)
    assert "--segments needs --out" in done.stderr


@pytest.mark.capture
@pytest.mark.parametrize("payload", ["full", "none"])
def test_a_traced_run(origin, proxy, tmp_path, payload):
    """Also without a dump. Where there is one, its comments name the same exchanges."""
    backend = origin(traffic.answer_by_target)
    backend.forgive = True
    front = proxy(backend, settings={"trace.control": tmp_path / "tap.sock"})
    folder = str(tmp_path / "live")
    tracer = trace.Capture(tmp_path / "tap.sock", folder, "--segments", "--payload", payload)
    traffic.run(front)
    traffic.run(front, kinds=(traffic.failing,), clients=1)
    front.stop()
    assert tracer.wait() == 0
    lines = trace.segments(folder)
    assert [line["frame"] for line in lines] == sorted({line["frame"] for line in lines})
    ids = {line["id"] for line in log.read_lines(front.log_path)}
    assert {each for line in lines for each in line["ids"]} == ids
    if payload == "none":
        return
    shutil.copy(front.log_path, os.path.join(folder, "proxy.ndjson"))
    trace.analyze(folder, tmp_path / "again", trace.dump_of(folder), options=("--segments",))
    assert trace.raw_lines(tmp_path / "again", "segments.ndjson") == \
        trace.raw_lines(folder, "segments.ndjson")
    assert_equal(trace.dump_of(folder), lines)
    said = trace.comments(trace.dump_of(folder))
    for line in lines:
        named = {text.split(" ")[0][4:] for text in said[line["frame"]] if text.startswith("req=")}
        assert named == set(line["ids"]), (line, said[line["frame"]])


@pytest.mark.capture
def test_named_after_its_dump(origin, proxy, tmp_path):
    front = proxy(origin(traffic.answer_by_target),
                  settings={"trace.control": tmp_path / "tap.sock"})
    for name in ("segments.ndjson", "segments-2.ndjson"):
        tracer = trace.Capture(tmp_path / "tap.sock", tmp_path / "live", "--segments")
        traffic.run(front, clients=1)
        tracer.stop()
        assert log.read_lines(str(tmp_path / "live" / name))[0]["frame"] == 1


def test_readme_has_every_label():
    root = os.path.join(os.path.dirname(__file__), "..", "..")
    with open(os.path.join(root, "trace", "label.h"), encoding="ascii") as f:
        words = re.findall(r'X\(\w+, "([a-z-]+)"', f.read())
    with open(os.path.join(root, "README.md"), encoding="utf-8") as f:
        table = f.read().split("**Labels.**")[1].split("**A line of")[0]
    assert len(words) == 25
    assert set(words) <= set(re.findall(r"`([a-z-]+)`", table))
