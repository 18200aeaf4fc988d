"""A text file that names the frames of a split."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from tdnet_runtime.errors import DataError
from tdnet_runtime.media.frames import reason
from tdnet_runtime.media.images import IMAGE_SUFFIXES

__all__ = ["only_listed"]


def only_listed(files: dict[str, Path], list_file: Path) -> dict[str, Path]:
    """Those of `files` that the list has, one a line; further columns, folders before the name and suffixes may stand.

    Raises:
        DataError: the list cannot be read, is empty, names a frame that is not there, or one twice.
    """
    try:
        text = list_file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"reading a list of frames: {reason(error)}: '{list_file}'") from error
    listed: dict[str, Path] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        name = _found(entry, files) or _found(entry.split()[0], files)
        if name is None:
            raise DataError(
                f"reading a list of frames: line {number} names {entry.split()[0]!r}, of which there is no image: "
                f"'{list_file}'"
            )
        if name in listed:
            raise DataError(f"reading a list of frames: line {number} names {name!r} again: '{list_file}'")
        listed[name] = files[name]
    if not listed:
        raise DataError(f"reading a list of frames: it names none: '{list_file}'")
    return {name: path for name, path in files.items() if name in listed}


def _found(entry: str, files: dict[str, Path]) -> str | None:
    """The name that is the entry's end."""
    path = PurePosixPath(entry.strip("/"))
    if path.suffix.lower() in IMAGE_SUFFIXES:
        path = path.parent / path.stem
    ends = ("/".join(path.parts[start:]) for start in range(len(path.parts)))
    return next((end for end in ends if end in files), None)
