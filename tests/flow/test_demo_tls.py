"""scripts/demo --tls: both legs speak HTTPS, the dump opens decrypted by its own secrets and not
without them, and what it says of handshakes and their cost is what the packets show."""

import os
import re
import shutil
import statistics
import subprocess

import pytest

import capture
import log
import trace
from demo_run import SECTIONS_TLS, check_screen, demo, packets, section

HANDSHAKE = re.compile(r"TLS 1\.3, full handshake in [\d.]+ [um]?s: ClientHello in frame (\d+),"
                       r" ServerHello in frame (\d+) after [\d.]+ [um]?s, the server's Finished in"
                       r" frame (\d+) after [\d.]+ [um]?s, the client's Finished in frame (\d+)"
                       r" after [\d.]+ [um]?s")
COST = re.compile(r"    (client leg|backend leg|) +(\d) on (a new connection|one used before)"
                  r" +(-|[\d.]+ [um]?s) +(-|[\d.]+ [um]?s) +([\d.]+ [um]?s) +([\d.]+ [um]?s)\Z")
CLIENT_HELLO, SERVER_HELLO, FINISHED = "1", "2", "20"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(what it printed, the folder)."""
    if not capture.allowed():
        pytest.skip("capturing packets needs root")
    out = tmp_path_factory.mktemp("demo") / "out"
    return demo("--tls", "--out", out, "--port", 0).stdout, str(out)


def lines_of(text, number):
    return section(text, number, SECTIONS_TLS)


def conn_of(folder, leg):
    conn, = (c for c in trace.conns(folder) if c["leg"] == leg)
    return conn


def as_list(value):
    return value if isinstance(value, list) else [value]


def http_rows(path):
    return capture.tshark_fields(path, "tcp.stream", "http.request.method", "http.response.code",
                                 display_filter="http")


def test_it_fits_the_screen_and_has_every_section(run):
    text, _ = run
    check_screen(text, SECTIONS_TLS, 110)
    assert "all on one connection:\n  curl --cacert " in text


def test_everything_is_for_its_owner_alone(run):
    _, folder = run
    modes = {name: os.stat(os.path.join(folder, name)).st_mode & 0o777
             for name in os.listdir(folder) if not name.endswith(".sock")}
    assert {"dump.pcapng", "proxy.pem", "ca.key", "flows.ndjson"} <= set(modes)
    assert set(modes.values()) == {0o600}


def test_one_verified_connection_on_each_leg(run):
    _, folder = run
    lines = log.read_lines(os.path.join(folder, "proxy.ndjson"))
    log.check_log(lines)
    assert [line["client"]["nth"] for line in lines] == [1, 2, 3, 4]
    assert [line["backend"]["nth"] for line in lines] == [1, 2, 3, 4]
    for line in lines:
        for leg in ("client", "backend"):
            assert line[leg]["tls"]["version"] == "1.3"
        assert line["backend"]["tls"]["verify"] == "ok"
        assert line["backend"]["tls"]["subject"] == "CN=flowproxy demo backend"


def test_the_dump_opens_decrypted(run):
    """Every request and response on both legs; and none when the secrets are taken out."""
    _, folder = run
    rows = http_rows(trace.dump_of(folder))
    for leg in ("client", "backend"):
        mine = [r for r in rows if r["tcp.stream"] == str(conn_of(folder, leg)["stream"])]
        assert [r["http.request.method"] for r in mine if r["http.request.method"]] == ["POST"] * 4
        assert [r["http.response.code"] for r in mine if r["http.response.code"]] == ["200"] * 4
    assert len(rows) == 16


def test_it_says_what_was_proved(run, tmp_path):
    text, folder = run
    told = lines_of(text, 7)
    assert any("4 requests and 4 responses on each leg" in line for line in told)
    assert any("editcap --discard-all-secrets" in line for line in told)
    bare = tmp_path / "bare.pcapng"
    subprocess.run(["editcap", "--discard-all-secrets", trace.dump_of(folder), bare], check=True,
                   capture_output=True)
    assert http_rows(bare) == []


def test_handshakes_are_those_of_the_packets(run):
    """The frames it names carry these messages, as tshark reads them decrypted."""
    text, folder = run
    seen = packets(folder, "tls.handshake.type", "tcp.stream")
    told = [tuple(map(int, m)) for m in HANDSHAKE.findall(" ".join(" ".join(
        lines_of(text, 1)).split()))]
    assert len(told) == 2
    for leg, (client_hello, server_hello, server_finished, client_finished) in zip(
            ("client", "backend"), told):
        conn = conn_of(folder, leg)
        messages = [(n, kind) for n, p in seen.items() if p["tcp.stream"] == str(conn["stream"])
                    for kind in as_list(p["tls.handshake.type"])]
        assert [n for n, kind in messages if kind == CLIENT_HELLO] == [client_hello]
        assert [n for n, kind in messages if kind == SERVER_HELLO] == [server_hello]
        assert [n for n, kind in messages if kind == FINISHED] == [server_finished, client_finished]


def near(text, us):
    """A time with three digits; "-" is none."""
    if text == "-" or us is None:
        return text == "-" and us is None
    number, unit = text.split()
    return float(number) * {"us": 1, "ms": 1000, "s": 1e6}[unit] == pytest.approx(us, rel=0.006, abs=1)


def answer_us(stamps, part_from, part_to):
    return (stamps[part_to["frames"][-1]] - stamps[part_from["frames"][0]]) / 1000


def test_costs_are_those_of_the_records(run):
    """The first exchange on a connection against the means of the later ones."""
    text, folder = run
    rows = [m.groups() for m in map(COST.match, lines_of(text, 3)) if m]
    assert [row[0] for row in rows] == ["client leg", "", "backend leg", ""]
    stamps = {int(r["frame.number"]): int(r["frame.time_epoch"].replace(".", ""))
              for r in capture.tshark_fields(trace.dump_of(folder), "frame.number",
                                             "frame.time_epoch")}
    lines = sorted(trace.flows(folder), key=lambda x: x["start"])
    for leg, new, used in (("client", rows[0], rows[1]), ("backend", rows[2], rows[3])):
        answers = [answer_us(stamps, line[leg]["request"], line[leg]["response"])
                   for line in lines]
        conn = conn_of(folder, leg)
        shaken = conn["handshake"]["us"], conn["tls"]["us"]
        later = statistics.mean(answers[1:])
        for told, count, expected in (
                (new, 1, (*shaken, answers[0], sum(shaken) + answers[0])),
                (used, 3, (None, None, later, later))):
            assert int(told[1]) == count
            assert all(map(near, told[3:], expected)), (told, expected)


@pytest.mark.usefixtures("run")
def test_without_tshark_it_says_that_nothing_was_proved(tmp_path):
    """On a machine that has all the rest."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for path in ("/usr/bin", "/bin", "/usr/local/bin"):
        for name in os.listdir(path):
            if name not in ("tshark", "editcap") and not os.path.lexists(programs / name):
                (programs / name).symlink_to(os.path.join(path, name))
    done = demo("--tls", "--out", tmp_path / "out", "--port", 0, env={"PATH": str(programs)})
    assert "  NOT PROVED: tshark is not installed" in done.stdout
    assert "4 requests and 4 responses" not in done.stdout


def test_openssl_is_needed(tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "env", "dirname", "sed", "curl"):
        (programs / name).symlink_to(shutil.which(name))
    done = demo("--tls", "--out", tmp_path / "out", status=1, env={"PATH": str(programs)})
    assert done.stderr == "demo: openssl is not there: `scripts/install-deps demo-tls`\n"
