"""What becomes of a tunnel: both ways, half-close, resets, readers that stall, time limits, stop."""

import signal
import threading
import time

import pytest

import check
from origin import response
import peer as peers
from tunnels import SWITCH, accept, check_line, echo, open_by, switch

PIECE = bytes(range(256)) * 256  # 64 KiB
SMALL = {"recv_buffer": 4096, "max_segment": 536}  # little fits on the way to that peer


def test_both_ways_until_the_client_closes(origin, proxy, peer):
    backend = origin(echo)
    front = proxy(backend)
    client = peer(front)
    got = open_by(client)
    for word in (b"hello", b"x" * 100_000):
        client.send(word)
        assert client.read_exactly(len(word)) == word.upper()
    client.half_close()
    client.expect_eof()
    check_line(front.lines(1)[0], "tunnel-client", client, got, backend.conns[0])
    assert client.sent == got.request_range[1] + 100_005


def test_the_backend_ends_it(origin, proxy, peer):
    def script(conn):
        accept(conn)
        conn.send(b"bye")
        conn.half_close()
        conn.expect_eof()

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    got = open_by(client)
    assert client.read_to_end() == (b"bye", "eof")
    client.close()
    check_line(front.lines(1)[0], "tunnel-backend", client, got, backend.conns[0])


@pytest.mark.parametrize("size", [5, 60_000])
def test_what_the_client_sends_behind_it_waits_for_the_decision(origin, proxy, peer, size):
    early = b"e" * size

    def script(conn):
        conn.next_request()
        conn.expect_silence(0.2)
        conn.reply(SWITCH)
        assert conn.read_exactly(size + 4) == early + b"late"
        conn.send(b"done")
        conn.half_close()
        conn.expect_eof()

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    got = open_by(client, early=early)
    client.send(b"late")
    assert client.read_exactly(4) == b"done"
    client.expect_eof()
    client.close()
    check_line(front.lines(1)[0], "tunnel-backend", client, got, backend.conns[0])


# ---- half-close ----


def test_the_client_half_closes_and_still_gets(origin, proxy, peer):
    def script(conn):
        accept(conn)
        assert conn.read_to_end() == (b"last words", "eof")
        for _ in range(16):
            conn.send(PIECE)

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    got = open_by(client)
    client.send_with_fin(b"last words")
    rest, how = client.read_to_end()
    assert (rest, how) == (PIECE * 16, "eof")
    check_line(front.lines(1)[0], "tunnel-client", client, got, backend.conns[0])


def test_the_backend_half_closes_and_still_gets(origin, proxy, peer):
    def script(conn):
        accept(conn)
        conn.send_with_fin(b"last words")
        assert conn.read_to_end() == (PIECE * 16, "eof")

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    got = open_by(client)
    assert client.read_to_end() == (b"last words", "eof")
    for _ in range(16):
        client.send(PIECE)
    client.half_close()
    assert backend.conns[0].done.wait(5)
    check_line(front.lines(1)[0], "tunnel-backend", client, got, backend.conns[0])


def test_both_close_at_once(origin, proxy, peer):
    def script(conn):
        accept(conn)
        conn.origin.front.freeze()
        conn.send_with_fin(b"from the backend")
        conn.origin.client.send_with_fin(b"from the client")
        conn.origin.front.thaw()
        assert conn.read_to_end() == (b"from the client", "eof")

    backend = origin(script)
    backend.front = front = proxy(backend)
    backend.client = client = peer(front)
    got = open_by(client)
    assert client.read_to_end() == (b"from the backend", "eof")
    line = front.lines(1)[0]
    assert line["end"] in ("tunnel-client", "tunnel-backend")
    check_line(line, line["end"], client, got, backend.conns[0])


# ---- reset ----


def stopped(front, act):
    """What act does reaches the proxy in one turn of its loop."""
    front.freeze()
    try:
        act()
    finally:
        front.thaw()


def test_the_client_resets(origin, proxy, peer):
    """Everything that it sent before still arrives, though bytes and RST come together."""
    def script(conn):
        accept(conn)
        conn.send(b"go")
        rest, _ = conn.read_to_end()
        assert rest == PIECE

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    got = open_by(client)
    assert client.read_exactly(2) == b"go"
    stopped(front, lambda: (client.send(PIECE), client.reset()))
    line = front.lines(1)[0]
    assert backend.conns[0].done.wait(5)
    check_line(line, "tunnel-client", client, got, backend.conns[0])


def test_the_backend_resets(origin, proxy, peer):
    def script(conn):
        accept(conn)
        assert conn.read_exactly(2) == b"go"
        stopped(conn.origin.front, lambda: (conn.send(PIECE), conn.reset()))

    backend = origin(script)
    backend.front = front = proxy(backend)
    client = peer(front)
    got = open_by(client)
    client.send(b"go")
    rest, _ = client.read_to_end()
    assert rest == PIECE
    client.close()
    check_line(front.lines(1)[0], "tunnel-backend", client, got, backend.conns[0])


def test_a_reset_is_found_by_sending(origin, proxy, peer):
    """The backend resets with bytes under way to it and from it: what it sent still arrives."""
    def script(conn):
        accept(conn)
        assert conn.read_exactly(2) == b"go"

        def act():
            conn.send(b"sent before")
            conn.origin.client.send(b"too late")
            conn.reset()

        stopped(conn.origin.front, act)

    backend = origin(script)
    backend.front = front = proxy(backend)
    backend.client = client = peer(front)
    open_by(client)
    client.send(b"go")
    rest, _ = client.read_to_end()
    assert rest == b"sent before"
    client.close()
    check_line(front.lines(1)[0], "tunnel-backend")


@pytest.mark.parametrize("who", ["client", "backend"])
def test_a_half_close_and_then_a_reset(origin, proxy, peer, who):
    """Nobody sends anything any more: the reset alone ends it, long before the time limit."""
    closed, go = threading.Event(), threading.Event()

    def script(conn):
        accept(conn)
        if who == "backend":
            conn.half_close()
            assert go.wait(5)
            conn.reset()
        else:
            assert conn.read_to_end() == (b"", "eof")
            closed.set()
            assert go.wait(5)
            conn.read_to_end()

    backend = origin(script)
    front = proxy(backend)
    client = peer(front)
    open_by(client)
    if who == "client":
        client.half_close()
        assert closed.wait(5)
        client.reset()
    else:
        client.expect_eof()
        go.set()
    line = front.lines(1, timeout_s=3)[0]
    go.set()
    check_line(line, "tunnel-" + who)


# ---- who does not read ----


def test_a_101_that_the_client_takes_in_part(origin, proxy, peer):
    """Its socket is full when the 101 comes: the tunnel's range begins behind the whole head."""
    large = switch(*[f"X-{n}: " + "x" * 7000 for n in range(120)])

    def script(conn):
        conn.next_request()
        conn.reply(large)
        conn.send(b"behind it")
        assert conn.read_exactly(5) == b"early"
        conn.half_close()
        conn.expect_eof()

    backend = origin(script)
    front = proxy(backend, max_header_bytes=1 << 20)
    client = peer(front, **SMALL)
    raw = peers.request("/ws", ["Connection: Upgrade", "Upgrade: websocket"])
    client.send(raw + b"early")
    backend.wait_conns(1)
    time.sleep(0.15)
    got = client.read_response()
    got.request_range = [0, len(raw)]
    assert got.past > 800_000
    assert client.read_to_end() == (b"behind it", "eof")
    client.close()
    line = front.lines(1)[0]
    check_line(line, "tunnel-backend", client, got, backend.conns[0])
    assert line["at_us"]["response_end"] - line["at_us"]["backend_response_end"] > 50_000


def test_what_is_taken_late_is_no_silence(origin, proxy, peer):
    """The client takes the rest of the 101 after a while, and is silent for a while: neither is as
    long as the limit, both together are."""
    def script(conn):
        conn.next_request()
        conn.reply(switch(*[f"X-{n}: " + "x" * 7000 for n in range(120)]))
        assert conn.read_exactly(5) == b"hello"
        conn.half_close()
        conn.expect_eof()

    backend = origin(script)
    front = proxy(backend, max_header_bytes=1 << 20, tunnel_timeout_ms=1000)
    client = peer(front, **SMALL)
    raw = peers.request("/ws", ["Connection: Upgrade", "Upgrade: websocket"])
    client.send(raw)
    time.sleep(0.6)
    got = client.read_response()
    got.request_range = [0, len(raw)]
    time.sleep(0.6)
    client.send(b"hello")
    client.expect_eof()
    client.close()
    check_line(front.lines(1)[0], "tunnel-backend", client, got, backend.conns[0])


def test_a_101_that_the_client_never_takes_whole(origin, proxy, peer):
    """No moment of its end, the response reaches as far as the socket took it, no tunnel down."""
    large = switch(*[f"X-{n}: " + "x" * 7000 for n in range(120)])

    def script(conn):
        conn.next_request()
        conn.reply(large)
        conn.read_to_end()

    backend = origin(script)
    front = proxy(backend, max_header_bytes=1 << 20, tunnel_timeout_ms=400)
    client = peer(front, **SMALL)
    client.send(peers.request("/ws", ["Connection: Upgrade", "Upgrade: websocket"]))
    line = front.lines(1)[0]
    assert (line["end"], line["status"]) == ("tunnel-timeout", 101)
    assert line["at_us"]["response_end"] is None
    assert 0 < line["client"]["response"][1] < len(large) - 100_000
    assert line["client"]["tunnel"]["down"] is None
    assert line["backend"]["response"] == [0, len(large)]
    rest, how = client.read_to_end()
    assert how == "reset" and len(rest) <= line["client"]["response"][1]


def pump(conn, most=1 << 20):
    """Send until nothing is taken for a moment, or so much is sent."""
    quiet = 0
    while quiet < 4 and most > 0:
        n = conn.send_some(PIECE[:most])
        most -= n
        quiet = 0 if n else quiet + 1
        if quiet:
            time.sleep(0.02)


@pytest.mark.memory
@pytest.mark.parametrize("who", ["client", "backend"])
def test_a_peer_that_stops_reading(origin, proxy, peer, who):
    """Memory stays bounded, and the time limit ends it."""
    pumped, over = threading.Event(), threading.Event()

    def script(conn):
        accept(conn)
        if who == "client":
            pump(conn)
            pumped.set()
        assert over.wait(10)
        if who == "client":
            conn.read_to_end()

    backend = origin(script, **(SMALL if who == "backend" else {}))
    front = proxy(backend, tunnel_timeout_ms=1000)
    client = peer(front, **(SMALL if who == "client" else {}))
    got = open_by(client)
    before = front.rss_bytes()
    if who == "backend":
        pump(client)
        pumped.set()
    assert pumped.wait(5)
    assert front.rss_bytes() - before < 2 << 20
    line = front.lines(1)[0]
    over.set()
    assert (line["end"], line["status"]) == ("tunnel-timeout", 101)
    way = "down" if who == "client" else "up"
    sender, receiver = ("backend", "client") if who == "client" else ("client", "backend")
    kept = [line[leg]["tunnel"][way] for leg in (sender, receiver)]
    behind = (kept[0][1] - kept[0][0]) - (kept[1][1] - kept[1][0])
    assert 0 < behind <= 256 * 1024, kept
    assert client.read_to_end()[1] in ("eof", "reset")
    assert got.range == line["client"]["response"]


def test_what_a_reset_client_sent_waits_for_a_slow_backend(origin, proxy, peer):
    """The client is gone; what the proxy has of it goes on as the backend reads."""
    sent = threading.Event()

    def script(conn):
        accept(conn)
        assert sent.wait(5)
        time.sleep(0.1)
        conn.skip_to_end()

    backend = origin(script, **SMALL)
    front = proxy(backend)
    client = peer(front)
    got = open_by(client)
    pump(client, 900_000)
    client.reset()
    sent.set()
    line = front.lines(1)[0]
    assert backend.conns[0].done.wait(5)
    check_line(line, "tunnel-client", conn=backend.conns[0])
    up = line["client"]["tunnel"]["up"]
    assert up[0] == got.request_range[1] and 0 < up[1] - up[0] <= client.sent - up[0]
    assert up[1] - up[0] == backend.conns[0].received - backend.conns[0].requests[0].past


# ---- time ----


def test_silence_ends_a_tunnel(origin, proxy, peer):
    def script(conn):
        accept(conn)
        conn.expect_eof()

    backend = origin(script)
    front = proxy(backend, tunnel_timeout_ms=300)
    client = peer(front)
    got = open_by(client)
    began = time.monotonic()
    client.expect_eof()
    check.between(time.monotonic() - began, 0.2, 2.0, "seconds")
    check_line(front.lines(1)[0], "tunnel-timeout", client, got, backend.conns[0])


@pytest.mark.parametrize("who", ["client", "backend"])
def test_silence_ends_a_half_closed_one(origin, proxy, peer, who):
    """It is the time limit that ended it, whoever was first to close."""
    def script(conn):
        accept(conn)
        if who == "backend":
            conn.half_close()
        conn.expect_eof()
        if who == "client":
            conn.origin.over.wait(5)

    backend = origin(script)
    backend.over = threading.Event()
    front = proxy(backend, tunnel_timeout_ms=300)
    client = peer(front)
    open_by(client)
    if who == "client":
        client.half_close()
    client.expect_eof()
    check_line(front.lines(1)[0], "tunnel-timeout")
    backend.over.set()


@pytest.mark.parametrize("way", ["up", "down"])
def test_bytes_of_one_way_keep_it_open(origin, proxy, peer, way):
    def trickle(stream):
        for _ in range(8):
            stream.send(b"tick")
            time.sleep(0.1)

    def script(conn):
        accept(conn)
        if way == "down":
            trickle(conn)
        conn.read_to_end()

    backend = origin(script)
    front = proxy(backend, tunnel_timeout_ms=400)
    client = peer(front)
    got = open_by(client)
    if way == "up":
        trickle(client)
    else:
        assert client.read_exactly(32) == b"tick" * 8
    client.half_close()
    client.expect_eof()
    check_line(front.lines(1)[0], "tunnel-client", client, got, backend.conns[0])


def test_no_other_limit_concerns_it(origin, proxy, peer):
    backend = origin(echo)
    front = proxy(backend, header_timeout_ms=200, idle_timeout_ms=200, body_timeout_ms=200,
                  send_timeout_ms=200, backend_timeout_ms=200, request_timeout_ms=200,
                  max_age_ms=200, max_requests=1)
    client = peer(front)
    got = open_by(client)
    time.sleep(0.5)
    client.send(b"still there")
    assert client.read_exactly(11) == b"STILL THERE"
    client.half_close()
    client.expect_eof()
    check_line(front.lines(1)[0], "tunnel-client", client, got, backend.conns[0])


# ---- among others ----


def test_it_counts_as_a_connection_and_is_not_evicted(origin, proxy, peer):
    backend = origin(echo)
    front = proxy(backend, max_connections=1)
    client = peer(front)
    got = open_by(client)
    assert peer(front).get().status == 503
    client.send(b"alive")
    assert client.read_exactly(5) == b"ALIVE"
    client.half_close()
    client.expect_eof()
    lines = {line["end"]: line for line in front.lines(2)}
    assert set(lines) == {"overload", "tunnel-client"}
    check_line(lines["tunnel-client"], "tunnel-client", client, got, backend.conns[0])


def test_its_connections_are_not_used_again(origin, proxy, peer):
    backend = origin([echo, lambda conn: (conn.next_request(), conn.reply(response(b"new")))])
    front = proxy(backend)
    client = peer(front)
    open_by(client)
    client.half_close()
    client.expect_eof()
    assert peer(front).get().body == b"new"
    lines = front.lines(2)
    assert [line["backend"]["reused"] for line in lines] == [False, False]
    assert lines[0]["backend"]["conn"] != lines[1]["backend"]["conn"]


def test_many_at_once(origin, proxy, peer):
    backend = origin(echo)
    front = proxy(backend)
    clients = [peer(front) for _ in range(40)]
    gots = [open_by(client, f"/{n}") for n, client in enumerate(clients)]
    for round_ in range(3):
        for n, client in enumerate(clients):
            client.send(b"<%d in %d>" % (n, round_) + b"x" * 30_000)
        for n, client in enumerate(clients):
            want = b"<%d IN %d>" % (n, round_) + b"X" * 30_000
            assert client.read_exactly(len(want)) == want
    for client in clients:
        client.half_close()
    for client in clients:
        client.expect_eof()
    lines = {line["target"]: line for line in front.lines(40)}
    conns = {conn.requests[0].target: conn for conn in backend.conns}
    for n, client in enumerate(clients):
        check_line(lines[f"/{n}"], "tunnel-client", client, gots[n], conns[f"/{n}"])


# ---- stop ----


def test_a_stop_lets_it_run_and_then_ends_it(origin, proxy, peer):
    backend = origin(echo)
    front = proxy(backend, stop_ms=600)
    client = peer(front)
    got = open_by(client)
    front.signal(signal.SIGTERM)
    began = time.monotonic()
    wait_refused(front)
    client.send(b"meanwhile")
    assert client.read_exactly(9) == b"MEANWHILE"
    client.expect_eof()
    check.between(time.monotonic() - began, 0.5, 3.0, "seconds")
    assert front.wait() == 0
    check_line(front.lines(1)[0], "shutdown", client, got, backend.conns[0])


def test_a_tunnel_that_ends_during_a_stop(origin, proxy, peer):
    backend = origin(echo)
    front = proxy(backend, stop_ms=10_000)
    client = peer(front)
    got = open_by(client)
    front.signal(signal.SIGTERM)
    wait_refused(front)
    client.half_close()
    client.expect_eof()
    assert front.wait(5) == 0
    check_line(front.lines(1)[0], "tunnel-client", client, got, backend.conns[0])


def test_a_second_signal_ends_it_at_once(origin, proxy, peer):
    backend = origin(echo)
    front = proxy(backend, stop_ms=10_000)
    client = peer(front)
    got = open_by(client)
    front.signal(signal.SIGTERM)
    wait_refused(front)
    front.signal(signal.SIGTERM)
    client.expect_eof()
    assert front.wait(5) == 0
    check_line(front.lines(1)[0], "shutdown", client, got, backend.conns[0])


def wait_refused(front):
    """The stop has begun: nobody listens any more."""
    for _ in range(200):
        try:
            peers.Peer(front.address).close()
        except OSError:
            return
        time.sleep(0.01)
    raise AssertionError("still accepts")
