"""SIGUSR1: the log's path is opened again, as logrotate wants it."""

import os
import signal
import time

import log


def test_renamed_and_reopened(origin, proxy, peer):
    front = proxy(origin())
    client = peer(front)
    client.get("/before")
    front.lines(1)
    old = front.log_path + ".1"
    os.rename(front.log_path, old)
    front.signal(signal.SIGUSR1)
    deadline = time.monotonic() + 5
    count = 0
    while not os.path.exists(front.log_path) and time.monotonic() < deadline:
        client.get(f"/between/{count}")
        count += 1
        time.sleep(0.02)
    client.get("/after")
    front.stop()
    new_lines, old_lines = log.read_lines(front.log_path), log.read_lines(old)
    targets = [line["target"] for line in old_lines + new_lines]
    assert targets == ["/before"] + [f"/between/{n}" for n in range(count)] + ["/after"]
    assert new_lines and new_lines[-1]["target"] == "/after"
    log.check_log(old_lines + new_lines)


def test_while_requests_run(origin, proxy, peer):
    front = proxy(origin())
    client = peer(front)
    total = 0
    files = []
    for n in range(5):
        for _ in range(40):
            client.get(f"/{total}")
            total += 1
        files.append(f"{front.log_path}.{n}")
        if os.path.exists(front.log_path):
            os.rename(front.log_path, files[-1])
        front.signal(signal.SIGUSR1)
    front.stop()
    lines = []
    for path in files + [front.log_path]:
        lines += log.read_lines(path)
    assert [line["target"] for line in lines] == [f"/{n}" for n in range(total)]


def test_a_torn_last_line_is_cut_before_appending(origin, proxy, peer, tmp_path):
    path = tmp_path / "kept.ndjson"
    path.write_bytes(b'{"whole":1}\n{"torn":')
    front = proxy(origin(), access_log=str(path))
    peer(front).get()
    front.stop()
    lines = path.read_bytes().splitlines()
    assert lines[0] == b'{"whole":1}' and len(lines) == 2
    log.check_line(log.read_lines(path)[1])
    path.unlink()
