"""All graphs of a network in one precision: written or converted, and checked."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Protocol

import onnx

from tdnet_export.contract import NetworkContract
from tdnet_export.graph_check import check_graph
from tdnet_export.graphs import graph_jobs
from tdnet_export.int8 import check_signed
from tdnet_export.int8.quantisers import PAIR
from tdnet_export.precision import half_precision_model, half_tensors
from tdnet_export.precision_check import MIN_HALF_SHARE, check_half, half_share
from tdnet_export.weights import Weights
from tdnet_models import Network
from tdnet_runtime.errors import ExportError
from tdnet_runtime.preflight import SIGNED_INT8

__all__ = ["Models", "Progress", "convert_graphs", "require_half_share", "write_graphs"]

_BOTTLENECKS = 50  # layers, from which on a trunk has them, and four times the channels

Models = dict[str, onnx.ModelProto]
"""Graphs of one precision by name."""


class Progress(Protocol):
    """Shows how far the work is."""

    def __call__(self, stage: str, done: int, total: int, detail: str = "") -> None:
        """`done` of `total` steps of `stage` are done; at 0 when it begins. `detail` is of the next step."""


def write_graphs(network: Network, contract: NetworkContract, on_progress: Progress) -> tuple[Models, float]:
    """All graphs in FP32, checked, and the seconds that they took; raises ExportError."""
    started = perf_counter()
    jobs = graph_jobs(contract, Weights(network.state_dict()))
    models = {}
    for index, job in enumerate(jobs):
        on_progress(f"write {job.name}", index, len(jobs))
        models[job.name] = job.write()
        check_graph(models[job.name], job.tensors)
        on_progress(f"write {job.name}", index + 1, len(jobs))
    return models, perf_counter() - started


def require_half_share(network: Network, contract: NetworkContract) -> None:
    """Raise ExportError where too much of a network must stay FP32, before all of its graphs are written.

    Of the published networks td2-fa50 alone: its fast attentions have 1×1 convolutions of 256 to 2048 channels.
    """
    if network.spec.variant.family != "fanet" or network.spec.variant.depth < _BOTTLENECKS:
        return
    first = graph_jobs(contract, Weights(network.state_dict()))[0]
    share = half_share(half_precision_model(first.write()))
    if share < MIN_HALF_SHARE:
        raise ExportError(
            f"{network.spec.name} is not worth FP16: {share:.1%} of the multiplications of {first.name!r} would be FP16, "
            f"expected {MIN_HALF_SHARE:.0%} or more, since the sums of its fast attention must stay FP32. Export it with "
            "--precision fp32, with --backend too"
        )


def convert_graphs(
    precision: str,
    contract: NetworkContract,
    single: Models,
    convert: Callable[[onnx.ModelProto], onnx.ModelProto],
    on_progress: Progress,
) -> tuple[Models, float]:
    """All graphs with FP16 in them, checked, and the seconds that they took; raises ExportError.

    Args:
        precision: `fp16` or `int8_fp16`.
        contract: of the graphs.
        single: in FP32, by name; for INT8 with signed pairs.
        convert: makes one of them FP16.
        on_progress: see `Progress`.
    """
    started = perf_counter()
    models, stage = {}, f"convert to {precision.upper()}"
    for index, tensors in enumerate(contract.graphs):
        on_progress(stage, index, len(single))
        model = convert(single[tensors.name])
        check_half(model)
        if precision == SIGNED_INT8:
            check_signed(model)
        check_graph(model, half_tensors(tensors), more=PAIR if precision == SIGNED_INT8 else frozenset())
        models[tensors.name] = model
    on_progress(stage, len(single), len(single))
    return models, perf_counter() - started
