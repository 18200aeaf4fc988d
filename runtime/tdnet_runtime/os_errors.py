"""What the system refuses, told as one of this project's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tdnet_runtime.errors import TdnetError

__all__ = ["told_as"]


@contextmanager
def told_as(kind: type[TdnetError], doing: str) -> Iterator[None]:
    """An OSError of the block becomes a `kind`: what was being done, why it failed, and the path.

    For looks at what a user named: `Path.exists`, `is_dir`, `is_file` and `stat` raise where a folder may not be looked
    into, a name is too long or a mount has gone, and say False of an absent file alone (Python 3.13 and before).

    Args:
        kind: of the error.
        doing: what its message begins with, such as `opening the log`.

    Raises:
        TdnetError: `kind`.
    """
    try:
        yield
    except OSError as error:
        where = "" if error.filename is None else f": '{error.filename}'"
        raise kind(f"{doing}: {error.strerror or error}{where}") from error
