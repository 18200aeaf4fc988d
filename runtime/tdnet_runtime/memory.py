"""A stream's memory and schedule: which path a frame runs, what it reads, and where it writes.

Slot = path: the ring has one slot for each of the m paths, and path p always writes slot p and reads
the m−1 others, in the order that the manifest states. Every path therefore has fixed addresses:
nothing is copied, moved or swapped from frame to frame (spec §3; docs/adr/0003).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_runtime.backends.base import Binding, Buffer, Program, Session, SplitProgram
from tdnet_runtime.errors import OptionError
from tdnet_runtime.manifest import CONFIDENCE, IMAGE, LABELS, WARM, Manifest, PathSpec, TensorSpec

__all__ = ["StreamMemory", "is_cold", "path_index", "require_own_labels"]

Slots = dict[str, npt.NDArray[Any]]


def path_index(frame_index: int, paths: int) -> int:
    """The path (1 to m) that runs frame `frame_index` (0 for the first one since the start or a reset)."""
    return frame_index % paths + 1


def is_cold(frame_index: int, cold_frames: int) -> bool:
    """True where the memory does not yet hold m−1 frames: the output then uses no attention."""
    return frame_index < cold_frames


def require_own_labels(manifest: Manifest, *, asked: str) -> None:
    """Raise OptionError, which begins with what was `asked`, unless frames may go without attention."""
    if manifest.own_graphs:
        return
    if not manifest.state.slots:
        raise OptionError(
            f"{asked}: {manifest.network} looks at each frame alone and has no attention to leave out"
        )
    size = f"{manifest.input.height}x{manifest.input.width}"
    raise OptionError(
        f"{asked}: this bundle has no graphs for the labels of its sub-networks alone (a Triton server's models never have "
        f"any); export it with them: tdnet-export --ckpt CHECKPOINT --size {size} --own-labels"
    )


class StreamMemory:
    """All buffers of one stream, and programs for each path that are bound to them: with its APM, and with its own graph.

    Args:
        manifest: the contract.
        session: where buffers and programs come from; it owns them.

    Attributes:
        image: uint8 [1, H, W, 3], to be filled before `run`.
        labels: uint8 [1, H, W], filled by `run`.
        confidence: uint8 [1, H, W], filled by `run`; None where the bundle has none.
    """

    def __init__(self, manifest: Manifest, session: Session) -> None:
        self._manifest = manifest
        self._buffers: dict[str, Buffer] = {}
        self._allocate(session)
        self.image = self._buffers[IMAGE]
        self.labels = self._buffers[LABELS]
        self.confidence = self._buffers.get(CONFIDENCE)
        self._programs: tuple[Program, ...] = tuple(
            session.prepare(self._bindings(path, path.apm)) for path in manifest.paths
        )
        self._own_programs: tuple[Program, ...] = tuple(
            session.prepare(self._bindings(path, path.own)) for path in manifest.paths if path.own is not None
        )
        self._warm: bool | None = None
        self._prepared: int | None = None
        self._attended = True
        self.zero()

    def prepare(self, path: int) -> None:
        """Do for the next run, of `path` and warm, what does not need the image; nothing after a run without attention.

        What it did is used by the next run, if that is one of `path` with attention, and by no later one; `zero` and `load`
        undo it. Nothing to be seen changes: no slot is written.

        Raises:
            BackendError: the engine failed; the slots are as they were.
        """
        program = self._programs[path - 1]
        if isinstance(program, SplitProgram) and self._attended and self._prepared != path:
            self._prepared = None  # all paths leave it in one place
            program.past.run()
            self._prepared = path

    def run(self, path: int, *, cold: bool, attention: bool = True) -> None:
        """Run the graphs of `path` (1 to m) on the image; its slot is overwritten.

        Without `attention`, of which `require_own_labels` says whether that can be, the labels are the sub-network's own.

        Raises:
            BackendError: the engine failed; the path's slot is then undefined.
        """
        prepared, self._prepared, self._attended = self._prepared, None, attention
        if attention:
            self._set_warm(not cold)
            program = self._programs[path - 1]
            if isinstance(program, SplitProgram) and prepared == path:
                program = program.rest
            program.run()
        else:
            self._own_programs[path - 1].run()

    def logits(self) -> npt.NDArray[Any] | None:
        """A copy of the last run's logits, [1, K, h, w]; None where the bundle has none."""
        host = self._buffers["logits"].host if "logits" in self._buffers else None
        return None if host is None else np.array(host)

    def tensor(self, name: str) -> npt.NDArray[Any]:
        """A copy of any tensor of the contract as the last run left it; KeyError where there is none."""
        return self._buffers[name].dump()

    @property
    def names(self) -> tuple[str, ...]:
        """Names that `tensor` knows."""
        return tuple(self._buffers)

    def zero(self) -> None:
        """Clear all slots. Cold frames ignore them, but what they hold must be finite: 0·NaN is NaN.

        Raises:
            BackendError: the engine failed; the slots are then undefined.
        """
        self._prepared, self._attended = None, True
        for name in self._slot_names():
            self._buffers[name].zero()

    def dump(self) -> Slots:
        """Copies of all slots' tensors by name (`slot{p}_{t}`)."""
        return {name: self._buffers[name].dump() for name in self._slot_names()}

    def load(self, slots: Slots) -> None:
        """Fill all slots from `dump`'s result; the caller has checked names and shapes.

        Raises:
            BackendError: the engine failed; the slots are then undefined.
        """
        self._prepared, self._attended = None, True
        for name in self._slot_names():
            self._buffers[name].load(slots[name])

    def release(self) -> None:
        """Let go of all buffers and programs, which hold the engine's weights; nothing works afterwards."""
        self._programs = self._own_programs = ()
        self._buffers = {}
        del self.image, self.labels, self.confidence

    def _slot_names(self) -> list[str]:
        return [
            f"slot{path.index}_{spec.name}"
            for path in self._manifest.paths[: self._manifest.state.slots]
            for spec in self._manifest.state.entry
        ]

    def _allocate(self, session: Session) -> None:
        """One buffer for each distinct tensor: paths share image, query, value, warm and the results."""
        visible = (IMAGE, LABELS, CONFIDENCE, "logits", WARM)
        for path in self._manifest.paths:
            for graph in filter(None, (path.subnet, path.apm, path.own)):
                for spec in (*self._manifest.graph(graph).inputs, *self._manifest.graph(graph).outputs):
                    name = self._buffer_name(path, spec.name)
                    if name not in self._buffers:
                        own = TensorSpec(name=name, shape=spec.shape, dtype=spec.dtype)
                        self._buffers[name] = session.allocate(own, host_visible=name in visible)

    def _bindings(self, path: PathSpec, last: str | None) -> list[Binding]:
        """The sub-network of `path` and its `last` graph, if any, with a buffer for each tensor."""
        result: list[Binding] = []
        for graph in filter(None, (path.subnet, last)):
            spec = self._manifest.graph(graph)
            names = [tensor.name for tensor in (*spec.inputs, *spec.outputs)]
            result.append((graph, {name: self._buffers[self._buffer_name(path, name)] for name in names}))
        return result

    def _buffer_name(self, path: PathSpec, tensor: str) -> str:
        """A path's `memory_k` is its own slot's `slot{p}_k`; other tensors go by their own name."""
        leaf = tensor.removeprefix("memory_")
        return tensor if leaf == tensor else f"slot{path.index}_{leaf}"

    def _set_warm(self, warm: bool) -> None:
        if warm != self._warm and "warm" in self._buffers:
            self._warm = None  # unknown until it is there
            self._buffers["warm"].load(np.array([warm], dtype=np.float32))
        self._warm = warm
