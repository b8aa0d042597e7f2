"""Real transfers over cables that lose, double and disorder: every byte that TCP sent again is
found and belongs to the right exchange, and what the records say is what tshark's fields say.

TCP itself is the witness: `tcpi_bytes_retrans` of each sender at the end. Where the capture sits at
the sender, all of them must be in it; behind the loss it can show only those that arrived.
"""

import collections
import os

import pytest

import capture
import log
import network
import peer as peers
import tcp_info
import trace
import traffic

pytestmark = pytest.mark.capture

KIB = 1024
HOLD_MS = 10000  # a lost ACK may be asked for again seconds later
ACK_LOSS = {"delay_us": 1000, "drop_ppm": 150000}
DATA_LOSS = {"delay_us": 1000, "drop_ppm": 25000}
BURSTS = {"delay_us": 2000, "drop_ppm": 6000, "burst_ppm": 700000}
DISORDER = {"delay_us": 1000, "reorder_ppm": 60000, "reorder_us": 4000, "drop_ppm": 3000}
DOUBLES = {"delay_us": 500, "duplicate_ppm": 60000, "duplicate_us": 300, "drop_ppm": 5000}
NARROW = {"delay_us": 2000, "rate_kbit": 30000, "queue_bytes": 60000}

# name: the client's cable, the backend's (both ways, or up and down), and what else
MIXES = {
    "loss": dict(client=DATA_LOSS, backend=DATA_LOSS, seed=11),
    "loss of those who send little": dict(client=(ACK_LOSS, DATA_LOSS),
                                          backend=(DATA_LOSS, ACK_LOSS), seed=12),
    "bursts": dict(client=BURSTS, backend=BURSTS, seed=13),
    "disorder": dict(client=DISORDER, backend=DISORDER, seed=14),
    "doubles": dict(client=DOUBLES, backend=DOUBLES, seed=15),
    "all of it": dict(client=network.ROUGH, backend=network.ROUGH, seed=16),
    "narrow": dict(client=NARROW, backend=NARROW, seed=17, congestion="reno"),
    "large segments": dict(client=DATA_LOSS, backend=DATA_LOSS, seed=18, offload=True),
    "large segments, disorder": dict(client=DISORDER, backend=DISORDER, seed=19, offload=True,
                                     congestion="reno"),
}




def client(large):
    """A keep-alive connection, which stays open until TCP was asked about it."""

    def kind(front):
        peer = peers.Peer(front.address, timeout_s=60)
        for n in range(20):
            size = (300, 5000, 64 * KIB)[n % 3]
            assert peer.get(f"/size/{size + n}").body_bytes == size + n
            assert peer.post(os.urandom(size)).status == 200
        if large:
            assert peer.get(f"/size/{KIB * KIB}").body_bytes == KIB * KIB
            assert peer.post(os.urandom(KIB * KIB)).status == 200
        return peer

    return kind


class Run:
    """One run, with a tcpdump at each far end, and what TCP said when all was quiet: `resent` is
    {(namespace, local, peer): bytes}."""

    def __init__(self, made, origin, proxy, tmp_path):
        self.made, self.tmp_path = made, tmp_path
        backend, self.front = made.front(origin, proxy, traffic.answer_by_target,
                                         settings={"trace.hold_ms": HOLD_MS})
        expression = f"tcp port {self.front.port} or tcp port {backend.port}"
        far = [capture.Tcpdump(tmp_path / f"{where}.pcap", expression, interface=device,
                               options=("--immediate-mode", "-s", "128", "-B", "32768"),
                               wrapper=("ip", "netns", "exec", name))
               for where, name, device in (("client", made.client, "up0"),
                                           ("backend", made.backend, "down0"))]
        clients = made.run_clients(self.front, [client(n == 0) for n in range(3)])
        self.resent = self._ask_tcp(clients, backend.conns)
        for each in far:
            assert each.stop() == 0
        self.far = {"client": far[0].path, "backend": far[1].path}
        made.still()
        for each in clients:
            each.close()
        self.front.stop(timeout_s=30)
        self.lines = trace.flows(self.front.trace_dir)
        self.logged = {x["id"]: x for x in log.read_lines(self.front.log_path)}

    def _ask_tcp(self, clients, backend_conns):
        quiet = tcp_info.wait_quiet(self.made.names)
        for name, ours in ((self.made.client, clients), (self.made.backend, backend_conns)):
            for each in ours:
                assert tcp_info.of_socket(each.sock).bytes_retrans == \
                    quiet[name][each.local_text, each.remote_text].bytes_retrans
        return {(name, *ends): counted.bytes_retrans
                for name, found in quiet.items() for ends, counted in found.items()}

    def repeated(self, lines, leg, part):
        """{(proxy's end, peer): bytes}: what these records say was carried again of that part."""
        sums = collections.Counter()
        for line in lines:
            if line[leg] and line[leg][part]:
                logged = self.logged[line["id"]][leg]
                sums[logged["local"], logged["peer"]] += line[leg][part]["retransmitted_bytes"]
        return sums

    def seen_from(self, where):
        """The records of the capture that was taken at that far end."""
        lines, _ = trace.analyze(self.front.trace_dir, self.tmp_path / f"at-{where}",
                                 self.far[where], options=("--hold-ms", HOLD_MS))
        return lines


def check_at_the_sender(run):
    """The capture at whoever sends has every byte that TCP sent again, no more and no less."""
    proxy, total = run.made.proxy, 0
    for leg, part in (("client", "response"), ("backend", "request")):
        for ends, found in run.repeated(run.lines, leg, part).items():
            assert found == run.resent[proxy, *ends], (leg, part, ends)
            total += found
    for leg, part, name in (("client", "request", run.made.client),
                            ("backend", "response", run.made.backend)):
        for (local, peer), found in run.repeated(run.seen_from(leg), leg, part).items():
            assert found == run.resent[name, peer, local], (leg, part, peer)
            total += found
    assert total == sum(run.resent.values()) > 0


def check_behind_the_loss(run, doubled):
    """Of what was lost on the way the proxy's capture shows only the second copy: at most what was
    sent again, unless the cable itself doubles."""
    for leg, part, name in (("client", "request", run.made.client),
                            ("backend", "response", run.made.backend)):
        for (local, peer), found in run.repeated(run.lines, leg, part).items():
            assert found <= run.resent[name, peer, local] or doubled, (leg, part, peer)
    for line in run.lines:
        for _, leg in trace.legs(line):
            for part in ("request", "response"):
                assert leg[part]["missing_bytes"] == 0, line  # what was lost came again
                assert bool(leg[part]["retransmitted_in"]) == bool(leg[part]["retransmitted_bytes"])


def check_time_lost(run):
    """No phase lost more than it took, nothing was lost where nothing was sent again, and some was:
    a sender waits for a timer or for duplicate ACKs."""
    some = False
    for line in run.lines:
        resent = any(leg[part]["retransmitted_bytes"] or "retransmission" in leg.get("labels", {})
                     for _, leg in trace.legs(line) for part in ("request", "response"))
        for phase, lost in line.get("lost_us", {}).items():
            assert lost["retransmission"] <= line["phases_us"][phase], line
            assert lost["zero_window"] <= line["phases_us"][phase], line
            assert resent or not lost["retransmission"], line
            some = some or lost["retransmission"] > 0
    assert some


@pytest.mark.parametrize("mix", MIXES)
def test_every_byte_sent_again_is_attributed(lossy, origin, proxy, tmp_path, mix):
    run = Run(lossy(**MIXES[mix]), origin, proxy, tmp_path)
    assert len(run.lines) == 3 * 40 + 2
    assert trace.told(run.front, "dropped") == 0
    check_at_the_sender(run)
    check_behind_the_loss(run, doubled="double" in mix or "all" in mix)
    check_time_lost(run)
    trace.check_folder(run.front.trace_dir, run.lines)
    assert trace.assert_agrees_with_tshark(run.front.trace_dir, trace.dump_of(run.front.trace_dir),
                                           run.lines) == 4 * len(run.lines)
    trace.assert_offline_same(run.front, tmp_path, options=("--hold-ms", HOLD_MS))
