"""The parts of TensorRT's Python API that building uses beside Polygraphy's loaders, as Protocols.

TensorRT 10.3 to 11 and TensorRT-RTX 1.7 have all of them under these names. mypy holds this package
against them; a test has pyright hold TensorRT's published stubs against them. Arguments of the
product's own types are Any: a Protocol cannot ask for less than the product does.
"""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["BuilderConfig", "EngineInspector", "InspectableEngine", "Runtime", "TimingCache"]


class TimingCache(Protocol):
    """`tensorrt.ITimingCache`."""

    def combine(self, input_cache: Any, ignore_mismatch: bool) -> bool:
        """Add the entries of another cache; False where that failed."""
        ...

    def serialize(self) -> Any:
        """The cache as a buffer."""
        ...


class BuilderConfig(Protocol):
    """`tensorrt.IBuilderConfig`."""

    def set_flag(self, flag: Any) -> None:
        """Switch a `BuilderFlag` on."""
        ...

    def create_timing_cache(self, serialized_timing_cache: bytes) -> TimingCache | None:
        """A cache from a serialised one, or an empty one from b''; None where it cannot be read."""
        ...

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        """Use the cache in this build; False where it is from another device or version."""
        ...

    def get_timing_cache(self) -> TimingCache | None:
        """The cache of this build, if there is one."""
        ...


class Runtime(Protocol):
    """`tensorrt.Runtime`."""

    def deserialize_cuda_engine(self, serialized_engine: bytes, /) -> InspectableEngine | None:
        """The engine; None, and errors in the log, where it does not fit."""
        ...


class EngineInspector(Protocol):
    """`tensorrt.EngineInspector`."""

    def get_engine_information(self, format: Any) -> str:
        """All layers in the given LayerInformationFormat."""
        ...


class InspectableEngine(Protocol):
    """`tensorrt.ICudaEngine`, as far as its layers are concerned."""

    def create_engine_inspector(self) -> EngineInspector:
        """An inspector of this engine."""
        ...
