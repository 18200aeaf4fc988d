"""Zenoh's errors as ours."""

from __future__ import annotations

import contextlib
import re

import zenoh

from tdnet_runtime.errors import MediaError

__all__ = ["failing", "words"]

_WHERE = re.compile(r"\.? at /\S+$")  # in its source


class failing(contextlib.AbstractContextManager[None]):  # noqa: N801 - reads as a statement
    """Within it, what Zenoh refuses is a MediaError that says what was being done."""

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, zenoh.ZError):
            raise MediaError(f"{self._doing}: {words(error)}") from error


def words(error: Exception) -> str:
    """What an error says, without the place in Zenoh's source."""
    return _WHERE.sub("", str(error).partition("\n")[0])[:200]
