"""The proxy's buffer for its tracer is full while TLS connections open: other records are dropped and
counted, and yet every key that the peers noted stands in the dump, and none that they did not."""

import re

import pytest

import certs
import decrypted
import peer as peers
from stack import Sleeper
import tls_peer
import trace
import traffic

pytestmark = pytest.mark.capture

ASKED = 16000
AT_ONCE = 400
CONNECTIONS = 30
ONE = peers.request("/", ["Max-Forwards: 0"], method="OPTIONS")  # the proxy answers it itself


def burst(address):
    client = peers.Peer(address, timeout_s=60, tls=False)
    for _ in range(ASKED // AT_ONCE):
        client.send(ONE * AT_ONCE)
        for _ in range(AT_ONCE):
            assert client.read_response("OPTIONS").status == 200
    client.close()


def noted(path):
    """What a peer wrote to its key log, as far as a dump is opened with it."""
    with open(path, encoding="ascii") as f:
        return {line for line in f.read().splitlines()
                if not line.startswith(("#", "EXPORTER_SECRET"))}


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_full_tap(origin, proxy, tmp_path, version):
    server = tls_peer.server_context(certs.server(), version)
    client = tls_peer.client_context(certs.ca().cert, version)
    server.keylog_filename = str(tmp_path / "server")
    client.keylog_filename = str(tmp_path / "client")
    backend = origin(traffic.answer_by_target, tls=server)
    front = proxy(backend, trace=True, listen=("https://127.0.0.1:0", "127.0.0.1:0"),
                  settings={"trace.secrets": "on"})
    tracer = Sleeper(front)
    tracer.freeze()
    burst(front.addresses[1])
    for _ in range(CONNECTIONS):
        one = peers.Peer(front.address, tls=client)
        assert one.get("/close").status == 200
        one.close()
    tracer.thaw()
    front.stop(timeout_s=60)
    said = front.wait_stderr(r"had to drop \d+ records of its tap")
    assert int(re.search(r"drop (\d+) records", said).group(1)) > 0
    told = decrypted.secrets(trace.dump_of(front.trace_dir))
    expected = noted(tmp_path / "client") | noted(tmp_path / "server")
    assert set(told) == expected and len(told) == len(expected)
    assert len(expected) == 2 * CONNECTIONS * (1 if version == "1.2" else 4)
