"""The same run in tunnels, in IP fragments and among ICMP errors: the same records, and every packet
numbered as tshark does."""

import random

import pytest

import capture
import packets
import trace

RUN = packets.Run(connections=4, exchanges=4)
WRAPPED = [packets.vlan, lambda frame: packets.vlan(packets.vlan(frame), 9, 0x88a8), packets.mpls,
           packets.pppoe, packets.ip_in_ip, packets.gre, packets.gre_bridged, packets.erspan,
           packets.vxlan, packets.vxlan_of_linux, packets.geneve,
           lambda frame: packets.vlan(packets.gre(packets.geneve(packets.mpls(frame))))]


def analyzed(tmp_path, made):
    """(flows, segments) of the run's log and these packets."""
    RUN.write_log(tmp_path / "in.ndjson")
    (tmp_path / "in.pcap").write_bytes(packets.pcap(made))
    trace.run("analyze", tmp_path / "in.ndjson", tmp_path / "in.pcap", "--out", tmp_path / "out",
              "--segments")
    return trace.flows(tmp_path / "out"), trace.segments(tmp_path / "out")


def assert_numbered_as_by_tshark(tmp_path, lines):
    rows = capture.tshark_fields(
        tmp_path / "in.pcap", "frame.number", "tcp.stream", "tcp.seq", "tcp.len", "tcp.ack",
        display_filter="tcp.len && !icmp",
        options=("-o", "tcp.desegment_tcp_streams:FALSE", "-d", "udp.port==8472,vxlan"))
    theirs = [[int(value) for value in row.values()] for row in rows]
    assert theirs == [[line["frame"], line["stream"], line["seq"], line["len"], line["ack"] or 0]
                      for line in lines]


@pytest.fixture(name="plain", scope="module")
def plain_run(tmp_path_factory):
    flows, lines = analyzed(tmp_path_factory.mktemp("plain"), RUN.packets)
    assert len(flows) == 16 and len(lines) == len(RUN.packets)
    return flows, lines


@pytest.mark.parametrize("number", range(len(WRAPPED)))
def test_tunnels(tmp_path, plain, number):
    flows, lines = analyzed(tmp_path, [(ns, WRAPPED[number](frame)) for ns, frame in RUN.packets])
    assert flows == plain[0] and lines == plain[1]
    assert_numbered_as_by_tshark(tmp_path, lines)


def renumbered(value, frames, key=None):
    """A record with its frame numbers replaced."""
    if isinstance(value, dict):
        return {k: renumbered(v, frames, k) for k, v in value.items()}
    if isinstance(value, list):
        return [renumbered(v, frames, key) for v in value]
    is_frame = key in ("frames", "retransmitted_in", "acked_in") and value is not None
    return frames[value] if is_frame else value


def cut(seed, wrap=lambda frame: frame):
    """(packets, {frame in the plain run: the frame that completes its datagram})"""
    order = random.Random(seed)
    made, frames = [], {}
    for number, (ns, frame) in enumerate(RUN.packets, 1):
        pieces = packets.fragments(frame, [order.randrange(24, 200, 8) for _ in range(20)]) \
            if len(frame) > 200 else [frame]
        order.shuffle(pieces)
        if len(pieces) > 1 and order.random() < 0.3:
            pieces.insert(0, pieces[0]) # one comes twice
        made += [(ns, wrap(piece)) for piece in pieces]
        frames[number] = len(made)
    return made, frames


@pytest.mark.parametrize("wrap", [lambda frame: frame, packets.vxlan, packets.mpls])
def test_fragments_in_any_order(tmp_path, plain, wrap):
    made, frames = cut(5, wrap)
    assert len(made) > 2 * len(RUN.packets)
    flows, lines = analyzed(tmp_path, made)
    assert flows == renumbered(plain[0], frames)
    assert_numbered_as_by_tshark(tmp_path, lines)
    shown = trace.run("show", tmp_path / "out", flows[3]["id"]).stdout
    assert f"{flows[3]['client']['response']['frames'][0]}" in shown and "2000" in shown


def test_fragments_that_never_come(tmp_path, plain):
    """Their datagrams are not there: that is told, and nothing is claimed of them."""
    made, _ = cut(6)
    lost = [i for i, packet in enumerate(made)
            if packet[1][20] & 0x20 and made.count(packet) == 1][5]
    flows, lines = analyzed(tmp_path, made[:lost] + made[lost + 1:])
    missing = [leg[part]["missing_bytes"] for line in flows for _, leg in trace.legs(line)
               for part in ("request", "response")]
    assert sorted(set(missing)) in ([0, RUN.REQUEST], [0, RUN.RESPONSE])
    assert sum(map(bool, missing)) == 1
    assert_numbered_as_by_tshark(tmp_path, lines)
    done = trace.run("analyze", tmp_path / "in.ndjson", tmp_path / "in.pcap", "--out", tmp_path / "again")
    assert "1 IP datagrams were left out: fragments of them are missing" in done.stderr
    assert len(lines) == len(plain[1]) - 1


def test_icmp_errors(tmp_path, plain):
    """What they quote is no segment. One of a SYN that was not captured takes a stream number."""
    order = random.Random(7)
    made, frames = [], {}
    for number, (ns, frame) in enumerate(RUN.packets, 1):
        made.append((ns, frame))
        frames[number] = len(made)
        if order.random() < 0.3:
            made.append((ns + 1, packets.unreachable(frame, order.choice([28, 36, 40, 60, 500]))))
    flows, lines = analyzed(tmp_path, made)
    assert flows == renumbered(plain[0], frames)
    assert_numbered_as_by_tshark(tmp_path, lines)
    stranger = packets.Wire([], ("192.0.2.77", 7777), (packets.PROXY, 8585))
    stranger.open(0)
    for quoted, streams in ((28, 0), (40, 1)):
        quote = (packets.T0, packets.unreachable(stranger.packets[0][1], quoted))
        flows, lines = analyzed(tmp_path, [quote, *RUN.packets])
        assert {line["stream"] for line in lines} == {n + streams for n in range(8)}
        assert_numbered_as_by_tshark(tmp_path, lines)
