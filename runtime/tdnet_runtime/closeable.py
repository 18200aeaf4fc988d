"""What is used in a `with` block and closed at its end."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING

from tdnet_runtime.errors import MediaError, StreamError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Closeable", "Output", "close_all"]


class Closeable(ABC):
    """A context manager that gives itself, and calls `close` whatever ends the block.

    Where `close` raises, its exception takes the place of the block's own, which stays as its context.
    """

    @abstractmethod
    def close(self) -> None:
        """Release what is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Output(Closeable):
    """What is finished by closing it: where the block failed, a MediaError of finishing it does not hide why."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            with contextlib.suppress(MediaError):
                self.close()


def close_all(streams: Iterable[Closeable]) -> None:
    """Close them all, also behind one that is at work.

    Raises:
        StreamError: of the first that refused, when the others are closed.
    """
    refused: StreamError | None = None
    for stream in list(streams):
        try:
            stream.close()
        except StreamError as error:
            refused = refused or error
    if refused is not None:
        raise refused
