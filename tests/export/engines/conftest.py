"""Graphs for real builds: TensorRT-RTX builds without a GPU."""

import functools
import importlib.util

import pytest
from tests.conftest import SMALL_SIZE, small_state

BUILDS = pytest.mark.skipif(
    not (importlib.util.find_spec("tensorrt_rtx") and importlib.util.find_spec("polygraphy")),
    reason="engines are built with polygraphy and tensorrt-rtx, which are not installed",
)


def toy_graph(dtype=None, *, bad=()):
    """ONNX bytes of a convolution and a product, float16 unless told; nodes in `bad` get an unknown operator."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    dtype = np.dtype(dtype or np.float16)
    kind = {"float16": TensorProto.FLOAT16, "float32": TensorProto.FLOAT}[dtype.name]
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["conv"], name="toy/conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["relu"], name="toy/relu"),
        helper.make_node("MatMul", ["relu", "matrix"], ["y"], name="toy/matmul"),
    ]
    for node in nodes:
        if node.name in bad:
            node.op_type = "NoSuchOperator"
            del node.attribute[:]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("x", kind, [1, 16, 8, 16])],
        [helper.make_tensor_value_info("y", kind, [1, 16, 8, 16])],
        [
            numpy_helper.from_array(rng.normal(size=(16, 16, 3, 3)).astype(dtype), "kernel"),
            numpy_helper.from_array(rng.normal(size=(16, 16)).astype(dtype), "matrix"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString(deterministic=True)


@pytest.fixture(scope="session")
def small_graphs(tmp_path_factory):
    """small_graphs(name, precision, size): ONNX bytes of the graphs of path 1 by name, at the small size unless told."""
    import torch

    from tdnet_export.contract import NetworkContract
    from tdnet_export.graphs import graph_jobs
    from tdnet_export.precision import half_precision_model
    from tdnet_export.weights import Weights
    from tdnet_models import load_checkpoint

    path = tmp_path_factory.mktemp("engines") / "small.pth"

    @functools.lru_cache(maxsize=1)
    def models(name, size):
        torch.save(small_state(name, size), path)
        network = load_checkpoint(path, size=size)
        path.unlink()
        contract = NetworkContract(
            spec=network.spec, memory_stride=network.spec.variant.memory_stride, logits=False
        )
        jobs = graph_jobs(contract, Weights(network.state_dict()))
        return {job.name: job.write() for job in jobs if job.path == 1}

    def graphs(name, precision, size=None):
        convert = half_precision_model if precision == "fp16" else lambda model: model
        return {
            graph: convert(model).SerializeToString(deterministic=True)
            for graph, model in models(name, size or SMALL_SIZE[name]).items()
        }

    return graphs
