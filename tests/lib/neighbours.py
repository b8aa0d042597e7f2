"""nginx and HAProxy beside the proxy: before it, as its clients, or behind it, as its backend.

They pass on to `backend_port` with keep-alive habits that make trouble: few requests a connection,
short idle times.

tls: {"front": a certificate, "back": a file of authorities, "version": "1.2" or "1.3" alone}, each if
wanted: it speaks TLS to its clients, to its backend.
"""

import os
import socket
import time

import bench_subjects
import tls_mode

NGINX = """
{user}
worker_processes 1;
daemon off;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    sendfile on;
    gzip on;
    gzip_types text/plain;
    gzip_proxied any;
    keepalive_timeout 1s;
    keepalive_requests 3;
    client_max_body_size 0;
    upstream next {{
        server 127.0.0.1:{backend_port};
        keepalive 8;
        keepalive_requests 5;
        keepalive_timeout 1s;
    }}
    server {{
        listen 127.0.0.1:{port}{front};
        location /files/ {{ root .; }}
        location / {{
            {back}://next;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
    }}
}}
"""

HAPROXY = """
global
    nbthread 1
    maxconn 256
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
    timeout http-keep-alive 50ms
    option forwardfor
    option {option}
frontend front
    bind 127.0.0.1:{port}{front}
    default_backend back
backend back
    server origin 127.0.0.1:{backend_port}{back}
"""
NGINX_FRONT = """ ssl;
        ssl_certificate {front.chain};
        ssl_certificate_key {front.key};
        ssl_session_cache shared:sessions:1m;
        ssl_protocols {versions}"""
NGINX_BACK = """
            proxy_ssl_trusted_certificate {back};
            proxy_ssl_verify on;
            proxy_ssl_verify_depth 3;
            proxy_ssl_server_name on;
            proxy_ssl_name {name};
            proxy_ssl_protocols {versions};
            proxy_pass https"""
HAPROXY_FRONT = " ssl crt {front.store} {versions}"
HAPROXY_BACK = " ssl ca-file {back} verify required verifyhost {name} sni str({name}) {versions}"


class Neighbour(bench_subjects.Subject):
    """A bench subject that is only waited for until it accepts."""

    def __init__(self, backend_port, workdir, tls=None):
        self.tls = tls or {}
        super().__init__(backend_port, None, str(workdir))

    def wait_ready(self):
        until = time.monotonic() + 15
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 5).close()
                return
            except OSError as error:
                if self.processes[0].poll() is not None or time.monotonic() > until:
                    raise AssertionError(
                        f"{self.name} does not serve: {error}\n"
                        + bench_subjects.output_of(self.workdir, self.name)) from None
                time.sleep(0.02)

    @property
    def url(self):
        return f"http{'s' if 'front' in self.tls else ''}://127.0.0.1:{self.port}"

    def said(self, leg, text, versions, otherwise=""):
        """What the configuration says of a leg's TLS."""
        if leg not in self.tls:
            return otherwise
        return text.format(name=tls_mode.SERVER_NAME, versions=versions, **self.tls)

    def configure(self, name, text, backend_port, **values):
        path = os.path.join(self.workdir, name)
        with open(path, "w", encoding="ascii") as f:
            f.write(text.format(port=self.port, backend_port=backend_port, **values))
        return path


class Nginx(Neighbour):
    """Closes after three requests or a second; /files/ are its own, gzipped when asked."""

    name = "nginx"

    def start(self, backend_port):
        os.makedirs(os.path.join(self.workdir, "files"))
        only = self.tls.get("version")
        versions = f"TLSv{only}" if only else "TLSv1.2 TLSv1.3"
        path = self.configure("nginx.conf", NGINX, backend_port,
                              user="user root;" if os.geteuid() == 0 else "",
                              front=self.said("front", NGINX_FRONT, versions),
                              back=self.said("back", NGINX_BACK, versions, "proxy_pass http"))
        self.spawn([bench_subjects.program_path("nginx"), "-p", self.workdir, "-c", path,
                    "-e", "start.log"])

    def put(self, name, content):
        with open(os.path.join(self.workdir, "files", name), "wb") as f:
            f.write(content)


class Haproxy(Neighbour):
    """Closes what idled for 50 ms; option: http-keep-alive or http-server-close."""

    name = "haproxy"
    option = "http-keep-alive"

    def start(self, backend_port):
        only = self.tls.get("version")
        versions = f"ssl-min-ver TLSv{only} ssl-max-ver TLSv{only}" if only else ""
        path = self.configure("haproxy.cfg", HAPROXY, backend_port, option=self.option,
                              front=self.said("front", HAPROXY_FRONT, versions),
                              back=self.said("back", HAPROXY_BACK, versions))
        self.spawn([bench_subjects.program_path("haproxy"), "-db", "-f", path])


class HaproxyServerClose(Haproxy):
    name = "haproxy-server-close"
    option = "http-server-close"
