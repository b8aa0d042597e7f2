"""The scenarios of tests/vtc, judged by varnishtest's own client and server.

Lines of a scenario that begin with `# proxy:` are settings of [proxy], those with `# log:` the log's
lines in their order: method, target, status, end.
"""

import glob
import os
import re
import shutil
import subprocess

import pytest

from origin import dead_port, revive
import stack

SCENARIOS = sorted(glob.glob(os.path.join(stack.ROOT, "tests", "vtc", "*.vtc")))
TIMEOUT_S = 30

pytestmark = pytest.mark.skipif(shutil.which("varnishtest") is None,
                                reason="varnishtest is not installed (Debian: varnish)")


def said(text, what):
    return re.findall(rf"^# {what}: (.*)$", text, re.M)


@pytest.mark.parametrize("path", SCENARIOS, ids=[os.path.basename(p)[:-4] for p in SCENARIOS])
def test_scenario(path, proxy, tmp_path):
    with open(path, encoding="ascii") as f:
        text = f.read()
    settings = dict(pair.split("=") for line in said(text, "proxy") for pair in line.split())
    port = dead_port()
    front = proxy(f"http://127.0.0.1:{port}", settings=settings)
    revive(port)
    done = subprocess.run(
        ["varnishtest", "-v", "-t", str(TIMEOUT_S), "-D", f"backend=127.0.0.1:{port}",
         "-D", f"proxy={front.address[0]} {front.port}", path],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=dict(os.environ, TMPDIR=str(tmp_path)), timeout=2 * TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout[-8000:]
    expected = said(text, "log")
    assert expected, "a scenario says what the log must tell"
    got = [" ".join(str("null" if line[key] is None else line[key])
                    for key in ("method", "target", "status", "end"))
           for line in front.lines(len(expected))]
    assert got == expected
