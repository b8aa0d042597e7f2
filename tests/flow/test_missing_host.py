"""Requests without a Host: the article's own curl command must work as it stands."""

import subprocess

import pytest

import check
import peer as peers
import stack

ENVELOPE = """<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" \
xmlns:web="http://www.webserviceX.NET/"><soapenv:Header/><soapenv:Body><web:ConversionRate>\
<web:FromCurrency>USD</web:FromCurrency><web:ToCurrency>LKR</web:ToCurrency>\
</web:ConversionRate></soapenv:Body></soapenv:Envelope>"""


def test_the_curl_of_the_article(proxy):
    backend = stack.currency_backend()
    try:
        front = proxy(backend)
        for _ in range(2):
            done = subprocess.run(
                ["curl", "-s", "-S", "-v", "--max-time", "10", "-H", "Content-Type: text/xml",
                 "-H", "SOAPAction:urn:ConversionRate", "-H", "Host:", "-d", ENVELOPE,
                 f"{front.url}/currencyconvertor.asmx"],
                capture_output=True, text=True, check=True)
            assert "<ConversionRateResult>309.83</ConversionRateResult>" in done.stdout
            assert "> Host" not in done.stderr
        lines = front.lines(2)
        for line in lines:
            assert (line["status"], line["end"], line["host"]) == (200, "done", None)
            assert line["soap"]["action"] == "urn:ConversionRate"
            assert line["bytes"] == {"request_body": len(ENVELOPE), "response_body": 382}
        assert lines[1]["backend"]["reused"] and lines[1]["backend"]["nth"] == 2
    finally:
        backend.stop()


@pytest.mark.parametrize("field", [None, ""])
def test_accepted_by_default(origin, proxy, peer, field):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    got = client.exchange(peers.request(host=field))
    assert backend.requests[0].get("Host") == backend.text
    check.exchange(front.lines(1)[0], client, got, backend.requests[0])


def test_rejected_when_asked(origin, proxy, peer):
    backend = origin()
    front = proxy(backend, missing_host="reject")
    client = peer(front)
    raw = peers.request(host=None)
    got = client.exchange(raw)
    check.refused(front.lines(1)[0], client, got, "missing-host", 400, [0, len(raw)])
    assert not backend.conns
    if got.get("Connection") == "close":
        client.expect_eof()
    else:  # the request was whole, so the next one is found where it should be
        assert client.get().status == 200
        front.lines(2)


def test_rejected_with_a_body(origin, proxy, peer):
    backend = origin()
    front = proxy(backend, missing_host="reject")
    client = peer(front)
    got = client.exchange(peers.request(host=None, body=b"GET /smuggled HTTP/1.1\r\n\r\n",
                                        method="POST"), "POST")
    assert got.status == 400
    if got.get("Connection") == "close":
        client.expect_eof()
        front.lines(1)
    else:
        assert client.get("/next").status == 200
        front.lines(2)
    assert {r.target for r in backend.requests} <= {"/next"}


def test_absolute_form_names_the_host(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    got = client.exchange(peers.request("http://named.example:81/path?q", host=None))
    request = backend.requests[0]
    assert (request.target, request.get("Host")) == ("/path?q", "named.example:81")
    check.exchange(front.lines(1)[0], client, got, request)
