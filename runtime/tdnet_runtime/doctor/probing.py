"""What may take a process down is tried in a child: imports of native libraries, and opening a bundle.

One child tries all of it in turn. Where it dies or hangs, another one goes on, and begins with the culprit: what dies as
the first one as well is broken, and what does not bears something badly that was loaded before it.
"""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any

from tdnet_runtime.doctor.findings import State

__all__ = ["LIMIT_S", "Outcome", "Probe", "probe"]

LIMIT_S = 60.0
"""For one probe: imports take seconds on a small board with a slow card."""
_FAULTS = ("Fatal Python error:", "Timeout (")
"""How `faulthandler` begins to tell where a process was."""
_PLACE = re.compile(r'File "([^"<]+)"')
Probe = tuple[str, ...]
"""Its kind, a name of `probe_child`, and what that takes."""
_CODE = (  # the parent's own path: neither the current folder nor anything that the variables say besides
    "import sys; n = int(sys.argv[1]); sys.path[:] = sys.argv[2:2 + n]; "
    "from tdnet_runtime.doctor.probe_child import main; main(sys.argv[2 + n:])"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a probe.

    Attributes:
        state: OK, ABSENT or BROKEN.
        words: the reason, or a remark where it works.
        facts: what it tells besides.
        dead: its process was killed, or did not answer.
        alone: it works, but a process died of it that had tried these before.
    """

    state: State
    words: str
    facts: dict[str, Any] = field(default_factory=dict)
    dead: bool = False
    alone: tuple[Probe, ...] = ()


def probe(probes: Sequence[Probe], *, limit_s: float = LIMIT_S, code: str = _CODE) -> dict[Probe, Outcome]:
    """Try each of `probes`; none of them can end or hold this process.

    Args:
        probes: each once.
        limit_s: for each; one that takes longer is killed.
        code: of the child.
    """
    done: dict[Probe, Outcome] = {}
    died_after: dict[Probe, tuple[Probe, ...]] = {}
    left = list(dict.fromkeys(probes))
    while left:
        answered, culprit, why = _child(left, limit_s, code)
        for each, outcome in answered.items():
            done[each] = Outcome(
                state=outcome.state, words=outcome.words, facts=outcome.facts, alone=died_after.get(each, ())
            )
        left = [each for each in left if each not in done]
        if culprit is None and left:
            done |= {each: Outcome(state=State.BROKEN, words=why, dead=True) for each in left}
            break
        if culprit is None:
            break
        if not answered:  # it was the first
            done[culprit] = Outcome(state=State.BROKEN, words=why, dead=True)
            left.remove(culprit)
        else:
            died_after[culprit] = tuple(answered)
            left.remove(culprit)
            left.insert(0, culprit)
    return done


def _child(probes: list[Probe], limit_s: float, code: str) -> tuple[dict[Probe, Outcome], Probe | None, str]:
    """Outcomes that a child has told, the probe that it ended in, and how it ended."""
    command = [sys.executable, "-c", code, str(len(sys.path)), *sys.path, str(limit_s)]
    command += [json.dumps(each) for each in probes]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return {}, None, f"no process can be started to try it in ({error})"
    lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    said: deque[bytes] = deque(maxlen=400)
    assert process.stdout is not None
    assert process.stderr is not None
    readers = [
        threading.Thread(target=_hand_on, args=(process.stdout, lines.put, True), daemon=True),
        threading.Thread(target=_hand_on, args=(process.stderr, said.append, False), daemon=True),
    ]
    for reader in readers:
        reader.start()
    answered: dict[Probe, Outcome] = {}
    culprit: Probe | None = None
    hung = False
    try:
        while True:
            line = lines.get(timeout=limit_s)
            if line is None:
                break
            told = _told(line)
            if "begin" in told:
                culprit = probes[told["begin"]]
            elif "end" in told and culprit is not None:
                answered[culprit] = Outcome(
                    state=State(told["state"]), words=told["words"], facts=told["facts"]
                )
                culprit = None
    except queue.Empty:
        hung = True
    finally:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        ended = -signal.SIGKILL
        with suppress(subprocess.TimeoutExpired):  # what hangs in a driver cannot be killed
            ended = process.wait(5.0)
        for reader, pipe in zip(readers, (process.stdout, process.stderr), strict=True):
            reader.join(1.0)
            if (
                not reader.is_alive()
            ):  # else a grandchild holds the pipe, and closing it would wait for the reader
                pipe.close()
    return answered, culprit, _ending(ended, hung=hung, limit_s=limit_s, said=said)


def _hand_on(pipe: IO[bytes], take: Any, tell_the_end: bool) -> None:
    with suppress(OSError, ValueError):
        for line in iter(lambda: pipe.readline(1 << 16), b""):
            take(line)
    if tell_the_end:
        take(None)


def _told(line: bytes) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _ending(code: int, *, hung: bool, limit_s: float, said: deque[bytes]) -> str:
    words = [word for line in said if (word := line.decode(errors="replace").strip())]
    fault = next((number for number, word in enumerate(words) if word.startswith(_FAULTS)), len(words))
    place = next((found[1] for word in words[fault:] if (found := _PLACE.match(word))), "")
    last = (f", in {place}" if place else "") + (f"; its last words: {words[fault - 1]}" if fault else "")
    if hung:
        return f"it did not end within {limit_s:g} s{last}"
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"it kills its process ({name}){last}"
    return f"its process ended with exit code {code}{last}"
