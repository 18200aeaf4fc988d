"""Write what a run found to the file that an option named: whole, or not at all."""

from __future__ import annotations

from pathlib import Path

from tdnet_runtime.atomic_file import atomic_file
from tdnet_runtime.errors import OptionError

__all__ = ["write_result"]


def write_result(data: bytes, path: Path, *, what: str, option: str) -> None:
    """Write `data` to `path`; an existing file is replaced.

    Args:
        data: all of it.
        path: in a folder that exists.
        what: it is, for the message.
        option: that named the file.

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
