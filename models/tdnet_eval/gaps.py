"""What lost frames and cuts cost: labels and scores right after them, against a run without.

A stream's whole memory is the last m−1 frames that it was given (spec §3). So the labels of a frame after a gap are those
of a short stream: the m−1 frames (or a few more, so that the same sub-network runs on the frame as in the run without
gap) that end where the gap begins, then the frame. That is done for every frame, not only at a few gaps of one run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from tdnet_eval.confusion import Confusion, at_size_of, confusion_of
from tdnet_eval.evaluation import OpenStream, StreamLike, truth_of
from tdnet_eval.judge import label_agreement
from tdnet_runtime.errors import OptionError

if TYPE_CHECKING:
    from tdnet_data.dataset import DataSet, Frame

__all__ = [
    "CUT",
    "GAP",
    "RESET",
    "GapScore",
    "Place",
    "cut_places",
    "gap_targets",
    "measure_gaps",
    "memory_of",
]

GAP, CUT, RESET = "gap", "cut", "reset"

Array = npt.NDArray[np.uint8]


class Place(NamedTuple):
    """A frame of a data set: index of its sequence, and its own in that."""

    sequence: int
    frame: int


@dataclass(slots=True, eq=False, kw_only=True)
class GapScore:
    """Frames that came `after` something, 1 for the first.

    Attributes:
        what: `gap`, `cut` or `reset`; the run that all are compared with is a gap of 0.
        dropped: frames lost in the gap; None for a cut or reset.
        agreements: for each frame the share of pixels with the label of the run without gap, 0 to 1.
        confusion: of the frames with label images.
    """

    what: str
    dropped: int | None
    after: int
    confusion: Confusion
    agreements: list[float] = field(default_factory=list)


def memory_of(place: Place, *, paths: int) -> int:
    """How many frames to give before the frame at `place`: m−1 and as many more as bring it to its path.

    >>> [memory_of(Place(0, index), paths=4) for index in (8, 9, 10, 11)]
    [4, 5, 6, 3]
    """
    return paths - 1 + (place.frame - (paths - 1)) % paths


def gap_targets(dataset: DataSet, gaps: Sequence[int], *, paths: int) -> list[Place]:
    """The frames that may come first after any of these gaps; m−2 more come after each."""
    reach = max(gaps, default=0)
    return [
        Place(number, index)
        for number, sequence in enumerate(dataset.sequences)
        for index in range(len(sequence.frames) - (paths - 2))
        if index >= reach + memory_of(Place(number, index), paths=paths)
    ]


def cut_places(before: DataSet, *, length: int, apart_from: int | None) -> list[Place]:
    """Frames of `before` that end a run of `length`; none of the sequence `apart_from`."""
    return [
        Place(number, index)
        for number, sequence in enumerate(before.sequences)
        if number != apart_from
        for index in range(length - 1, len(sequence.frames))
    ]


def check_gaps(dataset: DataSet, *, paths: int, gaps: Sequence[int], cut: DataSet | None) -> None:
    """Make sure, without running anything, that there is something to measure; see `measure_gaps`.

    Raises:
        OptionError: the side has no memory, or no sequence is long enough.
    """
    if paths < 2:
        raise OptionError(
            "--gap and --cut ask what the memory is worth after lost frames; this network has none (m = 1)"
        )
    if not gap_targets(dataset, gaps, paths=paths):
        longest = max((len(sequence.frames) for sequence in dataset.sequences), default=0)
        gap = max(gaps, default=0)
        raise OptionError(
            f"--gap: the longest sequence of {dataset.name}, split {dataset.split!r}, has {longest} frames; a gap of {gap} "
            f"needs {-(-gap // paths) * paths + 2 * paths - 2} or more in a row; give smaller gaps"
        )
    if cut is None:
        return
    longest = 2 * paths - 2  # the longest memory that a frame is given
    able = {number for number, sequence in enumerate(cut.sequences) if len(sequence.frames) >= longest}
    own = {target.sequence for target in gap_targets(dataset, gaps, paths=paths)} if cut is dataset else set()
    if not able or (len(able) == 1 and able <= own):
        raise OptionError(
            f"--cut: {cut.name}, split {cut.split!r}, has no other sequence of {longest} frames to cut from; name another "
            "split"
        )


def measure_gaps(
    open_stream: OpenStream,
    dataset: DataSet,
    *,
    paths: int,
    gaps: Sequence[int],
    cut: DataSet | None = None,
    tick: Callable[[int], None] = lambda done: None,
) -> list[GapScore]:
    """Score the frames after gaps of so many frames, after a cut and after a reset; that without gap first.

    Args:
        open_stream: the side.
        dataset: with sequences long enough; label images are judged by where frames have them.
        paths: m of the side, 2 or more.
        gaps: numbers of lost frames, each 1 or more; none for no gaps.
        cut: whose frames come before the cut; `dataset` itself for its other sequences, None for no cut.
        tick: called after each frame with the number of those done.

    Raises:
        OptionError: see `check_gaps`; or frames before the cut are of another size.
    """
    check_gaps(dataset, paths=paths, gaps=gaps, cut=cut)
    targets = gap_targets(dataset, gaps, paths=paths)
    measuring = _Measuring(dataset, cut, paths=paths, gaps=tuple(gaps))
    with open_stream() as stream:
        for number, target in enumerate(targets):
            measuring.judge(stream, target, share=number / len(targets))
            tick(number + 1)
    return list(measuring.scores.values())


class _Measuring:
    """The scores so far, and the frames that are needed again and again."""

    def __init__(self, dataset: DataSet, cut: DataSet | None, *, paths: int, gaps: tuple[int, ...]) -> None:
        self._data, self._cut, self._paths, self._gaps = dataset, cut, paths, gaps
        self.scores: dict[tuple[str, int | None, int], GapScore] = {}
        before = dataset if cut is None else cut
        self._ends = lru_cache(lambda length, own: cut_places(before, length=length, apart_from=own))
        self._image = lru_cache(max(gaps, default=0) + 4 * paths)(self._read)

    def _read(self, place: Place) -> Array:
        return self._data.image(self._frame(place))

    def _frame(self, place: Place) -> Frame:
        return self._data.sequences[place.sequence].frames[place.frame]

    def judge(self, stream: StreamLike, target: Place, *, share: float) -> None:
        """All that is asked of the frame `target` and the m−2 after it."""
        places = [Place(target.sequence, target.frame + i) for i in range(self._paths - 1)]
        after = [self._image(place) for place in places]
        truths = [
            truth_of(self._data, self._frame(p), image.shape[:2])
            for p, image in zip(places, after, strict=True)
        ]
        expected: list[Array] = []
        for what, dropped, before in self._histories(target, share=share):
            stream.reset()
            for image in before:
                if image.shape != after[0].shape:
                    raise OptionError(
                        f"--cut: frames before the cut are {image.shape[0]}x{image.shape[1]} (height x width), those after "
                        f"it {after[0].shape[0]}x{after[0].shape[1]}; a stream has one size, so name frames of that"
                    )
                stream.push(image)
            made = [stream.push(image).labels for image in after]
            expected = expected or made
            for index, (labels, truth) in enumerate(zip(made, truths, strict=True)):
                score = self._score(what, dropped, index + 1)
                score.agreements.append(label_agreement(labels, expected[index]))
                if truth is not None:
                    classes = len(self._data.classes.names)
                    score.confusion += confusion_of(at_size_of(labels, truth), truth, classes=classes)

    def _score(self, what: str, dropped: int | None, after: int) -> GapScore:
        nothing = GapScore(
            what=what,
            dropped=dropped,
            after=after,
            confusion=Confusion.nothing(len(self._data.classes.names)),
        )
        return self.scores.setdefault((what, dropped, after), nothing)

    def _histories(self, target: Place, *, share: float) -> Iterator[tuple[str, int | None, list[Array]]]:
        """What was, how many frames were lost, and the frames before; without a gap first."""
        length = memory_of(target, paths=self._paths)
        for gap in (0, *self._gaps):
            end = target.frame - gap
            yield GAP, gap, [self._image(Place(target.sequence, i)) for i in range(end - length, end)]
        yield RESET, None, []
        if self._cut is None:
            return
        own = target.sequence if self._cut is self._data else None
        ends = self._ends(length, own)
        last = ends[int(share * len(ends))]
        frames = self._cut.sequences[last.sequence].frames[last.frame - length + 1 : last.frame + 1]
        yield CUT, None, [self._cut.image(frame) for frame in frames]
