"""What a sink calls its sources: no two alike, or their results would be mixed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from tdnet_runtime.errors import MediaError, OptionError, TdnetError

__all__ = ["SourceNames", "file_part", "topic_part"]

_NO_TOPIC = re.compile(r"[^A-Za-z0-9_]+")
_NO_FILE = re.compile(r"[/\0]|^\.{1,2}$")


def topic_part(source: str) -> str:
    """A source's name as a part of a topic's: whatever stands between ASCII letters, digits and underscores becomes one."""
    return _NO_TOPIC.sub("_", source)


def file_part(source: str) -> str:
    """A source's name as a part of a file's: each slash becomes an underscore; `.` and `..` are no names."""
    return _NO_FILE.sub("_", source)


class SourceNames:
    """The sources of one sink, each under a name of its own.

    Args:
        doing: what messages begin with, such as `writing the log 'a.mcap'`.
        part: what a source is called there, by its name.
    """

    def __init__(self, doing: str, part: Callable[[str], str] = topic_part) -> None:
        self._doing = doing
        self._part = part
        self._sources: dict[str, str] = {}  # by what they are called

    def check(self, sources: Iterable[str]) -> None:
        """Raise OptionError where two sources would be called the same."""
        called: dict[str, str] = {}
        for source in sources:
            self._require_own(called, source, OptionError)

    def of(self, source: str) -> str:
        """What it is called.

        Raises:
            MediaError: another source has that name already.
        """
        return self._require_own(self._sources, source, MediaError)

    def _require_own(self, called: dict[str, str], source: str, error: type[TdnetError]) -> str:
        part = self._part(source)
        other = called.setdefault(part, source)
        if other != source:
            raise error(
                f"{self._doing}: the sources {other!r} and {source!r} would both be called {part!r} there, and their "
                "results mixed; rename one of them"
            )
        return part
