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
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from tdnet_export.parity_checks import Verdict, confidence_parity, confusion, tensor_error, where
from tdnet_export.parity_oracle import Expected, Oracle, Wanted, centred
from tdnet_export.parity_report import (
    BOUNDS,
    ConfidenceParity,
    FrameParity,
    ParityBounds,
    ParityReport,
    class_parity,
    path_parity,
)
from tdnet_models import Network
from tdnet_models.preprocessing import IMAGENET, Preprocessing
from tdnet_models.reference import shares_of
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
    oracle = Oracle(network, memory_stride, preprocessing, threshold)
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
        self._paths = len(segmenter.manifest.paths)
        self._confusion = np.zeros((labels, labels), dtype=np.int64)  # pixels [expected class, found class]
        self._frames: list[FrameParity] = []

    def push(self, frame: Frame, expected: Expected) -> None:
        """Give it the next frame and compare all that it makes of it; raises ParityError."""
        if self._stream.frame_index // self._paths % 2:
            self._stream.prepare()  # in every other round: each path is proven with it and without
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

    def _confidence(self, result: Result, expected: Expected, error: float) -> ConfidenceParity | None:
        """Against PyTorch's share of the label that the graphs gave."""
        if result.confidence is None:
            return None
        logits = torch.from_numpy(expected.logits.values)
        shares = shares_of(logits, torch.from_numpy(result.labels), self._threshold).numpy()
        off = error * expected.logits.spread
        return confidence_parity(result.confidence, shares, logits_off=off, rounding=0.75 / 255)

    def _error(self, name: str, wanted: Wanted, result: Result) -> float:
        found = self._stream.tensor(name)
        if found.size != wanted.values.size:
            raise ParityError(
                f"{_DIVERGED}: {where(result)} has the tensor {name!r} with the shape {list(found.shape)}, "
                f"PyTorch has {list(wanted.values.shape)}. {_ADVICE}"
            )
        values = found.reshape(wanted.values.shape)
        return tensor_error(centred(values) if name == "recomposed" else values, wanted.values, wanted.spread)
