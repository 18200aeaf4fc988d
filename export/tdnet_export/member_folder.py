"""The members of a bundle to be, on disk: hundreds of MB that need not lie in memory while a proof runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tdnet_runtime.errors import ExportError

__all__ = ["MemberFolder"]


class MemberFolder(Mapping[str, bytes]):
    """Members by name, as files in a folder that the caller removes; reading one gives new bytes.

    Args:
        folder: an empty one.

    Raises:
        ExportError: by `put`, the temporary folder is full or not writable.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, Path] = {}

    def put(self, name: str, data: bytes) -> None:
        """Add a member."""
        path = self._folder / str(len(self._files))
        try:
            path.write_bytes(data)
        except OSError as error:
            raise ExportError(
                f"the member {name!r} was not written: {error}; the temporary folder needs room for all graphs, set "
                "TMPDIR to one that has it"
            ) from error
        self._files[name] = path

    def __getitem__(self, name: str) -> bytes:
        return self._files[name].read_bytes()

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)
