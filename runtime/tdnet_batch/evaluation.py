"""`tdnet-eval`, a sequence at a time: what one worker does of it, and the sum."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Protocol

from tdnet_batch.pool import Answer
from tdnet_data.dataset import DataSet
from tdnet_data.opening import open_dataset
from tdnet_data.settings import DataSettings
from tdnet_eval.class_names import check_classes
from tdnet_eval.data_option import settings_from_option
from tdnet_eval.document import Document, FrameRecord, LeftOut, SideInfo, scores_from_evaluation
from tdnet_eval.evaluation import JudgedFrame, evaluate_together
from tdnet_eval.every_path import unjudged_paths
from tdnet_eval.options import EvalOptions
from tdnet_eval.run import document_of, record_of
from tdnet_eval.sides import open_sides
from tdnet_eval.tally import Evaluation
from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import BackendError, OptionError, TdnetError

__all__ = ["Examine", "Examiner", "Examiners", "Part", "Sides", "evaluate_parts", "examine_all"]

_LOOK_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """What is judged, as `tdnet_eval.sides.Opened` says it; the same on all workers."""

    infos: Mapping[str, SideInfo]
    reference: str | None
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Of one sequence of the data set: sums by side, and each frame's scores. `failure` is why there are none."""

    sequence: int
    sides: Sides | None = None
    found: Mapping[str, Evaluation] | None = None
    records: tuple[FrameRecord, ...] = ()
    failure: str | None = None


class Examiner(Closeable):
    """A data set and all sides, opened with the first sequence that is asked for.

    Args:
        options: of the evaluation; its bundles have the same paths on all workers.
        data: what its `data` names, and likewise.
    """

    def __init__(self, options: EvalOptions, data: DataSettings) -> None:
        self._options, self._data = options, data
        self._stack = ExitStack()
        self._opened: tuple[DataSet, Sides] | None = None
        self._frames = 0

    def progress(self) -> int:
        """Frames judged so far of the sequence at hand; from any thread."""
        return self._frames

    def do(self, sequence: int) -> Part:
        """Stream one sequence through all sides, from its beginning; nothing is raised."""
        self._frames = 0
        try:
            return self._examine(sequence)
        except TdnetError as error:
            return Part(sequence=sequence, failure=str(error))

    def close(self) -> None:
        """Release the networks."""
        self._stack.close()
        self._opened = None

    def _examine(self, number: int) -> Part:
        dataset, sides = self._open()
        records: list[FrameRecord] = []

        def on_frame(frame: JudgedFrame) -> None:
            records.append(record_of(frame, dataset))
            self._frames += 1

        quick = self._options.quick
        found = evaluate_together(
            self._streams,
            dataset,
            reference=sides.reference,
            outlines=not quick,
            consistency=not quick,
            paths=max(info.paths for info in sides.infos.values()) if quick else None,
            sequences=(number,),
            on_frame=on_frame,
        )
        return Part(sequence=number, sides=sides, found=found, records=tuple(records))

    def _open(self) -> tuple[DataSet, Sides]:
        if self._opened is None:
            dataset = open_dataset(self._data, self._options.split)
            opened = open_sides(self._options, self._stack)
            self._streams = {side.name: side.open_stream for side in opened.sides}
            remarks = [each for side in opened.sides if (each := check_classes(side, dataset)) is not None]
            sides = Sides(
                infos={side.name: side.info for side in opened.sides},
                reference=opened.reference,
                left_out=opened.left_out,
                notes=(*opened.notes, *remarks),
            )
            self._opened = dataset, sides
        return self._opened


class Examine(Protocol):
    """Examines sequences somewhere, in any order, each once."""

    def __call__(self, numbers: Iterable[int]) -> Iterable[Part]:
        """The parts, as they come."""


class Examiners(Protocol):
    """What `RayPool` is to sequences."""

    @property
    def free(self) -> int:
        """Workers that wait."""

    def submit(self, job: int, /) -> None:
        """Give a sequence to one of them."""

    def wait(self, timeout_s: float) -> list[Answer[int, Part]]:
        """What was answered."""


def examine_all(pool: Examiners, numbers: Iterable[int], *, retries: int) -> Iterator[Part]:
    """The parts, as they come; sequences whose worker was lost are given to another one.

    Raises:
        BackendError: one was lost too often.
    """
    waiting, at_work = deque(numbers), 0
    losses: Counter[int] = Counter()
    while waiting or at_work:
        while pool.free and waiting:
            pool.submit(waiting.popleft())
            at_work += 1
        for answer in pool.wait(_LOOK_S):
            at_work -= 1
            if answer.outcome is not None:
                yield answer.outcome
                continue
            losses[answer.job] += 1
            if losses[answer.job] > retries:
                raise BackendError(
                    f"sequence {answer.job}: {losses[answer.job]} workers were lost with it, the last one: {answer.lost}"
                )
            waiting.appendleft(answer.job)


def evaluate_parts(
    options: EvalOptions, examine: Examine, *, on_part: Callable[[int, int], None] = lambda done, of: None
) -> Document:
    """The document of `tdnet-eval`, but for what it asks of pictures, gaps and every path; sums are of the sequences' sums.

    Args:
        options: of the evaluation.
        examine: what runs the sequences; the longest is asked for first.
        on_part: told how many frames of how many are done.

    Raises:
        TdnetError: the data set, a bundle or a sequence cannot be judged, or workers do not agree on what they judge.
    """
    started_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    dataset = open_dataset(settings_from_option(options.data), options.split)
    if not dataset.labelled:
        raise OptionError(
            f"{dataset.name}, split {dataset.split!r}: none of its frames has a label image, so nothing can be judged"
        )
    lengths = [len(sequence.frames) for sequence in dataset.sequences]
    numbers = sorted(range(len(lengths)), key=lambda number: -lengths[number])
    parts: dict[int, Part] = {}
    for part in examine(numbers):
        if part.failure is not None:
            raise BackendError(f"sequence {dataset.sequences[part.sequence].name!r}: {part.failure}")
        parts[part.sequence] = part
        on_part(sum(lengths[number] for number in parts), sum(lengths))
    sides = _agreed(parts)
    found = {name: Evaluation(dataset.classes.names) for name in sides.infos}
    for number in sorted(parts):
        for name, each in (parts[number].found or {}).items():
            found[name] = found[name] + each
    remarks = [unjudged_paths(name, each, paths=sides.infos[name].paths) for name, each in found.items()]
    return document_of(
        options,
        dataset,
        started_at=started_at,
        sides=dict(sides.infos),
        reference=sides.reference,
        left_out=sides.left_out,
        notes=(*sides.notes, *(remark for remark in remarks if remark is not None)),
        scores={name: scores_from_evaluation(each, every_path=None) for name, each in found.items()},
        records=(record for number in sorted(parts) for record in parts[number].records),
    )


def _agreed(parts: Mapping[int, Part]) -> Sides:
    """What all workers have judged.

    Raises:
        BackendError: they have judged different things.
    """
    told = [part.sides for part in parts.values() if part.sides is not None]
    for sides in told[1:]:
        different = [name for name in told[0].infos if sides.infos.get(name) != told[0].infos[name]]
        if different or sides.infos.keys() != told[0].infos.keys():
            raise BackendError(
                "workers judged different things: "
                f"{', '.join(different) or ', '.join(sides.infos)}; put the same bundles, and the same versions of the "
                "engines, on all nodes, or name --backend and --precision"
            )
    return told[0]
