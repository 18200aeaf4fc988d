"""The closed-loop proof: the exported graphs, scheduled by the runtime, against the PyTorch oracle.

Both see the same consecutive frames, each with its own memory, from the first cold frame on. After
every frame all tensors are compared: Q, V, every slot of the memory, the recomposed V', the logits
and the labels. A tensor's error is max |Δ| / std of the reference's tensor.

V' is compared although it is inner: φ's bias shifts it by a constant for each channel, which the
LayerNorm after it removes, so that no output would show a lost bias.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from tdnet_models import Network, ReferenceStream
from tdnet_models.variants import KEY_WIDTH
from tdnet_runtime import Result, Segmenter, Stream
from tdnet_runtime.errors import ParityError

__all__ = ["FP32_BOUNDS", "FrameParity", "ParityBounds", "ParityReport", "prove_parity", "required_frames"]

Frame = npt.NDArray[np.uint8]

_DIVERGED = "the exported graphs do not compute what PyTorch computes"
_ADVICE = "Nothing was written. This is a defect of the exporter or a damaged checkpoint: please report it."


class ParityBounds(msgspec.Struct, frozen=True, kw_only=True):
    """What a precision must hold on every frame.

    Attributes:
        min_label_agreement: share of equal labels.
        max_error: max |Δ| / std of every tensor.
    """

    min_label_agreement: float
    max_error: float


FP32_BOUNDS = ParityBounds(min_label_agreement=0.999, max_error=2e-3)


class FrameParity(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one frame: index, path, cold or not, label agreement, and each tensor's error."""

    frame: int
    path: int
    cold: bool
    label_agreement: float
    errors: dict[str, float]


class ParityReport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole proof, as it lies in the bundle."""

    schema_version: int
    precision: str
    engine: str
    footage: str
    memory_stride: int
    bounds: ParityBounds
    frames: tuple[FrameParity, ...]

    @property
    def label_agreement(self) -> float:
        """Mean over all frames."""
        return float(np.mean([frame.label_agreement for frame in self.frames]))

    @property
    def worst_frame_agreement(self) -> float:
        """Of the worst frame."""
        return min(frame.label_agreement for frame in self.frames)

    @property
    def logits_error(self) -> float:
        """Largest max |Δlogits| / std of a frame."""
        return max(frame.errors["logits"] for frame in self.frames)


def required_frames(paths: int) -> int:
    """3m + 2: every path three times, the cold frames and the return from the last path to the first."""
    return 3 * paths + 2


def prove_parity(
    bundle: Path,
    network: Network,
    frames: Iterable[Frame],
    *,
    footage: str,
    memory_stride: int,
    bounds: ParityBounds = FP32_BOUNDS,
    backend: str = "onnxruntime",
    on_frame: Callable[[FrameParity], None] = lambda _: None,
) -> ParityReport:
    """Run both sides over `frames` and compare.

    Args:
        bundle: with graphs that also give `logits`, and `recomposed` where there is an APM.
        network: the oracle's.
        frames: uint8 [H, W, 3] of the network's size.
        footage: what the frames are, for the report.
        memory_stride: n, of both sides.
        bounds: that every frame must hold.
        backend: of the runtime.
        on_frame: called after each frame.

    Raises:
        ParityError: at the first frame with a tensor out of bounds; frame and tensor are named.
    """
    done = []
    reference = ReferenceStream(network, memory_stride=memory_stride)
    history: dict[str, torch.Tensor] = {}
    with Segmenter.open(bundle, backend=backend) as segmenter, segmenter.stream() as stream:
        for frame in frames:
            figures = _compare(stream, stream.push(frame), reference, reference.push(frame), history)
            _require(figures, bounds)
            on_frame(figures)
            done.append(figures)
        return ParityReport(
            schema_version=1,
            precision=segmenter.backend.precision,
            engine=segmenter.backend.description,
            footage=footage,
            memory_stride=memory_stride,
            bounds=bounds,
            frames=tuple(done),
        )


def _compare(
    stream: Stream,
    result: Result,
    reference: ReferenceStream,
    logits: torch.Tensor,
    history: dict[str, torch.Tensor],
) -> FrameParity:
    """Figures of the frame that both sides have just done; `history` is what the memory must hold."""
    expected: dict[str, tuple[torch.Tensor, float]] = {}  # tensor, and what the graphs divide it by
    trace = reference.trace
    if trace is not None:
        names = set(stream.tensor_names)
        root = KEY_WIDTH**0.5  # the graphs' queries carry the attention's 1/√d_k
        expected["query"] = (trace.features.query, root)
        expected["value"] = (trace.features.value, 1.0)
        entry = trace.features.entry
        for leaf, tensor in (("q", entry.q), ("k", entry.k), ("v", entry.v)):
            if f"slot{trace.path}_{leaf}" in names:
                history[f"slot{trace.path}_{leaf}"] = tensor
        for name in sorted(history):
            expected[name] = (history[name], root if name.endswith("_q") else 1.0)
        expected["recomposed"] = (trace.recomposed, 1.0)
    errors = {}
    for name, (tensor, divisor) in expected.items():
        found = stream.tensor(name)
        if found.size != tensor.numel():
            raise ParityError(
                f"{_DIVERGED}: {_where(result)} has the tensor {name!r} with the shape {list(found.shape)}, "
                f"PyTorch has {list(tensor.shape)}. {_ADVICE}"
            )
        errors[name] = _error(found, tensor, divisor)
    assert result.logits is not None  # the bundle was made with logits
    errors["logits"] = _error(result.logits, logits, 1.0)
    labels = logits.argmax(0).numpy()
    return FrameParity(
        frame=result.frame_index,
        path=result.path,
        cold=result.cold,
        label_agreement=float((result.labels == labels).mean()),
        errors=errors,
    )


def _error(found: npt.NDArray[np.float32], expected: torch.Tensor, divisor: float) -> float:
    """Max |Δ| / std; infinite where something is not finite, so that it can hold no bound."""
    wanted = expected.numpy().reshape(found.shape)
    with np.errstate(invalid="ignore", over="ignore"):  # told by the result
        worst = float(np.abs(found.astype(np.float32) * divisor - wanted).max())
    if not np.isfinite(worst):
        return float("inf")
    spread = float(wanted.std(dtype=np.float64))
    return worst / spread if spread > 0 else (0.0 if worst == 0 else float("inf"))


def _require(figures: FrameParity, bounds: ParityBounds) -> None:
    """Raise ParityError where the frame is out of bounds, naming its first tensor that is."""
    where = _where(figures)
    for name, error in figures.errors.items():
        if not error <= bounds.max_error:
            raise ParityError(
                f"{_DIVERGED}: {where} is the first that diverges, in the tensor {name!r}: "
                f"max |Δ|/std is {error:.2e}, the bound is {bounds.max_error:.0e}. {_ADVICE}"
            )
    if figures.label_agreement < bounds.min_label_agreement:
        raise ParityError(
            f"{_DIVERGED}: {where} is the first whose labels differ: {figures.label_agreement:.4%} agree, "
            f"the bound is {bounds.min_label_agreement:.1%}. {_ADVICE}"
        )


def _where(frame: Result | FrameParity) -> str:
    index = frame.frame_index if isinstance(frame, Result) else frame.frame
    return f"frame {index} (path {frame.path}, {'cold' if frame.cold else 'warm'})"
