"""How much INT8 changes a graph, and which of its parts are to blame.

Errors are those of the arithmetic itself: ONNX Runtime runs the pairs as they stand, without fusing them with what is
between them, so that sums are exact. An engine on a processor without VNNI may saturate; that is for the closed-loop
proof to see.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from tdnet_export.int8.parts import part_from
from tdnet_export.int8.quantisers import PAIR, partly_quantised, quantised_inputs
from tdnet_export.int8.samples import Sample, load_tensors
from tdnet_export.parity_checks import spread as deviation
from tdnet_export.parity_checks import sum_of_squares
from tdnet_export.precision_check import value_types
from tdnet_runtime.backends.cpu_count import usable_cpus
from tdnet_runtime.backends.no_telemetry import import_without_telemetry

__all__ = ["Fit", "fit", "group_of", "output_errors"]

Outputs = list[dict[str, npt.NDArray[Any]]]

_BLOCK = 1 << 18  # elements: what fits into a core's cache
_GROUP = re.compile(r"(trunk/layer\d+/\d+|[^/]+/[^/]+)/.*")


def group_of(node: str) -> str:
    """The part of the network that a node belongs to: a block of the trunk, or two steps of its name."""
    match = _GROUP.fullmatch(node)
    return node if match is None else match[1]


@dataclass(frozen=True, slots=True)
class Fit:
    """What `fit` found: the model, its errors by output, those of single groups, and groups left in FP32."""

    model: onnx.ModelProto
    errors: dict[str, float]
    groups: dict[str, float]
    left_single: tuple[str, ...]


def fit(
    model: onnx.ModelProto,
    original: onnx.ModelProto,
    samples: Sequence[Sample],
    *,
    max_error: float,
    shown: Callable[[onnx.ModelProto], onnx.ModelProto] = lambda model: model,
) -> Fit:
    """Leave groups of nodes in FP32, the worst first, until no output is off by more than `max_error`.

    Which are the worst is told by the first sample alone.

    Args:
        model: `original` in INT8.
        original: the FP32 graph.
        samples: to measure on, one at least; where their results were kept, FP32 does not run again.
        max_error: of every floating-point output, ‖Δ‖ / ‖FP32 − its mean‖.
        shown: gives a model the outputs to be measured, where it has none of its own.
    """
    feeds = [load_tensors(sample.inputs) for sample in samples]
    kept: Outputs = [load_tensors(sample.results) for sample in samples]
    expected = kept if all(kept) else _run(shown(original), feeds)

    def errors(keep: Callable[[str], bool]) -> dict[str, float]:
        return output_errors(_run(shown(partly_quantised(model, original, keep=keep)), feeds), expected)

    found = errors(lambda _: True)
    if max(found.values()) <= max_error:
        return Fit(model, found, {}, ())
    groups = _errors_alone(shown(model), shown(original), feeds[0], expected[0])
    left: list[str] = []
    for group in sorted(groups, key=lambda group: -groups[group]):
        left.append(group)
        found = errors(lambda node: group_of(node) not in left)
        if max(found.values()) <= max_error:
            break
    fitted = partly_quantised(model, original, keep=lambda node: group_of(node) not in left)
    return Fit(fitted, found, groups, tuple(left))


def output_errors(found: Outputs, expected: Outputs) -> dict[str, float]:
    """By floating-point output, ‖Δ‖ / ‖expected − its mean‖ over all samples; infinite where it is not finite."""
    result = {}
    for name, first in expected[0].items():
        if first.dtype.kind != "f":
            continue
        off = spread = 0.0
        for mine, like in zip(found, expected, strict=True):
            off += _distance(mine[name], like[name])
            spread += like[name].size * deviation(like[name]) ** 2
        ratio = np.sqrt(off / spread) if spread > 0 else (0.0 if off == 0 else np.inf)
        result[name] = float(ratio) if np.isfinite(ratio) else float("inf")
    return result


def _distance(found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    """‖Δ‖² in float64, block by block: the doubles of logits at full size would be hundreds of MB."""
    ours, theirs, total = found.reshape(-1), expected.reshape(-1), 0.0
    for start in range(0, theirs.size, _BLOCK):
        delta = ours[start : start + _BLOCK].astype(np.float64) - theirs[start : start + _BLOCK]
        total += sum_of_squares(delta)
    return total


def _errors_alone(
    model: onnx.ModelProto,
    original: onnx.ModelProto,
    feed: Mapping[str, npt.NDArray[Any]],
    expected: dict[str, npt.NDArray[Any]],
) -> dict[str, float]:
    """By group with a node that reads INT8, in order, the largest error of an output with nothing else in INT8.

    Only what a group changes is computed for it, from values of one run in FP32.
    """
    pairs, types = quantised_inputs(model.graph), value_types(original)
    nodes: dict[str, set[str]] = {}  # that read INT8, by group
    for node in model.graph.node:
        if node.op_type not in PAIR and pairs.keys() & set(node.input):
            nodes.setdefault(group_of(node.name), set()).add(node.name)
    reads = {
        name: None
        for names in nodes.values()
        for name in part_from(original.graph, lambda node, names=names: node.name in names).reads  # type: ignore[misc]
    }
    known = {*feed, *(value.name for value in original.graph.output)}
    plain = onnx.ModelProto()
    plain.CopyFrom(original)
    plain.graph.output.extend(
        helper.make_tensor_value_info(name, *types[name]) for name in reads if name not in known
    )
    values = {**feed, **_run(plain, [feed])[0]}
    errors = {}
    for group in nodes:
        alone = partly_quantised(model, original, keep=lambda node, group=group: group_of(node) == group)  # type: ignore[misc]
        part = part_from(alone.graph, lambda node: node.op_type in PAIR)
        found = _run(part.model(alone, types), [{name: values[name] for name in part.reads}])[0]
        errors[group] = max(output_errors([{**expected, **found}], [expected]).values())
    return errors


def _run(model: onnx.ModelProto, feeds: Sequence[Mapping[str, npt.NDArray[Any]]]) -> Outputs:
    """All outputs for each sample, with the pairs run as they stand."""
    ort = import_without_telemetry("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = usable_cpus()
    options.add_session_config_entry("session.disable_quant_qdq", "1")  # all else is optimised
    options.enable_mem_pattern = False
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return [dict(zip(names, session.run(names, dict(feed)), strict=True)) for feed in feeds]
