"""The bundle in the runtime, as a robot would call it, on any of the runtime's backends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tdnet_bench.records.config import SideSpec
from tdnet_bench.sides.coverage import clocks_of_bundle
from tdnet_bench.sides.side import Array, Mask, Push
from tdnet_runtime import Segmenter

__all__ = ["GPU_BACKENDS", "BundleSide"]

GPU_BACKENDS = frozenset({"tensorrt", "tensorrt-rtx", "cuda"})
"""Backends whose frames and labels are copied to the device and back."""


class BundleSide:
    """One opened bundle; takes frames of any size.

    Args:
        segmenter: opened; closed by whoever opened it.

    Attributes:
        segmenter: as given.
        name: backend and precision, `onnxruntime:fp32`.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self.segmenter = segmenter
        self._captured: bool | None = None
        self.name = f"{segmenter.backend.name}:{segmenter.backend.precision}"

    def spec(self, *, camera: bool) -> SideSpec:
        """What it is, to be asked after the warm-up; `camera` where camera to mask is measured, too."""
        backend = self.segmenter.backend
        return SideSpec(
            name=self.name,
            kind="bundle",
            precision=backend.precision,
            description=backend.description,
            weights="bundle",
            clocks=clocks_of_bundle(
                on_device=backend.name in GPU_BACKENDS, cuda_graph=self._captured is True, camera=camera
            ),
        )

    @contextmanager
    def stream(self) -> Iterator[Push]:
        """See `Side`."""
        with self.segmenter.stream() as stream:

            def push(frame: Array) -> Mask:
                result = stream.push(frame)
                self._captured = getattr(result, "captured", None)
                return Mask(result.labels, getattr(result, "device_compute_ns", None))

            yield push
