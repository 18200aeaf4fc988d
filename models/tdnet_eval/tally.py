"""What the judgements of many frames add up to, and the scores of one side by its position in the cycle."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce

from tdnet_eval.boundary import Outlines
from tdnet_eval.confusion import Confusion, mean_of
from tdnet_eval.judge import Judgement

__all__ = ["Evaluation", "Mean", "Tally"]


@dataclass(frozen=True, slots=True)
class Mean:
    """Of the frames that have a value."""

    total: float = 0.0
    frames: int = 0

    def __add__(self, other: Mean) -> Mean:
        return Mean(self.total + other.total, self.frames + other.frames)

    @classmethod
    def of(cls, value: float | None) -> Mean:
        """Of one frame, which may have none."""
        return cls() if value is None else cls(value, 1)

    @property
    def value(self) -> float | None:
        """None where no frame has one."""
        return self.total / self.frames if self.frames else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Of some frames of one side; all scores are 0 to 1, and None where nothing was there to measure them by.

    Attributes:
        frames: that the side ran, labelled or not.
        confusion: against the label images; `confusion.frames` are those that have one.
        outlines: of their classes; all 0 where they were not asked for.
    """

    confusion: Confusion
    outlines: Outlines
    frames: int = 0
    agreements: Mean = Mean()
    consistencies: Mean = Mean()

    @classmethod
    def nothing(cls, classes: int) -> Tally:
        """Of no frames; K classes."""
        return cls(confusion=Confusion.nothing(classes), outlines=Outlines.nothing(classes))

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            confusion=self.confusion + other.confusion,
            outlines=self.outlines + other.outlines,
            frames=self.frames + other.frames,
            agreements=self.agreements + other.agreements,
            consistencies=self.consistencies + other.consistencies,
        )

    def with_frame(self, judgement: Judgement) -> Tally:
        """These frames and one more."""
        confusion, outlines = judgement.confusion, judgement.outlines
        return Tally(
            confusion=self.confusion if confusion is None else self.confusion + confusion,
            outlines=self.outlines if outlines is None else self.outlines + outlines,
            frames=self.frames + 1,
            agreements=self.agreements + Mean.of(judgement.agreement),
            consistencies=self.consistencies + Mean.of(judgement.temporal_consistency),
        )

    @property
    def labelled_frames(self) -> int:
        """Frames with a label image."""
        return self.confusion.frames

    @property
    def iou(self) -> tuple[float | None, ...]:
        """By class; see `Confusion`."""
        return self.confusion.iou

    @property
    def miou(self) -> float | None:
        """See `Confusion`."""
        return self.confusion.miou

    @property
    def pixel_accuracy(self) -> float | None:
        """See `Confusion`."""
        return self.confusion.pixel_accuracy

    @property
    def f_score(self) -> tuple[float | None, ...]:
        """Boundary F-score by class; see `boundary.py`."""
        return self.outlines.f_score

    @property
    def boundary_f(self) -> float | None:
        """Mean of `f_score` over the classes that have an outline."""
        return mean_of(self.f_score)

    @property
    def agreement(self) -> float | None:
        """Mean share of pixels with the reference's label."""
        return self.agreements.value

    @property
    def temporal_consistency(self) -> float | None:
        """Mean over the frames; see `flow.py`."""
        return self.consistencies.value


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one side's labels of a data set are worth.

    Attributes:
        classes: their names.
        by_path: warm frames by the sub-network that ran, 1 to m; paths that no frame ran are missing.
        cold: the frames before the memory was full, after each start of a sequence.
    """

    classes: tuple[str, ...]
    by_path: dict[int, Tally] = field(default_factory=dict)
    cold: Tally | None = None

    def __add__(self, other: Evaluation) -> Evaluation:
        """Of both's frames, of the same classes."""
        by_path = dict(self.by_path)
        for path, tally in other.by_path.items():
            by_path[path] = by_path[path] + tally if path in by_path else tally
        colds = [each for each in (self.cold, other.cold) if each is not None]
        return Evaluation(self.classes, dict(sorted(by_path.items())), self._sum(colds) if colds else None)

    @property
    def warm(self) -> Tally:
        """All warm frames together."""
        return self._sum(self.by_path.values())

    @property
    def overall(self) -> Tally:
        """All frames, cold ones included."""
        return self.warm if self.cold is None else self.warm + self.cold

    @property
    def miou(self) -> float | None:
        """Of all labelled frames; see `Confusion`."""
        return self.overall.miou

    @property
    def iou(self) -> tuple[float | None, ...]:
        """Of all labelled frames by class; see `Confusion`."""
        return self.overall.iou

    @property
    def pixel_accuracy(self) -> float | None:
        """Of all labelled frames; see `Confusion`."""
        return self.overall.pixel_accuracy

    def with_frame(self, judgement: Judgement, *, path: int, cold: bool) -> Evaluation:
        """This evaluation and one more frame."""
        before = self.cold if cold else self.by_path.get(path)
        tally = (before or Tally.nothing(len(self.classes))).with_frame(judgement)
        if cold:
            return Evaluation(self.classes, self.by_path, tally)
        return Evaluation(self.classes, dict(sorted({**self.by_path, path: tally}.items())), self.cold)

    def _sum(self, tallies: Iterable[Tally]) -> Tally:
        return reduce(Tally.__add__, tallies, Tally.nothing(len(self.classes)))
