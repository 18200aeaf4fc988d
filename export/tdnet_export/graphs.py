"""The graphs of a network: `subnet{p}` and `apm{p}` for each path, `own{p}` where asked for, or one graph for psp101.

The tensors are the state contract's (`tdnet_runtime.manifest.StateSpec`):

    subnet{p}   image uint8 [1, H, W, 3] → query, value, memory_q, memory_k, memory_v
    apm{p}      query, value, slot{r}_q, slot{r}_k, slot{r}_v, warm → labels uint8 [1, H, W]
    own{p}      value → labels, without attention: `apm{p}` from V' on, with V in its place
    psp101      image → labels

Where they were asked for, `confidence` uint8 [1, H, W] and `logits` [1, K, H, W] come with the labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from tdnet_export.apm_graph import write_head, write_labels, write_psp_head, write_recomposed
from tdnet_export.contract import GraphTensors, NetworkContract
from tdnet_export.fanet_graph import write_neck
from tdnet_export.features import SampledFeatures, SplitFeatures, write_projection
from tdnet_export.identities import attention_scaled
from tdnet_export.onnx_writer import GraphWriter, value_info
from tdnet_export.ops import LEAK, conv, reshape, sampled
from tdnet_export.psp_graph import write_concatenated_pyramid, write_pyramid
from tdnet_export.trunk_graph import write_normalised, write_trunk
from tdnet_export.weights import Weights
from tdnet_models.variants import KEY_WIDTH
from tdnet_runtime.manifest import TensorSpec

__all__ = ["GraphJob", "graph_jobs", "with_outputs"]


@dataclass(frozen=True, slots=True)
class GraphJob:
    """One graph to be written: its name, its tensors, and the function's arguments."""

    tensors: GraphTensors
    contract: NetworkContract
    weights: Weights
    path: int

    @property
    def name(self) -> str:
        """Name of the graph."""
        return self.tensors.name

    def write(self, *, dtype: npt.DTypeLike = np.float32) -> onnx.ModelProto:
        """The graph's model in `dtype`."""
        writer = GraphWriter(self.name, dtype=dtype)
        for spec in self.tensors.inputs:
            writer.input(spec)
        if self.name.startswith("apm"):
            _write_apm(writer, self)
        elif self.name.startswith("own"):
            _write_classified(writer, self, "value")
        elif self.contract.spec.variant.temporal:
            _write_subnet(writer, self)
        else:
            _write_per_frame(writer, self)
        for spec in self.tensors.outputs:
            writer.output(spec.name, spec)
        return writer.model()


def graph_jobs(contract: NetworkContract, weights: Weights) -> list[GraphJob]:
    """All graphs of the network in the order in which frames first need them."""
    return [
        GraphJob(tensors, contract, weights, path.index)
        for path in contract.paths
        for tensors in contract.graphs
        if tensors.name in (path.subnet, path.apm, path.own)
    ]


def with_outputs(model: onnx.ModelProto, extra: tuple[TensorSpec, ...]) -> onnx.ModelProto:
    """A copy of the model in which the named inner values are outputs too; its nodes are the same."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    present = {output.name for output in result.graph.output}
    result.graph.output.extend(value_info(spec) for spec in extra if spec.name not in present)
    return result


def _write_subnet(writer: GraphWriter, job: GraphJob) -> None:
    """Normalisation, trunk, neck, encoding → Q, V and the memory entry."""
    spec, weights, path = job.contract.spec, job.weights, job.path
    maps = _write_maps(writer, job)
    if spec.variant.family == "fanet":
        features = write_neck(writer, maps, spec=spec, weights=weights, path=path)
    else:
        group = spec.variant.groups[path - 1]
        features = write_pyramid(
            writer, maps[3], spec=spec, weights=weights, module=f"psp{path}", group=group
        )
    with writer.scope("encode"):
        _write_encoding(writer, features, job)


def _write_maps(writer: GraphWriter, job: GraphJob) -> list[str]:
    """The image → the trunk's maps."""
    contract = job.contract
    return write_trunk(
        writer,
        write_normalised(writer, "image", contract.preprocessing),
        spec=contract.spec,
        weights=job.weights,
        prefix=contract.spec.variant.prefix(job.path),
        preprocessing=contract.preprocessing,
    )


def _write_encoding(writer: GraphWriter, features: SplitFeatures, job: GraphJob) -> None:
    """Q and V, and the memory entry: q and v are slices of them, only k is computed anew (spec §5)."""
    weights, path, stride = job.weights, job.path, job.contract.memory_stride
    entry = {spec.name for spec in job.contract.entry}
    hidden = _write_hidden(writer, features, weights, f"enc{path}.w_qs.0", name="query0")
    weight, bias = weights.conv(f"enc{path}.w_qs.1.conv")
    assert bias is not None  # both convolutions of the keys have one
    scaled = attention_scaled(weight, bias, key_width=KEY_WIDTH)
    query = conv(writer, hidden, *scaled, name="query1", as_output="query")
    weight, bias = weights.conv(f"enc{path}.w_vs.0.conv")
    assert bias is not None  # and so has the value's
    value = write_projection(writer, features, weight, bias, name="value", as_output="value")
    with writer.scope("memory"):
        hidden = _write_hidden(
            writer, features.sampled(writer, stride), weights, f"enc{path}.w_ks.0", name="key0"
        )
        key = conv(writer, hidden, *weights.conv(f"enc{path}.w_ks.1.conv"), name="key1")
        for leaf, values, width in (
            ("k", key, KEY_WIDTH),
            ("q", query, KEY_WIDTH),
            ("v", value, job.contract.spec.value),
        ):
            if leaf in entry:
                slim = values if leaf == "k" else sampled(writer, values, stride, name=leaf)
                reshape(writer, slim, [width, -1], name=f"{leaf}_rows", as_output=f"memory_{leaf}")


def _write_hidden(
    writer: GraphWriter,
    features: SplitFeatures | SampledFeatures,
    weights: Weights,
    module: str,
    *,
    name: str,
) -> str:
    """The first of the two 1×1 convolutions of queries and keys, with its LeakyReLU."""
    hidden = write_projection(writer, features, *weights.conv_norm(module), name=name)
    return writer.op("LeakyRelu", hidden, name=f"{name}_leaky", alpha=LEAK)


def _write_apm(writer: GraphWriter, job: GraphJob) -> None:
    value = write_recomposed(
        writer,
        spec=job.contract.spec,
        weights=job.weights,
        path=job.path,
        query="query",
        value="value",
        warm="warm",
    )
    _write_classified(writer, job, value)


def _write_classified(writer: GraphWriter, job: GraphJob, value: str) -> None:
    """V' → labels; on a cold frame, and in the path's own graph, V (spec §3)."""
    spec, weights, path = job.contract.spec, job.weights, job.path
    scores = write_head(writer, value, spec=spec, weights=weights, path=path)
    write_labels(
        writer,
        scores,
        spec=spec,
        threshold=job.contract.threshold,
        confidence=job.contract.confidence,
    )


def _write_per_frame(writer: GraphWriter, job: GraphJob) -> None:
    spec, weights = job.contract.spec, job.weights
    maps = _write_maps(writer, job)
    features = write_pyramid(writer, maps[3], spec=spec, weights=weights, module="head.conv5.0", group=None)
    x = write_concatenated_pyramid(writer, features)
    with writer.scope("head"):
        scores = write_psp_head(writer, x, weights=weights, module="head.conv5", first=1)
    write_labels(
        writer,
        scores,
        spec=spec,
        threshold=job.contract.threshold,
        confidence=job.contract.confidence,
    )
