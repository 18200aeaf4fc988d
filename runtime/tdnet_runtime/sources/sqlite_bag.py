"""Reading a rosbag2 file in SQLite (`.db3`), with the standard library alone."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError
from tdnet_runtime.sources.log_file import Block, DamagedLogError, LogMessage, LogTopic

__all__ = ["SqliteBag"]

_COLUMNS = "SELECT timestamp, data FROM messages WHERE topic_id = ? ORDER BY "


class SqliteBag(Closeable):
    """See `LogFile`. Nothing is written, no lock is taken.

    Args:
        path: of the file.

    Raises:
        MediaError: it cannot be read, or is no rosbag2 file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.cut: str | None = None
        self.reader = f"SQLite {sqlite3.sqlite_version}"
        # A recorder that was killed leaves a log of writes beside the file, which counts.
        beside = os.path.lexists(f"{path}-wal")  # False where that is too long a name
        address = f"{path.absolute().as_uri()}?mode=ro" + ("" if beside else "&immutable=1")
        try:
            self._file = sqlite3.connect(address, uri=True, check_same_thread=False)
        except sqlite3.Error as error:
            raise MediaError(f"opening the log: {error}: '{path}'") from error
        try:
            try:
                self._topics = self._read_topics()
            except sqlite3.DatabaseError as error:
                if "malformed" not in str(error):
                    raise
                # A file that is shorter than it says is refused as a whole unless this is on (SQLite 3.40).
                self._file.execute("PRAGMA writable_schema=ON")
                self._topics = self._read_topics()
                self._note_cut(error)
        except (sqlite3.Error, ValueError, TypeError) as error:
            self.close()
            raise DamagedLogError(
                f"opening the log: an SQLite file, but no rosbag2 that can be read ({error}): '{path}'"
            ) from error

    def _read_topics(self) -> list[tuple[int, tuple[str, str, str]]]:
        """(id, (name, type, encoding)) of each."""
        rows = self._file.execute("SELECT id, name, type, serialization_format FROM topics ORDER BY id")
        return [(int(number), (_text(name), _text(kind), _text(form))) for number, name, kind, form in rows]

    @property
    def topics(self) -> list[LogTopic]:
        """See `LogFile`."""
        counts: dict[int, int] | None = None
        try:
            counts = dict(self._file.execute("SELECT topic_id, COUNT(*) FROM messages GROUP BY topic_id"))
        except sqlite3.Error as error:
            self._note_cut(error)
        return [
            LogTopic(
                name=name,
                type=kind,
                encoding=encoding,
                count=None if counts is None else counts.get(number, 0),
            )
            for number, (name, kind, encoding) in self._topics
        ]

    def blocks(self, topic: str) -> list[Block]:
        """See `LogFile`."""
        return [
            Block(self._start_ns(number), partial(self._messages, number, *words))
            for number, words in self._topics
            if words[0] == topic
        ]

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._file.close()

    def _start_ns(self, topic: int) -> int:
        try:
            row = self._file.execute(
                "SELECT MIN(timestamp) FROM messages WHERE topic_id = ?", (topic,)
            ).fetchone()
        except sqlite3.Error:
            return 0
        return row[0] if isinstance(row[0], int) else 0

    def _messages(self, topic: int, name: str, kind: str, encoding: str) -> Iterator[LogMessage]:
        """In the order of time; where the file is damaged, in that of recording, as far as it goes."""
        given = 0
        for order in ("timestamp, id", "id"):
            try:
                for time, data in self._file.execute(_COLUMNS + order, (topic,)):
                    given += 1
                    yield LogMessage(name, kind, encoding, _number(time), 0, *_bytes(data))
            except sqlite3.Error as error:
                self._note_cut(error)
                if given:
                    return
            else:
                return

    def _note_cut(self, error: sqlite3.Error) -> None:
        self.cut = f"cut short or damaged ({error})"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} where a name was expected")
    return value


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _bytes(data: object) -> tuple[bytes | None, str]:
    """A message's bytes, and why there are none."""
    if isinstance(data, bytes):
        return data, ""
    return None, f"a message is {type(data).__name__}, not bytes"
