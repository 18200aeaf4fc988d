"""Names and colours of classes: Cityscapes' 19, CamVid's 11, two for a sigmoid head, a user's own file, or numbers."""

from __future__ import annotations

import colorsys
import re
from pathlib import Path

from tdnet_runtime.errors import CheckpointError, OptionError
from tdnet_runtime.manifest import ClassSpec

__all__ = ["class_specs"]

_CITYSCAPES = """
road 128 64 128, sidewalk 244 35 232, building 70 70 70, wall 102 102 156, fence 190 153 153, pole 153 153 153,
traffic light 250 170 30, traffic sign 220 220 0, vegetation 107 142 35, terrain 152 251 152, sky 70 130 180,
person 220 20 60, rider 255 0 0, car 0 0 142, truck 0 0 70, bus 0 60 100, train 0 80 100, motorcycle 0 0 230,
bicycle 119 11 32
"""
_CAMVID = """
sky 128 128 128, building 128 0 0, pole 192 192 128, road 128 64 128, pavement 60 40 222, tree 128 128 0,
sign 192 128 128, fence 64 64 128, car 64 0 128, pedestrian 64 64 0, bicyclist 0 128 192
"""
_BACKGROUND = "background 0 0 0"  # beside a sigmoid head's only class
_ENTRY = re.compile(r"(?P<name>.*?\S)(?:[\s,]+(?P<r>\d+)[\s,]+(?P<g>\d+)[\s,]+(?P<b>\d+))?")
_MAX_NAMES_BYTES = 1 << 20


def class_specs(count: int, names_file: Path | None) -> tuple[ClassSpec, ...]:
    """Names and colours for the labels of a network of `count` classes; for one class there are two, 0 for the rest.

    Args:
        count: K of the network.
        names_file: one class a line, `name` or `name R G B`; blank lines and lines that begin with
            `#` are passed over. For one class its name, or the background's before it. None for
            Cityscapes' (19) or CamVid's (11) names, else numbers.

    Raises:
        CheckpointError: more classes than 8-bit labels can tell apart, or none.
        OptionError: unreadable, another number of names, a name twice, or a colour outside 0..255.
    """
    if not 1 <= count <= 256:
        raise CheckpointError(
            f"the checkpoint has {count} classes; labels are 8-bit, so 1 to 256 can be exported"
        )
    if names_file is None:
        known = {19: _CITYSCAPES, 11: _CAMVID, 1: f"{_BACKGROUND}, foreground"}.get(count, "")
        entries = (
            [entry.strip() for entry in known.split(",")] if known else [f"class{i}" for i in range(count)]
        )
        return tuple(_parsed(entry, index) for index, entry in enumerate(entries))
    entries = _lines(names_file)
    if count == 1 and len(entries) == 1:
        entries = [_BACKGROUND, *entries]
    if len(entries) != max(count, 2):
        has = f"{count} classes" if count > 1 else "1 class (name it, or the background and it)"
        raise OptionError(
            f"--names has {len(entries)} names, the checkpoint has {has}; write one name a line, in the "
            f"order of the class indices: {str(names_file)!r}"
        )
    specs = tuple(_parsed(entry, index) for index, entry in enumerate(entries))
    names = [spec.name for spec in specs]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise OptionError(f"--names has {', '.join(map(repr, repeated))} more than once: {str(names_file)!r}")
    return specs


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > _MAX_NAMES_BYTES:
            raise OptionError(f"--names is larger than 1 MiB, so no list of names: {str(path)!r}")
        text = path.read_text(encoding="utf-8-sig")  # Windows editors put a mark at the start
    except OSError as error:
        raise OptionError(f"--names cannot be read ({error.strerror or error}): {str(path)!r}") from error
    except UnicodeDecodeError as error:
        raise OptionError(f"--names is not UTF-8 text; write one class name a line: {str(path)!r}") from error
    lines = [" ".join(line.split()) for line in text.splitlines()]  # tabs between columns are common
    return [line for line in lines if line and not line.startswith("#")]


def _parsed(entry: str, index: int) -> ClassSpec:
    match = _ENTRY.fullmatch(entry)
    if match is None or not entry.isprintable():
        raise OptionError(f"--names: class {index} is {entry!r}; expected `name` or `name R G B`")
    if match["r"] is None:
        return ClassSpec(name=match["name"], color=_distinct_color(index))
    red, green, blue = (int(match[channel]) for channel in "rgb")
    if max(red, green, blue) > 255:
        raise OptionError(
            f"--names: class {index} ({match['name']!r}) has the colour {red} {green} {blue}; each is 0 to 255"
        )
    return ClassSpec(name=match["name"], color=(red, green, blue))


def _distinct_color(index: int) -> tuple[int, int, int]:
    """Hues that stay apart however many there are: steps of the golden ratio."""
    rgb = colorsys.hsv_to_rgb(index * 0.618034 % 1.0, 0.65, 0.9 if index % 2 else 0.65)
    red, green, blue = (round(255 * channel) for channel in rgb)
    return red, green, blue
