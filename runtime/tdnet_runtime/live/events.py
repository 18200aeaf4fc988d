"""What happened that somebody should know of: kept, logged without flooding the log, handed to the application."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tdnet_runtime.file_names import as_utf8

__all__ = ["Event", "EventLog", "log_defect", "log_safely"]

logger = logging.getLogger(__name__)

_KEPT = 100
_QUIET_NS = 10_000_000_000  # for which the same kind of the same place is not logged again


def log_safely(
    log: logging.Logger, level: int, message: str, *values: object, stacklevel: int = 2, **options: Any
) -> None:
    """`log.log`, where no handler of the application's may end the thread that has something to tell."""
    with contextlib.suppress(Exception, SystemExit):
        log.log(level, message, *values, stacklevel=stacklevel, **options)


def log_defect(log: logging.Logger, place: str, error: BaseException) -> None:
    """An exception that is none of the `TdnetError` tree, with its traceback; see `log_safely`."""
    words = "%s: this is no error that is raised on purpose"
    log_safely(log, logging.ERROR, words, place, stacklevel=3, exc_info=error)


@dataclass(frozen=True, slots=True)
class Event:
    """One of them.

    Attributes:
        kind: such as `source_died`; docs/reliability.md lists them.
        place: name of the source, device or sink.
        message: in words.
        at_ns: `time.monotonic_ns()`.
    """

    kind: str
    place: str
    message: str
    at_ns: int


class EventLog:
    """Thread-safe.

    Args:
        on_event: called with each, in the thread in which it happened: to be quick. What it raises is logged.
        clock: monotonic, ns.
    """

    def __init__(
        self, on_event: Callable[[Event], None] | None = None, *, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._on_event = on_event
        self._clock = clock
        self._lock = threading.RLock()
        self._events: deque[Event] = deque(maxlen=_KEPT)
        self._counts: Counter[str] = Counter()
        self._logged: dict[tuple[str, str], tuple[int, int]] = {}

    def tell(self, kind: str, place: str, message: str, *, level: int = logging.WARNING) -> None:
        """It has happened."""
        event = Event(kind, place, message, self._clock())
        with self._lock:
            self._events.append(event)
            self._counts[kind] += 1
            since_ns, unsaid = self._logged.get((kind, place), (None, 0))
            quiet = since_ns is not None and event.at_ns - since_ns < _QUIET_NS
            self._logged[kind, place] = (since_ns, unsaid + 1) if quiet else (event.at_ns, 0)  # type: ignore[assignment]
        if not quiet:
            again = f" (and {unsaid} times before)" if unsaid else ""
            log_safely(logger, level, "%s", as_utf8(f"{place}: {message}{again}"))
        if self._on_event is not None:
            try:
                self._on_event(event)
            except BaseException:
                log_safely(logger, logging.ERROR, "on_event raised, called with: %s", event, exc_info=True)

    def recent(self) -> list[Event]:
        """The last hundred, oldest first."""
        with self._lock:
            return list(self._events)

    def counts(self) -> dict[str, int]:
        """How often each kind happened."""
        with self._lock:
            return dict(self._counts)
