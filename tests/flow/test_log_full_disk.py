"""A full disk costs log lines, counted and said, never requests."""

import errno
import os
import subprocess
import time

import pytest

import log


def test_dev_full(origin, proxy, peer):
    front = proxy(origin(), access_log="/dev/full")
    client = peer(front)
    for _ in range(20):
        assert client.get().status == 200
        time.sleep(0.01)
    front.wait_stderr(r"lost|No space|not written|cannot write")
    front.stop()


def fill(path):
    """Until not a byte is left."""
    fd = os.open(path, os.O_CREAT | os.O_WRONLY)
    try:
        while True:
            os.write(fd, b"x" * 4096)
    except OSError as error:
        assert error.errno == errno.ENOSPC
    finally:
        os.close(fd)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    path = tmp_path / "small"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(path)], check=True)
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def test_whole_lines_before_and_after_a_full_disk(origin, proxy, peer, small_disk):
    ballast = small_disk / "ballast"
    path = str(small_disk / "proxy.ndjson")
    front = proxy(origin(), access_log=path)
    client = peer(front)
    for n in range(5):
        client.get(f"/before/{n}")
    front.lines(5)
    fill(ballast)
    for n in range(60):
        assert client.get(f"/full/{n}").status == 200
    front.wait_stderr(r"lost|No space|not written|cannot write")
    ballast.unlink()
    deadline = time.monotonic() + 10
    lines = []
    while time.monotonic() < deadline:
        assert client.get("/after").status == 200
        time.sleep(0.05)
        lines = log.read_lines(path)
        if lines and lines[-1]["target"] == "/after":
            break
    targets = [line["target"] for line in lines]
    assert targets[:5] == [f"/before/{n}" for n in range(5)]
    assert targets[-1] == "/after"
    front.stop()
    with open(path, "rb") as f:
        assert f.read().endswith(b"}\n")
    log.check_log(log.read_lines(path))
