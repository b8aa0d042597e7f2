"""Clients and a backend that misbehave at random: log, clients and backend tell the same story.

Against a proxy with AddressSanitizer and UndefinedBehaviorSanitizer, unless the whole run has a
sanitizer of its own. FLOWPROXY_SEEDS=100-199 runs others than the usual seeds; what fails says how to
run its seed alone.
"""

import os
import re

import pytest

import log
import random_judge
import random_peers
import random_plan
import stack

EXCHANGES = 1000 if stack.SLOW else 4500
SANITIZED = stack.program("flowproxy") if stack.SLOW else stack.program("sanitized/flowproxy")


def seeds():
    first, last = re.match(r"(\d+)-(\d+)\Z", os.environ.get("FLOWPROXY_SEEDS", "1-5")).groups()
    return range(int(first), int(last) + 1)


@pytest.mark.parametrize("seed", seeds())
def test_log_clients_and_backend_agree(seed, tmp_path):
    found, counts, lines = random_peers.play(seed, EXCHANGES, tmp_path, SANITIZED)
    assert not found, random_judge.of(
        found, f"tests/lib/random_peers.py --seed {seed} --exchanges {EXCHANGES} "
        f"--binary {os.path.relpath(SANITIZED, stack.ROOT)}")
    # what makes the run worth something: most exchanges end well, and every misbehaviour was there
    assert lines > EXCHANGES * 0.8 and counts["done"] > lines * 0.6, counts
    manners = {"manner " + m for m in ("good", "early", "close after", "extra")}
    faults = {"fault " + f for f in random_plan.CLIENT_FAULTS}
    words = {"backend-eof", "backend-reset", "backend-timeout", "bad-request", "bad-response",
             "body-timeout", "client-eof", "client-reset", "header-timeout", "tunnel-backend",
             "tunnel-client"}
    missing = {what for what in manners | faults | words if not counts[what]}
    assert not missing or stack.SLOW, missing


def test_the_judge_finds_what_is_wrong(tmp_path):
    """A line that is changed, lost or doubled does not pass."""
    backend = random_peers.Backend(7)
    front = stack.Flowproxy(backend.url, tmp_path, settings=random_peers.SETTINGS)
    run = random_peers.Run(7, 60, front.address)
    run.run()
    front.stop()
    backend.stop()

    def findings(lines):
        return random_judge.Judge(run, backend, lines).judge()

    lines = log.read_lines(front.log_path)
    assert not findings(lines)
    # of an early answer nobody knows how much of the request has reached the backend
    answered = {f"/r/{sent.plan.name}" for client in run.clients for sent in client.sent
                if sent.got == "response" and sent.reply_name
                and sent.plan.reply(int(sent.reply_name.split("/")[2])).manner == "good"}
    for n in [n for n, line in enumerate(lines) if line["target"] in answered][::5]:
        without, doubled = lines[:n] + lines[n + 1:], lines + [lines[n]]
        assert findings(without) and findings(doubled)
        for change in ({"status": 299}, {"end": "backend-eof"}, {"target": "/r/0/0"}):
            assert findings(lines[:n] + [dict(lines[n], **change)] + lines[n + 1:]), change
        for leg in ("client", "backend"):
            for part in ("request", "response"):
                past = lines[n][leg][part][1]
                moved = dict(lines[n][leg], **{part: [lines[n][leg][part][0], past + 1]})
                wrong = lines[:n] + [dict(lines[n], **{leg: moved})] + lines[n + 1:]
                assert findings(wrong), (leg, part)
