"""The temporary folder that an export works in, and what the system refuses there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tdnet_runtime.errors import ExportError
from tdnet_runtime.temporary_folder import temporary_folder

__all__ = ["temporary_space", "work_folder"]


@contextmanager
def work_folder(prefix: str, doing: str) -> Iterator[Path]:
    """A `temporary_folder`.

    Args:
        prefix: of its name.
        doing: what an error's message begins with.

    Raises:
        ExportError: it cannot be made.
    """
    with ExitStack() as stack:
        with temporary_space(doing):
            folder = stack.enter_context(temporary_folder(prefix))
        yield folder


@contextmanager
def temporary_space(doing: str) -> Iterator[None]:
    """An OSError of the block, which writes into such a folder and does nothing else, is told as a lack of room.

    Raises:
        ExportError: the message begins with `doing`.
    """
    try:
        yield
    except OSError as error:
        raise ExportError(
            f"{doing} failed: {error.strerror or error}; the temporary folder needs room for graphs and their values, set "
            "TMPDIR to one that has it"
        ) from error
