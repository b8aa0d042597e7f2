"""A name server for one test: answers A questions from a table that the test may change.

It listens on port 53 of a loopback address of its own, and `wrapper` is the command that shows a
program a resolv.conf naming it (in a mount namespace of that program; needs root).
"""

import os
import random
import socket
import struct
import threading

NXDOMAIN, SERVFAIL = 3, 2


class Nameserver:
    """records: {name: [addresses] | NXDOMAIN | SERVFAIL | None (no answer at all)}"""

    def __init__(self, workdir, records, ttl_s=60):
        self.records = records
        self.ttl_s = ttl_s
        self.questions = []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        while True:
            self.address = f"127.{random.randint(64, 127)}.{random.randint(0, 255)}." \
                           f"{random.randint(1, 254)}"
            try:
                self.sock.bind((self.address, 53))
                break
            except OSError:
                continue
        self.conf = os.path.join(str(workdir), "resolv.conf")
        with open(self.conf, "w", encoding="ascii") as f:
            f.write(f"nameserver {self.address}\n")
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    @property
    def wrapper(self):
        return ["unshare", "-m", "sh", "-c",
                'mount --bind "$0" /etc/resolv.conf && exec "$@"', self.conf]

    def _run(self):
        while True:
            try:
                question, peer = self.sock.recvfrom(512)
            except OSError:
                return
            if not question:
                return
            answer = self._answer(question)
            if answer:
                self.sock.sendto(answer, peer)

    def _answer(self, question):
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode("ascii"))
            at += 1 + question[at]
        kind = struct.unpack("!H", question[at + 1:at + 3])[0]
        asked = question[12:at + 5]
        name = ".".join(labels).lower()
        self.questions.append((name, kind))
        known = self.records.get(name, NXDOMAIN)
        if known is None:
            return None
        code = known if isinstance(known, int) else 0
        found = known if not code and kind == 1 else []
        head = question[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(found), 0, 0)
        return head + asked + b"".join(
            b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, self.ttl_s, 4) + socket.inet_aton(address)
            for address in found)

    def stop(self):
        # a datagram without a byte ends the thread
        self.sock.sendto(b"", (self.address, 53))
        self.thread.join(5)
        self.sock.close()
