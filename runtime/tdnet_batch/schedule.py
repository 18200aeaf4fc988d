"""Which job comes next, and what the answers add up to."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from tdnet_batch.inputs import BatchInput
from tdnet_batch.job import Job, JobKind, Outcome, Plan
from tdnet_batch.record import Record

__all__ = ["Schedule"]


@dataclass(slots=True)
class _Cut:
    """An input that is being done in pieces."""

    plan: Plan
    left: set[int] = field(default_factory=set)


class Schedule:
    """The jobs of a run: the longest inputs first, so that no worker begins one when the others are done.

    Args:
        inputs: all that there is to do.
        cut: long ones are cut.
        retries: after how many lost workers an input is given up.
    """

    def __init__(self, inputs: Iterable[BatchInput], *, cut: bool, retries: int) -> None:
        kind = JobKind.PLAN if cut else JobKind.WHOLE
        ordered = sorted(inputs, key=lambda each: -each.size_bytes)
        self._waiting = deque(Job(input=each, kind=kind) for each in ordered)
        self._retries = retries
        self._cuts: dict[str, _Cut] = {}
        self._failed: set[str] = set()

    @property
    def waiting(self) -> int:
        """Jobs that no worker has."""
        return len(self._waiting)

    def next(self) -> Job | None:
        """The next one to give to a worker; None where nothing waits."""
        return self._waiting.popleft() if self._waiting else None

    def finished(self, job: Job, outcome: Outcome) -> Record | None:
        """Take note of an answer; the input's record where it is finished with, done or failed."""
        output = job.input.output
        if outcome.plan is not None:
            plan = outcome.plan
            self._cuts[output] = _Cut(plan, set(range(plan.pieces)))
            pieces = (
                Job(input=job.input, kind=JobKind.PIECE, piece=number, plan=plan)
                for number in range(plan.pieces)
            )
            self._waiting.extendleft(reversed(list(pieces)))
            return None
        if outcome.piece:
            cut = self._cuts[output]
            cut.left.discard(job.piece)
            if not cut.left:
                self._waiting.appendleft(Job(input=job.input, kind=JobKind.JOIN, plan=cut.plan))
            return None
        if outcome.record is None or output in self._failed:
            return None  # another piece of it failed before
        if not outcome.record.done:
            self._give_up(output)
        return outcome.record

    def lost(self, job: Job) -> bool:
        """The job's worker is gone: it waits again, in front. False where it was lost too often: it is given up."""
        if job.input.output in self._failed:
            return True
        if job.attempt > self._retries:
            self._give_up(job.input.output)
            return False
        self._waiting.appendleft(replace(job, attempt=job.attempt + 1))
        return True

    def _give_up(self, output: str) -> None:
        self._failed.add(output)
        self._waiting = deque(job for job in self._waiting if job.input.output != output)
