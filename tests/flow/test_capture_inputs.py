"""Captures of every format, compressed or not, from standard input, in several files: the same records."""

import gzip
import os
import random
import resource
import subprocess
import sys
import threading

import pytest

import packets
import stack
import trace

RUN = packets.Run(connections=6, exchanges=8)


def without_dump(lines):
    return [{k: v for k, v in line.items() if k != "dump"} for line in lines]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The log, and the records that belong to it."""
    folder = tmp_path_factory.mktemp("told")
    log_path = RUN.write_log(folder / "proxy.ndjson")
    capture_path = folder / "whole.pcap"
    capture_path.write_bytes(packets.pcap(RUN.packets))
    flows, conns = trace.analyze(folder, folder / "out", capture_path)
    assert len(flows) == len(RUN.log) and len(conns) == 12
    for line in flows:
        for _, leg in trace.legs(line):
            for part in ("request", "response"):
                assert leg[part]["missing_bytes"] == 0 and leg[part]["acked_in"], line
    return log_path, without_dump(flows), without_dump(conns)


def analyzed(told, tmp_path, *captures, stdin=None, limit=None):
    """What analyze makes of them must be what was told."""
    done = subprocess.run(
        stack.WRAP + [stack.program("flowtrace"), "analyze", told[0], *map(str, captures), "--out",
                      str(tmp_path / "out")],
        input=stdin, capture_output=True, timeout=120, check=False,
        preexec_fn=limit and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))))
    assert not stack.REPORTS.search(done.stderr.decode()), done.stderr
    assert done.returncode == 0, done.stderr
    assert without_dump(trace.flows(tmp_path / "out")) == told[1]
    assert without_dump(trace.conns(tmp_path / "out")) == told[2]


def zstd(data, *options):
    return subprocess.run(["zstd", "-q", "-c", *options], input=data, stdout=subprocess.PIPE,
                          check=True).stdout


FORMATS = {
    "pcap-ns-little": packets.pcap(RUN.packets),
    "pcap-ns-big": packets.pcap(RUN.packets, order=">"),
    "pcap-us-little": packets.pcap(RUN.packets, nano=False),
    "pcap-us-big": packets.pcap(RUN.packets, nano=False, order=">"),
    "pcap-modified-little": packets.pcap(RUN.packets, modified=True),
    "pcap-modified-big": packets.pcap(RUN.packets, order=">", modified=True),
    "pcapng-little": packets.pcapng(RUN.packets),
    "pcapng-big": packets.pcapng(RUN.packets, order=">"),
    "pcap-sll": packets.pcap(RUN.packets, link=packets.SLL),
    "pcap-sll2": packets.pcap(RUN.packets, link=packets.SLL2),
    "pcapng-raw": packets.pcapng(RUN.packets, link=packets.RAW),
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats(told, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(FORMATS[name])
    analyzed(told, tmp_path, path)


@pytest.mark.parametrize("snap", [96, 54, 50])
def test_snap_lengths(told, tmp_path, snap):
    """Without payload, and with headers that end behind the window: lengths are known all the same."""
    path = tmp_path / "cut.pcap"
    path.write_bytes(packets.pcap(RUN.packets, snap=snap))
    analyzed(told, tmp_path, path)


def halves(data):
    return data[:len(data) // 2], data[len(data) // 2:]


COMPRESSED = {
    "gzip": lambda data: gzip.compress(data),
    "gzip-members": lambda data: b"".join(map(gzip.compress, halves(data))),
    "zstd": lambda data: zstd(data),
    "zstd-frames": lambda data: b"".join(map(zstd, halves(data))),
    "zstd-19-long": lambda data: zstd(data, "-19", "--long=27"),
}


@pytest.mark.parametrize("name", COMPRESSED)
def test_compressed(told, tmp_path, name):
    for kind in ("pcap-ns-little", "pcapng-big"):
        path = tmp_path / f"{kind}.{name[:4]}"
        path.write_bytes(COMPRESSED[name](FORMATS[kind]))
        analyzed(told, tmp_path, path)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd])
def test_standard_input(told, tmp_path, pack):
    analyzed(told, tmp_path, "-", stdin=pack(FORMATS["pcapng-little"]))


def test_pipes_by_name(told, tmp_path):
    """As a shell makes them of <(zcat x); they cannot be opened twice."""
    ends = []
    for i, half in enumerate((RUN.packets[::2], RUN.packets[1::2])):
        path = tmp_path / f"pipe{i}"
        os.mkfifo(path)
        ends.append((path, packets.pcapng(half)))
    writers = [threading.Thread(target=path.write_bytes, args=(data,)) for path, data in ends]
    for writer in writers:
        writer.start()
    try:
        analyzed(told, tmp_path, *(path for path, _ in ends))
    finally:
        for path, _ in ends: # a writer that nobody reads from must end, too
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        for writer in writers:
            writer.join()


def pieces(count):
    step = (len(RUN.packets) + count - 1) // count
    return [RUN.packets[i:i + step] for i in range(0, len(RUN.packets), step)]


def test_ring_of_files_in_any_order(told, tmp_path):
    """More files than descriptors, some compressed, one without a packet."""
    paths = []
    for i, piece in enumerate(pieces(120)):
        path = tmp_path / f"ring{i}"
        data = packets.pcapng(piece) if i % 2 else packets.pcap(piece)
        path.write_bytes(gzip.compress(data) if i % 3 == 0 else data)
        paths.append(path)
    assert len(paths) > 100
    empty = tmp_path / "no-packet"
    empty.write_bytes(packets.pcap([]))
    paths.append(empty)
    random.Random(8).shuffle(paths)
    analyzed(told, tmp_path, *paths, limit=32)
    with open(tmp_path / "out" / "dump.pcapng", "rb") as f:
        assert f.read().count(b"eth0") == 1 # one interface goes through all of them


def test_each_leg_in_a_file_of_its_own(told, tmp_path):
    """Of different links, and taken at the same time."""
    client = [p for p in RUN.packets if packets.address(packets.CLIENT) in p[1]]
    backend = [p for p in RUN.packets if packets.address(packets.BACKEND) in p[1]]
    assert len(client) + len(backend) == len(RUN.packets)
    one, other = tmp_path / "client.pcap", tmp_path / "backend.pcapng"
    one.write_bytes(packets.pcap(client, link=packets.SLL2))
    other.write_bytes(packets.pcapng(backend))
    analyzed(told, tmp_path, other, one)
    analyzed(told, tmp_path, one, "-", stdin=packets.pcapng(backend))


def test_packets_slightly_out_of_order_in_a_file(told, tmp_path):
    """As a capture of several CPUs gives them: frames stand as in the file, and all is found."""
    moved = list(RUN.packets)
    order = random.Random(9)
    for i in range(0, len(moved) - 4, 7):
        if moved[i + 1][0] - moved[i][0] < 10_000:
            continue # of one round trip: another order would be another story
        if order.random() < 0.5:
            moved[i], moved[i + 1] = moved[i + 1], moved[i]
    path = tmp_path / "moved.pcap"
    path.write_bytes(packets.pcap(moved))
    trace.run("analyze", told[0], path, "--out", tmp_path / "out")
    flows = trace.flows(tmp_path / "out")
    assert len(flows) == len(RUN.log)
    for line in flows:
        for _, leg in trace.legs(line):
            assert leg["request"]["missing_bytes"] == 0 and leg["response"]["missing_bytes"] == 0


def test_a_bomb_costs_time_alone(told, tmp_path):
    """Half a gigabyte of blocks to be passed over, in some kilobytes."""
    filler = packets.block("<", 0x80000001, b"\0" * (1 << 20))
    path = tmp_path / "bomb.pcapng.zst"
    with open(path, "wb") as f:
        writer = subprocess.Popen(["zstd", "-q", "-c"], stdin=subprocess.PIPE, stdout=f)
        writer.stdin.write(packets.pcapng(RUN.packets))
        for _ in range(512):
            writer.stdin.write(filler)
        writer.stdin.close()
        assert writer.wait() == 0
    assert os.path.getsize(path) < 200_000
    # A process of its own, so that no other child counts.
    done = subprocess.run(
        [sys.executable, "-c", "import resource, subprocess, sys\n"
         "status = subprocess.call(sys.argv[1:])\n"
         "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
         "sys.exit(status)", *stack.WRAP, stack.program("flowtrace"), "analyze", told[0], str(path),
         "--out", str(tmp_path / "out")],
        capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert without_dump(trace.flows(tmp_path / "out")) == told[1]
    if not stack.WRAP and not os.environ.get("FLOWPROXY_SANITIZE"):
        assert int(done.stdout.split()[-1]) < 64_000, done.stdout
