"""Captures and logs that end in the middle, are damaged or are none: one clear line with the place, exit
status 1, and before it everything that could be told."""

import gzip
import os
import re
import shutil
import struct
import subprocess
import tempfile

import pytest

import packets
import stack
import trace

RUN = packets.Run(connections=3, exchanges=4)
LOG = RUN.log_text().encode()
PCAP = packets.pcap(RUN.packets)
PCAPNG = packets.pcapng(RUN.packets)
COUNT = len(RUN.packets)
HALF = COUNT // 2
FIRST_BLOCK = 28 # of the section header
INTERFACE_BLOCK = struct.unpack("<I", PCAPNG[FIRST_BLOCK + 4:FIRST_BLOCK + 8])[0]


def pcap_at(count):
    """Where the packet after the first `count` begins."""
    return len(packets.pcap(RUN.packets[:count]))


def pcapng_at(count):
    return len(packets.pcapng(RUN.packets[:count]))


def patched(data, offset, value):
    return data[:offset] + value + data[offset + len(value):]


def analyze(tmp_path, capture, log=LOG, status=1, captures=()):
    """(stderr's lines, packets told, flows) of an analysis of these bytes."""
    (tmp_path / "in.ndjson").write_bytes(log)
    if capture is not None:
        (tmp_path / "in.cap").write_bytes(capture)
        captures = [tmp_path / "in.cap"]
    done = trace.run("analyze", tmp_path / "in.ndjson", *captures, "--out", tmp_path / "out",
                     status=status, program=trace.SANITIZED)
    lines = done.stderr.splitlines()
    told = [int(m.group(1)) for m in map(re.compile(r"flowtrace: (\d+) packets,").match, lines) if m]
    return lines, told[0] if told else None, trace.flows(tmp_path / "out")


def error_of(lines):
    errors = [line for line in lines if line.startswith("flowtrace: error: ")]
    assert len(errors) == 1, lines
    return errors[0][len("flowtrace: error: "):]


# What is done to a capture, how many packets are told before, what is said.
DAMAGES = {
    "pcap cut in a packet's header": (
        PCAP[:pcap_at(HALF) + 7], HALF, f"byte {pcap_at(HALF)}: the file ends in the middle of a packet"),
    "pcap cut in a packet": (
        PCAP[:pcap_at(HALF + 1) - 3], HALF,
        f"byte {pcap_at(HALF)}: the file ends in the middle of a packet"),
    "pcap with a packet of 4 GB": (
        patched(PCAP, pcap_at(HALF) + 8, b"\xff\xff\xff\xff"), HALF,
        f"byte {pcap_at(HALF)}: a packet of 4294967295 bytes: the file is damaged"),
    "pcapng cut in a block's header": (
        PCAPNG[:pcapng_at(HALF) + 5], HALF,
        f"byte {pcapng_at(HALF)}: the file ends in the middle of a block"),
    "pcapng cut in a block": (
        PCAPNG[:pcapng_at(HALF + 1) - 1], HALF,
        f"byte {pcapng_at(HALF)}: the file ends in the middle of a block"),
    "pcapng with a block length that is no multiple of 4": (
        patched(PCAPNG, pcapng_at(HALF) + 4, struct.pack("<I", 61)), HALF,
        f"byte {pcapng_at(HALF)}: a block that says it is 61 bytes long"),
    "pcapng with a block length of 0": (
        patched(PCAPNG, pcapng_at(HALF) + 4, struct.pack("<I", 0)), HALF,
        f"byte {pcapng_at(HALF)}: a block that says it is 0 bytes long"),
    "pcapng with a block of 4 GB": (
        patched(PCAPNG, pcapng_at(HALF) + 4, struct.pack("<I", 0xfffffff0)), HALF,
        f"byte {pcapng_at(HALF)}: a block of 4294967280 bytes: the file is damaged"),
    "pcapng with two lengths that differ": (
        patched(PCAPNG, pcapng_at(HALF + 1) - 4, struct.pack("<I", 1000)), HALF,
        f"byte {pcapng_at(HALF)}: a block whose two lengths differ"),
    "pcapng with a packet longer than its block": (
        patched(PCAPNG, pcapng_at(HALF) + 20, struct.pack("<I", 50000)), HALF,
        f"byte {pcapng_at(HALF)}: a packet longer than its block"),
    "pcapng with a packet of no interface": (
        patched(PCAPNG, pcapng_at(HALF) + 8, struct.pack("<I", 7)), HALF,
        f"byte {pcapng_at(HALF)}: a packet of interface 7, which is not described"),
    "pcapng with zeros behind": (
        PCAPNG + b"\0" * 100, COUNT, f"byte {len(PCAPNG)}: a block that says it is 0 bytes long"),
    "pcapng with an interface cut": (
        PCAPNG[:FIRST_BLOCK + 20], 0, f"byte {FIRST_BLOCK}: the file ends in the middle of a block"),
    "pcapng without a byte order": (
        patched(PCAPNG, 8, b"\0\0\0\0"), 0, "byte 0: "),
    "gzip cut": (
        gzip.compress(PCAP)[:-9], None, "the file ends at byte "),
    "gzip with garbage behind": (
        gzip.compress(PCAP) + b"garbage", COUNT, "the gzip data is damaged"),
    "gzip of a torn pcap": (
        gzip.compress(PCAP[:pcap_at(HALF) + 7]), HALF,
        f"byte {pcap_at(HALF)} unpacked: the file ends in the middle of a packet"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_captures(tmp_path, name):
    capture, count, what = DAMAGES[name]
    lines, told, flows = analyze(tmp_path, capture)
    assert error_of(lines).startswith(str(tmp_path / "in.cap") + ": byte "), lines
    assert what in error_of(lines), lines
    assert count is None or told == count, lines
    if told == COUNT:
        assert len(flows) == len(RUN.log)
    for line in flows[:len(RUN.log) // 3] if told and told >= HALF else []:
        assert line["client"]["request"]["missing_bytes"] == 0, line
    assert not [name for name in os.listdir(tmp_path / "out") if name.endswith(".part")]


NO_CAPTURES = {
    "empty": (b"", "byte 0: the file is empty"),
    "text": (b"GET / HTTP/1.1\r\n\r\n", "byte 0: no capture file (pcap or pcapng)"),
    "one byte": (b"\xd4", "byte 0: no capture file (pcap or pcapng)"),
    "a header cut": (PCAP[:20], "byte 0: the file ends in the middle of its header"),
    "a version of the future": (patched(PCAP, 4, b"\x09\0"), "byte 0: version 9.4 of the pcap format"),
    "gzip of nothing": (gzip.compress(b""), "byte 0 unpacked: the file is empty"),
    "gzip of gzip": (gzip.compress(gzip.compress(PCAP)), "byte 0 unpacked: compressed twice"),
    "gzip cut in its header": (gzip.compress(PCAP)[:8], "the file ends at byte 8 in the middle"),
    "xz": (b"\xfd7zXZ\0", "xz -dc FILE"),
    "a log": (LOG, "byte 0: no capture file (pcap or pcapng)"),
}


@pytest.mark.parametrize("name", NO_CAPTURES)
def test_no_captures(tmp_path, name):
    """Nothing can be told, and nothing is left behind. Beside another capture it is told at the end."""
    capture, what = NO_CAPTURES[name]
    lines, told, _ = analyze(tmp_path, capture)
    assert what in error_of(lines) and told is None, lines
    assert os.listdir(tmp_path / "out") == []
    good = tmp_path / "good.pcap"
    good.write_bytes(PCAP)
    lines, told, flows = analyze(tmp_path, None, captures=[good, tmp_path / "in.cap"])
    assert what in error_of(lines) and told == COUNT and len(flows) == len(RUN.log), lines


def test_empty_capture_with_a_header(tmp_path):
    """A capture without packets is one."""
    for capture in (packets.pcap([]), packets.pcapng([])):
        lines, told, flows = analyze(tmp_path, capture, status=0)
        assert told == 0 and flows == [], lines


def test_files_that_cannot_be_opened(tmp_path):
    good = tmp_path / "good.pcap"
    good.write_bytes(PCAP)
    for captures in ([tmp_path / "none"], [good, tmp_path / "none"]):
        lines, told, _ = analyze(tmp_path, None, captures=captures)
        assert error_of(lines) == f"{tmp_path}/none: No such file or directory" and told is None
    lines, told, _ = analyze(tmp_path, None, captures=[tmp_path])
    assert "Is a directory" in error_of(lines) and told is None
    lines, told, flows = analyze(tmp_path, None, captures=[tmp_path, good])
    assert "Is a directory" in error_of(lines) and told == COUNT and len(flows) == len(RUN.log)
    for log in (tmp_path / "no.ndjson", tmp_path / "folder.ndjson"):
        if log.name == "folder.ndjson":
            log.mkdir()
        done = trace.run("analyze", log, good, "--out", tmp_path / "out", status=1)
        assert str(log) in error_of(done.stderr.splitlines()), done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_files_without_permission():
    """As another user, to whom the rights apply, in a folder that lets everybody in."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        program = shutil.copy(stack.program("flowtrace"), folder)
        files = [os.path.join(folder, name) for name in ("in.ndjson", "in.pcap")]
        for path, data in zip(files, (LOG, PCAP)):
            with open(path, "wb") as f:
                f.write(data)
        for path in files:
            os.chmod(path, 0)
            done = subprocess.run([program, "analyze", *files, "--out", os.path.join(folder, "out")],
                                  capture_output=True, text=True, user=65534, group=65534,
                                  extra_groups=[], timeout=60, check=False)
            assert done.returncode == 1
            assert error_of(done.stderr.splitlines()) == f"{path}: Permission denied"
            os.chmod(path, 0o644)


LINES = LOG.splitlines(keepends=True)
MIDDLE = len(LINES) // 2


def with_line(text):
    return b"".join(LINES[:MIDDLE]) + text + b"".join(LINES[MIDDLE:])


# A line in the middle, and what is said of it.
BROKEN_LINES = {
    "no JSON": (b"{]\n", "no JSON at column 2"),
    "half a line": (LINES[0][:100] + b"\n", "no JSON at column 100"),
    "another kind": (b"[1,2]\n", "an object is expected"),
    "no id": (LINES[0].replace(b'"id"', b'"di"'), "id: missing"),
    "a version of the future": (LINES[0].replace(b'"v":1', b'"v":99'), "v: "),
    "a range backwards": (LINES[0].replace(b'"request":[0,300]', b'"request":[300,0]', 1), "client.request: "),
    "an address that is none": (LINES[0].replace(b'"192.0.2.1:', b'"192.0.2.256:', 1), "client.peer: an address"),
    "bytes": (bytes(range(128, 256)) + b"\n", "no JSON at column 0"),
    "a line of a megabyte": (b"x" * (1 << 20) + b"\n", "the line is too long"),
}


@pytest.mark.parametrize("name", BROKEN_LINES)
def test_broken_logs(tmp_path, name):
    line, what = BROKEN_LINES[name]
    assert line != LINES[0]
    lines, told, flows = analyze(tmp_path, PCAP, with_line(line))
    said = error_of(lines)
    assert said.startswith(f"{tmp_path}/in.ndjson:{MIDDLE + 1}: ") and what in said, lines
    assert told == COUNT
    assert {f["id"] for f in flows} == {x["id"] for x in RUN.log[:MIDDLE]}


def test_logs_that_end(tmp_path):
    lines, told, flows = analyze(tmp_path, PCAP, b"", status=0)
    assert told == COUNT and flows == [], lines
    lines, told, flows = analyze(tmp_path, PCAP, LOG[:-20], status=0)
    assert told == COUNT and len(flows) == len(RUN.log) - 1
    assert any("torn" in line for line in lines), lines


def test_tcpdump_that_was_killed(tmp_path):
    """Bytes arrive while it is read, and the last block never comes to its end."""
    (tmp_path / "in.ndjson").write_bytes(LOG)
    child = subprocess.Popen(
        [stack.program("flowtrace"), "analyze", tmp_path / "in.ndjson", "-", "--out",
         tmp_path / "out"], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    torn = PCAPNG[:pcapng_at(COUNT - 1) + 40]
    for at in range(0, len(torn), 1000):
        child.stdin.write(torn[at:at + 1000])
        child.stdin.flush()
    said = child.communicate(timeout=60)[1].decode()
    assert child.returncode == 1
    assert error_of(said.splitlines()) == (
        f"standard input: byte {pcapng_at(COUNT - 1)}: the file ends in the middle of a block")
    assert len(trace.flows(tmp_path / "out")) == len(RUN.log)


def test_cut_at_every_place(tmp_path):
    """All whole packets are told, and where the one begins that is not."""
    ends = [pcap_at(count) for count in range(COUNT + 1)]
    for cut in [*range(24, len(PCAP), 1499), ends[7], ends[8] - 1, ends[8] + 1]:
        whole = max(end for end in ends if end <= cut)
        lines, told, _ = analyze(tmp_path, PCAP[:cut], status=int(cut != whole))
        assert told == ends.index(whole)
        if cut != whole:
            assert f": byte {whole}: the file ends in the middle of a packet" in error_of(lines)
