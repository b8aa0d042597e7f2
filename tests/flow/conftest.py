"""Fixtures of the flow tests: everything they start is stopped and checked when a test ends.

origin(script)            a byte-exact backend (tests/lib/origin.py)
proxy(origin, key=value)  flowproxy in front of it, one worker, log in the test's own folder
peer(proxy)               a byte-exact client (tests/lib/peer.py)
lossy(key=value)          client, proxy and backend on a network that loses (tests/lib/network.py)
"""

import os
import sys

import pytest

for folder in ("lib", "data"):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, folder))

import apart  # noqa: E402
import capture  # noqa: E402
import log  # noqa: E402
import network  # noqa: E402
from origin import Origin  # noqa: E402
from peer import Peer  # noqa: E402
import stack  # noqa: E402
import tls_mode  # noqa: E402


def pytest_configure(config):
    if not config.pluginmanager.hasplugin("pytest_bound"):
        config.pluginmanager.import_plugin("pytest_bound")
    tls_mode.trust_everywhere()
    config.addinivalue_line("markers", "capture: needs the right to capture packets")
    config.addinivalue_line("markers", "memory: measures memory, which sanitizers falsify")


def without_meaning(item):
    """What cannot be said over TLS is no test there, rather than one that is skipped."""
    return tls_mode.excluded(f"{item.path.stem.removeprefix('test_')}::{item.name}")


def pytest_collection_modifyitems(config, items):
    config.hook.pytest_deselected(items=[item for item in items if without_meaning(item)])
    items[:] = [item for item in items if not without_meaning(item)]
    for item in items:
        if item.get_closest_marker("capture") and not capture.allowed():
            item.add_marker(pytest.mark.skip(reason="capturing packets needs root"))
        if item.get_closest_marker("memory") and stack.SLOW:
            item.add_marker(pytest.mark.skip(
                reason="memory cannot be measured under a sanitizer or wrapper"))


@pytest.fixture
def origin():
    """origin(script, ...) starts a backend; scripts that failed fail the test."""
    started = []

    def start(script=None, **options):
        started.append(Origin(script, **options))
        return started[-1]

    yield start
    for each in started:
        each.stop()
    for each in started:
        each.check()


@pytest.fixture
def proxy(tmp_path):
    """proxy(backend, key=value...) starts flowproxy. Keys are those of [proxy]; options of
    stack.Flowproxy are passed as they are. The log of each is checked at the end."""
    started = []
    options = ("listen", "trace", "access_log", "arguments", "limits", "env", "wait", "wrapper")

    def start(backend, settings=None, **keywords):
        workdir = tmp_path / f"proxy{len(started) + 1}"
        workdir.mkdir()
        settings = dict(settings or {})
        settings.update({k: v for k, v in keywords.items() if k not in options})
        started.append(stack.Flowproxy(
            getattr(backend, "url", backend), workdir, settings=settings,
            **{k: v for k, v in keywords.items() if k in options}))
        return started[-1]

    yield start
    failures = []
    for each in started:
        try:
            each.stop(status=getattr(each, "expected_status", 0))
            if each.log_path.startswith(str(tmp_path)):
                log.check_log(log.read_lines(each.log_path))
        except AssertionError as failure:
            failures.append(str(failure))
        finally:
            each.kill()
    assert not failures, "\n".join(failures)


@pytest.fixture
def peer():
    """peer(proxy) connects a client to the proxy's first listener, or to an address."""
    opened = []

    def connect(to, **options):
        opened.append(Peer(getattr(to, "address", to), **options))
        return opened[-1]

    yield connect
    for each in opened:
        each.close()


@pytest.fixture
def apart_backend():
    """A backend in a process of its own, which answers however busy the test is."""
    each = apart.Backend()
    yield each
    each.stop()


@pytest.fixture
def bystander():
    """bystander(front): a client that behaves, in a process of its own."""
    started = []

    def start(front):
        started.append(apart.Bystander(front.address))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def lossy():
    """lossy(seed=3, client=rules, backend=rules) starts a network.Network; no test without one."""
    started = []

    def start(**options):
        started.append(network.Network(**options))
        try:
            started[-1].start()
        except AssertionError as why:
            pytest.skip(f"no test network can be made here: {why}")
        return started[-1]

    yield start
    for each in started:
        each.stop()
