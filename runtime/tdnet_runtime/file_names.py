"""Names of files: as text that any program takes, and whether two of them lead to one file."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["as_utf8", "same_file", "utf8_content"]


def as_utf8(text: str) -> str:
    """`text` with what a path's other bytes became (lone surrogates) escaped, as Python's stderr does: for logs, JSON."""
    return text.encode(errors="backslashreplace").decode()


def utf8_content(value: object) -> object:
    """What is to be written as JSON (strings, numbers, lists, and dicts of strings), each string by `as_utf8`."""
    if isinstance(value, str):
        return as_utf8(value)
    if isinstance(value, dict):
        return {as_utf8(key): utf8_content(each) for key, each in value.items()}
    return [utf8_content(each) for each in value] if isinstance(value, (list, tuple)) else value


def same_file(a: str | Path, b: str | Path) -> bool:
    """Both names lead to one file or folder, links followed, whether it exists yet or not."""
    try:
        return os.path.realpath(a) == os.path.realpath(b) or Path(a).samefile(b)
    except (OSError, ValueError):
        return False
