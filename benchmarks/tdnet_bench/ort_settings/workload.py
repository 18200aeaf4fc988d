"""What every variant runs: path 1's graphs on the buffers of a stream that is warm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tdnet_bench.inputs.footage import SceneFootage
from tdnet_bench.sides.side import Array
from tdnet_runtime import Segmenter
from tdnet_runtime.backends.base import Binding, Buffer, Program, Session
from tdnet_runtime.manifest import TensorSpec
from tdnet_runtime.memory import StreamMemory, is_cold, path_index

__all__ = ["PRECISION", "Workload", "workload_of"]

PRECISION = "fp32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A frame of path 1.

    Attributes:
        graphs: the graphs as the bundle has them, by name, in the order of a frame.
        bindings: likewise, with a buffer on the host for each tensor; what is read is a warm frame's.
        labels: uint8 [1, H, W], the buffer that the last graph writes.
    """

    graphs: dict[str, bytes]
    bindings: tuple[Binding, ...]
    labels: Array


def workload_of(segmenter: Segmenter) -> Workload:
    """Run the rendered scene through the backend until path 1 has had a warm frame, and keep its buffers.

    Args:
        segmenter: with FP32 graphs on the backend `onnxruntime`, whose buffers outlive it.

    Raises:
        BackendError: the engine failed.
        BundleError: the file was changed since it was opened.
    """
    manifest = segmenter.manifest.at(PRECISION)
    paths, cold_frames = len(manifest.paths), manifest.state.cold_frames
    count = 2 * paths + 1  # the last one is path 1's, and warm
    footage = SceneFootage(height=manifest.input.height, width=manifest.input.width, count=count)
    footage.render()
    recorder = _Recorder(segmenter.backend.session())
    memory = StreamMemory(manifest, recorder)
    for index, frame in enumerate(footage.frames(count)):
        image = memory.image.host
        assert image is not None  # all memory is the host's
        image[0] = frame.image
        memory.run(path_index(index, paths), cold=is_cold(index, cold_frames))
    bindings = recorder.prepared[0]
    labels = memory.labels.host
    assert labels is not None  # likewise
    memory.release()
    recorder.close()
    members = {name: manifest.graph(name).members[PRECISION] for name, _ in bindings}
    return Workload(
        graphs={name: segmenter.bundle.read(member) for name, member in members.items()},
        bindings=tuple(bindings),
        labels=labels,
    )


class _Recorder:
    """A session that remembers what was bound, by path."""

    def __init__(self, session: Session) -> None:
        self.prepared: list[Sequence[Binding]] = []
        self._session = session

    def allocate(self, spec: TensorSpec, *, host_visible: bool = False) -> Buffer:
        """See `Session.allocate`."""
        return self._session.allocate(spec, host_visible=host_visible)

    def prepare(self, bindings: Sequence[Binding]) -> Program:
        """See `Session.prepare`."""
        self.prepared.append(bindings)
        return self._session.prepare(bindings)

    def close(self) -> None:
        """See `Session.close`."""
        self._session.close()
