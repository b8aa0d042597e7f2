"""Certificates that must not be believed, in the manner of badssl.com, on both legs: what the client
is answered, what the log says, and what the trace does.

Three tables: what backends show (the proxy verifies them), what clients show (client_auth), and what
the proxy shows to clients that verify it. Each table runs against one traced proxy; a row is one
exchange on connections of its own.
"""

import functools
import os
import re

import pytest

import certs
import log
from origin import Origin, answer, response
import peer as peers
import stack
import tls_peer
import trace
import wire

CLOSING = answer(response(b"ok", fields=["Connection: close"]))
FINE = "ok"


@functools.lru_cache(None)
def middle():
    return certs.Authority("middle", issuer=certs.ca())


@functools.lru_cache(None)
def stranger():
    """An authority that nobody trusts."""
    return certs.Authority("stranger")


def without_intermediate(certificate):
    certificate.chain = certificate.cert
    return certificate


# name: (how it is made for a usage, what OpenSSL says of it)
BAD = {
    "expired": (lambda **o: certs.ca().issue(begins=-30, ends=-1, **o), "certificate has expired"),
    "not-yet-valid": (lambda **o: certs.ca().issue(begins=2, **o), "certificate is not yet valid"),
    "self-signed": (certs.self_signed, "self-signed certificate"),
    "wrong-authority": (lambda **o: stranger().issue(**o), "unable to get local issuer certificate"),
    "missing-intermediate": (lambda **o: without_intermediate(middle().issue(**o)),
                             "unable to get local issuer certificate"),
    "weak-key": (lambda **o: certs.ca().issue(key="RSA:1024", **o), "EE certificate key too weak"),
    "weak-digest": (lambda **o: certs.ca().issue(digest="sha1", **o), "CA signature digest algorithm too weak"),
}
GOOD = {
    "right": (lambda **o: certs.ca().issue(**o), FINE),
    "right-by-intermediate": (lambda **o: middle().issue(**o), FINE),
}
BACKENDS = {
    **BAD,
    "wrong-host": (lambda **o: certs.ca().issue(**dict(o, names=["other.example"])),
                   "IP address mismatch"),
    "wrong-usage": (lambda **o: certs.ca().issue(**dict(o, usage="clientAuth")),
                    "unsuitable certificate purpose"),
    **GOOD,
}
CLIENTS = {
    **BAD,
    "wrong-usage": (lambda **o: certs.ca().issue(**dict(o, usage="serverAuth")),
                    "unsuitable certificate purpose"),
    **GOOD,
}
VERSIONS = ("1.2", "1.3")


class Row:
    """What came of one exchange."""

    def __init__(self, status, body, line, flow):
        self.status, self.body, self.line, self.flow = status, body, line, flow


def ask(front, number, **options):
    """(status, body) of a request on a connection of its own; status None if none came."""
    try:
        client = peers.Peer(front.address, **options)
    except OSError:
        return None, b""
    try:
        got = client.get(f"/{number}", ["X-Client-Cert-Subject: CN=root"])
        return got.status, got.body
    except (wire.Closed, wire.Truncated, OSError):
        return None, b""
    finally:
        client.close()


def rows_of(front, answers):
    """Each answer with its line of the log, told apart by their order, and of the trace."""
    lines = log.wait_lines(front.log_path, len(answers))
    flows = {flow["id"]: flow for flow in trace.wait_flows(front.trace_dir, len(answers))}
    front.stop()
    log.check_log(log.read_lines(front.log_path))
    trace.check_folder(front.trace_dir)
    assert len(lines) == len(answers) == len(flows)
    lines.sort(key=lambda line: line["client"]["conn"])
    return [Row(status, body, line, flows[line["id"]])
            for (status, body), line in zip(answers, lines)]


def run_rows(front, table, prepare):
    """prepare(row's name) -> options of the peer."""
    answers = []
    for number, name in enumerate(table):
        answers.append(ask(front, number, **prepare(name)))
        log.wait_lines(front.log_path, number + 1)
    return dict(zip(table, rows_of(front, answers)))


# ---- backends ---------------------------------------------------------------------------------------

def run_backends(folder, version, **settings):
    contexts = {name: tls_peer.server_context(make(), version, weak=True)
                for name, (make, _) in BACKENDS.items()}
    backend = Origin(CLOSING, tls=contexts["right"])
    settings = {"tls.truststore": certs.ca().cert, "trace.hold_ms": 100, **settings}
    front = stack.Flowproxy(backend.url, folder, settings=settings, trace=True)

    def prepare(name):
        backend.tls = contexts[name]
        return {}

    try:
        return run_rows(front, BACKENDS, prepare)
    finally:
        front.kill()
        backend.stop()
        backend.check()


@pytest.fixture(scope="module", params=VERSIONS)
def backends(request, tmp_path_factory):
    return run_backends(tmp_path_factory.mktemp("backends"), request.param)


@pytest.mark.capture
@pytest.mark.parametrize("name", BACKENDS)
def test_what_backends_show(backends, name):
    row, (_, reason) = backends[name], BACKENDS[name]
    leg = row.line["backend"]
    assert leg["tls"]["verify"] == reason
    if reason == FINE:
        assert (row.status, row.body, row.line["end"]) == (200, b"ok", "done")
        assert leg["tls"]["error"] is None and leg["tls"]["subject"] == "CN=server"
        assert row.flow["verdict"] is not None
    else:
        assert (row.status, row.line["end"]) == (502, "backend-unverified")
        assert leg["tls"]["error"] == "certificate verify failed", leg
        assert leg["request"] is None and leg["response"] is None
        # the client learns that it is so, and nothing of the certificate
        assert re.fullmatch(rb"The backend could not be verified\. \(exchange \w+\)\n", row.body)
        assert leg["tls"]["client_hello"] and leg["tls"]["server_hello"]
        assert leg["tls"]["client_finished"] is None
    assert row.flow["end"] == row.line["end"] and row.flow["status"] == row.status
    check_traced(row, "backend")


@pytest.mark.capture
def test_verify_none_takes_any(tmp_path):
    rows = run_backends(tmp_path, "1.3", **{"tls.truststore": "", "tls.verify": "none"})
    for name, row in rows.items():
        assert (row.status, row.line["end"]) == (200, "done"), name
        assert row.line["backend"]["tls"]["verify"] == "none", name


def check_traced(row, name):
    """The trace's record has what the log says of the handshake, on the packets that carried it."""
    leg, logged = row.flow[name], row.line[name]["tls"]
    tls = leg["tls"]
    assert (tls["version"], tls["resumed"]) == (logged["version"], logged["resumed"])
    for mark in log.TLS_MARKS:
        assert (tls[mark] is None) == (logged[mark] is None), (mark, tls, logged)
        if tls[mark]:
            assert tls[mark]["frames"], (mark, tls)


# ---- clients ----------------------------------------------------------------------------------------

def run_clients(folder, version, auth):
    backend = Origin(CLOSING, tls=False)
    front = stack.Flowproxy(backend.url, folder, trace=True, listen=("https://127.0.0.1:0",),
                            settings={"tls.client_auth": auth, "tls.truststore": certs.ca().cert,
                                      "trace.hold_ms": 100})

    def prepare(name):
        if name == "absent":
            return {"tls": tls_peer.client_context(certs.ca().cert, version)}
        made = CLIENTS[name][0](name="somebody", names=(), usage="clientAuth")
        return {"tls": tls_peer.client_context(certs.ca().cert, version, made, weak=True)}

    try:
        return run_rows(front, ["absent", *CLIENTS], prepare), backend.requests
    finally:
        front.kill()
        backend.stop()
        backend.check()


@pytest.fixture(scope="module", params=[(v, a) for v in VERSIONS for a in ("required", "optional")],
                ids="-".join)
def clients(request, tmp_path_factory):
    version, auth = request.param
    rows, requests = run_clients(tmp_path_factory.mktemp("clients"), version, auth)
    return auth, rows, {each.target: each for each in requests}


@pytest.mark.capture
@pytest.mark.parametrize("name", ["absent", *CLIENTS])
def test_what_clients_show(clients, name):
    auth, rows, requests = clients
    row = rows[name]
    tls = row.line["client"]["tls"]
    reason = CLIENTS[name][1] if name != "absent" else FINE if auth == "optional" else None
    if reason == FINE:
        assert (row.status, row.body, row.line["end"]) == (200, b"ok", "done")
        subject = None if name == "absent" else "CN=somebody"
        assert tls["subject"] == subject and tls["verify"] == ("ok" if subject else "none")
        # whatever the client itself wrote into that field is gone
        assert requests[row.line["target"]].get("X-Client-Cert-Subject") == subject
    else:
        assert (row.status, row.line["status"], row.line["end"]) == (None, None, "tls-unverified")
        assert row.line["method"] is None and row.line["backend"] is None
        assert row.line["client"]["request"] is None
        if reason is None:
            assert tls["error"] == "peer did not return a certificate" and tls["subject"] is None
        else:
            assert (tls["error"], tls["verify"]) == ("certificate verify failed", reason)
    assert row.flow["end"] == row.line["end"] and row.flow["status"] == row.status
    check_traced(row, "client")


# ---- the proxy's own certificate ----------------------------------------------------------------------

# name: (certificate, what the client asks for, the alert that it sends, as OpenSSL names it). The first
# one is what the proxy shows to whoever asks for a name that it does not know.
SHOWN = {
    "wrong-host": (lambda name: certs.ca().issue(names=[name]), "nobody-here.example",
                   "sslv3 alert bad certificate"),
    "self-signed": (lambda name: certs.self_signed(names=[name]), None, "tlsv1 alert unknown ca"),
    "wrong-authority": (lambda name: stranger().issue(names=[name]), None, "tlsv1 alert unknown ca"),
    "missing-intermediate": (lambda name: without_intermediate(middle().issue(names=[name])), None,
                             "tlsv1 alert unknown ca"),
    "wrong-usage": (lambda name: certs.ca().issue(names=[name], usage="clientAuth"), None,
                    "sslv3 alert certificate unknown|sslv3 alert unsupported certificate"),
    "right": (lambda name: certs.ca().issue(names=[name]), None, None),
    "right-by-intermediate": (lambda name: middle().issue(names=[name]), None, None),
}


def run_shown(folder, version):
    backend = Origin(CLOSING, tls=False)
    made = {name: make(f"{name}.example") for name, (make, _, _) in SHOWN.items()}
    stores = []
    for certificate in made.values():
        with open(certificate.key, "rb") as key, open(certificate.chain, "rb") as chain:
            stores.append(certs.write_secret(certificate.base + ".shown.pem",
                                             key.read(), chain.read()))
    front = stack.Flowproxy(backend.url, folder, trace=True, listen=("https://127.0.0.1:0",),
                            settings={"tls.keystore": stores, "trace.hold_ms": 100})

    def prepare(name):
        return {"tls": tls_peer.client_context(certs.ca().cert, version),
                "name": SHOWN[name][1] or f"{name}.example"}

    try:
        return run_rows(front, SHOWN, prepare)
    finally:
        front.kill()
        backend.stop()
        backend.check()


@pytest.fixture(scope="module", params=VERSIONS)
def shown(request, tmp_path_factory):
    return run_shown(tmp_path_factory.mktemp("shown"), request.param)


@pytest.mark.capture
@pytest.mark.parametrize("name", SHOWN)
def test_what_the_proxy_shows(shown, name):
    """A client that does not believe it says so by an alert, which the log has."""
    row, (_, asked, alert) = shown[name], SHOWN[name]
    tls = row.line["client"]["tls"]
    assert tls["sni"] == (asked or f"{name}.example") and tls["verify"] == "none"
    if alert is None:
        assert (row.status, row.body, row.line["end"]) == (200, b"ok", "done")
    else:
        assert (row.status, row.line["status"], row.line["end"]) == (None, None, "tls-handshake")
        assert re.fullmatch(alert, tls["error"]), tls
        assert row.line["backend"] is None and row.line["client"]["request"] is None
    assert row.flow["end"] == row.line["end"] and row.flow["status"] == row.status
    check_traced(row, "client")


@pytest.mark.parametrize("name", ["expired", "not-yet-valid", "weak-key"])
def test_what_the_proxy_does_not_show(tmp_path, name):
    """No client would take it: the start fails, and says which file it is."""
    certificate = BAD[name][0]()
    argv = [stack.program("flowproxy"), "--listen", "https://127.0.0.1:0", "--backend",
            "http://127.0.0.1:9", "--set", f"tls.keystore={certificate.store}"]
    for more in ([], ["-t"]):
        front = stack.Process(argv + more, cwd=tmp_path)
        assert front.wait() == 2
        said = front.stderr.splitlines()
        assert len(said) == 1 and os.path.basename(certificate.store) in said[0], said


# ---- the proxy as a client of its backend -------------------------------------------------------------

IDENTITIES = {
    "absent": lambda: None,
    "wrong": lambda: stranger().client("proxy"),
    "right": lambda: certs.ca().client("proxy"),
}


@pytest.mark.capture
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", IDENTITIES)
def test_what_the_proxy_shows_to_backends(origin, proxy, peer, name, version):
    backend = origin(answer(), tls=tls_peer.server_context(certs.server(), version,
                                                           clients=certs.ca().cert))
    settings = {"trace.hold_ms": 100}
    if identity := IDENTITIES[name]():
        settings["tls.keystore"] = identity.store
    front = proxy(backend, settings=settings, trace=True)
    got = peer(front).get()
    line, = log.wait_lines(front.log_path, 1)
    flow, = trace.wait_flows(front.trace_dir, 1)
    leg = line["backend"]
    assert leg["tls"]["verify"] == "ok"
    if name == "right":
        assert (got.status, line["end"], leg["tls"]["error"]) == (200, "done", None)
    else:
        assert (got.status, line["end"]) == (502, "backend-tls-failed"), leg
        assert re.fullmatch("tlsv1[3]? alert (certificate required|unknown ca)"
                            "|sslv3 alert handshake failure", leg["tls"]["error"]), leg
        assert backend.refused and not backend.requests
    front.stop()
    trace.check_folder(front.trace_dir)
    assert flow["end"] == line["end"]
    check_traced(Row(got.status, b"", line, flow), "backend")
