"""The closed-loop proof: the exported graphs, scheduled by the runtime, against the PyTorch oracle.

All sides see the same consecutive frames, each with its own memory, from the first cold frame on. The oracle runs
once, and the graphs of every precision step beside it. After every frame all tensors are compared: Q, V, every slot of
the memory, the recomposed V', the logits, the labels and, where the bundle gives it, the confidence. A tensor's error is
max |Δ| / std of the oracle's tensor. Where the bundle has graphs for labels without attention, a second stream sees the
same frames, with these alone, and is held to the same.

V' is compared although it is inner, as the first tensor that shows what attention makes; without each
channel's mean, which the LayerNorm after it removes and the graphs therefore do not keep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from tdnet_export.parity_checks import Verdict, confidence_parity, confusion, spread, tensor_error, where
from tdnet_export.parity_report import (
    BOUNDS,
    ConfidenceParity,
    FrameParity,
    ParityBounds,
    ParityReport,
    class_parity,
    path_parity,
)
from tdnet_models import Network, ReferenceStream
from tdnet_models.preprocessing import IMAGENET, Preprocessing
from tdnet_models.reference import labels_of, shares_of
from tdnet_models.tdnet import TemporalNetwork
from tdnet_models.variants import KEY_WIDTH
from tdnet_runtime import Result, Segmenter, Stream
from tdnet_runtime.errors import ParityError

__all__ = ["Case", "prove_parity", "verdict_of"]

Frame = npt.NDArray[np.uint8]

_SCHEMA_VERSION = 4
_DIVERGED = "the exported graphs do not compute what PyTorch computes"
_ADVICE = (
    "Nothing was written. Check that the preprocessing and the size are those of the training: other values may saturate "
    "the attention, where FP32's rounding shows. Else this is a defect of the exporter or a damaged checkpoint: please "
    "report it."
)
_ADVICES = {
    "fp16": "Nothing was written. FP16 is not exact enough for these weights: export with --precision fp32.",
    "int8": "Nothing was written. INT8 loses more than its bound on these frames: calibrate on other ones, allow it with "
    "--max-loss SHARE, or export with --precision fp32.",
}
_ADVICES["int8_fp16"] = _ADVICES["int8"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One side of the proof beside the oracle.

    Attributes:
        precision: of the bundle's graphs.
        bundle: with graphs that also give `logits`, and `recomposed` where there is an APM.
        bounds: to be held; None for `BOUNDS` of the precision.
        backend: of the runtime.
        terms: on which the engine runs the graphs, for the report.
    """

    precision: str
    bundle: Path
    bounds: ParityBounds | None = None
    backend: str = "onnxruntime"
    terms: str = ""


def prove_parity(
    cases: Sequence[Case],
    network: Network,
    frames: Iterable[Frame],
    *,
    footage: str,
    memory_stride: int,
    preprocessing: Preprocessing = IMAGENET,
    threshold: float | None = None,
    on_frame: Callable[[int], None] = lambda done: None,
) -> dict[str, ParityReport]:
    """Run the oracle and all cases over `frames` and compare.

    Args:
        cases: of different precisions, one at least.
        network: the oracle's; its weights are laid out anew, channels last.
        frames: uint8 [H, W, 3] of the network's size; at least one.
        footage: what the frames are, for the reports.
        memory_stride: n, of all sides.
        preprocessing: the oracle's.
        threshold: of the oracle's labels; see `labels_of`.
        on_frame: called after each frame with how many are done.

    Returns:
        A report for each precision, in the order of `cases`.

    Raises:
        ParityError: at the first frame with a tensor out of bounds; frame and tensor are named. Or after
            the last one, where all frames together are out of bounds.
    """
    oracle = _Oracle(network, memory_stride, preprocessing, threshold)
    with ExitStack() as stack:
        sides, own_sides = [], []
        for case in cases:
            segmenter = stack.enter_context(
                Segmenter.open(case.bundle, backend=case.backend, precision=case.precision)
            )
            sides.append(_Side(case, segmenter, oracle.labels, threshold, stack))
            if segmenter.manifest.own_graphs:
                own_sides.append(_Side(case, segmenter, oracle.labels, threshold, stack, attention=False))
        for done, frame in enumerate(frames, start=1):
            expected = oracle.push(frame)
            for side in sides:
                side.push(frame, expected)
            if own_sides:
                expected = oracle.alone(expected)
            for side in own_sides:
                side.push(frame, expected)
            del expected  # before the oracle makes the next one: hundreds of MB
            on_frame(done)
        reports, own = (
            {each.case.precision: each.report(footage=footage, memory_stride=memory_stride) for each in some}
            for some in (sides, own_sides)
        )
    for some, found in ((sides, reports), (own_sides, own)):
        for side in some:
            side.verdict.require_all(found[side.case.precision])
    return {
        precision: msgspec.structs.replace(report, own=own.get(precision))
        for precision, report in reports.items()
    }


def verdict_of(precision: str, bounds: ParityBounds, *, attention: bool = True) -> Verdict:
    """What the graphs of a precision are held to, those that run on frames without `attention` too."""
    diverged = _DIVERGED if attention else f"without attention {_DIVERGED}"
    return Verdict(bounds, diverged, "PyTorch", _ADVICES.get(precision, _ADVICE))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A tensor of the oracle's, and its standard deviation: asked for once, whatever is compared with it."""

    values: npt.NDArray[np.float32]
    spread: float

    @classmethod
    def of(cls, values: npt.NDArray[np.float32]) -> _Wanted:
        return cls(values, spread(values))


@dataclass(frozen=True, slots=True)
class _Expected:
    """All that a frame must give: inner tensors by name, logits [K, H, W], labels uint8 [H, W]."""

    tensors: dict[str, _Wanted]
    logits: _Wanted
    labels: npt.NDArray[np.uint8]


class _Oracle:
    """The reference stream, and what it says of each frame under the names of the graphs' tensors.

    Attributes:
        labels: how many different ones there are.
    """

    def __init__(
        self, network: Network, memory_stride: int, preprocessing: Preprocessing, threshold: float | None
    ) -> None:
        # Channels last: PyTorch's convolutions on a CPU then do not turn each tensor there and back.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # of which its stubs know nothing
        self._stream = ReferenceStream(network, memory_stride=memory_stride, preprocessing=preprocessing)
        self._threshold = threshold
        self._slots: dict[str, _Wanted] = {}  # what the memory must hold
        self.labels = network.spec.classes if threshold is None else 2

    def push(self, frame: Frame) -> _Expected:
        """The next frame; the tensors are valid until the one after it."""
        logits = self._stream.push(frame)
        return self._expected(logits, self._inner())

    def alone(self, expected: _Expected) -> _Expected:
        """What a frame that was `expected` last must give where it goes without attention: that of a cold one (spec §3)."""
        trace, network = self._stream.trace, self._stream.network
        assert trace is not None  # there are graphs for it
        assert isinstance(network, TemporalNetwork)
        inner = {name: wanted for name, wanted in expected.tensors.items() if name != "recomposed"}
        if trace.cold:
            return replace(expected, tensors=inner)
        with torch.inference_mode():
            return self._expected(network.classify(trace.path, trace.features.value)[0], inner)

    def _expected(self, logits: torch.Tensor, inner: dict[str, _Wanted]) -> _Expected:
        logits = logits.contiguous()
        labels: npt.NDArray[np.uint8] = labels_of(logits, self._threshold).numpy()
        return _Expected(inner, _Wanted.of(logits.numpy()), labels)

    def _inner(self) -> dict[str, _Wanted]:
        """Q, V, the memory and V'; none of a network without memory."""
        trace = self._stream.trace
        if trace is None:
            return {}
        root = KEY_WIDTH**0.5  # the graphs' queries carry the attention's 1/√d_k
        entry = trace.features.entry
        for leaf, tensor in (("q", entry.q / root), ("k", entry.k), ("v", entry.v)):
            self._slots[f"slot{trace.path}_{leaf}"] = _wanted(tensor)
        inner = {"query": _wanted(trace.features.query / root), "value": _wanted(trace.features.value)}
        inner |= {name: self._slots[name] for name in sorted(self._slots)}
        return inner | {"recomposed": _Wanted.of(_centred(trace.recomposed.contiguous().numpy()))}


class _Side:
    """One stream of a case in step with the oracle."""

    def __init__(
        self,
        case: Case,
        segmenter: Segmenter,
        labels: int,
        threshold: float | None,
        stack: ExitStack,
        *,
        attention: bool = True,
    ) -> None:
        self.case = case
        self.verdict = verdict_of(case.precision, case.bounds or BOUNDS[case.precision], attention=attention)
        self._attention = attention
        self._stream: Stream = stack.enter_context(segmenter.stream())
        self._engine = f"{segmenter.backend.description}{case.terms}"
        self._names = frozenset(self._stream.tensor_names)
        self._threshold = threshold
        self._confusion = np.zeros((labels, labels), dtype=np.int64)  # pixels [expected class, found class]
        self._frames: list[FrameParity] = []

    def push(self, frame: Frame, expected: _Expected) -> None:
        """Give it the next frame and compare all that it makes of it; raises ParityError."""
        result = self._stream.push(frame, attention=self._attention)
        errors = {
            name: self._error(name, wanted, result)
            for name, wanted in expected.tensors.items()
            if name in self._names  # the oldest entry's q is never read, and then not kept
        }
        assert result.logits is not None  # the bundle was made with logits
        errors["logits"] = tensor_error(result.logits, expected.logits.values, expected.logits.spread)
        self._confusion += confusion(expected.labels, result.labels, len(self._confusion))
        figures = FrameParity(
            frame=result.frame_index,
            path=result.path,
            cold=result.cold,
            label_agreement=float((result.labels == expected.labels).mean()),
            errors=errors,
            confidence=self._confidence(result, expected, errors["logits"]),
        )
        self.verdict.require_frame(figures)
        self._frames.append(figures)

    def report(self, *, footage: str, memory_stride: int) -> ParityReport:
        """Of all frames so far."""
        frames = tuple(self._frames)
        return ParityReport(
            schema_version=_SCHEMA_VERSION,
            precision=self.case.precision,
            engine=self._engine,
            footage=footage,
            memory_stride=memory_stride,
            bounds=self.verdict.bounds,
            frames=frames,
            paths=path_parity(frames),
            classes=class_parity(self._confusion),
        )

    def _confidence(self, result: Result, expected: _Expected, error: float) -> ConfidenceParity | None:
        """Against PyTorch's share of the label that the graphs gave."""
        if result.confidence is None:
            return None
        logits = torch.from_numpy(expected.logits.values)
        shares = shares_of(logits, torch.from_numpy(result.labels), self._threshold).numpy()
        off = error * expected.logits.spread
        return confidence_parity(result.confidence, shares, logits_off=off, rounding=0.75 / 255)

    def _error(self, name: str, wanted: _Wanted, result: Result) -> float:
        found = self._stream.tensor(name)
        if found.size != wanted.values.size:
            raise ParityError(
                f"{_DIVERGED}: {where(result)} has the tensor {name!r} with the shape {list(found.shape)}, "
                f"PyTorch has {list(wanted.values.shape)}. {_ADVICE}"
            )
        values = found.reshape(wanted.values.shape)
        return tensor_error(
            _centred(values) if name == "recomposed" else values, wanted.values, wanted.spread
        )


def _wanted(tensor: torch.Tensor) -> _Wanted:
    return _Wanted.of(tensor.contiguous().numpy())


def _centred(maps: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Maps [1, V, h, w] without each channel's mean; see the module."""
    with np.errstate(invalid="ignore", over="ignore"):  # told by the error
        means = maps.mean((2, 3), keepdims=True, dtype=np.float64)
        centred: npt.NDArray[np.float32] = maps - means.astype(np.float32)
    return centred
