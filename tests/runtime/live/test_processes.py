"""Forks, signals and the interpreter's end: each in a process of its own."""

import signal
import subprocess
import sys

import pytest

COMMON = """
import os, signal, sys, threading, time, warnings
import numpy
warnings.simplefilter("ignore", DeprecationWarning)
from tdnet_runtime import Segmenter, StreamError
from tdnet_runtime.live import LiveSegmenter
from tests.runtime.live.conftest import Script, frame, eventually

segmenter = Segmenter.open(sys.argv[1], backend="fake")
camera = Script(live=True, ends=False)
got = []
live = LiveSegmenter(segmenter, {"front": camera}, on_result=got.append)
live.start()
camera.put(frame(0))
eventually(lambda: got)
"""

FORK = """
if not (pid := os.fork()):
    for call in (live.start, live.health, live.run, live.results):
        try:
            call()
        except StreamError as error:
            assert "opened this LiveSegmenter and forked" in str(error), error
        else:
            os._exit(7)
    live.close()
    sys.exit(5)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
camera.put(frame(1))
eventually(lambda: len(got) == 2)
live.close()
segmenter.close()
print("done")
"""

NEVER_CLOSED = """
print("done")
"""

HANDLER = """
def handle(number, stack):
    live.close()

signal.signal(signal.SIGTERM, handle)
results = live.results()
print("ready", flush=True)
for result in results:
    pass
print("done")
"""


@pytest.fixture
def start(plan, child_env):
    from tests.runtime.live import conftest

    root = conftest.__file__.partition("/tests/runtime/live/")[0]

    def run(body):
        return subprocess.Popen(
            [sys.executable, "-c", COMMON + body, str(plan)],
            env=child_env | {"PYTHONPATH": f"{child_env['PYTHONPATH']}:{root}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


@pytest.mark.parametrize("body", [FORK, NEVER_CLOSED], ids=["fork", "never closed"])
def test_it_ends(start, body):
    out, err = start(body).communicate(timeout=120)
    assert (out, err) == ("done\n", "")


def test_a_signal_handler_may_close_it(start):
    process = start(HANDLER)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert (out, err, process.returncode) == ("done\n", "", 0)
