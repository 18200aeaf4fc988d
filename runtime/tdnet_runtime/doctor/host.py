"""The machine as the checks see it: files, environment and other programs' answers. Tests put another one in its place."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Answer", "Host"]

_LIMIT_S, _ENDLESS_S = 10.0, 2.0
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a program said.

    Attributes:
        code: its exit code, below 0 where a signal ended it; None where it took too long, or goes on for ever.
        words: on stdout.
        complaint: the last line on stderr, or on stdout where there is none.
    """

    code: int | None
    words: str
    complaint: str = ""


def _asked(command: Sequence[str], *, endless: bool = False) -> Answer | None:
    """Run a program; None where it is not there. `endless`: it is ended after a while, and that is no fault of it.

    One that hangs in the driver cannot be killed, and is not waited for.
    """
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except OSError:
        return None
    code: int | None
    try:
        out, error = process.communicate(timeout=_ENDLESS_S if endless else _LIMIT_S)
        code = process.returncode
    except subprocess.TimeoutExpired as late:
        out, error, code = late.output or b"", late.stderr or b"", None
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(1.0)
    finally:
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    words = out[:_MOST_BYTES].decode(errors="replace")
    lines = [
        line.strip() for line in f"{words}\n{error.decode(errors='replace')}".splitlines() if line.strip()
    ]
    return Answer(code=code, words=words, complaint=lines[-1] if lines else "it said nothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """This machine, unless told otherwise.

    Attributes:
        root: of the file system.
        environ: the process's variables.
        ask: runs a command, as `_asked`.
    """

    root: Path = Path("/")
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    ask: Callable[..., Answer | None] = _asked

    def path(self, name: str) -> Path:
        """Where the absolute path `name` is."""
        return self.root / name.lstrip("/")

    def text(self, name: str) -> str:
        """What is in a file of the kernel's, stripped; empty where it cannot be read."""
        try:
            with self.path(name).open("rb") as file:
                return file.read(_MOST_BYTES).decode(errors="replace").strip("\0\n ")
        except (OSError, ValueError):
            return ""

    def number(self, name: str) -> int | None:
        """What is in a file that holds one number; None where it does not."""
        text = self.text(name)
        return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
