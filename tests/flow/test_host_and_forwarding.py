"""Host, Via, X-Forwarded-*, Date: the fields that a proxy owes both sides."""

import re

import pytest

import check
from origin import answer, response
import peer as peers


def test_what_is_added_to_a_plain_request(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    got = client.get("/", ["X-Own: 1"])
    request = backend.requests[0]
    assert request.get("Host") == "test.example"
    assert request.get("Via") == "1.1 flowproxy"
    assert request.get("X-Forwarded-For") == "127.0.0.1"
    assert request.get("X-Forwarded-Proto") == front.schemes[0]
    assert request.get("X-Forwarded-Host") == "test.example"
    line = front.lines(1)[0]
    assert line["host"] == "test.example"
    check.exchange(line, client, got, request)


def test_what_others_said_before(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    peer(front).get("/", ["X-Forwarded-For: 10.0.0.1, 10.0.0.2", "Via: 1.0 first",
                          "X-Forwarded-Proto: gopher", "x-forwarded-for: 10.0.0.3",
                          "X-Forwarded-Host: elsewhere", "X-Forwarded-Proto: ftp",
                          "Via: 1.1 second"])
    request = backend.requests[0]
    assert request.get("X-Forwarded-For") == "10.0.0.1, 10.0.0.2, 10.0.0.3, 127.0.0.1"
    assert request.get("X-Forwarded-Proto") == front.schemes[0]
    assert request.get("X-Forwarded-Host") == "test.example"
    vias = re.split(r",\s*", ", ".join(request.all("Via")))
    assert vias == ["1.0 first", "1.1 second", "1.1 flowproxy"]
    front.lines(1)


def test_host_of_the_backend_when_asked(origin, proxy, peer):
    backend = origin()
    front = proxy(backend, host_header="backend")
    peer(front).get()
    assert backend.requests[0].get("Host") == backend.text
    assert backend.requests[0].get("X-Forwarded-Host") == "test.example"
    assert front.lines(1)[0]["host"] == "test.example"


@pytest.mark.parametrize("target,host,path", [
    ("http://named.example/a?b", "named.example", "/a?b"),
    ("http://named.example:8080", "named.example:8080", "/"),
    ("HTTP://named.example/?x", "named.example", "/?x"),
    ("http://[::1]:81/v6", "[::1]:81", "/v6"),
    ("http://named.example?x", "named.example", "/?x"),
])
def test_absolute_form(origin, proxy, peer, target, host, path):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    got = client.get(target)
    request = backend.requests[0]
    assert (request.target, request.get("Host")) == (path, host)
    line = front.lines(1)[0]
    assert line["target"] == target
    check.exchange(line, client, got, request)


def test_absolute_form_of_options_without_path_is_an_asterisk(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    peer(front).get("http://named.example", method="OPTIONS")
    assert backend.requests[0].target == "*"
    front.lines(1)


def test_date_is_added_where_the_backend_sent_none(origin, proxy, peer):
    backend = origin(answer(response(), response(fields=["Date: Mon, 01 Jan 2001 00:00:00 GMT"])))
    front = proxy(backend)
    client = peer(front)
    first, second = client.get(), client.get()
    assert re.match(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\Z", first.get("Date"))
    assert second.get("Date") == "Mon, 01 Jan 2001 00:00:00 GMT"
    front.lines(2)


@pytest.mark.parametrize("host", ["a", "a:80", "[::1]", "[::1]:8080", "127.0.0.1:1", "A-b.c_d:"])
def test_good_hosts_pass(origin, proxy, peer, host):
    backend = origin()
    front = proxy(backend)
    client = peer(front)
    assert client.exchange(peers.request(host=host)).status == 200
    assert backend.requests[0].get("Host") == host
    front.lines(1)


def test_options_of_the_server(origin, proxy, peer):
    backend = origin()
    front = proxy(backend)
    assert peer(front).get("*", method="OPTIONS").status == 200
    assert backend.requests[0].target == "*"
    front.lines(1)
