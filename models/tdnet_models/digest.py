"""Identity of a checkpoint file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tdnet_runtime.errors import CheckpointError

__all__ = ["checkpoint_sha256"]


def checkpoint_sha256(path: Path) -> str:
    """SHA-256 of the file, hexadecimal, lower case.

    Raises:
        CheckpointError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise CheckpointError(
            f"cannot read the checkpoint {str(path)!r}: {error.strerror or error}"
        ) from error
    return digest.hexdigest()
