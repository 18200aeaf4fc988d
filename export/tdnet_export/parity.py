"""The closed-loop proof: the exported graphs, scheduled by the runtime, against the PyTorch oracle.

Both see the same consecutive frames, each with its own memory, from the first cold frame on. After
every frame all tensors are compared: Q, V, every slot of the memory, the recomposed V', the logits
and the labels. A tensor's error is max |Δ| / std of the reference's tensor.

V' is compared although it is inner, as the first tensor that shows what attention makes; without each
channel's mean, which the LayerNorm after it removes and the graphs therefore do not keep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from tdnet_export.parity_checks import Verdict, confusion, tensor_error, where
from tdnet_export.parity_report import (
    BOUNDS,
    FrameParity,
    ParityBounds,
    ParityReport,
    class_parity,
    path_parity,
)
from tdnet_models import Network, ReferenceStream
from tdnet_models.preprocessing import IMAGENET, Preprocessing
from tdnet_models.reference import labels_of
from tdnet_models.variants import KEY_WIDTH
from tdnet_runtime import Result, Segmenter, Stream
from tdnet_runtime.errors import ParityError

__all__ = ["prove_parity", "verdict_of"]

Frame = npt.NDArray[np.uint8]

_SCHEMA_VERSION = 2
_DIVERGED = "the exported graphs do not compute what PyTorch computes"
_ADVICE = "Nothing was written. This is a defect of the exporter or a damaged checkpoint: please report it."
_ADVICES = {
    "fp16": "Nothing was written. FP16 is not exact enough for these weights: export with --precision fp32.",
    "int8": "Nothing was written. INT8 loses more than its bound on these frames: calibrate on other ones, allow it with "
    "--max-loss SHARE, or export with --precision fp32.",
}


def prove_parity(
    bundle: Path,
    network: Network,
    frames: Iterable[Frame],
    *,
    footage: str,
    memory_stride: int,
    preprocessing: Preprocessing = IMAGENET,
    threshold: float | None = None,
    precision: str = "fp32",
    bounds: ParityBounds | None = None,
    backend: str = "onnxruntime",
    terms: str = "",
    on_frame: Callable[[FrameParity], None] = lambda _: None,
) -> ParityReport:
    """Run both sides over `frames` and compare.

    Args:
        bundle: with graphs that also give `logits`, and `recomposed` where there is an APM.
        network: the oracle's.
        frames: uint8 [H, W, 3] of the network's size; at least one.
        footage: what the frames are, for the report.
        memory_stride: n, of both sides.
        preprocessing: the oracle's.
        threshold: of the oracle's labels; see `labels_of`.
        precision: of the bundle's graphs.
        bounds: to be held; None for `BOUNDS` of the precision.
        backend: of the runtime.
        terms: on which the engine ran the graphs, for the report.
        on_frame: called after each frame.

    Raises:
        ParityError: at the first frame with a tensor out of bounds; frame and tensor are named. Or after
            the last one, where all frames together are out of bounds.
    """
    bounds = bounds or BOUNDS[precision]
    done = []
    with (
        Segmenter.open(bundle, backend=backend, precision=precision) as segmenter,
        segmenter.stream() as stream,
    ):
        reference = ReferenceStream(network, memory_stride=memory_stride, preprocessing=preprocessing)
        comparison = _Comparison(stream, reference, threshold)
        verdict = verdict_of(precision, bounds)
        for frame in frames:
            figures = comparison.push(frame)
            verdict.require_frame(figures)
            on_frame(figures)
            done.append(figures)
        report = ParityReport(
            schema_version=_SCHEMA_VERSION,
            precision=precision,
            engine=f"{segmenter.backend.description}{terms}",
            footage=footage,
            memory_stride=memory_stride,
            bounds=bounds,
            frames=tuple(done),
            paths=path_parity(tuple(done)),
            classes=class_parity(comparison.confusion),
        )
    verdict.require_all(report)
    return report


class _Comparison:
    """Both sides in step, each with its own memory.

    Attributes:
        confusion: pixels so far [expected class, found class].
    """

    def __init__(self, stream: Stream, reference: ReferenceStream, threshold: float | None) -> None:
        self._stream, self._reference, self._threshold = stream, reference, threshold
        self._history: dict[str, torch.Tensor] = {}  # what the memory must hold
        labels = reference.network.spec.classes if threshold is None else 2
        self.confusion = np.zeros((labels, labels), dtype=np.int64)

    def push(self, frame: Frame) -> FrameParity:
        """Give both sides the next frame and compare all that they made of it."""
        result = self._stream.push(frame)
        logits = self._reference.push(frame)
        errors = self._inner_errors(result)
        assert result.logits is not None  # the bundle was made with logits
        errors["logits"] = tensor_error(result.logits, logits.numpy())
        labels = labels_of(logits, self._threshold).numpy()
        self.confusion += confusion(labels, result.labels, len(self.confusion))
        return FrameParity(
            frame=result.frame_index,
            path=result.path,
            cold=result.cold,
            label_agreement=float((result.labels == labels).mean()),
            errors=errors,
        )

    def _inner_errors(self, result: Result) -> dict[str, float]:
        """Of Q, V, the memory and V'; none for a network without memory."""
        trace = self._reference.trace
        if trace is None:
            return {}
        root = KEY_WIDTH**0.5  # the graphs' queries carry the attention's 1/√d_k
        entry = trace.features.entry
        present = set(self._stream.tensor_names)
        for leaf, tensor in (("q", entry.q), ("k", entry.k), ("v", entry.v)):
            if f"slot{trace.path}_{leaf}" in present:
                self._history[f"slot{trace.path}_{leaf}"] = tensor / root if leaf == "q" else tensor
        expected = {"query": trace.features.query / root, "value": trace.features.value}
        expected |= {name: self._history[name] for name in sorted(self._history)}
        errors = {
            name: tensor_error(self._tensor(name, like, result), like.numpy())
            for name, like in expected.items()
        }
        recomposed = _centred(self._tensor("recomposed", trace.recomposed, result))
        return errors | {"recomposed": tensor_error(recomposed, _centred(trace.recomposed.numpy()))}

    def _tensor(self, name: str, like: torch.Tensor, result: Result) -> npt.NDArray[np.float32]:
        found = self._stream.tensor(name)
        if found.size != like.numel():
            raise ParityError(
                f"{_DIVERGED}: {where(result)} has the tensor {name!r} with the shape {list(found.shape)}, "
                f"PyTorch has {list(like.shape)}. {_ADVICE}"
            )
        values: npt.NDArray[np.float32] = found.reshape(like.shape).astype(np.float32)
        return values


def _centred(maps: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Maps [1, V, h, w] without each channel's mean; see the module."""
    with np.errstate(invalid="ignore", over="ignore"):  # told by the error
        means = maps.mean((2, 3), keepdims=True, dtype=np.float64)
        centred: npt.NDArray[np.float32] = maps - means.astype(np.float32)
    return centred


def verdict_of(precision: str, bounds: ParityBounds) -> Verdict:
    """What the graphs of a precision are held to."""
    return Verdict(bounds, _DIVERGED, "PyTorch", _ADVICES.get(precision, _ADVICE))
