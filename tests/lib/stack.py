"""Starting, watching and stopping the programs under test.

FLOWPROXY_BUILD     where the programs are (default: build beside tests/)
FLOWPROXY_WRAP      a command to run flowproxy under, such as "valgrind -q --error-exitcode=99"
FLOWPROXY_SANITIZE  what they were built with; memory is then not measured and time runs slower
FLOWPROXY_TLS       which legs speak TLS: see tls_mode.py
"""

import os
import re
import resource
import shlex
import signal
import subprocess
import threading
import time

import log
import tls_mode

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("FLOWPROXY_BUILD") or os.path.join(ROOT, "build"))
WRAP = shlex.split(os.environ.get("FLOWPROXY_WRAP", ""))
SANITIZE = os.environ.get("FLOWPROXY_SANITIZE", "")
SLOW = bool(WRAP or SANITIZE)
START_S = 30 if SLOW else 10
STOP_S = 30 if SLOW else 15

LISTENING = re.compile(r"flowproxy: listening on (https?)://(\[[^\]]*\]|[^:/]+):(\d+)\s*$")
REPORTS = re.compile(r"ERROR: AddressSanitizer|ERROR: LeakSanitizer|runtime error:"
                     r"|WARNING: ThreadSanitizer|==\d+== (Invalid|Conditional|.* definitely lost)"
                     r"|Assertion .* failed")


def program(name):
    return os.path.join(BUILD, name)


class Process:
    """A program we started. Its stderr is collected; nothing else of it is."""

    def __init__(self, argv, cwd=None, limits=None, env=None, stdout=subprocess.DEVNULL):
        self.argv = argv
        self.stderr_lines = []
        self.changed = threading.Condition()

        def set_limits():
            for what, value in (limits or {}).items():
                resource.setrlimit(what, value)

        self.child = subprocess.Popen(
            argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
            env=dict(os.environ, **(env or {})), preexec_fn=set_limits if limits else None)
        self.reader = threading.Thread(target=self._read_stderr, daemon=True)
        self.reader.start()

    @property
    def pid(self):
        return self.child.pid

    def _read_stderr(self):
        for raw in self.child.stderr:
            with self.changed:
                self.stderr_lines.append(raw.decode("utf-8", "replace").rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()

    @property
    def stderr(self):
        with self.changed:
            return "\n".join(self.stderr_lines)

    def wait_stderr(self, pattern, timeout_s=START_S):
        """The first line that matches; the program ending without one is a failure."""
        regex = re.compile(pattern)
        until = time.monotonic() + timeout_s
        with self.changed:
            while True:
                for line in self.stderr_lines:
                    if regex.search(line):
                        return line
                left = until - time.monotonic()
                if left <= 0 or not self.reader.is_alive():
                    raise AssertionError(f"{self.argv[0]}: no line like {pattern!r} on stderr:\n"
                                         + "\n".join(self.stderr_lines))
                self.changed.wait(min(left, 0.2))

    def running(self):
        return self.child.poll() is None

    def signal(self, number):
        self.child.send_signal(number)

    def freeze(self):
        """Stop all its threads, and be sure of it: what comes now comes in one turn of its loop."""
        self.signal(signal.SIGSTOP)
        until = time.monotonic() + 5
        while not self._frozen():
            assert time.monotonic() < until, "it does not stop"
            time.sleep(0.001)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def _frozen(self):
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{task}/stat", encoding="utf-8") as f:
                if f.read().rsplit(")", 1)[1].split()[0] != "T":
                    return False
        return True

    def wait(self, timeout_s=STOP_S):
        """Its exit status; None when it still runs after that time."""
        try:
            status = self.child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        self.reader.join(5)
        return status

    def kill(self):
        if self.running():
            self.child.kill()
            self.child.wait()
        self.reader.join(5)

    # ---- what /proc says ----

    def rss_bytes(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as f:
            return int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1)) * 1024

    def cpu_s(self):
        with open(f"/proc/{self.pid}/stat", encoding="utf-8") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def thread_states(self):
        """A letter for each: S waits, R runs, T is stopped."""
        states = []
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{task}/stat", encoding="utf-8") as f:
                states.append(f.read().rsplit(")", 1)[1].split()[0])
        return states

    def open_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


class Flowproxy(Process):
    """A proxy on ephemeral ports of loopback, with its log in `workdir`.

    backend   URL
    settings  {"proxy.idle_timeout_ms": 300}; a key without a dot is one of [proxy], a list of values
              is a key that is given again
    listen    values of --listen; their addresses stand in `addresses` in the same order
    trace     True: with --trace workdir/trace
    wrapper   a command that execs the rest of its arguments
    binary    another flowproxy than the one under test
    """

    def __init__(self, backend, workdir, settings=None, listen=("127.0.0.1:0",), trace=False,
                 access_log=None, arguments=(), limits=None, env=None, wait=True, wrapper=(),
                 binary=None):
        self.workdir = str(workdir)
        self.trace_dir = os.path.join(self.workdir, "trace")
        self.log_path = access_log or os.path.join(
            self.trace_dir if trace else self.workdir, "proxy.ndjson")
        self.addresses = []
        self.schemes = []
        listen = [tls_mode.listen_url(value) for value in listen]
        backend = tls_mode.backend_url(backend)
        settings = dict(settings or {})
        settings.update(tls_mode.default_settings(listen, backend, settings))
        argv = list(wrapper) + WRAP + [binary or program("flowproxy"), "--backend", backend,
                                       "--set", "proxy.workers=1"]
        for value in listen:
            argv += ["--listen", value]
        for key, values in settings.items():
            for value in values if isinstance(values, list) else [values]:
                argv += ["--set", f"{key if '.' in key else 'proxy.' + key}={value}"]
        if trace:
            argv += ["--trace", self.trace_dir]
        if not trace or access_log:
            argv += ["--access-log", self.log_path]
        super().__init__(argv + list(arguments), cwd=self.workdir, limits=limits, env=env)
        if wait:
            self.wait_listening(len(listen))

    def wait_listening(self, count):
        until = time.monotonic() + START_S
        while len(self.addresses) < count:
            with self.changed:
                found = [m for m in map(LISTENING.search, self.stderr_lines) if m]
                self.addresses = [(m.group(2).strip("[]"), int(m.group(3))) for m in found]
                if len(self.addresses) >= count:
                    self.schemes = [m.group(1) for m in found]
                    tls_mode.LISTENERS.difference_update(self.addresses)
                    tls_mode.LISTENERS.update(
                        a for a, scheme in zip(self.addresses, self.schemes) if scheme == "https")
                    return
                if time.monotonic() > until or not self.reader.is_alive():
                    self.child.kill()
                    raise AssertionError("flowproxy does not listen; it said:\n"
                                         + "\n".join(self.stderr_lines))
                self.changed.wait(0.2)

    @property
    def address(self):
        return self.addresses[0]

    @property
    def port(self):
        return self.addresses[0][1]

    @property
    def url(self):
        return f"{self.schemes[0]}://127.0.0.1:{self.port}"

    def lines(self, count, timeout_s=10):
        """The log, which must come to exactly so many lines."""
        lines = log.wait_lines(self.log_path, count, timeout_s)
        assert len(lines) == count, [(x["target"], x["end"]) for x in lines]
        log.check_log(lines)
        return lines

    def stop(self, number=signal.SIGTERM, status=0, timeout_s=STOP_S):
        """End it by signal; it must exit with that status, in time, without a report."""
        if self.running():
            self.signal(number)
        got = self.wait(timeout_s)
        if got is None:
            self.kill()
            raise AssertionError(f"flowproxy ran on for {timeout_s} s; it said:\n{self.stderr}")
        assert not REPORTS.search(self.stderr), self.stderr
        assert got == status, f"exit status {got}, expected {status}; it said:\n{self.stderr}"


class Sleeper(Process):
    """The flowtrace that a proxy has started: may be frozen and thawed."""

    def __init__(self, front):  # pylint: disable=super-init-not-called
        with open(f"/proc/{front.pid}/task/{front.pid}/children", encoding="ascii") as f:
            self.number, = map(int, f.read().split())

    @property
    def pid(self):
        return self.number

    def signal(self, number):
        os.kill(self.number, number)


class Tool(Process):
    """One of build/tools, which says where it listens. wrapper: a command that execs the rest."""

    def __init__(self, name, *arguments, wrapper=()):
        super().__init__([*wrapper, program(os.path.join("tools", name)), *arguments],
                         stdout=subprocess.PIPE)
        line = self.child.stdout.readline().decode()
        match = re.match(r"listening on (https?://)?(.*):(\d+)\s*$", line)
        if not match:
            self.kill()
            raise AssertionError(f"{name} does not listen: {line!r} {self.stderr}")
        self.address = (match.group(2).strip("[]"), int(match.group(3)))
        self.url = f"{match.group(1) or 'http://'}{match.group(2)}:{match.group(3)}"

    def stop(self):
        self.signal(signal.SIGTERM)
        status = self.wait()
        self.child.stdout.close()
        if status is None:
            self.kill()
        assert status == 0, f"{self.argv[0]}: {status}: {self.stderr}"


def currency_backend(*arguments):
    return Tool("currency-backend", "--rates", os.path.join(ROOT, "tests/tools/rates.csv"),
                *arguments)
