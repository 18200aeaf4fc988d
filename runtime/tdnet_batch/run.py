"""A run from its inputs to its manifest."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timezone

from tdnet_batch.inputs import BatchInput, find_inputs
from tdnet_batch.job import Job, Order, Outcome
from tdnet_batch.manifest import Manifest
from tdnet_batch.options import BatchOptions
from tdnet_batch.output_tree import OutputLock, OutputTree
from tdnet_batch.placement import Placement, place_workers
from tdnet_batch.pool import Answer, Pool
from tdnet_batch.progress import BatchProgress
from tdnet_batch.record import Record
from tdnet_batch.schedule import Schedule
from tdnet_runtime import __version__
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import BackendError

__all__ = ["MANIFEST", "BatchSummary", "Crew", "OpenCrew", "run_batch"]

MANIFEST = "manifest.jsonl"
"""In the folder of outputs."""

_LOOK_S = 0.5
_SHOW_S = 1.0  # asking a thousand workers how far they are takes longer than an answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """What can run jobs: resources of the nodes that there are, as Ray counts them, and what opens a pool on them."""

    nodes: Sequence[Mapping[str, float]]
    open_pool: Callable[[Order, Placement], Pool]


OpenCrew = Callable[[], AbstractContextManager[Crew]]
"""Called once all else is known to be in order."""


@dataclass(slots=True, kw_only=True)
class BatchSummary:
    """What a run did.

    Attributes:
        records: of all inputs, in their order; those that are `skipped` were done before.
        passed_over: files that are no videos.
        placement: of the workers.
        lost: workers that were lost.
        others: outputs there of inputs that this run was not given, and of another bundle or other settings.
        wall_s: from the first job to the last answer.
    """

    records: list[Record] = field(default_factory=list)
    skipped: set[str] = field(default_factory=set)
    passed_over: int = 0
    placement: Placement
    lost: int = 0
    others: int = 0
    wall_s: float = 0.0

    @property
    def failed(self) -> list[Record]:
        """Those that are not done."""
        return [record for record in self.records if not record.done]

    @property
    def made(self) -> list[Record]:
        """Those that this run has done."""
        return [record for record in self.records if record.done and record.output not in self.skipped]


def run_batch(
    options: BatchOptions, *, open_crew: OpenCrew, progress: Callable[[int, int], BatchProgress]
) -> BatchSummary:
    """Find the inputs, do what is missing, and write the manifest.

    Args:
        options: of the run.
        open_crew: who does it.
        progress: a display for so many inputs of so many bytes.

    Raises:
        TdnetError: nothing can be done, or no more: a bundle that cannot be trusted or run, an output that cannot be
            written, no workers. What is done stays done.
    """
    found = find_inputs(options.inputs, output=options.output)
    with Bundle.open(options.engine, sha256=options.sha256) as bundle:
        digest = bundle.digest
    with contextlib.ExitStack() as stack:
        tree = stack.enter_context(OutputLock(options.output)).tree
        manifest = stack.enter_context(Manifest(tree.root / MANIFEST))
        crew = stack.enter_context(open_crew())
        placement = place_workers(
            crew.nodes,
            inputs=len(found.inputs),
            backend=options.settings.backend,
            workers=options.cluster.workers,
            threads=options.cluster.threads,
            gpus=options.cluster.gpus,
        )
        summary = BatchSummary(passed_over=found.passed_over, placement=placement)
        order = Order(
            engine=str(options.engine.absolute()),
            sha256=options.sha256,
            bundle=digest,
            threads=placement.threads,
            settings=options.settings,
            tree=tree,
        )
        pool = stack.enter_context(crew.open_pool(order, placement))
        size_bytes = sum(each.size_bytes for each in found.inputs)
        shown = stack.enter_context(progress(len(found.inputs), size_bytes))
        begin_s = time.monotonic()
        _Run(options, order, found.inputs, manifest=manifest, progress=shown, summary=summary).go(pool)
        summary.wall_s = time.monotonic() - begin_s
        summary.others = _others(manifest, summary, order)
    summary.records.sort(key=lambda record: record.output)
    return summary


class _Run:
    """The driver's loop: a job to each free worker, a row for each answer."""

    def __init__(
        self,
        options: BatchOptions,
        order: Order,
        inputs: Sequence[BatchInput],
        *,
        manifest: Manifest,
        progress: BatchProgress,
        summary: BatchSummary,
    ) -> None:
        cut = options.settings.cut_frames is not None
        self._schedule = Schedule(inputs, cut=cut, retries=options.retries)
        self._order, self._tree = order, order.tree
        self._manifest, self._progress, self._summary = manifest, progress, summary
        self._at_work = 0

    def go(self, pool: Pool) -> None:
        """Until all is done."""
        shown_s = time.monotonic()
        while self._at_work or self._schedule.waiting:
            while pool.free and (job := self._schedule.next()) is not None:
                pool.submit(job)
                self._at_work += 1
            for answer in pool.wait(_LOOK_S):
                self._at_work -= 1
                self._take(answer)
            if time.monotonic() - shown_s >= _SHOW_S:
                shown_s = time.monotonic()
                self._progress.update(at_hand=pool.frames(), workers=pool.workers)

    def _take(self, answer: Answer[Job, Outcome]) -> None:
        job, outcome = answer.job, answer.outcome
        if outcome is None:
            self._summary.lost += 1
            if self._schedule.lost(job):
                return
            outcome = Outcome(record=self._lost(job, answer.lost))
            record = outcome.record
        else:
            if outcome.fatal is not None:
                raise BackendError(outcome.fatal)
            record = self._schedule.finished(job, outcome)
        if record is not None:
            self._note(job.input, record, skipped=outcome.skipped)

    def _note(self, video: BatchInput, record: Record, *, skipped: bool) -> None:
        if not (skipped and self._manifest.rows.get(record.output) == record):
            self._manifest.add(record)
        self._summary.records.append(record)
        if skipped:
            self._summary.skipped.add(record.output)
        self._progress.finished(size_bytes=video.size_bytes, frames=record.frames, skipped=skipped)
        if record.done:
            _remove_pieces(self._tree, record.output)

    def _lost(self, job: Job, why: str) -> Record:
        return Record(
            input=job.input.shown,
            output=job.input.output,
            state="failed",
            bundle=self._order.bundle,
            settings=self._order.settings,
            worker=socket.gethostname(),
            version=__version__,
            finished_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            attempts=job.attempt,
            error=f"{job.attempt} workers were lost with it, the last one: {why}",
        )


def _others(manifest: Manifest, summary: BatchSummary, order: Order) -> int:
    mine = {record.output for record in summary.records}
    return sum(
        record.done and (record.bundle, record.settings) != (order.bundle, order.settings)
        for output, record in manifest.rows.items()
        if output not in mine
        and os.path.lexists(order.tree.at(output))  # Path.exists() raises where it may not look
    )


def _remove_pieces(tree: OutputTree, output: str) -> None:
    pieces = tree.pieces(output)
    with contextlib.suppress(OSError):
        if pieces.exists():
            shutil.rmtree(pieces)
