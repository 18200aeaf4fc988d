"""What the labels of a frame are worth: computed between the timed calls, outside all clocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tdnet_bench.inputs.footage import FootageFrame
from tdnet_bench.inputs.label_images import LabelImages, class_pixels
from tdnet_bench.quality.flow import BackwardFlow, temporal_consistency
from tdnet_bench.records.frames import ClassPixels
from tdnet_runtime.errors import BackendError

__all__ = ["Judge", "Judgement", "Picture", "label_agreement", "require_classes"]

Array = npt.NDArray[np.uint8]


class Judgement(NamedTuple):
    """Of one side's labels of one frame; see the fields of the same names in `FrameRecord`."""

    agreement: float | None = None
    temporal_consistency: float | None = None
    class_pixels: ClassPixels | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Picture:
    """One frame of a run, uint8 RGB [H, W, 3], and the labels of the sides that are judged, uint8 [H, W] each."""

    frame: int
    image: Array
    labels: Mapping[str, Array]


class Judge:
    """Compares the labels of consecutive frames with whatever there is to compare them with.

    `sides` are those to judge, the subject first; the others' weights are made up. Labels of `reference` are right by
    definition. `picture` is of the frame where the subject agrees least with it; of the last frame without one.
    """

    def __init__(
        self,
        sides: tuple[str, ...],
        *,
        classes: int,
        reference: str | None = None,
        label_images: LabelImages | None = None,
    ) -> None:
        self._sides, self._classes, self._reference = sides, classes, reference
        self._label_images = label_images
        self._flow = BackwardFlow()
        self._before: dict[str, Array] = {}
        self._frames = 0
        self._least_agreement = np.inf
        self.picture: Picture | None = None

    def __call__(self, frame: FootageFrame, labels: Mapping[str, Array]) -> dict[str, Judgement]:
        """Judge the next frame; `labels`, of at least all sides to judge, are kept until the one after it.

        Raises:
            BackendError: see `require_classes`.
            MediaError: a label image cannot be used.
        """
        if frame.place == 0:
            self._flow = BackwardFlow()  # nothing came before a sequence
        flow = self._flow.next(frame.image)
        truth = None
        if self._label_images is not None:
            truth = self._label_images.of(frame.name, stored_hw=frame.stored_hw)
        judged, classes = {}, self._classes
        for side in self._sides:
            mine, consistency = labels[side], None
            require_classes(side, mine, classes)
            if flow is not None:
                consistency = temporal_consistency(mine, self._before[side], flow, classes=classes)
            pixels = class_pixels(mine, truth, classes=classes) if truth is not None else None
            judged[side] = Judgement(self._agreement(side, labels), consistency, pixels)
        self._before = {side: labels[side] for side in self._sides}
        self._keep_picture(frame, judged)
        self._frames += 1
        return judged

    def _agreement(self, side: str, labels: Mapping[str, Array]) -> float | None:
        if self._reference is None or side == self._reference:
            return None
        return label_agreement(labels[side], labels[self._reference])

    def _keep_picture(self, frame: FootageFrame, judged: Mapping[str, Judgement]) -> None:
        agreement = judged[self._sides[0]].agreement if self._sides else None
        if agreement is None or agreement < self._least_agreement:
            self._least_agreement = np.inf if agreement is None else agreement
            self.picture = Picture(frame=self._frames, image=frame.image, labels=dict(self._before))


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
