"""How fast flowtrace reads a capture that stands in a file, beside tshark, tcptrace and tcpdump.

Two captures are made for it, each by a traced run under load: 128 keep-alive connections, and
connections that carry one request each. Every program reads the same packets, in turns, pinned to
one core; what counts is its CPU time, user and system, per packet.
"""

import glob
import os
import resource
import shutil
import statistics
import subprocess

import bench_subjects as subjects
import stack

LOADS = [  # name, connections, seconds, whether each request opens one of its own
    ("128 connections", 128, 3, False),
    ("a connection for each request", 64, 2, True),
]


class Captured:
    """A traced run's folder, and what there is in it."""

    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        self.log = os.path.join(folder, "proxy.ndjson")
        self.dump = os.path.join(folder, "dump.pcapng")
        self.pcap = os.path.join(folder, "dump.pcap")
        subprocess.run([subjects.program_path("tcpdump"), "-r", self.dump, "-w", self.pcap],
                       capture_output=True, check=True, timeout=120)
        self.lines = count_lines(self.log)
        self.packets = count_packets(self.pcap)


def count_lines(path):
    with open(path, "rb") as f:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: f.read(1 << 20), b""))


def count_packets(path):
    """Of a classic pcap file in this machine's byte order."""
    count, at = 0, 24
    with open(path, "rb") as f:
        data = f.read()
    while at + 16 <= len(data):
        at += 16 + int.from_bytes(data[at + 8:at + 12], "little")
        count += 1
    return count


def capture_load(bench, name, connections, seconds, is_short):
    subject = bench.start(subjects.Traced)
    headers = 'wrk.headers["Connection"] = "close"\n' if is_short else ""
    bench.drive(connections, seconds, headers, subject.port)
    bench.stop(subject)
    folder = os.path.join(bench.workdir, f"captured-{len(os.listdir(bench.workdir))}")
    shutil.move(subject.trace_dir, folder)
    shutil.move(os.path.join(subject.workdir, "proxy.ndjson"), folder)
    return Captured(name, folder)


def readers(captured, out):
    """{name: command}; each reads all packets of the capture."""
    flowtrace = stack.program("flowtrace")
    return {
        "flowtrace, with log": [flowtrace, "analyze", captured.log, captured.dump,
                                "--out", captured.folder],
        "flowtrace, with log and annotated copy": [flowtrace, "analyze", captured.log,
                                                   captured.pcap, "--out", out],
        "flowtrace, packets only": [flowtrace, "analyze", captured.pcap, "--out", out],
        "tcptrace": [subjects.program_path("tcptrace"), captured.pcap],
        "tcpdump -r -w": [subjects.program_path("tcpdump"), "-r", captured.pcap,
                          "-w", os.path.join(out, "copy.pcap")],
        "tshark, ten fields": [subjects.program_path("tshark"), "-r", captured.pcap, "-T", "fields"]
        + [part for field in ("frame.number", "frame.time_epoch", "tcp.stream", "ip.src", "ip.dst",
                              "tcp.srcport", "tcp.dstport", "tcp.seq", "tcp.len", "tcp.ack")
           for part in ("-e", field)],
    }


def cpu_of(command, core):
    """CPU seconds of one run."""
    def pin():
        if core is not None:
            os.sched_setaffinity(0, {core})

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          preexec_fn=pin, timeout=600, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise subjects.BenchError(f"{command[0]}: {done.stderr.decode(errors='replace')}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(bench, captured, rounds):
    """{reader: CPU seconds of each round}"""
    out = os.path.join(captured.folder, "out")
    os.makedirs(out, exist_ok=True)
    commands = readers(captured, out)
    names = list(commands)
    results = {name: [] for name in names}
    for n in range(rounds):
        for name in names[n % len(names):] + names[:n % len(names)]:
            if name.startswith("tshark") and n > 0:
                continue  # slow, and one run tells enough
            results[name].append(cpu_of(commands[name], bench.proxy_core))
            check_whole(captured, name, out)
            for path in glob.glob(os.path.join(out, "*")):
                os.unlink(path)
    return results


def check_whole(captured, name, out):
    """Speed counts only with all records written."""
    if not name.startswith("flowtrace"):
        return
    folder = captured.folder if name.endswith("with log") else out
    lines = count_lines(os.path.join(folder, "flows.ndjson"))
    if lines < captured.lines:
        raise subjects.BenchError(f"{name}: {lines} records of {captured.lines} exchanges")


def print_results(captured, results):
    base = statistics.median(results["tcptrace"])
    print(f"\nreading a capture: {captured.name},"
          f" {captured.packets} packets, {captured.lines} exchanges")
    print(f"  {'':<40}{'packets/s':>12}{'CPU / tcptrace':>16}")
    for name, seconds in results.items():
        middle = statistics.median(seconds)
        print(f"  {name:<40}{captured.packets / middle:>12.0f}{middle / base:>16.2f}")


def run(bench, rounds):
    """Print the table of each load; the same as plain values."""
    told = {}
    for name, connections, seconds, is_short in LOADS:
        captured = capture_load(bench, name, connections, seconds, is_short)
        results = measure(bench, captured, rounds)
        print_results(captured, results)
        told[f"capture: {name}"] = {"packets": captured.packets, "exchanges": captured.lines,
                                    "cpu_s": results}
        shutil.rmtree(captured.folder)
    return told
