"""Connections that begin or carry in ways that most do not, by the kernel's own hand: bytes in the SYN
(TCP Fast Open), one packet that passes several interfaces."""

import collections
import socket

import pytest

import capture
import log
import net
import network
import peer as peers
import tcp_info
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


@pytest.mark.parametrize("interfaces, devices", [("bridge0 down0 up0", 3), ("any", 3)])
def test_one_packet_on_several_interfaces(lossy, origin, proxy, tmp_path, interfaces, devices):
    """Clients come by way of a bridge, so that each of their packets is seen on the bridge and on its
    port, whether the interfaces are captured one by one or all as `any`. The copies stand in no list:
    what was carried again is what TCP sent again."""
    worse = dict(network.ROUGH, drop_ppm=150000)  # of few frames, since they are large
    rough = lossy(seed=21, client=(network.ROUGH, worse), offload=True)
    for command in ("link add bridge0 type bridge", f"address del {network.FRONT}/24 dev down0",
                    "link set down0 master bridge0",
                    f"address add {network.FRONT}/24 dev bridge0", "link set bridge0 up"):
        net.run("ip", "-n", rough.proxy, *command.split())
    _, front = rough.front(origin, proxy, traffic.answer_by_target,
                           settings={"trace.interfaces": interfaces})

    def kind(front):
        client = peers.Peer(front.address, timeout_s=60)
        for n in range(10):
            assert client.get(f"/size/{20000 + n}").status == 200
            assert client.post(b"u" * 9000).status == 200
        return client

    clients = rough.run_clients(front, [kind] * 3)
    counted = tcp_info.wait_quiet([rough.proxy])[rough.proxy]
    rough.still()
    for client in clients:
        client.close()
    front.stop(timeout_s=30)
    lines = trace.flows(front.trace_dir)
    trace.assert_offline_same(front, tmp_path)
    repeated = collections.Counter()
    logged = {line["id"]: line for line in log.read_lines(front.log_path)}
    for line in lines:
        for name, ours in (("client", "response"), ("backend", "request")):
            ends = logged[line["id"]][name]["local"], logged[line["id"]][name]["peer"]
            repeated[ends] += line[name][ours]["retransmitted_bytes"]
            for part in ("request", "response"):
                trace.check_part(line[name], part, logged[line["id"]][name][part])
                assert line[name][part]["missing_bytes"] == 0, line
    assert repeated == {ends: counted[ends].bytes_retrans for ends in repeated}
    assert sum(repeated.values()) > 0
    field = "sll.ifindex" if interfaces == "any" else "frame.interface_id"
    rows = capture.tshark_fields(trace.dump_of(front.trace_dir), field)
    assert len({row[field] for row in rows}) == devices
