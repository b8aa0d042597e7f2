"""A byte-exact client of the proxy."""

import socket

import tls_mode
import tls_peer
import wire


class Peer(wire.Stream):
    """One client connection. Sends exactly the bytes it is given.

    tls: a context of tls_peer; None: as the listener speaks; False: plain in any case. name and
    session go to TlsSocket."""

    def __init__(self, address, timeout_s=wire.TIMEOUT_S, recv_buffer=None, max_segment=None,
                 tls=None, name=tls_mode.SERVER_NAME, session=None):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        sock = socket.socket(family)
        if recv_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, recv_buffer)
        if max_segment:  # keeps the proxy's send buffer small, too
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, max_segment)
        sock.settimeout(timeout_s)
        sock.connect(address)
        if tls is None and address[:2] in tls_mode.LISTENERS:
            tls = tls_mode.peer_context()
        if tls:
            try:
                sock = tls_peer.TlsSocket(sock, tls, name=name, session=session)
            except BaseException:
                sock.close()
                raise
        super().__init__(sock, timeout_s)

    @classmethod
    def over(cls, sock, timeout_s=wire.TIMEOUT_S):
        """A client on a socket that is connected already."""
        client = cls.__new__(cls)
        wire.Stream.__init__(client, sock, timeout_s)
        return client

    def exchange(self, raw, method="GET", keep=True):
        """Send one whole request and read its response, whose request_range then says which bytes
        of the stream the request was."""
        first = self.sent
        self.send(raw)
        past = self.sent
        response = self.read_response(method, keep)
        response.request_range = [first, past]
        return response

    def get(self, target="/", fields=(), method="GET", version="HTTP/1.1"):
        return self.exchange(request(target, fields, method=method, version=version), method)

    def post(self, body, target="/", fields=()):
        return self.exchange(request(target, fields, body=body, method="POST"), "POST")


def request(target="/", fields=(), body=None, method="GET", version="HTTP/1.1", host="test.example"):
    """A request as bytes; Content-Length is added when there is a body."""
    lines = [f"{method} {target} {version}".encode()]
    if host is not None:
        lines.append(b"Host: " + host.encode())
    lines += [f.encode() if isinstance(f, str) else f for f in fields]
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")
