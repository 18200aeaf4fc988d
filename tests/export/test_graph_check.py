"""A graph that is not what it should be never gets into a bundle."""

import onnx
import pytest
from onnx import TensorProto, helper

from tdnet_export.contract import GraphTensors
from tdnet_export.graph_check import MAX_IR_VERSION, MAX_OPSET, OPERATORS, check_graph
from tdnet_export.onnx_writer import GraphWriter
from tdnet_runtime.errors import ExportError
from tdnet_runtime.manifest import TensorSpec


def spec(name, *shape, dtype="float32"):
    return TensorSpec(name=name, shape=shape, dtype=dtype)


TENSORS = GraphTensors("small", (spec("x", 1, 2, 3, 4),), (spec("y", 1, 2, 3, 4),))


@pytest.fixture
def model():
    writer = GraphWriter("small")
    writer.input(TENSORS.inputs[0])
    writer.op("Add", "x", writer.weight("one", [1.0]), as_output="y")
    writer.output("y", TENSORS.outputs[0])
    return writer.model()


def test_a_good_graph_passes(model):
    check_graph(model, TENSORS)


def test_the_limits_are_those_of_tensorrt_10_3():
    assert (MAX_OPSET, MAX_IR_VERSION) == (20, 10)
    assert not OPERATORS & {"Loop", "If", "Scan", "NonZero", "GridSample", "AveragePool"}


def later_opset(model):
    model.opset_import[0].version = 21


def later_ir(model):
    model.ir_version = 11


def second_domain(model):
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def foreign_operator(model):
    model.graph.node[0].op_type = "Pow"


def invalid(model):
    model.graph.node[0].input[0] = "nobody"


def wrong_shape(model):
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 4, 3]))


def renamed_input(model):
    model.graph.input[0].name = model.graph.node[0].input[0] = "image"


def other_dtype(model):
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    model.graph.initializer[0].CopyFrom(helper.make_tensor("one", TensorProto.DOUBLE, [1], [1.0]))


def free_side(model):
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"


def extra_output(model):
    model.graph.output.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 3, 4]))


def stack_trace(model):
    model.graph.node[0].metadata_props.add(key="pkg.torch.onnx.stack_trace", value="File net.py, line 3")


def node_remark(model):
    model.graph.node[0].doc_string = "/home/somebody/net.py(3)"


def graph_remark(model):
    model.graph.doc_string = "made by somebody"


def model_remark(model):
    model.doc_string = "made by somebody"


def model_metadata(model):
    model.metadata_props.add(key="author", value="somebody")


FAULTS = [
    (later_opset, r"opsets \{'': 21\} and IR version 8; expected the default domain up to opset 20"),
    (later_ir, r"IR version 11"),
    (second_domain, r"opsets \{'': 17, 'com\.microsoft': 1\}"),
    (foreign_operator, r"uses the operators Pow, which are not on the list"),
    (invalid, r"is not valid ONNX: "),
    (wrong_shape, r"is not valid ONNX: "),
    (renamed_input, r"has the inputs \['image'\], the contract \['x'\]"),
    (other_dtype, r"has the inputs \['x'\], the contract \['x'\], or their shapes or dtypes differ"),
    (free_side, r"has the inputs \['x'\], the contract \['x'\], or their shapes or dtypes differ"),
    (extra_output, r"has the outputs \['y', 'x'\], the contract \['y'\]"),
    (stack_trace, r"carries notes of the exporting machine at \['add'\]"),
    (node_remark, r"carries notes of the exporting machine at \['add'\]"),
    (graph_remark, r"carries notes of the exporting machine at the model"),
    (model_remark, r"carries notes of the exporting machine at the model"),
    (model_metadata, r"carries notes of the exporting machine at the model"),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_faults_are_named(fault, message, model):
    fault(model)
    with pytest.raises(ExportError, match=rf"graph 'small' .*{message}"):
        check_graph(model, TENSORS)


def test_a_graph_the_checker_passes_and_the_contract_does_not(model):
    """The checker knows nothing of the contract."""
    onnx.checker.check_model(model, full_check=True)
    other = GraphTensors("small", TENSORS.inputs, (spec("y", 1, 2, 3, 4, dtype="uint8"),))
    with pytest.raises(ExportError, match="has the outputs"):
        check_graph(model, other)
