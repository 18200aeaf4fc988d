"""What the labels of consecutive frames are worth, of several sides that were given the same frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tdnet_eval.boundary import Outlines, outlines_of
from tdnet_eval.confusion import Confusion, at_size_of, confusion_of
from tdnet_eval.flow import BackwardFlow, temporal_consistency
from tdnet_runtime.errors import BackendError

__all__ = ["Judge", "Judgement", "Picture", "label_agreement", "require_classes"]

Array = npt.NDArray[np.uint8]


class Judgement(NamedTuple):
    """Of one side's labels of one frame; None for what there was nothing to judge by.

    `agreement` is the share (0 to 1) of pixels with the reference's label, for `temporal_consistency` see `flow.py`;
    `confusion` and `outlines` are against the frame's label image, at its size.
    """

    agreement: float | None = None
    temporal_consistency: float | None = None
    confusion: Confusion | None = None
    outlines: Outlines | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Picture:
    """One frame of a run, uint8 RGB [H, W, 3], and the labels of the sides that are judged, uint8 [H, W] each."""

    frame: int
    image: Array
    labels: Mapping[str, Array]


class Judge:
    """Compares the labels of consecutive frames with whatever there is to compare them with.

    `sides` are those to judge, the subject first. Labels of `reference` are right by definition. `consistency` and
    `outlines` say what to measure besides. `picture` is of the frame where the subject agrees least with the reference;
    of the last frame without one.
    """

    def __init__(
        self,
        sides: tuple[str, ...],
        *,
        classes: int,
        reference: str | None = None,
        consistency: bool = True,
        outlines: bool = False,
    ) -> None:
        self._sides, self._classes, self._reference = sides, classes, reference
        self._consistency, self._outlines = consistency, outlines
        self._flow = BackwardFlow()
        self._before: dict[str, Array] = {}
        self._frames = 0
        self._least_agreement = np.inf
        self.picture: Picture | None = None

    def __call__(
        self, image: Array, labels: Mapping[str, Array], *, truth: Array | None = None, begins: bool
    ) -> dict[str, Judgement]:
        """Judge the next frame, which `begins` a sequence where nothing came before it.

        Args:
            image: uint8 RGB [H, W, 3].
            labels: of at least all sides to judge, uint8 [H, W] each; kept until the frame after it.
            truth: the label image, uint8 [H', W']; values that are no class are left out. None without one.
            begins: consistency has nothing to compare with.

        Raises:
            BackendError: see `require_classes`.
            MediaError: see `BackwardFlow`.
        """
        if begins:
            self._flow = BackwardFlow()
        flow = self._flow.next(image) if self._consistency else None
        judged, classes = {}, self._classes
        for side in self._sides:
            mine, consistency, confusion, outlines = labels[side], None, None, None
            require_classes(side, mine, classes)
            if flow is not None:
                consistency = temporal_consistency(mine, self._before[side], flow, classes=classes)
            if truth is not None:
                fitting = at_size_of(mine, truth)
                confusion = confusion_of(fitting, truth, classes=classes)
                outlines = outlines_of(fitting, truth, classes=classes) if self._outlines else None
            judged[side] = Judgement(self._agreement(side, labels), consistency, confusion, outlines)
        self._before = {side: labels[side] for side in self._sides}
        self._keep_picture(image, judged)
        self._frames += 1
        return judged

    def _agreement(self, side: str, labels: Mapping[str, Array]) -> float | None:
        if self._reference is None or side == self._reference:
            return None
        return label_agreement(labels[side], labels[self._reference])

    def _keep_picture(self, image: Array, judged: Mapping[str, Judgement]) -> None:
        agreement = judged[self._sides[0]].agreement if self._sides else None
        if agreement is None or agreement < self._least_agreement:
            self._least_agreement = np.inf if agreement is None else agreement
            self.picture = Picture(frame=self._frames, image=image, labels=dict(self._before))


def require_classes(side: str, labels: Array, classes: int) -> None:
    """Raise BackendError where a label is no class, as of an engine that computes nonsense."""
    largest = int(labels.max())
    if largest >= classes:
        raise BackendError(
            f"{side} gave a label {largest}, but the network has {classes} classes: what it runs is not this network; "
            "build its engines anew (tdnet-export --rebuild)"
        )


def label_agreement(labels: Array, reference: Array) -> float:
    """Share of pixels with equal labels, 0 to 1; both uint8 [H, W]."""
    if labels.shape != reference.shape:
        raise ValueError(f"labels are {labels.shape}, the reference's are {reference.shape}")
    return float(np.count_nonzero(labels == reference) / labels.size)
