"""What one line says of odd requests: cut texts, bytes that are no UTF-8, SOAP actions."""

import datetime
import json
import time

import check
import log
import peer as peers


def test_long_texts_are_cut(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    target = "/" + "x" * 5000
    got = client.get(target)
    line = front.lines(1)[0]
    assert line["cut"] is True
    assert line["target"] == target[:2048]
    check.exchange(line, client, got, backend.requests[0])
    client.get("/" + "y" * 2047)
    line = front.lines(2)[1]
    assert "cut" not in line and len(line["target"]) == 2048


def test_bytes_that_are_no_utf8(origin, proxy, peer):
    front = proxy(origin())
    client = peer(front)
    client.exchange(b"POST / HTTP/1.1\r\nHost: a\r\nSOAPAction: \"caf\xe9 \xc3\xa9 \xff\\\"\r\n"
                    b"Content-Length: 0\r\n\r\n", "POST")
    with open(front.log_path, "rb") as f:
        front.lines(1)
        raw = f.read()
    raw.decode("utf-8")
    action = json.loads(raw)["soap"]["action"]
    assert action == "caf\\xe9 \xe9 \\xff\\"


def test_soap_actions(origin, proxy, peer):
    front = proxy(origin())
    client = peer(front)
    cases = [
        (["SOAPAction: urn:ConversionRate"], "urn:ConversionRate"),
        (['SOAPAction: "http://www.webserviceX.NET/ConversionRate"'],
         "http://www.webserviceX.NET/ConversionRate"),
        (['SOAPAction: ""'], ""),
        (['Content-Type: application/soap+xml; charset=utf-8; action="urn:twelve"'], "urn:twelve"),
        (["Content-Type: text/xml"], None),
    ]
    for fields, _ in cases:
        client.post(b"<x/>", fields=fields)
    lines = front.lines(len(cases))
    for line, (fields, wanted) in zip(lines, cases):
        got = line["soap"]["action"]
        assert got == wanted or (wanted == "" and got is None), fields


def test_soap_off(origin, proxy, peer):
    front = proxy(origin(), settings={"log.soap": "off"})
    peer(front).post(b"<x/>", fields=["SOAPAction: urn:ConversionRate"])
    line = front.lines(1)[0]
    assert line["soap"] is None or line["soap"]["action"] is None


def test_what_is_known_of_a_malformed_request(origin, proxy, peer):
    front = proxy(origin())
    client = peer(front)
    client.exchange(b"GET /seen?q=1 HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n")
    line = front.lines(1)[0]
    assert (line["method"], line["target"]) == ("GET", "/seen?q=1")
    client = peer(front)
    client.exchange(b"\x80\x81 nothing at all\r\n\r\n")
    line = front.lines(2)[1]
    assert line["method"] is None or isinstance(line["method"], str)


def test_start_and_moments_agree_with_the_clock(origin, proxy, peer):
    def script(conn):
        conn.next_request()
        time.sleep(0.3)
        conn.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        time.sleep(0.2)
        conn.reply(b"ok")
        conn.next_request()

    front = proxy(origin(script))
    client = peer(front)
    before = time.time()
    client.send(peers.request(body=None, fields=["Content-Length: 4"], method="POST") + b"ab")
    time.sleep(0.2)
    client.send(b"cd")
    client.read_response("POST")
    took_us = (time.time() - before) * 1e6
    line = front.lines(1)[0]
    stamp = datetime.datetime.fromisoformat(line["start"][:26] + "+00:00").timestamp()
    check.between(stamp, before - 0.001, before + 0.15, "start")
    at = line["at_us"]
    check.between(at["request_end"], 190_000, 400_000, "request_end")
    check.between(at["backend_response_start"] - at["backend_request_end"], 290_000, 600_000,
                  "thinking")
    check.between(at["backend_response_end"] - at["backend_response_start"], 190_000, 400_000,
                  "sending")
    assert at["response_end"] <= took_us
    log.assert_moments(line, *log.ALL_MOMENTS)


def test_ids_do_not_repeat_between_runs(origin, proxy, peer, tmp_path):
    backend = origin()
    path = tmp_path / "both.ndjson"
    for _ in range(2):
        front = proxy(backend, access_log=str(path))
        client = peer(front)
        for _ in range(5):
            client.get()
        client.close()
        front.stop()
    lines = log.read_lines(path)
    assert len({line["id"] for line in lines}) == 10
    assert len({line["run"] for line in lines}) == 2
    path.unlink()
