"""A backend and a client that behaves, each a process of its own: while a test's interpreter is busy
with thousands of connections, neither of them waits for it.

Backend    /large/N  sends N bytes for as long as they are taken
           /deaf     reads no byte of the body and never answers
           else      reads the body, whatever it is, and answers "ok"
Bystander  POSTs of a few hundred bytes, one after the other, each eighth on a new connection
"""

import json
import os
import re
import selectors
import socket
import statistics
import subprocess
import sys
import time

from origin import response
import certs
import peer as peers
import tls_mode
import tls_peer
import wire

BLOCK = memoryview(bytes(1 << 20))
BODY = b"<soap:Envelope>" + b"x" * 300 + b"</soap:Envelope>"
FRESH_EVERY = 8
ANSWER = response(b"ok")
DEAF = []  # connections that nobody reads, open until the end


# ---- the backend's process ------------------------------------------------------------------------

class Served:
    """One connection of the backend, in a loop with all others: no thread waits for another."""

    def __init__(self, sock, loop):
        self.sock = sock
        self.loop = loop
        self.head = b""
        self.end = b""  # of what has come of a body in chunks
        self.framing = None
        self.left = 0  # of a body by length
        self.to_send = 0  # of a large answer
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop.register(sock, selectors.EVENT_READ, self)

    def close(self):
        self.loop.unregister(self.sock)
        self.sock.close()

    def ready(self, what):
        try:
            if what & selectors.EVENT_WRITE:
                self.to_send -= self.sock.send(BLOCK[:min(self.to_send, len(BLOCK))])
                if self.to_send == 0:
                    self.loop.modify(self.sock, selectors.EVENT_READ, self)
            if what & selectors.EVENT_READ:
                data = self.sock.recv(1 << 16)
                if not data:
                    self.close()
                while data:
                    data = self.read(data)
        except BlockingIOError:
            pass
        except OSError:
            self.close()

    def read(self, data):
        """Returns what is left of it, for the next message."""
        if self.framing is None:
            head, mark, rest = (self.head + data).partition(b"\r\n\r\n")
            self.head = b"" if mark else head
            if mark:
                self.begin(head)
            return rest
        if self.framing == "deaf":
            return b""  # came with the head; nothing is read from now on
        if self.framing == "chunked":
            self.end = (self.end + data)[-4:]
            if self.end == b"\r\n\r\n":  # no chunk here holds these bytes
                self.answer()
            return b""
        used = min(len(data), self.left)
        self.left -= used
        if self.left == 0:
            self.answer()
        return data[used:]

    def begin(self, head):
        kind, _, rest = head.split(b" ")[1].strip(b"/").partition(b"/")
        length = re.search(rb"\r\nContent-Length: (\d+)", head, re.I)
        self.left = int(length.group(1)) if length else 0
        if kind == b"deaf":
            self.framing = "deaf"
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self.loop.unregister(self.sock)
            DEAF.append(self)
        elif kind == b"large":
            # Thousands of them: the kernel shall not hold megabytes for each.
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32768)
            self.sock.send(b"HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n" % rest)
            self.to_send = int(rest)
            self.loop.modify(self.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, self)
        elif re.search(rb"\r\nTransfer-Encoding: chunked", head, re.I):
            self.framing, self.end = "chunked", b""
        elif self.left > 0:
            self.framing = "length"
        else:
            self.answer()

    def answer(self):
        self.framing = None
        self.sock.send(ANSWER)


def run_backend():
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    loop = selectors.DefaultSelector()
    loop.register(listener, selectors.EVENT_READ)
    loop.register(sys.stdin, selectors.EVENT_READ)
    while True:
        for key, what in loop.select():
            if key.fileobj is sys.stdin:
                return
            if key.fileobj is listener:
                Served(listener.accept()[0], loop)
            else:
                key.data.ready(what)


# ---- the bystander's process ----------------------------------------------------------------------

def exchange_for(address, seconds, tls):
    took, failed, client = [], [], None
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        try:
            if client is None:
                client = peers.Peer(address, tls=tls)
            got = client.post(BODY, "/bystander")
            if got.status != 200:
                failed.append(f"status {got.status}")
                client = None
        except (wire.Truncated, wire.Closed, OSError) as error:
            failed.append(repr(error))
            client = None
        took.append(time.monotonic() - began)
        if client is not None and len(took) % FRESH_EVERY == 0:
            client.close()
            client = None
    return {"count": len(took), "failed": failed, "median_s": statistics.median(took),
            "most_s": max(took)}


def run_bystander(address, trust):
    tls = tls_peer.client_context(trust) if trust else False
    for line in sys.stdin:
        print(json.dumps(exchange_for(address, float(line), tls)), flush=True)


# ---- the test's side ------------------------------------------------------------------------------

class Apart:
    def __init__(self, *arguments):
        self.child = subprocess.Popen([sys.executable, os.path.abspath(__file__), *arguments],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def stop(self):
        self.child.stdin.close()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child.stdout.close()


class Backend(Apart):
    def __init__(self):
        super().__init__("backend")
        self.url = self.child.stdout.readline().strip()


class Bystander(Apart):
    """begin(seconds), then result(): {count, failed, median_s, most_s}."""

    def __init__(self, address):
        trust = certs.ca().cert if address in tls_mode.LISTENERS else ""
        super().__init__("bystander", address[0], str(address[1]), trust)
        self.exchanges = 0

    def begin(self, seconds):
        self.child.stdin.write(f"{seconds}\n")
        self.child.stdin.flush()

    def result(self):
        result = json.loads(self.child.stdout.readline())
        self.exchanges += result["count"]
        return result

    def measure(self, seconds):
        self.begin(seconds)
        return self.result()


if __name__ == "__main__":
    if sys.argv[1] == "backend":
        run_backend()
    else:
        run_bystander((sys.argv[2], int(sys.argv[3])), sys.argv[4])
