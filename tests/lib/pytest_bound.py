"""A bound for every test: the plugin that tests/run gives to pytest (-p pytest_bound).

Each of a test's three parts (set-up, call, teardown) that takes longer than BOUND_S fails with
the place where it hung, and its teardown still runs, so that no process is left behind.
"""

import os
import signal

import pytest

BOUND_S = int(os.environ.get("FLOWPROXY_TEST_BOUND_S", "120"))


class BoundExceeded(Exception):
    """A test took too long."""


def _expired(_signal, _frame):
    raise BoundExceeded(f"longer than {BOUND_S} s")


def _bounded():
    before = signal.signal(signal.SIGALRM, _expired)
    signal.alarm(BOUND_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_setup():
    yield from _bounded()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call():
    yield from _bounded()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown():
    yield from _bounded()
