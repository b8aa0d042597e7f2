"""TLS on both legs, traced: the frames and times of the handshakes are those that the peers and tshark
find, `analyze` says the same as the live run, and the ladder shows messages and records."""

import os
import re

import pytest

import capture
import certs
import tls_mode
import tls_peer
import trace

pytestmark = pytest.mark.capture

MARKS = ("client_hello", "server_hello", "server_finished", "client_finished")
BY_CLIENT = ("client_hello", "client_finished")
CLEAR = {"client_hello": "1", "server_hello": "2"}
BODY = b"x" * 3000


def start(origin, proxy, version=None, clients=None, settings=None, **options):
    """A backend that speaks TLS, and a proxy that speaks it on both legs. version: the one that is
    spoken on either."""
    backend = origin(tls=tls_peer.server_context(certs.server(), version, clients))
    keys = {"tls.keystore": certs.server().store, "tls.truststore": certs.ca().cert,
            **(settings or {})}
    front = proxy(backend, settings=keys, listen=("https://127.0.0.1:0",), trace=True, **options)
    return backend, front


def context(version=None):
    return tls_peer.client_context(certs.ca().cert, version)


def several(front, peer, tls, session=None, count=3):
    """So many exchanges on one connection: the client, which has closed."""
    client = peer(front, tls=tls, session=session)
    for n in range(count):
        assert client.post(BODY[:n * 1000 + 1]).status == 200
    client.close()
    return client


# ---- the judges -------------------------------------------------------------------------------------

def frame_times(dump):
    """{frame: stamp in ns}"""
    return {int(row["frame.number"]): int(row["frame.time_epoch"].replace(".", ""))
            for row in capture.tshark_fields(dump, "frame.number", "frame.time_epoch")}


def expected(segments, stamps, leg, marks, ends):
    """What the peer's own count of its records makes of a dump. ends: who connected, who accepted."""
    tls, last = {}, {}
    for name in MARKS:
        sender = ends[0] if name in BY_CLIENT else ends[1]
        read = segments.part(leg["stream"], sender, *marks[name])
        assert read.frames and not read.missing_bytes(), (name, vars(read))
        tls[name], last[name] = read.frames, stamps[read.frames[-1]]
    begin = stamps[tls["client_hello"][0]]
    return tls, {name: (ns - begin) // 1000 for name, ns in last.items()}


def check_handshake(tls, frames, times):
    """times are in us."""
    assert {name: tls[name]["frames"] for name in MARKS} == frames
    assert {name: tls[name]["us"] for name in MARKS} == times
    assert tls["us"] == max(times["server_finished"], times["client_finished"])


def check_against_witnesses(front, lines):
    """Each handshake against the socket that made it."""
    dump = trace.dump_of(front.trace_dir)
    segments, stamps = trace.Segments(dump), frame_times(dump)
    conns = {(c["leg"], c["conn"]): c for c in trace.conns(front.trace_dir)}
    seen = 0
    for line in lines:
        for name, leg in trace.legs(line):
            if leg["nth"] != 1:
                assert leg["tls"] is None and leg["handshake"] is None
                continue
            conn = conns[name, leg["conn"]]
            sock = tls_peer.CONNECTIONS[conn["peer"], conn["local"]]
            connecting, accepting = ("peer", "local") if name == "client" else ("local", "peer")
            ends = [trace.split_address(conn[end]) for end in (connecting, accepting)]
            frames, times = expected(segments, stamps, leg, tls_peer.marks(sock), ends)
            assert leg["tls"]["version"] == sock.version
            assert leg["tls"]["resumed"] == sock.resumed and leg["tls"]["failed"] is False
            check_handshake(leg["tls"], frames, times)
            assert conn["tls"] == leg["tls"]
            seen += 1
    return seen


def tshark_tls(front, backend, *fields, display_filter):
    """Rows of a dump in which TLS is spoken on these ports, whatever tshark knows them for."""
    options = [word for each in (front, backend) for word in ("-d", f"tcp.port=={each.port},tls")]
    return capture.tshark_fields(trace.dump_of(front.trace_dir), "frame.number", *fields,
                                 display_filter=display_filter, options=options)


def check_hellos(front, backend, lines):
    """tshark reads the hellos where we say they are."""
    rows = tshark_tls(front, backend, "tcp.stream", "tls.handshake.type",
                      display_filter="tls.handshake.type")
    told = {(row["tcp.stream"], kind): int(row["frame.number"])
            for row in rows for kind in as_list(row["tls.handshake.type"])}
    for line in lines:
        for _, leg in trace.legs(line):
            for name, kind in CLEAR.items():
                if leg["tls"]:
                    assert leg["tls"][name]["frames"][-1] == told[str(leg["stream"]), kind]


def as_list(text):
    return text if isinstance(text, list) else text.split(",") if text else []


# ---- ranges, frames and times -----------------------------------------------------------------------

@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_handshakes_of_both_legs(origin, proxy, peer, tmp_path, version):
    backend, front = start(origin, proxy, version)
    tls = context(version)
    first = several(front, peer, tls)
    second = several(front, peer, tls, session=first.sock.tls.session)
    assert second.sock.resumed
    front.stop()
    lines = trace.assert_offline_same(front, tmp_path)
    assert len(lines) == 6
    trace.check_folder(front.trace_dir, lines)
    assert check_against_witnesses(front, lines) == 3
    check_hellos(front, backend, lines)
    assert trace.assert_agrees_with_tshark(front.trace_dir, trace.dump_of(front.trace_dir),
                                           lines) == 4 * len(lines)
    assert trace.told(front, "uncommented") == 0
    check_phases(lines)


def check_phases(lines):
    """The backend's connection was made for the first exchange: to it belongs the whole handshake."""
    made = [line for line in lines if line["backend"]["nth"] == 1]
    for line in lines:
        phases, backend = line["phases_us"], line["backend"]
        if line not in made:
            assert phases["handshake"] == 0
            continue
        assert phases["handshake"] >= backend["handshake"]["us"] + backend["tls"]["us"]
        assert phases["total"] is not None
    assert made


def test_idle_for_longer_than_hold_before_the_first_request(origin, proxy, peer, tmp_path):
    """Offline, the log tells of the connection when the handshake's packets are long past."""
    _, front = start(origin, proxy, settings={"trace.hold_ms": 100})
    client = peer(front, tls=context())
    trace.settle(0.5)
    assert client.get().status == 200
    client.close()
    front.stop()
    line, = trace.assert_offline_same(front, tmp_path, options=("--hold-ms", "100"))
    assert line["client"]["tls"]["us"] is not None
    assert trace.told(front, "uncommented") == 0


def test_tracer_attached_after_the_handshakes(origin, proxy, peer, tmp_path):
    """It was not there: what was not seen is null, on a connection that is known to speak TLS."""
    backend = origin(tls=tls_peer.server_context(certs.server()))
    tap = tmp_path / "tap"
    front = proxy(backend, settings={"tls.keystore": certs.server().store,
                                     "tls.truststore": certs.ca().cert, "trace.control": tap},
                  listen=("https://127.0.0.1:0",))
    client = peer(front, tls=context())
    client.get()
    tracer = trace.Capture(tap, tmp_path / "late", "--hold-ms", "100")
    for _ in range(100):  # the tracer is told of exchanges from some moment on
        assert client.get().status == 200
        if os.path.getsize(tmp_path / "late" / "flows.ndjson") > 0:
            break
        trace.settle(0.05)
    client.close()
    front.stop()
    tracer.stop()
    lines, conns = trace.flows(tmp_path / "late"), trace.conns(tmp_path / "late")
    assert lines and {line["client"]["tls"] for line in lines} == {None}
    assert {c["leg"] for c in conns} == {"client", "backend"}
    for conn in conns:
        assert conn["tls"] == {"version": "1.3", "resumed": False, "failed": False,
                               **dict.fromkeys(MARKS), "us": None}


# ---- failures ---------------------------------------------------------------------------------------

def test_client_does_not_trust_us(origin, proxy, peer, tmp_path):
    _, front = start(origin, proxy)
    with pytest.raises(OSError):
        peer(front, tls=tls_peer.client_context(certs.self_signed("other").cert))
    front.lines(1)
    front.stop()
    line, = trace.assert_offline_same(front, tmp_path)
    tls = line["client"]["tls"]
    assert line["end"] == "tls-handshake" and tls["failed"] is True
    assert tls["client_hello"]["frames"] and tls["server_hello"]["frames"]
    assert tls["us"] is None and line["phases_us"] is None
    # there was no request that the story could miss
    assert "Missing" not in trace.run("show", front.trace_dir, "--story").stdout


def test_backend_is_not_trusted(origin, proxy, peer, tmp_path):
    _, front = start(origin, proxy, settings={"tls.truststore": certs.self_signed("other").cert})
    client = peer(front, tls=context())
    assert client.get().status == 502
    client.close()
    front.stop()
    line, = trace.assert_offline_same(front, tmp_path)
    assert line["end"] == "backend-unverified"
    assert line["client"]["tls"]["failed"] is False
    tls, phases = line["backend"]["tls"], line["phases_us"]
    assert tls["failed"] is True and tls["us"] is None
    assert tls["client_hello"]["frames"] and tls["server_hello"]["frames"]
    assert sum(us for name, us in phases.items() if name != "total") == phases["total"]
    assert phases["handshake"] >= tls["server_hello"]["us"]


# ---- the ladder -------------------------------------------------------------------------------------

def ladder(front, line):
    """{frame: what it carries}, whole texts, and all that was printed."""
    shown = trace.run("show", front.trace_dir, line["id"]).stdout
    frames, last = {}, None
    for row in shown.splitlines():
        begun = re.match(r" *-?\d+\.\d+ +(\d+) {4}[|<>-]+ .*?\] +-?\d+ +\d+ +\S+ (.*)", row)
        more = re.match(r" +\|       \|       \| +(.*)", row)
        if begun:
            last = int(begun.group(1))
            frames[last] = begun.group(2).strip()
        elif more and last is not None:
            frames[last] += " " + more.group(1).strip()
        else:
            last = None
    return frames, shown


def check_record_sizes(front, backend, frames):
    """Of each frame that tshark finds whole records in, the sizes are those of the headers."""
    compared = 0
    for row in tshark_tls(front, backend, "tls.record.length", display_filter="tls"):
        frame = int(row["frame.number"])
        if frame not in frames:
            continue
        told = re.sub(r"for \S+|\(TLS 1..\)", "x", frames[frame].split("TLS: ")[1])
        sizes = [int(n) for n in re.findall(r"[a-z] (\d+)\b", told)]
        assert sum(sizes) == sum(int(n) + 5 for n in as_list(row["tls.record.length"])), (told, row)
        compared += 1
    return compared


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_ladder(origin, proxy, peer, version):
    server, front = start(origin, proxy, version)
    several(front, peer, context(version), count=2)
    front.stop()
    lines = trace.flows(front.trace_dir)
    frames, shown = ladder(front, lines[0])
    client, backend = lines[0]["client"]["tls"], lines[0]["backend"]["tls"]
    for tls in (client, backend):
        hello, = tls["client_hello"]["frames"]
        assert frames[hello].startswith("TLS: ClientHello")
        answer = frames[tls["server_hello"]["frames"][0]]
        assert answer.startswith(f"TLS: ServerHello (TLS {version}) ")
        if version == "1.2":
            assert "Certificate " in answer
        for name in ("server_finished", "client_finished"):
            assert "Finished" in frames[tls[name]["frames"][-1]], (name, frames)
        assert f"TLS {version}, ClientHello in {hello}, ServerHello in " in shown
    assert f"ClientHello for {tls_mode.SERVER_NAME} " in frames[client["client_hello"]["frames"][0]]
    assert "of it the backend's TLS handshake" in shown
    assert check_record_sizes(front, server, frames) >= 10
    frames, shown = ladder(front, lines[1])
    assert "Hello" not in shown and "handshake: " not in shown
    assert check_record_sizes(front, server, frames) >= 4
    for name, leg in trace.legs(lines[1]):
        for part in ("request", "response"):
            text = frames[leg[part]["frames"][0]]
            size = leg[part]["len"]
            assert re.fullmatch(rf"{part} 0-{size} of {size}; (piggybacked ack of .*; )?"
                                rf"TLS: (\d+ )?encrypted {size}", text), (name, text)
    story = trace.run("show", front.trace_dir, "--story").stdout
    assert f"TLS {version}" in story


def test_dump_without_payload(origin, proxy, peer, tmp_path):
    """The records say as much; the ladder only what stands in them."""
    _, front = start(origin, proxy, settings={"trace.payload": "headers"})
    several(front, peer, context())
    front.stop()
    lines = trace.assert_offline_same(front, tmp_path)
    assert lines[0]["client"]["tls"]["us"] is not None
    frames, _ = ladder(front, lines[0])
    tls = lines[0]["backend"]["tls"]
    assert frames[tls["client_hello"]["frames"][0]] == "TLS handshake: ClientHello"
    assert frames[tls["server_hello"]["frames"][0]].startswith("TLS handshake: ServerHello")
    assert not [text for text in frames.values() if "TLS: " in text]


def test_handshakes_belong_to_no_exchange(origin, proxy, peer):
    """No comment stands on their packets, nor on tickets; and none waits for one in vain."""
    _, front = start(origin, proxy)
    several(front, peer, context())
    front.stop()
    lines = trace.flows(front.trace_dir)
    comments = trace.comments(trace.dump_of(front.trace_dir))
    for _, leg in trace.legs(lines[0]):
        for name in MARKS:
            for frame in leg["tls"][name]["frames"]:
                assert not comments[frame], comments[frame]
    assert trace.told(front, "uncommented") == 0


# ---- without a log ----------------------------------------------------------------------------------

def in_clear(tls, version):
    """What of a handshake stands on the wire for everybody to read: of TLS 1.3 no Finished does, nor
    how it ended."""
    if version == "1.2":
        return tls
    return {**tls, "failed": None, "server_finished": None, "client_finished": None, "us": None}


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_capture_without_a_log(origin, proxy, peer, tmp_path, version):
    """Its connections are known for TLS, and no HTTP is claimed of what is encrypted."""
    _, front = start(origin, proxy, version)
    tls = context(version)
    first = several(front, peer, tls)
    several(front, peer, tls, session=first.sock.tls.session)
    front.stop()
    done = trace.run("analyze", trace.dump_of(front.trace_dir), "--out", tmp_path / "alone")
    assert "connections 1, 2 and 3 are TLS, which is not decrypted" in done.stderr
    assert trace.flows(tmp_path / "alone") == []
    told = {c["stream"]: c for c in trace.conns(front.trace_dir)}
    alone = trace.conns(tmp_path / "alone")
    assert sorted(c["stream"] for c in alone) == sorted(told) == [0, 1, 2]
    for conn in alone:
        other = told[conn["stream"]]
        assert conn["tls"] == in_clear(other["tls"], version)
        assert conn["handshake"] == other["handshake"] and conn["ids"] == []
    assert sorted(c["tls"]["resumed"] for c in alone) == [False, False, True]


def test_capture_without_a_log_of_a_handshake_that_failed(origin, proxy, peer, tmp_path):
    """An alert in clear: the versions have nothing in common."""
    _, front = start(origin, proxy, settings={"tls.min_version": "1.3"})
    with pytest.raises(OSError):
        peer(front, tls=context("1.2"))
    front.lines(1)
    front.stop()
    done = trace.run("analyze", trace.dump_of(front.trace_dir), "--out", tmp_path / "alone")
    assert "connection 1 is TLS, which is not decrypted" in done.stderr
    conn, = trace.conns(tmp_path / "alone")
    assert conn["tls"]["failed"] is True and conn["tls"]["version"] is None
    assert conn["tls"]["client_hello"]["frames"] and conn["tls"]["server_hello"] is None
