"""Crowds of clients that are held at once: what they cost the proxy, and what others feel of them."""

import time

import peer as peers
import stack

QUIET_S = 0.15  # without any CPU: the proxy has done what it can
BACK_S = 10


def settle(front, timeout_s=20):
    """Until the proxy does nothing any more."""
    until = time.monotonic() + timeout_s
    seen, since = front.cpu_s(), time.monotonic()
    while time.monotonic() - since < QUIET_S:
        assert time.monotonic() < until, "the proxy never comes to rest"
        time.sleep(0.02)
        if front.cpu_s() != seen:
            seen, since = front.cpu_s(), time.monotonic()


def gather(front, count, raw=b"", recv_buffer=None):
    """So many clients, each of which sends these bytes and waits."""
    clients = []
    for _ in range(count):
        clients.append(peers.Peer(front.address, recv_buffer=recv_buffer))
        clients[-1].keep_bytes = 0
        if raw:
            clients[-1].send(raw)
    return clients


def scatter(clients):
    for client in clients:
        client.reset()


class Watch:
    """What a situation does to the proxy and to a bystander: apart.Bystander's figures before and
    during it, taken in the same run."""

    def __init__(self, front, bystander, seconds=0.25):
        self.front = front
        self.bystander = bystander
        self.seconds = seconds
        self.quiet = bystander.measure(seconds)
        assert not self.quiet["failed"], self.quiet
        settle(front)
        self.rss_before = front.rss_bytes()

    def memory_each(self, count):
        """Bytes per connection, of so many that are there now."""
        settle(self.front)
        return (self.front.rss_bytes() - self.rss_before) / count

    def check_others(self, times=4, late_s=0.002):
        """None of the bystander's exchanges fails, and one takes not much longer than before."""
        self.judge(self.bystander.measure(self.seconds), times, late_s)

    def judge(self, during, times=4, late_s=0.002):
        assert not during["failed"], during["failed"][:3]
        if not stack.SLOW:
            most = times * self.quiet["median_s"] + late_s
            assert during["median_s"] < most, f"{during} instead of {self.quiet}"

    def check_rest(self, most_s=0.05, seconds=0.6):
        """It does not spin: silence costs next to nothing."""
        settle(self.front)
        before = self.front.cpu_s()
        time.sleep(seconds)
        used = self.front.cpu_s() - before
        assert stack.SLOW or used < most_s, f"{used} s of CPU in {seconds} s of silence"

    def check_given_back(self, most_bytes):
        """When all is over, memory goes back to the kernel."""
        until = time.monotonic() + BACK_S
        while self.front.rss_bytes() - self.rss_before > most_bytes:
            assert time.monotonic() < until, \
                f"{self.front.rss_bytes() - self.rss_before} bytes are kept"
            time.sleep(0.05)
