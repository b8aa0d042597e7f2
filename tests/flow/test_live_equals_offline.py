"""A live run and `analyze` of its own files give the same lines, in the same order."""

import os

import pytest

import capture
import peer as peers
import random_peers
import trace
import traffic

pytestmark = pytest.mark.capture


def start(origin, proxy, **options):
    backend = origin(traffic.answer_by_target)
    backend.forgive = True
    return backend, proxy(backend, trace=True, **options)


def test_every_kind_of_traffic(origin, proxy, tmp_path):
    _, front = start(origin, proxy)
    traffic.run(front)
    traffic.run(front, kinds=(traffic.failing,), clients=2)
    front.stop()
    lines = trace.assert_offline_same(front, tmp_path)
    trace.check_folder(front.trace_dir, lines)
    assert trace.told(front, "exchanges") == len(lines)
    assert trace.told(front, "dropped") == 0
    assert trace.told(front, "uncommented") == 0
    for line in lines:
        for _, leg in trace.legs(line):
            assert leg["anchor"] == "syn", line
            for part in trace.PARTS:
                assert leg[part] is None or leg[part]["missing_bytes"] == 0, line


def test_peers_that_misbehave_at_random(proxy, tmp_path):
    backend = random_peers.Backend(77)
    front = proxy(backend, trace=True, settings=random_peers.SETTINGS)
    run = random_peers.Run(77, 600, front.address)
    run.run()
    front.stop()
    backend.stop()
    assert not run.errors and not backend.faults
    lines = trace.assert_offline_same(front, tmp_path)
    assert {x["id"] for x in lines} == {x["id"] for x in front.lines(len(lines))}
    assert trace.told(front, "uncommented") == 0


def test_tunnel_for_longer_than_hold(origin, proxy, peer, tmp_path):
    """What goes through it long after its 101 still counts, and the record waits for its end."""
    _, front = start(origin, proxy, settings={"trace.hold_ms": 100})
    client = peer(front)
    client.send(peers.request("/tunnel", ["Upgrade: websocket", "Connection: Upgrade"]))
    assert client.read_response().status == 101
    for _ in range(4):
        trace.settle(0.3)
        client.send(b"ping")
        assert client.read_exactly(4) == b"PING"
    traffic.keep_alive(front)
    client.half_close()
    client.expect_eof()
    client.close()
    front.stop()
    lines = trace.assert_offline_same(front, tmp_path, options=("--hold-ms", "100"))
    line, = [x for x in lines if x["status"] == 101]
    assert line["end"] == "tunnel-client"
    for name, leg in trace.legs(line):
        for way in ("up", "down"):
            assert leg["tunnel"][way]["len"] == 16, (name, leg)
            assert len(leg["tunnel"][way]["frames"]) == 4
            assert leg["tunnel"][way]["missing_bytes"] == 0


def test_several_workers(origin, proxy, tmp_path):
    _, front = start(origin, proxy, settings={"proxy.workers": 4})
    traffic.run(front, clients=6)
    front.stop()
    trace.check_folder(front.trace_dir, trace.assert_offline_same(front, tmp_path))


def test_exchanges_given_out_while_the_run_goes_on(origin, proxy, tmp_path):
    """With a short hold most lines are written long before the end."""
    _, front = start(origin, proxy, settings={"trace.hold_ms": 100})
    for _ in range(5):
        traffic.run(front, kinds=(traffic.keep_alive, traffic.pipelined, traffic.closing))
        trace.settle(0.2)
    written = len(trace.wait_flows(front.trace_dir, 100))
    assert written >= 100
    front.stop()
    trace.assert_offline_same(front, tmp_path, options=("--hold-ms", "100"))


def test_headers_only(origin, proxy, tmp_path):
    _, front = start(origin, proxy, settings={"trace.payload": "headers"})
    traffic.run(front)
    front.stop()
    trace.assert_offline_same(front, tmp_path)
    rows = capture.tshark_fields(trace.dump_of(front.trace_dir), "frame.cap_len", "frame.len",
                                 "tcp.len")
    assert max(int(row["frame.len"]) for row in rows) > 10000
    for row in rows:
        assert int(row["frame.len"]) - int(row["frame.cap_len"]) == int(row["tcp.len"])


def test_ipv6(origin, proxy, tmp_path):
    _, front = start(origin, proxy, listen=("[::1]:0",))
    traffic.run(front, clients=1)
    front.stop()
    lines = trace.assert_offline_same(front, tmp_path)
    trace.check_folder(front.trace_dir, lines)
    assert trace.conns(front.trace_dir)[0]["local"].startswith("[::1]:")


SAME_FOR_ANYBODY = ("seq", "len", "next_seq", "retransmitted_bytes", "missing_bytes")


def shape(line):
    """What another capture of the same packets must tell: all but frame numbers and times."""
    legs = {}
    for name, leg in trace.legs(line):
        parts = {part: {**{k: leg[part][k] for k in SAME_FOR_ANYBODY},
                        "frames": len(leg[part]["frames"]),
                        "acked": leg[part]["acked_in"] is not None}
                 for part in trace.PARTS if leg[part]}
        close = leg["close"]
        legs[name] = (leg["conn"], leg["nth"], leg["anchor"], parts,
                      leg["handshake"] and len(leg["handshake"]["frames"]),
                      close and (close["by"], close["how"], len(close["frames"])))
    return line["id"], line["status"], line["end"], legs


def test_tcpdump_alongside_tells_the_same(origin, proxy, tmp_path):
    backend, front = start(origin, proxy)
    beside = capture.Tcpdump(tmp_path / "beside.pcap",
                             f"tcp port {front.port} or tcp port {backend.port}",
                             options=("-B", "65536"))
    traffic.run(front)
    front.stop()
    assert beside.stop(drain_s=2) == 0
    live = trace.flows(front.trace_dir)
    theirs, _ = trace.analyze(front.trace_dir, tmp_path / "theirs", beside.path)
    assert sorted(map(shape, live)) == sorted(map(shape, theirs))
    assert {line["dump"] for line in theirs} == {"beside.pcapng"}
    assert os.path.exists(tmp_path / "theirs" / "beside.pcapng")
