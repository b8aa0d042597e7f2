"""log.soap = full: operation of the request and fault of the response, read as the bodies pass."""

import gzip

import check
import origin as origins
import peer as peers
import wire

NS_11 = "http://schemas.xmlsoap.org/soap/envelope/"
NS_12 = "http://www.w3.org/2003/05/soap-envelope"
XML = "Content-Type: text/xml; charset=utf-8"
SOAP_12 = "Content-Type: application/soap+xml; charset=utf-8"


def envelope(body, ns=NS_11, header=""):
    return (f"<?xml version='1.0' encoding='utf-8'?>\n<s:Envelope xmlns:s='{ns}'>"
            f"<s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>").encode()


def fault_11(code="s:Server", string="No rate for \u00e4"):
    return envelope(f"<s:Fault><faultcode>{code}</faultcode><faultstring>{string}</faultstring>"
                    "<detail/></s:Fault>")


def fault_12(value="s:Sender", text="Too late"):
    return envelope(f"<s:Fault><s:Code><s:Value>{value}</s:Value></s:Code><s:Reason>"
                    f"<s:Text xml:lang='en'>{text}</s:Text></s:Reason></s:Fault>", NS_12)


REQUEST = envelope("<w:ConversionRate xmlns:w='urn:w'><w:From>USD</w:From></w:ConversionRate>")
RESULT = envelope("<w:ConversionRateResponse xmlns:w='urn:w'>7</w:ConversionRateResponse>")
ERROR = "500 Internal Server Error"


def full(proxy, backend, **settings):
    return proxy(backend, settings={"log.soap": "full", **settings})


def soap(line):
    return line["soap"]["operation"], line["soap"]["fault"]


def test_operation_and_fault(origin, proxy, peer):
    cases = [  # response, its type, what the log says of it
        (origins.response(RESULT, fields=[XML]), None),
        (origins.response(fault_11(), ERROR, [XML]),
         {"code": "s:Server", "string": "No rate for \u00e4"}),
        (origins.response(fault_12(), "400 Bad Request", [SOAP_12]),
         {"code": "s:Sender", "string": "Too late"}),
        (origins.response(fault_12(), ERROR, [SOAP_12], "chunked"),
         {"code": "s:Sender", "string": "Too late"}),
        (origins.response(fault_11(string='a "b"\n c &lt;d&gt;'), ERROR, [XML]),
         {"code": "s:Server", "string": 'a "b"\n c <d>'}),
        (origins.response(b"<html>no Envelope</html>", ERROR, ["Content-Type: text/html"]), None),
        (origins.response(fault_11(), ERROR, ["Content-Type: text/html"]), None),
    ]
    backend = origin(origins.answer(*(raw for raw, _ in cases)))
    front = full(proxy, backend)
    client = peer(front)
    for n, (raw, fault) in enumerate(cases, 1):
        got = client.post(REQUEST, fields=[XML, 'SOAPAction: "urn:ConversionRate"'])
        line = front.lines(n)[-1]
        check.exchange(line, client, got, backend.requests[-1])
        assert backend.requests[-1].body == REQUEST and got.body in raw
        assert line["soap"] == {"action": "urn:ConversionRate", "operation": "ConversionRate",
                                "fault": fault}


def test_only_when_asked(origin, proxy, peer):
    for value in ("action", "off"):
        front = proxy(origin(origins.answer(origins.response(fault_11(), ERROR, [XML]))),
                      settings={"log.soap": value})
        peer(front).post(REQUEST, fields=[XML])
        assert soap(front.lines(1)[0]) == (None, None)


def test_in_pieces_and_chunks(origin, proxy, peer):
    """The request byte by byte in chunks of one; the response in pieces, decoded for HTTP/1.0."""
    fault = fault_11()

    def script(conn):
        while conn.next_request() is not None:
            conn.reply(b"HTTP/1.1 %s\r\n%s\r\nTransfer-Encoding: chunked\r\n\r\n"
                       % (ERROR.encode(), XML.encode()))
            for at in range(0, len(fault), 40):
                conn.reply(wire.chunked(fault[at:at + 40], last=b""))
            conn.reply(b"0\r\n\r\n")

    backend = origin(script)
    front = full(proxy, backend)
    client = peer(front)
    client.send(peers.request(fields=[XML, "Transfer-Encoding: chunked"], method="POST"))
    client.send_pieces([b"1\r\n%c\r\n" % c for c in REQUEST[:60]], pause_s=0.001)
    client.send(wire.chunked(REQUEST[60:]))
    got = client.read_response("POST")
    assert got.body == fault and backend.requests[0].body == REQUEST
    old = peer(front)
    old.send(peers.request(fields=[XML], body=REQUEST, method="POST", version="HTTP/1.0"))
    got = old.read_response("POST")
    assert got.framing == "close" and got.body == fault
    for line in front.lines(2):
        assert soap(line) == ("ConversionRate", {"code": "s:Server", "string": "No rate for \u00e4"})


def test_bodies_that_are_not_read(origin, proxy, peer):
    """Whatever they are, they pass; the log says nothing of them."""
    doctype = REQUEST.replace(b"\n", b"<!DOCTYPE a [<!ENTITY b 'c'>]>\n", 1)
    bodies = [
        (gzip.compress(REQUEST), [XML, "Content-Encoding: gzip"]),
        (doctype, [XML]),
        (b"\x00\xff<no XML>" * 1000, [XML]),
        (envelope("<Op/>", header="x" * 70000), [XML]),
        (envelope("<Op/>", header="<a>" * 100 + "</a>" * 100), [XML]),
        (envelope("<Op/>", "urn:other"), [XML]),
        (REQUEST, ["Content-Type: text/plain"]),
        (b"", [XML]),
    ]
    backend = origin(origins.echo)
    front = full(proxy, backend)
    client = peer(front)
    for n, (body, fields) in enumerate(bodies, 1):
        got = client.post(body, fields=fields)
        line = front.lines(n)[-1]
        check.exchange(line, client, got, backend.requests[-1])
        assert got.body == backend.requests[-1].body == body
        assert soap(line) == (None, None), fields


def test_what_comes_late_or_long(origin, proxy, peer):
    """The first element decides, however long the rest is; long texts are cut and say so."""
    backend = origin(origins.answer(
        origins.response(RESULT, fields=[XML]),
        origins.response(fault_11(string="\u20ac" * 300), ERROR, [XML])))
    front = full(proxy, backend)
    client = peer(front)
    large = envelope("<Upload>" + "x" * 300000 + "</Upload>")
    client.post(large, fields=[XML])
    client.post(REQUEST, fields=[XML])
    first, second = front.lines(2)
    assert backend.requests[0].body == large
    assert soap(first) == ("Upload", None) and "cut" not in first
    assert soap(second) == ("ConversionRate", {"code": "s:Server", "string": "\u20ac" * 85})
    assert second["cut"] is True


def test_mtom(origin, proxy, peer):
    body = (b'--MIME_b\r\nContent-Type: application/xop+xml; type="text/xml"\r\n\r\n'
            + envelope("<Store><d><x:Include xmlns:x='urn:x' href='cid:1'/></d></Store>")
            + b"\r\n--MIME_b\r\nContent-ID: <1>\r\n\r\n" + bytes(range(256)) + b"\r\n--MIME_b--\r\n")
    mime = 'Content-Type: multipart/related; type="application/xop+xml"; boundary="MIME_b"'
    fault = b"--f\r\n\r\n" + fault_12() + b"\r\n--f--"
    backend = origin(origins.answer(origins.response(
        fault, ERROR, ["Content-Type: Multipart/Related;boundary=f;start-info=\"text/xml\""])))
    front = full(proxy, backend)
    client = peer(front)
    got = client.post(body, fields=[mime])
    line = front.lines(1)[0]
    check.exchange(line, client, got, backend.requests[0])
    assert backend.requests[0].body == body and got.body == fault
    assert soap(line) == ("Store", {"code": "s:Sender", "string": "Too late"})


def test_a_second_attempt_is_not_read_twice(origin, proxy, peer):
    def leaves(conn):
        conn.next_request()
        conn.reply(origins.response())
        conn.next_request()

    backend = origin([leaves, origins.answer(origins.response(fault_11(), ERROR, [XML]))])
    front = full(proxy, backend)
    client = peer(front)
    client.get()
    got = client.exchange(peers.request(fields=[XML], body=REQUEST, method="PUT"), "PUT")
    line = front.lines(2)[1]
    assert line["backend"]["attempts"] == 2
    check.exchange(line, client, got, backend.requests[2])
    assert [r.body for r in backend.requests[1:]] == [REQUEST, REQUEST]
    assert soap(line) == ("ConversionRate", {"code": "s:Server", "string": "No rate for \u00e4"})


def test_an_interrupted_exchange_says_what_is_known(origin, proxy, peer):
    """The client leaves in its body; then the backend leaves in its fault."""
    raw = origins.response(fault_11(), ERROR, [XML])
    past_code = raw.index(b"</faultcode>") + len(b"</faultcode><faultstring>No")

    def half(conn):
        conn.next_request()
        conn.reply(raw[:past_code])

    backend = origin([origins.answer(), half])
    backend.forgive = True  # the first request ends in its body
    front = full(proxy, backend)
    client = peer(front)
    client.send(peers.request(fields=[XML], body=REQUEST, method="POST")[:-30])
    backend.wait_conns(1)
    client.close()
    line = front.lines(1)[0]
    assert line["end"] == "client-eof" and soap(line) == ("ConversionRate", None)
    client = peer(front)
    client.send(peers.request(fields=[XML], body=REQUEST, method="POST"))
    client.read_to_end()
    line = front.lines(2)[1]
    assert line["end"] == "backend-eof"
    assert soap(line) == ("ConversionRate", {"code": "s:Server", "string": None})


def test_our_own_fault_is_none_of_the_backend(proxy, peer):
    front = full(proxy, f"http://127.0.0.1:{origins.dead_port()}")
    client = peer(front)
    client.send(peers.request(fields=[XML], body=REQUEST, method="POST"))
    got = client.read_response("POST")
    line = front.lines(1)[0]
    assert got.status == 502 and b"soap:Server" in got.body
    assert line["end"] == "connect-refused" and line["soap"]["fault"] is None
