"""What Polygraphy and the product say during a build: collected in memory, kept in a form without machine paths."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable
from pathlib import Path

__all__ = ["BuildLog"]

# Of every failing build without a GPU, and never its reason.
_NOISE = re.compile(r"cudaError 35\b")
# Polygraphy logs a Python backtrace as an error before it raises.
_BACKTRACE = re.compile(r'\s*File "')
# In all versions read, 10.3 to 11.1: "… with UINT8 zero_point … INT8 instead".
_UNSIGNED = re.compile(r"UINT8 zero.?point", re.I)
_PARSER_ERROR = re.compile(r"In node -?\d+ with name: ")


class BuildLog(logging.Handler):
    """A handler for Polygraphy's logger that keeps all messages of one build."""

    def __init__(self) -> None:
        super().__init__(level=1)
        self._messages: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        self._messages.append((record.levelno, record.getMessage()))

    def clear(self) -> None:
        """Forget all messages: another build begins."""
        self._messages.clear()

    @property
    def text(self) -> str:
        """All messages, one after the other."""
        return "\n".join(message for _, message in self._messages)

    @property
    def errors(self) -> tuple[str, ...]:
        """The reasons of a failed build: the parser's, each with its node's name, or all other errors."""
        found = dict.fromkeys(_plain(message) for level, message in self._messages if level >= logging.ERROR)
        named = [message for message in found if _PARSER_ERROR.search(message)]
        telling = named or [message for message in found if message]
        return tuple(telling)

    @property
    def unsigned_steps(self) -> str | None:
        """The parser's warning about UINT8 zero points, in one line; None where there is none."""
        found = (
            _plain(message)
            for level, message in self._messages
            if level >= logging.WARNING and _UNSIGNED.search(message)
        )
        return next(found, None)

    def kept(self, header: Iterable[str]) -> bytes:
        """The log as a bundle keeps it: `header`, warnings and errors, and the list of layers."""
        lines = [*header]
        lines += [
            f"{'error' if level >= logging.ERROR else 'warning'}: {_without_paths(_plain(message))}"
            for level, message in self._messages
            if level >= logging.WARNING and _plain(message)
        ]
        blocks = [message for _, message in self._messages if message.startswith("Layers:")]
        return ("\n".join([*lines, *blocks[-1:]]).rstrip() + "\n").encode()


def _plain(message: str) -> str:
    """The message in one line, without what says nothing; empty where nothing is left."""
    if _BACKTRACE.match(message):
        return ""
    return " ".join(line.strip() for line in message.split("\n") if not _NOISE.search(line))


def _without_paths(message: str) -> str:
    for folder in (sys.prefix, str(Path.home()), str(Path.cwd())):
        if len(folder) > 1:
            message = message.replace(f"{folder}/", "…/")
    return message
