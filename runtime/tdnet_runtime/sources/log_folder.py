"""A robot's log on disk: one file, or a folder of rosbag2 with its parts."""

from __future__ import annotations

import mimetypes
import os
import re
from collections.abc import Iterable
from pathlib import Path

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.frames import reason
from tdnet_runtime.os_errors import told_as
from tdnet_runtime.sources.log_file import DamagedLogError, LogFile

__all__ = ["METADATA", "describes_log", "has_images", "is_described", "is_log", "open_log"]

METADATA = "metadata.yaml"
"""Of rosbag2: it lists the parts of one recording."""

_METADATA_KEY = "rosbag2_bagfile_information"
_SUFFIXES = (".mcap", ".db3", ".bag")
_PACKED = {".zstd": "zstd -d", ".zst": "zstd -d", ".lz4": "lz4 -d"}
_MAGICS = {
    b"\x89MCAP0\r\n": ".mcap",
    b"SQLite format 3\0": ".db3",
    b"#ROSBAG V": ".bag",
    b"\x28\xb5\x2f\xfd": ".zstd",
    b"\x04\x22\x4d\x18": ".lz4",
}
_PATHS = re.compile(r"^(\s*)relative_file_paths:\s*$(?P<items>(?:\n\1\s*-\s.*$)*)", re.MULTILINE)
_ITEM = re.compile(r"-\s+(?:!!str\s+)?(['\"]?)(.+?)\1\s*$", re.MULTILINE)


def is_log(path: Path) -> bool:
    """A file or folder that `open_log` is meant for, by its name or by what it begins with."""
    try:
        if path.is_dir():
            return is_described(path) or (
                bool(_parts_in(path)) and not has_images(each.name for each in path.iterdir())
            )
        return _is_named(path.name) or (path.is_file() and _kind(path) is not None)
    except (OSError, ValueError, MediaError):  # ValueError: a null character in the name
        return False


def open_log(path: Path) -> tuple[list[LogFile], list[str]]:
    """The files of a log in the order of recording, and what is to be warned of.

    A rosbag2 folder's own list decides on the order where there is one; files that it does not list, as after a
    power cut, come behind. Without a list the order is that of the names' numbers. Parts of which nothing can be read
    are left out as long as another can.

    Raises:
        MediaError: there is nothing, or nothing that is read here.
    """
    with told_as(MediaError, "opening the log"):
        if not path.is_dir():
            return [_open_file(path)], []
        listed = _listed(path)
        parts = _parts_in(path)
    warnings = []
    present = {part.name: part for part in parts}
    order = [present.pop(name) for name in listed if name in present]
    missing = [name for name in listed if name not in {part.name for part in order}]
    if missing:
        warnings.append(f"{len(missing)} of {len(listed)} parts are missing, '{missing[0]}' for one")
    order += sorted(present.values(), key=lambda part: _natural(part.name))
    if not order:
        raise MediaError(f"opening the log: no part of it (.mcap, .db3) is there: '{path}'")
    files: list[LogFile] = []
    error: MediaError | None = None
    try:
        for part in order:
            try:
                with told_as(MediaError, "opening the log"):
                    is_empty = not part.stat().st_size
                if is_empty and len(order) > 1:
                    warnings.append(f"'{part.name}' is empty")
                    continue
                files.append(_open_file(part))
            except DamagedLogError as damage:
                error = error or damage
                warnings.append(f"'{part.name}' is damaged and left out")
            except MediaError as gone:
                if os.path.lexists(part):
                    raise
                error = error or gone
                warnings.append(f"'{part.name}' was removed meanwhile")  # by a recorder that keeps so many
        if error is not None and not files:
            raise error
    except BaseException:
        for file in files:
            file.close()
        raise
    return files, warnings


def _open_file(path: Path) -> LogFile:
    kind = _kind(path)
    if kind == ".mcap":
        from tdnet_runtime.sources.mcap_file import McapFile

        return McapFile(path)
    if kind == ".db3":
        from tdnet_runtime.sources.sqlite_bag import SqliteBag

        return SqliteBag(path)
    if kind == ".bag":
        raise MediaError(
            "opening the log: this is a bag of ROS 1, which is not read; convert it: pip install rosbags, then "
            f"rosbags-convert --src '{path}' --dst '{path.with_suffix('')}': '{path}'"
        )
    if kind in _PACKED:
        raise MediaError(
            f"opening the log: the file is compressed as a whole; unpack it first: {_PACKED[kind]} '{path}'"
        )
    raise DamagedLogError(
        f"opening the log: neither MCAP nor a rosbag2 file, by what it begins with: '{path}'"
    )


def _kind(path: Path) -> str | None:
    """By what the file begins with.

    Raises:
        MediaError: there is no such file, it is empty, or it cannot be read.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would have us wait
            raise MediaError(f"opening the log: neither a file nor a folder: '{path}'")
        with path.open("rb") as file:
            begin = file.read(16)
    except FileNotFoundError:
        raise MediaError(f"opening the log: there is no such file or folder: '{path}'") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise MediaError(f"opening the log: {reason(error)}: '{path}'") from error
    if not begin:
        raise MediaError(f"opening the log: the file is empty (0 bytes): '{path}'")
    return next((kind for magic, kind in _MAGICS.items() if begin.startswith(magic)), None)


def _is_named(name: str) -> bool:
    """`x.mcap`, or compressed as a whole `x.mcap.zstd`."""
    path = Path(name.lower())
    return path.suffix in _SUFFIXES or (path.suffix in _PACKED and Path(path.stem).suffix in _SUFFIXES)


def _parts_in(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if _is_named(path.name) and path.is_file()]


def is_described(folder: Path) -> bool:
    """It holds rosbag2's own `metadata.yaml`; data sets of images have files of that name, too.

    Raises:
        OSError: the file may not be read.
    """
    path = folder / METADATA
    return path.is_file() and describes_log(path.read_text(encoding="utf-8", errors="replace"))


def describes_log(text: str) -> bool:
    """So `metadata.yaml` reads where it is rosbag2's."""
    return _METADATA_KEY in text


def has_images(names: Iterable[str]) -> bool:
    """One of the files is an image, by its name."""
    return any((mimetypes.guess_type(name)[0] or "").startswith("image/") for name in names)


def _listed(folder: Path) -> list[str]:
    """Names of the parts by `metadata.yaml`, in order; none without one."""
    try:
        text = (folder / METADATA).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    match = _PATHS.search(text)
    return [Path(item[1]).name for item in _ITEM.findall(match["items"])] if match else []


def _natural(name: str) -> list[str | int]:
    parts = re.split(r"([0-9]+)", name)  # every second one is a number
    return [int(part) if index % 2 else part for index, part in enumerate(parts)]
