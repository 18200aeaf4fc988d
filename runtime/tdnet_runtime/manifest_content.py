"""What a manifest holds: its fields, and what can be read off them; `manifest_rules` compares them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tdnet_runtime.manifest_engines import EngineSpec
from tdnet_runtime.manifest_parts import (
    CONFIDENCE,
    ClassSpec,
    GraphSpec,
    InputSpec,
    MemberSpec,
    ParitySummary,
    PathSpec,
    StateSpec,
    Strict,
    TensorSpec,
)

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ManifestContent"]


class ManifestContent(Strict, frozen=True, kw_only=True):
    """All that a bundle says about itself, not compared yet.

    Attributes:
        schema_version: of this file; see `manifest.SCHEMA_VERSION`.
        network: such as `td2-psp50`, `td4-psp18`, `td2-fa18` or `psp101`.
        widths: channel widths of the network by name, for making one of the same shapes.
        input: what frames must be.
        feature_size: (h, w) of the feature maps: ⌈height/8⌉, ⌈width/8⌉.
        size_resampled: True where the LayerNorm maps were resampled from another size: approximate.
        classes: in the order of their indices.
        paths: in the order of their indices, 1 to m.
        state: the state contract.
        graphs: all graphs of the bundle.
        checkpoint_sha256: of the checkpoint file that the weights came from.
        weights: where in that file they were: names of entries and prefixes, joined by dots; empty where nothing says.
        tools: versions of what made the bundle.
        parity: by precision, the proof's outcome.
        members: every member but the manifest itself, by name; empty only until the bundle is written.
        dtypes: by precision, dtypes of the graphs' tensors that differ from FP32's, by tensor name.
        engines: sets of engines, one for each product and kind of device.
        threshold: with a sigmoid head, which gives one logit for two classes: the probability above which a pixel
            has the second one. None where labels are the largest logit's class.
    """

    schema_version: int
    network: str
    widths: dict[str, int | tuple[int, ...]]
    input: InputSpec
    feature_size: tuple[int, int]
    size_resampled: bool
    classes: tuple[ClassSpec, ...]
    paths: tuple[PathSpec, ...]
    state: StateSpec
    graphs: tuple[GraphSpec, ...]
    checkpoint_sha256: str
    tools: dict[str, str]
    parity: dict[str, ParitySummary]
    members: dict[str, MemberSpec]
    dtypes: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    engines: tuple[EngineSpec, ...] = ()
    threshold: float | None = None
    weights: str = ""

    @property
    def precisions(self) -> tuple[str, ...]:
        """Precisions in which every graph is present, in the order of the first graph's members."""
        first, *others = self.graphs
        return tuple(p for p in first.members if all(p in graph.members for graph in others))

    @property
    def channels(self) -> int:
        """K of the logits: 1 with a threshold, else one for each class."""
        return len(self.classes) if self.threshold is None else 1

    @property
    def gives_confidence(self) -> bool:
        """True where every frame has `confidence` beside its labels."""
        return any(tensor.name == CONFIDENCE for graph in self.graphs for tensor in graph.outputs)

    @property
    def own_graphs(self) -> tuple[str, ...]:
        """Graphs that give the labels of the sub-networks alone, one for each path; none where there are none."""
        return tuple(path.own for path in self.paths if path.own is not None)

    def at(self, precision: str) -> Self:
        """The same contract with the tensors of `precision`: those of the graphs and of the memory."""
        dtypes = self.dtypes.get(precision)
        if not dtypes:
            return self

        def typed(tensors: tuple[TensorSpec, ...], prefix: str = "") -> tuple[TensorSpec, ...]:
            return tuple(
                TensorSpec(name=t.name, shape=t.shape, dtype=dtypes.get(f"{prefix}{t.name}", t.dtype))
                for t in tensors
            )

        graphs = tuple(
            msgspec.structs.replace(g, inputs=typed(g.inputs), outputs=typed(g.outputs)) for g in self.graphs
        )
        state = msgspec.structs.replace(self.state, entry=typed(self.state.entry, "memory_"))
        return msgspec.structs.replace(self, graphs=graphs, state=state, dtypes={})

    def graph(self, name: str) -> GraphSpec:
        """The graph called `name`; KeyError where there is none."""
        for graph in self.graphs:
            if graph.name == name:
                return graph
        raise KeyError(name)
