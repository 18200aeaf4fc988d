"""Which of a kind's layouts a data set has, with what the user says put in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tdnet_data.kinds import KindFacts, Layout
from tdnet_data.settings import DataSettings
from tdnet_runtime.errors import DataError

__all__ = ["chosen_layout"]

_SPLIT = "{split}"


def chosen_layout(settings: DataSettings, kind: KindFacts, root: Path, split: str) -> Layout:
    """The first layout whose folders are there, with the split's name in its paths; labels or masks, not both.

    Raises:
        DataError: none is, or labels and masks are.
    """
    if settings.labels is not None and settings.masks is not None:
        raise DataError(
            f"opening a data set: labels and masks are both given; leave one of them out: '{root}'"
        )
    candidates = [_stated(settings, layout, split) for layout in kind.layouts]
    with_images = [layout for layout in candidates if (root / layout.images).exists()]
    if not with_images:
        tried = " or ".join(dict.fromkeys(repr(layout.images) for layout in candidates))
        raise DataError(
            f"opening a data set: there are no images of its split {split!r}; expected a folder {tried}"
            f"{_other_splits(settings, kind, root)}: '{root}'"
        )
    for layout in with_images:
        labels, masks = (
            path if path is not None and (root / path).is_dir() else None
            for path in (layout.labels, layout.masks)
        )
        if labels is not None and masks is not None:
            raise DataError(
                f"opening a data set: there are both {labels!r} and {masks!r}; say which counts, with labels or masks: "
                f"'{root}'"
            )
        if labels is not None or masks is not None:
            return replace(layout, labels=labels, masks=masks)
    first = with_images[0]
    expected = " or ".join(repr(path) for path in (first.labels, first.masks) if path is not None)
    raise DataError(
        f"opening a data set: there are images of its split {split!r}, but no labels; expected a folder {expected}: "
        f"'{root}'"
    )


def _stated(settings: DataSettings, layout: Layout, split: str) -> Layout:
    if settings.images is not None:
        layout = replace(layout, images=settings.images, list_file=None, holds=None)
    if settings.labels is not None or settings.masks is not None:
        layout = replace(layout, labels=settings.labels, masks=settings.masks, label_suffix="")
    if settings.list_file is not None:
        layout = replace(layout, list_file=settings.list_file)
    if settings.label_suffix is not None:
        layout = replace(layout, label_suffix=settings.label_suffix)
    shared = any(
        (_SPLIT in path) != (_SPLIT in layout.images) for path in (layout.labels, layout.masks) if path
    )
    return replace(
        layout,
        images=layout.images.replace(_SPLIT, split),
        labels=layout.labels and layout.labels.replace(_SPLIT, split),
        masks=layout.masks and layout.masks.replace(_SPLIT, split),
        list_file=layout.list_file and layout.list_file.replace(_SPLIT, split),
        shares_labels=shared or layout.holds is not None or layout.list_file is not None,
    )


def _other_splits(settings: DataSettings, kind: KindFacts, root: Path) -> str:
    """Which splits there are instead, for a message."""
    found: set[str] = set()
    for layout in kind.layouts:
        before, braces, after = (settings.images or layout.images).partition(_SPLIT)
        folder = root / before
        if braces and folder.is_dir():
            found |= {path.name for path in folder.iterdir() if Path(f"{path}{after}").is_dir()}
    visible = sorted(name for name in found if not name.startswith("."))
    return f"; there are {', '.join(map(repr, visible[:8]))}" if visible else ""
