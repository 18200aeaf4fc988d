"""Tiny networks' graphs, and quantisers put into them by hand."""

from __future__ import annotations

import functools

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

pytest.importorskip("torch")

from tdnet_export.confidence_graph import write_softmax_confidence
from tdnet_export.contract import NetworkContract
from tdnet_export.onnx_writer import GraphWriter
from tdnet_models import load_checkpoint
from tdnet_runtime import Bundle
from tdnet_runtime.manifest import TensorSpec
from tdnet_runtime.media.scene import render


@pytest.fixture(scope="session")
def tiny_graphs(tiny_checkpoint, tiny_bundle):
    """tiny_graphs(name): FP32 graphs by name, contract and manifest of a tiny network."""

    @functools.cache
    def make(name):
        with Bundle.open(tiny_bundle(name)) as bundle:
            manifest = bundle.manifest
            models = {
                graph.name: onnx.load_model_from_string(bundle.read(graph.members["fp32"]))
                for graph in manifest.graphs
            }
        size = (manifest.input.height, manifest.input.width)
        spec = load_checkpoint(tiny_checkpoint(name), size=size).spec
        return models, NetworkContract(spec=spec, memory_stride=manifest.state.stride), manifest

    return make


@pytest.fixture(scope="session")
def tiny_clips():
    """tiny_clips(manifest, count): clips of the rendered scene, m frames each."""

    def make(manifest, count):
        height, width, length = manifest.input.height, manifest.input.width, len(manifest.paths)
        return [
            [render(30 * clip + index, height=height, width=width) for index in range(length)]
            for clip in range(count)
        ]

    return make


def confidence_graph():
    """Labels' softmax shares of the logits [1, 5, 6, 8], FP32."""
    writer = GraphWriter("toy")
    writer.input(TensorSpec(name="logits", shape=(1, 5, 6, 8), dtype="float32"))
    best = writer.op("ArgMax", "logits", axis=1, keepdims=0)
    spec = TensorSpec(name="confidence", shape=(1, 6, 8), dtype="uint8")
    writer.output(write_softmax_confidence(writer, "logits", best, size=(6, 8)), spec)
    return writer.model()


def _pair(graph, source, scale, name):
    """Q and DQ of `source`; the name of the dequantised value."""
    graph.initializer.append(numpy_helper.from_array(np.float32(scale).reshape(()), f"{name}/scale"))
    graph.initializer.append(numpy_helper.from_array(np.zeros((), np.int8), f"{name}/zero"))
    rest = [f"{name}/scale", f"{name}/zero"]
    quantise = helper.make_node("QuantizeLinear", [source, *rest], [f"{name}/q"], name=f"{name}/q")
    restore = helper.make_node("DequantizeLinear", [f"{name}/q", *rest], [f"{name}/dq"], name=f"{name}/dq")
    return [quantise, restore], f"{name}/dq"


def _constant(graph, source, name):
    """An INT8 constant with a scale for each output channel; the name of the dequantised value."""
    (tensor,) = (t for t in graph.initializer if t.name == source)
    values = numpy_helper.to_array(tensor)
    scale = np.abs(values).reshape(len(values), -1).max(1).clip(1e-6) / 127
    steps = np.round(values / scale.reshape(-1, 1, 1, 1)).astype(np.int8)
    graph.initializer.extend(
        [
            numpy_helper.from_array(steps, f"{name}/steps"),
            numpy_helper.from_array(scale.astype(np.float32), f"{name}/scale"),
            numpy_helper.from_array(np.zeros(len(values), np.int8), f"{name}/zero"),
        ]
    )
    inputs = [f"{name}/steps", f"{name}/scale", f"{name}/zero"]
    return [
        helper.make_node("DequantizeLinear", inputs, [f"{name}/dq"], name=f"{name}/dq", axis=0)
    ], f"{name}/dq"


def with_pairs(model, scales):
    """A copy in which the convolutions named in `scales` read INT8, their input in steps of that size."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    nodes = []
    for node in result.graph.node:
        if node.name in scales:
            assert node.op_type == "Conv"
            before, node.input[0] = _pair(result.graph, node.input[0], scales[node.name], f"{node.name}/x")
            nodes += before
            before, node.input[1] = _constant(result.graph, node.input[1], f"{node.name}/w")
            nodes += before
        nodes.append(node)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del result.graph.node[:]
    result.graph.node.extend(copies)
    return result


@pytest.fixture(scope="session")
def quantised_by_hand():
    return with_pairs
