"""What does the work: one network, one job at a time."""

from __future__ import annotations

import errno
import math
import os
import socket
import time
from contextlib import ExitStack
from datetime import datetime, timezone

import msgspec

from tdnet_batch.digest import input_sha256, input_stamp
from tdnet_batch.fetching import key_of, local_copy
from tdnet_batch.inputs import BatchInput
from tdnet_batch.job import Job, JobKind, Order, Outcome, Plan
from tdnet_batch.joining import join_pieces
from tdnet_batch.label_files import open_label_files
from tdnet_batch.npz_file import NpzFile
from tdnet_batch.output_names import split_topic
from tdnet_batch.record import RECORD_FILE, Record, encode_record, put_record, read_record
from tdnet_batch.segmentation import open_input, segment
from tdnet_batch.span import Span, SpanReader
from tdnet_runtime import __version__
from tdnet_runtime.errors import BackendError, BundleError, MediaError, MissingExtraError, TdnetError
from tdnet_runtime.extras import one_line
from tdnet_runtime.media.frames import FrameSource
from tdnet_runtime.passwords import hide_password
from tdnet_runtime.segmenter import Segmenter
from tdnet_runtime.sinks.sink import SinkNetwork

__all__ = ["BatchWorker"]

_FULL = (errno.ENOSPC, errno.EDQUOT)


class _HopelessError(Exception):
    """No input can be done here."""


class BatchWorker:
    """Does jobs of a run, with a network that is opened with the first one that needs it.

    Args:
        order: of the run.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._tree = order.tree
        self._segmenter: Segmenter | None = None
        self._frames = 0
        self.name = f"{socket.gethostname()}:{os.getpid()}"

    def progress(self) -> int:
        """Frames segmented so far in the job at hand; from any thread."""
        return self._frames

    def do(self, job: Job) -> Outcome:
        """Do a job. Whatever is wrong with its input comes as a record of the failure; nothing is raised."""
        self._frames = 0
        begin_s = time.perf_counter()
        try:
            if job.kind is JobKind.JOIN:
                return self._join(job, begin_s)
            if job.kind is JobKind.PIECE:
                return self._piece(job, begin_s)
            return self._whole(job, begin_s)
        except _HopelessError as error:
            return Outcome(fatal=str(error))
        except TdnetError as error:
            if _is_full(error):
                return Outcome(fatal=f"{error}; make room, and start it again: what is done stays done")
            return self._failed(job, str(error), begin_s)
        except Exception as error:  # a defect, which must not cost the other inputs
            return self._failed(
                job, f"{type(error).__name__}: {error} (a defect of tdnet-batch: please report it)", begin_s
            )

    def close(self) -> None:
        """Release the network."""
        if self._segmenter is not None:
            self._segmenter.close()

    def _whole(self, job: Job, begin_s: float) -> Outcome:
        video, settings = job.input, self._order.settings
        before = read_record(self._tree.at(video.output))
        key = key_of(video)
        if before is not None and key is not None and before.input_key == key and self._still(before, video):
            return Outcome(record=before, skipped=True)
        with local_copy(video) as path:
            stamp = None if video.remote else input_stamp(path)
            sha256 = input_sha256(path)
            if before is not None and before.input_sha256 == sha256 and self._still(before, video):
                return Outcome(record=self._with_key(before, video, key), skipped=True)
            segmenter = self._network()
            with open_input(path, video.topic, settings) as source:
                pieces = self._pieces(source)
                if job.kind is JobKind.PLAN and pieces > 1:
                    return Outcome(plan=Plan(pieces=pieces, sha256=sha256, key=key, stamp=stamp))
                with self._tree.partial(video.output) as folder:
                    files = open_label_files(
                        folder,
                        settings.form,
                        SinkNetwork.of(segmenter),
                        paths=len(segmenter.manifest.paths),
                    )
                    counts = segment(segmenter, source, files, on_frame=self._count)
                    record = self._record(
                        job,
                        begin_s,
                        input_sha256=sha256,
                        input_key=key,
                        frames=counts.frames,
                        classes=counts.classes,
                        **_told(source),
                    )
                    return Outcome(record=put_record(folder, record))

    def _piece(self, job: Job, begin_s: float) -> Outcome:
        assert job.plan is not None
        video, settings, plan = job.input, self._order.settings, job.plan
        assert settings.cut_frames is not None
        output = self._tree.piece(video.output, job.piece)
        before = read_record(self._tree.at(output))
        if before is not None and before.input_sha256 == plan.sha256 and self._still(before, video):
            return Outcome(piece=True)
        segmenter = self._network()
        span = Span.piece(
            job.piece, of=plan.pieces, frames=settings.cut_frames, paths=len(segmenter.manifest.paths)
        )
        reader = SpanReader(span)
        with ExitStack() as stack:
            path = stack.enter_context(local_copy(video))
            unchanged = plan.stamp is not None and input_stamp(path) == plan.stamp
            if not unchanged and input_sha256(path) != plan.sha256:
                raise MediaError("cutting the input: it changed meanwhile; start it again")
            source = stack.enter_context(open_input(path, video.topic, settings))
            folder = stack.enter_context(self._tree.partial(output))
            after = None if span.stop is None else NpzFile(folder / "after.npz")
            files = NpzFile(folder / "labels.npz")
            counts = segment(segmenter, source, files, on_frame=self._count, reader=reader, after=after)
            record = self._record(
                job,
                begin_s,
                output=output,
                input_sha256=plan.sha256,
                frames=counts.frames,
                classes=counts.classes,
                warm_up_frames=counts.warm_up,
                **_told(source),
            )
            put_record(folder, record)
        return Outcome(piece=True)

    def _join(self, job: Job, begin_s: float) -> Outcome:
        assert job.plan is not None
        video, plan = job.input, job.plan
        segmenter = self._network()
        folders = [self._tree.at(self._tree.piece(video.output, number)) for number in range(plan.pieces)]
        with self._tree.partial(video.output) as folder:
            files = open_label_files(
                folder,
                self._order.settings.form,
                SinkNetwork.of(segmenter),
                paths=len(segmenter.manifest.paths),
            )
            joined = join_pieces(folders, files)
            record = self._record(
                job,
                begin_s,
                input_sha256=plan.sha256,
                input_key=plan.key,
                frames=joined.frames,
                classes=joined.classes,
                joints=joined.joints,
                damaged=joined.damaged,
                warning=joined.warning,
                seconds=joined.seconds + time.perf_counter() - begin_s,
            )
            return Outcome(record=put_record(folder, record))

    def _network(self) -> Segmenter:
        """The network, opened once."""
        if self._segmenter is None:
            order = self._order
            try:
                segmenter = Segmenter.open(
                    order.engine,
                    backend=order.settings.backend,
                    precision=order.settings.precision,
                    threads=order.threads,
                    sha256=order.sha256,
                )
            except (BackendError, BundleError, MissingExtraError) as error:
                raise _HopelessError(f"opening the bundle on {self.name}: {error}") from error
            if segmenter.bundle.digest != order.bundle:
                segmenter.close()
                raise _HopelessError(
                    f"opening the bundle on {self.name}: it is another one than the driver's "
                    f"({segmenter.bundle.digest[:12]}, not {order.bundle[:12]}); "
                    f"put one bundle where all workers find it: '{order.engine}'"
                )
            self._segmenter = segmenter
        return self._segmenter

    def _still(self, record: Record, video: BatchInput) -> bool:
        """Its outputs are what this run would make of the same input."""
        return (
            record.done
            and (record.bundle, record.settings) == (self._order.bundle, self._order.settings)
            and split_topic(record.input)[1] == split_topic(video.shown)[1]
        )

    def _with_key(self, record: Record, video: BatchInput, key: str | None) -> Record:
        """The record, which is put again where its input has another key now: the next run need not fetch it."""
        if record.input_key == key:
            return record
        changed = msgspec.structs.replace(record, input_key=key)
        try:
            self._tree.replace(video.output, RECORD_FILE, encode_record(changed))
        except MediaError:  # the outputs are whole all the same
            return record
        return changed

    def _pieces(self, source: FrameSource) -> int:
        cut, frames = self._order.settings.cut_frames, source.frame_count
        return 1 if cut is None or frames is None else max(1, math.ceil(frames / cut))

    def _count(self, frames: int) -> None:
        self._frames = frames

    def _failed(self, job: Job, error: str, begin_s: float) -> Outcome:
        return Outcome(
            record=self._record(job, begin_s, state="failed", error=one_line(hide_password(error)))
        )

    def _record(self, job: Job, begin_s: float, **known: object) -> Record:
        order, segmenter = self._order, self._segmenter
        content: dict[str, object] = {
            "input": job.input.shown,
            "output": job.input.output,
            "state": "done",
            "bundle": order.bundle,
            "settings": order.settings,
            "backend": segmenter.backend.name if segmenter is not None else "",
            "precision": segmenter.backend.precision if segmenter is not None else "",
            "worker": self.name,
            "version": __version__,
            "finished_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - begin_s, 3),
            "attempts": job.attempt,
        }
        return Record(**(content | known))  # type: ignore[arg-type]


def _told(source: FrameSource) -> dict[str, object]:
    """What a source says at its end."""
    warning = source.facts.get("warning")
    return {
        "damaged": source.damage.skipped + source.damage.used,
        "warning": None if warning is None else one_line(str(warning)),
    }


def _is_full(error: BaseException | None) -> bool:
    """A full disk is behind it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__ or error.__context__
    return False
