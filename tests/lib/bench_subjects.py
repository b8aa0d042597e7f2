"""What the bench measures: proxies in front of one backend, each with one worker and its log on.

Every subject listens on a loopback port of its own and is pinned to one core. Its CPU time is that
of its whole process tree, so that masters, writer threads and tracers count.
"""

import glob
import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time

import capture
import certs
import stack

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
CONNECTIONS_MAX = 4096


class BenchError(Exception):
    """The bench cannot go on; the text says why."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def program_path(name):
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path is None:
        raise BenchError(f"{name} is not installed: scripts/install-deps bench")
    return path


def spawn(argv, core, workdir, name):
    """Start a program on one core, its output in a file of workdir."""
    def pin():
        if core is not None:
            os.sched_setaffinity(0, {core})

    if not os.access(argv[0], os.X_OK):
        raise BenchError(f"{argv[0]} is not there: make bench builds what it needs")
    with open(os.path.join(workdir, name + ".out"), "wb") as output:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                cwd=workdir, preexec_fn=pin)


def end(process, number=signal.SIGTERM, timeout_s=10):
    """Stop one process that we started; its exit status."""
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


def output_of(workdir, name):
    with open(os.path.join(workdir, name + ".out"), encoding="utf-8", errors="replace") as f:
        return f.read()


def parents():
    """{pid: (parent, ticks used, ticks used by children that have ended)}"""
    table = {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path, encoding="utf-8", errors="replace") as f:
                fields = f.read().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        table[int(path.split("/")[2])] = (int(fields[1]), int(fields[11]) + int(fields[12]),
                                          int(fields[13]) + int(fields[14]))
    return table


def tree_cpu_s(pid):
    """CPU seconds, user and system, of a process and all that descends from it."""
    table = parents()
    mine, total = [pid], 0
    while mine:
        each = mine.pop()
        if each in table:
            total += table[each][1] + table[each][2]
        mine += [child for child, (parent, _, _) in table.items() if parent == each]
    return total / TICKS_PER_S


def tree_memory_bytes(pid):
    """Memory of their own, all in all, of a process and all that descends from it."""
    table = parents()
    mine, total = [pid], 0
    while mine:
        each = mine.pop()
        try:
            with open(f"/proc/{each}/status", encoding="ascii", errors="replace") as f:
                total += int(re.search(r"RssAnon:\s+(\d+) kB", f.read()).group(1)) * 1024
        except (FileNotFoundError, ProcessLookupError):
            pass
        mine += [child for child, (parent, _, _) in table.items() if parent == each]
    return total


class Subject:
    """A running proxy. Subclasses say how it is started and what belongs to it; kinds that speak
    TLS are made of them by over_tls()."""

    name = ""
    client_tls = False
    backend_tls = False  # the backend is verified, as certs.server() by certs.ca()

    def __init__(self, backend_port, core, workdir):
        self.workdir = os.path.join(workdir, self.name)
        os.makedirs(self.workdir, exist_ok=True)
        self.core = core
        self.port = free_port()
        self.processes = []
        self.negotiated = None  # version and cipher of the client leg
        try:
            self.start(backend_port)
            self.wait_ready()
        except BaseException:
            self.stop()
            raise

    def start(self, backend_port):
        raise NotImplementedError

    def spawn(self, argv, name=None):
        self.processes.append(spawn(argv, self.core, self.workdir, name or self.name))

    def wait_ready(self):
        """It answers a request with what the backend sends."""
        until = time.monotonic() + 15
        while True:
            try:
                conn = self.probe_connection()
                conn.request("POST", "/currencyconvertor.asmx", b"<probe/>")
                if self.client_tls:
                    self.negotiated = conn.sock.version(), conn.sock.cipher()[0]
                answer = conn.getresponse()
                body = answer.read()
                conn.close()
                if answer.status == 200 and len(body) == 382:
                    return
                raise BenchError(f"{self.name} answers {answer.status} with {len(body)} bytes")
            except (OSError, http.client.HTTPException) as error:
                if self.processes[0].poll() is not None or time.monotonic() > until:
                    raise BenchError(f"{self.name} does not serve: {error}\n"
                                     + output_of(self.workdir, self.name)) from None
                time.sleep(0.05)

    def probe_connection(self):
        if not self.client_tls:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        return http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=5,
            context=ssl.create_default_context(cafile=certs.ca().cert))

    def cpu_s(self):
        return sum(tree_cpu_s(process.pid) for process in self.processes)

    def memory_bytes(self):
        return sum(tree_memory_bytes(process.pid) for process in self.processes)

    def stop(self):
        for process in reversed(self.processes):
            end(process)


def over_tls(kind, backend_tls):
    """The same kind with TLS on the client leg, or on both."""
    return type(kind.__name__ + "OverTls", (kind,), {"client_tls": True, "backend_tls": backend_tls})


class Relay(Subject):
    """The floor: bytes passed on, nothing read in them."""

    name = "relay"

    def start(self, backend_port):
        self.spawn([stack.program("tools/epoll-relay"), "--port", str(self.port),
                    f"127.0.0.1:{backend_port}"])


NGINX_CONF = """
{user}
worker_processes 1;
worker_rlimit_nofile 16384;
daemon off;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections {connections}; }}
http {{
    access_log access.log;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    upstream backend {{
        server 127.0.0.1:{backend_port};
        keepalive 1024;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096{ssl};
        {client_tls}
        keepalive_requests 1000000000;
        client_max_body_size 0;
        location / {{
            proxy_pass {scheme}://backend;
            {backend_tls}
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection "";
            proxy_set_header Via "1.1 nginx";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
        }}
    }}
}}
"""


# Both versions, as everybody else; the defaults of nginx 1.22 end at TLS 1.2.
NGINX_CLIENT_TLS = """
        ssl_certificate {server.chain};
        ssl_certificate_key {server.key};
        ssl_protocols TLSv1.2 TLSv1.3;
"""
NGINX_BACKEND_TLS = """
            proxy_ssl_protocols TLSv1.2 TLSv1.3;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate {ca.cert};
            proxy_ssl_name localhost;
            proxy_ssl_server_name on;
"""


class Nginx(Subject):
    """One worker, keep-alive to the backend, access log to a file, the fields flowproxy adds."""

    name = "nginx"

    def start(self, backend_port):
        path = os.path.join(self.workdir, "nginx.conf")
        with open(path, "w", encoding="ascii") as f:
            f.write(NGINX_CONF.format(
                user="user root;" if os.geteuid() == 0 else "", connections=CONNECTIONS_MAX,
                port=self.port, backend_port=backend_port, ssl=" ssl" if self.client_tls else "",
                client_tls=(NGINX_CLIENT_TLS.format(server=certs.server())
                            if self.client_tls else ""),
                scheme="https" if self.backend_tls else "http",
                backend_tls=NGINX_BACKEND_TLS.format(ca=certs.ca()) if self.backend_tls else ""))
        self.spawn([program_path("nginx"), "-p", self.workdir, "-c", path, "-e", "start.log"])


HAPROXY_CONF = """
global
    nbthread 1
    maxconn {connections}
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    option forwardfor
    http-reuse always
frontend front
    bind 127.0.0.1:{port} backlog 4096{client_tls}
    default_backend back
backend back
    server origin 127.0.0.1:{backend_port} pool-max-conn 1024{backend_tls}
"""


class Haproxy(Subject):
    """One thread, connections shared; without a log, which would need a log server."""

    name = "haproxy"

    def start(self, backend_port):
        path = os.path.join(self.workdir, "haproxy.cfg")
        with open(path, "w", encoding="ascii") as f:
            f.write(HAPROXY_CONF.format(
                connections=CONNECTIONS_MAX, port=self.port, backend_port=backend_port,
                client_tls=f" ssl crt {certs.server().store}" if self.client_tls else "",
                backend_tls=(f" ssl verify required ca-file {certs.ca().cert} verifyhost localhost"
                             " sni str(localhost)" if self.backend_tls else "")))
        self.spawn([program_path("haproxy"), "-db", "-f", path])


class Flowproxy(Subject):
    """One worker, access log on."""

    name = "flowproxy"
    program = None  # of another build than the one under test
    extra = ()

    def start(self, backend_port):
        self.spawn([self.program or stack.program("flowproxy"),
                    "--access-log", os.path.join(self.workdir, "proxy.ndjson"),
                    "--set", "proxy.workers=1", *self.addresses(backend_port), *self.extra])

    def addresses(self, backend_port):
        client, backend = (("http", "https")[tls] for tls in (self.client_tls, self.backend_tls))
        said = ["--listen", f"{client}://127.0.0.1:{self.port}",
                "--backend", f"{backend}://127.0.0.1:{backend_port}"]
        if self.client_tls:
            said += ["--set", f"tls.keystore={certs.server().store}"]
        if self.backend_tls:
            said += ["--set", f"tls.truststore={certs.ca().cert}"]
        return said


def flowproxy_of(folder):
    """The same of another build: a kind of subject, named for its folder."""
    path = os.path.abspath(os.path.join(folder, "flowproxy"))
    if not os.access(path, os.X_OK):
        raise BenchError(f"{folder}: no flowproxy there")
    return type("OtherFlowproxy", (Flowproxy,), {
        "name": "flowproxy of " + os.path.basename(os.path.dirname(path)), "program": path})


class Traced(Flowproxy):
    """The same with its tracer, which is a child and counts."""

    name = "flowproxy+flowtrace"

    def __init__(self, backend_port, core, workdir):
        self.trace_dir = os.path.join(workdir, self.name, "trace")
        self.extra = ("--trace", self.trace_dir)
        super().__init__(backend_port, core, workdir)

    def stop(self):
        for process in self.processes:
            end(process, timeout_s=60)

    def dropped(self):
        """Packets that the kernel or an interface lost, by the dump's own statistics; only after
        stop()."""
        dumps = glob.glob(os.path.join(self.trace_dir, "dump*.pcapng"))
        rows = [row for path in dumps for row in capture.interface_statistics(path)]
        if not rows:
            raise BenchError("flowtrace left no dump with statistics: "
                             + output_of(self.workdir, self.name))
        return sum(row.get("ifdrop", 0) + row.get("osdrop", 0) for row in rows)


class NginxTcpdump(Nginx):
    """What people do without flowproxy: nginx, and tcpdump -w beside it."""

    name = "nginx+tcpdump"

    def start(self, backend_port):
        self.spawn([program_path("tcpdump"), "-i", "lo", "-w", "dump.pcap", "-Z", "root",
                    f"tcp and (port {self.port} or port {backend_port})"], "tcpdump")
        until = time.monotonic() + 10
        while "listening on" not in output_of(self.workdir, "tcpdump"):
            if self.processes[0].poll() is not None or time.monotonic() > until:
                raise BenchError("tcpdump: " + output_of(self.workdir, "tcpdump"))
            time.sleep(0.05)
        super().start(backend_port)

    def stop(self):
        for process in reversed(self.processes):
            end(process, signal.SIGINT if process is self.processes[0] else signal.SIGTERM)

    def dropped(self):
        found = re.search(r"(\d+) packets? dropped by kernel", output_of(self.workdir, "tcpdump"))
        if not found:
            raise BenchError("tcpdump: " + output_of(self.workdir, "tcpdump"))
        return int(found.group(1))
