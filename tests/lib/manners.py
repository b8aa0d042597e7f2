"""Clients of different manners on keep-alive connections that stay open for the whole test, each a
thread of its own: some never pause, some think, some pipeline, some send in pieces, some much.

The backend answers /N with N bytes, as load-origin does."""

import random
import threading

import net
import peer as peers

KIB = 1024


def chatty(client, draw, pause):
    """One exchange after the other, without a pause."""
    for _ in range(draw.randrange(3, 30)):
        assert client.get(f"/{draw.randrange(600)}").status == 200
    pause(draw.uniform(0, 0.05))


def thinking(client, draw, pause):
    """A pause between two, shorter or longer than it takes to tell one."""
    assert client.post(draw.randbytes(draw.randrange(1, 900)), f"/{draw.randrange(900)}").status == 200
    pause(draw.uniform(0, 0.25))


def pipelining(client, draw, pause):
    """Several requests at once, and the next ones when some of the answers are still to come."""
    wanted = 0
    for _ in range(3):
        count = draw.randrange(1, 5)
        client.send(b"".join(peers.request(f"/{draw.randrange(3000)}") for _ in range(count)))
        wanted += count
        for _ in range(draw.randrange(wanted)):
            assert client.read_response().status == 200
            wanted -= 1
    for _ in range(wanted):
        assert client.read_response().status == 200
    pause(draw.choice((0, 0.03, 0.2)))


def in_pieces(client, draw, pause):
    """A request whose pieces come with pauses between them."""
    raw = peers.request(f"/{draw.randrange(5000)}", body=draw.randbytes(draw.randrange(50, 4000)),
                        method="POST")
    while raw:
        size = draw.randrange(1, 1500)
        client.send(raw[:size])
        raw = raw[size:]
        pause(draw.choice((0, 0.002, 0.06)))
    assert client.read_response("POST").status == 200


def much(client, draw, pause):
    """Many packets each way, of which some are lost and some overtaken."""
    assert client.post(draw.randbytes(draw.randrange(4, 60) * KIB),
                       f"/{draw.randrange(4, 60) * KIB}").status == 200
    pause(draw.uniform(0, 0.15))


MANNERS = (chatty, thinking, pipelining, in_pieces, much)


class Clients:
    """`count` of them, in that namespace. stop() ends each after what it is at."""

    def __init__(self, address, count, namespace=None, seed=1, timeout_s=60):
        self.over = threading.Event()
        self.errors = []
        self.timeout_s = timeout_s
        self.opened = threading.Barrier(count + 1)
        self.threads = [threading.Thread(target=self._work, args=(address, namespace, seed, n),
                                         daemon=True) for n in range(count)]
        for thread in self.threads:
            thread.start()
        self.opened.wait(timeout_s)

    def _work(self, address, namespace, seed, number):
        try:
            if namespace:
                with net.inside(namespace):
                    client = peers.Peer(address, timeout_s=self.timeout_s)
            else:
                client = peers.Peer(address, timeout_s=self.timeout_s)
            assert client.get("/10").status == 200
            self.opened.wait(self.timeout_s)
            self._talk(client, MANNERS[number % len(MANNERS)], random.Random(f"{seed} {number}"))
            client.close()
        except Exception as error:  # pylint: disable=broad-except
            self.errors.append((number, error))
            self.opened.abort()

    def _talk(self, client, manner, draw):
        while not self.over.is_set():
            manner(client, draw, self.over.wait)

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(self.timeout_s)
        assert not self.errors, self.errors
        assert not any(thread.is_alive() for thread in self.threads)
