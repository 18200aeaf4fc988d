"""When two sides that saw the same frames agree: a tensor's error, and what is said where a bound is not held."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tdnet_export.parity_report import ConfidenceParity, FrameParity, ParityBounds, ParityReport
from tdnet_runtime import Result
from tdnet_runtime.errors import ParityError

__all__ = [
    "Verdict",
    "confidence_parity",
    "confusion",
    "required_frames",
    "spread",
    "sum_of_squares",
    "tensor_error",
    "where",
]

_BLOCK = 1 << 18  # elements: what fits into a core's cache


def required_frames(paths: int) -> int:
    """3m + 2: every path three times, the cold frames and the return from the last path to the first."""
    return 3 * paths + 2


def tensor_error(
    found: npt.NDArray[np.floating], wanted: npt.NDArray[np.floating], scale: float | None = None
) -> float:
    """Max |Δ| / std of `wanted`; infinite where something is not finite, so that it can hold no bound.

    Args:
        found: of any floating-point type, of the shape of `wanted`.
        wanted: what it should be.
        scale: std of `wanted` where it is known; see `spread`.
    """
    worst = 0.0
    difference = np.empty(min(_BLOCK, wanted.size), dtype=np.float32)
    ours, theirs = found.reshape(-1), wanted.reshape(-1)
    with np.errstate(invalid="ignore", over="ignore"):  # told by the result
        for start in range(0, theirs.size, _BLOCK):
            block = theirs[start : start + _BLOCK]
            delta = difference[: block.size]
            np.subtract(ours[start : start + _BLOCK], block, out=delta, casting="same_kind")
            largest = float(np.maximum(delta.max(), -delta.min()))  # NaN where there is one
            if not np.isfinite(largest):
                return float("inf")
            worst = max(worst, largest)
    scale = spread(wanted) if scale is None else scale
    return worst / scale if scale > 0 else (0.0 if worst == 0 else float("inf"))


def spread(values: npt.NDArray[np.floating]) -> float:
    """Standard deviation in float64, block by block: a full-size tensor's doubles would be hundreds of MB."""
    flat = values.reshape(-1)
    with np.errstate(invalid="ignore", over="ignore"):  # told by the result
        mean = float(flat.sum(dtype=np.float64)) / flat.size
        total = 0.0
        for start in range(0, flat.size, _BLOCK):
            delta = flat[start : start + _BLOCK].astype(np.float64) - mean
            total += sum_of_squares(delta)
    return float(np.sqrt(total / flat.size))


def sum_of_squares(values: npt.NDArray[np.float64]) -> float:
    """Of a vector, without BLAS, whose threads wait for each other: 15 times as long beside PyTorch's."""
    return float(np.einsum("i,i", values, values))


def confidence_parity(
    found: npt.NDArray[np.uint8],
    wanted: npt.NDArray[np.floating],
    *,
    logits_off: float | None,
    rounding: float,
) -> ConfidenceParity:
    """How far a frame's confidence is off.

    Args:
        found: as it came, at any pixels.
        wanted: shares of the same labels there, 0 to 1.
        logits_off: max |Δ| of the frame's logits; None where they are not known.
        rounding: to steps of 1/255 half a step for each side that is rounded, and what arithmetic adds to it.
    """
    off = np.abs(found.astype(np.float32) / 255 - wanted)
    allowed = 1.0 if logits_off is None else min(float(np.tanh(logits_off / 2)) + rounding, 1.0)
    if not off.size:
        return ConfidenceParity(mean=0.0, worst=0.0, allowed=allowed)
    return ConfidenceParity(mean=float(off.mean(dtype=np.float64)), worst=float(off.max()), allowed=allowed)


def confusion(
    expected: npt.NDArray[np.integer], found: npt.NDArray[np.uint8], classes: int
) -> npt.NDArray[np.int64]:
    """Pixels by [expected class, found class], both `classes` long."""
    pairs = expected.astype(np.int64) * classes + found
    return np.bincount(pairs.ravel(), minlength=classes * classes).reshape(classes, classes)


def where(frame: Result | FrameParity) -> str:
    """Which frame it is, in words."""
    index = frame.frame_index if isinstance(frame, Result) else frame.frame
    return f"frame {index} (path {frame.path}, {'cold' if frame.cold else 'warm'})"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Raises ParityError where a bound is not held.

    Attributes:
        bounds: to be held.
        diverged: what that means, in a clause.
        other: whose labels are compared with, `PyTorch`.
        advice: what to do then.
    """

    bounds: ParityBounds
    diverged: str
    other: str
    advice: str

    def require_frame(self, figures: FrameParity) -> None:
        """Raise where the frame is out of bounds, naming its first tensor that is."""
        bound = np.format_float_scientific(self.bounds.max_error, trim="-", exp_digits=2)
        for name, error in figures.errors.items():
            if not error <= self.bounds.max_error:
                raise ParityError(
                    f"{self.diverged}: {where(figures)} is the first that diverges, in the tensor {name!r}: "
                    f"max |Δ|/std is {error:.2e}, the bound is {bound}. {self.advice}"
                )
        if figures.label_agreement < self.bounds.min_label_agreement:
            raise ParityError(
                f"{self.diverged}: {where(figures)} is the first whose labels differ: {figures.label_agreement:.4%} "
                f"agree, the bound is {self.bounds.min_label_agreement:.1%}. {self.advice}"
            )

        off = figures.confidence
        if off is not None and not (
            off.worst <= off.allowed and off.mean <= self.bounds.max_confidence_error
        ):
            raise ParityError(
                f"{self.diverged}: {where(figures)} is the first whose confidence differs: by {off.mean:.4f} of its range "
                f"in the mean, the bound is {self.bounds.max_confidence_error:.4f}, and by {off.worst:.4f} at worst, of "
                f"which its logits explain {off.allowed:.4f}. {self.advice}"
            )

    def require_all(self, report: ParityReport) -> None:
        """Raise where all frames together are out of bounds."""
        worst = report.worst_class
        if report.label_agreement < self.bounds.min_mean_agreement:
            raise ParityError(
                f"{self.diverged}: over all {len(report.frames)} frames {report.label_agreement:.4%} of the labels "
                f"agree, the bound is {self.bounds.min_mean_agreement:.1%}. {self.advice}"
            )
        if 1 - worst.iou > self.bounds.max_class_loss:
            raise ParityError(
                f"{self.diverged}: over all {len(report.frames)} frames class {worst.index} has an IoU of "
                f"{worst.iou:.4f} with {self.other}'s labels, the bound is {1 - self.bounds.max_class_loss:.2f}. "
                f"{self.advice}"
            )
