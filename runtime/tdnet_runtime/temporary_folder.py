"""A folder for the time of a block, which only the process that made it removes."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tdnet_runtime.forks import count

__all__ = ["temporary_folder"]


@contextlib.contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """A new folder below the system's temporary one; gone at the block's end with all that is in it.

    Unlike `tempfile.TemporaryDirectory` it is left alone by the end of a child that is forked meanwhile.

    Raises:
        OSError: it cannot be made, or not be removed.
    """
    forks = count()
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder
    finally:
        if count() == forks:
            shutil.rmtree(folder)
