"""Running flowtrace, reading what it wrote, and what tshark says of the same dump."""

import os
import subprocess
import time

import capture
import log
import stack

PARTS = ("request", "interim", "response")


def run(*arguments, status=0, timeout_s=120):
    """flowtrace with these arguments, which must end with that status. What it printed."""
    done = subprocess.run([stack.program("flowtrace"), *map(str, arguments)], capture_output=True,
                          text=True, timeout=timeout_s, check=False)
    assert not stack.REPORTS.search(done.stderr), done.stderr
    assert done.returncode == status, f"{done.args}: {done.returncode}\n{done.stderr}"
    return done


def analyze(folder, out, *captures, options=()):
    """flows.ndjson and conns.ndjson made offline of a folder's log and these captures."""
    run("analyze", os.path.join(folder, "proxy.ndjson"), *captures, "--out", out, *options)
    return flows(out), conns(out)


def flows(folder):
    return log.read_lines(os.path.join(folder, "flows.ndjson"))


def conns(folder):
    return log.read_lines(os.path.join(folder, "conns.ndjson"))


def raw_lines(folder, name):
    with open(os.path.join(folder, name), "rb") as f:
        return f.read().splitlines()


def dump_of(folder, name="dump.pcapng"):
    return os.path.join(folder, name)


class Capture(stack.Process):
    """`flowtrace capture` attached to a running proxy."""

    def __init__(self, tap, out, *options, wait=True):
        super().__init__([stack.program("flowtrace"), "capture", "--tap", str(tap), "--out",
                          str(out), *options])
        if wait:
            self.wait_stderr(r"flowtrace: capturing on ")

    def stop(self, number=15, status=0):
        if self.running():
            self.signal(number)
        got = self.wait()
        if got is None:
            self.kill()
        assert not stack.REPORTS.search(self.stderr), self.stderr
        assert got == status, f"exit status {got}; it said:\n{self.stderr}"


def wait_flows(folder, count, timeout_s=15):
    return log.wait_lines(os.path.join(folder, "flows.ndjson"), count, timeout_s)


def told(front, kind):
    """The counters of the tracer's last line: packets, dropped, exchanges, uncommented, late."""
    line = front.wait_stderr(r"flowtrace: \d+ packets,")
    for piece in line.split("flowtrace: ")[1].split(", "):
        number, word = piece.split(" ", 1)
        if word == kind:
            return int(number)
    raise AssertionError(line)


def legs(line):
    """(name, leg) of those that there are."""
    return [(name, line[name]) for name in ("client", "backend") if line[name]]


def check_flow(line, logged):
    """What must hold of a line of flows.ndjson and the log's line of the same exchange."""
    assert line["v"] == 1 and line["id"] == logged["id"] and line["run"] == logged["run"]
    assert line["start"] == logged["start"] and line["end"] == logged["end"]
    assert line["status"] == logged["status"]
    for name, leg in legs(line):
        for key in ("conn", "nth"):
            assert leg[key] == logged[name][key]
        for part in PARTS:
            check_part(leg, part, logged[name][part])
    check_phases(line)


def check_part(leg, name, logged):
    part = leg[name]
    if logged is None or leg["anchor"] == "none":
        assert part is None, (name, leg)
        return
    assert part["seq"] == logged[0] + 1 and part["next_seq"] == logged[1] + 1, (name, part)
    assert part["len"] == logged[1] - logged[0]
    assert part["frames"] == sorted(set(part["frames"]))
    if part["missing_bytes"] == 0:
        assert part["frames"], (name, leg)
    assert (part["acked_in"] is None) == ("ack_why" in part), part


def check_phases(line):
    phases = line["phases_us"]
    if phases is None:
        assert "phases_why" in line and line["verdict"] is None
        return
    pieces = [us for name, us in phases.items() if name != "total"]
    assert all(us is None or us >= 0 for us in pieces), phases
    assert (phases["total"] is None) == (None in pieces), phases
    assert (phases["total"] is None) == ("phases_why" in line), line
    if phases["total"] is not None:
        assert sum(pieces) == phases["total"], phases
        assert phases[line["verdict"]] == max(pieces)


def check_folder(folder, lines=None):
    """Every exchange of the log has its line in flows.ndjson, and what must hold of both does."""
    logged = {line["id"]: line for line in log.read_lines(os.path.join(folder, "proxy.ndjson"))}
    lines = flows(folder) if lines is None else lines
    assert {line["id"] for line in lines} == set(logged)
    for line in lines:
        check_flow(line, logged[line["id"]])


def without_names(line):
    """A connection without exchanges has no number and no opening offline."""
    return {k: v for k, v in line.items() if k not in ("conn", "opened")}


def assert_same_conns(live, offline):
    assert len(live) == len(offline), (live, offline)
    for ours, theirs in zip(live, offline):
        if theirs["conn"] is None:
            assert ours["exchanges"] == 0
            ours, theirs = without_names(ours), without_names(theirs)
        assert ours == theirs


# ---- tshark's view ----


class Segments:
    """The TCP segments of a dump as tshark's fields tell, by stream and direction."""

    FIELDS = ("frame.number", "tcp.stream", "ip.src", "ipv6.src", "tcp.srcport", "tcp.seq",
              "tcp.len", "tcp.ack", "tcp.flags")

    def __init__(self, path):
        self.rows = []
        for row in capture.tshark_fields(path, *self.FIELDS, display_filter="tcp",
                                         options=("-o", "tcp.desegment_tcp_streams:FALSE")):
            self.rows.append({
                "frame": int(row["frame.number"]),
                "stream": int(row["tcp.stream"]),
                "from": (row["ip.src"] or row["ipv6.src"], int(row["tcp.srcport"])),
                "seq": int(row["tcp.seq"]), "len": int(row["tcp.len"]),
                "ack": int(row["tcp.ack"]), "flags": int(row["tcp.flags"], 16),
            })

    def part(self, stream, sender, first, past):
        """(frames that carried [first, past) of that direction for the first time, the frame that
        acknowledged its last byte), counted byte by byte from tshark's seq, len and ack."""
        missing = [(first + 1, past + 1)]
        carried, acked = [], None
        for row in self.rows:
            if row["stream"] != stream:
                continue
            if row["from"] == sender:
                left = []
                for low, high in missing:
                    a, b = max(low, row["seq"]), min(high, row["seq"] + row["len"])
                    if a >= b:
                        left.append((low, high))
                        continue
                    carried.append(row["frame"])
                    left += [piece for piece in ((low, a), (b, high)) if piece[0] < piece[1]]
                missing = left
            elif acked is None and row["flags"] & 0x10 and row["ack"] >= past + 1:
                acked = row["frame"]
        return sorted(set(carried)), acked


def split_address(text):
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


def assert_agrees_with_tshark(folder, dump, lines):
    """frames, seq, len, next_seq and acking frame of every part equal what tshark says."""
    segments = Segments(dump)
    logged = {line["id"]: line for line in log.read_lines(os.path.join(folder, "proxy.ndjson"))}
    compared = 0
    for line in lines:
        for name, leg in legs(line):
            for part in PARTS:
                if not leg[part]:
                    continue
                ours = part == "request" if name == "backend" else part != "request"
                sender = split_address(logged[line["id"]][name]["local" if ours else "peer"])
                first, past = logged[line["id"]][name][part]
                frames, acked = segments.part(leg["stream"], sender, first, past)
                found = leg[part]
                assert found["seq"] == first + 1 and found["next_seq"] == past + 1
                assert found["frames"] == frames, (line["id"], name, part, frames, found)
                assert found["acked_in"] == acked, (line["id"], name, part, acked, found)
                compared += 1
    return compared


def comments(dump):
    """{frame: [comments]}"""
    rows = capture.tshark_fields(dump, "frame.number", "frame.comment")
    as_list = {}
    for row in rows:
        text = row["frame.comment"]
        as_list[int(row["frame.number"])] = text if isinstance(text, list) else [text] if text \
            else []
    return as_list


def settle(seconds=0.1):
    time.sleep(seconds)
