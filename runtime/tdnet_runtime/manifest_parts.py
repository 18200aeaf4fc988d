"""The parts of a manifest, each typed and checked by itself; `manifest_rules` compares them."""

from __future__ import annotations

import math
import re

import msgspec

__all__ = [
    "CONFIDENCE",
    "IMAGE",
    "LABELS",
    "LOGITS",
    "SHA256",
    "SIZE_FROM_SINCE",
    "WARM",
    "ClassSpec",
    "GraphSpec",
    "InputSpec",
    "MemberSpec",
    "ParitySummary",
    "PathSpec",
    "StateSpec",
    "Strict",
    "TensorSpec",
]

_MAX_ELEMENTS = 1 << 31  # of one tensor; a larger one is a damaged or hostile manifest
_MAX_SIDE = 1 << 16
_DTYPES = {"uint8": 1, "float16": 2, "float32": 4}  # bytes of an element
_NAME = re.compile(r"[a-z][a-z0-9_]*")
IMAGE = "image"
LABELS = "labels"
LOGITS = "logits"
CONFIDENCE = "confidence"
WARM = "warm"
"""Tensors that have a part of their own; see `GraphSpec`."""
SIZE_FROM_SINCE = 3
"""Schema version since which a manifest says where its input size comes from, and sizes follow one rule."""
SHA256 = re.compile(r"[0-9a-f]{64}")


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the manifest's parts: immutable, unknown fields refused."""


class TensorSpec(Strict, frozen=True, kw_only=True):
    """A named tensor with a fixed shape and a NumPy dtype name; row-major and contiguous."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"tensor name {self.name!r} is not of the form {_NAME.pattern}")
        if self.dtype not in _DTYPES:
            raise ValueError(f"tensor {self.name!r} has dtype {self.dtype!r}, not one of {list(_DTYPES)}")
        if not 1 <= len(self.shape) <= 4 or min(self.shape) < 1:
            raise ValueError(f"tensor {self.name!r} has shape {self.shape}, expected 1 to 4 positive sides")
        if math.prod(self.shape) > _MAX_ELEMENTS:
            raise ValueError(f"tensor {self.name!r} of shape {self.shape} is absurdly large")

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor's elements."""
        return math.prod(self.shape) * _DTYPES[self.dtype]


class GraphSpec(Strict, frozen=True, kw_only=True):
    """One graph: its tensors, and the member that holds it in each precision.

    The dtypes are FP32's; where another precision has others, `Manifest.dtypes` says so.

    A sub-network's one input is `image` (see `InputSpec`). The last graph of a path gives `labels`,
    uint8 [1, height, width]. Beside them it may give `logits`, and (since schema 4) `confidence`, uint8 like the labels:
    each label's share among the classes, 255 for 1. An APM's inputs are outputs of its sub-network by the same name,
    slots and `warm` (see `StateSpec`); those of a path's `own` graph (since schema 5) are outputs of its sub-network alone,
    and what it gives is what the APM gives. Graphs share tensors of one name, which therefore are alike everywhere.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    members: dict[str, str]

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"graph name {self.name!r} is not of the form {_NAME.pattern}")
        names = [tensor.name for tensor in (*self.inputs, *self.outputs)]
        if not (self.inputs and self.outputs and len(set(names)) == len(names)):
            raise ValueError(
                f"graph {self.name!r} has the tensors {names}, expected distinct inputs and outputs"
            )
        for precision in self.members:
            if not _NAME.fullmatch(precision):
                raise ValueError(f"precision {precision!r} is not of the form {_NAME.pattern}")


class InputSpec(Strict, frozen=True, kw_only=True):
    """What a sub-network takes as `image`: uint8 RGB, [1, height, width, 3]; the rest it does by itself.

    Attributes:
        height: of the image.
        width: of the image.
        mean: of (x·scale − mean) / std, which the graph makes of pixels x; for each channel as `color_order` has them.
        std: see `mean`.
        color_order: of the channels that the network was trained on, `RGB` or `BGR`. Images are RGB in either case.
        layout: of the image.
        resize: how frames of another size are brought to this one.
        scale: see `mean`.
        preprocessing_from: `user` where mean, std and scale were stated at the export, `assumed` where they were not
            (and before schema 3).
        size_from: `user` where the size was stated at the export, `assumed` where it was not (and before schema 3).
    """

    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    color_order: str = "RGB"
    layout: str = "NHWC"
    resize: str = "bilinear, half-pixel centres, no antialiasing"
    scale: float = 1 / 255
    preprocessing_from: str = "assumed"
    size_from: str = "assumed"

    def __post_init__(self) -> None:
        if not (1 <= self.height <= _MAX_SIDE and 1 <= self.width <= _MAX_SIDE):
            raise ValueError(f"input size {self.height}x{self.width} is outside 1..{_MAX_SIDE}")
        if self.color_order not in ("RGB", "BGR") or self.layout != "NHWC":
            raise ValueError(f"input is {self.color_order} {self.layout}, only RGB and BGR, NHWC, are known")
        if not (
            min(self.std) > 0 and self.scale > 0 and math.isfinite(sum((*self.mean, *self.std, self.scale)))
        ):
            raise ValueError(
                f"input has the means {self.mean}, standard deviations {self.std} and scale {self.scale}, expected "
                "finite ones, positive but for the means"
            )
        if self.preprocessing_from not in ("user", "assumed"):
            raise ValueError(
                f"input is preprocessed as {self.preprocessing_from!r} said, not user or assumed"
            )
        if self.size_from not in ("user", "assumed"):
            raise ValueError(f"the input size is from {self.size_from!r}, expected user or assumed")


class ClassSpec(Strict, frozen=True, kw_only=True):
    """One class: its name and its colour (R, G, B) in pictures; the index is its position."""

    name: str
    color: tuple[int, int, int]

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a class has an empty name")
        if not all(0 <= channel <= 255 for channel in self.color):
            raise ValueError(f"class {self.name!r} has colour {self.color}, outside 0..255")


class PathSpec(Strict, frozen=True, kw_only=True):
    """What frame i runs where i mod m + 1 is `index`: the sub-network, then its APM.

    Attributes:
        index: 1 to m.
        subnet: name of the sub-network's graph.
        apm: name of the attention propagation module's graph; None where the sub-network itself
            gives the labels (a per-frame network).
        reads: paths whose memory entries the APM reads, the oldest frame first.
        own: name of the graph that runs instead of the APM where a frame goes without attention: it gives the labels of
            the sub-network alone, as on a cold frame. None where there is none (and before schema 5).
    """

    index: int
    subnet: str
    apm: str | None
    reads: tuple[int, ...]
    own: str | None = None


class StateSpec(Strict, frozen=True, kw_only=True):
    """The state contract of a stream (spec §3).

    Each path owns one slot, which its sub-network overwrites; a slot holds `entry`, tensor by
    tensor. In graphs the tensor `t` of path p's slot is called `slot{p}_{t}` as an input; the
    sub-network's own output is called `memory_{t}`. The APM's input `warm`, float32 [1], is 1 where
    all slots that it reads hold one of the last m−1 frames and 0 before (cold start: no attention).

    Attributes:
        slots: m for a temporal network, 0 for a per-frame one.
        entry: tensors of one slot; none for a per-frame network.
        stride: rows and columns of the features from one memory position to the next.
        cold_frames: frames after a reset for which `warm` is 0; m−1.
    """

    slots: int
    entry: tuple[TensorSpec, ...]
    stride: int
    cold_frames: int

    def __post_init__(self) -> None:
        names = [tensor.name for tensor in self.entry]
        if len(set(names)) != len(names):
            raise ValueError(f"the tensors {names} of a slot repeat")
        if self.slots < 0 or self.stride < 1:
            raise ValueError(f"{self.slots} slots of stride {self.stride}, expected 0 and 1 or more")

    @property
    def nbytes(self) -> int:
        """Bytes of all slots of one stream."""
        return self.slots * sum(tensor.nbytes for tensor in self.entry)


class MemberSpec(Strict, frozen=True, kw_only=True):
    """Size in bytes and SHA-256 (hexadecimal, lower case) of one member of the bundle."""

    size: int
    sha256: str

    def __post_init__(self) -> None:
        if self.size < 0 or not SHA256.fullmatch(self.sha256):
            raise ValueError(f"member size {self.size} or digest {self.sha256!r} is not valid")


class ParitySummary(Strict, frozen=True, kw_only=True):
    """Outcome of the closed-loop proof against PyTorch for one precision.

    Attributes:
        frames: consecutive frames compared, cold ones included.
        footage: where the frames came from.
        label_agreement: share of equal labels, 0 to 1: over all frames, and of the worst frame.
        worst_frame_agreement: see `label_agreement`.
        logits_error: largest |Δlogits| / std(logits) of a frame, over all frames.
        class_loss: largest loss of a class, 1 − IoU with PyTorch's labels over all frames, among the
            classes with at least 1 % of the pixels, or of the largest where none has; None: not measured (schema 1).
        report: member with the figures for each frame, path and tensor.
        confidence_error: mean |Δ| of the confidence in the worst frame, where 1 is its whole range; None where the bundle
            has none.
        own: the same of the labels without attention; None where the bundle has no graphs for them.
    """

    frames: int
    footage: str
    label_agreement: float
    worst_frame_agreement: float
    logits_error: float
    report: str
    class_loss: float | None = None
    confidence_error: float | None = None
    own: ParitySummary | None = None

    def __post_init__(self) -> None:
        worst, overall = self.worst_frame_agreement, self.label_agreement
        # The mean of equal shares may be rounded to just below them.
        if self.frames < 1 or not (0 <= worst <= overall + 1e-9 <= 1 + 1e-9) or self.logits_error < 0:
            raise ValueError(
                f"parity over {self.frames} frames with label agreement {overall}, worst frame {worst}, "
                f"logits error {self.logits_error} is not possible"
            )
        if self.confidence_error is not None and not 0 <= self.confidence_error <= 1:
            raise ValueError(f"parity with a confidence error of {self.confidence_error}, outside 0 to 1")
