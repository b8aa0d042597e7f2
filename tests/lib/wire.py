"""One end of a TCP connection, byte-exact: what was sent, what came, where each message began.

A Stream counts every byte of both directions, so that a test can compare its own numbers with the
ranges that the proxy logged; over TLS (tls_peer.TlsSocket) these are plain bytes. Messages are read strictly: anything that RFC 9112 does not allow is a
BadMessage, an end in the middle is a Truncated with what had come until then.
"""

import fcntl
import re
import select
import socket
import struct
import termios
import time

TIMEOUT_S = 10.0
KEEP_BYTES = 4 << 20  # of each direction; longer streams are only counted

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
FIELD_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*\Z")


class BadMessage(Exception):
    """The bytes are no HTTP/1.x message."""


class Truncated(Exception):
    """The stream ended within a message; how is "eof", "reset", "timeout", or "cut" (TLS that
    ended without close_notify)."""

    def __init__(self, how, message=None):
        super().__init__(f"{how} within a message")
        self.how = how
        self.message = message


class Closed(Exception):
    """The stream ended before the first byte of a message; how as in Truncated."""

    def __init__(self, how):
        super().__init__(f"{how} before a message")
        self.how = how


class Message:
    """A request or response: start line, fields in order, body, and its place in the stream."""

    def __init__(self):
        self.start_line = b""
        self.fields = []  # (name, value) as sent
        self.head = b""  # raw, with the empty line
        self.framing = "none"  # none, length, chunked, close
        self.body = b""
        self.body_bytes = 0
        self.chunks = []  # sizes
        self.trailers = []
        self.interim = []  # 1xx responses before this one
        self.interim_range = None  # of those
        self.request_range = None  # of a response: set by who sent the request
        self.reply_range = None  # of a request: set by who answered it
        self.first = 0
        self.past = 0
        self.complete = False

    @property
    def range(self):
        return [self.first, self.past]

    @property
    def status(self):
        return int(self.start_line.split(b" ")[1])

    @property
    def version(self):
        if self.start_line.startswith(b"HTTP/"):
            return self.start_line.split(b" ")[0].decode()
        return self.start_line.rsplit(b" ", 1)[1].decode()

    @property
    def method(self):
        return self.start_line.split(b" ")[0].decode()

    @property
    def target(self):
        return self.start_line.split(b" ")[1].decode("latin-1")

    def all(self, name):
        wanted = name.lower().encode()
        return [v.decode("latin-1") for n, v in self.fields if n.lower() == wanted]

    def get(self, name):
        """The one value of a field, None when it is absent."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} stands {len(values)} times in {self.head!r}"
        return values[0] if values else None

    def names(self):
        return [n.decode("latin-1") for n, _ in self.fields]


class Stream:
    """A connected socket. Everything that waits is bounded by timeout_s."""

    def __init__(self, sock, timeout_s=TIMEOUT_S, keep_bytes=KEEP_BYTES):
        self.sock = sock
        self.timeout_s = timeout_s
        self.keep_bytes = keep_bytes
        self.sent = 0
        self.received = 0
        self.taken = 0  # received and given to a reader: where the next message begins
        self.sent_bytes = bytearray()
        self.received_bytes = bytearray()
        self.ended = None  # "eof", "reset" or "cut" once read
        self.was_reset = False  # send() said so
        self._buffer = bytearray()
        self.local = sock.getsockname()
        self.remote = sock.getpeername()
        sock.settimeout(timeout_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def local_text(self):
        return address_text(self.local)

    @property
    def raw(self):
        """The socket below TLS, or what there is."""
        return getattr(self.sock, "raw", self.sock)

    @property
    def cut(self):
        """Whether TLS ended without close_notify."""
        return getattr(self.sock, "cut", False)

    @property
    def remote_text(self):
        return address_text(self.remote)

    # ---- sending ----

    def send(self, data):
        view = memoryview(data)
        while view:
            try:
                n = self.sock.send(view)
            except ConnectionResetError:
                self.was_reset = True  # said once: what is read at the end looks like a FIN
                raise
            self._count_sent(view[:n])
            view = view[n:]

    def send_pieces(self, pieces, pause_s=0.02):
        """Each piece in a segment of its own, as far as that is up to us."""
        for piece in pieces:
            self.send(piece)
            time.sleep(pause_s)

    def send_some(self, data):
        """What the socket takes now; 0 when it is full."""
        # With a time limit, Python waits for room before it sends, whatever the flag says.
        room = select.poll()
        room.register(self.sock, select.POLLOUT)
        if not room.poll(0):
            return 0
        try:
            n = self.sock.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        self._count_sent(data[:n])
        return n

    def _count_sent(self, data):
        self.sent += len(data)
        if len(self.sent_bytes) < self.keep_bytes:
            self.sent_bytes += data

    def send_with_fin(self, data):
        """The last bytes and the FIN in one segment, as far as they fit."""
        self._count_sent(data[:self.sock.send(data, socket.MSG_MORE)])
        self.half_close()

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def reset(self):
        """Close with RST."""
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.raw.close()

    # ---- receiving ----

    def recv_some(self, limit=1 << 16):
        """Bytes that are not in the buffer yet; b"" at the end, with `ended` set."""
        if self.ended:
            return b""
        try:
            data = self.sock.recv(limit)
        except ConnectionResetError:
            self.ended = "reset"
            return b""
        if not data:
            self.ended = "reset" if self.was_reset else "cut" if self.cut else "eof"
        self.received += len(data)
        if len(self.received_bytes) < self.keep_bytes:
            self.received_bytes += data
        return data

    def _fill(self):
        try:
            data = self.recv_some()
        except socket.timeout:
            raise Truncated("timeout") from None
        if not data:
            raise Truncated(self.ended)
        self._buffer += data

    def _take(self, n):
        data = bytes(self._buffer[:n])
        del self._buffer[:n]
        self.taken += n
        return data

    def read_exactly(self, n):
        while len(self._buffer) < n:
            self._fill()
        return self._take(n)

    def read_until(self, mark, limit=1 << 20):
        start = 0
        while True:
            at = self._buffer.find(mark, start)
            if at >= 0:
                return self._take(at + len(mark))
            if len(self._buffer) > limit:
                raise BadMessage(f"no {mark!r} in {limit} bytes")
            start = max(0, len(self._buffer) - len(mark))
            self._fill()

    def read_some(self):
        """What is in the buffer, else what comes next; b"" at the end."""
        if not self._buffer:
            self._buffer += self.recv_some()
        return self._take(len(self._buffer))

    def read_to_end(self):
        """Everything up to the end, and how it ended."""
        while not self.ended:
            self._buffer += self.recv_some()
        return self._take(len(self._buffer)), self.ended

    def skip(self, n):
        """Read and forget n bytes, without keeping them in the buffer."""
        while n > 0:
            if self._buffer:
                n -= len(self._take(min(n, len(self._buffer))))
                continue
            try:
                data = self.recv_some(min(n, 1 << 20))
            except socket.timeout:
                raise Truncated("timeout") from None
            if not data:
                raise Truncated(self.ended)
            self.taken += len(data)
            n -= len(data)

    def skip_to_end(self):
        """Read and forget everything; how it ended."""
        while not self.ended:
            self.taken += len(self.recv_some(1 << 20))
        return self.ended

    def expect_eof(self):
        rest, how = self.read_to_end()
        assert (rest, how) == (b"", "eof"), f"{how} after {rest[:200]!r}"

    def expect_reset(self):
        rest, how = self.read_to_end()
        assert (rest, how) == (b"", "reset"), f"{how} after {rest[:200]!r}"

    def peek_unread(self):
        """The bytes that wait in the socket."""
        if hasattr(self.sock, "peek_all"):
            return self.sock.peek_all()
        waiting = struct.unpack("i", fcntl.ioctl(self.sock, termios.FIONREAD, b"\0" * 4))[0]
        return self.sock.recv(waiting, socket.MSG_PEEK) if waiting else b""

    def expect_silence(self, seconds):
        """Nothing comes and nothing ends for a while."""
        assert not self._buffer, bytes(self._buffer[:200])
        if wait_readable(self.sock, seconds):
            data = self.recv_some()
            raise AssertionError(f"not silent: {data[:200]!r} {self.ended or ''}")

    # ---- messages ----

    def read_head(self):
        """The head of the next message, body still to be read. Closed when there is none."""
        message = Message()
        message.first = self.taken
        try:
            message.head = self.read_until(b"\r\n\r\n")
        except Truncated as end:
            if not self._buffer:
                raise Closed(end.how) from None
            message.head = self._take(len(self._buffer))
            message.past = self.taken
            raise Truncated(end.how, message) from None
        message.past = self.taken
        lines = message.head[:-4].split(b"\r\n")
        message.start_line = lines[0]
        message.fields = [parse_field(line) for line in lines[1:]]
        return message

    def peek_status(self):
        """The status of the next response, interim or not, which is not taken."""
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        return int(self._buffer.split(b" ")[1])

    def read_request(self, keep=True):
        message = self.read_head()
        if not re.match(rb"[!-~]+ [!-\xff]+ HTTP/1\.[01]\Z", message.start_line):
            raise BadMessage(f"request line {message.start_line!r}")
        message.framing, length = body_framing(message)
        self._read_body(message, length, keep)
        return message

    def read_response(self, method="GET", keep=True):
        """The final response; interim ones before it stand in `interim`."""
        interim = []
        while True:
            message = self.read_head()
            if not re.match(rb"HTTP/1\.[01] [1-5][0-9][0-9] [\t -~\x80-\xff]*\Z",
                            message.start_line):
                raise BadMessage(f"status line {message.start_line!r}")
            if message.status >= 200 or message.status == 101:
                break
            message.complete = True
            interim.append(message)
        message.interim = interim
        if interim:
            message.interim_range = [interim[0].first, interim[-1].past]
        if method == "HEAD" or message.status in (101, 204, 304):
            message.complete = True
            return message
        message.framing, length = body_framing(message)
        if message.framing == "none":
            message.framing = "close"
        self._read_body(message, length, keep)
        return message

    def _read_body(self, message, length, keep):
        try:
            if message.framing == "length":
                self._read_counted(message, length, keep)
            elif message.framing == "chunked":
                self._read_chunked(message, keep)
            elif message.framing == "close":
                self._read_until_close(message, keep)
        except Truncated as end:
            if self._buffer and message.framing != "chunked":
                message.body += self._take(len(self._buffer))
            message.past = self.taken
            raise Truncated(end.how, message) from None
        message.past = self.taken
        message.complete = True

    def _read_counted(self, message, length, keep):
        if keep:
            message.body += self.read_exactly(length)
        else:
            self.skip(length)
        message.body_bytes += length

    def _read_chunked(self, message, keep):
        while True:
            line = self.read_until(b"\r\n", 16384)[:-2]
            size = re.match(rb"([0-9A-Fa-f]+)(?:[ \t]*;.*)?\Z", line)
            if not size:
                raise BadMessage(f"chunk size {line!r}")
            size = int(size.group(1), 16)
            if size == 0:
                break
            message.chunks.append(size)
            self._read_counted(message, size, keep)
            if self.read_exactly(2) != b"\r\n":
                raise BadMessage("no CRLF behind a chunk")
        while True:
            line = self.read_until(b"\r\n", 65536)[:-2]
            if not line:
                return
            message.trailers.append(parse_field(line))

    def _read_until_close(self, message, keep):
        while True:
            if self._buffer:
                part = self._take(len(self._buffer))
                message.body_bytes += len(part)
                if keep:
                    message.body += part
            if self.ended == "eof":
                return
            try:
                self._fill()
            except Truncated as end:
                if end.how != "eof":
                    raise


def wait_readable(sock, seconds):
    """Whether bytes or an end come within that time."""
    if hasattr(sock, "wait_readable"):
        return sock.wait_readable(seconds)
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def parse_field(line):
    name, colon, value = line.partition(b":")
    if not colon or not TOKEN.match(name) or not FIELD_VALUE.match(value):
        raise BadMessage(f"field {line!r}")
    return name, value.strip(b" \t")


def body_framing(message):
    """("none" | "length" | "chunked", length) by RFC 9112 section 6, both at once being an error."""
    lengths = message.all("Content-Length")
    codings = message.all("Transfer-Encoding")
    if codings:
        if lengths or codings != ["chunked"]:
            raise BadMessage(f"framing of {message.head!r}")
        return "chunked", 0
    if lengths:
        if len(lengths) != 1 or not re.match(r"[0-9]+\Z", lengths[0]):
            raise BadMessage(f"Content-Length {lengths}")
        return "length", int(lengths[0])
    return "none", 0


def address_text(address):
    """As the proxy writes it: 127.0.0.1:80, [::1]:80."""
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def chunked(*parts, last=b"0\r\n\r\n"):
    """A chunked body of these parts."""
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts if p) + last
