"""What a random client and a random backend do, as a function of (seed, session, index) alone.

A session is one client connection; index counts its exchanges from 0. Both sides make the same plan
from the exchange's name, which stands in the target, so that each knows what the other will send
and the judge knows what both were to do.
"""

import random

import malformed_requests
import malformed_responses

METHODS = ["GET"] * 7 + ["POST"] * 8 + ["PUT"] * 2 + ["HEAD", "DELETE", "OPTIONS"]
IDEMPOTENT = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}
BAD_REQUESTS = [case for case in malformed_requests.HEADS if len(case[2]) < 4096]
BAD_RESPONSES = [raw for _, _, raw in malformed_responses.HEADS if len(raw) < 4096]

CLIENT_FAULTS = ["cut head", "cut body", "leave at once", "leave in response", "malformed",
                 "half close", "stall in head", "stall in body"]
CLIENT_WEIGHTS = [4, 4, 4, 4, 4, 4, 1, 1]
BACKEND_MANNERS = ["good", "early", "close after", "extra", "cut", "malformed", "refuse", "silent"]
BACKEND_WEIGHTS = [70, 4, 8, 3, 8, 3, 4, 0.4]


def size(rnd, most=300_000):
    """Mostly small."""
    kind = rnd.random()
    if kind < 0.15:
        return 0
    if kind < 0.75:
        return rnd.randint(1, 600)
    if kind < 0.97:
        return min(most, rnd.randint(600, 20_000))
    return rnd.randint(min(most, 20_000), most)


def pieces(rnd, raw):
    """raw cut up: whole, in a few pieces, or byte by byte when it is short."""
    kind = rnd.random()
    if kind < 0.6 or len(raw) < 2:
        return [raw]
    if kind < 0.65 and len(raw) < 400:
        return [raw[i:i + 1] for i in range(len(raw))]
    cuts = sorted(rnd.randrange(len(raw)) for _ in range(rnd.randint(1, 5)))
    return [raw[a:b] for a, b in zip([0] + cuts, cuts + [len(raw)]) if a < b]


def chunks(rnd, body):
    """A chunked body: sizes, digits, extensions and trailers at random."""
    out, at = [], 0
    while at < len(body):
        n = min(len(body) - at, rnd.choice([1, rnd.randint(1, 64), rnd.randint(1, 5000), 100_000]))
        digits = b"%x" % n if rnd.random() < 0.5 else b"%X" % n
        out.append(b"0" * rnd.choice([0, 0, 0, 3]) + digits
                   + rnd.choice([b"", b"", b"", b";a", b"; a=b", b';q="x;\\"y"'])
                   + b"\r\n" + body[at:at + n] + b"\r\n")
        at += n
    trailers = rnd.choice([b"", b"", b"X-Sum: 1\r\n", b"X-Sum: 1\r\nContent-Length: 7\r\n"])
    return b"".join(out) + b"0\r\n" + trailers + b"\r\n"


SOAP = b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'


def soap_fault(text):
    return SOAP + (b"<e:Fault><faultcode>e:Server</faultcode><faultstring>%s</faultstring>"
                   % text.encode())


class Reply:
    """What the backend says to one arrival of an exchange."""

    def __init__(self, plan, arrival):
        rnd = random.Random(f"{plan.seed}/{plan.session}/{plan.index}/reply{arrival}")
        self.manner = rnd.choices(BACKEND_MANNERS, BACKEND_WEIGHTS)[0]
        self.reset = rnd.random() < 0.5
        self.name = f"{plan.session}/{plan.index}/{arrival}"
        self.status = rnd.choice([200] * 12 + [201, 404, 500, 204, 304])
        self.interim = b"".join(
            rnd.choice([b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
                        b"HTTP/1.1 102 Processing\r\n\r\n"])
            for _ in range(rnd.choice([0] * 9 + [1, 3])))
        self.framing = rnd.choice(["length"] * 5 + ["chunked"] * 4 + ["close"])
        minor = 1 if self.framing == "chunked" or self.interim else rnd.choice([1] * 9 + [0])
        if self.status in (204, 304):
            self.framing = "none"
        self.body = rnd.randbytes(size(rnd, plan.reply_most)) if self.framing != "none" else b""
        fields = [f"X-Reply: {self.name}"]
        # what log.soap = full is to find in it, whatever stands behind
        self.fault = self.body and plan.method != "HEAD" and rnd.random() < 0.2
        if self.fault:
            self.body = soap_fault(self.name) + self.body
            fields.append("Content-Type: text/xml")
        # the backend means to close, and says so
        self.closes = self.framing == "close" or minor == 0 or rnd.random() < 0.1
        if self.closes and minor == 1:
            fields.append("Connection: close")
        elif rnd.random() < 0.1:
            fields.append(f"Keep-Alive: timeout={rnd.choice([1, 2, 5])}")
        payload = self.body
        if self.framing == "length":
            fields.append(f"Content-Length: {len(self.body)}")
        elif self.framing == "chunked":
            fields.append("Transfer-Encoding: chunked")
            payload = chunks(rnd, self.body)
        head = f"HTTP/1.{minor} {self.status} Said\r\n" + "".join(f + "\r\n" for f in fields)
        self.raw = head.encode() + b"\r\n"
        if plan.method == "HEAD":
            self.body = b""
        else:
            self.raw += payload
        self.whole_bytes = len(self.raw)  # the response ends there
        if self.manner == "malformed":
            self.raw = rnd.choice(BAD_RESPONSES)
        elif self.manner == "extra" and self.framing == "close":
            self.manner = "good"  # nothing stands behind such a body
        elif self.manner == "extra":
            self.raw += rnd.choice([b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"])
        elif self.manner == "cut":
            self.raw = self.raw[:rnd.randrange(len(self.raw))]
            # a FIN is the regular end of such a body
            self.reset = self.reset or self.framing == "close"
        # What comes behind a response must come with its end: later, when the next request is under
        # way, nobody could tell it from that one's answer.
        self.pieces = pieces(rnd, self.raw[:self.whole_bytes])
        self.pieces[-1] += self.raw[self.whole_bytes:]
        self.pause_s = rnd.choice([0, 0, 0, 0.002])
        self.says_continue = rnd.random() < 0.7


class Plan:
    """One exchange."""

    def __init__(self, seed, session, index, batched=False):
        self.seed, self.session, self.index = seed, session, index
        rnd = random.Random(f"{seed}/{session}/{index}")
        self.name = f"{session}/{index}"
        self.method = rnd.choice(METHODS)
        self.minor = 0 if rnd.random() < 0.08 else 1
        most = 2000 if batched else 300_000
        self.reply_most = 20_000 if batched else 300_000
        self.framing = rnd.choice(["length", "length", "chunked"])
        if self.method not in ("POST", "PUT") and rnd.random() < 0.95:
            self.framing = "none"
        if self.minor == 0 and self.framing == "chunked":
            self.framing = "length"
        self.body = rnd.randbytes(size(rnd, most)) if self.framing != "none" else b""
        self.operation = f"op{index}" if self.body and rnd.random() < 0.3 else None
        if self.operation:
            self.body = SOAP + b"<%s>" % self.operation.encode() + self.body
        self.fault = rnd.choices(CLIENT_FAULTS, CLIENT_WEIGHTS)[0] if rnd.random() < 0.12 else None
        if self.fault == "stall in head" and self.method == "HEAD":
            self.fault = None  # the answer to a head that is not known to be one has a body
        self.expects = bool(self.body) and self.minor == 1 and not batched \
            and self.fault is None and rnd.random() < 0.15
        self.upgrades = self.fault is None and not batched and rnd.random() < 0.02
        if self.upgrades:
            self.method, self.minor, self.framing, self.body = "GET", 1, "none", b""
            self.expects, self.operation = False, None
        self.keep_alive = self.minor == 1 or rnd.random() < 0.5
        self.reset = rnd.random() < 0.5
        self.slow_reader = rnd.random() < 0.03
        self._write(rnd)

    def _write(self, rnd):
        lines = [f"{self.method} /r/{self.name} HTTP/1.{self.minor}", "Host: random.example",
                 f"X-Plan: {self.name}"]
        if rnd.random() < 0.2:
            lines.append("X-Filler: " + "f" * rnd.randint(1, 2000))
        if self.operation:
            lines.append("Content-Type: text/xml")
        if self.minor == 0 and self.keep_alive:
            lines.append("Connection: keep-alive")
        elif rnd.random() < 0.05:
            lines.append("Connection: close")
        if self.upgrades:
            lines += ["Connection: Upgrade", "Upgrade: websocket"]
        if self.expects:
            lines.append("Expect: 100-continue")
        payload = self.body
        if self.framing == "length":
            lines.append(f"Content-Length: {len(self.body)}")
        elif self.framing == "chunked":
            lines.append("Transfer-Encoding: chunked")
            payload = chunks(rnd, self.body)
        self.head = "".join(line + "\r\n" for line in lines).encode() + b"\r\n"
        self.payload = payload
        if self.fault in ("cut body", "stall in body") and not payload:
            self.fault = None
        if self.fault == "malformed":
            _, _, self.head, self.bad_status, self.bad_end = rnd.choice(BAD_REQUESTS)
            self.method, self.body, self.payload = "GET", b"", b""  # what it would be is not known
            self.operation = None
        raw = self.head + self.payload
        if self.fault in ("cut head", "stall in head"):
            raw = raw[:rnd.randint(1, len(self.head) - 1)]
        elif self.fault in ("cut body", "stall in body"):
            raw = raw[:len(self.head) + rnd.randrange(len(payload))]
        self.raw = raw
        self.pieces = pieces(rnd, raw)
        self.pause_s = rnd.choice([0, 0, 0, 0.003])
        # what goes through a tunnel, each way, and who closes first
        self.up, self.down = rnd.randbytes(size(rnd, 5000)), rnd.randbytes(size(rnd, 5000))
        self.client_closes = rnd.random() < 0.5
        self.reply_bytes_read = rnd.randint(1, 300)  # before it leaves in the response

    def reply(self, arrival):
        """To the first, second... request of this name that reaches the backend."""
        return Reply(self, arrival)

    def switching(self):
        """The backend's head of a tunnel."""
        return (f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                f"Upgrade: websocket\r\nX-Reply: {self.name}/0\r\n\r\n").encode()


class Session:
    """The exchanges of one client connection, in batches that are sent without waiting."""

    def __init__(self, seed, number):
        rnd = random.Random(f"{seed}/{number}")
        self.number = number
        self.batches = []
        self.plans = []
        index = 0
        for _ in range(rnd.choice([1, 1, 2, 3, 5, 10])):
            n = rnd.randint(2, 6) if rnd.random() < 0.15 else 1
            batch = [Plan(seed, number, index + k, n > 1) for k in range(n)]
            self.batches.append(batch)
            self.plans += batch
            index += n
        self.closes_with_reset = rnd.random() < 0.3
        # of 127/8: the judge knows the session by it, whatever came of its requests
        self.address = f"127.{1 + (number >> 14 & 0x3f)}.{number >> 7 & 0x7f}.{1 + (number & 0x7f)}"
