"""What the closed-loop proof found: figures of each frame, path and class, and the bounds they must hold."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

__all__ = [
    "BOUNDS",
    "SCENE",
    "UNBOUNDED",
    "ClassParity",
    "ConfidenceParity",
    "FrameParity",
    "ParityBounds",
    "ParityReport",
    "PathParity",
    "class_parity",
    "path_parity",
]

SCENE = "rendered moving scene"
"""What the footage is called where the user gave none."""

UNBOUNDED = float(1 << 20)
"""As `max_error`: any finite one is allowed. (JSON has no infinity.)"""

_COMMON_CLASS = 0.01  # share of the pixels from which on a class's loss counts


class ParityBounds(msgspec.Struct, frozen=True, kw_only=True):
    """What a precision must hold.

    Attributes:
        min_label_agreement: share of equal labels, of every frame.
        min_mean_agreement: share of equal labels, of all frames together.
        max_class_loss: 1 − IoU with PyTorch's labels, of every class with at least 1 % of the pixels; of the largest one
            where none has that.
        max_error: max |Δ| / std of every tensor on every frame.
        max_confidence_error: mean |Δ| of the confidence of every frame, where 1 is its whole range; how far a single
            pixel may be off follows from the frame's logits (`ConfidenceParity`).
    """

    min_label_agreement: float
    min_mean_agreement: float
    max_class_loss: float
    max_error: float
    max_confidence_error: float = 1.0


BOUNDS = {
    "fp32": ParityBounds(
        min_label_agreement=0.999,
        min_mean_agreement=0.999,
        max_class_loss=0.05,
        max_error=2e-3,
        max_confidence_error=1 / 255,
    ),
    "fp16": ParityBounds(
        min_label_agreement=0.96,
        min_mean_agreement=0.98,
        max_class_loss=0.06,
        max_error=0.25,
        max_confidence_error=0.02,
    ),
    "int8": ParityBounds(
        min_label_agreement=0.96,
        min_mean_agreement=0.98,
        max_class_loss=0.12,
        max_error=4.0,
        max_confidence_error=0.1,
    ),
}
BOUNDS["int8_fp16"] = BOUNDS["int8"]
"""By precision. FP16's hold for weights that were never trained, whose classes are nearly tied everywhere.
INT8's hold for trained ones on footage like the calibration's; its tensors are off by single positions.
Rounding to steps of 1/255 alone costs the confidence a quarter of a step in the mean."""


class ConfidenceParity(msgspec.Struct, frozen=True, kw_only=True):
    """How far a frame's confidence is off, where 1 is its whole range.

    Attributes:
        mean: of |Δ|.
        worst: the largest |Δ|.
        allowed: for `worst`: what its logits explain. Where none is off by more than δ, no share of a softmax or sigmoid
            moves by more than tanh(δ/2); and what rounding costs comes to that. 1 where the logits are not known.
    """

    mean: float
    worst: float
    allowed: float


class FrameParity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Figures of one frame: index, path, cold or not, label agreement, each tensor's error, the confidence's if any."""

    frame: int
    path: int
    cold: bool
    label_agreement: float
    errors: dict[str, float]
    confidence: ConfidenceParity | None = None


class PathParity(msgspec.Struct, frozen=True, kw_only=True):
    """Label agreement of the frames that one path ran: of all together, and of the worst one."""

    path: int
    frames: int
    label_agreement: float
    worst_frame_agreement: float


class ClassParity(msgspec.Struct, frozen=True, kw_only=True):
    """One class over all frames: index, share of PyTorch's labels, and IoU with them (1 where neither has it)."""

    index: int
    share: float
    iou: float


class ParityReport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole proof, as it lies in the bundle.

    Attributes:
        schema_version: of this report.
        precision: of the graphs.
        engine: that ran them, and on what terms.
        footage: where the frames came from.
        memory_stride: n, of both sides.
        bounds: that were held.
        frames: in order.
        paths: from 1 on.
        classes: in the order of their indices.
        own: the same of the labels without attention, on the same frames; None where there are no graphs for them.
    """

    schema_version: int
    precision: str
    engine: str
    footage: str
    memory_stride: int
    bounds: ParityBounds
    frames: tuple[FrameParity, ...]
    paths: tuple[PathParity, ...]
    classes: tuple[ClassParity, ...]
    own: ParityReport | None = None

    @property
    def label_agreement(self) -> float:
        """Mean over all frames."""
        return float(np.mean([frame.label_agreement for frame in self.frames]))

    @property
    def worst_frame_agreement(self) -> float:
        """Of the worst frame."""
        return min(frame.label_agreement for frame in self.frames)

    @property
    def logits_error(self) -> float:
        """Largest max |Δlogits| / std of a frame."""
        return max(frame.errors["logits"] for frame in self.frames)

    @property
    def confidence_error(self) -> float | None:
        """Mean |Δ| of the confidence in the worst frame, where 1 is its whole range; None where there is none."""
        return max((frame.confidence.mean for frame in self.frames if frame.confidence), default=None)

    @property
    def worst_class(self) -> ClassParity:
        """The one with the lowest IoU among the classes with at least 1 % of the pixels; where none has, the largest."""
        largest = max(self.classes, key=lambda c: c.share)  # below 1 % from 101 classes on
        return min(
            (c for c in self.classes if c.share >= _COMMON_CLASS), key=lambda c: c.iou, default=largest
        )

    @property
    def dominant_class(self) -> int | None:
        """The class of which labels would hold the bounds if all of them were it; None where there is none such."""
        first, *others = sorted(self.classes, key=lambda c: -c.share)
        unjudged = self.bounds.max_class_loss >= 1 or all(c.share < _COMMON_CLASS for c in others)
        return first.index if unjudged and first.share >= self.bounds.min_mean_agreement else None


def path_parity(frames: tuple[FrameParity, ...]) -> tuple[PathParity, ...]:
    """Figures of each path that ran a frame."""
    result = []
    for path in sorted({frame.path for frame in frames}):
        shares = [frame.label_agreement for frame in frames if frame.path == path]
        mean = float(np.mean(shares))
        result.append(
            PathParity(path=path, frames=len(shares), label_agreement=mean, worst_frame_agreement=min(shares))
        )
    return tuple(result)


def class_parity(confusion: npt.NDArray[np.int64]) -> tuple[ClassParity, ...]:
    """Figures of each class from the count of pixels [expected, found], both K long."""
    hits = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - hits
    return tuple(
        ClassParity(index=index, share=float(share), iou=float(both / either) if either else 1.0)
        for index, (share, both, either) in enumerate(
            zip(confusion.sum(1) / confusion.sum(), hits, union, strict=True)
        )
    )
