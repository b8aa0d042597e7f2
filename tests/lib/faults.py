"""Calls of flowproxy that fail when a test says so: the other side of tools/preload/fail-calls.c.

    faults = Faults(tmp_path)
    front = proxy(backend, env=faults.env)
    faults.arm("recv", errno.ECONNRESET, first=3)     the third recv() from now on, once
    faults.arm("send", SHORT, count=EVER)             each send() takes one byte
    faults.arm("send", HELD)                          the next send() waits until faults.off()
    ...
    assert faults.hits("recv") == 1
    faults.off()
"""

import mmap
import os
import struct
import subprocess
import time

import pytest

from errands import Errands, backend
import stack

SHORT = 0  # in place of an errno: one byte of what was asked
HELD = -1  # in place of an errno: the call waits until it is no longer armed
EVER = 1 << 62
ANY, STREAM, DATAGRAM, LOCAL, FILE, OTHER = range(6)
CALLS = ("accept4", "socket", "connect", "setsockopt", "getsockopt", "getsockname", "recv",
         "recvfrom", "send", "sendmsg", "shutdown", "epoll_ctl", "epoll_wait", "eventfd", "read",
         "write", "open", "close", "ioctl", "malloc", "calloc", "realloc", "aligned_alloc",
         "pthread_create")
SLOT = struct.Struct("=16sIiIIQQQQ")
SLOT_BYTES = 64
AVAILABLE = not stack.WRAP and stack.SANITIZE != "thread"
LIBRARY = stack.program(os.path.join("tools", "fail-calls.so"))


class Faults:
    def __init__(self, workdir, name="faults"):
        if not AVAILABLE:
            pytest.skip("the library that fails calls does not go with this wrapper or sanitizer")
        path = os.path.join(str(workdir), name)
        size = SLOT_BYTES * (1 + len(CALLS))
        with open(path, "w+b") as f:
            f.truncate(size)
            self.shared = mmap.mmap(f.fileno(), size)
        self.env = {"FAIL_CALLS": path, "LD_PRELOAD": LIBRARY}
        if stack.SANITIZE == "address":
            # Ours first: what it does not fail, it passes on to AddressSanitizer's.
            self.env["LD_PRELOAD"] += " " + sanitizer_library("libasan.so")
            self.env["ASAN_OPTIONS"] = ":".join(filter(None, [
                os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0"]))

    def arm(self, call, error, first=1, count=1, every=1, kind=ANY):
        """From now on the first-th call fails, and `count` in all, each `every`-th."""
        at = self._at(call)
        self._put("I", at + 16, 0)
        SLOT.pack_into(self.shared, at, call.encode(), 0, error, kind, every, first, count, 0, 0)
        self._put("I", at + 16, 1)

    def count(self, call, kind=ANY):
        """Only count from now on."""
        self.arm(call, 0, count=0, kind=kind)

    def off(self):
        for call in CALLS:
            self._put("I", self._at(call) + 16, 0)

    def seen(self, call):
        return self._get("Q", self._at(call) + 48)

    def hits(self, call):
        return self._get("Q", self._at(call) + 56)

    @property
    def working(self):
        """A program has taken the file for its own."""
        return self._get("I", 0) != 0

    @property
    def bad_closes(self):
        return self._get("I", 4)

    @staticmethod
    def _at(call):
        return SLOT_BYTES * (1 + CALLS.index(call))

    def _put(self, kind, at, value):
        struct.pack_into("=" + kind, self.shared, at, value)

    def _get(self, kind, at):
        return struct.unpack_from("=" + kind, self.shared, at)[0]


def sanitizer_library(name):
    """The one that the build was linked with."""
    listing = subprocess.run(["ldd", stack.program("flowproxy")], capture_output=True, text=True,
                             check=True).stdout
    for line in listing.splitlines():
        if name in line:
            return line.split()[2]
    pytest.skip(f"{name} is linked into the program, where nothing can go before it")
    return None


class Rig:
    """A proxy whose calls can be made to fail, errands through it, and how all was before."""

    def __init__(self, origin, proxy, tmp_path, url="http://127.0.0.1", **options):
        self.backend = origin(backend)
        self.backend.forgive = True  # when the proxy's calls fail it sees strange ends
        self.faults = Faults(tmp_path)
        self.front = proxy(f"{url}:{self.backend.port}", env=self.faults.env, **options)
        assert self.faults.working
        self.errands = Errands(self.front)
        self.whole = self.errands.run()
        self.files = self.settled_files()

    def settled_files(self):
        """Open descriptors when no client and no backend is left."""
        for conn in list(self.backend.conns):
            try:
                conn.sock.shutdown(2)
            except OSError:
                pass
        until = time.monotonic() + 10
        last, since = -1, 0.0
        while time.monotonic() < until:
            now = self.front.open_files()
            if now != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > 0.05 and now <= getattr(self, "files", now):
                break
            time.sleep(0.01)
        return last

    def finish(self):
        """Nothing fails any more: all is as it was. Returns the log's lines."""
        self.faults.off()
        assert self.front.running(), self.front.stderr
        assert self.errands.run("afterwards") == self.whole, "it does not serve as before"
        lines = self.errands.judge()
        assert self.settled_files() == self.files, "descriptors are lost"
        assert self.faults.bad_closes == 0, "closed what was not open"
        before = self.front.cpu_s()
        time.sleep(0.1)
        assert self.front.cpu_s() - before <= 0.03, "it does not come to rest"
        return lines
