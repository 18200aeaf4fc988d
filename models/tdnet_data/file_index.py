"""Files of a folder and its sub-folders, by their names."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from tdnet_runtime.errors import DataError
from tdnet_runtime.file_names import as_utf8
from tdnet_runtime.media.frames import reason
from tdnet_runtime.media.images import natural_key

__all__ = ["files_by_name"]


def files_by_name(folder: Path, suffixes: Collection[str], *, what: str, ending: str = "") -> dict[str, Path]:
    """Files with one of `suffixes`, in natural order, by their path below `folder` without suffix and `ending`.

    Names are for people and documents: what is not UTF-8 in a path is escaped.

    Links are followed; what begins with a point is passed over, and files whose stem does not end in `ending`.

    Args:
        folder: that is looked through.
        suffixes: in lower case, such as `.png`.
        what: the files are, for messages.
        ending: that their names have and frames' names do not.

    Raises:
        DataError: the folder cannot be read, or two files would have the same name.
    """
    found: dict[str, Path] = {}
    for path in _walk(folder, what, set()):
        if path.suffix.lower() not in suffixes or not path.stem.endswith(ending):
            continue
        name = as_utf8((path.parent / path.stem).relative_to(folder).as_posix())
        name = name[: len(name) - len(ending)] if ending else name
        other = found.setdefault(name, path)
        if other is not path:
            raise DataError(
                f"looking for {what}: '{other.name}' and '{path.name}' would both be {name!r}; rename or remove one of "
                f"them: '{path.parent}'"
            )
    return {name: found[name] for name in sorted(found, key=natural_key)}


def _walk(folder: Path, what: str, seen: set[str]) -> list[Path]:
    """Files in it and below, each folder once however links lead to it; a link to nothing is a file that cannot be read."""
    real = os.path.realpath(folder)
    if real in seen:
        return []
    seen.add(real)
    try:
        with os.scandir(folder) as entries:
            visible = sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)
    except OSError as error:
        raise DataError(f"looking for {what}: {reason(error)}: '{folder}'") from error
    files: list[Path] = []
    for entry in visible:
        if entry.is_dir():
            files += _walk(Path(entry), what, seen)
        elif entry.is_file() or entry.is_symlink():
            files.append(Path(entry))
    return files
