"""From a network's shapes to the tensors of its graphs: the state contract, before any graph exists."""

from __future__ import annotations

from dataclasses import dataclass

from tdnet_models.preprocessing import IMAGENET, Preprocessing
from tdnet_models.tdnet import read_order
from tdnet_models.variants import KEY_WIDTH, NetworkSpec
from tdnet_runtime.manifest import PathSpec, StateSpec, TensorSpec

__all__ = ["GraphTensors", "NetworkContract"]


@dataclass(frozen=True, slots=True)
class GraphTensors:
    """A graph's name, inputs and outputs."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkContract:
    """What the graphs of one network exchange (spec §1–§3).

    Attributes:
        spec: the network's shapes.
        memory_stride: n.
        logits: True where the labels' graphs also give `logits`.
        confidence: True where they also give `confidence`.
        own_labels: True where each path has a graph for the labels of its sub-network alone, too.
        preprocessing: what the sub-networks do with their image first.
        threshold: with one class, the probability above which a pixel is labelled 1; None with more, for the argmax.
    """

    spec: NetworkSpec
    memory_stride: int
    logits: bool = False
    confidence: bool = False
    own_labels: bool = False
    preprocessing: Preprocessing = IMAGENET
    threshold: float | None = None

    @property
    def paths(self) -> tuple[PathSpec, ...]:
        """What runs for each path, and the order in which it reads the slots."""
        count = self.spec.variant.paths
        if not self.spec.variant.temporal:
            return (PathSpec(index=1, subnet=self.spec.name, apm=None, reads=()),)
        return tuple(
            PathSpec(
                index=p,
                subnet=f"subnet{p}",
                apm=f"apm{p}",
                reads=read_order(count, p),
                own=f"own{p}" if self.own_labels else None,
            )
            for p in range(1, count + 1)
        )

    @property
    def positions(self) -> int:
        """P: positions of the feature map that the memory keeps."""
        h, w = self.spec.feature_size
        return -(-h // self.memory_stride) * -(-w // self.memory_stride)

    @property
    def entry(self) -> tuple[TensorSpec, ...]:
        """One slot's tensors: k and v, and q where a hop among past frames reads it (m > 2)."""
        if not self.spec.variant.temporal:
            return ()
        widths = {"q": KEY_WIDTH, "k": KEY_WIDTH, "v": self.spec.value}
        if self.spec.variant.paths == 2:
            del widths["q"]
        return tuple(_floats(leaf, width, self.positions) for leaf, width in widths.items())

    @property
    def state(self) -> StateSpec:
        """The manifest's state contract."""
        slots = self.spec.variant.paths if self.spec.variant.temporal else 0
        return StateSpec(
            slots=slots, entry=self.entry, stride=self.memory_stride, cold_frames=max(slots - 1, 0)
        )

    @property
    def graphs(self) -> tuple[GraphTensors, ...]:
        """All graphs, sub-networks before their APMs, and these before what may run instead of them."""
        height, width = self.spec.input_size
        image = TensorSpec(name="image", shape=(1, height, width, 3), dtype="uint8")
        if not self.spec.variant.temporal:
            return (GraphTensors(self.spec.name, (image,), self._results),)
        features = (
            _floats("query", 1, KEY_WIDTH, *self.spec.feature_size),
            _floats("value", 1, self.spec.value, *self.spec.feature_size),
        )
        memory = tuple(_floats(f"memory_{spec.name}", *spec.shape) for spec in self.entry)
        result = []
        for path in self.paths:
            assert path.apm is not None  # temporal
            result.append(GraphTensors(path.subnet, (image,), (*features, *memory)))
            inputs = (*features, *self._slots(path), _floats("warm", 1))
            result.append(GraphTensors(path.apm, inputs, self._results))
            if path.own is not None:
                result.append(GraphTensors(path.own, features[1:], self._results))
        return tuple(result)

    @property
    def probes(self) -> tuple[TensorSpec, ...]:
        """Inner values that the closed-loop proof looks at: V' (temporal networks) and the logits."""
        recomposed = _floats("recomposed", 1, max(self.spec.value, 1), *self.spec.feature_size)
        return (recomposed, self._logits) if self.spec.variant.temporal else (self._logits,)

    @property
    def _logits(self) -> TensorSpec:
        return _floats("logits", 1, self.spec.classes, *self.spec.input_size)

    @property
    def _results(self) -> tuple[TensorSpec, ...]:
        names = ("labels", "confidence") if self.confidence else ("labels",)
        maps = tuple(TensorSpec(name=name, shape=(1, *self.spec.input_size), dtype="uint8") for name in names)
        return (*maps, self._logits) if self.logits else maps

    def _slots(self, path: PathSpec) -> tuple[TensorSpec, ...]:
        """The slots' tensors that the APM of `path` reads; the oldest entry's q never is."""
        return tuple(
            _floats(f"slot{read}_{spec.name}", *spec.shape)
            for age, read in enumerate(path.reads)
            for spec in self.entry
            if not (spec.name == "q" and age == 0)
        )


def _floats(name: str, *shape: int) -> TensorSpec:
    return TensorSpec(name=name, shape=shape, dtype="float32")
