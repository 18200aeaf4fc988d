"""Engines for the fake GPU, with a law of which every label can be foretold.

`img` is the image's first byte. A sub-network p fills its memory entry, `query` and `value` with
p + 8·img. An APM's labels are (value + [Σₐ 3ᵃ·slot v of age a] if warm + pixel number) mod 251, a = 0 for
the oldest slot; an own graph's (value + pixel number) mod 251; a per-frame network's are
(p + 8·img + pixel number) mod 251. Where an input holds poison, the labels are 255.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from tests.runtime.gpu.fake_device import ALIGNMENT, FakeDevice, FakeMemory, Work

from tdnet_runtime.errors import BackendError
from tdnet_runtime.gpu.engine import EngineTensor
from tdnet_runtime.manifest import GraphSpec, Manifest, PathSpec, TensorSpec

MODULUS = 251
Arrays = Mapping[str, np.ndarray]


def expected_labels(images: Sequence[int], paths: int, shape: tuple[int, ...]) -> np.ndarray:
    """Labels of the last of consecutive frames since a reset, given each image's first byte."""
    index = len(images) - 1
    numbers = [i % paths + 1 + 8 * image for i, image in enumerate(images)]
    total = numbers[index]
    if paths > 1 and index >= paths - 1:
        past = numbers[index - paths + 1 : index]  # the oldest first
        total += sum(3**age * number for age, number in enumerate(past))
    return _spread(total, shape)


def _spread(total: int, shape: tuple[int, ...]) -> np.ndarray:
    size = int(np.prod(shape))
    return ((total + np.arange(size)) % MODULUS).astype(np.uint8).reshape(shape)


def fake_engines(
    device: FakeDevice, manifest: Manifest, *, activation_bytes: Sequence[int] = (700, 300)
) -> list[FakeEngine]:
    """One for each graph; their scratch memory takes turns through `activation_bytes`."""
    engines = []
    for number, graph in enumerate(manifest.graphs):
        (path,) = (p for p in manifest.paths if graph.name in (p.subnet, p.apm, p.own))
        need = activation_bytes[number % len(activation_bytes)]
        engines.append(FakeEngine(device, graph, path, need))
    return engines


class FakeEngine:
    """One graph."""

    def __init__(self, device: FakeDevice, spec: GraphSpec, path: PathSpec, activation_bytes: int) -> None:
        self.device = device
        self.graph = spec.name
        self.specs: dict[str, TensorSpec] = {t.name: t for t in (*spec.inputs, *spec.outputs)}
        self.tensors = tuple(
            EngineTensor(t.name, t.shape, t.dtype, t in spec.inputs) for t in self.specs.values()
        )
        self.path = path
        self.activation_bytes = activation_bytes
        self.obstacle: str | None = None
        self.contexts = 0
        device.alive.add(self)

    def create_context(self) -> FakeContext:
        self.device.call(f"create context of {self.graph}")
        self.contexts += 1
        return FakeContext(self)

    def close(self) -> None:
        assert self.contexts == 0, "the engine is closed before its contexts"
        self.device.alive.discard(self)

    def law(self) -> Callable[[Arrays], None]:
        return {self.path.apm: _apm, self.path.own: _own}.get(self.graph, _subnet)


class FakeContext:
    """A stream's use of an engine."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.device = engine.device
        self.addresses: dict[str, int] = {}
        self.scratch: FakeMemory | None = None
        self.ran = False
        self.device.alive.add(self)

    def set_activation_memory(self, address: int, nbytes: int) -> None:
        self.device.call(f"set activation memory of {self.engine.graph}")
        self.scratch = self.device.memory_at(address)
        assert address % ALIGNMENT == 0
        assert self.engine.activation_bytes <= nbytes <= self.scratch.nbytes

    def set_address(self, tensor: str, address: int) -> None:
        self.device.call(f"set address of {tensor}")
        assert self.device.memory_at(address).nbytes == self.engine.specs[tensor].nbytes
        self.addresses[tensor] = address

    def obstacle_to_capture(self, stream: int) -> str | None:
        self.device.call("ask for obstacles")
        return self.engine.obstacle

    def enqueue(self, stream: int) -> None:
        self.device.call(f"enqueue {self.engine.graph}")
        queue = self.device.stream_at(stream)
        if queue.capturing is not None and not self.ran:
            queue.capture_error = f"{self.engine.graph} had never run before"
            raise BackendError(queue.capture_error)
        assert self.scratch is not None
        memories = {name: self.device.memory_at(self.addresses[name]) for name in self.engine.specs}
        inputs = [memories[tensor.name] for tensor in self.engine.tensors if tensor.is_input]
        outputs = [memories[tensor.name] for tensor in self.engine.tensors if not tensor.is_input]
        work = Work(self.engine.graph, inputs, [*outputs, self.scratch], lambda: self._compute(memories))
        queue.put(work)

    def close(self) -> None:
        if self in self.device.alive:
            self.device.alive.discard(self)
            self.engine.contexts -= 1

    def _compute(self, memories: Mapping[str, FakeMemory]) -> None:
        assert self.scratch is not None
        self.scratch.data.fill(0xAB)
        self.ran = True
        arrays = {
            name: memory.data.view(self.engine.specs[name].dtype).reshape(self.engine.specs[name].shape)
            for name, memory in memories.items()
        }
        arrays["path"] = np.array(self.engine.path.index)
        arrays["reads"] = np.array(self.engine.path.reads)
        self.engine.law()(arrays)


def _subnet(arrays: Arrays) -> None:
    number = int(arrays["path"]) + 8 * int(arrays["image"].flat[0])
    for name, array in arrays.items():
        if name == "labels":
            array[...] = _spread(number, array.shape)
        elif name == "confidence":
            array[...] = 255
        elif name not in ("image", "path", "reads"):
            array[...] = number


def _own(arrays: Arrays) -> None:
    _apm({**arrays, "reads": (), "warm": np.zeros(1)})


def _apm(arrays: Arrays) -> None:
    total = float(arrays["value"].flat[0])
    slots = [float(arrays[f"slot{read}_v"].flat[0]) for read in arrays["reads"]]
    if "logits" in arrays:
        arrays["logits"][...] = total
    if "confidence" in arrays:
        arrays["confidence"][...] = 255
    warm = float(arrays["warm"][0])
    if warm:
        total += sum(3**age * slot for age, slot in enumerate(slots))
    labels = arrays["labels"]
    labels[...] = _spread(int(total), labels.shape) if np.isfinite([total, warm, *slots]).all() else 255
