"""Keystores and truststores: each mistake has its own line at start, with -t and on SIGHUP, which
takes new ones for new connections and leaves the old ones in use when something is wrong.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import types

import pytest

import certs
from origin import dead_port
import stack
import tls_peer

SECRET = "correct horse"
WRONG = "hunter2"
LISTEN = "https://127.0.0.1:0"


def run(*arguments, env=None):
    return subprocess.run(stack.WRAP + [stack.program("flowproxy"), *arguments], text=True,
                          capture_output=True, timeout=30, check=False, stdin=subprocess.DEVNULL,
                          env=dict(os.environ, **(env or {})))


def settings_of(**settings):
    said = []
    for key, values in settings.items():
        for value in values if isinstance(values, list) else [values]:
            said += ["--set", f"tls.{key}={value}"]
    return said


def write(path, content, mode=0o600):
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def der(certificate, tmp_path):
    certs.openssl("x509", "-in", certificate.cert, "-outform", "DER", "-out", tmp_path / "der")
    return str(tmp_path / "der")


def hashed(tmp_path):
    """A folder of trusted certificates, as a system has it."""
    name = certs.openssl("x509", "-in", certs.ca().cert, "-noout", "-hash").decode().strip()
    (tmp_path / "certs").mkdir()
    shutil.copy(certs.ca().cert, tmp_path / "certs" / f"{name}.0")
    return str(tmp_path / "certs")


def mixed(tmp_path):
    other = certs.client()
    return write(tmp_path / "mixed.pem", certs.read(certs.server().key) + certs.read(other.cert))


def unreadable(tmp_path):
    """Also to root: a loop of links."""
    os.symlink("loop.pem", tmp_path / "loop.pem")
    return str(tmp_path / "loop.pem")


# What the keystore is, and what is said of it behind its name.
KEYSTORES = {
    "missing": (lambda t: str(t / "none.p12"), {}, "No such file or directory"),
    "unreadable": (unreadable, {}, "Too many levels of symbolic links"),
    "directory": (str, {}, "it is a directory"),
    "empty": (lambda t: write(t / "e.pem", b""), {}, "it is empty"),
    "neither": (lambda t: write(t / "n.pem", b"no store\n"), {}, "it is neither PKCS#12 nor PEM"),
    "jks": (lambda t: write(t / "s.jks", b"\xfe\xed\xfe\xed\0\0\0\2"), {},
            r"keytool -importkeystore -srckeystore \S+s\.jks .*-deststoretype PKCS12$"),
    "der": (lambda t: der(certs.server(), t), {}, "openssl x509 -inform DER"),
    "no key": (lambda t: certs.server().cert, {}, "no private key stands in it"),
    "no certificate": (lambda t: certs.server().key, {}, "no certificate stands in it"),
    "mismatch": (mixed, {}, "its private key and its certificate do not belong together"),
    "everybody's": (lambda t: write(t / "w.pem", certs.read(certs.server().store), 0o644), {},
                    "everybody on this machine may use that file.*chmod o= FILE"),
    "expired": (lambda t: certs.self_signed("old", begins=-9, ends=-1).store, {},
                r"its certificate \(CN=old\) expired on \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$"),
    "too early": (lambda t: certs.self_signed("new", begins=1, ends=9).store, {},
                  r"its certificate \(CN=new\) is not valid before \d{4}-"),
    "weak": (lambda t: certs.self_signed("weak", key="RSA:1024").store, {},
             "its RSA key has 1024 bits, which is too weak"),
    "wrong password": (lambda t: certs.server().pkcs12(SECRET), {"keystorepassword": WRONG},
                       r"the password is wrong \(\[tls\] keystorepassword\)"),
    "no password": (lambda t: certs.server().pkcs12(SECRET), {},
                    r"a password protects it: set \[tls\] keystorepassword"),
    "wrong password of PEM": (lambda t: certs.server().encrypted_store(SECRET),
                              {"keystorepassword": [WRONG, "another"]}, "the password is wrong"),
    "no password for PEM": (lambda t: certs.server().encrypted_store(SECRET), {},
                            "a password protects it"),
}


def expect_refusal(arguments, pattern, env=None):
    """Status 2 and one line, at start and with -t; no password in it."""
    for more in ([], ["-t"]):
        done = run(*arguments, *more, env=env)
        assert done.returncode == 2, (done.returncode, done.stderr)
        assert re.fullmatch(rf"flowproxy: error: {pattern}\n", done.stderr), done.stderr
        assert SECRET not in done.stderr and WRONG not in done.stderr


@pytest.mark.parametrize("name", KEYSTORES)
def test_a_keystore_that_will_not_do(tmp_path, name):
    make, settings, why = KEYSTORES[name]
    path = make(tmp_path)
    whole = why.removesuffix("$") if why.endswith("$") else f"{why}.*"
    expect_refusal(["--listen", LISTEN, *settings_of(keystore=path, **settings)],
                   rf'\[tls\] keystore = "{re.escape(path)}": .*{whole}')


def test_a_truststore_that_will_not_do(tmp_path):
    locked = certs.ca().truststore(SECRET)
    key = certs.server().key
    for path, settings, why in [
            (str(tmp_path / "none"), {}, "No such file or directory"),
            (key, {}, "no certificate stands in it"),
            (locked, {"truststorepassword": WRONG},
             r"the password is wrong \(\[tls\] truststorepassword\)"),
            (locked, {}, r"a password protects it: set \[tls\] truststorepassword")]:
        expect_refusal(["--backend", "https://backend.example",
                        *settings_of(truststore=path, **settings)],
                       rf'\[tls\] truststore = "{re.escape(path)}": {why}')


def test_what_the_configuration_lacks():
    store = certs.server().store
    expect_refusal(["--listen", "https://127.0.0.1:8443"],
                   r'\[proxy\] listen = "https://127.0.0.1:8443": .*set \[tls\] keystore.*')
    expect_refusal(["--listen", LISTEN, *settings_of(keystore=store, client_auth="required")],
                   r'\[tls\] client_auth = "required": set \[tls\] truststore .*')
    expect_refusal([*settings_of(keystore=store, truststore=certs.ca().cert,
                                 client_auth="optional")],
                   r'\[tls\] client_auth = "optional": no listen begins with https://.*')
    expect_refusal(["--listen", LISTEN, "--backend", "https://127.0.0.1:8443", "--listen",
                    "https://127.0.0.1:8443", *settings_of(keystore=store)],
                   ".*that is where this proxy itself listens")


def test_where_passwords_come_from(tmp_path):
    store = certs.server().pkcs12(SECRET)
    file = write(tmp_path / "password", SECRET.encode() + b"\n")
    base = ["-t", "--listen", LISTEN, *settings_of(keystore=store)]
    for spec, env in [(SECRET, {}), (f"pass:{SECRET}", {}), (f"file:{file}", {}),
                      ("env:STORE_PASSWORD", {"STORE_PASSWORD": SECRET})]:
        done = run(*base, *settings_of(keystorepassword=spec), env=env)
        assert done.returncode == 0, done.stderr
    # Several: each is tried.
    done = run(*base, *settings_of(keystorepassword=[WRONG, f"file:{file}"]))
    assert done.returncode == 0, done.stderr
    expect_refusal([*base, *settings_of(keystorepassword="env:NO_SUCH_PASSWORD")],
                   r"\[tls\] keystorepassword = env:NO_SUCH_PASSWORD: there is no such variable in "
                   "the environment")
    expect_refusal([*base, *settings_of(keystorepassword=f"file:{tmp_path}/none")],
                   rf"\[tls\] keystorepassword = file:{tmp_path}/none: No such file or directory")


def test_what_is_only_worth_a_warning(tmp_path):
    open_store = str(tmp_path / "open.p12")
    shutil.copy(certs.server().pkcs12(SECRET), open_store)
    os.chmod(open_store, 0o644)
    client = certs.ca().client("no server")
    soon = certs.ca().issue("soon", begins=-90, ends=2)
    for settings, why in [
            (settings_of(keystore=open_store, keystorepassword=SECRET),
             "only its password protects the private key"),
            (settings_of(keystore=client.store), r"\(CN=no server\) is not made for servers"),
            (settings_of(keystore=soon.store), r"\(CN=soon\) expires on \d{4}-")]:
        done = run("-t", "--listen", LISTEN, *settings)
        assert done.returncode == 0, done.stderr
        assert re.search(rf"flowproxy: warning: \[tls\] keystore = .*{why}", done.stderr)
        assert len(done.stderr.splitlines()) == 2
    stores = [certs.self_signed("shop", names=[name], key=key).store
              for name, key in (("a.test", "P-256"), ("A.TEST", "P-256"), ("a.test", "RSA:2048"))]
    done = run("-t", "--listen", LISTEN, *settings_of(keystore=stores))
    assert done.returncode == 0
    assert re.findall(r"warning: (.*)\n", done.stderr) == [
        f'[tls] keystore = "{stores[1]}": an earlier certificate has the same names and kind of '
        'key: this one is never shown']
    done = run("-t", *settings_of(keystore=certs.server().store))
    assert done.returncode == 0
    assert re.search(r"warning: \[tls\] keystore is set, but .* everything is plain HTTP",
                     done.stderr)
    done = run("-t", "--listen", LISTEN,
               *settings_of(keystore=certs.server().store, truststore=certs.ca().cert))
    assert done.returncode == 0
    assert "warning: [tls] truststore is set, but neither a backend nor clients are verified" \
        in done.stderr
    for trusted in ({"SSL_CERT_FILE": certs.ca().cert, "SSL_CERT_DIR": "/nowhere"},
                    {"SSL_CERT_FILE": "/nowhere", "SSL_CERT_DIR": hashed(tmp_path)}):
        done = run("-t", "--backend", "https://backend.example", env=trusted)
        assert (done.returncode, done.stderr) == (0, "flowproxy: the configuration is fine\n")
    done = run("-t", "--backend", "https://backend.example",
               env={"SSL_CERT_FILE": "/nowhere", "SSL_CERT_DIR": str(tmp_path)})
    assert done.returncode == 0
    assert "warning: [tls] truststore is not set, and this system trusts nobody" in done.stderr
    done = run("-t", "--backend", "https://backend.example", *settings_of(verify="none"))
    assert done.returncode == 0
    assert "warning: [tls] verify = none: whoever answers for https://backend.example is believed" \
        in done.stderr


# ---- what is shown ------------------------------------------------------------------------------------

def shown(front, context, name, peer, session=None):
    """A connection whose certificate was verified for that name, and who the certificate is of."""
    client = peer(front, tls=context, name=name, session=session)
    subject = client.sock.tls.getpeercert()["subject"]
    return client, subject[0][0][1]


def test_the_name_chooses_among_keystores(origin, proxy, peer):
    root = certs.Authority("sni root")
    stores = [root.issue("first", names=["first.example"]),
              root.issue("any", names=["*.shop.example"]),
              root.issue("exact", names=["www.shop.example"])]
    front = proxy(origin(), {"tls.keystore": [stores[0].store, stores[1].pkcs12(SECRET),
                                              stores[2].encrypted_store(WRONG)],
                             "tls.keystorepassword": [SECRET, WRONG]}, listen=[LISTEN])
    context = tls_peer.client_context(root.cert)
    for name, who in [("first.example", "first"), ("a.shop.example", "any"),
                      ("www.shop.example", "exact"), ("WWW.SHOP.example", "exact")]:
        client, subject = shown(front, context, name, peer)
        assert subject == who
        assert client.get(fields=["Connection: close"]).status == 200
    with pytest.raises(OSError):
        shown(front, context, "other.example", peer)


def test_the_subject_goes_to_the_backend_and_cannot_be_claimed(origin, proxy, peer):
    server = origin()
    front = proxy(server, {"tls.keystore": certs.server().store, "tls.truststore": certs.ca().cert,
                           "tls.client_auth": "optional"}, listen=[LISTEN, "http://127.0.0.1:0"])
    claims = ["X-Client-Cert-Subject: CN=root", "x_client_cert_subject: CN=root"]
    trust = certs.ca().cert
    known = tls_peer.client_context(trust, certificate=certs.client())
    clients = [peer(front, tls=known), peer(front, tls=tls_peer.client_context(trust)),
               peer(front.addresses[1], tls=False)]
    for client, told in zip(clients, [[b"CN=a client"], [], []]):
        assert client.get(fields=claims).status == 200
        assert client.get(fields=claims).status == 200  # on a connection used again
        for request in server.requests[-2:]:
            got = [value for name, value in request.fields
                   if name.lower().replace(b"_", b"-") == b"x-client-cert-subject"]
            assert got == told


def test_a_long_subject_goes_whole(origin, proxy, peer, tmp_path):
    """What is cut says of somebody what his authority did not."""
    name = "".join(f"/O={n:02} {'x' * 60}" for n in range(20)) + "/CN=somebody"
    key, request, cert = (str(tmp_path / each) for each in ("key", "request", "cert"))
    root = certs.ca()
    certs.openssl("req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                  "-keyout", key, "-subj", name, "-out", request)
    certs.openssl("x509", "-req", "-in", request, "-CA", root.cert, "-CAkey", root.key, "-days", "9",
                  "-out", cert)
    whole = certs.openssl("x509", "-in", cert, "-noout", "-subject", "-nameopt", "RFC2253")
    whole = whole.strip().removeprefix(b"subject=")
    assert len(whole) > 1200 and whole.startswith(b"CN=somebody,O=19 ")
    server = origin()
    front = proxy(server, {"tls.keystore": certs.server().store, "tls.truststore": root.cert,
                           "tls.client_auth": "required"}, listen=[LISTEN])
    context = tls_peer.client_context(root.cert,
                                      certificate=types.SimpleNamespace(chain=cert, key=key))
    assert peer(front, tls=context).get().status == 200
    assert server.requests[0].all("X-Client-Cert-Subject") == [whole.decode()]


# ---- SIGHUP -----------------------------------------------------------------------------------------

AGAIN = "flowproxy: keystores and truststore were read again"
KEPT = "; the stores as they were read before stay in use"


def hang_up(front, pattern, times=1):
    """SIGHUP, until it was answered so often with such a line."""
    front.signal(signal.SIGHUP)
    regex = re.compile(pattern)

    def answered():
        return sum(bool(regex.search(line)) for line in front.stderr_lines) >= times

    with front.changed:
        assert front.changed.wait_for(answered, stack.START_S), front.stderr_lines


def replace(path, content):
    """As tools do that renew certificates: another file takes the name."""
    certs.write_secret(path + ".new", content)
    os.rename(path + ".new", path)


@pytest.mark.parametrize("workers", [1, 3])
def test_new_connections_get_what_the_stores_hold_now(origin, proxy, peer, tmp_path, workers):
    root = certs.Authority("renewing root")
    stores = [root.issue(f"edition {n}", names=["test.example"]) for n in range(2)]
    path = certs.write_secret(str(tmp_path / "store.pem"), certs.read(stores[0].store))
    front = proxy(origin(), {"tls.keystore": path, "workers": workers}, listen=[LISTEN])
    context = tls_peer.client_context(root.cert)
    old, subject = shown(front, context, "test.example", peer)
    assert subject == "edition 0" and old.get().status == 200
    # Something is wrong: all goes on as before.
    for content, why in [(b"", "it is empty"), (certs.read(stores[1].cert), "no private key"),
                         (certs.read(stores[1].key) + certs.read(stores[0].cert), "belong together")]:
        replace(path, content)
        hang_up(front, f"error: .*{why}.*{KEPT}")
    os.unlink(path)
    hang_up(front, f"error: .*No such file.*{KEPT}")
    assert shown(front, context, "test.example", peer)[1] == "edition 0"
    assert AGAIN not in front.stderr
    # It is right: for whoever comes now; who is there, stays.
    replace(path, certs.read(stores[1].store))
    hang_up(front, AGAIN)
    for _ in range(2 * workers):
        client, subject = shown(front, context, "test.example", peer)
        assert subject == "edition 1" and client.get().status == 200
    assert old.get().status == 200
    hang_up(front, AGAIN, times=2)
    assert len([line for line in front.stderr_lines if " error: " in line]) == 4


def test_who_is_trusted_is_read_again(origin, proxy, peer, tmp_path):
    roots = [certs.Authority(f"client root {n}") for n in range(2)]
    contexts = [tls_peer.client_context(certs.ca().cert, version="1.2",
                                        certificate=root.client(f"of {n}"))
                for n, root in enumerate(roots)]
    path = certs.write_secret(str(tmp_path / "trust.pem"), certs.read(roots[0].cert))
    front = proxy(origin(tls=False), {"tls.keystore": certs.server().store, "tls.truststore": path,
                             "tls.client_auth": "required"}, listen=[LISTEN])
    for known, unknown in [(0, 1), (1, 0)]:
        assert peer(front, tls=contexts[known]).get().status == 200
        with pytest.raises(OSError):
            peer(front, tls=contexts[unknown])
        replace(path, certs.read(roots[1].cert))
        hang_up(front, AGAIN, times=known + 1)


def test_sighup_of_a_proxy_without_stores(origin, proxy, peer):
    front = proxy(origin(tls=False), listen=["http://127.0.0.1:0"])
    hang_up(front, "SIGHUP: no keystore and no truststore is set, nothing to read again")
    assert peer(front, tls=False).get().status == 200


def test_warnings_come_again(proxy, tmp_path):
    front = proxy(f"https://127.0.0.1:{dead_port()}", {"tls.verify": "none"},
                  listen=["http://127.0.0.1:0"])
    hang_up(front, "warning: .tls. verify = none", times=2)
    hang_up(front, AGAIN, times=2)


# ---- resumption -------------------------------------------------------------------------------------

@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_tickets_are_good_with_every_worker_and_after_sighup(origin, proxy, peer, version):
    front = proxy(origin(), {"tls.keystore": certs.server().store, "workers": 3}, listen=[LISTEN])
    context = tls_peer.client_context(certs.ca().cert, version=version)
    clients = []

    def another(session):
        clients.append(peer(front, tls=context, session=session))
        assert clients[-1].get().status == 200
        return clients[-1].sock

    sock = another(None)
    assert not sock.resumed
    for n in range(8):  # kept open: each goes to the worker with the fewest
        sock = another(sock.tls.session)
        assert sock.resumed, n
        if n == 3:
            hang_up(front, AGAIN)
    lines = front.lines(len(clients))
    assert [line["client"]["tls"]["resumed"] for line in lines].count(True) == 8


# ---- rights -----------------------------------------------------------------------------------------

@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_files_out_of_reach_after_rights_are_given_up(origin, peer):
    """They are read before; whether they could be read again is told at once."""
    home = tempfile.mkdtemp(prefix="fp-rights-")
    try:
        os.chmod(home, 0o755)
        os.mkdir(f"{home}/log", 0o755)
        shutil.chown(f"{home}/log", "nobody")
        store = certs.write_secret(f"{home}/store.pem", certs.read(certs.server().store))
        password = certs.write_secret(f"{home}/password", b"any\n")
        front = stack.Flowproxy(origin(tls=False).url, home, {
            "user": "nobody", "tls.keystore": store, "tls.keystorepassword": f"file:{password}"},
            listen=[LISTEN], access_log=f"{home}/log/proxy.ndjson")
        try:
            for key, path in [("keystore", store), ("keystorepassword", password)]:
                front.wait_stderr(rf'warning: \[tls\] {key} = "{path}": Permission denied, now that '
                                  "rights have been given up: SIGHUP will not be able to read it")
            hang_up(front, f"error: .*Permission denied{KEPT}")
            context = tls_peer.client_context(certs.ca().cert)
            assert peer(front, tls=context).get().status == 200
            for path in (store, password):
                os.chmod(path, 0o640)
                shutil.chown(path, group="nogroup")
            hang_up(front, AGAIN)
            front.stop()
        finally:
            front.kill()
    finally:
        shutil.rmtree(home)
