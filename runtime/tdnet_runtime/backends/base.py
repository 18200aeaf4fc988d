"""What an inference engine must offer, and no more: four small protocols.

A `Backend` opens a bundle's weights once. Each stream gets a `Session` of it, which owns the
stream's buffers and has every graph bound to them before the first frame; what is left for a frame
is `Program.run()`. Schedule, ring and cold rule are not the backend's business: see `memory.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy.typing as npt

from tdnet_runtime.manifest import TensorSpec

__all__ = ["Backend", "Binding", "Buffer", "Program", "Session"]

Binding = tuple[str, Mapping[str, "Buffer"]]
"""A graph's name, and a buffer for each of its inputs and outputs, by tensor name."""


class Buffer(Protocol):
    """Memory of one tensor at an address that never changes; owned by the session.

    Attributes:
        spec: name, shape and dtype.
        host: the tensor as a NumPy array that may be read and written between two runs. An engine
            with memory of its own copies a buffer that was allocated with `host_visible=True` in
            before a program that reads it, and out after one that writes it; for other buffers
            `host` is None there.
    """

    spec: TensorSpec
    host: npt.NDArray[Any] | None

    def load(self, values: npt.NDArray[Any]) -> None:
        """Copy `values` (same shape and dtype) in; complete on return."""

    def dump(self) -> npt.NDArray[Any]:
        """A new array with the tensor's values."""

    def zero(self) -> None:
        """Set all bytes to zero; complete on return."""


class Program(Protocol):
    """Graphs bound to buffers, to be run in order. May be a captured CUDA graph."""

    def run(self) -> None:
        """Run the graphs; host-visible outputs are complete on return.

        Raises:
            BackendError: the engine failed; the contents of the outputs are undefined.
        """


class Session(Protocol):
    """One stream's share of a backend: its buffers and bindings."""

    def allocate(self, spec: TensorSpec, *, host_visible: bool = False) -> Buffer:
        """A zeroed buffer, alive until `close`."""

    def prepare(self, bindings: Sequence[Binding]) -> Program:
        """Bind each graph to its buffers, once and for all.

        A program may run (on whatever its buffers hold) while it is prepared, so prepare before the
        buffers matter and zero them after.
        """

    def close(self) -> None:
        """Release buffers and bindings. Safe to call twice."""


class Backend(Protocol):
    """An inference engine with one bundle's graphs loaded; shared by all streams.

    Attributes:
        name: as in `Segmenter.open(backend=...)`.
        precision: of the graphs that were loaded.
        description: engine, version and device in one line.
    """

    name: str
    precision: str
    description: str

    def session(self) -> Session:
        """A new session; sessions may be used from different threads, each from one at a time."""

    def close(self) -> None:
        """Release the weights. Sessions must be closed before. Safe to call twice."""
