"""What `flowtrace show` prints of a real run: the table against the records, every segment of every
ladder against tshark, colours on a terminal only, no line over 100 columns."""

import os
import pty
import re
import subprocess

import pytest

import capture
import log
from origin import echo
import peer as peers
import stack
import trace
import wire

pytestmark = pytest.mark.capture

COLUMNS = 100
ROW = re.compile(r" *(-?\d+\.\d{3}) +(\d+)    ([|<>\- ]{17})    (\[[A-Z,]*\]) +(\d+) +(\d+) +(\d+|-)"
                 r"  (.*)\Z")
TABLE_ROW = re.compile(r"([0-9a-f]{8}) (\d\d:\d\d:\d\d\.\d{3}) (\S+ \S+) +(\d{3}) +([\d.]+ [mu]?s) "
                       r"(\d+)#(\d+)(\*?) +(\d+) (\S.*)\Z")
FLAGS = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"]


def show(*arguments, status=0, env=None):
    done = subprocess.run([stack.program("flowtrace"), "show", *arguments], capture_output=True,
                          timeout=60, check=False, env=dict(os.environ, **(env or {})))
    assert done.returncode == status, done.stderr.decode()
    assert (done.stderr == b"") == (status == 0), done.stderr.decode()
    text = done.stdout.decode()
    for line in text.splitlines():
        assert len(line) <= COLUMNS, line
    return text


@pytest.fixture
def traced(origin, proxy, peer):
    """Pipelined requests in one segment, a large body, keep-alive, one closed by the client."""
    front = proxy(origin(echo), trace=True)
    one = peer(front)
    one.send(peers.request("/first") + peers.request("/second", body=b"x" * 50, method="POST"))
    assert [one.read_response().status for _ in range(2)] == [200, 200]
    one.post(b"y" * 300000, "/large")
    two = peer(front)
    for n in range(3):
        two.post(b"z" * n * 7, f"/a/rather/long/target/that/has/to/be/cut/{n}.asmx")
    two.exchange(peers.request("/chunks", ["Transfer-Encoding: chunked"], method="PUT")
                 + wire.chunked(b"some", b" words"))
    one.close()
    two.close()
    front.stop()
    return front.trace_dir


def test_the_table_says_what_the_records_say(traced):
    lines = trace.flows(traced)
    text = show(traced)
    rows = [m for m in map(TABLE_ROW.match, text.splitlines()) if m]
    assert len(rows) == len(lines) == 7, text
    by_id = {line["id"][:8]: line for line in lines}
    for row in rows:
        line = by_id[row.group(1)]
        assert row.group(2) == line["start"][11:23]
        assert int(row.group(4)) == line["status"]
        backend = line["backend"]
        assert (int(row.group(6)), int(row.group(7))) == (backend["conn"], backend["nth"])
        assert row.group(8) == ("" if backend["reused"] else "*")
        assert int(row.group(9)) == sum(
            leg[part]["retransmitted_bytes"] for leg in (line["client"], backend)
            for part in ("request", "response"))
        phases = dict(line["phases_us"])
        total = phases.pop("total")
        largest = max(phases.values())
        word, share = re.match(r"(\w+) (\d+)%", row.group(10)).groups()
        assert phases[word] == largest and abs(int(share) - largest * 100 / total) <= 0.5
    requests = [row.group(3) for row in rows]
    assert "GET /first" in requests and "PUT /chunks" in requests
    assert text.rstrip().splitlines()[-2 if "sent again" in text else -1].count("exchange") == 1


def test_targets_are_cut_for_the_locale(traced):
    plain = show(traced, env={"LC_ALL": "C"})
    utf8 = show(traced, env={"LC_ALL": "C.UTF-8"})
    assert "POST /a/rather/...cut/2.asmx " in plain and plain.isascii()
    assert "POST /a/rather/l\u2026/cut/2.asmx " in utf8


def labels_of(line, frame):
    return [word for _, leg in trace.legs(line) for word, told in leg.get("labels", {}).items()
            if frame in told["frames"]]


def listed_frames(line):
    """All that the record names."""
    frames = set()
    for leg in (line["client"], line["backend"]):
        for part in ("request", "response"):
            frames |= set(leg[part]["frames"]) | set(leg[part]["retransmitted_in"])
            frames.add(leg[part]["acked_in"])
        for event in ("handshake", "close"):
            frames |= set(leg[event]["frames"]) if leg[event] else set()
    return frames - {None}


def flags_of(word):
    return sum(1 << FLAGS.index(flag) for flag in word.strip("[]").split(",") if flag)


def arrow_of(line, seen, front_port):
    """Where the arrow of a packet must stand, and point to."""
    client_leg = str(front_port) in (seen["tcp.srcport"], seen["tcp.dstport"])
    proxy_sends = seen["tcp.srcport"] == str(front_port) if client_leg \
        else seen["tcp.dstport"] == line["backend_port"]
    half = "<------" if client_leg == proxy_sends else "------>"
    return f"|{half}|       |" if client_leg else f"|       |{half}|"


def check_ladder(text, line, seen, front_port):
    rows = [m for m in map(ROW.match, text.splitlines()) if m]
    frames = [int(row.group(2)) for row in rows]
    assert frames == sorted(set(frames))
    assert listed_frames(line) <= set(frames), (line, frames)
    zero = float(seen[line["client"]["request"]["frames"][0]]["frame.time_epoch"])
    for row in rows:
        packet = seen[int(row.group(2))]
        where = f"frame {row.group(2)} of {line['id']}:\n{text}"
        assert int(row.group(5)) == int(packet["tcp.seq"]), where
        assert int(row.group(6)) == int(packet["tcp.len"]), where
        assert flags_of(row.group(4)) == int(packet["tcp.flags"], 16), where
        assert row.group(7) == (packet["tcp.ack"] if flags_of(row.group(4)) & 16 else "-"), where
        assert abs(float(row.group(1)) - (float(packet["frame.time_epoch"]) - zero) * 1000) < 0.005
        assert row.group(3) == arrow_of(line, packet, front_port), where
        assert row.group(8)
        words = labels_of(line, int(row.group(2)))
        assert all(word in text for word in words), where
        if int(row.group(2)) not in listed_frames(line) and not words:
            assert "ack of" in row.group(8), where
    return rows


def test_every_ladder_agrees_with_tshark(traced):
    fields = ["frame.number", "frame.time_epoch", "tcp.srcport", "tcp.dstport", "tcp.seq", "tcp.len",
              "tcp.ack", "tcp.flags"]
    seen = {int(p["frame.number"]): p
            for p in capture.tshark_fields(trace.dump_of(traced), *fields)}
    logged = {line["id"]: line for line in log.read_lines(os.path.join(traced, "proxy.ndjson"))}
    checked = 0
    for line in trace.flows(traced):
        log_line = logged[line["id"]]
        line["backend_port"] = log_line["backend"]["peer"].rpartition(":")[2]
        front_port = log_line["client"]["local"].rpartition(":")[2]
        text = show(traced, line["id"][:9])
        assert text.startswith(f"{log_line['method']} ")
        checked += len(check_ladder(text, line, seen, front_port))
        for name in ("request", "response"):
            part = line["backend"][name]
            assert f"seq {part['seq']} + len {part['len']} = next {part['next_seq']}" in text
    assert checked > 60


def test_pipelined_requests_share_a_segment(traced):
    """Each ladder shows its own bytes of the frame that carried both."""
    first, second = [next(line for line in trace.flows(traced) if line["client"]["conn"] == 1
                          and line["client"]["nth"] == nth) for nth in (1, 2)]
    shared = set(first["client"]["request"]["frames"]) & set(second["client"]["request"]["frames"])
    assert len(shared) == 1
    lengths = [line["client"]["request"]["len"] for line in (first, second)]
    for line, mine, other in ((first, *lengths), (second, *lengths[::-1])):
        text = " ".join(show(traced, line["id"]).split())
        assert f"request 0-{mine} of {mine}" in text
        assert f"{other} bytes of another exchange" in text


def test_colours_on_a_terminal_only(traced):
    def on_terminal(env):
        mine, theirs = pty.openpty()
        with subprocess.Popen([stack.program("flowtrace"), "show", traced],
                              stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
                              env=dict(os.environ, **env)) as child:
            os.close(theirs)
            text = b""
            while True:
                try:
                    piece = os.read(mine, 65536)
                except OSError:  # the terminal's other end is closed
                    break
                text += piece
                if not piece:
                    break
            os.close(mine)
            assert child.wait(30) == 0
        return text.decode()

    coloured = on_terminal({"TERM": "xterm", "NO_COLOR": ""})
    assert "\x1b[" in coloured
    plain = re.sub(r"\x1b\[\d+m", "", coloured).replace("\r\n", "\n")
    assert plain == show(traced)
    assert "\x1b" not in on_terminal({"TERM": "xterm", "NO_COLOR": "1"})
    assert "\x1b" not in on_terminal({"TERM": "dumb", "NO_COLOR": ""})


def test_a_reader_that_goes_away(traced):
    """`flowtrace show DIR | head -0` ends without a word."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([stack.program("flowtrace"), "show", traced], stdout=write,
                          stderr=subprocess.PIPE, timeout=60, check=False, restore_signals=True)
    os.close(write)
    assert done.stderr == b""
    assert done.returncode != 0


def test_wrong_usage():
    for arguments in ([], ["a", "xyz"], ["a", "12", "c"], ["a", "12", "--story"], ["--nothing"]):
        done = subprocess.run([stack.program("flowtrace"), "show", *arguments],
                              capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr.startswith("flowtrace: error: ") and done.stderr.count("\n") == 1
    text = show("-h")
    assert text.startswith("usage: flowtrace show DIR|FLOWS") and "--story" in text
