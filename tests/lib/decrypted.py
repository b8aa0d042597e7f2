"""What `tshark -r dump.pcapng -Y http` shows of a dump, held against the log.

tshark knows TLS by its first bytes on any port that it has no other protocol for; connections on one
of those few, which the kernel may give to a client, are left out of both sides.
"""

import collections
import functools
import struct
import subprocess

import capture
import log
import trace

SECRETS_BLOCK = 10

# addresses of who connected and who accepted; "" of a request, its status of a response
Shown = collections.namedtuple("Shown", "client server target status")


@functools.lru_cache(None)
def other_ports():
    """TCP ports that tshark takes for something else than TLS."""
    done = subprocess.run(["tshark", "-G", "decodes"], capture_output=True, text=True, timeout=60,
                          check=True)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return {int(row[1]) for row in rows if row[0] == "tcp.port" and row[2] != "tls"}


def is_shown(ends):
    return not other_ports() & {int(end.rpartition(":")[2]) for end in ends}


def _all(value):
    return value if isinstance(value, list) else [value] if value else []


def shown(dump):
    """Every request and response that tshark shows, without any option."""
    rows = capture.tshark_fields(dump, "ip.src", "tcp.srcport", "ip.dst", "tcp.dstport",
                                 "http.request.uri", "http.response.code", display_filter="http")
    found = collections.Counter()
    for row in rows:
        ends = f"{row['ip.src']}:{row['tcp.srcport']}", f"{row['ip.dst']}:{row['tcp.dstport']}"
        for target in _all(row["http.request.uri"]):
            found[Shown(*ends, target, None)] += 1
        for status in _all(row["http.response.code"]):
            found[Shown(*ends[::-1], None, int(status))] += 1
    return collections.Counter({what: n for what, n in found.items() if is_shown(what[:2])})


def _legs(line):
    """(who connected, who accepted, leg) of each leg; attempts that failed are legs too."""
    for name, leg in trace.legs(line):
        yield (leg["peer"], leg["local"], leg) if name == "client" else \
            (leg["local"], leg["peer"], leg)
        for attempt in leg.get("tries", ()):
            yield attempt["local"], attempt["peer"], attempt


def logged(lines, wanted=lambda leg: True):
    """The same of the log's lines, on those legs that are wanted."""
    made = collections.Counter()
    for line in lines:
        for client, server, leg in _legs(line):
            if not wanted(leg) or not is_shown((client, server)):
                continue
            if leg["request"]:
                made[Shown(client, server, line["target"], None)] += 1
            if leg["response"]:
                made[Shown(client, server, None, line["status"])] += 1
    return made


def assert_opens(dump, lines, wanted=lambda leg: True):
    """Each exchange of these lines is shown once on each leg that is wanted, and nothing else is.
    Returns how many requests and responses that were."""
    expected, found = logged(lines, wanted), shown(dump)
    assert found == expected, f"missing: {expected - found}\nnot expected: {found - expected}"
    return sum(expected.values())


def blocks(path):
    """(type, body) of each block of a pcapng file."""
    with open(path, "rb") as f:
        while head := f.read(8):
            kind, length = struct.unpack("<II", head)
            yield kind, f.read(length - 8)[:-4]


def secrets(path):
    """The key log that the file carries, in lines."""
    text = b""
    for kind, body in blocks(path):
        if kind == SECRETS_BLOCK:
            kind, length = struct.unpack_from("<II", body)
            assert kind == 0x544c534b
            text += body[8:8 + length]
    return text.decode("ascii").splitlines()


def proxy_lines(folder):
    return log.read_lines(f"{folder}/proxy.ndjson")
