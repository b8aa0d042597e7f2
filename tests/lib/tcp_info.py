"""What the kernel counts of a TCP connection: of a socket of our own (TCP_INFO), and of those of a
process in another namespace (ss, which asks sock_diag)."""

import re
import socket
import struct
import subprocess
import time

UNACKED_AT = 24  # offsets in struct tcp_info (linux/tcp.h)
BYTES_RECEIVED_AT = 128
BYTES_RETRANS_AT = 208


class Counted:
    """bytes_retrans: payload that was sent again; unacked: segments that wait for an ACK;
    bytes_received: in order, read or not (only of a socket of our own)."""

    def __init__(self, bytes_retrans, unacked, bytes_received=None):
        self.bytes_retrans, self.unacked = bytes_retrans, unacked
        self.bytes_received = bytes_received


def of_socket(sock):
    raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 512)
    return Counted(struct.unpack_from("=Q", raw, BYTES_RETRANS_AT)[0],
                   struct.unpack_from("=I", raw, UNACKED_AT)[0],
                   struct.unpack_from("=Q", raw, BYTES_RECEIVED_AT)[0])


def of_namespace(name):
    """{(local, peer): Counted} of the established connections there."""
    said = subprocess.run(("ip", "netns", "exec", name, "ss", "-tinHO", "state", "established"),
                          capture_output=True, text=True, check=True, timeout=20).stdout
    found = {}
    for line in said.splitlines():
        ends = line.split()[2:4]
        number = {key: int(value) for key, value in re.findall(r"\b([a-z_]+):(\d+)\b", line)}
        found[tuple(ends)] = Counted(number.get("bytes_retrans", 0), number.get("unacked", 0))
    return found


def wait_quiet(namespaces, timeout_s=20):
    """Until all that was sent there is acknowledged. What of_namespace() says then, by namespace."""
    until = time.monotonic() + timeout_s
    while True:
        found = {name: of_namespace(name) for name in namespaces}
        waiting = {ends for each in found.values() for ends, c in each.items() if c.unacked}
        if not waiting:
            return found
        assert time.monotonic() < until, f"never acknowledged: {waiting}"
        time.sleep(0.05)
