"""What the runtime needs of an inference engine that computes on a GPU: one loaded graph each.

The calling thread must be inside `Device.current()` for every call. Every failure is a BackendError
that names the graph and carries what the engine logged; only `close` never raises.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Engine", "EngineContext", "EngineTensor"]


@dataclass(frozen=True, slots=True)
class EngineTensor:
    """A tensor as the engine itself states it; `dtype` is NumPy's name where NumPy has the type."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    is_input: bool


class EngineContext(Protocol):
    """One stream's use of an engine. Keeps its addresses until they are set again."""

    def set_activation_memory(self, address: int, nbytes: int) -> None:
        """Scratch memory for `enqueue`, aligned to 256 bytes; may be shared by contexts that never overlap."""

    def set_address(self, tensor: str, address: int) -> None:
        """Where a tensor lies."""

    def obstacle_to_capture(self, stream: int) -> str | None:
        """Why the engine says that `enqueue` cannot be captured; None where it can or does not say."""

    def enqueue(self, stream: int) -> None:
        """Put the graph's work on the stream with this handle."""

    def close(self) -> None:
        """Release it, once its work is done. Safe to call twice."""


class Engine(Protocol):
    """One graph's weights and kernels, shared by all streams.

    Attributes:
        graph: its name in the manifest.
        tensors: inputs and outputs.
        activation_bytes: scratch memory that each context needs while it runs.
    """

    graph: str
    tensors: tuple[EngineTensor, ...]
    activation_bytes: int

    def create_context(self) -> EngineContext:
        """A context without scratch memory of its own."""

    def close(self) -> None:
        """Release the weights; contexts must be closed before. Safe to call twice."""
