"""The flow tests over TLS: what FLOWPROXY_TLS=client, backend or both changes.

client    the proxy listens on https://, and peer.Peer and its like speak TLS to it
backend   origin.Origin speaks TLS, and the proxy to it; other backends stay plain
both      both

The tests themselves do not change: a peer counts plain bytes as before, and the log's ranges, which
are records on the wire, are read as the plain bytes that those records carried (plain_line()). Such
a range is equal to the plain bytes [a, b) if it is exactly the records that carried [a, b); so what
a test asserts of offsets is asserted of every byte of the wire.

EXCLUDED says which tests cannot mean anything over TLS, and why.
"""

import fnmatch
import functools
import os

import certs
import tls_peer

MODE = os.environ.get("FLOWPROXY_TLS", "")
assert MODE in ("", "client", "backend", "both"), f"FLOWPROXY_TLS={MODE}"
CLIENT = MODE in ("client", "both")
BACKEND = MODE in ("backend", "both")
SERVER_NAME = "test.example"  # as peer.request() has it
LISTENERS = set()  # addresses of this process's proxies and backends where TLS is spoken
ORIGINS = set()  # ports of the backends

ANY = ("client", "backend", "both")
# Patterns of "file::test[parameters]": (modes, why).
EXCLUDED = {
    # ---- what speaks or counts plain bytes itself; test_tls_*.py have the same over TLS
    "random_peers::* live_equals_offline::test_peers_that_misbehave_at_random system_calls_fail::* "
    "syn_data_and_copies::* capture_inputs::* captures_of_others::* analyze_behind_nat::* "
    "analyze_without_log::* http_in_packets::* damaged_inputs::* demo::* demo_tls::* "
    "dump_opens_decrypted::* secrets_are_never_dropped::* varnishtest::*":
        (ANY, "its peers, or what it reads of packets, are plain HTTP"),
    "python_peers::* other_proxies::* load_tools::*":
        (ANY, "other programs speak for themselves: tls_peers has them over TLS"),
    "trace_over_a_network::test_retransmission_is_attributed attribution_under_loss::*":
        (ANY, "counts every byte sent again as an exchange's: those of a handshake are nobody's"),
    "trace_when_the_proxy_dies::test_sigkill_within_an_exchange tunnel_traced::* "
    "live_equals_offline::test_tunnel_for_longer_than_hold show::* "
    "late_attach::test_tunnel_that_was_open late_attach::test_exchange_that_was_running":
        (ANY, "holds what the trace says against numbers of plain bytes: tls_ranges counts records"),
    # ---- what is shown with the help of the kernel, below TLS
    "eviction::test_requests_that_wait_are_not_idle "
    "eviction::test_a_request_that_has_just_come_is_not_idle":
        (("client", "both"), "a client connects while the proxy is stopped: no handshake then"),
    "beyond_max_connections::test_some_are_told_and_the_rest_wait":
        (("client", "both"), "who waits to be accepted waits with its handshake"),
    "held_connections::*":
        (("client", "both"), "bounds of plain connections; backpressure and eviction have those of TLS"),
    "floods::test_bombs":
        (("client", "both"), "each round has a handshake, which costs more than what it measures"),
    "slow_tunnels::*":
        (ANY, "whose socket is full cannot say close_notify before it reads"),
    "stale_keep_alive::*":
        (("client", "both"), "a large request comes record by record, so the proxy has not read all "
                             "of it in one moment; with TLS to the backend alone all cells hold"),
    "resolver_faults::*": (("client", "both"), "without memory there is no handshake either"),
    "thousands_of_aborts::*":
        (("client", "both"), "clients that never read: the tickets in their sockets make each end an RST"),
    "backend_leaves_at_accept::*":
        (ANY, "before a request there is a handshake: tls_hostile has that moment"),
}


def excluded(name):
    """Why the test "file::test[parameters]" is not run in this mode; None if it is."""
    for patterns, (modes, why) in EXCLUDED.items():
        if MODE and MODE in modes and any(fnmatch.fnmatchcase(name, p) for p in patterns.split()):
            return why
    return None


def trust_everywhere():
    """Other clients that tests start (curl, Node, Python's own) believe our authority, too."""
    if CLIENT:
        for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"):
            os.environ[name] = certs.ca().cert


# ---- contexts of the mode ---------------------------------------------------------------------------

@functools.lru_cache(None)
def origin_context():
    return tls_peer.server_context(certs.server())


@functools.lru_cache(None)
def peer_context():
    return tls_peer.client_context(certs.ca().cert)


def listen_url(value):
    """The value of --listen in this mode."""
    return f"https://{value}" if CLIENT and "://" not in value else value


def backend_url(url):
    """The proxy's backend in this mode: a test that names its own origin by a URL of http:// means
    the port."""
    port = url.rsplit(":", 1)[1]
    if BACKEND and url.startswith("http://") and port.isdigit() and int(port) in ORIGINS:
        return "https" + url[4:]
    return url


def default_settings(listen, backend, settings):
    """[tls] of a proxy that needs it and whose test did not say."""
    added = {}
    if any(value.startswith("https://") for value in listen) and "tls.keystore" not in settings:
        added["tls.keystore"] = certs.server().store
    if backend.startswith("https://") and not {"tls.truststore", "tls.verify"} & set(settings):
        added["tls.truststore"] = certs.ca().cert
    return added


# ---- the log's ranges -------------------------------------------------------------------------------

class PlainRange(list):
    """[first, past) of the plain bytes that the records of a logged range carried, once the peer has
    seen them all. Equal to a range of plain bytes if that lies in exactly these records. `wire`: as
    it was logged."""

    def __init__(self, wire_range, direction):
        super().__init__(wire_range)
        self.wire = wire_range
        self.direction = direction
        self.known = False

    def _settle(self):
        plain = None if self.known else self.direction.plain_range(*self.wire)
        if plain:
            self[:] = plain
            self.known = True

    def __iter__(self):
        self._settle()
        return super().__iter__()

    def __getitem__(self, index):
        self._settle()
        return super().__getitem__(index)

    def __repr__(self):
        self._settle()
        return super().__repr__()

    def __eq__(self, other):
        if isinstance(other, PlainRange):
            return self.wire == other.wire
        if not isinstance(other, (list, tuple)) or len(other) != 2 \
                or not 0 <= other[0] < other[1] <= self.direction.plain:
            return False
        return self.direction.wire_range(*other) == self.wire

    def __ne__(self, other):
        return not self == other

    __hash__ = None


def wire(logged):
    """A range as the log has it."""
    return getattr(logged, "wire", logged)


def _plain(logged, direction):
    return PlainRange(logged, direction) if isinstance(logged, list) else logged


def _translate(leg, ours, theirs, up, down):
    sock = tls_peer.CONNECTIONS.get((ours, theirs))
    if sock is None:
        return
    up, down = getattr(sock, up), getattr(sock, down)
    leg["request"] = _plain(leg["request"], up)
    for part in ("interim", "response"):
        if part in leg:
            leg[part] = _plain(leg[part], down)
    if "tunnel" in leg:
        leg["tunnel"] = {"up": _plain(leg["tunnel"]["up"], up),
                         "down": _plain(leg["tunnel"]["down"], down)}


def plain_line(line):
    """A line of the log, its ranges in plain bytes where this process was the peer. Lines of other
    files are as they are."""
    if "at_us" not in line:
        return line
    client, backend = line["client"], line["backend"]
    if client["tls"]:
        _translate(client, client["peer"], client["local"], "sent", "received")
    if backend and backend["tls"]:
        for leg in [backend, *backend["tries"]]:
            _translate(leg, leg["peer"], leg["local"], "received", "sent")
    return line
