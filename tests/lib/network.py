"""A test network that loses, delays, reorders and duplicates: three namespaces in a row.

    client  10.77.1.1 ---- 10.77.1.2  proxy  10.77.2.1 ---- 10.77.2.2  backend

Each cable is a relay of its own (tests/tools/lossy-link.c), which has rules for each direction:
`up` is towards the backend, `down` towards the client. What becomes of the n-th TCP frame of a
direction is told by the seed; its times are not. Nothing touches the machine's own network.

    lossy = network.Network(seed=3, client={"drop_ppm": 20000}, backend={"delay_us": 2000})
    lossy.start()                        rules as in lossy-link.c, for both directions
    with net.inside(lossy.client): ...   sockets of this thread are then made there
    lossy.client_link.set(down={"drop_next": 1})
    lossy.stop()

The fixture `lossy` of conftest.py does both ends of it; front() starts a backend and a traced proxy.
"""

import json
import os
import select
import subprocess
import threading

import net
import stack

CLIENT = "10.77.1.1"
FRONT = "10.77.1.2"  # the proxy's address towards its clients
BACK = "10.77.2.1"  # and towards the backend
BACKEND = "10.77.2.2"
ANSWER_S = 10

# Some percent of everything, as a bad wireless cell has it; each test changes what it is about.
ROUGH = {"delay_us": 1500, "jitter_us": 1000, "drop_ppm": 20000, "burst_ppm": 200000,
         "duplicate_ppm": 5000, "duplicate_us": 700, "reorder_ppm": 20000, "reorder_us": 3000}


def rules_text(rules):
    return ",".join(f"{key}={value}" for key, value in rules.items())


class Link:
    """One cable. `left` and `right` are (namespace, device)."""

    def __init__(self, left, right, seed, up, down, offload):
        argv = [stack.program("tools/lossy-link"), "--left", ":".join(left), "--right",
                ":".join(right), "--seed", str(seed)]
        for option, rules in (("--to-right", up), ("--to-left", down)):
            if rules:
                argv += [option, rules_text(rules)]
        self.child = subprocess.Popen(argv + ["--offload"] * offload, stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            self._answer("ready")
        except AssertionError:
            self.stop()
            raise

    def _answer(self, wanted=None):
        """The line that it says now."""
        ready, _, _ = select.select([self.child.stdout], [], [], ANSWER_S)
        line = self.child.stdout.readline().rstrip("\n") if ready else ""
        if not line or line != (wanted or line):
            self.child.kill()
            raise AssertionError(f"lossy-link: {line!r} {self.child.communicate()[1]}")
        return line

    def _ask(self, command, wanted=None):
        self.child.stdin.write(command + "\n")
        self.child.stdin.flush()
        return self._answer(wanted)

    def set(self, up=None, down=None):
        """Other rules from now on; those that are not named stay."""
        for way, rules in (("to-right", up), ("to-left", down)):
            if rules:
                self._ask(f"{way} {rules_text(rules)}", "ok")

    def still(self):
        """Nothing is lost, doubled or held back any more."""
        calm = {"drop_ppm": 0, "burst_ppm": 0, "duplicate_ppm": 0, "reorder_ppm": 0,
                "drop_next": 0}
        self.set(up=calm, down=calm)

    def counters(self):
        """{"up": {"frames": ..., "dropped": ...}, "down": ...}; see lossy-link.c."""
        said = json.loads(self._ask("stats"))
        return {"up": said["to-right"], "down": said["to-left"]}

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
        try:
            self.child.communicate(timeout=ANSWER_S)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.communicate()


class Network:
    """client, backend: rules of each cable, or a pair (up, down) of them. offload: the devices
    take segments of up to 64 KiB, as network cards with TSO and GRO do, so that one frame that is
    lost is many segments' worth. congestion: of all connections (the kernel's default else)."""

    made = 0

    def __init__(self, seed=1, client=None, backend=None, offload=False, congestion=None):
        Network.made += 1
        mark = f"{os.getpid() % 100000}-{Network.made}"
        self.client, self.proxy, self.backend = self.names = [
            f"flowtest-{name}-{mark}" for name in ("client", "proxy", "backend")]
        self.seed = seed
        self.rules = [rules if isinstance(rules, tuple) else (rules, rules)
                      for rules in (client, backend)]
        self.offload = offload
        self.congestion = congestion
        self.client_link = self.backend_link = None
        self.wrapper = ("ip", "netns", "exec", self.proxy)

    def start(self):
        for name in self.names:
            net.run("ip", "netns", "add", name)
            net.run("ip", "-n", name, "link", "set", "lo", "up")
            if self.congestion:
                self.sysctl(name, "ipv4/tcp_congestion_control", self.congestion)
        self.client_link = self._cable(0, (self.client, "up0", CLIENT), (self.proxy, "down0", FRONT))
        self.backend_link = self._cable(1, (self.proxy, "up0", BACK), (self.backend, "down0", BACKEND))
        net.run("ip", "-n", self.client, "route", "add", "default", "via", FRONT)
        net.run("ip", "-n", self.backend, "route", "add", "default", "via", BACK)

    def _cable(self, number, left, right):
        up, down = self.rules[number]
        link = Link(left[:2], right[:2], 2 * self.seed + number, up, down, self.offload)
        for name, device, address in (left, right):
            net.run("ip", "-n", name, "address", "add", f"{address}/24", "dev", device)
            net.run("ip", "-n", name, "link", "set", device, "up")
        return link

    def stop(self):
        for link in (self.client_link, self.backend_link):
            if link:
                link.stop()
        for name in self.names:
            subprocess.run(("ip", "netns", "del", name), check=False, capture_output=True)

    def sysctl(self, name, key, value):
        """Of that namespace alone, such as "ipv4/tcp_fastopen"."""
        with net.inside(name):
            with open(f"/proc/sys/net/{key}", "w", encoding="ascii") as f:
                f.write(str(value))

    def still(self):
        """From now on nothing is lost: what is under way comes to its end."""
        self.client_link.still()
        self.backend_link.still()

    def front(self, origin, proxy, script, trace=True, tls=None, **options):
        """(backend, flowproxy with its tracer) in their namespaces. origin, proxy: the fixtures.
        tls: the backend's context; both legs speak TLS then."""
        with net.inside(self.backend):
            backend = origin(script, address=(BACKEND, 0), tls=tls)
        listen = f"https://{FRONT}:0" if tls else f"{FRONT}:0"
        return backend, proxy(backend, trace=trace, listen=(listen,), wrapper=self.wrapper, **options)

    def run_clients(self, front, kinds, timeout_s=60):
        """Each of these functions, in a thread of its own among the clients, is given `front`. What
        they return."""
        results, errors = [None] * len(kinds), []

        def work(number, kind):
            try:
                with net.inside(self.client):
                    results[number] = kind(front)
            except Exception as error:  # pylint: disable=broad-except
                errors.append(error)

        threads = [threading.Thread(target=work, args=each, daemon=True)
                   for each in enumerate(kinds)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout_s)
        assert not errors, errors
        assert not any(thread.is_alive() for thread in threads), "a client is not done"
        return results
