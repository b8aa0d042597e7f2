#!/usr/bin/python3
"""Clients and a backend that misbehave at random, by plans that a seed decides.

    tests/lib/random_peers.py [--seed N] [--exchanges N] [--set KEY=VALUE] [--binary FILE]

Both sides write down what they sent and saw, byte for byte; random_judge holds the two journals and
the proxy's log together. Run alone it starts a flowproxy before the backend, runs one seed and says
what does not agree.
"""

import argparse
import collections
import errno
import functools
import os
import random
import socket
import sys
import tempfile
import threading
import time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data"))

import random_judge  # noqa: E402
import random_plan  # noqa: E402
import stack  # noqa: E402
import wire  # noqa: E402

CLIENTS = 32
HANG_S = 30.0  # no limit of the proxy's is that long
CONTINUE_S = 0.15
SETTINGS = {"header_timeout_ms": 1000, "body_timeout_ms": 1000, "send_timeout_ms": 3000,
            "backend_timeout_ms": 1500, "idle_timeout_ms": 5000, "pool_idle_ms": 500,
            "tunnel_timeout_ms": 5000, "max_header_bytes": 8192, "stop_ms": 3000}
# a seed's proxy has one of these besides
VARIANTS = [{}, {"workers": 2, "max_requests": 3, "pool_size": 1}, {"log.soap": "full"},
            {"workers": 3, "request_ids": "keep", "max_age_ms": 50, "pool_size": 2},
            {"log.soap": "full", "workers": 2, "pool_size": 0}]


class Sent:
    """What a client did of one exchange, and what came of it."""

    def __init__(self, plan, first):
        self.plan = plan
        self.first = self.past = first
        self.whole = False
        self.got = None  # response, tunnel; truncated, closed (no byte): by the other side; left
        self.how = None  # eof, reset, timeout
        self.response = None  # wire.Message, without its body
        self.body_is_right = None
        self.closing = False  # the response said that the connection ends

    @property
    def reply_name(self):
        return self.response.get("X-Reply") if self.response else None


class Seen:
    """One request that reached the backend, and what it was told."""

    def __init__(self, name, stream, first):
        self.name = name
        self.remote = stream.remote_text
        self.first = self.past = first
        self.whole = False
        self.body_is_right = None
        self.reply = None
        self.reply_first = None
        self.reply_whole = False


class Left(Exception):
    """The client has closed its connection, as its plan said."""


def half_close(stream):
    """End our direction, of a connection that may be gone already."""
    try:
        stream.half_close()
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise


# ---- the backend -------------------------------------------------------------------------------

class Backend:
    """Serves each connection by the plans of the requests that come on it."""

    def __init__(self, seed):
        self.seed = seed
        self.seen = collections.defaultdict(list)  # (session, index) -> [Seen]
        self.faults = []
        self.lock = threading.Lock()
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.session = functools.lru_cache(256)(functools.partial(random_plan.Session, seed))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._run, args=(sock, self.connections), daemon=True).start()

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _run(self, sock, number):
        try:
            stream = wire.Stream(sock, HANG_S, keep_bytes=0)
        except OSError:
            sock.close()
            return
        try:
            self._serve(stream, random.Random(f"{self.seed}/conn{number}"))
        except (wire.Closed, wire.Truncated, ConnectionError):
            pass
        except (wire.BadMessage, socket.timeout) as error:
            self.faults.append(f"backend connection {number}: {error!r}")
        finally:
            stream.close()

    def _serve(self, stream, rnd):
        kind = rnd.random()
        if kind < 0.01:
            stream.reset()
            return
        if kind < 0.02:
            stream.read_exactly(rnd.randint(1, 40))
            if rnd.random() < 0.5:
                stream.reset()
            return
        while self._exchange(stream):
            pass

    def _exchange(self, stream):
        """One request and its reply; False when the connection is over."""
        try:
            head = stream.read_head()
        except wire.Truncated:
            self.faults.append(f"{stream.remote_text}: a request head that was cut")
            raise
        name = head.get("X-Plan")
        if name is None or head.target != f"/r/{name}":
            self.faults.append(f"a request that nobody sent: {head.head!r}")
            return False
        number, index = map(int, name.split("/"))
        plan = self.session(number).plans[index]
        seen = Seen(name, stream, head.first)
        with self.lock:
            self.seen[number, index].append(seen)
            arrival = len(self.seen[number, index])
        seen.reply = reply = plan.reply(arrival)
        seen.past = stream.taken
        if plan.upgrades:
            seen.whole = seen.body_is_right = True
            self._tunnel(stream, plan, seen)
            return False
        if reply.manner == "early":
            self._say(stream, seen)
            self._read_body(stream, head, plan, seen)
        else:
            if head.get("Expect") and reply.says_continue:
                stream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._read_body(stream, head, plan, seen)
            if reply.manner == "silent":
                stream.skip_to_end()
                return False
            if reply.manner != "refuse":
                self._say(stream, seen)
        if reply.manner in ("refuse", "cut") and reply.reset:
            stream.reset()
        return reply.manner in ("good", "early", "extra") and not reply.closes

    @staticmethod
    def _read_body(stream, head, plan, seen):
        framing, length = wire.body_framing(head)
        try:
            head.framing = framing
            stream._read_body(head, length, True)  # the head was read apart from it
        finally:
            seen.past = stream.taken
        seen.whole = True
        seen.body_is_right = head.body == plan.body

    @staticmethod
    def _say(stream, seen):
        reply = seen.reply
        if reply.manner != "malformed":
            stream.send(reply.interim)
        first = seen.reply_first = stream.sent
        try:
            for piece in reply.pieces:
                stream.send(piece)
                if reply.pause_s:
                    time.sleep(reply.pause_s)
        finally:
            seen.reply_whole = (reply.manner != "malformed"
                                and stream.sent - first >= reply.whole_bytes)

    @staticmethod
    def _tunnel(stream, plan, seen):
        seen.reply_first = stream.sent
        stream.send(plan.switching() + plan.down)
        seen.reply_whole = stream.read_exactly(len(plan.up)) == plan.up
        if not plan.client_closes:
            half_close(stream)
        stream.skip_to_end()


# ---- the clients -------------------------------------------------------------------------------

class Client:
    """One session: connects, sends, reads, leaves."""

    def __init__(self, seed, number, address):
        self.session = random_plan.Session(seed, number)
        self.sent = []
        self.fault = None
        self.ended = None  # by the proxy: eof or reset; by us: left
        sock = socket.socket()
        sock.settimeout(HANG_S)
        sock.bind((self.session.address, 0))
        sock.connect(address)
        self.stream = wire.Stream(sock, HANG_S, keep_bytes=0)
        self.local = self.stream.local_text

    def run(self):
        try:
            for batch in self.session.batches:
                if not self._batch(batch):
                    break
            else:
                self.ended = "left"
                if self.session.closes_with_reset:
                    self.stream.reset()
        except Left:
            self.ended = "left"
        except wire.BadMessage as error:
            self.fault = f"a response that is none: {error}"
        finally:
            self.stream.close()

    def _batch(self, batch):
        """Send these and read their responses. False: the connection is over."""
        mine, go_on = [], True
        for plan in batch:
            sent = Sent(plan, self.stream.sent)
            go_on = self._send(sent)
            if sent.past > sent.first:
                mine.append(sent)
                self.sent.append(sent)
            if not go_on:
                break
        for sent in mine:
            self._leave_unread(sent)
            self._read(sent)
            if sent.got != "response" or sent.closing:
                go_on = False
                break
        if not go_on:
            self._read_end()
        return go_on

    def _send(self, sent):
        """False when not all of it left, so that nothing can follow."""
        plan = sent.plan
        try:
            if plan.expects:
                return self._send_expecting(sent)
            for piece in plan.pieces:
                self.stream.send(piece)
                if plan.pause_s and len(plan.pieces) < 10:
                    time.sleep(plan.pause_s)
            sent.whole = plan.fault not in ("cut head", "cut body", "stall in head",
                                            "stall in body", "malformed")
            if plan.fault == "half close":
                half_close(self.stream)
        except ConnectionError:
            sent.whole = False
        finally:
            sent.past = self.stream.sent
        return sent.whole and plan.fault is None

    def _send_expecting(self, sent):
        """The body only when it is asked for, or when nobody says a word."""
        self.stream.send(sent.plan.head)
        self.stream.sock.settimeout(CONTINUE_S)
        try:
            go_on = self.stream.peek_status() < 200
        except wire.Truncated as end:
            go_on = end.how == "timeout"
        finally:
            self.stream.sock.settimeout(HANG_S)
        if go_on:
            self.stream.send(sent.plan.payload)
            sent.whole = True
        return go_on

    def _leave(self, sent):
        sent.got = "left"
        if sent.plan.reset:
            self.stream.reset()
        raise Left

    def _leave_unread(self, sent):
        """Those who do not wait for their response."""
        plan = sent.plan
        if plan.fault in ("cut head", "cut body", "leave at once"):
            self._leave(sent)
        if plan.fault == "leave in response":
            try:
                self.stream.read_exactly(plan.reply_bytes_read)
            except wire.Truncated:
                pass
            self._leave(sent)

    def _read(self, sent):
        try:
            sent.response = self.stream.read_response(sent.plan.method)
        except wire.Closed as end:
            sent.got, sent.how = "closed", end.how
            return
        except wire.Truncated as end:
            sent.got, sent.how, sent.response = "truncated", end.how, end.message
            return
        self._note_response(sent)
        if sent.plan.slow_reader:
            time.sleep(0.02)

    def _note_response(self, sent):
        response, plan = sent.response, sent.plan
        sent.got = "response"
        connection = (response.get("Connection") or "").lower()
        sent.closing = connection == "close" or response.framing == "close" \
            or (plan.minor == 0 and connection != "keep-alive")
        if response.status == 101:
            self._tunnel(sent)
            return
        if sent.reply_name:
            session, index, arrival = sent.reply_name.split("/")
            reply = plan.reply(int(arrival))
            sent.body_is_right = (f"{session}/{index}" == plan.name
                                  and response.status == reply.status
                                  and response.body == reply.body)
        else:
            sent.body_is_right = b"xchange" in response.body or plan.method == "HEAD"
        response.body = b""

    def _tunnel(self, sent):
        plan = sent.plan
        sent.got = "tunnel"
        try:
            self.stream.send(plan.up)
            sent.body_is_right = self.stream.read_exactly(len(plan.down)) == plan.down
            if plan.client_closes:
                half_close(self.stream)
        except (wire.Truncated, ConnectionError):
            sent.got = "truncated"

    def _read_end(self):
        """The proxy ends the connection, and sends nothing more."""
        if self.stream.ended is None:
            try:
                rest, _ = self.stream.read_to_end()
            except socket.timeout:
                self.fault = "the connection was not ended"
                return
            if rest:
                self.fault = f"bytes behind the last response: {rest[:200]!r}"
        self.ended = self.stream.ended


class Run:
    """One seed: sessions, many at a time, until so many exchanges were begun."""

    def __init__(self, seed, exchanges, address, soap_is_read=False):
        self.seed = seed
        self.exchanges = exchanges
        self.soap_is_read = soap_is_read
        self.address = address
        self.clients = []
        self.errors = []
        self.begun = 0
        self.sessions = 0
        self.lock = threading.Lock()

    def _next(self):
        with self.lock:
            if self.begun >= self.exchanges:
                return None
            self.sessions += 1
            return self.sessions

    def _work(self):
        for number in iter(self._next, None):
            try:
                client = Client(self.seed, number, self.address)
                self.clients.append(client)
                client.run()
                with self.lock:
                    self.begun += len(client.sent)
            except Exception as error:  # pylint: disable=broad-except
                self.errors.append(f"session {number}: {error!r}")

    def run(self):
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(CLIENTS)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()


def play(seed, exchanges, workdir, binary=None, settings=None):
    """One seed before a proxy of its own: (findings, counts, number of lines)."""
    backend = Backend(seed)
    settings = {**SETTINGS, **VARIANTS[seed % len(VARIANTS)], **(settings or {})}
    front = stack.Flowproxy(backend.url, workdir, settings=settings, binary=binary)
    try:
        files = front.open_files()
        run = Run(seed, exchanges, front.address, settings.get("log.soap") == "full")
        run.run()
        until = time.monotonic() + 10
        while front.open_files() > files and time.monotonic() < until:
            time.sleep(0.05)
        left_open = front.open_files() - files
        front.stop()
    finally:
        front.kill()
        backend.stop()
    found, counts, lines = random_judge.judge(run, backend, front.log_path)
    if left_open > 0:
        found.append(f"{left_open} descriptors were left open")
    return found, counts, lines


def main(arguments):
    parser = argparse.ArgumentParser(prog="tests/lib/random_peers.py",
                                     description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1, help="that many, one after the other")
    parser.add_argument("--exchanges", type=int, default=5000)
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE of flowproxy")
    parser.add_argument("--binary", help="the flowproxy to run")
    options = parser.parse_args(arguments)
    failed = 0
    for seed in range(options.seed, options.seed + options.seeds):
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as workdir:
            found, counts, lines = play(seed, options.exchanges, workdir, options.binary,
                                        dict(each.split("=", 1) for each in options.set))
        print(f"seed {seed}: {lines} exchanges in {time.monotonic() - began:.0f} s: "
              + ", ".join(f"{n} {word}" for word, n in sorted(counts.items())))
        if found:
            print(random_judge.of(found, f"seed {seed}"))
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
