"""All graphs of a network in INT8: samples, quantisation, what is too sensitive left in FP32, checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnx

from tdnet_export.contract import NetworkContract
from tdnet_export.graphs import with_outputs
from tdnet_export.int8.check import check_int8, int8_share
from tdnet_export.int8.islands import single_weights, stays_single
from tdnet_export.int8.own import own_model
from tdnet_export.int8.process import quantise, tool
from tdnet_export.int8.quantisers import partly_quantised
from tdnet_export.int8.report import GraphLoss, Int8Report
from tdnet_export.int8.samples import Sample, place_samples
from tdnet_export.int8.sensitivity import fit
from tdnet_export.int8.signed import signed_model
from tdnet_export.int8.unsigned import unsigned_model
from tdnet_export.work_folder import temporary_space, work_folder
from tdnet_runtime.errors import ExportError

__all__ = ["MAX_ERROR", "MIN_SHARE", "QuantisedGraphs", "quantised_graphs"]

Frame = npt.NDArray[np.uint8]

MAX_ERROR = 0.05
"""Of each output of a graph: ‖Δ‖ / ‖FP32 − its mean‖."""
MIN_SHARE = 0.5
"""Of the multiplications of all graphs together that must be INT8; with less it is not worth its loss."""

_SCHEMA_VERSION = 1
_MEASURED = 2  # samples of each graph that errors are measured on


@dataclass(frozen=True, slots=True)
class QuantisedGraphs:
    """The graphs by name, and what was measured."""

    models: dict[str, onnx.ModelProto]
    report: Int8Report


def quantised_graphs(
    models: Mapping[str, onnx.ModelProto],
    contract: NetworkContract,
    clips: Sequence[Sequence[Frame]],
    *,
    precisions: Sequence[str] = ("int8",),
    max_error: float = MAX_ERROR,
    on_progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> dict[str, QuantisedGraphs]:
    """INT8 graphs with the same inputs and outputs: FP32 graphs with QuantizeLinear and DequantizeLinear in them.

    They are calibrated once. What is too sensitive is found for each precision, since signed steps of what is never
    negative are twice as large; and while the next graph is quantised, much of which runs on one core. The graphs for
    labels without attention are then cut out of the APMs'.

    Args:
        models: in FP32, by name.
        contract: of the graphs.
        clips: m consecutive frames each, uint8 [H, W, 3] of the network's size; see `calibration_clips`.
        precisions: `int8`, with steps as CPUs like them; `int8_fp16`, with signed ones (the rest is FP32 still).
        max_error: of each output of a graph; groups of nodes are left in FP32 until it is held.
        on_progress: called with a stage, and how many of how many steps of it are done.

    Raises:
        ExportError: NNCF failed, the temporary folder is full, or too little is left in INT8 to be worth it.
        OptionError: a clip has another number of frames.
    """
    singles, paths = models, contract.paths
    models = {name: model for name, model in models.items() if name not in {path.own for path in paths}}
    contract = replace(contract, own_labels=False)
    with work_folder("tdnet-int8-", "calibrating") as folder:
        with temporary_space("calibrating"):
            samples = place_samples(contract, clips, folder)
        fitted: dict[str, dict[str, tuple[onnx.ModelProto, GraphLoss]]] = {
            precision: {} for precision in precisions
        }
        stage = "quantise"
        on_progress(stage, 0, len(models))
        with closing(quantise(models, samples, folder, stays_single=stays_single)) as graphs:
            for done, (name, found) in enumerate(graphs, start=1):
                for precision, results in fitted.items():
                    model = _stepped(found, models[name], precision)
                    results[name] = _fitted(model, models[name], contract, samples[name], max_error=max_error)
                    check_int8(results[name][0], models[name])
                on_progress(stage, done, len(models))
    result = {
        precision: _judged(precision, results, contract, clips, max_error=max_error)
        for precision, results in fitted.items()
    }
    for graphs_and_report in result.values():
        for path in paths:
            if path.own is not None and path.apm is not None:
                cut = own_model(graphs_and_report.models[path.apm], path.own)
                check_int8(cut, singles[path.own])
                graphs_and_report.models[path.own] = cut
    return result


def _stepped(model: onnx.ModelProto, original: onnx.ModelProto, precision: str) -> onnx.ModelProto:
    """What NNCF made, with the steps of a precision."""
    if precision == "int8":
        return unsigned_model(model, original)
    return signed_model(partly_quantised(model, original, keep=lambda node: not single_weights(node)))


def _judged(
    precision: str,
    fitted: Mapping[str, tuple[onnx.ModelProto, GraphLoss]],
    contract: NetworkContract,
    clips: Sequence[Sequence[Frame]],
    *,
    max_error: float,
) -> QuantisedGraphs:
    """All graphs of a precision and their report, where they are worth it."""
    names = [graph.name for graph in contract.graphs]
    losses = tuple(fitted[name][1] for name in names)
    _require_share(precision, losses, max_error=max_error)
    report = Int8Report(
        schema_version=_SCHEMA_VERSION,
        tool=tool(),
        clips=len(clips),
        frames=sum(map(len, clips)),
        max_error=max_error,
        graphs=losses,
    )
    return QuantisedGraphs({name: fitted[name][0] for name in names}, report)


def _fitted(
    model: onnx.ModelProto,
    original: onnx.ModelProto,
    contract: NetworkContract,
    samples: Sequence[Sample],
    *,
    max_error: float,
) -> tuple[onnx.ModelProto, GraphLoss]:
    """The graph with what is too sensitive in FP32, and its figures."""
    name = original.graph.name
    outputs = {value.name for value in original.graph.output}
    logits = tuple(spec for spec in contract.probes if spec.name == "logits" and "labels" in outputs)
    found = fit(
        model,
        original,
        samples[:: max(1, len(samples) // _MEASURED)][:_MEASURED],
        max_error=max_error,
        shown=lambda model: with_outputs(model, logits),
    )
    loss = GraphLoss(
        graph=name,
        samples=len(samples),
        errors=found.errors,
        groups=found.groups,
        left_single=found.left_single,
        int8_share=int8_share(found.model),
    )
    return found.model, loss


def _require_share(precision: str, losses: Sequence[GraphLoss], *, max_error: float) -> None:
    """Raise ExportError where a network's largest graphs, which are those with an image, are hardly INT8."""
    for loss in losses:
        if not loss.graph.startswith("apm") and loss.int8_share < MIN_SHARE:
            raise ExportError(
                f"graph {loss.graph!r} in {precision.upper()} is off by more than {max_error:.0%} unless "
                f"{len(loss.left_single)} parts are not quantised, with {loss.int8_share:.0%} of its multiplications in "
                f"INT8 then (expected {MIN_SHARE:.0%} or more). Calibrate with other frames, or export with "
                "--precision fp32."
            )
