"""bench.py -- the measurements behind scripts/bench.

    scripts/bench [--rounds N] [--seconds S] [--only REGEX] [--against DIR] [--no-trace]
                  [--json FILE]

The load (wrk) and the backend share one core, the proxy has another. All subjects take turns within
a round, so that what drifts on the machine drifts for all; only ratios of one round count, and of
those the median is printed. --only picks scenarios ("soap", "512", "KiB", "tls", "handshake",
"memory", "traced", "capture": how fast flowtrace and others read one from a file); --against
measures the flowproxy of another build folder too, so as to see what a change costs.
"""

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import bench_offline
import bench_subjects as subjects
import bench_tls
import stack

SETTLE_S = 3.0  # a tracer works on for a while after the last packet: that is part of its price

BODY = ('<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
        ' xmlns:web="http://www.webserviceX.NET/"><soapenv:Header/><soapenv:Body>'
        '<web:ConversionRate><web:FromCurrency>USD</web:FromCurrency>'
        '<web:ToCurrency>LKR</web:ToCurrency></web:ConversionRate></soapenv:Body>'
        '</soapenv:Envelope>')

LUA_POST = """
wrk.method = "POST"
wrk.body = [[%s]]
wrk.headers["Content-Type"] = "text/xml; charset=utf-8"
wrk.headers["SOAPAction"] = "urn:ConversionRate"
"""
LUA_DONE = """
done = function(summary, latency, requests)
  io.write(string.format(
    "RESULT %d %d %d %d %d\\n", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.status + summary.errors.timeout))
end
"""


class Scenario:
    """One kind of load: connections, and what each request asks for. tls: None, or the legs that
    speak it ("client", "both")."""

    def __init__(self, name, connections, path=None, tls=None):
        self.name = name
        self.connections = connections
        self.path = path or "/currencyconvertor.asmx"
        self.script = LUA_DONE if path else LUA_POST % BODY + LUA_DONE
        self.tls = tls

    def load(self, bench, subject):
        """Run wrk; (requests, seconds, p50, p99, errors)."""
        scheme = "https" if self.tls else "http"
        done = bench.wrk(self.connections, bench.seconds, self.script,
                         f"{scheme}://127.0.0.1:{subject.port}{self.path}")
        found = re.search(r"^RESULT (\d+) (\d+) (\d+) (\d+) (\d+)$", done.stdout, re.M)
        if not found or int(found.group(1)) == 0:
            raise subjects.BenchError(f"wrk: {done.stdout}{done.stderr}")
        requests, duration_us, p50, p99, errors = map(int, found.groups())
        return requests, duration_us / 1e6, p50, p99, errors


SCENARIOS = [
    Scenario("SOAP POST, 1 connection", 1),
    Scenario("SOAP POST, 64 connections", 64),
    Scenario("SOAP POST, 512 connections", 512),
    Scenario("response of 64 KiB, 16 connections", 16, "/65536"),
    Scenario("response of 1 MiB, 16 connections", 16, "/1048576"),
]
TLS_SCENARIOS = [
    Scenario("TLS client leg: SOAP POST, 64 connections", 64, tls="client"),
    bench_tls.Handshakes("TLS client leg: full handshake for each request, 16 connections",
                         "--full", 16, BODY),
    bench_tls.Handshakes("TLS client leg: resumed handshake for each request, 16 connections",
                         "--resumed", 16, BODY),
    Scenario("TLS client leg: response of 64 KiB, 16 connections", 16, "/65536", "client"),
    Scenario("TLS both legs: SOAP POST, 64 connections", 64, tls="both"),
    Scenario("TLS both legs: response of 64 KiB, 16 connections", 16, "/65536", "both"),
]
TRACED_SCENARIO = Scenario("SOAP POST, 64 connections, traced", 64)


class Sample:
    """One run of one load against one subject."""

    def __init__(self, cpu_us, requests_s, p50_us, p99_us, errors):
        self.cpu_us, self.requests_s = cpu_us, requests_s
        self.p50_us, self.p99_us, self.errors = p50_us, p99_us, errors
        self.dropped = None


class Bench:
    """The machine's cores, the backend and the folder that everything lives in."""

    def __init__(self, seconds):
        self.seconds = seconds
        cores = sorted(os.sched_getaffinity(0))
        self.load_core, self.proxy_core = (cores[0], cores[1]) if len(cores) > 1 else (None, None)
        self.workdir = tempfile.mkdtemp(prefix="flowproxy-bench-")
        self.running = []
        self.backend_port = None

    def pin_load(self):
        """In a child of ours, before its program begins."""
        if self.load_core is not None:
            os.sched_setaffinity(0, {self.load_core})

    def start_backend(self):
        process = subjects.spawn([stack.program("tools/load-origin")], self.load_core,
                                 self.workdir, "load-origin")
        self.running.append(process)
        until = time.monotonic() + 10
        while self.backend_port is None:
            said = subjects.output_of(self.workdir, "load-origin")
            found = re.search(r"^listening on .*:(\d+)$", said, re.M)
            if found:
                self.backend_port = int(found.group(1))
            elif process.poll() is not None or time.monotonic() > until:
                raise subjects.BenchError(f"load-origin does not serve: {said}")
            time.sleep(0.02)

    def start_tls_backend(self):
        """The one that all kinds with backend_tls have."""
        origin = bench_tls.TlsOrigin(self.load_core, self.workdir)
        self.running.append(origin)
        return origin

    def start(self, kind, backend_port=None):
        subject = kind(backend_port or self.backend_port, self.proxy_core, self.workdir)
        self.running.append(subject)
        return subject

    def stop(self, subject):
        self.running.remove(subject)
        subject.stop()

    def close(self):
        for each in reversed(self.running):
            if isinstance(each, subprocess.Popen):
                subjects.end(each)
            else:
                each.stop()
        shutil.rmtree(self.workdir, ignore_errors=True)

    def wrk(self, connections, seconds, script, url):
        """Run wrk with a script; what it printed."""
        path = os.path.join(self.workdir, "load.lua")
        with open(path, "w", encoding="ascii") as f:
            f.write(script)

        return subprocess.run(
            [subjects.program_path("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s",
             "--timeout", "10s", "-s", path, url],
            capture_output=True, text=True, preexec_fn=self.pin_load, timeout=seconds + 60, check=False)

    def drive(self, connections, seconds, more, port):
        """The SOAP load, for what it leaves behind; `more` is added to wrk's script."""
        scenario = SCENARIOS[0]
        self.wrk(connections, seconds, scenario.script + more,
                 f"http://127.0.0.1:{port}{scenario.path}").check_returncode()

    def measure(self, scenario, subject, settle_s=0.0):
        before = subject.cpu_s()
        requests, seconds, p50, p99, errors = scenario.load(self, subject)
        time.sleep(settle_s)
        cpu_us = (subject.cpu_s() - before) / requests * 1e6
        return Sample(cpu_us, requests / seconds, p50, p99, errors)


def rotated(items, by):
    by %= len(items)
    return items[by:] + items[:by]


def run_turns(bench, scenarios, rounds, running):
    """{scenario name: {subject name: [Sample of each round]}}"""
    results = {s.name: {subject.name: [] for subject in running} for s in scenarios}
    for n in range(rounds):
        for scenario in scenarios:
            say(f"round {n + 1} of {rounds}: {scenario.name}")
            for subject in rotated(running, n):
                results[scenario.name][subject.name].append(bench.measure(scenario, subject))
            if scenario.tls:
                bench_tls.check_same(scenario, running)
    return results


def run_plain(bench, scenarios, rounds, against):
    kinds = [subjects.Relay, subjects.Nginx, subjects.Haproxy, subjects.Flowproxy]
    if against:
        kinds.append(subjects.flowproxy_of(against))
    running = [bench.start(kind) for kind in kinds]
    results = run_turns(bench, scenarios, rounds, running)
    for subject in running:
        bench.stop(subject)
    return results


def tls_kinds(against, legs):
    kinds = [subjects.Nginx, subjects.Haproxy, subjects.Flowproxy]
    if against:
        kinds.append(subjects.flowproxy_of(against))
    return [subjects.over_tls(kind, legs == "both") for kind in kinds]


def run_tls(bench, scenarios, rounds, against):
    results = {}
    for legs in ("client", "both"):
        wanted = [s for s in scenarios if s.tls == legs]
        if wanted:
            port = bench.start_tls_backend().port if legs == "both" else None
            running = [bench.start(kind, port) for kind in tls_kinds(against, legs)]
            results.update(run_turns(bench, wanted, rounds, running))
            for subject in running:
                bench.stop(subject)
    return results


def run_traced(bench, rounds):
    kinds = [subjects.NginxTcpdump, subjects.Traced]
    results = {kind.name: [] for kind in kinds}
    for n in range(rounds):
        say(f"round {n + 1} of {rounds}: {TRACED_SCENARIO.name}")
        for kind in rotated(kinds, n):
            subject = bench.start(kind)
            sample = bench.measure(TRACED_SCENARIO, subject, SETTLE_S)
            bench.stop(subject)
            sample.dropped = subject.dropped()
            results[kind.name].append(sample)
            shutil.rmtree(subject.workdir)
    return {TRACED_SCENARIO.name: results}


# ---- what is printed ----

def say(text):
    print(text, file=sys.stderr, flush=True)


def ratios(samples, others):
    """CPU per request against another subject, round by round: (median, lowest, highest)."""
    each = [mine.cpu_us / other.cpu_us for mine, other in zip(samples, others)]
    return statistics.median(each), min(each), max(each)


def ratio_to_better(by_subject):
    """The same against the better of nginx and HAProxy, as far as their medians tell; or None."""
    others = [by_subject[kind.name] for kind in (subjects.Nginx, subjects.Haproxy)
              if kind.name in by_subject]
    if len(others) < 2:
        return None
    return ratios(by_subject[ours(by_subject)], min(others, key=lambda x: median(x, "cpu_us")))


def ours(by_subject):
    """The subject that all the others are compared with."""
    return next(name for name in (subjects.Flowproxy.name, subjects.Traced.name)
                if name in by_subject)


def median(samples, field):
    return statistics.median(getattr(sample, field) for sample in samples)


def print_scenario(name, by_subject):
    traced = any(s.dropped is not None for samples in by_subject.values() for s in samples)
    print(f"\n{name}")
    print(f"  {'':<22}{'CPU us/request':>15}{'requests/s':>12}{'p50 us':>9}{'p99 us':>9}"
          + ("   packets lost" if traced else ""))
    for subject, samples in by_subject.items():
        errors = sum(s.errors for s in samples)
        print(f"  {subject:<22}{median(samples, 'cpu_us'):>15.1f}"
              f"{median(samples, 'requests_s'):>12.0f}{median(samples, 'p50_us'):>9.0f}"
              f"{median(samples, 'p99_us'):>9.0f}"
              + (f"{sum(s.dropped for s in samples):>15}" if traced else "")
              + (f"   {errors} errors" if errors else ""))
    mine = ours(by_subject)
    for other, samples in by_subject.items():
        if other != mine:
            middle, low, high = ratios(by_subject[mine], samples)
            print(f"  CPU of {mine} / {other}: {middle:.2f}  ({low:.2f} to {high:.2f})")
    better = ratio_to_better(by_subject)
    if better:
        print(f"  CPU of {mine} / the better of nginx and haproxy: {better[0]:.2f}")


def as_json(results):
    """The same for programs: medians, every sample, ratios."""
    out = {}
    for name, by_subject in results.items():
        mine = ours(by_subject)
        out[name] = {
            "subjects": {subject: [vars(s) for s in samples]
                         for subject, samples in by_subject.items()},
            "cpu_ratio": {other: ratios(by_subject[mine], samples)[0]
                          for other, samples in by_subject.items() if other != mine},
        }
    return out


def parse_options(arguments):
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.split("\n\n")[2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of each load")
    parser.add_argument("--only", default="", metavar="REGEX", help="scenarios by name")
    parser.add_argument("--against", metavar="DIR", help="another build folder, to compare with")
    parser.add_argument("--no-trace", action="store_true",
                        help="leave out the traced runs and the captures")
    parser.add_argument("--json", metavar="FILE", help="also write all samples there")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.seconds < 1:
        parser.error("--rounds and --seconds begin at 1")
    return options


def run(bench, options):
    wanted = re.compile(options.only, re.I)
    scenarios = [s for s in SCENARIOS if wanted.search(s.name)]
    over_tls = [s for s in TLS_SCENARIOS if wanted.search(s.name)]
    memory = wanted.search(bench_tls.MEMORY_NAME)
    traced = not options.no_trace and wanted.search(TRACED_SCENARIO.name)
    captures = not options.no_trace and wanted.search("capture")
    if not (scenarios or over_tls or memory or traced or captures):
        raise subjects.BenchError(f"--only {options.only}: no such scenario")
    bench.start_backend()
    results = run_plain(bench, scenarios, options.rounds, options.against) if scenarios else {}
    results.update(run_tls(bench, over_tls, options.rounds, options.against))
    told = bench_tls.run_memory(bench, tls_kinds(options.against, "client")) if memory else {}
    if (traced or captures) and os.geteuid() != 0:
        say("the traced runs and the captures need root: left out")
        return results, told
    if traced:
        results.update(run_traced(bench, options.rounds))
    if captures:
        told.update(bench_offline.run(bench, options.rounds))
    return results, told


def interrupt(_signal, _frame):
    raise KeyboardInterrupt


def main(arguments):
    options = parse_options(arguments)
    signal.signal(signal.SIGTERM, interrupt)
    bench = Bench(options.seconds)
    if bench.load_core is None:
        say("only one core: load and proxy share it, ratios say less")
    try:
        results, told = run(bench, options)
    except subjects.BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        bench.close()
    for name, by_subject in results.items():
        print_scenario(name, by_subject)
    if options.json:
        with open(options.json, "w", encoding="ascii") as f:
            json.dump({**as_json(results), **told}, f, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
