"""Names and colours of classes: Cityscapes' 19, CamVid's 11, two for a sigmoid head, a user's own file, or numbers."""

from __future__ import annotations

from pathlib import Path

from tdnet_data.class_lists import CAMVID, CITYSCAPES
from tdnet_data.names_file import NamedClass, distinct_color, named_classes
from tdnet_runtime.errors import CheckpointError, OptionError
from tdnet_runtime.manifest import ClassSpec

__all__ = ["class_specs"]

_BACKGROUND: NamedClass = ("background", (0, 0, 0))  # beside a sigmoid head's only class


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
    named = _unasked(count) if names_file is None else _asked(count, names_file)
    return tuple(
        ClassSpec(name=name, color=distinct_color(index) if color is None else color)
        for index, (name, color) in enumerate(named)
    )


def _unasked(count: int) -> list[NamedClass]:
    known = {len(classes): classes for classes in (CITYSCAPES, CAMVID)}.get(count)
    if known is not None:
        return list(zip(known.names, known.colors, strict=True))
    return [_BACKGROUND, ("foreground", None)] if count == 1 else [(f"class{i}", None) for i in range(count)]


def _asked(count: int, path: Path) -> list[NamedClass]:
    named = named_classes(path, doing="--names", error=OptionError)
    if count == 1 and len(named) == 1 and named[0][0] != _BACKGROUND[0]:
        named = [_BACKGROUND, *named]
    if len(named) != max(count, 2):
        has = f"{count} classes" if count > 1 else "1 class (name it, or the background and it)"
        raise OptionError(
            f"--names has {len(named)} names, the checkpoint has {has}; write one name a line, in the "
            f"order of the class indices: {str(path)!r}"
        )
    return named
