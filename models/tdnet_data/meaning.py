"""What labels as stored mean: classes, and the tables from ids and colours to them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from tdnet_data.class_lists import KNOWN
from tdnet_data.dataset import IGNORE, Classes
from tdnet_data.kinds import KindFacts
from tdnet_data.label_reader import LabelReader
from tdnet_data.names_file import distinct_color, read_names
from tdnet_data.settings import DataSettings
from tdnet_runtime.errors import DataError

__all__ = ["classes_of", "label_reader"]

_NAMES_FILE = "names.txt"


def classes_of(settings: DataSettings, kind: KindFacts, root: Path) -> Classes:
    """The user's classes, else the kind's.

    Raises:
        DataError: their file cannot be read.
    """
    known = _known_classes(settings, kind, root)
    if known is not None:
        return known
    named = read_names(_names_file(settings, root))
    return Classes(
        names=tuple(name for name, _ in named),
        colors=tuple(color or distinct_color(index) for index, (_, color) in enumerate(named)),
    )


def _known_classes(settings: DataSettings, kind: KindFacts, root: Path) -> Classes | None:
    """Those that no file of the user's says: the kind's, or those of a name."""
    if settings.names is None:
        return kind.classes
    return None if (root / settings.names).is_file() else KNOWN.get(settings.names)


def _names_file(settings: DataSettings, root: Path) -> Path:
    return root / (settings.names or _NAMES_FILE)


def label_reader(
    settings: DataSettings, kind: KindFacts, classes: Classes, root: Path, *, masks: bool
) -> LabelReader:
    """Reads labels as the settings, else the kind, say.

    Args:
        settings: of the data set.
        kind: of the data set.
        classes: of the data set.
        root: its folder, for messages.
        masks: labels are colour masks.

    Raises:
        DataError: a table names what is no class, or a setting goes with the other form of labels.
    """
    by_id = {"map": settings.map, "first_id": settings.first_id, "ignore_ids": settings.ignore_ids}
    by_color = {"ignore_colors": settings.ignore_colors}
    stray = [name for name, value in (by_id if masks else by_color).items() if value is not None]
    if stray:
        form = "colour masks" if masks else "label images"
        raise DataError(f"opening a data set: {stray[0]} does not go with {form}, which it has: '{root}'")
    return LabelReader(
        ids={} if masks else _ids(settings, kind, classes, root),
        colors=_colors(settings, kind, classes, root) if masks else None,
        min_confidence=settings.min_confidence,
        size_hw=settings.size_hw,
    )


def _ids(settings: DataSettings, kind: KindFacts, classes: Classes, root: Path) -> dict[int, int]:
    ignored = kind.ignore_ids if settings.ignore_ids is None else settings.ignore_ids
    if settings.map is not None:
        table = {IGNORE: IGNORE} | dict(
            _entry(stored, to, classes, root) for stored, to in settings.map.items()
        )
        ignored = settings.ignore_ids or ()
    elif kind.ids is not None and settings.first_id is None:
        table = {IGNORE: IGNORE, **kind.ids}
        _check_count(kind.ids.values(), classes, root)
    else:
        first = kind.first_id if settings.first_id is None else settings.first_id
        if first + len(classes) > IGNORE:
            raise DataError(
                f"opening a data set: {len(classes)} classes from id {first} on do not fit below 255: '{root}'"
            )
        table = dict.fromkeys(range(first), IGNORE) | {IGNORE: IGNORE}
        table |= {first + index: index for index in range(len(classes))}
    return table | dict.fromkeys(ignored, IGNORE)


def _entry(stored: str, to: int | str, classes: Classes, root: Path) -> tuple[int, int]:
    if not (stored.isascii() and stored.isdigit() and len(stored) < 10 and int(stored) <= 255):
        raise DataError(
            f"opening a data set: map has the label {stored!r}; expected a number from 0 to 255: '{root}'"
        )
    if to == "ignore" or to == IGNORE:
        return int(stored), IGNORE
    if isinstance(to, str) and to in classes.names:
        return int(stored), classes.names.index(to)
    if isinstance(to, int) and 0 <= to < len(classes):
        return int(stored), to
    raise DataError(
        f"opening a data set: map sends label {stored} to {to!r}, which is no class; expected 0 to {len(classes) - 1}, "
        f"'ignore', or a name ({', '.join(classes.names[:4])}{', ...' if len(classes) > 4 else ''}): '{root}'"
    )


def _colors(
    settings: DataSettings, kind: KindFacts, classes: Classes, root: Path
) -> dict[tuple[int, int, int], int]:
    if kind.colors is not None and settings.names is None:
        table = dict(kind.colors)
    else:
        if _known_classes(settings, kind, root) is None:
            path = _names_file(settings, root)
            bare = [name for name, color in read_names(path) if color is None]
            if bare:
                raise DataError(
                    f"opening a data set: its labels are colour masks, and the class {bare[0]!r} has no colour; write "
                    f"`name R G B`: '{path}'"
                )
        table = {color: index for index, color in enumerate(classes.colors)}
    ignored = settings.ignore_colors or ()
    twice = [color for color in ignored if table.get(color, IGNORE) != IGNORE]
    if twice:
        shown = "{} {} {}".format(*twice[0])
        raise DataError(
            f"opening a data set: ignore_colors has {shown}, which is the colour of "
            f"{classes.names[table[twice[0]]]!r}: '{root}'"
        )
    return table | dict.fromkeys(ignored, IGNORE)


def _check_count(ids: Collection[int], classes: Classes, root: Path) -> None:
    most = max(train_id for train_id in ids if train_id != IGNORE)
    if most >= len(classes):
        raise DataError(
            f"opening a data set: its ids stand for {most + 1} classes, and there are {len(classes)} names; say with "
            f"map what becomes of each id: '{root}'"
        )
