"""The members of a bundle to be, on disk: hundreds of MB that need not lie in memory while a proof runs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import ExportError

__all__ = ["MemberFolder"]


class MemberFolder(Closeable, Mapping[str, bytes]):
    """Members by name, in a temporary folder that goes when this is closed; reading one gives new bytes.

    Raises:
        ExportError: by `put`, the temporary folder is full or not writable.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tdnet-export-")
        self._files: dict[str, Path] = {}

    def put(self, name: str, data: bytes) -> None:
        """Add a member."""
        path = Path(self._folder.name) / str(len(self._files))
        try:
            path.write_bytes(data)
        except OSError as error:
            raise ExportError(
                f"the member {name!r} was not written: {error}; the temporary folder needs room for all graphs, set "
                "TMPDIR to one that has it"
            ) from error
        self._files[name] = path

    def close(self) -> None:
        """Remove the folder. Safe to call twice."""
        self._folder.cleanup()

    def __getitem__(self, name: str) -> bytes:
        return self._files[name].read_bytes()

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)
