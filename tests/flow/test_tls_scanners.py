"""What scanners of TLS servers say of a listener: sslscan and testssl.sh find nothing of medium or
higher severity."""

import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree

import pytest

import certs
from origin import echo

HTTPS = ("https://127.0.0.1:0",)
WEAK = re.compile("RC4|DES|MD5|NULL|EXP|anon|ADH|AECDH|CBC|IDEA|SEED|ARIA|CAMELLIA|PSK|SRP|SHA$")
# What testssl.sh holds against any certificate of a private authority: no service tells whether it
# was revoked.
OF_A_PRIVATE_AUTHORITY = {"cert_revocation"}


@pytest.fixture
def front(origin, proxy):
    backend = origin(echo, tls=False)
    backend.forgive = True  # the few requests of a scanner are long before its last
    return proxy(backend, listen=HTTPS)


@pytest.mark.skipif(not shutil.which("sslscan"), reason="sslscan is not installed")
def test_sslscan(front, tmp_path):
    report = tmp_path / "report.xml"
    done = subprocess.run(
        ["sslscan", f"--xml={report}", "--sni-name=test.example", "--no-colour",
         "127.0.0.1:%d" % front.port],
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    found = xml.etree.ElementTree.parse(report).getroot().find("ssltest")
    protocols = {(each.get("type"), each.get("version")): each.get("enabled") == "1"
                 for each in found.findall("protocol")}
    assert {name for name, on in protocols.items() if on} == {("tls", "1.2"), ("tls", "1.3")}
    assert found.find("renegotiation").get("supported") == "0"
    compression = found.find("compression")
    assert compression is None or compression.get("supported") == "0"
    assert {each.get("vulnerable") for each in found.findall("heartbleed")} == {"0"}
    ciphers = [each.get("cipher") for each in found.findall("cipher")]
    assert len(ciphers) >= 5
    assert not [name for name in ciphers if WEAK.search(name)], ciphers
    assert all(int(each.get("bits")) >= 128 for each in found.findall("cipher"))
    groups = found.findall("group")
    assert groups and all(int(each.get("bits")) >= 112 for each in groups)
    assert found.find("certificates").find("certificate").find("self-signed").text == "false"


@pytest.mark.skipif(not shutil.which("testssl"), reason="testssl.sh is not installed")
def test_testssl(front, tmp_path):
    """Protocols, ciphers, defaults and the known holes; not its simulations, nor what is a matter of the
    ciphers alone, which sslscan has told."""
    report = tmp_path / "report.json"
    done = subprocess.run(
        ["testssl", "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip",
         "127.0.0.1", "--add-ca", certs.ca().cert, "--jsonfile", str(report), "-p", "-s", "-f",
         "-S", "-H", "-I", "-T", "-R", "-C", "-Z",
         "localhost:%d" % front.port],
        capture_output=True, text=True, timeout=110, check=False, cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        env=dict(os.environ, OPENSSL="/usr/bin/openssl"))
    found = json.loads(report.read_text())
    said = {each["id"]: each for each in found}
    bad = [each for each in found if each["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL")
           and each["id"] not in OF_A_PRIVATE_AUTHORITY]
    assert not bad, bad
    assert said["TLS1_2"]["finding"].startswith("offered"), done.stdout
    assert said["TLS1_3"]["finding"].startswith("offered")
    assert said["cert_chain_of_trust"]["severity"] == "OK", said["cert_chain_of_trust"]
    assert len(found) > 40
