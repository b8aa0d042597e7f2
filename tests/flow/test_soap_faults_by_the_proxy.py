"""Errors that the proxy itself makes: a soap:Fault for a SOAP request, a short text for others."""

import xml.etree.ElementTree as xml

import pytest

import check
import origin as origins
import peer as peers

SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
ENVELOPE = (b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><a/></s:Body>'
            b'</s:Envelope>')
ASKS_11 = [
    ["SOAPAction: urn:x"],
    ['sOaPaCtIoN: ""', "Content-Type: text/xml; charset=utf-8"],
    ["Content-Type: text/xml"],
    ['Content-Type: multipart/related; boundary="b"; type="application/xop+xml"; '
     'start-info="text/xml"'],
]
ASKS_12 = [
    ['Content-Type: application/soap+xml; charset=utf-8; action="urn:x"'],
    ["SOAPAction: urn:x", "Content-Type: Application/Soap+XML"],
    ['Content-Type: multipart/related; start-info="application/soap+xml"; boundary=b'],
]
ASKS_TEXT = [[], ["Content-Type: application/json"], ["Content-Type: multipart/form-data; boundary=b"]]


def fault_11(got):
    """(code, string, id, end) of a SOAP 1.1 answer."""
    assert got.get("Content-Type") == "text/xml; charset=utf-8"
    fault = xml.fromstring(got.body).find(f"{{{SOAP_11}}}Body/{{{SOAP_11}}}Fault")
    assert [child.tag for child in fault] == ["faultcode", "faultstring", "detail"]
    detail = fault.find("detail/{urn:flowproxy}exchange")
    assert b'xmlns:soap="%s"' % SOAP_11.encode() in got.body  # what the code's prefix means
    return (fault.findtext("faultcode"), fault.findtext("faultstring"),
            detail.findtext("{urn:flowproxy}id"), detail.findtext("{urn:flowproxy}end"))


def fault_12(got):
    assert got.get("Content-Type") == "application/soap+xml; charset=utf-8"
    name = f"{{{SOAP_12}}}"
    fault = xml.fromstring(got.body).find(f"{name}Body/{name}Fault")
    text = fault.find(f"{name}Reason/{name}Text")
    assert text.get("{http://www.w3.org/XML/1998/namespace}lang") == "en"
    detail = fault.find(f"{name}Detail/{{urn:flowproxy}}exchange")
    assert b'xmlns:soap="%s"' % SOAP_12.encode() in got.body
    return (fault.findtext(f"{name}Code/{name}Value"), text.text,
            detail.findtext("{urn:flowproxy}id"), detail.findtext("{urn:flowproxy}end"))


def text_plain(got, line):
    assert got.get("Content-Type") == "text/plain"
    assert got.body.endswith(b" (exchange %s)\n" % line["id"].encode())


def of_proxy(got):
    """What holds of every answer: its length is said, and it is what came."""
    assert got.framing == "length" and int(got.get("Content-Length")) == len(got.body)
    assert got.get("Date")


def test_in_the_form_of_the_request(proxy, peer):
    front = proxy(f"http://127.0.0.1:{origins.dead_port()}")
    cases = [(fields, fault_11) for fields in ASKS_11] + [(fields, fault_12) for fields in ASKS_12] \
        + [(fields, None) for fields in ASKS_TEXT]
    for n, (fields, read) in enumerate(cases, 1):
        client = peer(front)  # the proxy need not read the rest of a body that goes nowhere
        client.send(peers.request(fields=fields, body=ENVELOPE, method="POST"))
        got = client.read_response("POST")
        line = front.lines(n)[-1]
        assert got.status == 502 and line["end"] == "connect-refused", fields
        of_proxy(got)
        check.client_leg(line["client"], client, got)
        if read is None:
            text_plain(got, line)
            continue
        code, string, number, end = read(got)
        assert code == ("soap:Server" if read is fault_11 else "soap:Receiver")
        assert (string, number, end) == ("The backend refused the connection.", line["id"],
                                         "connect-refused")
        assert line["soap"]["fault"] is None  # that is the backend's


@pytest.mark.parametrize("fields, read, code", [
    (ASKS_11[0], fault_11, "soap:Client"), (ASKS_12[0], fault_12, "soap:Sender")])
def test_the_clients_own_fault(origin, proxy, peer, fields, read, code):
    """A body too large, told by its length and found in chunks; a body that does not come."""
    backend = origin()
    backend.forgive = True  # its request is cut short
    front = proxy(backend, max_body_bytes=10, body_timeout_ms=100)
    chunked = [*fields, "Transfer-Encoding: chunked"]
    large, many, late = peer(front), peer(front), peer(front)
    large.send(peers.request(fields=fields, body=b"x" * 11, method="POST"))
    many.send(peers.request(fields=chunked, method="POST") + b"b\r\nhello world\r\n0\r\n\r\n")
    late.send(peers.request(fields=chunked, method="POST") + b"5\r\nhello\r\n")
    answers = [large.read_response(), many.read_response(), late.read_response()]
    lines = {line["client"]["peer"]: line for line in front.lines(3)}
    for client, got, status, end in zip((large, many, late), answers, (413, 413, 408),
                                        ("body-too-large", "body-too-large", "body-timeout")):
        line = lines[client.local_text]
        assert (got.status, line["status"], line["end"]) == (status, status, end)
        of_proxy(got)
        assert read(got)[0] == code and read(got)[2:] == (line["id"], end)
        check.client_leg(line["client"], client, got)
        client.expect_eof()


def test_a_backend_that_says_nothing(origin, proxy, peer):
    def silent(conn):
        conn.next_request()
        conn.read_to_end()

    backend = origin(silent)
    front = proxy(backend, backend_timeout_ms=100)
    client = peer(front)
    got = client.post(ENVELOPE, fields=ASKS_12[0])
    line = front.lines(1)[0]
    code, string, number, end = fault_12(got)
    assert (got.status, code, end) == (504, "soap:Receiver", "backend-timeout")
    assert (string, number) == ("The backend did not answer in time.", line["id"])
    assert backend.requests[0].body == ENVELOPE
    check.exchange(line, client, got, backend.requests[0], "backend-timeout", None)


def test_head_gets_the_length_alone(proxy, peer):
    front = proxy(f"http://127.0.0.1:{origins.dead_port()}")
    client = peer(front)
    whole = client.get(fields=ASKS_11[2])
    head = client.get(fields=ASKS_11[2], method="HEAD")
    assert whole.status == head.status == 502
    fault_11(whole)
    assert head.get("Content-Length") == str(len(whole.body))
    assert head.get("Content-Type") == "text/xml; charset=utf-8"
    assert client.get(fields=ASKS_11[2]).status == 502  # no byte of a body came between
    assert [line["bytes"]["response_body"] for line in front.lines(3)] \
        == [len(whole.body), 0, len(whole.body)]


def test_max_forwards_is_no_fault(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    got = client.get(method="OPTIONS", fields=["SOAPAction: urn:x", "Max-Forwards: 0"])
    assert (got.status, got.body, got.get("Content-Length")) == (200, b"", "0")
    check.refused(front.lines(1)[0], client, got, "answered-here", 200)
    assert not backend.requests


def test_a_head_that_was_not_accepted_gets_text(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    client.send(peers.request(fields=["SOAPAction: urn:x", "X : y"]))
    got = client.read_response()
    line = front.lines(1)[0]
    assert got.status == 400
    of_proxy(got)
    text_plain(got, line)
    check.refused(line, client, got, "bad-request", 400)
    assert not backend.requests


def test_a_stop_in_the_midst_of_a_soap_request(origin, proxy, peer):
    def silent(conn):
        conn.next_request()
        conn.read_to_end()

    backend = origin(silent)
    front = proxy(backend, stop_ms=100)
    client = peer(front)
    client.send(peers.request(fields=ASKS_11[0], body=ENVELOPE, method="POST"))
    backend.wait_requests(1)
    front.signal(15)
    got = client.read_response("POST")
    assert got.status == 503 and got.get("Connection") == "close"
    code, _, number, end = fault_11(got)
    line = front.lines(1)[0]
    assert (code, number, end) == ("soap:Server", line["id"], "shutdown")
    client.expect_eof()
