"""What runs jobs, as a run sees it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from tdnet_batch.job import Job, Outcome

__all__ = ["Answer", "Pool", "Reply", "Task"]

Task = TypeVar("Task")
Reply = TypeVar("Reply")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[Task, Reply]):
    """Of a worker: `outcome` of `job`; None where the worker is gone, and `lost` says why."""

    job: Task
    outcome: Reply | None = None
    lost: str = ""


class Pool(AbstractContextManager["Pool"], Protocol):
    """Workers that do one job each at a time; a context manager, whose end stops them wherever they are."""

    @property
    def free(self) -> int:
        """Workers that wait for a job."""

    @property
    def workers(self) -> int:
        """Workers that are there, at work or not."""

    def submit(self, job: Job) -> None:
        """Give a job to a free worker."""

    def wait(self, timeout_s: float) -> list[Answer[Job, Outcome]]:
        """What was answered, at least one where something comes in time; workers that are gone were replaced.

        Raises:
            BackendError: there are no workers, and none can be had.
        """

    def frames(self) -> int:
        """Frames that the workers have segmented in the jobs at hand, as far as is known."""
