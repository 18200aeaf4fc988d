"""Identity of a checkpoint file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tdnet_runtime.errors import CheckpointError

__all__ = ["checkpoint_sha256"]


def checkpoint_sha256(path: Path) -> str:
    """SHA-256 of the file, hexadecimal, lower case.

    Raises:
        CheckpointError: it cannot be read, or is no file of the disk.
    """
    digest = hashlib.sha256()
    try:
        if path.exists() and not path.is_file():
            raise CheckpointError(
                f"cannot read the checkpoint {str(path)!r}: it is no file of the disk; name a file"
            )
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise CheckpointError(
            f"cannot read the checkpoint {str(path)!r}: {error.strerror or error}"
        ) from error
    return digest.hexdigest()
