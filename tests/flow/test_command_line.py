"""Options, -t, -V, -h, and errors: one line that names what is wrong, status 2."""

import re
import subprocess

import pytest

import stack


def run(*arguments):
    return subprocess.run(stack.WRAP + [stack.program("flowproxy"), *arguments],
                          capture_output=True, text=True, timeout=30, check=False,
                          stdin=subprocess.DEVNULL)


def test_version_and_help():
    done = run("-V")
    assert done.returncode == 0 and re.search(r"flowproxy \d+\.\d+", done.stdout)
    done = run("-h")
    assert done.returncode == 0
    for option in ("--listen", "--backend", "--access-log", "--trace", "--set", "-c", "-t"):
        assert option in done.stdout, option


def test_check_of_a_configuration(tmp_path):
    path = tmp_path / "good.conf"
    path.write_text("[proxy]\nlisten = 127.0.0.1:0\nbackend = http://127.0.0.1:1\nworkers = 2\n")
    done = run("-t", "-c", str(path))
    assert done.returncode == 0, done.stderr
    done = run("-t", "-c", f"{stack.ROOT}/config/flowproxy.conf")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments,named", [
    (["--nonsense"], "--nonsense"),
    (["--set", "proxy.nonsense=1"], "nonsense"),
    (["--set", "nonsense.workers=1"], "nonsense"),
    (["--set", "proxy.workers"], "proxy.workers"),
    (["--set", "proxy.workers=many"], "many"),
    (["--set", "proxy.idle_timeout_ms=-1"], "-1"),
    (["--set", "proxy.missing_host=maybe"], "maybe"),
    (["--backend", "ftp://example.com"], "ftp://example.com"),
    (["--backend", "http://a:99999"], "99999"),
    (["--listen", "127.0.0.1:99999"], "99999"),
    (["--listen", "no-address-at-all:1"], "no-address-at-all"),
    (["-c", "/nonexistent.conf"], "/nonexistent.conf"),
    (["stray"], "stray"),
])
def test_wrong_usage(arguments, named):
    done = run(*arguments)
    assert done.returncode == 2, (done.returncode, done.stderr)
    lines = done.stderr.splitlines()
    assert lines and named in lines[0], done.stderr
    assert re.match(r"(\S*/)?flowproxy: ", lines[0]), lines[0]


@pytest.mark.parametrize("text,number", [
    ("[proxy]\nlisten = 127.0.0.1:0\nnonsense = 1\n", 3),
    ("[proxy]\n\n[nonsense]\nx = 1\n", 3),
    ("[proxy]\nworkers = 0\n", 2),
    ("no section = 1\n", 1),
    ("[proxy]\njust words\n", 2),
    ("[proxy]\nworkers = 1\nworkers = 2\n", 3),
])
def test_errors_in_a_file_name_their_line(tmp_path, text, number):
    path = tmp_path / "bad.conf"
    path.write_text(text)
    done = run("-t", "-c", str(path))
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert re.search(rf"bad\.conf:{number}\b", done.stderr), done.stderr


def test_the_command_line_replaces_the_file(origin, proxy, peer, tmp_path):
    path = tmp_path / "some.conf"
    path.write_text("[proxy]\nlisten = 127.0.0.1:1\nlisten = 127.0.0.1:2\n"
                    "backend = http://127.0.0.1:3\nworkers = 1\n")
    front = proxy(origin(), arguments=["-c", str(path)])
    assert len(front.addresses) == 1
    assert peer(front).get().status == 200


def test_a_log_that_cannot_be_opened(origin, proxy):
    front = proxy(origin(), access_log="/nonexistent/proxy.ndjson", wait=False)
    status = front.wait()
    assert status in (1, 2)
    front.expected_status = status
    assert "/nonexistent" in front.stderr
