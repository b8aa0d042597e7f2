"""Connections that begin or carry in ways that most do not, by the kernel's own hand: bytes in the SYN
(TCP Fast Open), one packet that passes several interfaces."""

import socket

import pytest

import capture
import net
import network
import peer as peers
import trace
import traffic

pytestmark = pytest.mark.capture

FAST_OPEN = 0x1 | 0x2 | 0x4 | 0x200 | 0x400  # either side, without a cookie, for every listener


class FastPeer(peers.Peer):
    """Its first bytes travel in the SYN."""

    def __init__(self, address, first):  # pylint: disable=super-init-not-called
        sock = socket.socket()  # without a time limit: it returns when it is connected
        sock.sendto(first, socket.MSG_FASTOPEN, address)
        super(peers.Peer, self).__init__(sock, 30)
        self.sent = len(first)


def test_bytes_in_the_syn(lossy, origin, proxy, tmp_path):
    calm = lossy()
    for name in calm.names:
        calm.sysctl(name, "ipv4/tcp_fastopen", FAST_OPEN)
    _, front = calm.front(origin, proxy, traffic.answer_by_target)
    raw = peers.request("/size/300", body=b"x" * 200, method="POST")

    def fast(front):
        client = FastPeer(front.address, raw)
        assert client.read_response("POST").body_bytes == 300
        assert client.get("/size/5").status == 200
        client.close()

    for _ in range(3):
        calm.run_clients(front, [fast])
    # the SYN is lost: its bytes come again
    calm.client_link.set(up={"drop_next": 1})
    calm.run_clients(front, [fast])
    front.stop(timeout_s=30)
    dump = trace.dump_of(front.trace_dir)
    lines = trace.flows(front.trace_dir)
    trace.check_folder(front.trace_dir, lines)
    assert trace.assert_agrees_with_tshark(front.trace_dir, dump, lines) == 4 * 8
    trace.assert_offline_same(front, tmp_path)
    opened = [line for line in lines if line["client"]["nth"] == 1]
    for line in opened[:3]:
        leg = line["client"]
        assert leg["request"]["frames"] == leg["handshake"]["frames"][:1]
        assert leg["request"]["acked_in"] == leg["handshake"]["frames"][1]
        assert leg["request"]["len"] == len(raw) and leg["anchor"] == "syn"
    with_bytes = capture.tshark_fields(dump, "frame.number",
                                       display_filter="tcp.flags.syn==1 && tcp.len>0")
    assert len(with_bytes) >= 3


def test_one_packet_on_several_interfaces(lossy, origin, proxy, tmp_path):
    """The proxy's machine routes to itself by way of two more interfaces, and `-i any` sees each
    packet on both: the copies stand in no list, whatever the cable loses."""
    rough = lossy(seed=21, client=network.ROUGH)
    net.run("ip", "-n", rough.proxy, "link", "add", "bridge0", "type", "bridge")
    net.run("ip", "-n", rough.proxy, "address", "del", f"{network.FRONT}/24", "dev", "down0")
    net.run("ip", "-n", rough.proxy, "link", "set", "down0", "master", "bridge0")
    net.run("ip", "-n", rough.proxy, "address", "add", f"{network.FRONT}/24", "dev", "bridge0")
    net.run("ip", "-n", rough.proxy, "link", "set", "bridge0", "up")
    with net.inside(rough.backend):
        backend = origin(traffic.answer_by_target, address=(network.BACKEND, 0))
    front = proxy(backend, trace=True, listen=(f"{network.FRONT}:0",), wrapper=rough.wrapper,
                  settings={"trace.interfaces": "bridge0 down0 up0"})
    any_of_them = capture.Tcpdump(tmp_path / "any.pcap",
                                  f"tcp port {front.port} or tcp port {backend.port}",
                                  interface="any", options=("-B", "65536"), wrapper=rough.wrapper)

    def kind(front):
        client = peers.Peer(front.address, timeout_s=60)
        for n in range(10):
            assert client.get(f"/size/{20000 + n}").status == 200
            assert client.post(b"u" * 9000).status == 200
        client.close()

    rough.run_clients(front, [kind] * 3)
    front.stop(timeout_s=30)
    assert any_of_them.stop(drain_s=1.5) == 0
    lines = trace.flows(front.trace_dir)
    trace.check_folder(front.trace_dir, lines)
    trace.assert_offline_same(front, tmp_path)
    theirs, _ = trace.analyze(front.trace_dir, tmp_path / "theirs", any_of_them.path)
    cooked = {line["id"]: line for line in theirs}
    repeated = 0
    for line in lines:
        for name, leg in trace.legs(line):
            for part in ("request", "response"):
                ours, again = leg[part], cooked[line["id"]][name][part]
                for key in ("len", "retransmitted_bytes", "missing_bytes"):
                    assert ours[key] == again[key], (line["id"], name, part, ours, again)
                assert len(ours["frames"]) == len(again["frames"])
                repeated += ours["retransmitted_bytes"] if name == "client" else 0
        assert line["backend"]["request"]["retransmitted_bytes"] == 0
    assert repeated > 0
    seen = {}
    for row in capture.tshark_fields(any_of_them.path, "sll.ifindex"):
        seen[row["sll.ifindex"]] = seen.get(row["sll.ifindex"], 0) + 1
    assert len(seen) == 3, seen  # both of the client's way, and the backend's
