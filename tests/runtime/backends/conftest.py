"""The tiny bundle with real graphs that follow the fake backend's law, so that engines can be compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tdnet_runtime.bundle import write_bundle
from tdnet_runtime.manifest import ClassSpec, GraphSpec, Manifest, TensorSpec

CLASSES = 100
KINDS = {"uint8": onnx.TensorProto.UINT8, "float32": onnx.TensorProto.FLOAT}


def value_info(spec: TensorSpec) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(spec.name, KINDS[spec.dtype], spec.shape)


def graph_bytes(spec: GraphSpec, nodes: list[onnx.NodeProto], constants: Mapping[str, np.ndarray]) -> bytes:
    """A serialised model with the tensors that `spec` states."""
    initializers = [numpy_helper.from_array(values, name) for name, values in constants.items()]
    graph = helper.make_graph(
        nodes, spec.name, [*map(value_info, spec.inputs)], [*map(value_info, spec.outputs)], initializers
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def subnet_bytes(spec: GraphSpec, path: int) -> bytes:
    """All outputs are filled with path + mean(image)/256."""
    node = helper.make_node
    nodes = [
        node("Cast", ["image"], ["floats"], to=onnx.TensorProto.FLOAT),
        node("ReduceMean", ["floats"], ["mean"], keepdims=0),
        node("Div", ["mean", "scale"], ["fraction"]),
        node("Add", ["fraction", "path"], ["number"]),
    ]
    constants = {"scale": np.float32(256).reshape(()), "path": np.float32(path).reshape(())}
    for output in spec.outputs:
        constants[f"{output.name}_shape"] = np.array(output.shape, np.int64)
        nodes.append(node("Expand", ["number", f"{output.name}_shape"], [output.name]))
    return graph_bytes(spec, nodes, constants)


def apm_bytes(spec: GraphSpec) -> bytes:
    """Labels are (floor(value) + [floor(slot v) if warm]) mod K; one slot is read."""
    node = helper.make_node
    (slot,) = (tensor.name for tensor in spec.inputs if tensor.name.endswith("_v"))
    (labels,) = spec.outputs
    nodes = [
        node("ReduceMax", ["value"], ["value_max"], keepdims=0),
        node("Floor", ["value_max"], ["value_floor"]),
        node("ReduceMax", [slot], ["slot_max"], keepdims=0),
        node("Floor", ["slot_max"], ["slot_floor"]),
        node("Mul", ["slot_floor", "warm"], ["gated"]),
        node("Add", ["value_floor", "gated"], ["total"]),
        node("Mod", ["total", "classes"], ["label"], fmod=1),
        node("Cast", ["label"], ["label_u8"], to=onnx.TensorProto.UINT8),
        node("Expand", ["label_u8", "labels_shape"], ["labels"]),
    ]
    constants = {"classes": np.array([CLASSES], np.float32), "labels_shape": np.array(labels.shape, np.int64)}
    return graph_bytes(spec, nodes, constants)


@pytest.fixture(scope="session")
def law_manifest(tiny_manifest: Manifest) -> Manifest:
    """The tiny manifest, with classes enough for any label."""
    classes = tuple(ClassSpec(name=f"class {k}", color=(k, k, k)) for k in range(CLASSES))
    return msgspec.structs.replace(tiny_manifest, classes=classes)


@pytest.fixture(scope="session")
def law_graphs(law_manifest: Manifest) -> dict[str, bytes]:
    """Each graph's bytes, by name."""
    graphs = {}
    for path in law_manifest.paths:
        graphs[path.subnet] = subnet_bytes(law_manifest.graph(path.subnet), path.index)
        assert path.apm is not None
        graphs[path.apm] = apm_bytes(law_manifest.graph(path.apm))
    return graphs


WriteLaw = Callable[..., Path]


@pytest.fixture
def write_law(law_manifest: Manifest, law_graphs: Mapping[str, bytes], tmp_path: Path) -> WriteLaw:
    """write_law(precision="fp32", **graphs): the bundle's path; `graphs` replaces the bytes of some."""

    def write(*, precision: str = "fp32", **graphs: bytes) -> Path:
        path = tmp_path / "law.plan"
        members = {f"graphs/{precision}/{name}.onnx": data for name, data in {**law_graphs, **graphs}.items()}
        specs = tuple(
            msgspec.structs.replace(graph, members={precision: f"graphs/{precision}/{graph.name}.onnx"})
            for graph in law_manifest.graphs
        )
        write_bundle(path, msgspec.structs.replace(law_manifest, graphs=specs, parity={}), members)
        return path

    return write


@pytest.fixture
def law_bundle(write_law: WriteLaw) -> Path:
    return write_law()
