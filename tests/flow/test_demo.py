"""scripts/demo as a stranger runs it: its story against the files it left and against tshark, and
what it says when it cannot run."""

import os
import re
import shutil
import tempfile

import pytest

import capture
import log
import stack
import trace
from demo_run import DEMO, SECTIONS, check_screen, demo, packets, section

PART = re.compile(r"    (\w+) -> (\w+) +(request|response) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+)"
                  r" +[\d.]+ [um]?s( \*)?\Z")
SEGMENT = re.compile(r"    frame (\d+) +\d+\.\d{3} ms  (\w+) -> (\w+) +(\[[A-Z,]+\]) +seq (\d+)"
                     r"(?: ack (\d+))?\Z")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(what it printed, the folder)."""
    if not capture.allowed():
        pytest.skip("capturing packets needs root")
    out = tmp_path_factory.mktemp("demo") / "out"
    return demo("--out", out, "--port", 0).stdout, str(out)


def test_it_fits_the_screen_and_has_every_section(run):
    text, _ = run
    check_screen(text, SECTIONS, 90)


def test_the_service_answered(run):
    text, _ = run
    match = re.search(r"Answered 4 times: 200, 1 USD is (\d\.\d+) EUR\.", text)
    assert 0.3 < float(match.group(1)) < 3


def test_data_transfer_is_what_the_wire_shows(run):
    """Sixteen messages: frame, seq, len, next and ack as tshark has them and as the record says."""
    text, folder = run
    seen = packets(folder)
    rows = [PART.match(line) for line in section(text, 2)]
    rows = [row for row in rows if row]
    assert len(rows) == 16
    expected = []
    for line in sorted(trace.flows(folder), key=lambda x: x["start"]):
        expected += [("client", "proxy", line["client"]["request"]),
                     ("proxy", "backend", line["backend"]["request"]),
                     ("backend", "proxy", line["backend"]["response"]),
                     ("proxy", "client", line["client"]["response"])]
    for row, (sender, receiver, part) in zip(rows, expected):
        assert row.group(1, 2) == (sender, receiver)
        frame, seq, length, following, ack, ack_frame = map(int, row.groups()[3:9])
        assert [frame] == part["frames"] and ack_frame == part["acked_in"]
        packet, acking = seen[frame], seen[ack_frame]
        assert (seq, length, following) == (int(packet["tcp.seq"]), int(packet["tcp.len"]),
                                            int(packet["tcp.nxtseq"]))
        assert (seq, length, following) == (part["seq"], part["len"], part["next_seq"])
        assert ack == int(acking["tcp.ack"]) >= following
        assert bool(row.group(10)) == (acking["tcp.len"] != "0" or "F" in acking["tcp.flags.str"])


def check_segments(lines, seen, want):
    """The segments told in full, and no others, are these."""
    told = [m for m in map(SEGMENT.match, lines) if m]
    assert [int(m.group(1)) for m in told] == want
    for m in told:
        packet = seen[int(m.group(1))]
        assert m.group(5) == packet["tcp.seq"]
        assert m.group(6) in (None, packet["tcp.ack"])
        letters = "".join(flag[0] for flag in m.group(4).strip("[]").split(","))
        assert set(letters) == set(packet["tcp.flags.str"]) - set("\u00b7*.")


def test_connections_begin_and_end(run):
    text, folder = run
    seen = packets(folder)
    conns = trace.conns(folder)
    client = min((c for c in conns if c["leg"] == "client"), key=lambda c: c["conn"])
    backend = next(c for c in conns if c["leg"] == "backend")
    for number, event in ((1, "handshake"), (5, "close")):
        check_segments(section(text, number), seen,
                       client[event]["frames"] + backend[event]["frames"])
        for conn in conns:
            assert f"connection {conn['conn']}, tcp.stream {conn['stream']}" in "\n".join(
                section(text, number))
    for conn in conns:
        first = seen[conn["close"]["frames"][0]]
        assert "F" in first["tcp.flags.str"]
        sender = first["tcp.srcport"] == conn["local"].rpartition(":")[2]
        assert conn["close"]["by"] == ("proxy" if sender else conn["leg"])


def test_one_backend_connection_for_all(run):
    text, folder = run
    assert "4 exchanges came on 4 client connections and went out on 1 backend connection" in text
    lines = sorted(trace.flows(folder), key=lambda x: x["start"])
    assert [line["backend"]["nth"] for line in lines] == [1, 2, 3, 4]
    reuse = " ".join(" ".join(section(text, 3)).split())
    for n, line in enumerate(lines, 1):
        assert f"{n} at seq {line['backend']['request']['seq']}" in reuse


def test_piggybacked_acks_are_counted(run):
    text, folder = run
    seen = packets(folder)
    frames = {leg[part]["acked_in"] for line in trace.flows(folder)
              for leg in (line["client"], line["backend"]) for part in ("request", "response")}
    riding = [f for f in frames
              if seen[f]["tcp.len"] != "0" or "F" in seen[f]["tcp.flags.str"]]
    told = "\n".join(section(text, 4))
    assert f"{len(riding)} of {len(frames)} ACKs of requests and responses" in told


def test_the_filters_it_names_find_packets(run):
    text, folder = run
    filters = re.findall(r"^    (frame\.comment contains .*?|tcp\.stream == \d+)  ", text, re.M)
    assert len(filters) == 2
    for display_filter in filters:
        rows = capture.tshark_fields(trace.dump_of(folder), "frame.number",
                                     display_filter=display_filter)
        assert len(rows) >= 8, display_filter
    commands = re.findall(r"^  \S+/flowtrace (show .*?)(?:  |$)", text, re.M)
    assert len(commands) == 2
    for command in commands:
        trace.run(*command.split())


def test_the_log_is_the_article_s_request(run):
    _, folder = run
    lines = log.read_lines(os.path.join(folder, "proxy.ndjson"))
    log.check_log(lines)
    assert len(lines) == 4
    for line in lines:
        assert (line["method"], line["target"]) == ("POST", "/currencyconvertor.asmx")
        assert line["host"] is None
        assert line["soap"]["action"] == "urn:ConversionRate"


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("mine")
    done = demo("--out", tmp_path, status=1)
    assert done.stderr == f"demo: {tmp_path} is not empty: name a new folder\n"
    assert os.listdir(tmp_path) == ["mine"]


def test_wrong_usage():
    assert demo("--nothing", status=2).stderr.startswith("demo: --nothing: ")
    assert demo("--port", "many", status=2).stderr.startswith("demo: a number is expected")
    assert "--delay-ms N" in demo("-h").stdout


@pytest.fixture
def everybodys():
    """A folder that everybody may use, with a copy of the programs that has no capability."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        build = os.path.join(folder, "build")
        os.makedirs(os.path.join(build, "tools"))
        for name in ("flowproxy", "flowtrace", "tools/currency-backend"):
            shutil.copy(stack.program(name), os.path.join(build, name))
        os.mkdir(os.path.join(folder, "out"))
        os.chmod(os.path.join(folder, "out"), 0o777)
        yield folder


def others_may_enter(path):
    while path != "/":
        path = os.path.dirname(path)
        if not os.stat(path).st_mode & 0o001:
            return False
    return True


@pytest.mark.capture
def test_without_the_right_to_capture(everybodys):
    if not others_may_enter(DEMO) or not others_may_enter(everybodys):
        pytest.skip("not everybody can read the checkout and the temporary folder")
    build = os.path.join(everybodys, "build")
    done = demo("--out", os.path.join(everybodys, "out"), "--port", 0, status=1,
                env={"FLOWPROXY_BUILD": build},
                prefix=("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"))
    assert done.stderr == (
        "demo: capturing packets is not permitted here: `sudo make demo`, or once "
        f"`sudo setcap cap_net_raw+ep {build}/flowtrace`\n")
