"""Reading proxy.ndjson and its siblings, and what must hold of every line (design.md section 6)."""

import json
import os
import re
import time

import tls_mode

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z\Z")
ADDRESS = re.compile(r"(\d+\.\d+\.\d+\.\d+|\[[0-9a-f:.]+(%\w+)?\]):\d+\Z")
END_WORDS = {
    "done", "client-eof", "client-reset", "client-stalled", "header-timeout", "body-timeout",
    "bad-request", "missing-host", "method-refused", "method-unknown", "version-refused",
    "coding-refused", "target-too-long", "head-too-large", "body-too-large", "answered-here",
    "overload", "no-descriptor", "no-memory", "shutdown", "backend-eof", "backend-reset",
    "backend-timeout", "backend-stalled", "bad-response", "response-head-too-large",
    "too-many-interim", "resolve-failed", "connect-refused", "connect-failed", "connect-timeout",
    "request-timeout", "tunnel-client", "tunnel-backend", "tunnel-timeout",
    "backend-tls-failed", "backend-unverified", "tls-handshake", "tls-timeout", "tls-unverified",
    "tls-on-plain", "plain-on-tls",
}
# Ends of connections whose handshake was never done.
WITHOUT_HANDSHAKE = {"tls-handshake", "tls-timeout", "tls-unverified", "tls-on-plain",
                     "plain-on-tls"}
MOMENTS = ["request_end", "backend_ready", "backend_request_end", "backend_response_start",
           "backend_response_end", "response_end"]
# No moment of a pair is later than the second, where both came.
ORDER = [("request_end", "backend_request_end"), ("backend_ready", "backend_request_end"),
         ("backend_ready", "backend_response_start"),
         ("backend_response_start", "backend_response_end"),
         ("backend_response_end", "response_end")]
LINE_KEYS = ["v", "run", "id", "start", "method", "target", "version", "host",
             "request_id", "traceparent", "soap", "status",
             "end", "client", "backend", "at_us", "bytes"]
LEG_KEYS = ["conn", "nth", "local", "peer", "opened", "tls", "request", "interim", "response"]
BACKEND_KEYS = LEG_KEYS[:2] + ["reused"] + LEG_KEYS[2:] + ["attempts", "tries"]
TRY_KEYS = ["conn", "nth", "local", "peer", "request", "response", "end"]
PARTS = ["request", "interim", "response"]
TLS_MARKS = ["client_hello", "server_hello", "server_finished", "client_finished"]
TLS_KEYS = ["version", "cipher", "sni", "alpn", "resumed", "handshake_us", "subject", "verify",
            "error"] + TLS_MARKS


def read_lines(path):
    """The whole lines of an NDJSON file, [] when it is not there (yet)."""
    try:
        with open(path, "rb") as f:
            data = f.read()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in data[:data.rfind(b"\n") + 1].splitlines()]


def plain_lines(path):
    """Those of the log, their ranges in plain bytes where TLS carried them, as the peers count."""
    return [tls_mode.plain_line(line) for line in read_lines(path)]


def wait_lines(path, count, timeout_s=10):
    """At least that many lines; ranges of TLS legs in plain bytes, as the peers count."""
    until = time.monotonic() + timeout_s
    while True:
        lines = read_lines(path)
        if len(lines) >= count:
            return [tls_mode.plain_line(line) for line in lines]
        if time.monotonic() > until:
            raise AssertionError(f"{len(lines)} of {count} lines in {os.path.basename(path)}: "
                                 f"{[(x.get('target'), x.get('end')) for x in lines]}")
        time.sleep(0.01)


class Tail:
    """The lines of a growing log by their client's address, each read and given once."""

    def __init__(self, path):
        self.path = path
        self.offset = 0
        self.by_peer = {}

    def _read_on(self):
        with open(self.path, "rb") as f:
            f.seek(self.offset)
            data = f.read()
        whole = data[:data.rfind(b"\n") + 1]
        self.offset += len(whole)
        for raw in whole.splitlines():
            line = json.loads(raw)
            check_line(line)
            self.by_peer.setdefault(line["client"]["peer"], []).append(tls_mode.plain_line(line))

    def lines_of(self, client, count=1, timeout_s=10):
        """The lines of this peer.Peer's connection; there must be exactly so many."""
        until = time.monotonic() + timeout_s
        while len(self.by_peer.get(client.local_text, [])) < count:
            assert time.monotonic() < until, f"no {count} lines of {client.local_text}"
            time.sleep(0.001)
            self._read_on()
        lines = self.by_peer.pop(client.local_text)
        assert len(lines) == count, [(x["target"], x["end"]) for x in lines]
        return lines


def check_range(r, where):
    if r is not None:
        assert isinstance(r, list) and len(r) == 2, f"{where}: {r}"
        assert 0 <= r[0] < r[1], f"{where}: {r} is no half-open range with a byte in it"


def check_leg(leg, keys, where):
    assert list(leg) == keys, f"{where}: keys {list(leg)}"
    assert leg["conn"] >= 1 and leg["nth"] >= 1, where
    assert ADDRESS.match(leg["peer"]), f"{where}: {leg['peer']}"
    assert leg["local"] is None or ADDRESS.match(leg["local"]), f"{where}: {leg['local']}"
    assert STAMP.match(leg["opened"]), f"{where}: {leg['opened']}"
    check_tls(leg["tls"], where)
    for part in PARTS:
        check_range(leg[part], f"{where}.{part}")
    if "tunnel" in leg:
        assert list(leg["tunnel"]) == ["up", "down"], where
        check_range(leg["tunnel"]["up"], f"{where}.tunnel.up")
        check_range(leg["tunnel"]["down"], f"{where}.tunnel.down")
    if leg["interim"] and leg["response"]:
        assert is_in_order(leg["interim"], leg["response"], leg["tls"]), where


def check_tls(tls, where):
    """What a leg says of its TLS; None on a plain one."""
    if tls is None:
        return
    assert list(tls) == TLS_KEYS, f"{where}: {list(tls)}"
    assert tls["version"] in (None, "1.2", "1.3") and isinstance(tls["resumed"], bool), tls
    assert isinstance(tls["verify"], str) and tls["alpn"] in (None, "http/1.1"), tls
    for mark in TLS_MARKS:
        check_range(tls[mark], f"{where}.tls.{mark}")
    if tls["error"] is None:
        assert tls["version"] and tls["cipher"] and tls["handshake_us"] >= 0, tls
        assert all(tls[mark] for mark in TLS_MARKS), tls
        assert tls["client_hello"][1] <= tls["client_finished"][0], tls
        assert tls["server_hello"][1] <= tls["server_finished"][0], tls


def check_moments(at):
    assert list(at) == MOMENTS, list(at)
    for name, us in at.items():
        assert us is None or (isinstance(us, int) and us >= 0), f"{name}: {us}"
    for earlier, later in ORDER:
        if at[earlier] is not None and at[later] is not None:
            assert at[earlier] <= at[later], f"{earlier} {at[earlier]} > {later} {at[later]}"


def check_backend(backend):
    tunnel = ["tunnel"] if "tunnel" in backend else []
    check_leg(backend, BACKEND_KEYS[:-2] + tunnel + BACKEND_KEYS[-2:], "backend")
    assert isinstance(backend["reused"], bool)
    assert 1 <= backend["attempts"] <= 3
    assert len(backend["tries"]) == backend["attempts"] - 1, backend
    for t in backend["tries"]:
        assert list(t) == TRY_KEYS, list(t)
        assert t["end"] in END_WORDS - {"done"}, t
        check_range(t["request"], "tries.request")
        check_range(t["response"], "tries.response")


def check_line(line):
    """Every key present, in the documented order; ranges, moments and words as they must be."""
    past_soap = LINE_KEYS.index("soap") + 1
    assert list(line) == LINE_KEYS[:past_soap] + (["cut"] if "cut" in line else []) \
        + LINE_KEYS[past_soap:], list(line)
    assert line["v"] == 1
    assert re.match(r"[0-9a-f]{1,16}\Z", line["run"]) and re.match(r"[0-9a-f]{16}\Z", line["id"])
    assert STAMP.match(line["start"]), line["start"]
    assert line["version"] in (None, "1.0", "1.1"), line["version"]
    assert line["status"] is None or 100 <= line["status"] <= 599
    assert line["end"] in END_WORDS, line["end"]
    client = line["client"]
    check_leg(client, LEG_KEYS + (["tunnel"] if "tunnel" in client else []), "client")
    if line["backend"] is not None:
        check_backend(line["backend"])
    check_moments(line["at_us"])
    assert (line["at_us"]["response_end"] is not None) <= (client["response"] is not None)
    assert (line["status"] is not None) == (client["response"] is not None), line
    assert set(line["bytes"]) == {"request_body", "response_body"}


def check_log(lines):
    """What must hold of all lines of one run together."""
    for line in lines:
        check_line(line)
    assert len({line["id"] for line in lines}) == len(lines), "an id stands twice"
    for leg in ("client", "backend"):
        check_connections([line[leg] for line in lines if line[leg]], leg)


def exchange_numbers(lines):
    """The counters behind the ids of one worker, each xor the run's seed: proxy/exchange.h makes
    an id by a bijection, which is undone here."""

    def undo_shift(z, bits):
        plain = z
        for _ in range(64 // bits):
            plain = z ^ plain >> bits
        return plain

    for line in lines:
        z = undo_shift(int(line["id"], 16), 31)
        z = undo_shift(z * pow(0x94d049bb133111eb, -1, 1 << 64) % (1 << 64), 27)
        yield undo_shift(z * pow(0xbf58476d1ce4e5b9, -1, 1 << 64) % (1 << 64), 30)


def check_every_exchange(lines):
    """All that the workers ever began stand in the log: each one's numbers are 0 to n - 1."""
    by_worker = {}
    for number in exchange_numbers(lines):
        by_worker.setdefault(number >> 48, []).append(number)
    for numbers in by_worker.values():
        # The first one is number 0, so it is the seed; it need not have been the first to end.
        assert any({number ^ seed for number in numbers} == set(range(len(numbers)))
                   for seed in numbers[:200]), f"of {len(numbers)} exchanges some are missing"


def check_connections(legs, name):
    """Ranges of one connection follow one another; nth counts them. Each moment null or not."""
    by_conn = {}
    for leg in legs:
        by_conn.setdefault(leg["conn"], []).append(leg)
    for conn, mine in by_conn.items():
        mine.sort(key=lambda leg: leg["nth"])
        nths = [leg["nth"] for leg in mine]
        assert len(set(nths)) == len(nths), f"{name} connection {conn}: nth {nths}"
        assert len({(leg["peer"], leg["opened"]) for leg in mine}) == 1, f"{name} {conn}"
        for part in ("request", "response"):
            ranges = [leg[part] for leg in mine if leg[part]]
            for before, after in zip(ranges, ranges[1:]):
                assert is_in_order(before, after, mine[0]["tls"]), f"{name} {conn}: {part} {ranges}"


def is_in_order(before, after, tls):
    """One message ends before the next begins; over TLS they may share a record."""
    if tls is None:
        return before[1] <= after[0]
    return before[0] <= after[0] and before[1] <= after[1]


def assert_moments(line, *names):
    """Exactly these moments came."""
    came = {name for name, us in line["at_us"].items() if us is not None}
    assert came == set(names), f"moments {sorted(came)}, expected {sorted(names)}"


ALL_MOMENTS = tuple(MOMENTS)
