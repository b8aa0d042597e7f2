"""Which TLS records carried a message: what the log and the trace say, against what both peers count.

Both peers know each record that they sent or got, and which plain bytes it carried (tls_peer.py). The
exchanges are of all sizes and framings: several requests in one record, one message in very many,
bodies of none to 200 KB, and connections that resume an earlier one's session; on loopback, and on a
network that loses.
"""

import contextlib
import random
import threading

import pytest

import certs
import log
import net
import network
from origin import response
import peer as peers
import tls_peer
import trace
import wire

EXCHANGES = 560  # of each pair of versions
LOSSY_EXCHANGES = 64
CLIENTS = 4
PER_CONNECTION = 20  # requests, after which either side leaves


def size_of(draw):
    """Mostly small; around a record's end, and up to 200 KB."""
    return draw.choice((0, 1, draw.randrange(600), draw.randrange(5000),
                        16384 + draw.randrange(-300, 300), draw.randrange(204800)))


def in_records(draw, raw):
    """Cut into what becomes records of its own: all at once, in a few, in many small ones."""
    least = draw.choice((len(raw), max(1, len(raw) // 5), max(1, len(raw) // 40)))
    while raw:
        n = max(1, draw.randrange(least // 2, least + 1))
        yield raw[:n]
        raw = raw[n:]


def make_request(draw, number):
    kind = draw.choice(("get", "length", "chunked"))
    if kind == "get":
        return peers.request(f"/{number}")
    body = draw.randbytes(size_of(draw))
    if kind == "length":
        return peers.request(f"/{number}", body=body, method="POST")
    half = len(body) // 2
    return peers.request(f"/{number}", ["Transfer-Encoding: chunked"], method="POST") \
        + wire.chunked(body[:half], body[half:])


class Backend:
    """Answers by the drawing of each request's number; leaves after so many."""

    def __init__(self, seed):
        self.seed = seed
        self.conns = []

    def script(self, conn):
        self.conns.append(conn)
        for n in range(PER_CONNECTION):
            request = conn.next_request(keep=False)
            if request is None:
                return
            draw = random.Random(f"{self.seed} {request.target}")
            interim = draw.random() < 0.1
            if interim:
                conn.reply_interim(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            last = n == PER_CONNECTION - 1
            raw = response(draw.randbytes(size_of(draw)), fields=["Connection: close"] * last,
                           framing=draw.choice(("length", "chunked")))
            for piece in in_records(draw, raw):
                conn.reply(piece)


class Client:
    """Requests on as many connections as it takes, each of which resumes the session before."""

    def __init__(self, front, numbers, context, seed, namespace=None):
        self.front = front
        self.numbers = list(numbers)
        self.context = context
        self.namespace = namespace
        self.draw = random.Random(f"client {seed}")
        self.answers = {}  # target: (peer, response)
        self.conns = []
        self.error = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            session = None
            with net.inside(self.namespace) if self.namespace else contextlib.nullcontext():
                while self.numbers:
                    mine = self.numbers[:PER_CONNECTION]
                    self.numbers = self.numbers[PER_CONNECTION:]
                    session = self._talk(mine, session)
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def _talk(self, numbers, session):
        client = peers.Peer(self.front.address, tls=self.context, session=session, timeout_s=60)
        self.conns.append(client)
        while numbers:
            together = 1 if self.draw.random() < 0.7 else self.draw.randrange(2, 6)
            self._ask(client, numbers[:together])
            numbers = numbers[together:]
        session = client.sock.tls.session
        client.close()
        return session

    def _ask(self, client, numbers):
        """Pipelined ones leave in one write: the end of one may share a record with the next."""
        raws = [make_request(self.draw, number) for number in numbers]
        first = client.sent
        if len(raws) > 1:
            raws = raws[:1] + [peers.request(f"/{number}") for number in numbers[1:]]
            client.send(b"".join(raws))
        else:
            for piece in in_records(self.draw, raws[0]):
                client.send(piece)
        for number, raw in zip(numbers, raws):
            got = client.read_response(keep=False)
            got.request_range = [first, first + len(raw)]
            first += len(raw)
            assert got.status == 200
            self.answers[f"/{number}"] = (client, got)


def records_of(direction, plain):
    """A message's records; None if there was none."""
    return direction.wire_range(*plain) if plain else None


def check_client_leg(leg, client, got):
    sock = client.sock
    assert (leg["peer"], leg["local"]) == (client.local_text, client.remote_text)
    assert leg["request"] == records_of(sock.sent, got.request_range), leg
    assert leg["interim"] == records_of(sock.received, got.interim_range), leg
    assert leg["response"] == records_of(sock.received, got.range), leg
    check_handshake(leg["tls"], sock)


def check_backend_leg(leg, request):
    sock = request.conn.sock
    assert (leg["local"], leg["peer"]) == (request.conn.remote_text, request.conn.local_text)
    assert leg["request"] == records_of(sock.received, request.range), leg
    assert leg["interim"] == records_of(sock.sent, request.interim_range), leg
    assert leg["response"] == records_of(sock.sent, request.reply_range), leg
    check_handshake(leg["tls"], sock)


def check_handshake(tls, sock):
    assert {name: tls[name] for name in log.TLS_MARKS} == tls_peer.marks(sock), tls
    assert (tls["version"], tls["resumed"]) == (sock.version, sock.resumed), tls
    assert tls["cipher"] == sock.tls.cipher()[0] and tls["alpn"] == "http/1.1", tls
    assert tls["error"] is None


def run(front, count, version, namespace=None):
    """So many exchanges by some clients at once; the clients."""
    context = tls_peer.client_context(certs.ca().cert, version)
    clients = [Client(front, range(n, count, CLIENTS), context, n, namespace)
               for n in range(CLIENTS)]
    for client in clients:
        client.thread.join(90)
        assert not client.error, client.error
        assert not client.thread.is_alive()
    trace.wait_flows(front.trace_dir, count, 60)
    front.stop(timeout_s=30)
    return clients


def check_log(front, backend, clients, count):
    """Each line is what both peers counted. The lines, and the requests by target."""
    lines = log.read_lines(front.log_path)
    answers = {k: v for client in clients for k, v in client.answers.items()}
    asked = {request.target: request for request in backend.requests}
    assert len(lines) == len(answers) == len(asked) == count
    for line in lines:
        assert (line["end"], line["status"]) == ("done", 200), line
        check_client_leg(line["client"], *answers[line["target"]])
        check_backend_leg(line["backend"], asked[line["target"]])
    return lines, asked


def check_trace(front, most):
    """The trace has the same ranges, against the log and, of so many, tshark's reading of the dump."""
    flows = trace.flows(front.trace_dir)
    trace.check_folder(front.trace_dir, flows)
    for flow in flows:
        for _, leg in trace.legs(flow):
            assert all(not leg[part] or leg[part]["missing_bytes"] == 0 for part in trace.PARTS)
    compared = trace.assert_agrees_with_tshark(front.trace_dir, trace.dump_of(front.trace_dir),
                                               flows[:most])
    assert compared >= 4 * most


@pytest.mark.capture
@pytest.mark.parametrize("client_version, backend_version", [("1.2", "1.3"), ("1.3", "1.2")])
def test_every_range(origin, proxy, client_version, backend_version):
    back = Backend(client_version)
    backend = origin(back.script, tls=tls_peer.server_context(certs.server(), backend_version))
    front = proxy(backend, listen=("https://127.0.0.1:0",), trace=True,
                  settings={"trace.hold_ms": 300})
    clients = run(front, EXCHANGES, client_version)
    lines, asked = check_log(front, backend, clients, EXCHANGES)
    check_trace(front, 150)
    # and it was what it was meant to be
    conns = [conn for client in clients for conn in client.conns]
    assert sum(conn.sock.resumed for conn in conns) == len(conns) - CLIENTS
    assert sum(conn.sock.resumed for conn in back.conns) > len(back.conns) // 2
    assert share_a_record(lines, "request") > 50
    assert max(record_count(asked, line) for line in lines) > 30


@pytest.mark.capture
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_on_a_network_that_loses(lossy, origin, proxy, version):
    """Records are lost, doubled and overtaken; the offsets of what they carried stay what they are."""
    rough = lossy(seed=4, client=network.ROUGH, backend=network.ROUGH)
    back = Backend("lossy")
    backend, front = rough.front(origin, proxy, back.script,
                                 tls=tls_peer.server_context(certs.server(), version))
    clients = run(front, LOSSY_EXCHANGES, version, rough.client)
    check_log(front, backend, clients, LOSSY_EXCHANGES)
    check_trace(front, LOSSY_EXCHANGES)
    legs = [leg for flow in trace.flows(front.trace_dir) for _, leg in trace.legs(flow)]
    assert sum(leg[part]["retransmitted_bytes"] > 0 for leg in legs for part in trace.PARTS
               if leg[part]) > 5


def share_a_record(lines, part):
    """How many messages of client legs begin in a record in which another ends."""
    ends = {(line["client"]["conn"], line["client"][part][1]) for line in lines}
    return sum(not any((line["client"]["conn"], line["client"][part][0]) == end for end in ends)
               and line["client"]["nth"] > 1 for line in lines)


def record_count(asked, line):
    first, past = line["backend"]["response"]
    return sum(first <= record.first < past
               for record in asked[line["target"]].conn.sock.sent.records)
