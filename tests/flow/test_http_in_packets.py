"""HTTP read from packets alone: every kind of message, in any segmentation and order, and captures
that miss packets. What is said of an exchange is true or not said: each response here has a status
of its own, so that a wrong pair shows."""

import gzip
import os
import random

import pytest

import capture
import log
import packets
import trace

CAPTURES = os.path.join(os.path.dirname(__file__), "../../../shared/captures")


def analyzed(found, folder):
    """proxy.ndjson and flows.ndjson that analyze makes of these packets, by target."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "made.pcap")
    with open(path, "wb") as f:
        f.write(packets.pcap(found))
    trace.run("analyze", path, "--out", folder)
    lines = log.read_lines(os.path.join(folder, "proxy.ndjson"))
    flows = {line["id"]: line for line in trace.flows(folder)}
    assert len(flows) == len(lines) and all(line["id"] in flows for line in lines)
    by_target = {line["target"]: (line, flows[line["id"]]) for line in lines}
    assert len(by_target) == len(lines), lines
    return by_target


class Talk:
    """One connection whose messages are told apart by target and status."""

    def __init__(self, segment=1000, number=0):
        self.packets, self.truth, self.segment = [], {}, segment
        self.prefix = f"/{number:03}" if number else ""
        self.wire = packets.Wire(self.packets, (packets.CLIENT, 40000 + number),
                                 (packets.PROXY, 80), isn=(0xffffff00, 77))
        self.now, self.off = number * 1_500_000, [0, 0]
        self.wire.open(self.now)
        self.now += 10

    def send(self, side, raw):
        first = self.off[side]
        for at in range(0, len(raw), self.segment):
            self.wire.send(self.now, side, raw[at:at + self.segment])
            self.now += 10
        self.off[side] += len(raw)
        return [first, self.off[side]]

    def request(self, target, raw_body=b"", fields="", method="GET"):
        target = self.prefix + target
        raw = f"{method} {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n".encode() + raw_body
        self.truth[target] = {"request": self.send(0, raw), "interim": None, "response": None,
                              "status": None}

    def response(self, target, status, raw_body=b"", fields="", interim=False):
        raw = f"HTTP/1.1 {status} X\r\n{fields}\r\n".encode() + raw_body
        told = self.truth[self.prefix + target]
        place = self.send(1, raw)
        if interim:
            told["interim"] = [told["interim"][0] if told["interim"] else place[0], place[1]]
        else:
            told["response"], told["status"] = place, status

    def close(self, side=0):
        self.wire.close(self.now, side)
        return self.packets


def sized(body):
    return {"raw_body": body, "fields": f"Content-Length: {len(body)}\r\n"}


def chunked(*pieces):
    raw = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return {"raw_body": raw + b"0\r\nX-Trailer: 1\r\n\r\n", "fields": "Transfer-Encoding: chunked\r\n"}


def every_kind(segment, number=0):
    talk = Talk(segment, number)
    talk.request("/plain")
    talk.response("/plain", 201, **sized(b"x" * 500))
    talk.request("/chunks", **chunked(b"a" * 700, b"b"), method="POST")
    talk.response("/chunks", 202, **chunked(b"HTTP/1.1 200 OK\r\n\r\n", b"c" * 900))
    talk.request("/head", method="HEAD")
    talk.response("/head", 203, fields="Content-Length: 12345\r\n")
    talk.request("/none")
    talk.response("/none", 204)
    talk.request("/not-modified")
    talk.response("/not-modified", 304, fields="Content-Length: 99\r\n")
    talk.request("/continue", fields="Expect: 100-continue\r\nContent-Length: 5\r\n", method="PUT")
    talk.response("/continue", 100, interim=True)
    talk.response("/continue", 103, fields="Link: </x>\r\n", interim=True)
    talk.truth[talk.prefix + "/continue"]["request"][1] = talk.send(0, b"GET /")[1]
    talk.response("/continue", 205, **sized(b""))
    if segment >= 40:  # else it could be a body that comes all the same
        talk.request("/refused", fields="Expect: 100-continue\r\nContent-Length: 7\r\n",
                     method="PUT")
        talk.response("/refused", 417, **sized(b"no"))
        talk.request("/after-refused")
        talk.response("/after-refused", 206, **sized(b"yes"))
    for n in range(4):
        talk.request(f"/pipelined/{n}", **sized(b"p" * n), method="POST")
    for n in range(4):
        talk.response(f"/pipelined/{n}", 210 + n, **sized(b"q" * 300 * n))
    talk.request("/until-close")
    talk.response("/until-close", 220, raw_body=b"z" * 2500, fields="Connection: close\r\n")
    talk.close(1)
    return talk


def check_whole(talk, found):
    assert set(found) == set(talk.truth)
    for target, (line, flow) in found.items():
        told = talk.truth[target]
        assert line["end"] == "done" and line["backend"] is None
        for part in ("request", "interim", "response"):
            assert line["client"][part] == told[part], (target, part, line)
            seen = flow["client"][part]
            if told[part]:
                assert (seen["seq"], seen["next_seq"]) == (told[part][0] + 1, told[part][1] + 1)
                assert seen["missing_bytes"] == 0 and seen["acked_in"]
        assert line["status"] == flow["status"] == told["status"]
        trace.check_phases(flow)
        assert flow["phases_us"]["total"] is not None


@pytest.mark.parametrize("segment", (1, 7, 40, 1000, 60000))
def test_every_kind_of_message(tmp_path, segment):
    talk = every_kind(segment)
    check_whole(talk, analyzed(talk.packets, tmp_path))


@pytest.mark.parametrize("seed", range(4))
def test_segments_in_another_order(tmp_path, seed):
    """Each with up to 6 others before it; and some twice, and some cut differently."""
    draw = random.Random(seed)
    talk = every_kind(150)
    order = sorted(range(3, len(talk.packets) - 3), key=lambda n: n + draw.random() * 6)
    mixed = talk.packets[:3] + [talk.packets[n] for n in order] + talk.packets[-3:]
    for _ in range(20):
        mixed.insert(draw.randrange(3, len(mixed) - 3), draw.choice(talk.packets[3:-3]))
    found = analyzed([(packets.T0 + at * 1000, frame) for at, (_, frame) in enumerate(mixed)],
                     tmp_path)
    assert set(found) == set(talk.truth)
    for target, (line, _) in found.items():
        told = talk.truth[target]
        assert line["status"] == told["status"] and line["client"]["response"] == told["response"]
        assert line["client"]["request"] == told["request"]


def one_after_the_other(number=0, count=12):
    talk = Talk(400, number)
    for n in range(count):
        kind = (sized(b"x" * (900 if n % 3 == 0 else 30)), chunked(b"y" * 700, b"z" * 40))[n % 2]
        talk.request(f"/{n}", **(sized(b"u" * 1000) if n % 4 == 1 else {}),
                     method="POST" if n % 4 == 1 else "GET")
        if n % 5 == 2:
            talk.response(f"/{n}", 100, interim=True)
        talk.response(f"/{n}", 230 + n, **kind)
    talk.close()
    return talk


def check_true(talk, found):
    """What is claimed is so. How many are told whole."""
    whole = 0
    for target, told in talk.truth.items():
        if target not in found:
            continue
        line, flow = found[target]
        request, response = line["client"]["request"], line["client"]["response"]
        assert line["status"] in (None, told["status"]), (line, told)
        assert request[0] == told["request"][0] and request[1] <= told["request"][1], (line, told)
        if line["at_us"]["request_end"] is not None:
            assert request == told["request"], (line, told)
        if response:
            assert response[0] == told["response"][0] and response[1] <= told["response"][1]
        if line["end"] == "done":
            assert response == told["response"] and line["status"] == told["status"], (line, told)
            whole += 1
        for part in ("request", "response"):
            seen = flow["client"][part]
            if seen and not seen["frames"]:
                assert seen["missing_bytes"] == seen["len"]
    return whole


def lossy(make, loses, count, folder):
    """(talk, exchanges told whole) of connections that each miss other packets."""
    talks = [make(number) for number in range(1, count + 1)]
    kept = [packet for talk in talks for at, packet in enumerate(talk.packets)
            if not loses(talk, at)]
    found = analyzed(kept, folder)
    assert set(found) <= {target for talk in talks for target in talk.truth}
    return [(talk, check_true(talk, found)) for talk in talks]


def test_any_packet_missing(tmp_path):
    """One packet each, every one once: at most the exchange that it belonged to is lost."""
    count = len(one_after_the_other().packets)
    for talk, whole in lossy(one_after_the_other,
                             lambda talk, at: at == int(talk.prefix[1:]) - 1, count, tmp_path):
        assert whole >= len(talk.truth) - 1, talk.prefix


def test_any_packet_missing_of_pipelined_requests(tmp_path):
    count = len(every_kind(300).packets)
    told = lossy(lambda number: every_kind(300, number),
                 lambda talk, at: at == int(talk.prefix[1:]) - 1, count, tmp_path)
    assert sum(whole for _, whole in told) > count * len(told[0][0].truth) // 2


def test_many_packets_missing(tmp_path):
    draw = random.Random(4711)
    lossy(lambda number: one_after_the_other(number) if number % 2 else every_kind(200, number),
          lambda talk, at: draw.random() < 0.15, 200, tmp_path)


def test_begun_in_the_middle(tmp_path):
    """The capture begins behind the first n packets of the n-th connection."""
    count = len(one_after_the_other().packets) - 30
    talks = [one_after_the_other(number) for number in range(1, count)]
    found = analyzed([packet for n, talk in enumerate(talks) for packet in talk.packets[n + 3:]],
                     tmp_path)
    for n, talk in enumerate(talks):
        whole = 0
        for target in talk.truth:
            if target not in found:
                continue
            line, flow = found[target]
            assert line["status"] in (None, talk.truth[target]["status"]), (n, line)
            assert flow["client"]["anchor"] == "first-packet"
            whole += line["end"] == "done"
        asked_later = [target for target in talk.truth if target in found]
        assert whole >= len(asked_later) - 1 > 1, (n, whole, asked_later)


def test_what_was_cut_off_is_not_guessed(tmp_path):
    """Packets captured to 200 bytes only: bodies are passed over, heads are there."""
    talk = one_after_the_other()
    path = tmp_path / "cut.pcap"
    raw = packets.pcap([])
    for ns, frame in talk.packets:
        raw += packets.struct.pack("<IIII", ns // 10**9, ns % 10**9, min(200, len(frame)),
                                   len(frame)) + frame[:200]
    path.write_bytes(raw)
    trace.run("analyze", path, "--out", tmp_path / "out")
    lines = log.read_lines(tmp_path / "out" / "proxy.ndjson")
    by_target = {line["target"]: line for line in lines}
    for target, told in talk.truth.items():
        assert by_target[target]["status"] == told["status"]
    sized_ones = [line for line in lines if int(line["target"][1:]) % 2 == 0]
    assert all(line["end"] == "done" for line in sized_ones)


def test_one_direction_only(tmp_path):
    talk = one_after_the_other()
    found = analyzed([p for p in talk.packets if packets.ends(p[1])[0][0] == packets.CLIENT],
                     tmp_path / "requests")
    assert len(found) == 12
    for line, _ in found.values():
        assert line["status"] is None and line["end"] == "not-captured"
    assert not analyzed([p for p in talk.packets if packets.ends(p[1])[0][0] != packets.CLIENT],
                        tmp_path / "responses")


def test_not_http(tmp_path):
    made = []
    for port, (first, second) in enumerate(((b"\x16\x03\x01\x02\x00\x01", b"\x16\x03\x03\0\x7a"),
                                            (b"SSH-2.0-x\r\n", b"SSH-2.0-y\r\n"),
                                            (b"EHLO there\r\n", b"250 here\r\n"),
                                            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0\0"),
                                            (b"GET / HTTP/1.1\x00", b"HTTP"))):
        wire = packets.Wire(made, (packets.CLIENT, 41000 + port), (packets.PROXY, 443))
        wire.open(port * 1000)
        wire.send(port * 1000 + 10, 0, first)
        wire.send(port * 1000 + 20, 1, second)
        wire.close(port * 1000 + 30, 0)
    assert not analyzed(made, tmp_path)


def unpacked(name, folder):
    path = os.path.join(CAPTURES, name)
    if not name.endswith(".gz"):
        return path
    with gzip.open(path) as f, open(os.path.join(folder, "unpacked.pcap"), "wb") as out:
        out.write(f.read())
    return out.name


def count(values):
    return sum(len(value) if isinstance(value, list) else 1 for value in values if value)


@pytest.mark.skipif(not os.path.isdir(CAPTURES), reason="no captures of others at ../shared")
def test_captures_made_by_others(tmp_path):
    """As many requests and responses as tshark sees."""
    for name in sorted(os.listdir(CAPTURES)):
        if "pcap" not in name:
            continue
        path = unpacked(name, tmp_path)
        trace.run("analyze", path, "--out", tmp_path / "out")
        lines = log.read_lines(tmp_path / "out" / "proxy.ndjson")
        rows = capture.tshark_fields(path, "http.request.method", "http.response.code")
        requests = count(row["http.request.method"] for row in rows)
        responses = count(row["http.response.code"] for row in rows)
        assert len(lines) == requests, name
        interim = sum(1 for line in lines if line["client"]["interim"])
        assert sum(1 for line in lines if line["status"]) + interim == responses, name
