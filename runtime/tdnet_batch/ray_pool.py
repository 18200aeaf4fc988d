"""Workers that are actors of Ray."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol

import cv2

from tdnet_batch.placement import Placement
from tdnet_batch.pool import Answer, Reply, Task
from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import BackendError
from tdnet_runtime.extras import one_line

__all__ = ["Doing", "RayPool"]

_START_LIMIT_S = 600.0
_COLOR = re.compile("\x1b\\[[0-9;]*m")
_TELLING = re.compile(r"(The actor is dead|The worker|Worker|[A-Za-z_.]*(Error|Exception): )")
_FAILED_STARTS = 3  # one after the other, before any worker did anything


@dataclass(slots=True, eq=False)
class _Worker:
    actor: Any
    frames: int = 0
    asked: Any = None  # the answer to come about its progress


class Doing(Protocol):
    """What an actor holds."""

    def do(self, task: Any, /) -> Any:
        """Do one task."""

    def progress(self) -> int:
        """Frames done so far in the task at hand; from any thread."""


class _Actor:
    """In a process of its own, which keeps to its share of the cores."""

    def __init__(self, make: Callable[[], Doing], threads: int) -> None:
        cv2.setNumThreads(threads)
        self._doing = make()

    def do(self, task: object) -> object:
        return self._doing.do(task)

    def progress(self) -> int:
        return self._doing.progress()


class RayPool(Closeable, Generic[Task, Reply]):
    """See `Pool`. Actors are made anew where one is lost, on whatever node has room for it.

    Each has one job at a time and the driver holds no frames, so nothing piles up. A job goes to an actor that is there:
    where nodes leave, those that stay do the rest.

    Args:
        ray: the module, connected.
        make: what each actor holds; called in its process.
        placement: what each worker is given.
    """

    def __init__(self, ray: Any, make: Callable[[], Doing], placement: Placement) -> None:
        self._ray, self._make, self._placement = ray, make, placement
        self._starting: dict[Any, _Worker] = {}
        self._idle: list[_Worker] = []
        self._busy: dict[Any, tuple[_Worker, Task]] = {}
        self._failed_starts = 0
        self._alone_since_s = time.monotonic()
        self._class = ray.remote(_Actor)
        for _ in range(placement.workers):
            self._start()

    @property
    def free(self) -> int:
        """See `Pool`."""
        return len(self._idle)

    @property
    def workers(self) -> int:
        """See `Pool`."""
        return len(self._idle) + len(self._busy)

    def submit(self, job: Task) -> None:
        """See `Pool`."""
        worker = self._idle.pop()
        worker.frames, worker.asked = 0, None
        self._busy[worker.actor.do.remote(job)] = worker, job

    def wait(self, timeout_s: float) -> list[Answer[Task, Reply]]:
        """See `Pool`."""
        waited_for = [*self._starting, *self._busy]
        ready, _ = self._ray.wait(waited_for, num_returns=1, timeout=timeout_s)
        if ready:
            ready, _ = self._ray.wait(waited_for, num_returns=len(waited_for), timeout=0)
        answers = []
        for reference in ready:
            if reference in self._starting:
                self._note_start(reference, self._starting.pop(reference))
            else:
                answers.append(self._answer(reference, *self._busy.pop(reference)))
        self._require_workers()
        return answers

    def frames(self) -> int:
        """See `Pool`."""
        for worker, _ in self._busy.values():
            if worker.asked is None:
                worker.asked = worker.actor.progress.remote()
                continue
            if self._ray.wait([worker.asked], timeout=0)[0]:
                with contextlib.suppress(self._ray.exceptions.RayError):
                    worker.frames = self._ray.get(worker.asked)
                worker.asked = None
        return sum(worker.frames for worker, _ in self._busy.values())

    def close(self) -> None:
        """Stop the workers, at work or not. Safe to call twice."""
        for worker in (*self._starting.values(), *self._idle, *(worker for worker, _ in self._busy.values())):
            self._kill(worker)
        self._starting.clear()
        self._idle.clear()
        self._busy.clear()

    def _start(self) -> None:
        actor = self._class.options(
            num_cpus=self._placement.threads,
            num_gpus=self._placement.gpus,
            max_concurrency=2,  # one for the job, one to say how far it is
            max_restarts=0,  # that is done here, since a job must be given anew
            max_task_retries=0,
        ).remote(self._make, self._placement.threads)
        self._starting[actor.progress.remote()] = _Worker(actor)

    def _note_start(self, reference: Any, worker: _Worker) -> None:
        try:
            self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._failed_starts += 1
            if self._failed_starts >= _FAILED_STARTS:
                raise BackendError(
                    f"workers do not start: {_why(error)}; is this version of tdnet-deploy installed on all nodes, with "
                    "the extra ray?"
                ) from error
            self._start()
            return
        self._failed_starts = 0
        self._idle.append(worker)

    def _answer(self, reference: Any, worker: _Worker, job: Task) -> Answer[Task, Reply]:
        try:
            outcome = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._kill(worker)  # where only the way to it is broken it must not go on
            self._start()
            return Answer(job=job, lost=_why(error))
        self._idle.append(worker)
        return Answer(job=job, outcome=outcome)

    def _require_workers(self) -> None:
        if self._idle or self._busy:
            self._alone_since_s = time.monotonic()
        elif time.monotonic() - self._alone_since_s > _START_LIMIT_S:
            raise BackendError(
                f"no worker was placed in {_START_LIMIT_S:.0f} s: each is to have {self._placement.threads} CPU and "
                f"{self._placement.gpus:g} GPU, and the cluster has {self._ray.available_resources()} free; ask for less "
                "(--threads, --gpus)"
            )

    def _kill(self, worker: _Worker) -> None:
        with contextlib.suppress(Exception):  # it may be gone, and Ray as well
            self._ray.kill(worker.actor, no_restart=True)


def _why(error: Exception) -> str:
    """The line of what Ray says that says something, without its colours and lists of identifiers."""
    lines = [line.strip() for line in _COLOR.sub("", str(error)).splitlines() if line.strip()]
    told = next((line for line in reversed(lines) if _TELLING.match(line)), "")
    return one_line(told or (lines[0] if lines else type(error).__name__))[:300]
