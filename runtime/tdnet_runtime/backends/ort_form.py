"""The form in which ONNX Runtime's CPU provider gets a bundle's graph: bundles have one that all engines can take."""

from __future__ import annotations

from tdnet_runtime.backends.cpu_flags import own_cpuinfo, sums_int8_exactly
from tdnet_runtime.backends.graph_precision import unsound_optimizers
from tdnet_runtime.backends.onnx_bytes import OnnxGraph
from tdnet_runtime.backends.ort_attention import attention_in_parts, has_large_scores
from tdnet_runtime.backends.ort_int8 import UNWANTED_OPTIMIZERS, int8_form
from tdnet_runtime.errors import BackendError
from tdnet_runtime.manifest import GraphSpec

__all__ = ["own_form"]


def own_form(graph: GraphSpec, data: bytes, precision: str) -> tuple[bytes, list[str]]:
    """The graph in the form that this processor's kernels want, and optimizers that must not touch it.

    Args:
        graph: what the bundle says of it.
        data: as the bundle has it.
        precision: of the graph.

    Raises:
        BackendError: it is no graph, or nothing that `tdnet-export` writes.
    """
    without = unsound_optimizers(precision)
    try:
        if precision == "int8":
            data = int8_form(data, graph.inputs, exact=sums_int8_exactly(own_cpuinfo()) is True)
            without += UNWANTED_OPTIMIZERS
        elif has_large_scores(graph.inputs):
            form = OnnxGraph(data)
            attention_in_parts(form, graph.inputs)
            data = form.serialised()
    except (ValueError, TypeError, LookupError) as error:  # a node without the inputs that its kind has, say
        raise BackendError(
            f"graph {graph.name!r} in {precision} cannot be read: {error}. Export again."
        ) from error
    return data, without
