"""An evaluation from beginning to end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from tdnet_data.opening import open_dataset
from tdnet_eval.class_names import check_classes
from tdnet_eval.confusion import Confusion
from tdnet_eval.data_option import settings_from_option
from tdnet_eval.definitions import DEFINITIONS
from tdnet_eval.document import (
    KIND,
    SCHEMA_VERSION,
    DataInfo,
    Document,
    FrameRecord,
    FrameScore,
    GapRecord,
    LeftOut,
    SideInfo,
    SideScores,
    gap_record,
    scores_from_evaluation,
)
from tdnet_eval.evaluation import JudgedFrame, evaluate_together, runs_of
from tdnet_eval.every_path import EveryPath, check_every_path, unjudged_paths, warm_everywhere
from tdnet_eval.gaps import check_gaps, gap_targets, measure_gaps
from tdnet_eval.options import EvalOptions
from tdnet_eval.pictures import WorstFrames
from tdnet_eval.sides import Opened, open_sides
from tdnet_eval.tally import Evaluation
from tdnet_runtime import __version__

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tdnet_data.dataset import DataSet

__all__ = ["Phase", "Run", "document_of", "record_of", "run_evaluation"]

Phase = Callable[[int | None], "AbstractContextManager[Callable[[int], None]]"]
"""Opens a phase of so many frames for display; the function that it gives is told how many are done."""


class Run(NamedTuple):
    """What an evaluation gives: its document, and what pictures are made of."""

    document: Document
    confusions: dict[str, Confusion]
    worst: WorstFrames
    class_colors: tuple[tuple[int, int, int], ...]


def run_evaluation(options: EvalOptions, *, phase: Phase) -> Run:
    """Open data set and sides, stream one through the others, and add up.

    Raises:
        TdnetError: the data set, a bundle or the checkpoint cannot be used, or they do not belong together.
    """
    started_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    settings = settings_from_option(options.data)
    dataset = open_dataset(settings, options.split, beside=(options.cut,))
    cut = dataset if options.cut == options.split else None
    if cut is None and options.cut is not None:
        cut = open_dataset(settings, options.cut, beside=(options.split,))
    with ExitStack() as stack:
        opened = open_sides(options, stack)
        remarks = [remark for side in opened.sides if (remark := check_classes(side, dataset)) is not None]
        streaming = _Streaming(options, dataset, opened, phase=phase)
        streaming.check(cut)
        found = streaming.evaluate()
        every_path = streaming.every_path() if options.every_path else None
        if every_path is None:
            remarks += streaming.unjudged(found)
        gaps = streaming.gaps(cut) if options.gaps or cut is not None else {}
    document = document_of(
        options,
        dataset,
        started_at=started_at,
        sides={side.name: side.info for side in opened.sides},
        reference=opened.reference,
        left_out=opened.left_out,
        notes=(*opened.notes, *remarks),
        scores={
            name: scores_from_evaluation(
                each, every_path=None if every_path is None else dict(every_path.of(name))
            )
            for name, each in found.items()
        },
        gaps=gaps,
        records=streaming.records,
    )
    return Run(
        document=document,
        confusions={name: each.overall.confusion for name, each in found.items()},
        worst=streaming.worst,
        class_colors=dataset.classes.colors,
    )


def document_of(
    options: EvalOptions,
    dataset: DataSet,
    *,
    started_at: str,
    sides: dict[str, SideInfo],
    reference: str | None,
    left_out: tuple[LeftOut, ...],
    notes: tuple[str, ...],
    scores: dict[str, SideScores],
    records: Iterable[FrameRecord],
    gaps: dict[str, tuple[GapRecord, ...]] | None = None,
) -> Document:
    """What was found, with what it was found by."""
    return Document(
        schema_version=SCHEMA_VERSION,
        kind=KIND,
        version=__version__,
        started_at=started_at,
        command=options.command,
        data=DataInfo(
            name=dataset.name,
            split=dataset.split,
            description=dataset.description,
            classes=dataset.classes.names,
            sequences=tuple(sequence.name for sequence in dataset.sequences),
        ),
        sides=sides,
        reference=reference,
        quick=options.quick,
        left_out=left_out,
        notes=notes,
        scores=scores,
        gaps=gaps or {},
        definitions=DEFINITIONS,
        records=tuple(records),
    )


class _Streaming:
    """The parts of an evaluation that run frames."""

    def __init__(self, options: EvalOptions, dataset: DataSet, opened: Opened, *, phase: Phase) -> None:
        self._options, self._data, self._opened, self._phase = options, dataset, opened, phase
        self._streams = {side.name: side.open_stream for side in opened.sides}
        self._paths = max(side.info.paths for side in opened.sides)
        self.worst = WorstFrames(opened.sides[0].name, options.worst if options.pictures is not None else 0)
        self.records: list[FrameRecord] = []
        self._remembering = [side for side in opened.sides if side.info.paths > 1]

    def evaluate(self) -> dict[str, Evaluation]:
        """The data set in order, once."""

        def on_frame(frame: JudgedFrame) -> None:
            self.records.append(record_of(frame, self._data))
            if self.worst.count:
                self.worst.add(frame)

        return self._pass(0, on_frame)

    def every_path(self) -> EveryPath:
        """As many passes as there are sub-networks."""
        warm = warm_everywhere(self._data, paths=self._paths, quick=self._options.quick)
        summed = EveryPath(warm, len(self._data.classes.names))
        for begin in range(self._paths):
            self._pass(begin, summed.add)
        return summed

    def unjudged(self, found: Mapping[str, Evaluation]) -> list[str]:
        """Remarks on sub-networks that labelled frames never fell on."""
        paths = {side.name: side.info.paths for side in self._opened.sides}
        remarks = (unjudged_paths(name, each, paths=paths[name]) for name, each in found.items())
        return [remark for remark in remarks if remark is not None]

    def gaps(self, cut: DataSet | None) -> dict[str, tuple[GapRecord, ...]]:
        """After lost frames, a cut and a reset, side by side; without those that have no memory."""
        found = {}
        for side in self._remembering:
            paths = side.info.paths
            total = len(gap_targets(self._data, self._options.gaps, paths=paths))
            with self._phase(total) as tick:
                scores = measure_gaps(
                    side.open_stream, self._data, paths=paths, gaps=self._options.gaps, cut=cut, tick=tick
                )
            found[side.name] = tuple(map(gap_record, scores))
        return found

    def check(self, cut: DataSet | None) -> None:
        """That all parts can be run, before any is.

        Raises:
            OptionError: one cannot.
        """
        if self._options.every_path:
            check_every_path(self._data, paths=self._paths)
        if self._options.gaps or cut is not None:
            for paths in {side.info.paths for side in self._remembering} or {1}:
                check_gaps(self._data, paths=paths, gaps=self._options.gaps, cut=cut)

    def _pass(self, begin: int, on_frame: Callable[[JudgedFrame], None]) -> dict[str, Evaluation]:
        quick = self._options.quick
        paths = self._paths if quick else None
        total = sum(
            len(run)
            for sequence in self._data.sequences
            for run in runs_of(sequence, paths=paths, begin=begin)
        )
        done = 0
        with self._phase(total) as tick:

            def counted(frame: JudgedFrame) -> None:
                nonlocal done
                on_frame(frame)
                done += 1
                tick(done)

            return evaluate_together(
                self._streams,
                self._data,
                reference=self._opened.reference,
                outlines=not quick,
                consistency=not quick,
                paths=paths,
                begin=begin,
                on_frame=counted,
            )


def record_of(frame: JudgedFrame, dataset: DataSet) -> FrameRecord:
    """A frame's scores."""
    return FrameRecord(
        sequence=dataset.sequences[frame.sequence].name,
        place=frame.place,
        name=frame.name,
        sides={
            side: FrameScore(
                path=frame.paths[side],
                cold=frame.cold[side],
                miou=None if judged.confusion is None else judged.confusion.miou,
                pixel_accuracy=None if judged.confusion is None else judged.confusion.pixel_accuracy,
                agreement=judged.agreement,
                temporal_consistency=judged.temporal_consistency,
            )
            for side, judged in frame.judgements.items()
        },
    )
