"""Certificates for tests: authorities, intermediates, servers and clients of every kind.

    root = certs.Authority("root")
    middle = certs.Authority("middle", issuer=root)
    server = middle.issue("shop", names=["shop.example", "127.0.0.1"])
    server.cert, server.key      PEM: the certificate alone; its key (mode 0600)
    server.chain                 PEM: the certificate and its intermediates
    server.store                 PEM: key and chain in one file (0600)
    server.pkcs12("secret")      PKCS#12: key and chain
    root.cert                    PEM: what others trust; root.truststore("secret") as PKCS#12

Everything is made by the openssl command when it is asked for, in a folder of this process that is
gone when it ends. Keys are P-256 unless said otherwise. ca() and server() are what the flow tests
use over TLS (tests/lib/tls_mode.py): an authority, and a server of all the names under test.
"""

import atexit
import datetime
import functools
import ipaddress
import os
import shutil
import subprocess
import tempfile

# Every name and address under which a proxy or a backend of the tests is reached.
NAMES = ("localhost", "127.0.0.1", "127.0.0.2", "127.0.0.3", "::1", "test.example", "*.example",
         "*.test", "*.flowproxy.test", "10.77.0.1", "10.77.0.2", "10.77.1.1", "10.77.1.2", "10.77.2.1", "10.77.2.2")

CONFIG = """
[ca]
default_ca = this
[this]
new_certs_dir = {folder}
database = {folder}/index
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
email_in_dn = no
[any]
commonName = supplied
organizationName = optional
[req]
distinguished_name = none
[none]
[extensions]
subjectKeyIdentifier = hash
{extensions}
"""


@functools.lru_cache(None)
def folder():
    made = tempfile.mkdtemp(prefix="fp-certs-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], check=False, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=30)
    assert done.returncode == 0, f"openssl {arguments}: {done.stderr.decode('utf-8', 'replace')}"
    return done.stdout


def write_secret(path, *parts):
    """A file that only its owner may read."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
        f.write(b"".join(parts))
    return path


def read(path):
    with open(path, "rb") as f:
        return f.read()


def stamp(days):
    """So many days from now, as `openssl ca` reads it."""
    return (datetime.datetime.now(datetime.timezone.utc)
            + datetime.timedelta(days=days)).strftime("%Y%m%d%H%M%SZ")


def alternative_names(names):
    """["shop.example", "127.0.0.1"] as an extension's value."""
    said = []
    for name in names:
        try:
            said.append(f"IP:{ipaddress.ip_address(name)}")
        except ValueError:
            said.append(f"DNS:{name}")
    return ",".join(said)


def make_key(path, kind):
    """kind: "P-256", "P-384", "RSA:2048", "ED25519"."""
    algorithm, _, size = kind.partition(":")
    if algorithm.startswith("P-"):
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{kind}", "-out", path)
    elif algorithm == "RSA":
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{size}", "-out", path)
    else:
        openssl("genpkey", "-algorithm", algorithm, "-out", path)
    os.chmod(path, 0o600)


class Certificate:
    """A key and what vouches for it. issuer None: itself. Times in days from now; digest as openssl
    names it."""

    number = 0

    def __init__(self, name, extensions, issuer=None, key="P-256", begins=-1, ends=365,
                 digest="sha256"):
        Certificate.number += 1
        self.name = name
        self.issuer = issuer
        self.base = os.path.join(folder(), f"{Certificate.number}-{name.replace('*', 'any').replace(' ', '-')}")
        self.key = self.base + ".key"
        self.cert = self.base + ".crt"
        self.subject = f"CN={name}"
        make_key(self.key, key)
        self._sign(extensions, begins, ends, digest)
        self.chain = self.base + ".chain.pem"
        self.store = self.base + ".store.pem"
        chain = b"".join(read(each.cert) for each in self._path())
        write_secret(self.chain, chain)
        os.chmod(self.chain, 0o644)
        write_secret(self.store, read(self.key), chain)

    def _path(self):
        """Itself and the intermediates, without the root."""
        path = [self]
        while path[-1].issuer is not None and path[-1].issuer.issuer is not None:
            path.append(path[-1].issuer)
        return path

    def _sign(self, extensions, begins, ends, digest):
        work = self.base + ".d"
        os.mkdir(work)
        for empty in ("index", "index.attr"):
            with open(os.path.join(work, empty), "wb"):
                pass
        config = os.path.join(work, "config")
        if self.issuer is not None:
            extensions = ["authorityKeyIdentifier = keyid", *extensions]
        with open(config, "w", encoding="ascii") as f:
            f.write(CONFIG.format(folder=work, extensions="\n".join(extensions)))
        asked = os.path.join(work, "request")
        openssl("req", "-new", "-config", config, "-key", self.key, "-subj", f"/CN={self.name}",
                "-out", asked)
        by = ["-selfsign", "-keyfile", self.key] if self.issuer is None else [
            "-keyfile", self.issuer.key, "-cert", self.issuer.cert]
        openssl("ca", "-batch", "-notext", "-config", config, "-extensions", "extensions", "-md",
                digest, "-startdate", stamp(begins), "-enddate", stamp(ends), "-in", asked, "-out",
                self.cert, *by)

    def pkcs12(self, password, name=None):
        """Its key and chain, or with `name` those under that friendly name."""
        path = self.base + ".p12"
        openssl("pkcs12", "-export", "-inkey", self.key, "-in", self.chain, "-passout",
                f"pass:{password}", "-out", path, *(["-name", name] if name else []))
        os.chmod(path, 0o600)
        return path

    def encrypted_store(self, password):
        """PEM as in `store`, its key under that password."""
        path = self.base + ".locked.pem"
        locked = openssl("pkey", "-in", self.key, "-aes-256-cbc", "-passout", f"pass:{password}")
        return write_secret(path, locked, read(self.chain))


class Authority(Certificate):
    """One that signs; a root when nobody is named who signs it."""

    def __init__(self, name="test root", issuer=None, **options):
        super().__init__(name, ["basicConstraints = critical,CA:TRUE",
                                "keyUsage = critical,keyCertSign,cRLSign"], issuer, **options)

    def issue(self, name="server", names=NAMES, usage="serverAuth", **options):
        """A certificate for a server of these names (usage "serverAuth") or for a client."""
        return Certificate(name, leaf_extensions(names, usage), self, **options)

    def client(self, name="client", **options):
        return self.issue(name, names=(), usage="clientAuth", **options)

    def truststore(self, password):
        """PKCS#12 with this certificate and no key."""
        path = self.base + ".trust.p12"
        openssl("pkcs12", "-export", "-nokeys", "-in", self.cert, "-passout", f"pass:{password}",
                "-out", path)
        return path


def leaf_extensions(names, usage):
    said = ["basicConstraints = critical,CA:FALSE", "keyUsage = critical,digitalSignature",
            f"extendedKeyUsage = {usage}"]
    if names:
        said.append(f"subjectAltName = {alternative_names(names)}")
    return said


def self_signed(name="server", names=NAMES, usage="serverAuth", **options):
    """One that nobody else vouches for."""
    return Certificate(name, leaf_extensions(names, usage), None, **options)


@functools.lru_cache(None)
def ca():
    """The authority that the proxy, the backends and the clients of the tests trust."""
    return Authority("flow tests root")


@functools.lru_cache(None)
def server():
    """What proxies and backends show, whatever name they are reached by."""
    return ca().issue("server")


@functools.lru_cache(None)
def client():
    """A client that ca() vouches for."""
    return ca().client("a client")
