"""WebSocket between a real client and a real server (python3-websockets), through the proxy."""

import asyncio
import os
import threading

import pytest
import websockets

import log
from origin import url_of
import tls_mode
from tunnels import span


class Server:
    """Sends messages back, each behind its length; on "close N" it closes with code N."""

    def __init__(self):
        self.closed = []  # (code, reason) of each connection
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.server = self.run(self.serve())
        self.url = url_of("127.0.0.1:%d" % self.server.sockets[0].getsockname()[1])

    def run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    async def serve(self):
        return await websockets.serve(self.handle, "127.0.0.1", 0, subprotocols=["soap", "other"],
                                      max_size=1 << 24, ping_interval=None,
                                      ssl=tls_mode.origin_context() if tls_mode.BACKEND else None)

    async def handle(self, socket):
        try:
            async for message in socket:
                if isinstance(message, str) and message.startswith("close "):
                    await socket.close(int(message[6:]), "as you say")
                else:
                    await socket.send(str(len(message)))
                    await socket.send(message)
        finally:
            self.closed.append((socket.close_code, socket.close_reason))

    def stop(self):
        self.server.close()
        self.run(self.server.wait_closed())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()


@pytest.fixture
def server():
    started = Server()
    yield started
    started.stop()


def connect(front, **options):
    if front.schemes == ["https"]:
        options["ssl"] = tls_mode.peer_context()
    scheme = "wss" if "ssl" in options else "ws"
    return websockets.connect(f"{scheme}://127.0.0.1:{front.port}/chat?room=1", max_size=1 << 24,
                              ping_interval=None, **options)


async def exchange(socket, message):
    await socket.send(message)
    assert await socket.recv() == str(len(message))
    assert await socket.recv() == message


def check_both_legs(line, end):
    """A tunnel neither adds nor drops a byte: both legs carried the same, each way. TLS adds to each
    leg as it is cut into records."""
    assert (line["end"], line["status"], line["target"]) == (end, 101, "/chat?room=1")
    sizes = [{way: past - first for way, (first, past) in line[leg]["tunnel"].items()}
             for leg in ("client", "backend")]
    assert sizes[0] == sizes[1] or tls_mode.MODE, line
    for leg in ("client", "backend"):
        tunnel = line[leg]["tunnel"]
        assert tunnel["up"][0] == line[leg]["request"][1]
        assert tunnel["down"] == span(line[leg]["response"][1], tunnel["down"][1])
    log.assert_moments(line, *log.ALL_MOMENTS)
    return sizes[0]


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_messages_of_all_kinds_and_a_clean_close(server, proxy, compression):
    front = proxy(server)
    large = os.urandom(3 << 20)

    async def talk():
        async with connect(front, subprotocols=["soap"], compression=compression) as socket:
            assert socket.subprotocol == "soap"
            assert bool(socket.extensions) == (compression is not None)
            for message in ("", "Grüße", b"", b"\x00\xff" * 500, large, ["in ", "fragments"]):
                if isinstance(message, list):
                    await socket.send(message)
                    assert await socket.recv() == "12"
                    assert await socket.recv() == "in fragments"
                else:
                    await exchange(socket, message)
            await asyncio.wait_for(await socket.ping(b"are you there"), 5)
            await socket.close(4001, "enough")
            assert socket.close_code == 4001

    asyncio.run(talk())
    sizes = check_both_legs(front.lines(1)[0], "tunnel-backend")
    assert sizes["up"] > len(large) and sizes["down"] > len(large)
    assert server.closed == [(4001, "enough")]


def test_the_server_closes(server, proxy):
    front = proxy(server)

    async def talk():
        async with connect(front) as socket:
            await exchange(socket, "hello")
            await socket.send("close 1012")
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await socket.recv()
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1012, "as you say")

    asyncio.run(talk())
    check_both_legs(front.lines(1)[0], "tunnel-backend")


def test_an_upgrade_that_the_server_refuses(server, proxy):
    """Two keys are for the server to refuse, and its answer is an ordinary response."""
    front = proxy(server)

    async def talk():
        with pytest.raises(websockets.InvalidStatusCode) as refused:
            await connect(front, extra_headers={"Sec-WebSocket-Key": "a second one"})
        assert refused.value.status_code == 400

    asyncio.run(talk())
    line = front.lines(1)[0]
    assert (line["end"], line["status"]) == ("done", 400)
    assert "tunnel" not in line["client"]


def test_many_at_once(server, proxy):
    front = proxy(server, settings={"proxy.workers": 2})

    async def one(number):
        async with connect(front) as socket:
            for n in range(5):
                await exchange(socket, f"{number} {n} " + "x" * (number * 500))

    async def talk():
        await asyncio.gather(*[one(number) for number in range(30)])

    asyncio.run(talk())
    for line in front.lines(30):
        check_both_legs(line, "tunnel-backend")
