"""Running flowtrace, reading what it wrote, and what tshark says of the same dump."""

import os
import subprocess
import time

import capture
import log
import stack
import tls_mode

PARTS = ("request", "interim", "response")
# With address and undefined behaviour sanitizers, for inputs that may do harm.
SANITIZED = "flowtrace" if stack.SLOW else "sanitized/flowtrace"


def run(*arguments, status=0, timeout_s=120, program="flowtrace"):
    """flowtrace with these arguments, which must end with that status (None: any). What it printed."""
    done = subprocess.run([stack.program(program), *map(str, arguments)], capture_output=True,
                          text=True, timeout=timeout_s, check=False)
    assert not stack.REPORTS.search(done.stderr), done.stderr
    assert status in (None, done.returncode), f"{done.args}: {done.returncode}\n{done.stderr}"
    return done


def analyze(folder, out, *captures, options=()):
    """flows.ndjson and conns.ndjson made offline of a folder's log and these captures."""
    run("analyze", os.path.join(folder, "proxy.ndjson"), *captures, "--out", out, *options)
    return flows(out), conns(out)


def flows(folder):
    return log.read_lines(os.path.join(folder, "flows.ndjson"))


def conns(folder):
    return log.read_lines(os.path.join(folder, "conns.ndjson"))


def segments(folder):
    return log.read_lines(os.path.join(folder, "segments.ndjson"))


def raw_lines(folder, name):
    with open(os.path.join(folder, name), "rb") as f:
        return f.read().splitlines()


def dump_of(folder, name="dump.pcapng"):
    return os.path.join(folder, name)


class Capture(stack.Process):
    """`flowtrace capture` attached to a running proxy."""

    def __init__(self, tap, out, *options, wait=True, wrapper=()):
        super().__init__([*wrapper, stack.program("flowtrace"), "capture", "--tap", str(tap), "--out",
                          str(out), *map(str, options)])
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


def tracer_of(front):
    """Its pid: the proxy's one child."""
    with open(f"/proc/{front.pid}/task/{front.pid}/children", encoding="ascii") as f:
        children = f.read().split()
    assert len(children) == 1, children
    return int(children[0])


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
            check_part(leg, part, logged[name][part], line["drops"] > 0)
        check_labels(leg)
    check_phases(line)


def check_part(leg, name, logged, lossy=False):
    part = leg[name]
    logged = tls_mode.wire(logged)
    if logged is None or leg["anchor"] == "none":
        assert part is None, (name, leg)
        return
    if part is None and (lossy or leg["anchor"] == "position"):
        return  # of one direction the numbers are not known
    assert part["seq"] == logged[0] + 1 and part["next_seq"] == logged[1] + 1, (name, part)
    assert part["len"] == logged[1] - logged[0]
    assert part["frames"] == sorted(set(part["frames"]))
    if part["missing_bytes"] == 0:
        assert part["frames"], (name, leg)
    assert (part["acked_in"] is None) == ("ack_why" in part), part


AGAIN = ("retransmission", "duplicate", "keep-alive", "zero-window-probe")


def check_labels(leg):
    """What carried bytes again has a label that says so; and the labels' own form."""
    labels, theirs = leg.get("labels", {}), leg.get("ws", {})
    for told in [*labels.values(), *theirs.values()]:
        assert told["frames"] == sorted(set(told["frames"])), leg
        assert len(told["frames"]) == min(told["count"], 100) > 0, leg
    if any(told["count"] > 100 for told in labels.values()):
        return
    named = {frame for word in AGAIN for frame in labels.get(word, {"frames": []})["frames"]}
    for part in PARTS:
        assert not leg[part] or set(leg[part]["retransmitted_in"]) <= named, (part, leg)


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
    """Of a connection without exchanges the log says nothing: neither number nor opening nor TLS."""
    return {k: v for k, v in line.items() if k not in ("conn", "opened", "tls")}


def assert_same_conns(live, offline):
    assert len(live) == len(offline), (live, offline)
    for ours, theirs in zip(live, offline):
        if theirs["conn"] is None:
            assert ours["exchanges"] == 0
            ours, theirs = without_names(ours), without_names(theirs)
        assert ours == theirs


def assert_offline_same(front, tmp_path, options=()):
    """`analyze` of a live run's own files gives the same lines in the same order."""
    out = tmp_path / "offline"
    analyze(front.trace_dir, out, dump_of(front.trace_dir), options=options)
    assert raw_lines(front.trace_dir, "flows.ndjson") == raw_lines(out, "flows.ndjson")
    assert_same_conns(conns(front.trace_dir), conns(out))
    return flows(front.trace_dir)


# ---- tshark's view ----


class Segments:
    """The TCP segments of a dump as tshark's fields tell, by stream and direction. `seq` and `ack`
    count from the initial number, in 32 bits, where a SYN or its answer is in the dump, or where
    `isns` has it: {(sender, receiver): number}."""

    FIELDS = ("frame.number", "tcp.stream", "ip.src", "ipv6.src", "tcp.srcport", "ip.dst",
              "ipv6.dst", "tcp.dstport", "tcp.seq_raw", "tcp.len", "tcp.ack_raw", "tcp.flags",
              "frame.time_epoch")

    def __init__(self, path, isns=None):
        self.rows = []
        self.streams = {}
        self.isns = isns or {}
        for row in capture.tshark_fields(path, *self.FIELDS, display_filter="tcp",
                                         options=("-o", "tcp.desegment_tcp_streams:FALSE")):
            self._add({
                "frame": int(row["frame.number"]),
                "stream": int(row["tcp.stream"]),
                "from": (row["ip.src"] or row["ipv6.src"], int(row["tcp.srcport"])),
                "to": (row["ip.dst"] or row["ipv6.dst"], int(row["tcp.dstport"])),
                "seq": int(row["tcp.seq_raw"]), "len": int(row["tcp.len"]),
                "ack": int(row["tcp.ack_raw"]), "flags": int(row["tcp.flags"], 16),
                "time": row["frame.time_epoch"],
            })

    def _add(self, row):
        stream = self.streams.setdefault(row["stream"], {"rows": [], "isn": {}})
        isn, acks = stream["isn"], row["flags"] & 0x10
        if row["flags"] & 0x02:
            isn.setdefault(row["from"], row["seq"])
            if acks:
                isn.setdefault(row["to"], row["ack"] - 1)
        for ends in ((row["from"], row["to"]), (row["to"], row["from"])):
            if ends in self.isns:
                isn.setdefault(ends[0], self.isns[ends])
        isn.setdefault(row["from"], row["seq"] - 1)
        if acks:
            isn.setdefault(row["to"], row["ack"] - 1)
        row["seq"] = (row["seq"] - isn[row["from"]]) & 0xffffffff
        row["ack"] = (row["ack"] - isn[row["to"]]) & 0xffffffff if acks else 0
        row["seq"] += (row["flags"] & 0x02) >> 1  # what a SYN carries stands behind it
        stream["rows"].append(row)
        self.rows.append(row)

    def part(self, stream, sender, first, past):
        """What tshark's seq, len and ack say of [first, past) of that direction, counted byte by
        byte."""
        found = Reading(first + 1, past + 1)
        for row in self.streams[stream]["rows"]:
            if row["from"] == sender:
                found.carry(row)
            elif found.acked is None and row["flags"] & 0x10 and row["ack"] >= past + 1:
                found.acked = row["frame"]
        return found


class Reading:
    """The bytes [low, high) of a direction: frames that carried some of them for the first time,
    those that carried some again, how many bytes that were, and the first ACK of the last one."""

    def __init__(self, low, high):
        self.low, self.high = low, high
        self.missing = [(low, high)]
        self.frames, self.again = [], []
        self.again_bytes = 0
        self.acked = None

    def carry(self, row):
        low, high = max(self.low, row["seq"]), min(self.high, row["seq"] + row["len"])
        if low >= high:
            return
        left, new = [], 0
        for a, b in self.missing:
            c, d = max(low, a), min(high, b)
            if c >= d:
                left.append((a, b))
                continue
            new += d - c
            left += [piece for piece in ((a, c), (d, b)) if piece[0] < piece[1]]
        self.missing = left
        if new:
            self.frames.append(row["frame"])
        if new < high - low:
            self.again.append(row["frame"])
            self.again_bytes += high - low - new

    def missing_bytes(self):
        return sum(b - a for a, b in self.missing)


def split_address(text):
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


def assert_agrees_with_tshark(folder, dump, lines):
    """Each part's frames, acking frame, and what was carried again equal what tshark says."""
    segments = Segments(dump)
    logged = {line["id"]: line for line in log.read_lines(os.path.join(folder, "proxy.ndjson"))}
    compared = 0
    for line in lines:
        for name, leg in legs(line):
            for part in PARTS:
                if not leg[part] or leg["anchor"] != "syn":
                    continue  # without its SYN a dump alone does not tell where it begins
                ours = part == "request" if name == "backend" else part != "request"
                sender = split_address(logged[line["id"]][name]["local" if ours else "peer"])
                first, past = logged[line["id"]][name][part]
                read, found = segments.part(leg["stream"], sender, first, past), leg[part]
                where = (line["id"], name, part, vars(read), found)
                assert found["seq"] == first + 1 and found["next_seq"] == past + 1, where
                assert found["frames"] == read.frames, where
                assert found["acked_in"] == read.acked, where
                assert found["retransmitted_in"] == read.again, where
                assert found["retransmitted_bytes"] == read.again_bytes, where
                assert found["missing_bytes"] == read.missing_bytes(), where
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
