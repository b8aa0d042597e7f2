"""TLS over a socket of ours, which counts its own ciphertext.

A TlsSocket stands where a socket stands: send(), recv(), shutdown(), close(). Beneath it the TLS
goes through memory (ssl.MemoryBIO), record by record, so that it knows of each direction where every
record lies on the wire and which bytes of the plain stream it carried. It takes nothing of that from
the proxy: it is the witness that the proxy's and the tracer's ranges are held against.

    Direction.wire_range(first, past)   the records that carried these plain bytes
    Direction.plain_range(first, past)  the plain bytes of these records
    marks(sock)                         where its handshake's messages lie, as in common/tls_marks.h

What ends with close_notify has ended well. An end without it is told apart: `cut` is True then, and
wire.Stream says "cut". A fatal alert is an Alert, which is a ConnectionResetError too.
"""

import bisect
import collections
import select
import socket
import ssl
import struct
import threading
import time

HEADER_BYTES = 5
PLAIN_MAX = 16384  # of a record
CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
CLIENT_HELLO, SERVER_HELLO = 1, 2
# RFC 8446 section 4.1.3: the random of a ServerHello that asks for another ClientHello.
RETRY = bytes.fromhex("CF21AD74E59A6111BE1D8C021E65B891C2A211167ABB8C5E079E09E2C8A8339C")

# (first, past) on the wire, content type, plain bytes carried in all before it and up to it
Record = collections.namedtuple("Record", "first past kind plain_first plain_past")


class Alert(ConnectionResetError):
    """The other side ended it with an alert, or with what is no TLS."""

    def __init__(self, error):
        super().__init__(str(error))
        self.reason = getattr(error, "reason", None)


class Direction:
    """The records of one direction, in order."""

    def __init__(self):
        self.records = []
        self.plain = 0  # bytes
        self.wire = 0  # up to the end of the last whole record
        self._ends = []  # plain_past of those that carried something
        self._carriers = []
        self._partial = b""
        self.hellos = []  # (message type, [first, past], is it a HelloRetryRequest)
        self._message = b""
        self._message_first = 0

    def split(self, data):
        """More bytes of it; the whole records among what has come, each as bytes."""
        data = self._partial + data
        at = 0
        while len(data) - at >= HEADER_BYTES:
            past = at + HEADER_BYTES + struct.unpack_from(">H", data, at + 3)[0]
            if past > len(data):
                break
            yield data[at:past]
            at = past
        self._partial = data[at:]

    def wanted(self):
        """How many bytes are missing of the record that has begun."""
        if len(self._partial) < HEADER_BYTES:
            return HEADER_BYTES - len(self._partial)
        return HEADER_BYTES + struct.unpack_from(">H", self._partial, 3)[0] - len(self._partial)

    @property
    def partial_bytes(self):
        return len(self._partial)

    def add(self, raw, plain_bytes):
        """A whole record, which carried so many plain bytes."""
        record = Record(self.wire, self.wire + len(raw), raw[0], self.plain,
                        self.plain + plain_bytes)
        self.records.append(record)
        self.wire, self.plain = record.past, record.plain_past
        if plain_bytes:
            self._ends.append(record.plain_past)
            self._carriers.append(record)
        if record.kind == HANDSHAKE and len(self.hellos) < 4:
            self._find_hello(raw[HEADER_BYTES:], record)
        return record

    def _find_hello(self, payload, record):
        """Hellos are not encrypted; what follows them need not be a message, and is not looked for."""
        if not self._message:
            if payload[0] not in (CLIENT_HELLO, SERVER_HELLO):
                return
            self._message_first = record.first
        self._message += payload
        length = 4 + int.from_bytes(self._message[1:4], "big")
        if len(self._message) >= length:
            self.hellos.append((self._message[0], [self._message_first, record.past],
                                self._message[6:38] == RETRY))
            self._message = b""

    def wire_range(self, first, past):
        """From the first byte of the first record with a byte of [first, past) of the plain stream
        to the end of the last one."""
        assert 0 <= first < past <= self.plain, (first, past, self.plain)
        begin = self._carriers[bisect.bisect_right(self._ends, first)]
        end = self._carriers[bisect.bisect_left(self._ends, past)]
        return [begin.first, end.past]

    def plain_range(self, first, past):
        """What the records in [first, past) of the wire carried; None if that does not begin and end
        with records which carried something."""
        begins = bisect.bisect_left(self._carriers, first, key=lambda record: record.first)
        ends = bisect.bisect_left(self._carriers, past, key=lambda record: record.past)
        if max(begins, ends) >= len(self._carriers) or self._carriers[begins].first != first \
                or self._carriers[ends].past != past:
            return None
        return [self._carriers[begins].plain_first, self._carriers[ends].plain_past]


# (our address, theirs) of the connections of this process, the last of each
CONNECTIONS = {}


def text_of(address):
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def ready(sock, what, seconds):
    poll = select.poll()
    poll.register(sock, what)
    return bool(poll.poll(seconds * 1000))


class TlsSocket:
    """TLS on a connected socket. server: we accepted it. session: of an earlier one, to resume.

    One thread may send while another one receives."""

    piece_bytes = 1 << 18  # of ciphertext in one send

    def __init__(self, sock, context, server=False, name=None, session=None, handshake=True):
        self.raw = sock
        self.server = server
        self.cut = False  # their bytes ended without close_notify
        self.sent, self.received = Direction(), Direction()
        self.first_flight = 0  # records that we had sent when the handshake last waited for them
        self.finished = None  # the record with their Finished, once the handshake is done
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server,
                                    server_hostname=name, session=session)
        self._lock = threading.RLock()  # of the TLS state
        self._sending = threading.RLock()  # of the order on the wire
        self._unsent = bytearray()
        self._plain = bytearray()
        self._whole = collections.deque()  # records that came and are not decrypted yet
        self._ended = self._notified = self._told = self._shut = False
        CONNECTIONS[text_of(sock.getsockname()), text_of(sock.getpeername())] = self
        if handshake:
            self.handshake()

    def __getattr__(self, name):
        """getsockname, settimeout, setsockopt, fileno and the like are the socket's own."""
        return getattr(self.raw, name)

    def fileno(self):
        return self.raw.fileno()

    # ---- below TLS ----

    def _collect(self):
        """What TLS wants sent, counted. Under the lock. plain: bytes that it carries."""
        made = self._outgoing.read()
        self._unsent += made
        return made

    def _count_sent(self, made, plain_bytes=0):
        for raw in self.sent.split(made):
            carried = plain_bytes if raw[0] == DATA and plain_bytes else 0
            self.sent.add(raw, carried)
            plain_bytes -= carried

    def _flush(self, flags=0):
        """Everything that is to be sent, or the exception of a socket that does not take it."""
        with self._sending:
            while True:
                with self._lock:
                    piece = bytes(self._unsent[:self.piece_bytes])
                if not piece:
                    return
                # With a time limit, Python waits for room before it sends, whatever the flag says.
                if flags & socket.MSG_DONTWAIT and not ready(self.raw, select.POLLOUT, 0):
                    raise BlockingIOError
                n = self.raw.send(piece, flags)
                with self._lock:
                    del self._unsent[:n]

    def _flush_quietly(self, flags=socket.MSG_DONTWAIT):
        try:
            self._flush(flags)
        except OSError:
            pass

    def _read_wire(self, limit, flags=0):
        """A read of the socket; False at its end."""
        wanted = max(limit, self.received.wanted()) if limit < PLAIN_MAX else limit
        data = self.raw.recv(wanted, flags)
        self._whole.extend(self.received.split(data))
        return bool(data)

    # ---- the handshake ----

    def handshake(self):
        """Until it is done; ConnectionAbortedError when they close it, Alert when they say why."""
        while True:
            with self._lock:
                self.first_flight = len(self.sent.records)
                done = self._step()
            self._flush()
            if done:
                return
            while not self._whole:
                if not self._read_wire(PLAIN_MAX):
                    raise ConnectionAbortedError("it was closed within the handshake")
            self._feed_handshake()

    def _step(self):
        try:
            self.tls.do_handshake()
            return True
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            self._count_sent(self._collect())
            self._flush_quietly()
            raise Alert(error) from error
        finally:
            self._count_sent(self._collect())

    def _feed_handshake(self):
        """One record, so that the one that ends the handshake is known."""
        with self._lock:
            raw = self._whole.popleft()
            self._incoming.write(raw)
            self.finished = self.received.add(raw, 0)

    # ---- data ----

    def send(self, data, flags=0):
        """Bytes of data that were taken: those of one record."""
        with self._sending:
            self._flush(flags)
            with self._lock:
                try:
                    n = self.tls.write(memoryview(data)[:PLAIN_MAX])
                except ssl.SSLError as error:
                    raise Alert(error) from error
                self._count_sent(self._collect(), n)
            try:
                self._flush(flags)
            except BlockingIOError:
                pass  # it leaves with what is sent next, or before the end
        return n

    def sendall(self, data):
        view = memoryview(data)
        while view:
            view = view[self.send(view):]

    def _decrypt(self):
        """The next record's bytes go to `_plain`."""
        with self._lock:
            raw = self._whole.popleft()
            self._incoming.write(raw)
            had = len(self._plain)
            try:
                while True:
                    got = self.tls.read(PLAIN_MAX)
                    if not got:
                        self._notified = True
                        break
                    self._plain += got
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLZeroReturnError:
                self._notified = True
            except ssl.SSLError as error:
                self.received.add(raw, len(self._plain) - had)
                raise Alert(error) from error
            self.received.add(raw, len(self._plain) - had)
            made = self._collect()  # such as the answer to a key update
            self._count_sent(made)
        # Whoever is sending just now sends this, too, and may wait for what is read here.
        if made and self._sending.acquire(blocking=False):
            try:
                self._flush_quietly()
            finally:
                self._sending.release()

    def recv(self, limit, flags=0):
        """As of a socket. MSG_PEEK shows plain bytes, which have left the kernel."""
        peek, flags = flags & socket.MSG_PEEK, flags & ~socket.MSG_PEEK
        while not self._plain and not self._ended:
            while self._whole and not self._plain:
                self._decrypt()
            if self._plain:
                break
            try:
                self._ended = not self._read_wire(limit, flags)
            except OSError:
                if not self._shut:
                    raise
                self._ended = True
            self.cut = self._ended and not self._notified and not self._shut
        data = bytes(self._plain[:limit])
        if not peek:
            del self._plain[:len(data)]
        return data

    def recv_into(self, buffer, limit=0):
        data = self.recv(limit or len(buffer))
        buffer[:len(data)] = data
        return len(data)

    def wait_readable(self, seconds):
        """Whether bytes or an end come within that time; session tickets are neither."""
        until = time.monotonic() + seconds
        while not self._plain and not self._ended:
            while self._whole and not self._plain:
                self._decrypt()
            if self._plain:
                break
            if not ready(self.raw, select.POLLIN, max(0.0, until - time.monotonic())):
                return False
            if not self.raw.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                return True
            self._read_wire(PLAIN_MAX, socket.MSG_DONTWAIT)
        return True

    # ---- ends ----

    def notify(self):
        """close_notify, once; nothing more can be sent then."""
        with self._lock:
            if self._told or self.tls.version() is None or self.finished is None:
                return
            self._told = True
            try:
                self.tls.unwrap()
            except (ssl.SSLError, ValueError):
                pass  # theirs has not come yet
            self._count_sent(self._collect())

    def shutdown(self, how):
        """SHUT_WR says close_notify before the FIN; SHUT_RDWR only wakes whoever waits."""
        if how == socket.SHUT_WR:
            with self._sending:
                self.notify()
                self._flush()
        self._shut = how == socket.SHUT_RDWR  # nothing that follows is the other side's doing
        self.raw.shutdown(how)

    def close(self):
        """With close_notify. Plain bytes that have come and were not read make an RST of it, as the
        kernel does; tickets do not."""
        if self.raw.fileno() < 0:
            return
        if self._unread():
            self.reset()
            return
        with self._sending:
            self.notify()
            self._flush_quietly()
        self.raw.close()

    def cut_off(self):
        """A FIN without close_notify."""
        self.raw.close()

    def reset(self):
        if self.raw.fileno() < 0:
            return
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.raw.close()

    def peek_all(self):
        """The plain bytes that have come and were not read."""
        timeout_s = self.raw.gettimeout()
        self.raw.setblocking(False)
        try:
            while not self._ended:
                while self._whole:
                    self._decrypt()
                if not self._read_wire(PLAIN_MAX):
                    break
        except (OSError, ValueError):
            pass
        self.raw.settimeout(timeout_s)
        return bytes(self._plain)

    def _unread(self):
        return bool(self.peek_all()) or self.received.partial_bytes > 0

    # ---- what it knows ----

    @property
    def version(self):
        """As the log has it: "1.2" or "1.3"."""
        return self.tls.version().replace("TLSv", "")

    @property
    def resumed(self):
        return self.tls.session_reused

    @property
    def local_text(self):
        return text_of(self.raw.getsockname())


def marks(sock):
    """{"client_hello": [first, past], ...}: the first ClientHello, the last ServerHello and both
    Finished of a handshake that is done."""
    ours, theirs = sock.sent, sock.received
    by_client, by_server = (theirs, ours) if sock.server else (ours, theirs)
    hellos = [r for kind, r, _ in by_server.hellos if kind == SERVER_HELLO]
    last = sock.finished
    if not sock.server:
        server_finished, client_finished = last, _last_of_handshake(ours)
    else:
        client_finished = last
        # TLS 1.3, and TLS 1.2 resumed: ours came before theirs; tickets may follow it.
        early = sock.version == "1.3" or sock.resumed
        server_finished = ours.records[sock.first_flight - 1] if early else _last_of_handshake(ours)
    return {
        "client_hello": next(r for kind, r, _ in by_client.hellos if kind == CLIENT_HELLO),
        "server_hello": hellos[-1],
        "server_finished": [server_finished.first, server_finished.past],
        "client_finished": [client_finished.first, client_finished.past],
    }


def _last_of_handshake(direction):
    """The last record before the first one with data."""
    last = None
    for record in direction.records:
        if record.plain_past > record.plain_first or record.kind == ALERT:
            break
        last = record
    return last


# ---- contexts -------------------------------------------------------------------------------------

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3, None: None}


def limit_version(context, only, weak):
    if weak:
        context.set_ciphers("DEFAULT@SECLEVEL=0")
    if only:
        context.minimum_version = context.maximum_version = VERSIONS[only]
    return context


def server_context(certificate, version=None, clients=None, alpn=("http/1.1",), weak=False):
    """For TlsSocket(server=True). certificate: certs.Certificate. version: "1.2" or "1.3" alone.
    clients: a PEM file of authorities whose clients are asked for and must come. weak: it may show
    what no security level above 0 allows."""
    context = limit_version(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), version, weak)
    context.load_cert_chain(certificate.chain, certificate.key)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if clients:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(trust, version=None, certificate=None, alpn=("http/1.1",), weak=False):
    """trust: a PEM file of authorities; None: nobody is verified. certificate: shown when asked."""
    context = limit_version(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), version, weak)
    if trust:
        context.load_verify_locations(trust)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate.chain, certificate.key)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context
