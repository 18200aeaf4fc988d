"""The bundle's contract: what `manifest.json` says, typed, and validated when it is read.

The exporter writes it and the runtime obeys it; nothing about a network is known to the runtime
except through this file. Tensors are named; nothing is paired by order.
"""

from __future__ import annotations

import json
from typing import Annotated

import msgspec

from tdnet_runtime.errors import BundleFormatError, BundleVersionError
from tdnet_runtime.manifest_parts import (
    SHA256,
    ClassSpec,
    EngineMember,
    EngineProof,
    EngineSpec,
    GraphSpec,
    InputSpec,
    MemberSpec,
    ParitySummary,
    PathSpec,
    StateSpec,
    Strict,
    TensorSpec,
)
from tdnet_runtime.manifest_rules import IMAGE, LABELS, SIZE_FROM_SINCE, WARM, check_manifest

__all__ = [
    "IMAGE",
    "LABELS",
    "OLDEST_SCHEMA_VERSION",
    "SCHEMA_VERSION",
    "SIZE_FROM_SINCE",
    "WARM",
    "ClassSpec",
    "EngineMember",
    "EngineProof",
    "EngineSpec",
    "GraphSpec",
    "InputSpec",
    "Manifest",
    "MemberSpec",
    "ParitySummary",
    "PathSpec",
    "StateSpec",
    "TensorSpec",
    "decode_manifest",
    "encode_manifest",
]

SCHEMA_VERSION = 3
OLDEST_SCHEMA_VERSION = 1

# A nesting of thousands of brackets ends in RecursionError.
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
_SchemaVersion = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class Manifest(Strict, frozen=True, kw_only=True):
    """All that a bundle says about itself.

    Attributes:
        schema_version: of this file; see `SCHEMA_VERSION`.
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

    def __post_init__(self) -> None:
        if not SHA256.fullmatch(self.checkpoint_sha256):
            raise ValueError(f"checkpoint digest {self.checkpoint_sha256!r} is not a SHA-256")
        check_manifest(self)

    @property
    def precisions(self) -> tuple[str, ...]:
        """Precisions in which every graph is present, in the order of the first graph's members."""
        first, *others = self.graphs
        return tuple(p for p in first.members if all(p in graph.members for graph in others))

    @property
    def channels(self) -> int:
        """K of the logits: 1 with a threshold, else one for each class."""
        return len(self.classes) if self.threshold is None else 1

    def at(self, precision: str) -> Manifest:
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


def decode_manifest(data: bytes) -> Manifest:
    """Read and validate `manifest.json`.

    Raises:
        BundleVersionError: the schema version is not one that is read here.
        BundleFormatError: not JSON, a field of the wrong type, or contradictory statements.
    """
    try:
        version = msgspec.json.decode(data, type=dict[str, msgspec.Raw])["schema_version"]
        schema_version = msgspec.json.decode(version, type=_SchemaVersion)
    except KeyError:
        raise BundleFormatError("manifest.json has no schema_version: not a TDNet bundle") from None
    except _UNREADABLE as error:
        raise BundleFormatError(f"manifest.json cannot be read: {error}; export the bundle again") from error
    if not OLDEST_SCHEMA_VERSION <= schema_version <= SCHEMA_VERSION:
        raise BundleVersionError(
            f"the bundle is written in schema version {schema_version}; this version of tdnet-deploy reads "
            f"{OLDEST_SCHEMA_VERSION} to {SCHEMA_VERSION}; install a matching version, or export it again"
        )
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except _UNREADABLE as error:
        raise BundleFormatError(f"manifest.json is not valid: {error}; export the bundle again") from error
    if not manifest.members:
        raise BundleFormatError("manifest.json is not valid: it lists no members; export the bundle again")
    return manifest


def encode_manifest(manifest: Manifest) -> bytes:
    """`manifest` as indented JSON, the same bytes for the same content."""
    return (json.dumps(msgspec.to_builtins(manifest), indent=1) + "\n").encode()
