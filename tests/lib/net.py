"""A small network of our own: two namespaces with a cable between them, and loss on it.

The proxy, its tracer and the backend live in `front`, clients in `away`; the cable's ends have the
addresses FRONT and AWAY. Nothing of it touches the machine's own network.
"""

import contextlib
import ctypes
import os
import subprocess

FRONT = "10.77.0.1"
AWAY = "10.77.0.2"
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def run(*command):
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


@contextlib.contextmanager
def inside(name):
    """Sockets that this thread makes belong to that namespace."""
    with open("/proc/thread-self/ns/net", "rb") as here, open(f"/run/netns/{name}", "rb") as there:
        if LIBC.setns(there.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            LIBC.setns(here.fileno(), CLONE_NEWNET)


class Net:
    """Made by start(), gone after stop()."""

    def __init__(self):
        mark = f"{os.getpid() % 100000}"
        self.front = f"flowtest-front-{mark}"
        self.away = f"flowtest-away-{mark}"
        self.cable = f"ff{mark}"
        self.wrapper = ("ip", "netns", "exec", self.front)

    def start(self):
        for name in (self.front, self.away):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", self.front, "link", "add", self.cable, "type", "veth", "peer", "name",
            "far", "netns", self.away)
        for name, link, address in ((self.front, self.cable, FRONT), (self.away, "far", AWAY)):
            run("ip", "-n", name, "address", "add", f"{address}/24", "dev", link)
            run("ip", "-n", name, "link", "set", link, "up")

    def stop(self):
        for name in (self.front, self.away):
            subprocess.run(("ip", "netns", "del", name), check=False, capture_output=True)

    def lose(self, percent, ways=("input", "output"), larger_than=0):
        """So many of a hundred TCP packets are lost on the client's side, at equal distances."""
        some = f"meta length > {larger_than} "
        some += f"numgen inc mod {100 // percent} == 0" if percent < 100 else ""
        chains = "\n".join(
            f" chain {way} {{ type filter hook {way} priority 0; ip protocol tcp {some} drop; }}"
            for way in ways)
        run("ip", "netns", "exec", self.away, "nft", f"table ip lossy {{\n{chains}\n}}")

    def lose_nothing(self):
        run("ip", "netns", "exec", self.away, "nft", "delete table ip lossy")
