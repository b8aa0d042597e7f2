"""A tracer that attaches, or comes back after a crash, in the middle of live keep-alive connections:
it finds their sequence numbers by what the proxy tells and the packets prove, and never wrong ones.

The truth is a tcpdump of the SYNs, which runs since before the first connection.
FLOWPROXY_ANCHORS=20000 goes on until so many were found (minutes); what was found is printed.
"""

import datetime
import json
import os
import re
import signal
import time

import pytest

import capture
import manners
import network
from origin import response
import peer as peers
import stack
import trace
import tunnels

pytestmark = pytest.mark.capture

ANCHORS = int(os.environ.get("FLOWPROXY_ANCHORS", "200"))
IS_LONG = ANCHORS > 1000
LOSSY = {"delay_us": 1500, "jitter_us": 1000, "drop_ppm": 40000, "duplicate_ppm": 5000,
         "duplicate_us": 700, "reorder_ppm": 20000, "reorder_us": 3000}
NOTE = re.compile(r"anchor(?: seq=(\d+@\d+|none))?(?: ack=(\d+@\d+|none))?$")
YOUNG_S = 0.2  # the captures are younger than a pause they could tell


class Truth:
    """The initial sequence numbers of everything that connects, by a tcpdump per interface."""

    def __init__(self, tmp_path, interfaces, wrapper=()):
        self.dumps = [capture.Tcpdump(tmp_path / f"syn-{name}.pcap", "tcp[tcpflags] & tcp-syn != 0",
                                      interface=name, options=("-B", "16384", "-s", "128"),
                                      wrapper=wrapper) for name in interfaces]

    def stop(self):
        """{(sender, receiver): number}"""
        isns = {}
        for dump in self.dumps:
            assert dump.stop(drain_s=1.2) == 0
            for row in capture.tshark_fields(dump.path, "ip.src", "tcp.srcport", "ip.dst",
                                             "tcp.dstport", "tcp.seq_raw"):
                ends = ((row["ip.src"], int(row["tcp.srcport"])),
                        (row["ip.dst"], int(row["tcp.dstport"])))
                assert isns.setdefault(ends, int(row["tcp.seq_raw"])) == int(row["tcp.seq_raw"])
        return isns


def notes_of(dump):
    """[(sender of the bytes, receiver, seq, offset)]; seq None: withdrawn."""
    found = []
    for row in capture.tshark_fields(dump, "ip.src", "tcp.srcport", "ip.dst", "tcp.dstport",
                                     "frame.comment", display_filter='frame.comment contains "anchor "'):
        sender = (row["ip.src"], int(row["tcp.srcport"]))
        receiver = (row["ip.dst"], int(row["tcp.dstport"]))
        texts = row["frame.comment"]
        matches = [NOTE.match(text) for text in ([texts] if isinstance(texts, str) else texts)]
        note, = [match for match in matches if match]
        for text, ends in ((note.group(1), (sender, receiver)), (note.group(2), (receiver, sender))):
            if text:
                seq, _, off = text.partition("@")
                found.append((*ends, None, 0) if seq == "none" else (*ends, int(seq), int(off)))
    return found


def judge(dump, isns):
    """(right, wrong, withdrawn) of the anchors in a dump."""
    right = withdrawn = 0
    wrong = []
    for sender, receiver, seq, off in notes_of(dump):
        if seq is None:
            withdrawn += 1
        elif (seq - off - 1) % 2 ** 32 == isns[sender, receiver]:
            right += 1
        else:
            wrong.append((sender, receiver, seq, off, isns[sender, receiver]))
    return right, wrong, withdrawn


def parts(line):
    """(leg's name, leg, part's name) of all that the line says something of."""
    return [(name, leg, part) for name, leg in trace.legs(line) for part in trace.PARTS if leg[part]]


def assert_true(lines, logged, dump, isns):
    """Each part that was mapped is where the true numbers put it."""
    segments = trace.Segments(dump, isns)
    compared = 0
    for line in lines:
        for name, leg, part in parts(line) if line["end"] != "tap-lost" else ():
            ours = part == "request" if name == "backend" else part != "request"
            theirs = logged[line["id"]][name]
            first, past = theirs[part]
            sender = trace.split_address(theirs["local" if ours else "peer"])
            truth = segments.part(leg["stream"], sender, first, past)
            assert leg[part]["seq"] == first + 1 and leg[part]["len"] == past - first
            assert leg[part]["frames"] == truth.frames, (line["id"], name, part)
            compared += 1
    return compared


def assert_offline_same(folder, dump, lines, out):
    """`analyze` of that dump says the same of each exchange; the log alone has more of them."""
    offline, _ = trace.analyze(folder, out, dump)
    by_id = {line["id"]: line for line in offline}
    for line in lines:
        if line["end"] != "tap-lost":
            assert by_id[line["id"]] == line


def real_s(stamp):
    """Seconds since 1970 of a stamp in the records, to microseconds."""
    return datetime.datetime.fromisoformat(stamp[:26] + "+00:00").timestamp()


class Attachments:
    """A tracer attached again and again, each time for so long."""

    def __init__(self, tap, folder, wrapper=()):
        self.tap, self.folder, self.wrapper = tap, str(folder), wrapper
        self.spans = []

    def dump(self, number):
        return trace.dump_of(self.folder,
                             "dump.pcapng" if number == 0 else f"dump-{number + 1}.pcapng")

    def attach(self, seconds):
        """How many anchors it found."""
        tracer = trace.Capture(self.tap, self.folder, wrapper=self.wrapper)
        began = time.time()
        trace.settle(seconds)
        self.spans.append((began + YOUNG_S, time.time()))
        tracer.stop()
        return len([note for note in notes_of(self.dump(len(self.spans) - 1)) if note[2] is not None])


def objects(path):
    """The lines of an NDJSON file one by one: there may be a million."""
    with open(path, encoding="utf-8") as f:
        yield from map(json.loads, f)


class Verdict:
    """What became of the anchors in several dumps of a folder, and of the exchanges that began after
    them. spans: {dump: (since, until)}; compared: dumps to look at frame by frame."""

    def __init__(self, folder, isns, spans, compared):
        self.isns = isns
        self.right = self.withdrawn = self.after = self.mapped = self.compared = 0
        self.wrong = []
        ends, self.lines, self.logged = {}, {name: [] for name in compared}, {}
        for line in objects(os.path.join(folder, "proxy.ndjson")):
            ends[line["id"]] = real_s(line["start"]) + (line["at_us"]["response_end"] or 0) / 1e6
        for line in objects(os.path.join(folder, "flows.ndjson")):
            self._add(line, ends[line["id"]], *spans.get(line["dump"], (0, 0)))
            if line["dump"] in self.lines:
                self.lines[line["dump"]].append(line)
        for name in spans:
            self._judge(os.path.join(folder, name))
        wanted = {line["id"] for lines in self.lines.values() for line in lines}
        for line in objects(os.path.join(folder, "proxy.ndjson")):
            if line["id"] in wanted:
                self.logged[line["id"]] = line

    def _add(self, line, end_s, since, until):
        if line["end"] == "done" and since <= real_s(line["start"]) and end_s <= until:
            self.after += 1
            self.mapped += len(parts(line)) == 4

    def _judge(self, dump):
        right, wrong, withdrawn = judge(dump, self.isns)
        self.right += right
        self.wrong += wrong
        self.withdrawn += withdrawn

    def compare(self, folder, tmp_path):
        """Frame by frame with the truth, and offline with live."""
        for name, lines in self.lines.items():
            dump = os.path.join(folder, name)
            self.compared += assert_true(lines[::1 if IS_LONG else 4], self.logged, dump, self.isns)
            assert_offline_same(folder, dump, lines, tmp_path / f"offline-{name}")

    def __str__(self):
        return (f"{self.right} anchors right, {len(self.wrong)} wrong, {self.withdrawn} withdrawn; "
                f"{self.mapped} of {self.after} later exchanges mapped; {self.compared} parts compared")


# ---- a network that loses ------------------------------------------------------------------------

def test_no_wrong_anchor_where_packets_are_lost(lossy, proxy, tmp_path):
    made = lossy(seed=8, client=LOSSY, backend=LOSSY)
    truth = Truth(tmp_path, ("down0", "up0"), made.wrapper)
    backend = stack.Tool("load-origin", "--listen", network.BACKEND,
                         wrapper=("ip", "netns", "exec", made.backend))
    tap = tmp_path / "trace.sock"
    front = proxy(backend, listen=(f"{network.FRONT}:0",), wrapper=made.wrapper,
                  settings={"trace.control": tap})
    clients = manners.Clients(front.address, 100 if IS_LONG else 40, made.client)
    attached = Attachments(tap, tmp_path / "trace", made.wrapper)
    found = 0
    while found < ANCHORS:
        found += attached.attach(2 if IS_LONG else 1.5)
    made.still()
    clients.stop()
    front.stop(timeout_s=30)
    backend.stop()
    linked(front, tmp_path)
    spans = {os.path.basename(attached.dump(n)): span for n, span in enumerate(attached.spans)}
    verdict = Verdict(attached.folder, truth.stop(), spans, list(spans)[1::20])
    verdict.compare(attached.folder, tmp_path)
    print(verdict)
    assert not verdict.wrong and verdict.right >= ANCHORS
    # Where packets are lost in the moment of a position, the one after the next exchange has to do.
    assert verdict.mapped >= 0.95 * verdict.after > 100


# ---- a crash -------------------------------------------------------------------------------------

def test_killed_and_started_again_by_the_proxy(proxy, tmp_path):
    truth = Truth(tmp_path, ("lo",))
    backend = stack.Tool("load-origin")
    front = proxy(backend, trace=True)
    clients = manners.Clients(front.address, 5)
    trace.wait_flows(front.trace_dir, 1)
    os.kill(trace.tracer_of(front), signal.SIGKILL)
    front.wait_stderr(r"capturing on .*: dump-2\.pcapng", 20)
    began = time.time()
    trace.settle(0.8)
    until = time.time()
    clients.stop()
    front.stop()
    backend.stop()
    verdict = Verdict(front.trace_dir, truth.stop(), {"dump-2.pcapng": (began + YOUNG_S, until)},
                      ["dump-2.pcapng"])
    verdict.compare(front.trace_dir, tmp_path)
    print(verdict)
    assert not verdict.wrong and not verdict.withdrawn and verdict.right >= 12
    assert verdict.mapped == verdict.after > 20
    for conn in trace.conns(front.trace_dir):
        assert conn["dump"] != "dump-2.pcapng" or conn["anchor"] != "none" or not conn["ids"], conn


# ---- what runs when it attaches ------------------------------------------------------------------

def test_tunnel_that_was_open(origin, proxy, peer, tmp_path):
    """Its ways are told on attach: what goes through it is named before it ends."""
    backend = origin(tunnels.echo)
    tap = tmp_path / "trace.sock"
    front = proxy(backend, settings={"trace.control": tap})
    client = peer(front)
    got = tunnels.open_by(client)
    client.send(b"before")
    assert client.read_exactly(6) == b"BEFORE"
    tracer = trace.Capture(tap, tmp_path / "trace")
    for _ in range(5):
        trace.settle(YOUNG_S)
        client.send(b"a" * 600)
        assert client.read_exactly(600) == b"A" * 600
    trace.settle(0.3)
    tracer.stop()
    line, = trace.flows(tmp_path / "trace")
    client.close()
    logged, = front.lines(1)
    assert line["id"] == logged["id"] and line["end"] == "tap-lost"
    assert abs(real_s(line["start"]) - real_s(logged["start"])) < 0.01
    for name, leg in trace.legs(line):
        assert leg["anchor"] == "position" and leg["handshake"] is None
        for way in ("up", "down"):
            part = leg["tunnel"][way]
            assert part["seq"] == logged[name]["tunnel"][way][0] + 1, (name, way, part)
            assert (part["len"], part["missing_bytes"]) == (3006, 6), (name, way, part)
            assert part["frames"] and part["acked_in"]
        assert leg["request"]["missing_bytes"] == leg["request"]["len"] > 0
        assert leg["request"]["acked_in"] is None
    assert line["client"]["response"]["len"] == got.range[1]
    comments = "\n".join(sum(trace.comments(trace.dump_of(tmp_path / "trace")).values(), []))
    for leg in ("client", "backend"):
        assert f"leg={leg} part=tunnel-up off=" in comments, comments


def test_exchange_that_was_running(origin, proxy, peer, tmp_path):
    """What came of it before the tracer is missing, and told to be; nothing of it is made up. The
    backend's connection is known with the next request on it. An exchange that was over by then has
    no line, offline too."""

    def slow(conn):
        assert conn.next_request() is not None
        conn.reply(response(b"before"))
        assert conn.next_request() is not None
        conn.reply(response(b"x" * 5000)[:2000])
        conn.origin.wait_release()
        conn.reply(response(b"x" * 5000)[2000:])
        assert conn.next_request() is not None
        conn.reply(response(b"next"))
        assert conn.next_request() is None

    backend = origin(slow)
    tap = tmp_path / "trace.sock"
    front = proxy(backend, settings={"trace.control": tap})
    client = peer(front)
    assert client.get("/before").status == 200
    client.send(peers.request("/running"))
    early = client.read_exactly(2000)
    tracer = trace.Capture(tap, tmp_path / "trace")
    trace.settle(YOUNG_S)
    backend.release()
    _, logged = front.lines(2)
    first, past = logged["client"]["response"]
    client.read_exactly(past - first - len(early))
    assert client.get("/next").status == 200
    client.close()
    tracer.stop()
    line, after = trace.flows(tmp_path / "trace")
    assert after["backend"]["conn"] == line["backend"]["conn"] and len(parts(after)) == 4
    trace.check_flow(line, logged)
    for name, leg in trace.legs(line):
        assert leg["anchor"] == "position", (name, leg)
    assert line["backend"]["response"]["missing_bytes"] == 2000
    assert 0 < line["client"]["response"]["missing_bytes"] <= 2000 + 200
    assert line["phases_us"] is None or line["phases_us"]["total"] is None
    offline, conns = trace.analyze(linked(front, tmp_path), tmp_path / "offline",
                                   trace.dump_of(tmp_path / "trace"))
    assert offline == [line, after]
    for ours, theirs in zip(trace.conns(tmp_path / "trace"), conns, strict=True):
        assert theirs["exchanges"] == ours["exchanges"] + 1  # the log knows one more
        for key in ("leg", "conn", "stream", "anchor", "history", "close"):
            assert ours[key] == theirs[key], key


def linked(front, tmp_path):
    """The folder of the records, with the log in it."""
    os.symlink(front.log_path, tmp_path / "trace" / "proxy.ndjson")
    return tmp_path / "trace"
