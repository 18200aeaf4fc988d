"""The writer: names that stay unique, weights of one type, the same bytes every time."""

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper

from tdnet_export.onnx_writer import GraphWriter
from tdnet_runtime.manifest import TensorSpec


def spec(name, *shape, dtype="float32"):
    return TensorSpec(name=name, shape=shape, dtype=dtype)


def small(dtype=np.float32):
    writer = GraphWriter("small", dtype=dtype)
    x = writer.input(spec("x", 1, 2))
    with writer.scope("outer"), writer.scope("inner"):
        for _ in range(3):
            x = writer.op("Add", x, writer.weight("w", [[0.1, 0.2]]))
    writer.op("Reshape", x, writer.integers("shape", [2]), as_output="y")
    writer.output("y", spec("y", 2))
    return writer.model()


def test_names_are_scoped_and_unique():
    graph = small().graph
    assert [node.name for node in graph.node] == [
        "outer/inner/add",
        "outer/inner/add_2",
        "outer/inner/add_3",
        "reshape",
    ]
    assert [weight.name for weight in graph.initializer] == [
        "outer/inner/w",
        "outer/inner/w_2",
        "outer/inner/w_3",
        "shape",
    ]
    assert graph.node[-1].output == ["y"]


@pytest.mark.parametrize(
    ("dtype", "kind"), [(np.float32, TensorProto.FLOAT), (np.float64, TensorProto.DOUBLE)]
)
def test_weights_and_declared_floats_have_the_writers_type(dtype, kind):
    graph = small(dtype).graph
    assert [weight.data_type for weight in graph.initializer] == [kind] * 3 + [TensorProto.INT64]
    assert graph.input[0].type.tensor_type.elem_type == kind
    assert graph.output[0].type.tensor_type.elem_type == kind
    found = numpy_helper.to_array(graph.initializer[0])
    assert np.array_equal(found, np.array([[0.1, 0.2]], dtype=dtype))


def test_images_stay_bytes():
    writer = GraphWriter("small", dtype=np.float64)
    writer.input(spec("image", 1, 4, 4, 3, dtype="uint8"))
    assert writer.model().graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8


def test_the_same_calls_give_the_same_bytes():
    assert small().SerializeToString(deterministic=True) == small().SerializeToString(deterministic=True)


def test_an_output_bears_its_declared_name():
    writer = GraphWriter("small")
    with pytest.raises(ValueError, match="value 'add' is declared as the output 'y'"):
        writer.output("add", spec("y", 2))
