"""The bench's rows over TLS: TLS 1.3, a P-256 certificate, tickets on, keep-alive to the backend.

wrk makes the load where connections live on. Where each request has a handshake of its own it is
tools/tls-load, which resumes sessions when it shall and fails when a handshake was of the other
kind. The backend of the rows with TLS on both legs is nginx, verified by all subjects. A row whose
subjects agree on different ciphers is no comparison, and ends the bench.
"""

import os
import re
import subprocess
import sys
import time

import bench_subjects as subjects
import certs
import stack

HELD = 2000          # idle connections whose memory is measured
WARM_S = 1           # of load before that: what a process allocates once is not theirs
RELEASE_S = 5.0      # until then a proxy may have given back what a handshake needed
MEMORY_NAME = f"TLS client leg: memory of {HELD} idle connections"

ORIGIN_CONF = """
{user}
worker_processes 1;
worker_rlimit_nofile 16384;
daemon off;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port} ssl backlog=4096;
        ssl_certificate {server.chain};
        ssl_certificate_key {server.key};
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites TLS_AES_256_GCM_SHA384;
        keepalive_requests 1000000000;
        keepalive_timeout 3600;
        default_type "text/xml; charset=utf-8";
        root .;
        location = /currencyconvertor.asmx {{ return 200 "{body}"; }}
    }}
}}
"""


class TlsOrigin:
    """nginx as backend: 382 bytes for a POST, files of as many bytes as their names say."""

    def __init__(self, core, workdir):
        self.workdir = os.path.join(workdir, "tls-origin")
        os.makedirs(self.workdir)
        self.port = subjects.free_port()
        with open(os.path.join(self.workdir, "65536"), "wb") as f:
            f.write(b"x" * 65536)
        path = os.path.join(self.workdir, "nginx.conf")
        with open(path, "w", encoding="ascii") as f:
            f.write(ORIGIN_CONF.format(user="user root;" if os.geteuid() == 0 else "",
                                       connections=subjects.CONNECTIONS_MAX, port=self.port,
                                       server=certs.server(), body="x" * 382))
        self.process = subjects.spawn(
            [subjects.program_path("nginx"), "-p", self.workdir, "-c", path, "-e", "start.log"],
            core, self.workdir, "tls-origin")

    def stop(self):
        subjects.end(self.process)


class Handshakes:
    """A scenario with a handshake for each request, of one kind; see bench.Scenario."""

    tls = "client"

    def __init__(self, name, option, connections, body):
        self.name, self.option = name, option
        self.connections, self.body = connections, body

    def load(self, bench, subject):
        """(requests, seconds, p50, p99, errors)"""
        said = tls_load(bench, subject, self.option, "--connections", self.connections,
                        "--seconds", bench.seconds, "--post", self.body)
        found = re.search(r"^RESULT (\d+) (\d+) (\d+) (\d+) (\d+)$", said, re.M)
        requests, duration_us, p50, p99, errors = map(int, found.groups())
        resumed = int(re.search(r"^handshakes \d+ full, (\d+) resumed$", said, re.M).group(1))
        if resumed != (requests - 1 if self.option == "--resumed" else 0):
            raise subjects.BenchError(f"{subject.name}: {requests} requests, {resumed} resumed")
        subject.negotiated = re.search(r"^negotiated (.*)$", said, re.M).group(1)
        return requests, duration_us / 1e6, p50, p99, errors


def tls_load_command(subject, *arguments):
    return [stack.program("tools/tls-load"), "--to", f"127.0.0.1:{subject.port}",
            "--ca", certs.ca().cert, "--path", "/currencyconvertor.asmx", *map(str, arguments)]


def tls_load(bench, subject, *arguments):
    """What it printed; its own failure is the bench's."""
    done = subprocess.run(tls_load_command(subject, *arguments), capture_output=True, text=True,
                          preexec_fn=bench.pin_load, timeout=bench.seconds + 60, check=False)
    if done.returncode != 0:
        raise subjects.BenchError(f"{subject.name}: {done.stdout}{done.stderr}")
    return done.stdout


def check_same(scenario, running):
    """All of them speak the same, else their CPU time says nothing."""
    said = {subject.name: subject.negotiated for subject in running}
    if len(set(said.values())) > 1:
        raise subjects.BenchError(f"{scenario.name}: not the same TLS: {said}")


# ---- memory of idle connections ----

def memory_each(bench, kind):
    """Bytes that one more idle connection costs."""
    subject = bench.start(kind)
    try:
        tls_load(bench, subject, "--full", "--connections", 64, "--seconds", WARM_S)
        before = settled_memory(subject)
        with subprocess.Popen(
                tls_load_command(subject, "--hold", "--connections", HELD, "--seconds", 120),
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                preexec_fn=bench.pin_load) as holder:
            try:
                said = holder.stdout.readline()
                if said != f"holding {HELD}\n":
                    raise subjects.BenchError(f"{subject.name}: {said}{holder.stdout.read()}")
                after = settled_memory(subject)
            finally:
                subjects.end(holder)
            if holder.returncode != 0:
                raise subjects.BenchError(f"{subject.name}: {holder.stdout.read()}")
    finally:
        bench.stop(subject)
    return (after - before) / HELD


def settled_memory(subject):
    """The least within RELEASE_S: buffers that are given back later are given back."""
    least, until = subject.memory_bytes(), time.monotonic() + RELEASE_S
    while time.monotonic() < until:
        time.sleep(0.25)
        least = min(least, subject.memory_bytes())
    return least


def run_memory(bench, kinds):
    """{subject name: bytes for each connection}; printed too."""
    result = {}
    for kind in kinds:
        print(f"{MEMORY_NAME}: {kind.name}", file=sys.stderr, flush=True)
        result[kind.name] = memory_each(bench, kind)
    print(f"\n{MEMORY_NAME}\n  {'':<22}{'bytes/connection':>18}")
    for name, value in result.items():
        print(f"  {name:<22}{value:>18.0f}")
    mine = result.get(subjects.Flowproxy.name)
    for name, value in result.items():
        if mine is not None and name != subjects.Flowproxy.name:
            print(f"  memory of {subjects.Flowproxy.name} / {name}: {mine / value:.2f}")
    return {MEMORY_NAME: result}
