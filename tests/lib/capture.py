"""Packets for tests: tcpdump beside a run, tshark's view of a dump, pcapng's own counters."""

import os
import signal
import struct
import subprocess
import time


def allowed():
    """Whether this process may capture."""
    return os.geteuid() == 0


def tshark_fields(path, *fields, display_filter=None, options=()):
    """One dict per packet; a field that occurs several times is a list, one that does not is ""."""
    argv = ["tshark", "-r", str(path), "-T", "fields", "-E", "separator=/t", "-E", "occurrence=a",
            "-E", "aggregator=\x01", *options]
    for field in fields:
        argv += ["-e", field]
    if display_filter:
        argv += ["-Y", display_filter]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    said = [line for line in done.stderr.splitlines() if "Running as user" not in line and line]
    assert done.returncode == 0 and not said, f"tshark: {done.returncode} {done.stderr}"
    rows = []
    for line in done.stdout.splitlines():
        values = line.split("\t")
        rows.append({f: v.split("\x01") if "\x01" in v else v for f, v in zip(fields, values)})
    return rows


class Tcpdump:
    """tcpdump -w on an interface, between start and stop. wrapper: a command that execs the rest."""

    def __init__(self, path, expression, interface="lo", options=("--immediate-mode",),
                 wrapper=()):
        self.path = str(path)
        self.child = subprocess.Popen(
            [*wrapper, "tcpdump", "-i", interface, "-U", "-w", self.path, "--nano", *options, expression],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        line = self.child.stderr.readline()
        while line and "listening on" not in line:
            line = self.child.stderr.readline()
        if not line:
            raise AssertionError("tcpdump did not start")

    def stop(self, drain_s=0.3):
        """Packets lost by the kernel, as tcpdump says."""
        time.sleep(drain_s)
        self.child.send_signal(signal.SIGINT)
        _, said = self.child.communicate(timeout=20)
        for line in said.splitlines():
            if "dropped by kernel" in line:
                return int(line.split()[0])
        raise AssertionError(f"tcpdump: {said}")


ISB = 5
ISB_COUNTERS = {4: "ifrecv", 5: "ifdrop", 6: "filteraccept", 7: "osdrop", 8: "usrdeliv"}


def interface_statistics(path):
    """[{"interface": 0, "ifrecv": ..., "ifdrop": ...}] from the statistics blocks at the end.

    They are read backwards from the end, so that the size of the dump does not matter."""
    found = []
    with open(path, "rb") as f:
        end = f.seek(0, os.SEEK_END)
        while end >= 12:
            f.seek(end - 4)
            length = struct.unpack("<I", f.read(4))[0]
            if length < 12 or length > end:
                break
            f.seek(end - length)
            block = f.read(length) if length <= 65536 else f.read(8)
            if struct.unpack("<I", block[:4])[0] != ISB:
                break
            found.append(_statistics_of(block))
            end -= length
    return found[::-1]


def _statistics_of(block):
    row = {"interface": struct.unpack("<I", block[8:12])[0]}
    at = 20
    while at + 4 <= len(block) - 4:
        code, length = struct.unpack("<HH", block[at:at + 4])
        if code == 0:
            break
        if code in ISB_COUNTERS and length == 8:
            row[ISB_COUNTERS[code]] = struct.unpack("<Q", block[at + 4:at + 12])[0]
        at += 4 + (length + 3) // 4 * 4
    return row
