"""The stale keep-alive matrix: the backend leaves a pooled connection before, in the same moment as,
while or after the next request is sent on it.

One table: the request (GET or POST; no body, a small one, one beyond the request buffer; the first
or a later request of its client connection), when and how the backend leaves and what it had read.
Each cell is built from what the kernel and the proxy show, never from sleeps, and asserted on its
client, its backend and its log line. The table is printed (pytest -s).

The rule that it proves: asked again is what no backend can have acted on (send() took no byte), and
an idempotent request whose bytes are all at hand; anything else is a 502 that says why. A POST never
reaches the application twice.
"""

import collections
import contextlib
import itertools
import queue
import signal
import socket
import threading
import time

import faults
import log
from origin import answer, response
import peer as peers

SMALL, LARGE, DECLARED = 1000, 40_000, 200_000  # LARGE: past the request buffer of 16 KiB

Request = collections.namedtuple("Request", "method body")
Cell = collections.namedtuple("Cell", "request when how read position")
Outcome = collections.namedtuple("Outcome", "status end attempts reused saw")

REQUESTS = [Request(method, body) for method in ("GET", "POST")
            for body in ("none", "small", "large")]
FRESH, AGAIN, NEVER = "on a fresh connection", "again on a fresh connection", "no more"

# What happens in one moment reaches the proxy in one turn of its loop.
WHENS = {
    "long before": "the proxy has noticed, and closed its end, before the request comes",
    "just before": "in one moment: the backend leaves, then the request comes",
    "just behind": "in one moment: the request comes, then the backend leaves",
    "in the gap": "the proxy has found the connection alive, but not called send() yet",
    "while": "a part of the body is still to come",
    "after": "the request was sent whole",
}
HOWS = {
    "FIN": "shutdown(): FIN, the other direction stays open",
    "close": "close(): FIN, or RST where bytes are unread",
    "RST": "close() with SO_LINGER 0",
}


def cells():
    whens = [when for when in WHENS if when != "in the gap" or faults.AVAILABLE]
    for request, when, how in itertools.product(REQUESTS, whens, HOWS):
        if when == "while" and request.body == "none":
            continue
        for read in ("nothing", "part", "all") if when in ("while", "after") else ("nothing",):
            yield Cell(request, when, how, read, None)


# ---- what must come of it: from the rule, not from the proxy ---------------------------------------

def left_by(cell):
    """What the proxy sees of it."""
    if cell.how == "close" and cell.when in ("while", "after"):
        return "backend-eof" if cell.read == "all" else "backend-reset"
    return "backend-reset" if cell.how == "RST" else "backend-eof"


def expected(cell):
    if cell.when in ("long before", "just before", "just behind"):
        return Outcome(200, "done", 1, False, FRESH)
    unsent = cell.when == "in the gap" and cell.how == "RST"
    idempotent = cell.request.method == "GET" and cell.request.body != "large"
    if unsent or idempotent:
        return Outcome(200, "done", 2, False, AGAIN)
    return Outcome(502, left_by(cell), 1, True, NEVER)


# ---- the stage ------------------------------------------------------------------------------------

class Stage:
    """A proxy, and a backend whose first connection of each cell is the test's to play with; all
    others answer by themselves."""

    def __init__(self, origin, proxy, tmp_path):
        self.faults = faults.Faults(tmp_path) if faults.AVAILABLE else None
        self.holding = False
        self.held = queue.Queue()
        self.backend = origin(self._script)
        self.front = proxy(self.backend, env=self.faults.env if self.faults else None)
        self.tail = log.Tail(self.front.log_path)
        self.files = self.front.open_files()

    def _script(self, conn):
        if not self.holding:
            answer(response(b"again"))(conn)
            return
        self.holding = False
        conn.let_go = threading.Event()
        self.held.put(conn)
        assert conn.let_go.wait(30)

    def pooled(self, client):
        """A connection that has answered one request of this client and is idle now."""
        self.holding = True
        client.send(peers.request("/primer"))
        held = self.held.get(timeout=10)
        held.read_request()
        held.send(response(b"first"))
        assert client.read_response().body == b"first"
        return held

    @contextlib.contextmanager
    def moment(self):
        """What happens in here comes to the proxy at once, in this order: it is at rest, so that no
        event from before is among them."""
        wait(lambda: set(self.front.thread_states()) == {"S"}, "a rest")
        self.front.signal(signal.SIGSTOP)
        try:
            wait(lambda: set(self.front.thread_states()) <= {"T", "t"}, "a stop")
            yield
        finally:
            self.front.signal(signal.SIGCONT)

    def settle(self, held):
        """All connections of the cell are over, and no descriptor is left of them."""
        held.let_go.set()
        for conn in self.backend.conns:
            with contextlib.suppress(OSError):
                conn.sock.shutdown(socket.SHUT_RDWR)
        wait(lambda: self.front.open_files() == self.files,
             lambda: f"{self.files} descriptors, but {self.front.open_files()}")
        self.backend.conns.clear()
        self.backend.requests.clear()


def wait(condition, what, timeout_s=10):
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, f"never came to {what() if callable(what) else what}"
        time.sleep(0.0002)


def wait_unread(conn, mark):
    """Until the backend's socket holds bytes that end with `mark`; how many."""
    wait(lambda: conn.peek_unread().endswith(mark), "the bytes' arrival at the backend")
    return len(conn.peek_unread())


def leave(conn, how):
    if how == "FIN":
        conn.half_close()
    elif how == "close":
        conn.close()
    else:
        conn.reset()


# ---- playing a cell -------------------------------------------------------------------------------

def pieces(request, when):
    """The request: what is sent before the backend leaves, and what afterwards."""
    if request.body == "none":
        fields = ["Content-Length: 0"] if request.method == "POST" else []
        return peers.request("/cell", fields, method=request.method), b""
    size = SMALL if request.body == "small" else LARGE
    body = b"b" * (size - 4) + b"half"
    rest = b""
    if when == "while":
        rest = b"r" * (size if request.body == "small" else DECLARED - size)
    raw = peers.request("/cell", [f"Content-Length: {len(body) + len(rest)}"],
                        method=request.method)
    return raw + body, rest


def play(stage, cell, client, held):
    """Until the client has its response. Returns it, and how much of the request reached the
    pooled connection."""
    first, rest = pieces(cell.request, cell.when)
    had = 0
    if cell.when == "long before":
        files = stage.front.open_files()
        leave(held, cell.how)
        wait(lambda: stage.front.open_files() == files - 1, "the proxy's close")
        client.send(first)
    elif cell.when == "just before":
        with stage.moment():
            leave(held, cell.how)
            client.send(first)
    elif cell.when == "just behind":
        with stage.moment():
            client.send(first)
            leave(held, cell.how)
    elif cell.when == "in the gap":
        stage.faults.arm("send", faults.HELD)
        client.send(first)
        wait(lambda: stage.faults.hits("send") == 1, "a send()")
        leave(held, cell.how)
        stage.faults.off()
    else:
        client.send(first)
        had = wait_unread(held, first[-4:])
        read = {"nothing": 0, "part": 10, "all": had}[cell.read]
        if read:  # of the socket, past wire's buffer, so that the rest stays unread
            assert len(held.sock.recv(read)) == read
        leave(held, cell.how)
        if rest and expected(cell).saw == AGAIN:
            stage.backend.wait_conns(2)  # half of the body was sent again by now
            client.send(rest)
    return client.read_response(cell.request.method), had


def outcome(line, got, again):
    saw = NEVER
    if again:
        saw = AGAIN if line["backend"]["attempts"] > 1 else FRESH
    return Outcome(got.status, line["end"], line["backend"]["attempts"],
                   line["backend"]["reused"], saw)


def check_fresh(cell, line, again):
    """The connection that answered had the whole request, once."""
    first, rest = pieces(cell.request, cell.when)
    request = again[0]
    assert request.method == cell.request.method
    assert request.body == (first + rest).split(b"\r\n\r\n", 1)[1]
    backend = line["backend"]
    assert backend["local"] == request.conn.remote_text and backend["nth"] == 1
    assert backend["request"] == request.range and backend["response"] == request.reply_range
    log.assert_moments(line, *log.ALL_MOMENTS)


def check_left(cell, leg, held, had, end):
    """What stands in the log of the connection that was left."""
    assert leg["local"] == held.remote_text and leg["nth"] == 2 and leg["response"] is None
    assert end == left_by(cell)
    if cell.when in ("while", "after"):
        assert leg["request"] == [held.received, held.received + had], leg
    elif cell.how == "RST":
        assert leg["request"] is None, "send() cannot have taken a byte"
    else:
        assert leg["request"] is not None


def check_cell(cell, client, held, had, got, line, again):
    """Client, backend and log agree."""
    complete = cell.when != "while" or got.status == 200
    assert line["method"] == cell.request.method and line["status"] == got.status
    assert line["client"]["response"] == got.range
    assert line["client"]["nth"] == (1 if cell.position == "first" else 2)
    assert (line["at_us"]["request_end"] is not None) == complete
    assert got.get("Connection") == (None if complete else "close"), got.head
    assert len(again) <= 1, "it was asked more than once"
    for each in line["backend"]["tries"]:
        check_left(cell, each, held, had, each["end"])
    if got.status == 200:
        check_fresh(cell, line, again)
        return
    check_left(cell, line["backend"], held, had, line["end"])
    assert line["id"].encode() in got.body and got.get("Content-Length") == str(len(got.body))
    assert line["at_us"]["backend_response_start"] is None


def run(stage, cell):
    """One cell: play it, look at all that was seen of it, leave nothing behind."""
    client = peers.Peer(stage.front.address)
    primer = client if cell.position == "later" else peers.Peer(stage.front.address)
    held = stage.pooled(primer)
    got, had = play(stage, cell, client, held)
    again = [r for r in list(stage.backend.requests) if r.target == "/cell"]
    keeps = got.get("Connection") is None
    if keeps:  # the next request of this client is served
        assert client.get("/next").body == b"again"
    else:
        client.expect_eof()
    before = stage.tail.lines_of(primer)[0] if primer is not client else None
    lines = stage.tail.lines_of(client, (before is None) + 1 + keeps)
    if before is None:
        before = lines.pop(0)
    client.close()
    primer.close()
    stage.settle(held)
    check_cell(cell, client, held, had, got, lines[0], again)
    came = outcome(lines[0], got, again)
    assert came == expected(cell), f"{cell}: {came}, not {expected(cell)}"
    return came


# ---- the table ------------------------------------------------------------------------------------

ROW = "{:<6} {:<6} {:<12} {:<6} {:<8} -> {:>3}  {:<14} {:>8}  {:<7} {}"


def print_table(rows):
    for title, table in (("when", WHENS), ("how", HOWS)):
        for name, text in table.items():
            print(f"{title:<5} {name:<12} {text}")
    print()
    print(ROW.format("method", "body", "when", "how", "read", "", "end", "attempts", "reused",
                     "the backend gets it"))
    for cell, came in rows:
        text = [str(came.reused).lower() if field == "reused" else value
                for field, value in came._asdict().items()]
        print(ROW.format(*cell.request, cell.when, cell.how, cell.read, *text))


def test_the_matrix(origin, proxy, tmp_path):
    stage = Stage(origin, proxy, tmp_path)
    stage.backend.forgive = True  # its threads see connections end that the test has ended
    rows = []
    try:
        for cell in cells():
            came = [run(stage, cell._replace(position=each)) for each in ("first", "later")]
            rows.append((cell, came[0]))
            assert came[0] == came[1], f"{cell}: {came}"
    finally:
        print()
        print_table(rows)
