"""scripts/demo as a stranger runs it, and the parts of what it prints."""

import os
import subprocess

import capture
import stack
import trace

DEMO = os.path.join(stack.ROOT, "scripts", "demo")
SECTIONS = ["1. Connection establishment", "2. Data transfer", "3. Reuse of backend connections",
            "4. Piggybacked ACKs", "5. Termination", "6. The files, and how to look further"]
SECTIONS_TLS = SECTIONS + ["7. The dump opens decrypted"]


def demo(*arguments, status=0, prefix=(), env=None):
    done = subprocess.run([*prefix, DEMO, *map(str, arguments)], capture_output=True, text=True,
                          timeout=110, check=False, cwd="/",
                          env={**os.environ, "FLOWPROXY_BUILD": stack.BUILD, **(env or {})})
    assert done.returncode == status, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def packets(folder, *more):
    """{frame: fields}, as tshark has them."""
    return {int(p["frame.number"]): p for p in capture.tshark_fields(
        trace.dump_of(folder), "frame.number", "tcp.seq", "tcp.len", "tcp.ack", "tcp.nxtseq",
        "tcp.flags.str", "tcp.srcport", "frame.comment", *more)}


def section(text, number, sections=tuple(SECTIONS)):
    """The lines of one section."""
    lines = text.splitlines()
    starts = [next(i for i, line in enumerate(lines) if line.startswith(s)) for s in sections]
    return lines[starts[number - 1]:(starts + [len(lines)])[number]]


def check_screen(text, sections, lines_max):
    """It fits, and every section is there in order."""
    at = [text.index("\n" + heading) for heading in sections]
    assert at == sorted(at)
    assert "\x1b" not in text
    lines = text.splitlines()
    assert len(lines) < lines_max
    for line in lines:
        assert len(line) <= 100 or "/" in line, line  # names of folders are as long as they are
