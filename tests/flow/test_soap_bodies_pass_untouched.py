"""SOAP through the proxy, byte for byte: MTOM, SOAPAction in all its spellings, faults."""

import pytest

import check
import origin as origins
import peer as peers
import wire

READING = pytest.mark.parametrize("soap", ["action", "full"])
NS_11 = b"http://schemas.xmlsoap.org/soap/envelope/"
ENVELOPE = b'<s:Envelope xmlns:s="' + NS_11 + b'"><s:Body><Op/></s:Body></s:Envelope>'


def mtom(boundary, binary):
    """A body whose binary part looks like everything that could be mistaken for something else."""
    mark = b"--" + boundary
    root = (b'Content-Type: application/xop+xml; charset=UTF-8; type="text/xml"\r\n'
            b"Content-Transfer-Encoding: 8bit\r\nContent-ID: <root@x>\r\n\r\n" + ENVELOPE)
    part = (b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n"
            b"Content-ID: <data@x>\r\n\r\n" + binary)
    return (b"preamble\r\n" + mark + b"\r\n" + root + b"\r\n" + mark + b"\r\n" + part + b"\r\n"
            + mark + b"--\r\nepilogue")


def odd_bytes(boundary):
    return (bytes(range(256)) + b"\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\nPOST / HTTP/1.1\r\n\r\n"
            + b"\r\n-" + b"\r\n--" + boundary[:-1] + b"\r\n--x" + boundary + b"\x00\r\r\n\n" + bytes(200))


def mime(boundary, info="text/xml"):
    return (f'Content-Type: multipart/related; boundary="{boundary.decode()}"; start="<root@x>"; '
            f'type="application/xop+xml"; start-info="{info}"')


@READING
def test_mtom_both_ways(origin, proxy, peer, soap):
    """With a length and in chunks, at once and with the boundary in two segments."""
    backend = origin(origins.echo)
    front = proxy(backend, settings={"log.soap": soap})
    client = peer(front)
    boundary = b"uuid:4bf92f35=_+'()"
    body = mtom(boundary, odd_bytes(boundary))
    fields = [mime(boundary), "SOAPAction: urn:x", "MIME-Version: 1.0"]
    splits = [at + 4 for at in range(len(body)) if body.startswith(b"--" + boundary, at)]
    pieces = [body[a:b] for a, b in zip([0, *splits], [*splits, len(body)])]
    assert len(pieces) == 4
    whole = client.post(body, fields=fields)
    first = client.sent
    client.send_pieces([peers.request(fields=[*fields, f"Content-Length: {len(body)}"],
                                      method="POST"), *pieces], pause_s=0.01)
    split = client.read_response("POST")
    split.request_range = [first, client.sent]
    first = client.sent
    client.send(peers.request(fields=[*fields, "Transfer-Encoding: chunked"], method="POST")
                + wire.chunked(*pieces))
    chunked = client.read_response("POST")
    chunked.request_range = [first, client.sent]
    for line, request, got in zip(front.lines(3), backend.requests, (whole, split, chunked)):
        assert request.body == got.body == body
        assert request.all("Content-Type") == [mime(boundary)[len("Content-Type: "):]]
        assert request.get("MIME-Version") == "1.0"
        check.exchange(line, client, got, request)
        assert line["soap"]["operation"] == ("Op" if soap == "full" else None)


@READING
def test_a_large_part(origin, proxy, peer, soap):
    backend = origin(origins.echo)
    front = proxy(backend, settings={"log.soap": soap})
    client = peer(front)
    body = mtom(b"b", bytes(range(256)) * 8192)
    got = client.post(body, fields=[mime(b"b", "application/soap+xml")])
    assert got.body == backend.requests[0].body == body
    check.exchange(front.lines(1)[0], client, got, backend.requests[0])


SPELLINGS = [  # fields as sent, action in the log
    (['SOAPAction: "urn:ConversionRate"'], "urn:ConversionRate"),
    (["SOAPAction: urn:ConversionRate"], "urn:ConversionRate"),
    (['SOAPAction: ""'], ""),
    (["SOAPAction:"], None),
    (["SOAPAction: 'urn:ConversionRate'"], "'urn:ConversionRate'"),
    (['soapaction: "urn:a"'], "urn:a"),
    (['SOAPACTION:"urn:a"'], "urn:a"),
    (['SoapAction: \t "urn:a"  '], "urn:a"),
    (['SOAPAction: "urn:a'], '"urn:a'),
    (['SOAPAction: "http://a/b?c=d&e=\u00e4"'.encode("latin-1")], "http://a/b?c=d&e=\\xe4"),
    (['SOAPAction: "urn:one"', 'SOAPAction: "urn:two"'], "urn:one"),
    (['SOAPAction: "urn:field"', 'Content-Type: application/soap+xml; action="urn:type"'], "urn:field"),
    (['Content-Type: application/soap+xml; action="urn:a"; charset=utf-8'], "urn:a"),
    (["Content-Type: application/soap+xml;charset=utf-8;ACTION=urn:a"], "urn:a"),
    (['Content-Type: application/soap+xml; x="; action=no"; action="urn:a"'], "urn:a"),
    (['Content-Type: application/soap+xml; action="a\\"b"'], 'a"b'),
    (['Content-Type: application/soap+xml; reaction="urn:a"'], None),
]


def test_soapaction_in_all_its_spellings(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    for n, (fields, action) in enumerate(SPELLINGS, 1):
        got = client.post(ENVELOPE, fields=fields)
        line, request = front.lines(n)[-1], backend.requests[-1]
        check.exchange(line, client, got, request)
        sent = [wire.parse_field(f.encode() if isinstance(f, str) else f) for f in fields]
        passed = [(name, value) for name, value in request.fields
                  if name.lower() in (b"soapaction", b"content-type")]
        assert passed == sent and request.body == ENVELOPE
        assert line["soap"]["action"] == action, fields


@READING
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_faults_of_the_backend_pass(origin, proxy, peer, soap, framing):
    faults = [
        (b'<s:Envelope xmlns:s="' + NS_11 + b'"><s:Body><s:Fault><faultcode>s:Server</faultcode>'
         b"<faultstring>caf\xe9 \xff not UTF-8</faultstring></s:Fault></s:Body></s:Envelope>\n\n",
         "500 Internal Server Error", "text/xml"),
        (b"<?xml version='1.0'?>\r\n<e:Envelope xmlns:e='http://www.w3.org/2003/05/soap-envelope'>"
         b"<e:Body><e:Fault><e:Code><e:Value>e:Sender</e:Value></e:Code></e:Fault></e:Body>"
         b"</e:Envelope>", "400 Bad Request", "application/soap+xml; charset=utf-8"),
        (b"<!DOCTYPE html><html>Not even a fault \x00\x01</html>", "500 What?", "text/xml"),
        (b"", "500 Empty", "text/xml"),
    ]
    known = [{"code": "s:Server", "string": None}, {"code": "e:Sender", "string": None}, None, None]
    backend = origin([
        origins.answer_and_close(origins.response(body, status, [f"Content-Type: {kind}",
                                                                 "X-Kept:  yes "], framing))
        for body, status, kind in faults])
    front = proxy(backend, settings={"log.soap": soap})
    for n, (body, status, kind) in enumerate(faults, 1):
        client = peer(front)
        got = client.post(ENVELOPE, fields=["Content-Type: text/xml", "SOAPAction: urn:x"])
        line = front.lines(n)[-1]
        check.exchange(line, client, got, backend.requests[-1])
        assert got.start_line == b"HTTP/1.1 " + status.encode()
        assert got.body == body
        assert (got.get("Content-Type"), got.get("X-Kept")) == (kind, "yes")
        assert line["soap"]["fault"] == (known[n - 1] if soap == "full" else None)
        client.close()
