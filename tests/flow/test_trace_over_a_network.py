"""Clients on another machine, as namespaces make one: two interfaces at once, and packets that are
lost. Retransmissions belong to the exchange whose bytes they repeat."""

import threading

import pytest

import capture
import log
import net
import peer as peers
import trace
import traffic

pytestmark = pytest.mark.capture


@pytest.fixture
def network():
    made = net.Net()
    try:
        made.start()
    except AssertionError as why:
        made.stop()
        pytest.skip(f"no namespaces can be made here: {why}")
    yield made
    made.stop()


@pytest.fixture
def front(network, origin, proxy):
    with net.inside(network.front):
        backend = origin(traffic.answer_by_target)
    backend.forgive = True
    return proxy(backend, trace=True, listen=(f"{net.FRONT}:0",), wrapper=network.wrapper)


def from_away(network, front, kind, errors):
    try:
        with net.inside(network.away):
            kind(front)
    except Exception as error:  # pylint: disable=broad-except
        errors.append(error)


def run_away(network, front, kinds, timeout_s=120):
    errors = []
    threads = [threading.Thread(target=from_away, args=(network, front, kind, errors))
               for kind in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout_s)
    assert not errors, errors


def test_two_interfaces_at_once(network, front, tmp_path):
    run_away(network, front, traffic.KINDS)
    front.stop()
    dump = trace.dump_of(front.trace_dir)
    lines = trace.flows(front.trace_dir)
    trace.check_folder(front.trace_dir, lines)
    trace.assert_agrees_with_tshark(front.trace_dir, dump, lines)
    trace.assert_offline_same(front, tmp_path)
    rows = capture.tshark_fields(dump, "frame.interface_name", "ip.src", "frame.p2p_dir",
                                 "frame.time_epoch")
    assert {row["frame.interface_name"] for row in rows} == {"lo", network.cable}
    times = [float(row["frame.time_epoch"]) for row in rows]
    assert times == sorted(times)
    for row in rows:
        if row["frame.interface_name"] == network.cable:
            assert row["frame.p2p_dir"] == ("0" if row["ip.src"] == net.FRONT else "1"), row
    assert len(capture.interface_statistics(dump)) == 2


def lossy_client(front):
    client = peers.Peer(front.address, timeout_s=60)
    for n in range(8):
        assert client.get(f"/size/{20000 + n}").status == 200
        assert client.post(b"u" * 30000).status == 200
    client.close()


def test_retransmission_is_attributed(network, front, tmp_path):
    network.lose(20, ways=("input",), larger_than=1000)
    run_away(network, front, [lossy_client] * 4)
    network.lose_nothing()
    front.stop(timeout_s=30)
    lines = trace.flows(front.trace_dir)
    trace.check_folder(front.trace_dir, lines)
    trace.assert_agrees_with_tshark(front.trace_dir, trace.dump_of(front.trace_dir), lines)
    trace.assert_offline_same(front, tmp_path)
    repeated = 0
    for line in lines:  # on loopback TCP repeats as well when the machine is busy: not asked
        for part in ("request", "response"):
            found = line["client"][part]
            assert found["missing_bytes"] == 0, line  # what was lost came again
            assert bool(found["retransmitted_in"]) == (found["retransmitted_bytes"] > 0)
            repeated += found["retransmitted_bytes"]
    assert repeated > 0
    assert repeated == repeated_by_tshark(front)


def repeated_by_tshark(front):
    """Bytes of the exchanges' parts on the client's leg that came a second time."""
    segments = trace.Segments(trace.dump_of(front.trace_dir))
    streams = {line["client"]["stream"] for line in trace.flows(front.trace_dir)}
    total = 0
    for stream in streams:
        for sender in {row["from"] for row in segments.rows if row["stream"] == stream}:
            seen = set()
            for row in segments.rows:
                if row["stream"] != stream or row["from"] != sender:
                    continue
                span = range(row["seq"], row["seq"] + row["len"])
                total += sum(1 for byte in span if byte in seen)
                seen.update(span)
    return total


def test_response_that_never_arrives(network, front, peer, tmp_path):
    """Nothing acknowledges it: the record says so, and what repeats it is attributed to it."""
    with net.inside(network.away):
        client = peer(front)
        assert client.get("/size/10").status == 200
        network.lose(100, ways=("input",))
        client.send(peers.request("/size/20"))
    trace.settle(1.5)
    front.stop()
    first, second = trace.flows(front.trace_dir)
    assert first["client"]["response"]["acked_in"] is not None
    lost = second["client"]["response"]
    assert second["status"] == 200 and second["end"] == "done"
    assert lost["acked_in"] is None and lost["ack_why"] == "not-seen"
    assert lost["missing_bytes"] == 0 and lost["retransmitted_bytes"] >= lost["len"]
    # the client, who hears nothing, sends its request again and again
    assert second["client"]["request"]["acked_in"] is not None
    assert second["client"]["request"]["retransmitted_bytes"] > 0
    assert second["phases_us"]["total"] is None
    assert second["phases_why"].startswith("client_response_acked: ")
    for line, logged in zip((first, second), log.read_lines(front.log_path)):
        trace.check_flow(line, logged)
    trace.assert_offline_same(front, tmp_path)
