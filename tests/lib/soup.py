"""Captures made at random: TCP connections whose packets are lost, repeated, cut differently,
reordered, of any flags and windows; ports used again, sequence numbers that wrap, IPv4 and IPv6,
several interfaces.

Nothing in them need make sense: they are for programs that must agree on every packet. Written as
raw bytes, so that one seed gives one file."""

import random
import struct

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
WRAP = 1 << 32
START_NS = 1_764_000_000 * 10 ** 9


class Pcapng:
    """A capture file of Ethernet interfaces."""

    def __init__(self, path, interfaces=1):
        self.file = open(path, "wb")
        self._block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
        for _ in range(interfaces):
            options = struct.pack("<HHB3xHH", 9, 1, 9, 0, 0)  # if_tsresol: nanoseconds
            self._block(1, struct.pack("<HHI", 1, 0, 262144) + options)

    def _block(self, kind, body):
        length = 12 + len(body)
        self.file.write(struct.pack("<II", kind, length) + body + struct.pack("<I", length))

    def packet(self, ns, frame, interface=0):
        body = struct.pack("<IIIII", interface, ns >> 32, ns & (WRAP - 1), len(frame), len(frame))
        self._block(6, body + frame + bytes(-len(frame) % 4))

    def close(self):
        self.file.close()


def frame(ends, numbers, flags, window, length=0, options=b"", ip_id=0):
    """ends: (ip, port) of sender and receiver, ip of 4 or 16 bytes; numbers: seq and ack."""
    (source, sport), (target, dport) = ends
    options += b"\1" * (-len(options) % 4)
    tcp = struct.pack(">HHIIBBHHH", sport, dport, numbers[0] % WRAP, numbers[1] % WRAP,
                      (5 + len(options) // 4) << 4, flags, window, 0, 0) + options
    tcp += b"x" * length
    if len(source) == 4:
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), ip_id % 65536, 0x4000, 64, 6, 0)
        return bytes(12) + b"\x08\x00" + ip + source + target + tcp
    ip = struct.pack(">IHBB", 6 << 28, len(tcp), 6, 64)
    return bytes(12) + b"\x86\xdd" + ip + source + target + tcp


def scale_option(shift):
    return bytes([3, 3, shift])


def mptcp_option(subtype, length):
    return bytes([30, length, subtype << 4]) + bytes(length - 3)


class Soup:
    """One file: `pairs` of ends, each with numbers near which its next packets lie."""

    LENGTHS = (0, 0, 0, 0, 1, 1, 2, 100, 100, 1448)
    GAPS_NS = (1, 40, 1000, 50_000, 50_000, 900_000, 2_999_999, 3_000_000, 12_345_678,
               19_999_999, 250_000_000)

    def __init__(self, path, seed, pairs=20, interfaces=1, mptcp=False):
        self.dice = random.Random(seed)
        self.out = Pcapng(path, interfaces)
        self.interfaces = interfaces
        self.mptcp = mptcp
        self.now = START_NS
        self.pairs = [self._pair(i) for i in range(pairs)]
        self.packets = 0

    def _pair(self, i):
        if i % 5 == 4:
            ips = [b"\x20\x01\x0d\xb8" + bytes(11) + bytes([end]) for end in (i, 250)]
        else:
            ips = [bytes([192, 0, 2, 1 + i % 3]), bytes([192, 0, 2, 1 + i % 2])]
        return {"ends": [(ips[0], 40000 + i), (ips[1], 8585)], "next": self._isns(),
                "acked": [0, 0], "mptcp": self.mptcp and i % 2 == 0, "keys": [(None, b"")] * 2}

    def _isns(self):
        return [self.dice.choice((0, 1, 2, 5000, WRAP - 1, WRAP - 3, WRAP - 2000, 1 << 31,
                                  self.dice.randrange(WRAP))) for _ in range(2)]

    def _flags(self):
        roll = self.dice.random()
        if roll < 0.90:
            return self.dice.choice((ACK, ACK, ACK | PSH))
        return self.dice.choice((SYN, SYN, SYN | ACK, SYN | ACK, FIN | ACK, FIN | ACK, RST,
                                 RST | ACK, 0, PSH, SYN | FIN, SYN | RST, FIN, ACK | URG, 255))

    def _options(self, pair, flags, side, seq):
        options = b""
        if flags & SYN and self.dice.random() < 0.6 or self.dice.random() < 0.002:
            options += scale_option(self.dice.choice((0, 2, 7, 7, 14, 15, 200)))
        if pair["mptcp"] and self.dice.random() < 0.5:
            kind = self.dice.choice(((2, 8), (2, 8), (2, 8), (3, 8), (4, 4), (5, 3)))
            if not flags & SYN:
                options += mptcp_option(*kind)
            elif not flags & ACK:
                options += self._key(pair, side, seq)
        return options

    def _key(self, pair, side, seq):
        """One key for one connection: on two keys tshark fails with a bug of its own."""
        if pair["keys"][side][0] is None:
            pair["keys"][side] = (seq, self.dice.randbytes(8))
        known, key = pair["keys"][side]
        return bytes([30, 12, 0x00, 0x81]) + key if known == seq else b""

    def step(self):
        dice, pair = self.dice, self.dice.choice(self.pairs)
        side = dice.randrange(2)
        flags = self._flags()
        if flags & SYN and dice.random() < 0.5:
            pair["next"] = self._isns()
            pair["keys"] = [(None, b"")] * 2
        nexts = pair["next"]
        length = dice.choice(self.LENGTHS)
        seq = nexts[side] + dice.choice((0,) * 12 + (-1, -1, -100, -length, -1448, 1, 100, 3000))
        ack = nexts[1 - side] + dice.choice((0,) * 8 + (-1, -100, -1448, 1, 100))
        if dice.random() < 0.3:
            ack = pair["acked"][side]
        if dice.random() < 0.003:
            seq = seq + dice.choice((1 << 31, 1 << 30, (1 << 31) - 1))
        window = dice.choice((0, 500, 500, 500, 500, 501, 1, 65535))
        if dice.random() < 0.02 and length > 1:
            window = length
        ends = pair["ends"] if side == 0 else pair["ends"][::-1]
        raw = frame(ends, (seq, ack), flags, window, length,
                    self._options(pair, flags, side, seq), self.packets)
        past = seq + length + (1 if flags & (SYN | FIN) else 0)
        if (past - nexts[side]) % WRAP < 1 << 31:
            nexts[side] = past % WRAP
        pair["acked"][side] = ack % WRAP
        self._put(raw)

    def _put(self, raw):
        self.out.packet(self.now, raw, self.dice.randrange(self.interfaces))
        self.packets += 1
        if self.interfaces > 1 and self.dice.random() < 0.3:  # the same packet on another interface
            self.out.packet(self.now + self.dice.choice((200, 5000)), raw,
                            self.dice.randrange(self.interfaces))
            self.packets += 1
        self.now += self.dice.choice(self.GAPS_NS)
        if self.dice.random() < 0.01:
            self.now -= self.dice.choice((1, 5000, 4_000_000))

    def unheard(self, packets):
        """One side sends and no ACK of the other is seen: more segments than Wireshark keeps."""
        pair = self.pairs[0]
        for _ in range(packets):
            flags = self.dice.choice((ACK, ACK, ACK, ACK, FIN | ACK, SYN | ACK))
            seq, length = pair["next"][0], self.dice.choice((1, 2, 100, 0))
            if flags & SYN:
                flags, seq = ACK, seq - 200
            self._put(frame(pair["ends"], (seq, pair["next"][1]), flags, 500, length))
            pair["next"][0] = (seq + length + (flags & FIN)) % WRAP

    def fill(self, packets):
        while self.packets < packets:
            self.step()
        self.out.close()
        return self.packets
