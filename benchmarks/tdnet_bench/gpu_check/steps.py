"""Questions that may each fail on their own, with what was logged meanwhile."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from tdnet_bench.gpu_check.records import Measurement, Step

__all__ = ["StepLog"]

_Thing = TypeVar("_Thing")

_LINES = 20
_LINE_CHARACTERS = 600
_ERROR_CHARACTERS = 6000


class StepLog:
    """Runs questions one after the other and hands on each answer at once.

    Args:
        write: keeps a step.
        clock: monotonic, in seconds.
    """

    def __init__(
        self, write: Callable[[Step], None], *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._write = write
        self._clock = clock

    def make(
        self, name: str, question: Callable[[], _Thing], *, show: Callable[[_Thing], object]
    ) -> _Thing | None:
        """As `ask`, for a thing that later questions need; `show` says what of it is the answer."""
        made: list[_Thing] = []

        def shown() -> object:
            made.append(question())
            return show(made[0])

        return made[0] if self.ask(name, shown) else None

    def ask(self, name: str, question: Callable[[], object]) -> bool:
        """Ask; True where there is an answer.

        Args:
            name: of the question.
            question: gives JSON, a Measurement, or a list of those; whatever it raises is the step's error.
        """
        started = self._clock()
        error: str | None = None
        answer: object = None
        with _collected() as log:
            try:
                answer = question()
            except Exception as failure:  # a check reports everything it meets
                error = f"{type(failure).__name__}: {failure}"[:_ERROR_CHARACTERS]
        value, measurements = _sorted(answer)
        self._write(
            Step(
                name=name,
                ok=error is None,
                seconds=round(self._clock() - started, 3),
                error=error,
                log=tuple(log[-_LINES:]),
                value=value,
                measurements=measurements,
            )
        )
        return error is None


def _sorted(answer: object) -> tuple[Any, tuple[Measurement, ...]]:
    """An answer as JSON, and its measurements."""
    if isinstance(answer, Measurement):
        return None, (answer,)
    if isinstance(answer, list) and answer and all(isinstance(item, Measurement) for item in answer):
        return None, tuple(answer)
    return msgspec.json.decode(msgspec.json.encode(answer)), ()


@contextmanager
def _collected() -> Iterator[list[str]]:
    """Warnings and errors of all loggers inside the block."""
    lines: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.name}: {record.getMessage()}"[:_LINE_CHARACTERS])

    handler = Collector(logging.WARNING)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
