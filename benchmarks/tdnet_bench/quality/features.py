"""How far a side's features are from those of the bundle's FP32 graphs: what labels alone do not show.

Labels of a network that is sure of its classes hide what a precision costs, and those of weights that were never
trained exaggerate it, since their classes are nearly tied. The value features V of a sub-network (spec §2) depend on
the frame alone, so that no error of an earlier frame is in them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tdnet_bench.records import Record
from tdnet_bench.sides.bundle_side import BundleSide
from tdnet_bench.sides.side import Array

__all__ = ["FeatureErrors", "feature_errors", "relative_error"]

_FEATURES = "value"
_FULL_PRECISION = "fp32"


class FeatureErrors(Record, frozen=True, kw_only=True):
    """Of one side against `reference`, by path (each saw one frame of its own); see `relative_error`."""

    reference: str
    by_path: tuple[float, ...]

    @property
    def worst(self) -> float:
        """The largest one."""
        return max(self.by_path)


def feature_errors(sides: Sequence[object], images: Sequence[Array]) -> dict[str, FeatureErrors]:
    """Compare the value features of all bundle sides with those of the first one in FP32; empty without one, or attention.

    Runs m frames, of m or more `images`, through a new stream of each side: to be done after everything that is timed.
    """
    bundles = [side for side in sides if isinstance(side, BundleSide)]
    reference = next((side for side in bundles if side.segmenter.backend.precision == _FULL_PRECISION), None)
    if reference is None or len(bundles) == 1 or not reference.segmenter.manifest.state.slots:
        return {}
    expected = _features(reference, images)
    return {
        side.name: FeatureErrors(
            reference=reference.name,
            by_path=tuple(map(relative_error, _features(side, images), expected)),
        )
        for side in bundles
        if side is not reference
    }


def relative_error(values: npt.NDArray[np.floating], expected: npt.NDArray[np.floating]) -> float:
    """‖values − expected‖ over ‖expected − its mean‖ (1 where that is 0), over all elements; both of one shape."""
    exact = expected.astype(np.float64)
    return float(np.linalg.norm(values - exact) / (np.linalg.norm(exact - exact.mean()) or 1.0))


def _features(side: BundleSide, images: Sequence[Array]) -> list[npt.NDArray[np.floating]]:
    paths = len(side.segmenter.manifest.paths)
    features = []
    with side.segmenter.stream() as stream:
        for image in images[:paths]:
            stream.push(image)
            features.append(stream.tensor(_FEATURES))
    return features
