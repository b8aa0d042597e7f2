"""A log and a capture whose addresses or ports were changed by NAT: connections are matched by their
bytes, and what is found is what the unchanged capture shows. Where two fit, nothing is claimed."""

import os
import re

import pytest

import packets
import trace
import traffic

pytestmark = pytest.mark.capture


def start(origin, proxy):
    backend = origin(traffic.answer_by_target)
    backend.forgive = True
    return backend, proxy(backend, trace=True)


def translator(front, backend, keep_clients=False):
    """What a packet's ends become: other addresses everywhere, and other ports."""
    def change(ip, port):
        assert ip == "127.0.0.1"
        if port == front.port:
            return "198.51.100.1", 80
        if port == backend.port:
            return "203.0.113.80", 8888
        return ("127.0.0.1", port) if keep_clients else ("10.1.2.3", port ^ 0x55)

    return change


def analyzed(folder, found, out):
    """flows and conns that analyze makes of the folder's log and these packets; what it said."""
    path = os.path.join(out, "changed.pcap")
    os.makedirs(out)
    with open(path, "wb") as f:
        f.write(packets.pcap(found))
    said = trace.run("analyze", os.path.join(folder, "proxy.ndjson"), path, "--out", out).stderr
    return trace.flows(out), trace.conns(out), said


def same_but_dump(line, other):
    return {**line, "dump": None} == {**other, "dump": None}


def test_addresses_and_ports_changed(origin, proxy, tmp_path):
    backend, front = start(origin, proxy)
    traffic.run(front, clients=1)
    front.stop()
    found = packets.of_dump(trace.dump_of(front.trace_dir), tmp_path)
    change = translator(front, backend)
    plain, plain_conns, _ = analyzed(front.trace_dir, found, str(tmp_path / "plain"))
    lines, conns, said = analyzed(front.trace_dir,
                                  [(ns, packets.renamed(frame, change)) for ns, frame in found],
                                  str(tmp_path / "nat"))
    assert len(lines) == len(plain) > 20
    for line, other in zip(lines, plain):
        assert same_but_dump(line, other), (line, other)
    assert "told apart" not in said
    by_conn = {conn["conn"]: conn for conn in conns}
    for other in plain_conns:
        conn = by_conn[other["conn"]]
        assert conn["matched"] == "bytes" and conn["local"] == other["local"]
        for end in ("local", "peer"):
            ip, port = change(*trace.split_address(other[end]))
            assert conn["wire"][end] == f"{ip}:{port}"
        assert conn["history"] == other["history"] and conn["ids"] == other["ids"]


def test_one_leg_behind_nat(origin, proxy, tmp_path):
    """Captured on the backend's host, which knows the proxy under another address."""
    backend, front = start(origin, proxy)
    traffic.run(front)
    front.stop()
    found = packets.of_dump(trace.dump_of(front.trace_dir), tmp_path)
    change = translator(front, backend)
    found = [(ns, frame) for ns, frame in found
             if backend.port in (end[1] for end in packets.ends(frame))]
    plain, _, _ = analyzed(front.trace_dir, found, str(tmp_path / "plain"))
    lines, _, said = analyzed(front.trace_dir,
                              [(ns, packets.renamed(frame, change)) for ns, frame in found],
                              str(tmp_path / "nat"))
    assert len(lines) == len(plain) > 60 and "told apart" not in said
    for line, other in zip(lines, plain):
        assert same_but_dump(line, other), (line, other)
        assert line["client"]["stream"] is None


def alike(front):
    """Two connections with the same requests at the same time."""
    clients = [traffic.peers.Peer(front.address) for _ in range(2)]
    for client in clients + clients:
        assert client.get("/size/300").status == 200
    for client in clients:
        client.close()


def test_two_alike_are_not_told_apart(origin, proxy, tmp_path):
    backend, front = start(origin, proxy)
    alike(front)
    front.stop()
    found = packets.of_dump(trace.dump_of(front.trace_dir), tmp_path)
    change = translator(front, backend)
    lines, _, said = analyzed(front.trace_dir,
                              [(ns, packets.renamed(frame, change)) for ns, frame in found],
                              str(tmp_path / "nat"))
    assert re.search(r"\b2 connections could not be told apart", said), said
    assert len(lines) == 4
    for line in lines:
        assert line["client"]["stream"] is None and line["client"]["request"] is None
        assert line["backend"]["request"]["missing_bytes"] == 0  # its X-Request-Id tells


def test_an_end_that_kept_its_address_tells(origin, proxy, tmp_path):
    backend, front = start(origin, proxy)
    alike(front)
    front.stop()
    found = packets.of_dump(trace.dump_of(front.trace_dir), tmp_path)
    change = translator(front, backend, keep_clients=True)
    plain, _, _ = analyzed(front.trace_dir, found, str(tmp_path / "plain"))
    lines, _, said = analyzed(front.trace_dir,
                              [(ns, packets.renamed(frame, change)) for ns, frame in found],
                              str(tmp_path / "nat"))
    assert "told apart" not in said
    assert all(same_but_dump(line, other) for line, other in zip(lines, plain))


def test_a_pipe_is_not_read_twice(origin, proxy, tmp_path):
    backend, front = start(origin, proxy)
    traffic.keep_alive(front)
    front.stop()
    found = packets.of_dump(trace.dump_of(front.trace_dir), tmp_path)
    change = translator(front, backend)
    path = tmp_path / "nat.pcap"
    path.write_bytes(packets.pcap([(ns, packets.renamed(frame, change)) for ns, frame in found]))
    with open(path, "rb") as capture:
        done = trace.subprocess.run(
            [trace.stack.program("flowtrace"), "analyze",
             os.path.join(front.trace_dir, "proxy.ndjson"), "-", "--out", tmp_path / "out"],
            stdin=capture, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "it must be a file" in done.stderr, done.stderr
    lines = trace.flows(tmp_path / "out")
    assert len(lines) == 5
    assert all(line["client"]["stream"] is None for line in lines)
