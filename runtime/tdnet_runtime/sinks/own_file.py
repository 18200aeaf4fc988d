"""Files that a sink may replace: those that one of its kind wrote."""

from __future__ import annotations

from pathlib import Path

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.output_folder import check_folder
from tdnet_runtime.os_errors import told_as

__all__ = ["check_own"]

_BEGIN_BYTES = 512


def check_own(path: Path, name: str, *, marks: tuple[bytes, bytes]) -> None:
    """Check, as far as can be known beforehand, that a file can be written, and that nothing of others is lost by it.

    Args:
        path: of the file, which may exist.
        name: of the sink, for messages.
        marks: what an own file begins with, and what stands in its first 512 bytes.

    Raises:
        MediaError: there is no such folder, no right to write there, or another program's file.
    """
    begin = b""
    with told_as(MediaError, f"writing the {name}"):
        if not path.parent.exists():
            raise MediaError(f"writing the {name}: there is no folder '{path.parent}'; make it first")
        check_folder(path.parent, purpose=f"the {name}")
        if path.is_dir():
            raise MediaError(f"writing the {name}: a folder has that name")
        if path.is_file():
            with path.open("rb") as file:
                begin = file.read(_BEGIN_BYTES)
    if begin and not (begin.startswith(marks[0]) and marks[1] in begin):
        raise MediaError(f"writing the {name}: the file exists and was not written by tdnet; name another")
