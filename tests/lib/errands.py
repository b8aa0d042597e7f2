"""Errands of every kind through a proxy in which something fails, and what became of them.

A client here never complains of an exchange that failed: it notes what it saw. It does complain of
what may never happen: a wrong body, a response cut short that looks whole, silence. `judge` then
holds what the clients saw against the log.
"""

import time

import log
from origin import response
import peer as peers
import wire

BIG = bytes(range(256)) * 400  # 100 KiB
SOAP = b"<soap:Envelope>" + b"x" * 300 + b"</soap:Envelope>"
TRAILER = b"0\r\nX-Sum: 7\r\n\r\n"
STATUS_OF = {end: 502 for end in ("backend-eof", "backend-reset", "bad-response", "connect-refused",
                                  "connect-failed", "resolve-failed")}
STATUS_OF.update({end: 503 for end in ("no-memory", "no-descriptor")})
TUNNEL_ENDS = ("tunnel-client", "tunnel-backend", "no-memory", "client-reset", "backend-reset")
STATUS_OF.update({"connect-timeout": 504, "bad-request": 400})


def backend(conn):
    """Echoes the body, in the way that the target names. /stale: a connection that was used before
    ends instead."""
    while True:
        request = conn.next_request()
        if request is None:
            return
        kind = request.target.split("/")[1]
        if kind == "stale" and len(conn.requests) > 1:
            return
        if kind == "chunked":
            conn.reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                       + wire.chunked(request.body, last=TRAILER))
        elif kind == "close":
            conn.reply(response(request.body, fields=["Connection: close"]))
            return
        elif kind == "end":
            conn.reply(b"HTTP/1.1 200 OK\r\n\r\n" + request.body)
            return
        elif kind == "interim":
            conn.reply_interim(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            conn.reply(response(request.body))
        elif kind == "split":
            raw = response(request.body)
            conn.reply(raw[:20])
            conn.origin.stopped.wait(0.001)
            conn.reply(raw[20:])
        elif kind == "tunnel":
            conn.reply(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                       b"Connection: Upgrade\r\n\r\n")
            while data := conn.read_some():
                conn.send(data)
            return
        else:
            conn.reply(response(request.body))


class Saw:
    """What a client saw of one request: how is "whole", "cut" (begun and not ended) or "closed"
    (not a byte)."""

    def __init__(self, note, target, how, status=None, range_=None):
        self.note, self.target, self.how = note, target, how
        self.status, self.range = status, range_

    def __repr__(self):
        return f"{self.note}: {self.target}: {self.how} {self.status} {self.range}"


class Errands:
    """All errands of one test; `saw` is by the client's address. Threads may share it."""

    def __init__(self, front):
        self.front = front
        self.saw = {}
        self.note = "at first"

    def run(self, note=None):
        """Each kind once; returns how many requests were answered with 200. The note says in
        failures what was wrong meanwhile."""
        self.note = note or self.note
        before = self.whole
        self.talk([("/post", SOAP), ("/stale", None), ("/post", SOAP), ("/split", SOAP)])
        self.talk([("/a", None), ("/b", SOAP), ("/c", None)], pipelined=True)
        self.talk([("/chunked", [b"x" * 700, b"y" * 9])])
        self.talk([("/big", BIG), ("/interim", SOAP)])
        self.talk([("/close", SOAP)], dribble=True)
        self.talk([("/end", SOAP)])
        self.talk([("/bad", None)], raw=b"GET /bad HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n")
        self.tunnel()
        return self.whole - before

    @property
    def whole(self):
        return sum(saw.how == "whole" and saw.status == 200
                   for saws in list(self.saw.values()) for saw in saws)

    def connect(self):
        """A client with an address of its own in this test."""
        client = peers.Peer(self.front.address)
        while client.local_text in self.saw:
            again = peers.Peer(self.front.address)
            client.close()
            client = again
        self.saw[client.local_text] = []
        return client

    def talk(self, requests, pipelined=False, dribble=False, raw=None):
        """One connection: (target, body) in order; a body that is a list goes in chunks."""
        client = self.connect()
        raws = [raw or request_bytes(target, body) for target, body in requests]
        if pipelined:
            send(client, b"".join(raws))
        alive = True
        for (target, body), one in zip(requests, raws):
            if not pipelined and alive:
                for piece in ([one[:30], one[30:60], one[60:]] if dribble else [one]):
                    send(client, piece)
            if alive or pipelined:
                saw = self.see(client, target, body)
                alive = saw.how == "whole" and alive
        client.close()

    def see(self, client, target, body):
        """Read one response. A wrong body, or silence, fails the test."""
        wanted = b"".join(body) if isinstance(body, list) else body or b""
        try:
            got = client.read_response()
            saw = Saw(self.note, target, "whole", got.status, got.range)
            assert got.status != 200 or got.body == wanted, (saw, len(got.body))
        except wire.Closed as end:
            saw = Saw(self.note, target, "closed")
            assert end.how != "timeout", f"silence: {saw}"
        except wire.Truncated as end:
            saw = Saw(self.note, target, "cut", range_=[client.taken, client.received])
            assert end.how != "timeout", f"silence in a response: {saw}"
        self.saw[client.local_text].append(saw)
        return saw

    def tunnel(self):
        client = self.connect()
        send(client, peers.request("/tunnel", ["Upgrade: websocket", "Connection: Upgrade"]))
        saw = self.see(client, "/tunnel", None)
        if saw.status == 101:
            send(client, b"ping")
            try:
                assert client.read_exactly(4) == b"ping"
                client.half_close()
                client.expect_eof()
            except (wire.Truncated, OSError) as end:
                silent = isinstance(end, TimeoutError) or getattr(end, "how", "") == "timeout"
                assert not silent, "a silent tunnel"
                saw.how = "cut"
            except AssertionError as end:
                assert "reset after b''" in str(end), end
                saw.how = "cut"
        client.close()

    def unanswered(self):
        """Connections whose very first request was not answered by a single byte."""
        return [saws[0] for saws in self.saw.values() if saws and saws[0].how == "closed"]

    # ---- against the log ----

    def judge(self, patience_s=2):
        """Every line and every client must agree; lines that are still on their way are waited
        for, behind one more exchange. Returns the lines."""
        client = self.connect()
        send(client, request_bytes("/last", None))
        assert self.see(client, "/last", None).status == 200
        client.close()
        wait_for(self.front.log_path, "/last")
        until = time.monotonic() + patience_s
        while True:
            lines = log.plain_lines(self.front.log_path)
            try:
                self.judge_lines(lines)
                return lines
            except AssertionError:
                if time.monotonic() > until:
                    raise
            time.sleep(0.05)

    def judge_lines(self, lines):
        log.check_log(lines)
        log.check_every_exchange(lines)
        by_peer = {}
        for line in lines:
            by_peer.setdefault(line["client"]["peer"], []).append(line)
        assert set(by_peer) <= set(self.saw), "a line of nobody"
        for address, saws in self.saw.items():
            mine = sorted(by_peer.get(address, []), key=lambda line: line["client"]["nth"])
            assert len(mine) <= len(saws), (mine, saws)
            for n, saw in enumerate(saws):
                judge_one(saw, mine[n] if n < len(mine) else None)


def request_bytes(target, body):
    if isinstance(body, list):
        return peers.request(target, ["Transfer-Encoding: chunked"], method="POST") \
            + wire.chunked(*body, last=TRAILER)
    return peers.request(target, body=body, method="GET" if body is None else "POST")


def send(client, data):
    """As much as the proxy lets us; what it answers is read afterwards."""
    try:
        client.send(data)
    except OSError:
        pass


def judge_one(saw, line):
    if line is None:
        assert saw.how == "closed", f"no line for {saw}"
        return
    assert line["target"] == saw.target or line["end"] == "no-memory" \
        and line["target"] is None or saw.target == "/bad", (saw, line)
    leg = line["client"]
    if saw.how == "closed":
        assert line["end"] != "done" and leg["response"] is None, (saw, line)
    elif saw.how == "cut":
        # A tunnel is ended by the side whose connection fails.
        assert line["end"] != "done", (saw, line)
        assert not line["end"].startswith("tunnel-") or saw.status == 101, (saw, line)
        assert leg["response"][1] >= saw.range[1], (saw, line)
    else:
        assert leg["response"] == saw.range and line["status"] == saw.status, (saw, line)
        # A tunnel may fail when all has passed, and nobody can tell.
        wanted = {200: ("done",), 101: TUNNEL_ENDS}.get(saw.status)
        assert line["end"] in (wanted or STATUS_OF), (saw, line)
        assert wanted or STATUS_OF[line["end"]] == saw.status, (saw, line)


def wait_for(path, target, timeout_s=10):
    """The log's lines when one of that target has come."""
    until = time.monotonic() + timeout_s
    while True:
        lines = log.plain_lines(path)
        if any(line["target"] == target for line in lines):
            return lines
        assert time.monotonic() < until, f"no line of {target}"
        time.sleep(0.01)
