"""A data set streamed in order through one or several sides, judged frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from tdnet_eval.judge import Judge, Judgement
from tdnet_eval.tally import Evaluation
from tdnet_runtime.errors import MediaError, OptionError

if TYPE_CHECKING:
    from tdnet_data.dataset import DataSet, Frame, Sequence

__all__ = ["JudgedFrame", "OpenStream", "Segmented", "StreamLike", "evaluate", "evaluate_together", "runs_of"]

Array = npt.NDArray[np.uint8]


class Segmented(Protocol):
    """What a stream makes of a frame; `tdnet_runtime.Result` is one."""

    @property
    def labels(self) -> Array:
        """uint8 [H, W] of the frame's own size, class indices; never touched again by the stream."""

    @property
    def path(self) -> int:
        """The sub-network that ran, 1 to m."""

    @property
    def cold(self) -> bool:
        """True where the memory was not yet full."""


class StreamLike(Protocol):
    """One video through one network; `tdnet_runtime.Stream` is one."""

    def reset(self) -> None:
        """Forget all frames: the next one is the first of a sequence."""

    def push(self, frame: Array, /) -> Segmented:
        """Segment the next frame, uint8 RGB [H, W, 3] of any size, the same until `reset`."""


OpenStream: TypeAlias = Callable[[], AbstractContextManager[StreamLike]]
"""Opens a stream at its first frame; it ends with the context."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class JudgedFrame:
    """One frame after all sides had it.

    Attributes:
        sequence: its index in the data set; `place` is the frame's in the sequence.
        image: uint8 RGB [H, W, 3].
        truth: its label image, uint8 [H', W'], train ids; None without one.
        labels: by side, uint8 [H, W]; likewise `judgements`, and `paths` and `cold` of `Segmented`.
    """

    sequence: int
    place: int
    name: str
    image: Array
    truth: Array | None
    labels: Mapping[str, Array]
    judgements: Mapping[str, Judgement]
    paths: Mapping[str, int]
    cold: Mapping[str, bool]


def evaluate(
    open_stream: OpenStream,
    dataset: DataSet,
    *,
    outlines: bool = False,
    consistency: bool = False,
    paths: int | None = None,
    on_frame: Callable[[JudgedFrame], None] = lambda frame: None,
) -> Evaluation:
    """Stream a data set through one side; see `evaluate_together`."""
    streams = {"": open_stream}
    return evaluate_together(
        streams, dataset, outlines=outlines, consistency=consistency, paths=paths, on_frame=on_frame
    )[""]


def evaluate_together(
    streams: Mapping[str, OpenStream],
    dataset: DataSet,
    *,
    reference: str | None = None,
    outlines: bool = False,
    consistency: bool = False,
    paths: int | None = None,
    begin: int = 0,
    sequences: Collection[int] | None = None,
    on_frame: Callable[[JudgedFrame], None] = lambda frame: None,
) -> dict[str, Evaluation]:
    """Stream a data set in order through all sides at once, reset at each sequence.

    Frames are decoded once. Labels are judged at the label image's own size, brought to it by the nearest pixel.

    Args:
        streams: by the sides' names; each is opened once.
        dataset: at least one of its frames has a label image.
        reference: the side whose labels the others' are compared with; None for no agreement.
        outlines: measure the boundary F-score.
        consistency: measure temporal consistency.
        paths: m of the networks, to pass over the frames that no labelled frame's memory of m−1 frames needs: all scores
            against label images stay what they are (spec §3). None to run every frame.
        begin: index of the frame that each sequence begins with, so that another sub-network runs on each.
        sequences: indices of those to run, of which the sum over all is the whole; None for all.
        on_frame: called after each frame.

    Raises:
        OptionError: no frame of the data set has a label image.
        MediaError: a frame cannot be read, or changes size within a sequence, or its label image does not fit it.
        BackendError: an engine failed, or gave labels that are no class.
    """
    runs = [list(runs_of(sequence, paths=paths, begin=begin)) for sequence in dataset.sequences]
    labelled = (
        sequence.frames[place].label
        for sequence, of_sequence in zip(dataset.sequences, runs, strict=True)
        for run in of_sequence
        for place in run
    )
    if not any(labelled):
        raise OptionError(
            f"{dataset.name}, split {dataset.split!r}: none of its frames has a label image, so nothing can be judged; "
            "name a split that has, or put label images where the data set's layout has them"
        )
    names = dataset.classes.names
    evaluations = dict.fromkeys(streams, Evaluation(names))
    judge = Judge(
        tuple(streams), classes=len(names), reference=reference, consistency=consistency, outlines=outlines
    )
    with ExitStack() as stack:
        opened = {name: stack.enter_context(open_stream()) for name, open_stream in streams.items()}
        for number, sequence in enumerate(dataset.sequences):
            for run in runs[number] if sequences is None or number in sequences else ():
                for stream in opened.values():
                    stream.reset()
                size_hw: tuple[int, ...] | None = None
                for place in run:
                    frame = sequence.frames[place]
                    image = dataset.image(frame)
                    size_hw = _checked_size(image, size_hw, frame, sequence)
                    made = {name: stream.push(image) for name, stream in opened.items()}
                    truth = truth_of(dataset, frame, size_hw)
                    labels = {name: result.labels for name, result in made.items()}
                    judged = judge(image, labels, truth=truth, begins=place == run.start)
                    for name, result in made.items():
                        evaluations[name] = evaluations[name].with_frame(
                            judged[name], path=result.path, cold=result.cold
                        )
                    on_frame(
                        JudgedFrame(
                            sequence=number,
                            place=place,
                            name=frame.name,
                            image=image,
                            truth=truth,
                            labels=labels,
                            judgements=judged,
                            paths={name: result.path for name, result in made.items()},
                            cold={name: result.cold for name, result in made.items()},
                        )
                    )
    return evaluations


def runs_of(sequence: Sequence, *, paths: int | None, begin: int = 0) -> Iterator[range]:
    """Which frames of a sequence to run, each range in a stream of its own; see `evaluate_together`.

    A frame's labels depend on itself, on the m−1 frames before it and on which sub-network runs on it: a range begins
    so early, and where the whole sequence's stream would come to its first sub-network.
    """
    end = len(sequence.frames)
    if paths is None:
        if begin < end:
            yield range(begin, end)
        return
    start = stop = begin
    for place in range(begin, end):
        if sequence.frames[place].label is None:
            continue
        needed = max(begin, begin + (place - (paths - 1) - begin) // paths * paths)
        if needed > stop:
            if start < stop:
                yield range(start, stop)
            start = needed
        stop = place + 1
    if start < stop:
        yield range(start, stop)


def truth_of(dataset: DataSet, frame: Frame, size_hw: tuple[int, ...]) -> Array | None:
    """The label image of a frame of that size; None without one.

    Raises:
        MediaError: it cannot be read, is not of the frame's shape, or names a class that the data set does not have.
    """
    if frame.label is None:
        return None
    truth = dataset.labels(frame)
    height, width = truth.shape
    if abs(height * size_hw[1] - width * size_hw[0]) > max(size_hw):  # more than a pixel of rounding
        raise MediaError(
            f"the label image is {height}x{width} (height x width), its frame {frame.name!r} is {size_hw[0]}x{size_hw[1]}, "
            f"which is another shape; label images may be smaller or larger, but show all of the frame: '{frame.label}'"
        )
    return truth


def _checked_size(
    image: Array, before: tuple[int, ...] | None, frame: Frame, sequence: Sequence
) -> tuple[int, ...]:
    size_hw = image.shape[:2]
    if before not in (None, size_hw):
        assert before is not None
        raise MediaError(
            f"frame {frame.name!r} is {size_hw[0]}x{size_hw[1]} (height x width), those before it in the sequence "
            f"{sequence.name!r} are {before[0]}x{before[1]}, and a video has one size; make two sequences of it"
        )
    return size_hw
