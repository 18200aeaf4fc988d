"""The bundle's contract: what `manifest.json` says, typed, and validated when it is read.

The exporter writes it and the runtime obeys it; nothing about a network is known to the runtime
except through this file. Tensors are named; nothing is paired by order.
"""

from __future__ import annotations

import json
import re

import msgspec

from tdnet_runtime.errors import BundleFormatError, BundleVersionError

__all__ = [
    "OLDEST_SCHEMA_VERSION",
    "SCHEMA_VERSION",
    "ClassSpec",
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

SCHEMA_VERSION = 1
OLDEST_SCHEMA_VERSION = 1

_MAX_ELEMENTS = 1 << 31  # of one tensor; a larger one is a damaged or hostile manifest
_MAX_SIDE = 1 << 16
_DTYPES = ("uint8", "float16", "float32")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the manifest's parts: immutable, keyword-only, unknown fields refused."""


class TensorSpec(_Strict):
    """A named tensor with a fixed shape and a NumPy dtype name; row-major and contiguous."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"tensor name {self.name!r} is not of the form {_NAME.pattern}")
        if self.dtype not in _DTYPES:
            raise ValueError(f"tensor {self.name!r} has dtype {self.dtype!r}, not one of {_DTYPES}")
        if not 1 <= len(self.shape) <= 4 or min(self.shape) < 1:
            raise ValueError(f"tensor {self.name!r} has shape {self.shape}")
        elements = 1
        for side in self.shape:
            elements *= side
        if elements > _MAX_ELEMENTS:
            raise ValueError(f"tensor {self.name!r} of shape {self.shape} is absurdly large")


class GraphSpec(_Strict):
    """One graph: its tensors, and the member that holds it in each precision."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    members: dict[str, str]


class InputSpec(_Strict):
    """What a graph takes: uint8 RGB, [1, height, width, 3]; the normalisation is inside the graph.

    `mean` and `std` are those of the graph, on the scale 0–1, for the reader's information.
    """

    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    color_order: str = "RGB"
    layout: str = "NHWC"
    resize: str = "bilinear, half-pixel centres, no antialiasing"

    def __post_init__(self) -> None:
        if not (1 <= self.height <= _MAX_SIDE and 1 <= self.width <= _MAX_SIDE):
            raise ValueError(f"input size {self.height}x{self.width} is outside 1..{_MAX_SIDE}")
        if self.color_order != "RGB" or self.layout != "NHWC":
            raise ValueError(f"input is {self.color_order} {self.layout}, only RGB NHWC is known")


class ClassSpec(_Strict):
    """One class: its name and its colour (R, G, B) in pictures; the index is its position."""

    name: str
    color: tuple[int, int, int]

    def __post_init__(self) -> None:
        if not all(0 <= channel <= 255 for channel in self.color):
            raise ValueError(f"class {self.name!r} has colour {self.color}, outside 0..255")


class PathSpec(_Strict):
    """What frame i runs where i mod m + 1 is `index`: the sub-network, then its APM.

    Attributes:
        index: 1 to m.
        subnet: name of the sub-network's graph.
        apm: name of the attention propagation module's graph; None where the sub-network itself
            gives the labels (a per-frame network).
        reads: paths whose memory entries the APM reads, the oldest frame first.
    """

    index: int
    subnet: str
    apm: str | None
    reads: tuple[int, ...]


class StateSpec(_Strict):
    """The state contract of a stream (spec §3).

    Each path owns one slot, which its sub-network overwrites; a slot holds `entry`, tensor by
    tensor. In graphs the tensor `t` of path p's slot is called `slot{p}_{t}` as an input; the
    sub-network's own output is called `memory_{t}`. The APM's input `warm`, float32 [1], is 1 where
    all slots that it reads hold one of the last m−1 frames and 0 before (cold start: no attention).

    Attributes:
        slots: m for a temporal network, 0 for a per-frame one.
        entry: tensors of one slot.
        stride: rows and columns of the features from one memory position to the next.
        cold_frames: frames after a reset for which `warm` is 0; m−1.
    """

    slots: int
    entry: tuple[TensorSpec, ...]
    stride: int
    cold_frames: int


class MemberSpec(_Strict):
    """Size in bytes and SHA-256 (hexadecimal, lower case) of one member of the bundle."""

    size: int
    sha256: str

    def __post_init__(self) -> None:
        if self.size < 0 or not _SHA256.fullmatch(self.sha256):
            raise ValueError(f"member size {self.size} or digest {self.sha256!r} is not valid")


class ParitySummary(_Strict):
    """Outcome of the closed-loop proof against PyTorch for one precision.

    Attributes:
        frames: consecutive frames compared, cold ones included.
        footage: where the frames came from.
        label_agreement: share of equal labels, 0 to 1: over all frames, and of the worst frame.
        worst_frame_agreement: see `label_agreement`.
        logits_error: largest |Δlogits| / std(logits) of a frame, over all frames.
        report: member with the figures for each frame, path and tensor.
    """

    frames: int
    footage: str
    label_agreement: float
    worst_frame_agreement: float
    logits_error: float
    report: str


class Manifest(_Strict):
    """All that a bundle says about itself.

    Attributes:
        schema_version: of this file; see `SCHEMA_VERSION`.
        network: `td2-psp50`, `td4-psp18`, `td2-fa18` or `psp101`.
        input: what frames must be.
        feature_size: (h, w) of the feature maps.
        size_resampled: True where the LayerNorm maps were resampled from another size: approximate.
        classes: in the order of their indices.
        paths: in the order of their indices, 1 to m.
        state: the state contract.
        graphs: all graphs of the bundle.
        checkpoint_sha256: of the checkpoint file that the weights came from.
        tools: versions of what made the bundle.
        parity: by precision, the proof's outcome.
        members: every member but the manifest itself, by name.
    """

    schema_version: int
    network: str
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

    def __post_init__(self) -> None:
        _check_consistent(self)

    @property
    def precisions(self) -> tuple[str, ...]:
        """Precisions in which every graph is present, in the order of the first graph's members."""
        first, *others = self.graphs
        return tuple(p for p in first.members if all(p in graph.members for graph in others))

    def graph(self, name: str) -> GraphSpec:
        """The graph called `name`; KeyError where there is none."""
        for graph in self.graphs:
            if graph.name == name:
                return graph
        raise KeyError(name)


def _check_consistent(manifest: Manifest) -> None:
    """Raise ValueError at the first statement of the manifest that contradicts another one."""
    if not 1 <= len(manifest.classes) <= 256:
        raise ValueError(f"{len(manifest.classes)} classes; labels are uint8, so 1 to 256 are possible")
    if not manifest.graphs or not manifest.precisions:
        raise ValueError("there is no precision in which every graph is present")
    names = [graph.name for graph in manifest.graphs]
    if len(set(names)) != len(names):
        raise ValueError(f"graph names {names} repeat")
    count = len(manifest.paths)
    if [path.index for path in manifest.paths] != list(range(1, count + 1)):
        raise ValueError(f"path indices are {[p.index for p in manifest.paths]}, expected 1 to {count}")
    slots = manifest.state.slots
    if slots not in (0, count) or manifest.state.cold_frames != max(slots - 1, 0):
        raise ValueError(f"{slots} slots and {manifest.state.cold_frames} cold frames for {count} paths")
    for path in manifest.paths:
        for name in (path.subnet, path.apm):
            if name is not None and name not in names:
                raise ValueError(f"path {path.index} runs graph {name!r}, but the graphs are {names}")
        others = {other.index for other in manifest.paths} - {path.index}
        if (path.apm is None) != (slots == 0) or (slots > 0 and set(path.reads) != others):
            raise ValueError(f"path {path.index} reads the slots {path.reads}, expected each of {sorted(others)}")
        if len(set(path.reads)) != len(path.reads):
            raise ValueError(f"path {path.index} reads a slot twice: {path.reads}")
    for graph in manifest.graphs:
        for member in graph.members.values():
            if member not in manifest.members:
                raise ValueError(f"graph {graph.name!r} names the member {member!r}, which is not listed")
    for precision, summary in manifest.parity.items():
        if summary.report not in manifest.members:
            raise ValueError(f"the {precision} report {summary.report!r} is not listed among the members")
    if not _SHA256.fullmatch(manifest.checkpoint_sha256):
        raise ValueError(f"checkpoint digest {manifest.checkpoint_sha256!r} is not a SHA-256")


def decode_manifest(data: bytes) -> Manifest:
    """Read and validate `manifest.json`.

    Raises:
        BundleVersionError: the schema version is not one that is read here.
        BundleFormatError: not JSON, a field of the wrong type, or contradictory statements.
    """
    try:
        version = msgspec.json.decode(data, type=dict[str, msgspec.Raw])["schema_version"]
        schema_version = msgspec.json.decode(version, type=int)
    except KeyError:
        raise BundleFormatError("manifest.json has no schema_version: not a TDNet bundle") from None
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise BundleFormatError(f"manifest.json cannot be read: {error}. Export the bundle again.") from error
    if not OLDEST_SCHEMA_VERSION <= schema_version <= SCHEMA_VERSION:
        raise BundleVersionError(
            f"the bundle is written in schema version {schema_version}; this version of tdnet-deploy reads "
            f"{OLDEST_SCHEMA_VERSION} to {SCHEMA_VERSION}. Install a matching version, or export the bundle again."
        )
    try:
        return msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise BundleFormatError(f"manifest.json is not valid: {error}. Export the bundle again.") from error


def encode_manifest(manifest: Manifest) -> bytes:
    """`manifest` as indented JSON, the same bytes for the same content."""
    return (json.dumps(msgspec.to_builtins(manifest), indent=1) + "\n").encode()
