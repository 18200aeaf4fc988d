"""How a process of the export's own ended, in words."""

from __future__ import annotations

import signal
from pathlib import Path

__all__ = ["how_it_ended", "last_words"]


def how_it_ended(code: int) -> str:
    """What follows "the process …"; `code` as `subprocess.Popen.returncode`."""
    if code >= 0:
        return f"ended with exit code {code}"
    memory = ", probably since memory ran out" if -code == signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-code).name}{memory}"


def last_words(output: Path) -> str:
    """The last line with something in it that a process wrote into the file `output`."""
    lines = output.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
