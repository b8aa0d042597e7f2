"""Thousands of clients that hold on: silent, with half a head, without their body, not reading.

Each costs no more memory than README's "What a connection costs" says, the proxy does not spin, a
client that behaves feels nothing, each ends with its word, and memory goes back afterwards.
"""
# run: alone

import collections

import pytest

import apart
import check
import crowd
import peer as peers
import stack

KIB = 1024
MANY = 200 if stack.SLOW else 2000
# What stays when a crowd has left: exchanges kept for the next ones, and what malloc may keep.
KEPT_BYTES = 24 << 20
HALF = b"GET /half HTTP/1.1\r\nHost: a\r\nX-Half: "
DEAF = peers.request("/deaf", ["Content-Length: 100000000"], method="POST")


@pytest.fixture
def front(proxy, request):
    """One proxy; a test may ask for settings besides (indirect parameters)."""
    backend = apart.Backend()
    yield proxy(backend.url, getattr(request, "param", {}), header_timeout_ms=60000)
    backend.stop()


@pytest.fixture
def bystander(front):
    each = apart.Bystander(front.address)
    yield each
    each.stop()


def check_held(front, watch, clients, most_bytes, ends, least_bytes=0):
    """Held at once, each within its bound; then all leave."""
    each = watch.memory_each(len(clients))
    assert stack.SLOW or least_bytes <= each < most_bytes, f"{each} bytes per connection"
    watch.check_others()
    watch.check_rest()
    crowd.scatter(clients)
    crowd.settle(front)
    check_ends(front, watch.bystander.exchanges, ends)
    if not stack.SLOW:
        watch.check_given_back(KEPT_BYTES)
    check.counters(front, front.lines(watch.bystander.exchanges + sum(ends.values())))


def check_ends(front, done, ends):
    lines = front.lines(done + sum(ends.values()), timeout_s=20)
    assert collections.Counter(line["end"] for line in lines) \
        == collections.Counter(ends) + collections.Counter(done=done)


def test_idle_ones(front, bystander):
    """Half of them have never sent a byte, half have had an answer."""
    watch = crowd.Watch(front, bystander)
    clients = crowd.gather(front, MANY)
    for client in clients[::2]:
        assert client.get().status == 200
    bystander.exchanges += MANY // 2
    check_held(front, watch, clients, 2 * KIB, {})


@pytest.mark.parametrize("value", [b"", b"x" * 60000], ids=["small", "large"])
def test_half_a_head(front, bystander, value):
    watch = crowd.Watch(front, bystander)
    clients = crowd.gather(front, MANY, HALF + value)
    check_held(front, watch, clients, 8 * KIB + 1.1 * len(value), {"client-reset": MANY})


def test_half_a_head_of_many_fields(front, bystander):
    watch = crowd.Watch(front, bystander)
    clients = crowd.gather(front, MANY, b"GET /half HTTP/1.1\r\n" + b"a:b\r\n" * 250)
    check_held(front, watch, clients, 16 * KIB, {"client-reset": MANY})


def test_a_head_without_its_body(front, bystander):
    watch = crowd.Watch(front, bystander)
    clients = crowd.gather(front, MANY, DEAF)
    check_held(front, watch, clients, 8 * KIB, {"client-reset": MANY})


def test_a_response_read_in_part(front, bystander):
    """100 MB each, of which a few bytes are read."""
    watch = crowd.Watch(front, bystander)
    clients = crowd.gather(front, MANY, peers.request("/large/100000000"), recv_buffer=4096)
    for client in clients:
        client.read_exactly(100)
    check_held(front, watch, clients, (8 + 256) * KIB, {"client-reset": MANY},
               least_bytes=16 * KIB)


def test_a_request_taken_in_part(front, bystander):
    """The backend reads none of the bodies: what it does not take is bounded."""
    watch = crowd.Watch(front, bystander)
    clients = crowd.gather(front, MANY // 8, DEAF)
    block = b"z" * 500_000
    for _ in range(4):
        for client in clients:
            client.send_some(block)
        crowd.settle(front)
    check_held(front, watch, clients, (8 + 16 + 256) * KIB, {"client-reset": MANY // 8},
               least_bytes=24 * KIB)


@pytest.mark.parametrize("front", [{"log.soap": "full"}], indirect=True)
def test_a_soap_request_that_is_being_read(front, bystander):
    """A body that is costly to parse: many names, deep in each other."""
    watch = crowd.Watch(front, bystander)
    body = b"".join(b"<n%d>" % n for n in range(6000))
    raw = peers.request("/deaf", ["Content-Type: text/xml", "Content-Length: 1000000"],
                        method="POST") + body
    clients = crowd.gather(front, MANY // 20, raw)
    check_held(front, watch, clients, (8 + 16 + 512) * KIB, {"client-reset": MANY // 20})
