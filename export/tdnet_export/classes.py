"""Names and colours of classes: Cityscapes' 19, CamVid's 11, two for a sigmoid head, a user's own file, or numbers."""

from __future__ import annotations

import re
from pathlib import Path

from tdnet_data.class_lists import CAMVID, CITYSCAPES
from tdnet_data.names_file import distinct_color
from tdnet_runtime.errors import CheckpointError, OptionError
from tdnet_runtime.manifest import ClassSpec

__all__ = ["class_specs"]

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
        known = {len(classes): classes for classes in (CITYSCAPES, CAMVID)}.get(count)
        if known is not None:
            named = zip(known.names, known.colors, strict=True)
            return tuple(ClassSpec(name=name, color=color) for name, color in named)
        entries = [_BACKGROUND, "foreground"] if count == 1 else [f"class{i}" for i in range(count)]
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
        return ClassSpec(name=match["name"], color=distinct_color(index))
    red, green, blue = (int(match[channel]) for channel in "rgb")
    if max(red, green, blue) > 255:
        raise OptionError(
            f"--names: class {index} ({match['name']!r}) has the colour {red} {green} {blue}; each is 0 to 255"
        )
    return ClassSpec(name=match["name"], color=(red, green, blue))
