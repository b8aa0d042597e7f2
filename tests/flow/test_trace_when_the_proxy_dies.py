"""The proxy is killed: the tracer still records how its connections closed, finishes its files, and
ends by itself."""

import os
import time

import pytest

import capture
import log
from origin import response
import peer as peers
import trace
import traffic

pytestmark = pytest.mark.capture


def process_gone(pid, timeout_s=10):
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as f:
                if f.read().rsplit(")", 1)[1].split()[0] == "Z":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.01)
    return False


def test_sigkill_with_open_connections(origin, proxy, peer, tmp_path):
    backend = origin(traffic.answer_by_target)
    backend.forgive = True
    front = proxy(backend, trace=True)
    front.expected_status = -9
    tracer = trace.tracer_of(front)
    clients = [peer(front) for _ in range(3)]
    for client in clients:
        assert client.get("/size/100").status == 200
    trace.settle(0.1)
    began = time.monotonic()
    front.signal(9)
    front.wait()
    for client in clients:
        client.read_to_end()
        client.close()
    assert process_gone(tracer)
    assert time.monotonic() - began < 5
    conns = trace.conns(front.trace_dir)
    of_clients = [conn for conn in conns if conn["leg"] == "client"]
    assert len(of_clients) == 3
    for conn in conns:
        assert conn["close"]["by"] == "proxy", conn
        assert len(conn["close"]["frames"]) >= 1
    assert len(trace.flows(front.trace_dir)) == 3
    # all of it whole: read to the end without a complaint, statistics at the end
    rows = capture.tshark_fields(trace.dump_of(front.trace_dir), "frame.number")
    assert len(rows) == trace.told(front, "packets")
    assert capture.interface_statistics(trace.dump_of(front.trace_dir))
    assert_offline_agrees(front, tmp_path)


def assert_offline_agrees(front, tmp_path):
    flows, _ = trace.analyze(front.trace_dir, tmp_path / "offline",
                             trace.dump_of(front.trace_dir))
    live = [x for x in trace.flows(front.trace_dir) if x["end"] != "tap-lost"]
    logged = {x["id"] for x in log.read_lines(front.log_path)}
    assert flows == [x for x in live if x["id"] in logged]


def test_sigkill_within_an_exchange(origin, proxy, peer):
    """What was begun and never ended has a line all the same."""
    def hold(conn):
        conn.next_request()
        conn.recv_some()

    backend = origin(hold)
    backend.forgive = True
    front = proxy(backend, trace=True)
    front.expected_status = -9
    tracer = trace.tracer_of(front)
    client = peer(front)
    client.send(peers.request("/", body=b"x" * 5000, method="POST"))
    backend.wait_requests(1)
    trace.settle(0.1)
    front.signal(9)
    front.wait()
    client.read_to_end()
    client.close()
    assert process_gone(tracer)
    line, = trace.flows(front.trace_dir)
    assert line["end"] == "tap-lost" and line["status"] is None
    assert line["client"]["request"]["seq"] == 1
    assert line["client"]["request"]["missing_bytes"] == 0
    assert line["backend"]["request"]["frames"]
    assert line["backend"]["handshake"]["us"] is not None
    assert line["client"]["response"] is None


def test_terminated_in_the_middle_of_traffic(origin, proxy, tmp_path):
    """SIGTERM: what runs is finished, and the records are complete."""
    backend = origin(traffic.answer_by_target)
    front = proxy(backend, trace=True)
    traffic.run(front, kinds=(traffic.keep_alive, traffic.large))
    tracer = trace.tracer_of(front)
    front.stop()
    assert process_gone(tracer, 1)
    trace.check_folder(front.trace_dir)
    assert_offline_agrees(front, tmp_path)


def test_tracer_killed_leaves_readable_files_and_is_started_again(origin, proxy, peer):
    """Requests do not notice, and the next tracer begins a new dump beside the old one."""
    backend = origin(lambda conn: [conn.reply(response(b"y" * 50)) for _ in iter(
        conn.next_request, None)])
    front = proxy(backend, trace=True)
    client = peer(front)
    assert client.get("/one").status == 200
    client.close()
    trace.settle(0.5)  # more than the time between two flushes
    os.kill(trace.tracer_of(front), 9)
    client = peer(front)
    assert client.get("/two").status == 200
    client.close()
    front.wait_stderr(r"into .*: dump-2\.pcapng")
    client = peer(front)
    assert client.get("/three").status == 200
    client.close()
    front.stop()
    first = capture.tshark_fields(trace.dump_of(front.trace_dir), "tcp.len")
    assert sum(int(row["tcp.len"]) for row in first) > 0
    lines = trace.flows(front.trace_dir)
    named = {line["id"]: line["target"] for line in log.read_lines(front.log_path)}
    by_target = {named[line["id"]]: line for line in lines}
    assert "/three" in by_target and by_target["/three"]["dump"] == "dump-2.pcapng"
    assert by_target["/three"]["client"]["anchor"] == "syn"
