"""Captures made by hand: TCP connections through the proxy as packets, the log of the same exchanges,
and the files that programs make of packets, whole or damaged.

Times are microseconds after T0. The client is 192.0.2.1, the proxy 198.51.100.7:8585, the backend
203.0.113.9:8080. A packet is (nanoseconds, bytes); its link is Ethernet.
"""

import json
import os
import struct
import subprocess
import time

T0 = 1_700_000_000_000_000_000
CLIENT, PROXY, BACKEND = "192.0.2.1", "198.51.100.7", "203.0.113.9"
ETHERNET, SLL, SLL2, RAW = 1, 113, 276, 101
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def address(text):
    return bytes(map(int, text.split(".")))


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total > 0xffff:
        total = (total >> 16) + (total & 0xffff)
    return ~total & 0xffff


def ip4(source, target, protocol, payload, ident=1, fragment=0x4000):
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), ident & 0xffff, fragment, 64,
                       protocol, 0, address(source), address(target))
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def tcp(source, target, seq, ack, flags, payload=b"", window=500):
    """A TCP segment between ("ip", port)s, over IPv4."""
    text = struct.pack(">HHIIBBHHH", source[1], target[1], seq & 0xffffffff, ack & 0xffffffff, 0x50,
                       flags, window, 0, 0) + payload
    pseudo = address(source[0]) + address(target[0]) + struct.pack(">BBH", 0, 6, len(text))
    return text[:16] + struct.pack(">H", checksum(pseudo + text)) + text[18:]


def ethernet(payload, kind=0x0800):
    return b"\x02\0\0\0\0\1\x02\0\0\0\0\2" + struct.pack(">H", kind) + payload


def linked(frame, link):
    """An Ethernet frame's payload behind the header of another link."""
    kind, payload = frame[12:14], frame[14:]
    if link == ETHERNET:
        return frame
    if link == SLL:
        return struct.pack(">HHH8s", 0, 1, 6, b"\x02\0\0\0\0\2\0\0") + kind + payload
    if link == SLL2:
        return kind + struct.pack(">HIHBB8s", 0, 2, 1, 0, 6, b"\x02\0\0\0\0\2\0\0") + payload
    assert link == RAW
    return payload


class Wire:
    """One TCP connection as it is seen on the wire."""

    def __init__(self, packets, opener, acceptor, isn=(1000, 5000)):
        self.packets, self.ends = packets, (opener, acceptor)
        self.next = [isn[0], isn[1]]

    def put(self, at_us, side, flags, payload=b""):
        text = tcp(self.ends[side], self.ends[1 - side], self.next[side],
                   self.next[1 - side] if flags & ACK else 0, flags, payload)
        self.next[side] += len(payload) + bool(flags & (SYN | FIN))
        frame = ethernet(ip4(self.ends[side][0], self.ends[1 - side][0], 6, text,
                             len(self.packets) + 1))
        self.packets.append((T0 + at_us * 1000, frame))

    def open(self, at_us):
        self.put(at_us, 0, SYN)
        self.put(at_us + 2, 1, SYN | ACK)
        self.put(at_us + 4, 0, ACK)

    def send(self, at_us, side, payload):
        """Bytes, and 3 us later their acknowledgement."""
        self.put(at_us, side, PSH | ACK, payload)
        self.put(at_us + 3, 1 - side, ACK)

    def close(self, at_us, side):
        self.put(at_us, side, FIN | ACK)
        self.put(at_us + 2, 1 - side, FIN | ACK)
        self.put(at_us + 4, side, ACK)


def stamp(at_us):
    ns = T0 + at_us * 1000
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ns // 10**9)) + f".{ns % 10**9:09d}Z"


def message(first, length):
    return (first + b"x" * length)[:length]


class Run:
    """Exchanges on a client and a backend connection each, one every `apart_us`."""

    REQUEST, RESPONSE = 300, 2000

    def __init__(self, connections=4, exchanges=5, apart_us=1000):
        self.packets, self.log = [], []
        for conn in range(connections):
            self.connection(conn, exchanges, apart_us, conn * (apart_us * 3 // 2 + 29))
        self.packets.sort(key=lambda packet: packet[0])
        assert len(set(ns for ns, _ in self.packets)) == len(self.packets)
        self.log.sort(key=lambda line: line["start"])

    def connection(self, conn, exchanges, apart_us, at_us):
        client = ((CLIENT, 40000 + conn), (PROXY, 8585))
        backend = ((PROXY, 50000 + conn), (BACKEND, 8080))
        up = Wire(self.packets, *client, isn=(0xfffffff0 - conn, 7))
        down = Wire(self.packets, *backend)
        opened = at_us + 3, at_us + 20
        up.open(at_us)
        down.open(at_us + 22)
        for nth in range(exchanges):
            begin = at_us + 50 + nth * apart_us
            up.send(begin, 0, message(b"GET / HTTP/1.1\r\n", self.REQUEST))
            down.send(begin + 20, 0, message(b"GET / HTTP/1.1\r\n", self.REQUEST))
            down.send(begin + 100, 1, message(b"HTTP/1.1 200 OK\r\n", self.RESPONSE))
            up.send(begin + 120, 1, message(b"HTTP/1.1 200 OK\r\n", self.RESPONSE))
            self.log.append(self.line(conn, nth, begin, opened, (client, backend)))
        end = at_us + 50 + exchanges * apart_us
        up.close(end, 0)
        down.close(end + 10, 0)

    def leg(self, conn, nth, opened, ends, ours):
        return {"conn": conn, "nth": nth + 1, "local": "%s:%d" % ends[ours],
                "peer": "%s:%d" % ends[1 - ours], "opened": stamp(opened), "tls": None,
                "request": [nth * self.REQUEST, (nth + 1) * self.REQUEST], "interim": None,
                "response": [nth * self.RESPONSE, (nth + 1) * self.RESPONSE]}

    def line(self, conn, nth, begin, opened, ends):
        client = self.leg(2 * conn + 1, nth, opened[0], ends[0], 1)
        backend = self.leg(2 * conn + 2, nth, opened[1], ends[1], 0)
        backend.update({"reused": nth > 0, "attempts": 1, "tries": []})
        return {"v": 1, "run": "00005d2c", "id": f"{conn:08x}{nth:08x}", "start": stamp(begin + 2),
                "method": "GET", "target": "/", "version": "1.1", "host": None, "soap": None,
                "status": 200, "end": "done", "client": client, "backend": backend,
                "at_us": {"request_end": 0, "backend_ready": 5, "backend_request_end": 20,
                          "backend_response_start": 103, "backend_response_end": 103,
                          "response_end": 121},
                "bytes": {"request_body": 0, "response_body": 0}}

    def log_text(self):
        return "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in self.log)

    def write_log(self, path):
        with open(path, "w", encoding="ascii") as f:
            f.write(self.log_text())
        return str(path)


# ---- files ----


def pcap(packets, nano=True, order="<", link=ETHERNET, modified=False, snap=262144):
    magic = 0xa1b2cd34 if modified else 0xa1b23c4d if nano else 0xa1b2c3d4
    parts = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snap, link)]
    for ns, frame in packets:
        frame = linked(frame, link)
        parts.append(struct.pack(order + "IIII", ns // 10**9,
                                 ns % 10**9 // (1 if nano and not modified else 1000),
                                 min(snap, len(frame)), len(frame)))
        parts.append(struct.pack(order + "IHBB", 2, 8, 0, 0) if modified else b"")
        parts.append(frame[:snap])
    return b"".join(parts)


def option(order, code, value):
    return struct.pack(order + "HH", code, len(value)) + value + b"\0" * (-len(value) % 4)


def block(order, kind, body):
    length = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + length + body + length


def pcapng(packets, order="<", link=ETHERNET, name=b"eth0"):
    parts = [block(order, 0x0a0d0d0a, struct.pack(order + "IHHq", 0x1a2b3c4d, 1, 0, -1)),
             block(order, 1, struct.pack(order + "HHI", link, 0, 0) + option(order, 2, name) +
                   option(order, 9, b"\x09") + option(order, 0, b""))]
    for ns, frame in packets:
        frame = linked(frame, link)
        parts.append(block(order, 6, struct.pack(order + "IIIII", 0, ns >> 32, ns & 0xffffffff,
                                                 len(frame), len(frame)) +
                           frame + b"\0" * (-len(frame) % 4)))
    return b"".join(parts)


# ---- around packets ----


def udp(source, target, payload, ident=1):
    head = struct.pack(">HHHH", source[1], target[1], 8 + len(payload), 0)
    return ip4(source[0], target[0], 17, head + payload, ident)


TUNNEL = ("10.9.0.1", "10.9.0.2")


def vlan(frame, number=7, kind=0x8100):
    return frame[:12] + struct.pack(">HH", kind, number) + frame[12:]


def mpls(frame):
    return ethernet(struct.pack(">II", 16 << 12 | 64, 17 << 12 | 0x140) + frame[14:], 0x8847)


def pppoe(frame):
    return ethernet(struct.pack(">BBHHH", 0x11, 0, 9, len(frame) - 12, 0x21) + frame[14:], 0x8864)


def ip_in_ip(frame):
    return ethernet(ip4(*TUNNEL, 4, frame[14:]))


def gre(frame):
    return ethernet(ip4(*TUNNEL, 47, struct.pack(">HHII", 0x3000, 0x0800, 1, 2) + frame[14:]))


def gre_bridged(frame):
    return ethernet(ip4(*TUNNEL, 47, struct.pack(">HHI", 0x8000, 0x6558, 0) + frame))


def erspan(frame):
    return ethernet(ip4(*TUNNEL, 47, struct.pack(">HHIII", 0x1000, 0x88be, 3, 0x10000000, 0) + frame))


def vxlan(frame, port=4789):
    return ethernet(udp((TUNNEL[0], 50000), (TUNNEL[1], port),
                        struct.pack(">II", 0x08000000, 5 << 8) + frame))


def vxlan_of_linux(frame):
    return vxlan(frame, 8472)


def geneve(frame):
    return ethernet(udp((TUNNEL[0], 50000), (TUNNEL[1], 6081),
                        struct.pack(">BBHII", 1, 0, 0x6558, 5 << 8, 0x01020300) + frame))


def fragments(frame, sizes):
    """The fragments of an IPv4 packet: its payload in pieces of these sizes and the rest."""
    head, payload, at, out = frame[14:34], frame[34:], 0, []
    for size in [*sizes, len(payload)]:
        piece = payload[at:at + size]
        if not piece:
            break
        more = 0x2000 if at + len(piece) < len(payload) else 0
        text = struct.pack(">H", 20 + len(piece)) + head[4:6] + struct.pack(">H", at // 8 | more)
        text = head[:2] + text + head[8:10] + b"\0\0" + head[12:]
        out.append(ethernet(text[:10] + struct.pack(">H", checksum(text)) + text[12:] + piece))
        at += len(piece)
    return out


def unreachable(frame, quoted=28):
    """The ICMP error that comes back of a packet, with so much of it."""
    return ethernet(ip4("198.51.100.254", ".".join(map(str, frame[26:30])), 1,
                        struct.pack(">BBHI", 3, 1, 0, 0) + frame[14:14 + quoted]))


def read_pcap(path):
    """(nanoseconds, bytes) of a classic capture of this byte order with nanoseconds."""
    with open(path, "rb") as f:
        data = f.read()
    assert struct.unpack_from("<I", data)[0] == 0xa1b23c4d, path
    found, at = [], 24
    while at < len(data):
        seconds, ns, size, _ = struct.unpack_from("<IIII", data, at)
        found.append((seconds * 10**9 + ns, data[at + 16:at + 16 + size]))
        at += 16 + size
    return found


def of_dump(path, folder):
    """The packets of a dump, as editcap copies them."""
    copy = os.path.join(folder, "copy.pcap")
    subprocess.run(["editcap", "-F", "nsecpcap", path, copy], check=True, timeout=60)
    return read_pcap(copy)


def ends(frame):
    """((ip, port), (ip, port)) of a TCP segment over IPv4 in an Ethernet frame."""
    at = 14 + (frame[14] & 15) * 4
    ports = struct.unpack_from(">HH", frame, at)
    return ((".".join(map(str, frame[26:30])), ports[0]),
            (".".join(map(str, frame[30:34])), ports[1]))


def renamed(frame, change):
    """The same segment with change(ip, port) in place of both ends. Checksums stay as they are."""
    source, target = (change(*end) for end in ends(frame))
    at = 14 + (frame[14] & 15) * 4
    return (frame[:26] + address(source[0]) + address(target[0]) + frame[34:at] +
            struct.pack(">HH", source[1], target[1]) + frame[at + 4:])
