"""A scriptable, byte-exact backend: one thread per connection, each runs a script.

A script is a function that is given the connection (an OriginConn). Everything that it reads and
sends is recorded with the connection's number, from 1. An exception in a script fails the test when
the origin is stopped, unless the test said `forgive`.
"""

import errno
import socket
import threading
import time

import tls_mode
import tls_peer
import wire


def response(body=b"ok", status="200 OK", fields=(), framing="length"):
    """A response as bytes. framing: "length", "chunked" (one chunk) or "close"."""
    lines = [f"HTTP/1.1 {status}".encode()]
    lines += [f.encode() if isinstance(f, str) else f for f in fields]
    if framing == "length":
        lines.append(b"Content-Length: %d" % len(body))
    elif framing == "chunked":
        lines.append(b"Transfer-Encoding: chunked")
        body = wire.chunked(body)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def answer(*responses):
    """A script: each request gets the next response, the last one again and again, until EOF."""
    responses = responses or (response(),)

    def script(conn):
        for n in range(1 << 30):
            if conn.next_request() is None:
                return
            conn.reply(responses[min(n, len(responses) - 1)])

    return script


def answer_and_close(raw):
    """A script: one request, one response, then close."""

    def script(conn):
        if conn.next_request() is not None:
            conn.reply(raw)

    return script


def echo(conn):
    """A script: the body of each request comes back, with its method and target."""
    while True:
        request = conn.next_request()
        if request is None:
            return
        conn.reply(response(request.body, fields=[f"X-Method: {request.method}",
                                                  f"X-Target: {request.target}"]))


class OriginConn(wire.Stream):
    """The backend's end of one connection."""

    def __init__(self, sock, number, origin):
        super().__init__(sock)
        self.number = number
        self.origin = origin
        self.requests = []
        self.done = threading.Event()

    def next_request(self, keep=True):
        """The next whole request; None when the peer closed between two requests."""
        try:
            request = self.read_request(keep)
        except wire.Closed as end:
            assert end.how == "eof", f"backend connection {self.number}: {end}"
            return None
        request.conn = self
        self.requests.append(request)
        with self.origin.changed:
            self.origin.requests.append(request)
            self.origin.changed.notify_all()
        return request

    def reply(self, raw):
        """Send the answer to the last request and remember which bytes of the stream it was; what
        is sent by further calls belongs to it too."""
        request = self.requests[-1]
        # before sending: the test may look as soon as its client has the answer
        request.reply_range = [(request.reply_range or [self.sent])[0], self.sent + len(raw)]
        self.send(raw)

    def reply_interim(self, raw):
        """The same for a 1xx response."""
        request = self.requests[-1]
        request.interim_range = [(request.interim_range or [self.sent])[0], self.sent + len(raw)]
        self.send(raw)


def url_of(text, tls=tls_mode.BACKEND):
    """The URL of a backend at that address, by default as the mode has them."""
    return f"{'https' if tls else 'http'}://{text}"


class Origin:
    """The listening side. script: one function for all connections, or a list in their order, of
    which the last serves all further ones.

    tls: a context of tls_peer; None: as the mode says (tls_mode.py); False: plain in any case. A
    connection whose handshake fails runs no script; what failed stands in `refused`."""

    def __init__(self, script=None, family=socket.AF_INET, address=None, recv_buffer=None,
                 max_segment=None, tls=None):
        self.scripts = script if isinstance(script, (list, tuple)) else [script or answer()]
        self.changed = threading.Condition()
        self.conns = []
        self.requests = []  # whole ones, in the order in which they were read
        self.errors = []
        self.refused = []  # of handshakes that failed
        self.tls_class = tls_peer.TlsSocket
        self.tls = tls_mode.origin_context() if tls is None and tls_mode.BACKEND else tls
        self.forgive = False
        self.released = False
        self.threads = []
        self.stopped = threading.Event()
        self.listener = socket.socket(family)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if recv_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, recv_buffer)
        if max_segment:
            self.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, max_segment)
        self.listener.bind(address or ("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        self.listener.listen(512)
        self.port = self.listener.getsockname()[1]
        self.text = wire.address_text(self.listener.getsockname())
        self.url = url_of(self.text, self.tls)
        self._say_what_it_speaks(self.listener.getsockname()[:2])
        self._start(self._accept)

    def _say_what_it_speaks(self, address):
        for known, what in ((tls_mode.ORIGINS, self.port), (tls_mode.LISTENERS, address)):
            (known.add if self.tls else known.discard)(what)

    def _start(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            try:
                if self.tls:
                    sock = self.tls_class(sock, self.tls, server=True, handshake=False)
                conn = OriginConn(sock, len(self.conns) + 1, self)
            except OSError:  # the peer reset it already
                sock.close()
                continue
            with self.changed:
                self.conns.append(conn)
                self.changed.notify_all()
            self._start(self._run, conn)

    def _run(self, conn):
        script = self.scripts[min(conn.number, len(self.scripts)) - 1]
        try:
            if self._shake_hands(conn):
                script(conn)
        except Exception as error:  # pylint: disable=broad-except
            if not self.stopped.is_set():
                self.errors.append((conn.number, error))
        finally:
            conn.close()
            conn.done.set()

    def _shake_hands(self, conn):
        if not self.tls:
            return True
        try:
            conn.sock.handshake()
            return True
        except OSError as error:
            with self.changed:
                self.refused.append(error)
                self.changed.notify_all()
            return False

    def wait(self, condition, what, timeout_s=10):
        """Until condition() holds."""
        with self.changed:
            if not self.changed.wait_for(condition, timeout_s):
                raise AssertionError(f"the backend never saw {what}")

    def wait_release(self):
        """In a script: until the test says release()."""
        self.wait(lambda: self.released, "the release")

    def release(self):
        with self.changed:
            self.released = True
            self.changed.notify_all()

    def wait_requests(self, count):
        self.wait(lambda: len(self.requests) >= count, f"{count} requests")
        return self.requests[count - 1]

    def wait_conns(self, count):
        self.wait(lambda: len(self.conns) >= count, f"{count} connections")
        return self.conns[count - 1]

    def stop(self):
        self.stopped.set()
        # shutdown wakes the accept that close alone would leave waiting
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for conn in list(self.conns):
            try:
                conn.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        until = time.monotonic() + 5
        for thread in self.threads:
            thread.join(max(0.0, until - time.monotonic()))

    def check(self):
        """No script failed."""
        if self.errors and not self.forgive:
            number, error = self.errors[0]
            raise AssertionError(f"backend connection {number}: {error!r}") from error


HELD = {}


def dead_port():
    """A loopback port on which nobody listens: bound, and held so that nobody else gets it."""
    while True:
        four, six = socket.socket(), socket.socket(socket.AF_INET6)
        four.bind(("127.0.0.1", 0))
        port = four.getsockname()[1]
        try:
            six.bind(("::1", port))
        except OSError as error:
            six.close()
            if error.errno == errno.EADDRINUSE:
                four.close()
                continue
        HELD[port] = (four, six)
        return port


def revive(port):
    """Let go of a dead port: whoever listens on it now is the backend that came back."""
    for each in HELD.pop(port):
        each.close()
