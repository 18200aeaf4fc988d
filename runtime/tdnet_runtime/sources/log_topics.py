"""Which topic of a log is meant."""

from __future__ import annotations

from collections.abc import Sequence

from tdnet_runtime.errors import MediaError
from tdnet_runtime.extras import one_line
from tdnet_runtime.ros.decoding import decoder_for
from tdnet_runtime.sources.log_file import LogTopic

__all__ = ["choose_topic"]

_MOST_LISTED = 24
_LONGEST_NAME = 120


def choose_topic(topics: Sequence[LogTopic], asked: str | None) -> LogTopic:
    """The topic that was asked for, or the only one with pictures.

    Args:
        topics: of the log; several of one name are several parts' or publishers'.
        asked: its name, with or without its leading slash; None for the only one.

    Returns:
        The topic; `count` is that of all its entries together.

    Raises:
        MediaError: none or several fit, or the one that was asked for holds no pictures; the message lists them.
    """
    merged = _merged(topics)
    listed = _listing(merged)
    if asked is None:
        pictures = [topic for topic in merged if not _obstacle(topic) and topic.count != 0]
        if len(pictures) == 1:
            return pictures[0]
        if pictures:
            raise MediaError(
                f"{len(pictures)} topics have pictures: {_listing(pictures)}; name one: mcap:PATH?topic={pictures[0].name}"
            )
        if any(not _obstacle(topic) for topic in merged):
            raise MediaError(f"its topics of pictures hold no message; topics: {listed}")
        raise MediaError(f"no topic of it has pictures; topics: {listed or 'none'}")
    named = [topic for topic in merged if topic.name == asked]
    named = named or [topic for topic in merged if topic.name.strip("/") == asked.strip("/")]
    if not named:
        raise MediaError(f"there is no topic {asked!r} in it; topics: {listed or 'none'}")
    readable = [topic for topic in named if not _obstacle(topic)]
    if not readable:
        raise MediaError(f"topic {asked!r}: {_obstacle(named[0])}; topics: {listed}")
    if all(topic.count == 0 for topic in named):
        raise MediaError(f"topic {asked!r} holds no message; topics: {listed}")
    return readable[0]


def _obstacle(topic: LogTopic) -> str | None:
    """Why a topic's messages are no pictures that can be read."""
    try:
        decoder_for(topic.type, topic.encoding)
    except MediaError as error:
        return str(error)
    return None


def _merged(topics: Sequence[LogTopic]) -> list[LogTopic]:
    found: dict[tuple[str, str, str], int | None] = {}
    for topic in topics:
        key = topic.name, topic.type, topic.encoding
        before = found.get(key, 0)
        found[key] = None if before is None or topic.count is None else before + topic.count
    return [
        LogTopic(name=name, type=kind, encoding=encoding, count=count)
        for (name, kind, encoding), count in found.items()
    ]


def _listing(topics: Sequence[LogTopic]) -> str:
    words = []
    for topic in topics[:_MOST_LISTED]:
        kind = topic.type or "type not said"
        if topic.encoding != "cdr":
            kind += f" in {topic.encoding or 'an encoding not said'}"
        number = "" if topic.count is None else f", {topic.count} messages"
        words.append(f"{topic.name[:_LONGEST_NAME]!r} ({one_line(kind[:_LONGEST_NAME])}{number})")
    more = f", and {len(topics) - _MOST_LISTED} more" if len(topics) > _MOST_LISTED else ""
    return ", ".join(words) + more
