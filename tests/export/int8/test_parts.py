"""What some nodes of a graph can change."""

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from tdnet_export.int8.parts import completed, part_from, part_until

FLOAT = TensorProto.FLOAT
SHAPE = (2,)


def graph():
    """a = x + one; b = -x; c = a * b; d = -b; outputs c and d."""
    nodes = [
        helper.make_node("Add", ["x", "one"], ["a"], name="a"),
        helper.make_node("Neg", ["x"], ["b"], name="b"),
        helper.make_node("Mul", ["a", "b"], ["c"], name="c"),
        helper.make_node("Neg", ["b"], ["d"], name="d"),
    ]
    x, *outputs = (helper.make_tensor_value_info(name, FLOAT, SHAPE) for name in "xcd")
    one = numpy_helper.from_array(np.ones(1, np.float32), "one")
    made = helper.make_graph(nodes, "toy", [x], outputs, [one])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_nodes_and_what_they_read():
    part = part_from(graph().graph, lambda node: node.name == "a")
    assert ([node.name for node in part.nodes], part.reads) == (["a", "c"], ("x", "b"))
    part = part_from(graph().graph, lambda node: node.name == "b")
    assert ([node.name for node in part.nodes], part.reads) == (["b", "c", "d"], ("x", "a"))


def test_the_part_as_a_model_gives_the_outputs_that_it_makes():
    whole = graph()
    model = part_from(whole.graph, lambda node: node.name == "a").model(
        whole, {"x": (FLOAT, SHAPE), "b": (FLOAT, SHAPE)}
    )
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["c"]
    (found,) = session.run(None, {"x": np.float32([1, 2]), "b": np.float32([10, 20])})
    assert found.tolist() == [20, 60]


def test_up_to_a_node():
    """b is read by d, which is left out; c is an output already."""
    part = part_until(graph(), lambda node: node.name == "c")
    assert [node.name for node in part.graph.node] == ["a", "b", "c"]
    assert [value.name for value in part.graph.output] == ["c", "b"]
    assert [tensor.name for tensor in part.graph.initializer] == ["one"]
    completed(part, graph())
    assert list(part.graph.node) == list(graph().graph.node)
    assert list(part.graph.output) == list(graph().graph.output)


def test_up_to_no_node_is_all():
    part = part_until(graph(), lambda node: False)
    assert (list(part.graph.node), list(part.graph.output)) == (
        list(graph().graph.node),
        list(graph().graph.output),
    )
