"""A tunnel in the evidence: ranges of heads and both ways, comments, the dump, live and offline."""

import re
import signal

import pytest

import capture
import trace
from tunnels import check_line, echo, open_by

pytestmark = pytest.mark.capture

COMMENT = re.compile(r"req=([0-9a-f]{16}) leg=(client|backend) part=(\S+) "
                     r"(?:off=(\d+)-(\d+)|ack=(\d+))(?: of (\d+))?\Z")
WAYS = ("up", "down")


def tunnel_part(leg, part):
    return leg["tunnel"][part[7:]] if part.startswith("tunnel-") else leg[part]


def talk(origin, proxy, peer, **options):
    """A tunnel whose bytes come over a longer time than the tracer holds packets back, with half-close."""
    backend = origin(echo)
    front = proxy(backend, trace=True, settings={"trace.hold_ms": 100}, **options)
    client = peer(front)
    got = open_by(client, early=b"early")
    assert client.read_exactly(5) == b"EARLY"
    for size in (1, 3000, 200_000):
        trace.settle(0.2)
        client.send(b"a" * size)
        assert client.read_exactly(size) == b"A" * size
    client.send_with_fin(b"last")
    assert client.read_to_end() == (b"LAST", "eof")
    client.close()
    line = front.lines(1)[0]
    check_line(line, "tunnel-client", client, got, backend.conns[0])
    front.stop()
    return front, line


@pytest.fixture
def traced(origin, proxy, peer):
    return talk(origin, proxy, peer)


def test_the_records(traced, tmp_path):
    front, logged = traced
    line, = trace.flows(front.trace_dir)
    trace.check_folder(front.trace_dir, [line])
    assert trace.told(front, "dropped") == 0 and trace.told(front, "uncommented") == 0
    total = logged["client"]["tunnel"]["up"][1] - logged["client"]["tunnel"]["up"][0]
    assert total == 5 + 1 + 3000 + 200_000 + 4
    check_ranges(front, line, logged)
    conns = {conn["leg"]: conn for conn in trace.conns(front.trace_dir)}
    assert set(conns) == {"client", "backend"}
    for name, conn in conns.items():
        assert conn["ids"] == [line["id"]] and conn["stream"] == line[name]["stream"]
        assert conn["close"]["how"] == "fin"
    assert conns["client"]["close"]["by"] == "client"
    trace.analyze(front.trace_dir, tmp_path / "offline", trace.dump_of(front.trace_dir),
                  options=("--hold-ms", "100"))
    for name in ("flows.ndjson", "conns.ndjson"):
        assert trace.raw_lines(front.trace_dir, name) == trace.raw_lines(tmp_path / "offline", name)


def check_ranges(front, line, logged):
    """Both ways of both legs as tshark tells their frames, and as the log tells their bytes."""
    segments = trace.Segments(trace.dump_of(front.trace_dir))
    for name, leg in trace.legs(line):
        for way in WAYS:
            found, (first, past) = leg["tunnel"][way], logged[name]["tunnel"][way]
            ours = (way == "up") == (name == "backend")
            sender = trace.split_address(logged[name]["local" if ours else "peer"])
            assert (found["seq"], found["next_seq"]) == (first + 1, past + 1)
            assert found["missing_bytes"] == 0
            read = segments.part(leg["stream"], sender, first, past)
            assert (found["frames"], found["acked_in"]) == (read.frames, read.acked)


def test_the_comments(traced):
    """Every frame of a part says so and no other does, though most were written before its end."""
    front, _ = traced
    line, = trace.flows(front.trace_dir)
    carried, open_ended = {}, 0
    for frame, texts in trace.comments(trace.dump_of(front.trace_dir)).items():
        for text in texts:
            ident, leg, part, low, high, _, of = COMMENT.match(text).groups()
            assert ident == line["id"]
            open_ended += part.startswith("tunnel-") and of is None
            if low is not None:
                carried.setdefault((leg, part), {})[frame] = int(high) - int(low)
    parts = ["request", "response", "tunnel-up", "tunnel-down"]
    assert set(carried) == {(leg, part) for leg in ("client", "backend") for part in parts}
    for (name, part), frames in carried.items():
        found = tunnel_part(line[name], part)
        assert sorted(frames) == sorted(set(found["frames"]) | set(found["retransmitted_in"]))
        assert sum(frames.values()) == found["len"] + found["retransmitted_bytes"]
    assert open_ended > 8


def test_the_dump_opens_without_a_warning(traced):
    front, _ = traced
    path = trace.dump_of(front.trace_dir)
    rows = capture.tshark_fields(path, "frame.number", "http.upgrade")
    assert len(rows) == trace.told(front, "packets")
    assert sum("websocket" in row["http.upgrade"] for row in rows) == 4


def test_the_proxy_dies_within_it(origin, proxy, peer):
    """The record says tap-lost, and the tunnel reaches as far as the packets do."""
    front = proxy(origin(echo), trace=True)
    front.expected_status = -signal.SIGKILL
    client = peer(front)
    open_by(client)
    client.send(b"x" * 1000)
    assert client.read_exactly(1000) == b"X" * 1000
    trace.settle()
    front.signal(signal.SIGKILL)
    front.wait()
    line, = trace.wait_flows(front.trace_dir, 1)
    assert line["end"] == "tap-lost"
    for name, leg in trace.legs(line):
        assert [leg["tunnel"][way]["len"] for way in WAYS] == [1000, 1000], (name, leg)
