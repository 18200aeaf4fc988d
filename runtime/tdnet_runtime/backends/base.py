"""What an inference engine must offer, and no more: four small protocols, and a program in two parts.

A `Backend` opens a bundle's weights once. Each stream gets a `Session` of it, which owns the
stream's buffers and has every graph bound to them before the first frame; what is left for a frame
is `Program.run()`. Schedule, ring and cold rule are not the backend's business: see `memory.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy.typing as npt

from tdnet_runtime.manifest import LABELS, TensorSpec

if TYPE_CHECKING:
    from tdnet_runtime.gpu.device import ForeignArray
    from tdnet_runtime.gpu.labels import DeviceLabels

__all__ = [
    "NO_GRAPHS_WANTED",
    "Backend",
    "Binding",
    "Buffer",
    "Capturing",
    "DeviceBackend",
    "DeviceSession",
    "MemoryUse",
    "Program",
    "Session",
    "SplitProgram",
]

Binding = tuple[str, Mapping[str, "Buffer"]]
"""A graph's name, and a buffer for each of its inputs and outputs, by tensor name."""


class Buffer(Protocol):
    """Memory of one tensor at an address that never changes; owned by the session.

    `load`, `dump` and `zero` raise BackendError where an engine with memory of its own fails.

    Attributes:
        spec: name, shape and dtype.
        host: the tensor as a NumPy array that may be read and written between two runs. An engine
            with memory of its own copies a buffer that was allocated with `host_visible=True` in
            before a program that reads it, and out after one that writes it; for other buffers
            `host` is None there. Get it anew for each run: it may be another array each time, and
            getting it may wait (BackendError: for a run that has failed).
    """

    spec: TensorSpec

    @property
    def host(self) -> npt.NDArray[Any] | None:
        """See above."""

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


@dataclass(frozen=True, slots=True, eq=False)
class SplitProgram:
    """A program whose first part reads nothing but the memory, and may be run before there is a frame.

    Attributes:
        past: the first part; what it leaves is good for one run of `rest`, until an entry of the memory is written.
        rest: all else.
    """

    past: Program
    rest: Program

    def run(self) -> None:
        """See `Program.run`; both parts."""
        self.past.run()
        self.rest.run()


class Session(Protocol):
    """One stream's share of a backend: its buffers and bindings."""

    def allocate(self, spec: TensorSpec, *, host_visible: bool = False) -> Buffer:
        """A zeroed buffer, alive until `close`."""

    def prepare(self, bindings: Sequence[Binding]) -> Program:
        """Bind each graph to its buffers, once and for all; a `SplitProgram` where a part can be done between frames.

        A program may run (on whatever its buffers hold) while it is prepared, so prepare before the
        buffers matter and zero them after.
        """

    def close(self) -> None:
        """Release buffers and bindings. Safe to call twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryUse:
    """What a session holds on a GPU, without the engines, which all sessions share.

    Attributes:
        device_bytes: of the GPU's memory; captured graphs, which the driver keeps, are not counted.
        scratch_bytes: the part of it that the graphs compute in, one after the other.
        pinned_bytes: of page-locked host memory.
    """

    device_bytes: int
    scratch_bytes: int
    pinned_bytes: int


@runtime_checkable
class Capturing(Protocol):
    """What a session offers besides if its programs may be captured CUDA graphs.

    Attributes:
        captured: the last run was a graph's replay; False: graph by graph, because capturing failed.
    """

    captured: bool


NO_GRAPHS_WANTED = "the application wants none"
"""Why a stream's programs are not captured where its backend's `use_graphs` was False."""


@runtime_checkable
class DeviceSession(Session, Capturing, Protocol):
    """A session whose memory is a GPU's: frames may lie there already, and labels may stay."""

    @property
    def memory_use(self) -> MemoryUse:
        """What the session holds."""

    def admit(self, frame: object) -> ForeignArray:
        """Check a frame on the GPU, and order the session's work after its producer's.

        Raises:
            FrameError: not uint8 [H, W, 3] of the network's size, contiguous, on this GPU.
            BackendError: the driver failed.
        """

    def feed(self, frame: ForeignArray) -> None:
        """Take the image of the next run from `frame` instead of from the image buffer's `host`."""

    def device_labels(
        self, frame_index: int, tensor: str = LABELS, *, wait: Callable[[], None]
    ) -> DeviceLabels:
        """The last run's labels, or their confidence, where they are; `wait`: until all work is done."""

    def settle(self) -> None:
        """Wait for all work; BackendError where any of it has failed. Failures are reported once."""


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


@runtime_checkable
class DeviceBackend(Backend, Protocol):
    """A backend whose sessions have a GPU's memory."""

    def device_session(
        self, *, labels_to_host: bool = True, cuda_stream: object | None = None
    ) -> DeviceSession:
        """As `session`.

        Args:
            labels_to_host: False: labels stay on the GPU, and a run does not wait for them.
            cuda_stream: the caller's CUDA stream, to do all work on.

        Raises:
            OptionError: `cuda_stream` is not a stream.
        """
