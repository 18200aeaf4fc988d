"""Files that options name: looked at before anything slow happens; results are written whole, and read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tdnet_runtime.atomic_file import atomic_file
from tdnet_runtime.errors import OptionError
from tdnet_runtime.file_names import same_file, utf8_content
from tdnet_runtime.os_errors import told_as

__all__ = [
    "check_result_path",
    "read_result",
    "records_as_json",
    "require_file",
    "write_document",
    "write_result",
]

_T = TypeVar("_T")


def check_result_path(path: Path, *, option: str, others: Iterable[tuple[str, Path | None]]) -> None:
    """Make sure, before anything slow, that a file could be written to `path`, which `option` named.

    Args:
        path: of the file; replaced if it exists.
        option: for messages.
        others: options with files that are read, or written as well; None is none.

    Raises:
        OptionError: it is a folder, lies in none that can be written to, or is one of the others, links followed.
    """
    for other, taken in others:
        if taken is not None and same_file(path, taken):
            raise OptionError(f"{option} and {other} are the same file; name two: {str(path)!r}")
    folder = path.parent
    with told_as(OptionError, f"{option} cannot write there"):
        if path.is_dir():
            raise OptionError(f"{option} needs a file name, but {str(path)!r} is a folder")
        if not folder.is_dir():
            raise OptionError(f"{option} cannot write there: no folder {str(folder)!r}; make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OptionError(f"{option} cannot write there: the folder is not writable: {str(folder)!r}")


def require_file(path: Path | None, *, option: str) -> None:
    """Raise OptionError where no file is at `path`, which `option` named; None is none."""
    with told_as(OptionError, f"{option} needs a file"):
        if path is not None and not path.is_file():
            found = "a folder" if path.is_dir() else "nothing"
            raise OptionError(f"{option} needs a file, but there is {found} at {str(path)!r}")


def records_as_json(document: msgspec.Struct) -> bytes:
    """A document that has `records` as JSON: indented, but each record on one line."""
    content: Any = utf8_content(msgspec.to_builtins(document, str_keys=True))
    records = ",\n  ".join(json.dumps(record) for record in content.pop("records"))
    head = json.dumps(content, indent=1).removesuffix("\n}")
    return f'{head},\n "records": [\n  {records}\n ]\n}}\n'.encode()


def read_result(path: Path, decode: Callable[[bytes], _T], *, what: str) -> _T:
    """Read what `decode` makes of a file's bytes, which should be a document of `what`.

    Raises:
        OptionError: it cannot be read, or `decode` finds something else in it, whatever it raises then.
    """
    try:
        return decode(path.read_bytes())
    except OSError as error:
        raise OptionError(f"the document cannot be read: {error.strerror or error}: {str(path)!r}") from error
    except (msgspec.MsgspecError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise OptionError(f"this is no document of {what} ({error}): {str(path)!r}") from error


def write_document(document: msgspec.Struct, path: Path) -> None:
    """Write a document that has `records` to `path`, whole or not at all; an existing file is replaced.

    Raises:
        OptionError: the file could not be written.
    """
    write_result(records_as_json(document), path, what="the document", option="--json")


def write_result(data: bytes, path: Path, *, what: str, option: str) -> None:
    """Write `data`, which is `what`, to `path`, which `option` named; an existing file is replaced.

    Raises:
        OptionError: the file could not be written.
    """
    try:
        with atomic_file(path) as file:
            file.write(data)
    except OSError as error:
        raise OptionError(
            f"{what} was not written: {error.strerror or error}; choose another {option}: {str(path)!r}"
        ) from error
