"""For every request and response of a mixed run: frames, seq, len, next_seq and the acknowledging
frame equal what tshark's fields say of dump.pcapng; and the dump's comments say the same."""

import re

import pytest

import capture
import trace
import traffic

pytestmark = pytest.mark.capture


@pytest.fixture
def traced(origin, proxy):
    backend = origin(traffic.answer_by_target)
    backend.forgive = True
    front = proxy(backend, trace=True)
    traffic.run(front)
    traffic.run(front, kinds=(traffic.failing,), clients=1)
    front.stop()
    return front


def test_every_part(traced):
    lines = trace.flows(traced.trace_dir)
    compared = trace.assert_agrees_with_tshark(traced.trace_dir,
                                               trace.dump_of(traced.trace_dir), lines)
    assert compared > 150


def test_streams_are_counted_alike(traced):
    rows = capture.tshark_fields(trace.dump_of(traced.trace_dir), "frame.number", "tcp.stream",
                                 "tcp.flags.syn")
    first = {}
    for row in rows:
        first.setdefault(int(row["tcp.stream"]), int(row["frame.number"]))
    for conn in trace.conns(traced.trace_dir):
        assert first[conn["stream"]] == conn["handshake"]["frames"][0], conn


COMMENT = re.compile(r"req=([0-9a-f]{16}) leg=(client|backend) "
                     r"part=(request|interim|response|tunnel-up|tunnel-down) "
                     r"(?:off=(\d+)-(\d+)|ack=(\d+))(?: of (\d+))?\Z")


def test_comments_say_what_the_records_say(traced):
    """Every frame of a part bears a comment of it and no other frame does; lengths are right."""
    carried, acked = {}, {}
    for frame, texts in trace.comments(trace.dump_of(traced.trace_dir)).items():
        for text in texts:
            match = COMMENT.match(text)
            assert match, text
            key = match.group(1, 2, 3)
            if match.group(4):
                carried.setdefault(key, {})[frame] = (int(match.group(4)), int(match.group(5)),
                                                      match.group(7))
            else:
                acked.setdefault(key, {})[frame] = (int(match.group(6)), match.group(7))
    for line in trace.flows(traced.trace_dir):
        for name, leg in trace.legs(line):
            for part in ("request", "response"):
                found = leg[part]
                if not found:
                    continue
                key = (line["id"], name, part)
                frames = sorted(set(found["frames"]) | set(found["retransmitted_in"]))
                assert sorted(carried[key]) == frames, (key, carried[key], found)
                assert sum(b - a for a, b, _ in carried[key].values()) == \
                    found["len"] + found["retransmitted_bytes"], (key, carried[key], found)
                lengths = {of for _, _, of in carried[key].values()}
                if line["end"] == "done":  # else the declared length is not the true one
                    assert lengths <= {None, str(found["len"])}, (key, lengths)
                if found["acked_in"]:
                    assert acked[key][found["acked_in"]][0] == found["len"], (key, acked[key])


def test_dump_is_read_without_a_warning(traced, tmp_path):
    path = trace.dump_of(traced.trace_dir)
    rows = capture.tshark_fields(path, "frame.number", "frame.p2p_dir", "tcp.srcport")
    assert len(rows) == trace.told(traced, "packets")
    for row in rows:
        sent = int(row["tcp.srcport"]) == traced.port
        if sent:
            assert row["frame.p2p_dir"] == "0", row  # outbound
    statistics = capture.interface_statistics(path)
    assert len(statistics) == 1
    assert statistics[0]["ifrecv"] >= len(rows) and statistics[0]["ifdrop"] == 0
    for command in (["tcpdump", "-nr", path], ["capinfos", path],
                    ["editcap", path, str(tmp_path / "copy.pcapng")]):
        done = trace.subprocess.run(command, capture_output=True, text=True, timeout=60,
                                    check=False)
        assert done.returncode == 0, done.stderr
        said = [line for line in done.stderr.splitlines()
                if line and not line.startswith("reading from file")]
        assert not said, said
