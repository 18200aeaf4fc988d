"""Are a side's labels right? Compared with ONNX Runtime's on the CPU, frame by frame from the first on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_bench.gpu_check.records import Agreement
from tdnet_runtime.errors import BackendError

__all__ = ["LEAST", "agreement", "save_labels", "shares_of_equal_labels", "write_labels"]

LEAST = 0.96
"""Share of equal labels that each frame must reach; as for FP16 graphs with made-up, nearly tied weights."""

Labels = npt.NDArray[np.uint8]


def save_labels(made: list[Labels], folder: Path, side: str) -> None:
    """Write labels to `SIDE.npy`, whole or not at all: the part may be ended at any time."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{side}.part"
    with partial.open("wb") as file:
        np.save(file, np.stack(made))
    partial.replace(folder / f"{side}.npy")


def write_labels(
    push: Callable[[Labels], Any], frames: list[Labels], folder: Path, side: str
) -> dict[str, Any]:
    """Segment the frames from the first on and keep the labels.

    Args:
        push: a new stream's; gives uint8 [H, W].
        frames: of the network's size.
        folder: where to.
        side: whose labels.

    Raises:
        BackendError: labels of another type or shape.
    """
    made = []
    for frame in frames:
        labels = np.asarray(push(frame))
        if labels.dtype != np.uint8 or labels.shape != frame.shape[:2]:
            raise BackendError(
                f"labels are {labels.dtype} {list(labels.shape)}, expected uint8 {list(frame.shape[:2])}"
            )
        made.append(labels.copy())
    save_labels(made, folder, side)
    return {"frames": len(made), "largest_label": int(max(labels.max() for labels in made))}


def shares_of_equal_labels(ours: Labels, theirs: Labels) -> tuple[float, ...]:
    """By frame, for as many as both have."""
    count = min(len(ours), len(theirs))
    return tuple(float((ours[index] == theirs[index]).mean()) for index in range(count))


def agreement(
    ours: Labels, theirs: Labels, *, bundle: str, side: str, reference: str, classes: int
) -> Agreement | None:
    """The verdict on a side's labels [frames, H, W]; None where no frame has both.

    Args:
        ours: of the side.
        theirs: of the CPU.
        bundle: name of the bundle.
        side: its name.
        reference: precision of the CPU's graphs.
        classes: K.
    """
    shares = shares_of_equal_labels(ours, theirs)
    if not shares:
        return None
    correct = min(shares) >= LEAST and int(ours.max()) < classes
    return Agreement(bundle=bundle, side=side, reference=reference, frames=shares, correct=correct)
