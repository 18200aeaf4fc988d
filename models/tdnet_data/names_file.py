"""A user's file of class names and colours, one class a line, as data sets and `tdnet-export --names` take it."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Sequence
from pathlib import Path

from tdnet_runtime.errors import DataError, TdnetError
from tdnet_runtime.media.frames import reason

__all__ = ["NamedClass", "distinct_color", "named_classes", "read_names"]

NamedClass = tuple[str, tuple[int, int, int] | None]
"""A class's name, and its colour where the file says one."""

_ENTRY = re.compile(r"(?P<name>.*?[^\s,])(?:[\s,]+(?P<r>\d+)[\s,]+(?P<g>\d+)[\s,]+(?P<b>\d+))?")
_MOST_BYTES = 1 << 20
_MOST_CLASSES = 254  # train ids are 8-bit; 255 is ignored, and the reader needs one for what is no class
_DOING = "reading the classes' names"


def read_names(path: Path) -> list[NamedClass]:
    """A data set's classes in the order of their ids; see `named_classes`.

    Raises:
        DataError: unreadable, empty, too many, a name or a colour twice, or a colour outside 0..255.
    """
    entries = named_classes(path, doing=_DOING, error=DataError)
    if not 1 <= len(entries) <= _MOST_CLASSES:
        raise DataError(
            f"{_DOING}: there are {len(entries)}, expected 1 to {_MOST_CLASSES}, one a line: '{path}'"
        )
    twice = _twice(["the colour {} {} {}".format(*color) for _, color in entries if color is not None])
    if twice is not None:
        raise DataError(f"{_DOING}: {twice} is there more than once: '{path}'")
    return entries


def named_classes(path: Path, *, doing: str, error: type[TdnetError]) -> list[NamedClass]:
    """Each line's class, `name` or `name R G B`; blank lines and `#` lines are passed over.

    Args:
        path: of the file.
        doing: what messages begin with.
        error: what is raised.

    Raises:
        TdnetError: `error`: unreadable, a name twice, or a colour outside 0..255.
    """
    try:
        entries = [_parsed(line, number) for number, line in _lines(path)]
    except OSError as caught:
        why = f"{reason(caught)}; write one class a line, `name` or `name R G B`"
        raise error(f"{doing}: {why}: '{path}'") from caught
    except UnicodeDecodeError as caught:
        raise error(f"{doing}: not UTF-8 text; write one class a line: '{path}'") from caught
    except ValueError as caught:
        raise error(f"{doing}: {caught}: '{path}'") from None
    twice = _twice([f"the name {name!r}" for name, _ in entries])
    if twice is not None:
        raise error(f"{doing}: {twice} is there more than once: '{path}'")
    return entries


def distinct_color(index: int) -> tuple[int, int, int]:
    """For a class that has none: hues that stay apart however many there are, by steps of the golden ratio."""
    rgb = colorsys.hsv_to_rgb(index * 0.618034 % 1.0, 0.65, 0.9 if index % 2 else 0.65)
    red, green, blue = (round(255 * channel) for channel in rgb)
    return red, green, blue


def _twice(values: Sequence[str]) -> str | None:
    return next((value for value in values if values.count(value) > 1), None)


def _lines(path: Path) -> list[tuple[int, str]]:
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError("larger than 1 MiB, so no list of names")
    text = path.read_text(encoding="utf-8-sig")  # Windows editors put a mark at the start
    lines = enumerate((" ".join(line.split()) for line in text.splitlines()), start=1)
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


def _parsed(line: str, number: int) -> NamedClass:
    match = _ENTRY.fullmatch(line)
    if match is None or not line.isprintable():
        raise ValueError(f"line {number} is {line!r}; expected `name` or `name R G B`")
    if match["r"] is None:
        return match["name"], None
    red, green, blue = (int(match[channel]) for channel in "rgb")
    if max(red, green, blue) > 255:
        raise ValueError(
            f"line {number} ({match['name']!r}) has the colour {red} {green} {blue}; each is 0 to 255"
        )
    return match["name"], (red, green, blue)
