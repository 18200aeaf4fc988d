"""The console for what is told on the way: stderr, on which no run depends."""

from __future__ import annotations

import contextlib
import sys
from typing import IO, Any, cast

from rich.console import Console

__all__ = ["notice_console"]


def notice_console(*, width: int | None = None) -> Console:
    """A console on stderr; what cannot be written there (its disk is full, its reader has gone) is lost, and no more."""
    stderr = getattr(sys.stderr, "rich_proxied_file", sys.stderr)  # behind a bar that is shown
    file = None if stderr is None else cast("IO[str]", _Forgiving(stderr))
    return Console(file=file, stderr=True, width=width)


class _Forgiving:
    """A file whose writing never fails."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):  # ValueError: it is closed
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._file.flush()
