"""`flowtrace capture` attached to a proxy that runs already."""

import os
import stat

import pytest

import capture
import log
import stack
import trace
import traffic

pytestmark = pytest.mark.capture


@pytest.fixture
def running(origin, proxy, tmp_path):
    """A proxy that nobody traces yet, its control socket, and the folder for the records."""
    backend = origin(traffic.answer_by_target)
    tap = tmp_path / "tap.sock"
    front = proxy(backend, settings={"trace.control": tap})
    started = []

    def attach(*options, out="trace", **keywords):
        started.append(trace.Capture(tap, tmp_path / out, *options, **keywords))
        return started[-1], str(tmp_path / out)

    yield front, attach
    for tracer in started:
        tracer.kill()


def test_new_connections_by_their_syn_and_old_ones_by_their_position(running, peer):
    front, attach = running
    old = peer(front)
    assert old.get("/size/10").status == 200
    tracer, folder = attach()
    trace.settle(0.15)  # the captures have to be older than a pause that can be told
    assert old.get("/size/20").status == 200
    new = peer(front)
    assert new.get("/size/30").status == 200
    new.close()
    trace.wait_flows(folder, 2)
    tracer.stop()
    by_id = {line["id"]: line for line in trace.flows(folder)}
    _, second, third = log.read_lines(front.log_path)
    assert set(by_id) == {second["id"], third["id"]}
    for line, anchor in ((second, "position"), (third, "syn")):
        assert by_id[line["id"]]["client"]["anchor"] == anchor
        assert by_id[line["id"]]["client"]["request"]["missing_bytes"] == 0
        trace.check_flow(by_id[line["id"]], line)


def test_several_one_after_the_other(running, peer):
    front, attach = running
    for n in range(1, 4):
        tracer, folder = attach()
        client = peer(front)
        assert client.get(f"/size/{n}").status == 200
        client.close()
        tracer.stop()
    names = sorted(name for name in os.listdir(folder) if name.endswith(".pcapng"))
    assert names == ["dump-2.pcapng", "dump-3.pcapng", "dump.pcapng"]
    assert [line["dump"] for line in trace.flows(folder)] == \
        ["dump.pcapng", "dump-2.pcapng", "dump-3.pcapng"]


def test_one_at_a_time(running):
    front, attach = running
    attach()
    second, _ = attach(out="other", wait=False)
    assert second.wait() == 1
    assert "another tracer is attached" in second.stderr
    assert front.running()


def test_torn_last_line_of_an_earlier_run_is_cut(running, peer):
    front, attach = running
    tracer, folder = attach()
    tracer.stop()
    for name in ("flows.ndjson", "conns.ndjson"):
        with open(os.path.join(folder, name), "ab") as f:
            f.write(b'{"v":1,"run":"5d2c","id":"9f')
    tracer, _ = attach()
    client = peer(front)
    assert client.get("/size/5").status == 200
    client.close()
    tracer.stop()
    assert len(trace.flows(folder)) == 1
    with open(os.path.join(folder, "flows.ndjson"), "rb") as f:
        assert f.read().count(b"\n") == 1


def test_no_dump(running, peer):
    front, attach = running
    tracer, folder = attach("--payload", "none")
    client = peer(front)
    assert client.get("/size/5").status == 200
    client.close()
    tracer.stop()
    line, = trace.flows(folder)
    assert line["dump"] is None
    assert line["client"]["request"]["missing_bytes"] == 0
    assert not [name for name in os.listdir(folder) if name.endswith(".pcapng")]


def test_it_keeps_no_rights(running):
    _, attach = running
    tracer, _ = attach()
    with open(f"/proc/{tracer.pid}/status", encoding="ascii") as f:
        status = dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)
    assert "0" not in status["Uid"].split() and "0" not in status["Gid"].split()
    for capabilities in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
        assert int(status[capabilities], 16) == 0, capabilities
    assert status["NoNewPrivs"].strip() == "1"


def test_connections_of_others_to_the_backend_are_left_out(running, origin, peer, tmp_path):
    """The filter lets them through; nobody names them, and their packets are not kept on."""
    front, attach = running
    tracer, folder = attach("--hold-ms", "200")
    direct = peer(("127.0.0.1", int(front.argv[front.argv.index("--backend") + 1]
                                    .rsplit(":", 1)[1])))
    assert direct.get("/size/10").status == 200
    trace.settle(0.6)
    for _ in range(20):
        assert direct.get("/size/1000").status == 200
    client = peer(front)
    assert client.get("/size/7").status == 200
    client.close()
    tracer.stop()
    line, = trace.flows(folder)
    rows = capture.tshark_fields(trace.dump_of(folder), "tcp.srcport", "tcp.dstport")
    of_others = [row for row in rows if str(direct.local[1]) in row.values()]
    assert 0 < len(of_others) < 15, len(of_others)
    assert line["backend"]["anchor"] == "syn"
    for conn in trace.conns(folder):
        assert not conn["peer"].endswith(f":{direct.local[1]}")
        assert not conn["local"].endswith(f":{direct.local[1]}")
    # and offline the same, of the dump as it is
    os.link(front.log_path, os.path.join(folder, "proxy.ndjson"))
    offline, conns = trace.analyze(folder, tmp_path / "offline", trace.dump_of(folder),
                                   options=("--hold-ms", "200"))
    assert offline == [line]
    assert conns == trace.conns(folder)


def test_full_disk_costs_records_only(running, peer, tmp_path):
    """/dev/full stands in for the disk of the records."""
    front, attach = running
    folder = tmp_path / "trace"
    folder.mkdir()
    os.symlink("/dev/full", folder / "flows.ndjson")
    tracer, _ = attach()
    for _ in range(3):
        client = peer(front)
        assert client.get("/size/5").status == 200
        client.close()
    tracer.stop()
    assert tracer.stderr.count("records are lost") == 1, tracer.stderr
    assert len(trace.conns(folder)) >= 3


def test_wrong_usage():
    for arguments, said in (
            (("capture",), "capture needs --tap"),
            (("capture", "--tap", "x"), "capture needs --out"),
            (("capture", "--tap", "x", "--out", "y", "z"), "not z"),
            (("capture", "--tap", "x", "--out", "y", "--payload", "some"), "--payload"),
            (("capture", "--tap", "x", "--out", "y", "--hold-ms", "5"), "--hold-ms"),
            (("capture", "--tap", "x", "--out", "y", "--buffer-mb", "many"), "--buffer-mb"),
            (("capture", "--tap", "x", "--out", "y", "--interfaces", "lo,,eth0"), "--interfaces"),
            (("capture", "--nonsense"), "--nonsense"),
            (("analyze", "proxy.ndjson"), "analyze needs a capture"),
            (("analyze", "a.ndjson", "b.ndjson", "x.pcap"), "one log"),
            (("nonsense",), "nonsense"), ((), "usage:")):
        assert said in trace.run(*arguments, status=2).stderr, arguments


def test_failures_to_start(tmp_path):
    done = trace.run("capture", "--tap", tmp_path / "none", "--out", tmp_path / "out", status=1)
    assert str(tmp_path / "none") in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_not_permitted(running, tmp_path):
    """Without the right to capture the start fails at once and says what to do."""
    front, _ = running
    tap = tmp_path / "tap.sock"
    os.chmod(tap, 0o777)
    os.chmod(tmp_path, 0o777)
    parent = tmp_path
    while str(parent) != "/":
        os.chmod(parent, os.stat(parent).st_mode | stat.S_IXOTH)
        parent = parent.parent
    done = trace.subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
         stack.program("flowtrace"), "capture", "--tap", str(tap), "--out",
         str(tmp_path / "out")], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1, done.stderr
    assert "setcap cap_net_raw+ep" in done.stderr and done.stderr.count("\n") == 1
    assert front.running()


def test_shift_from_wiresharks_numbers(running, peer):
    """Without a SYN Wireshark counts from the first number it sees: ws_shift leads to ours."""
    front, attach = running
    old = peer(front)
    assert old.get("/size/1000").status == 200
    tracer, folder = attach()
    trace.settle(0.15)
    assert old.get("/size/20").status == 200
    old.close()
    trace.wait_flows(folder, 1)
    tracer.stop()
    line, = trace.flows(folder)
    rows = {row["frame"]: row for row in trace.Segments(trace.dump_of(folder)).rows}
    shifts = {conn["leg"]: conn["ws_shift"] for conn in trace.conns(folder)}
    for name, leg in trace.legs(line):
        for part in ("request", "response"):
            sender = "local" if (name == "backend") == (part == "request") else "peer"
            seen = rows[leg[part]["frames"][0]]
            assert leg[part]["seq"] > seen["seq"]
            assert leg[part]["seq"] == (seen["seq"] + shifts[name][sender]) % (1 << 32)
