"""A user's file of class names and colours, one class a line; the form that `tdnet-export --names` takes."""

from __future__ import annotations

import colorsys
import re
from pathlib import Path

from tdnet_runtime.errors import DataError
from tdnet_runtime.media.frames import reason

__all__ = ["NamedClass", "distinct_color", "read_names"]

NamedClass = tuple[str, tuple[int, int, int] | None]
"""A class's name, and its colour where the file says one."""

_ENTRY = re.compile(r"(?P<name>.*?[^\s,])(?:[\s,]+(?P<r>\d+)[\s,]+(?P<g>\d+)[\s,]+(?P<b>\d+))?")
_MOST_BYTES = 1 << 20
_MOST_CLASSES = 254  # train ids are 8-bit; 255 is ignored, and the reader needs one for what is no class


def read_names(path: Path) -> list[NamedClass]:
    """The classes in the order of their ids: `name` or `name R G B`; blank lines and `#` lines are passed over.

    Raises:
        DataError: unreadable, empty, too many, a name or a colour twice, or a colour outside 0..255.
    """
    entries = [_parsed(line, number, path) for number, line in _lines(path)]
    if not 1 <= len(entries) <= _MOST_CLASSES:
        raise DataError(
            f"reading the classes' names: there are {len(entries)}, expected 1 to {_MOST_CLASSES}, one a line: '{path}'"
        )
    names = [f"the name {name!r}" for name, _ in entries]
    colors = ["the colour {} {} {}".format(*color) for _, color in entries if color is not None]
    for values in (names, colors):
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise DataError(f"reading the classes' names: {twice} is there more than once: '{path}'")
    return entries


def distinct_color(index: int) -> tuple[int, int, int]:
    """For a class that has none: hues that stay apart however many there are, by steps of the golden ratio."""
    rgb = colorsys.hsv_to_rgb(index * 0.618034 % 1.0, 0.65, 0.9 if index % 2 else 0.65)
    red, green, blue = (round(255 * channel) for channel in rgb)
    return red, green, blue


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"reading the classes' names: larger than 1 MiB, so no list of names: '{path}'")
        text = path.read_text(encoding="utf-8-sig")  # Windows editors put a mark at the start
    except OSError as error:
        raise DataError(
            f"reading the classes' names: {reason(error)}; write one class a line, `name` or `name R G B`: '{path}'"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"reading the classes' names: not UTF-8 text; write one class a line: '{path}'"
        ) from error
    lines = enumerate((" ".join(line.split()) for line in text.splitlines()), start=1)
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


def _parsed(line: str, number: int, path: Path) -> NamedClass:
    match = _ENTRY.fullmatch(line)
    if match is None or not line.isprintable():
        raise DataError(
            f"reading the classes' names: line {number} is {line!r}; expected `name` or `name R G B`: '{path}'"
        )
    if match["r"] is None:
        return match["name"], None
    red, green, blue = (int(match[channel]) for channel in "rgb")
    if max(red, green, blue) > 255:
        raise DataError(
            f"reading the classes' names: line {number} ({match['name']!r}) has the colour {red} {green} {blue}; each is "
            f"0 to 255: '{path}'"
        )
    return match["name"], (red, green, blue)
