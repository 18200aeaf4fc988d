"""INT8 graphs for CPUs: what a LeakyReLU gives is in UINT8 steps, and classes have FP32 weights."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tests.export.int8.conftest import with_pairs

from tdnet_export.int8.check import check_int8
from tdnet_export.int8.quantisers import partly_quantised, quantised_inputs
from tdnet_export.int8.unsigned import unsigned_model
from tdnet_runtime.errors import ExportError

AFTER_LEAKY, AFTER_RELU = "trunk/layer1/0/conv2/conv", "trunk/layer2/0/conv1/conv"
CLASSES = "head/classes/conv"


def constants_of(model):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def test_what_a_leaky_relu_gives_is_in_255_steps_of_the_same_range(tiny_graphs):
    original = tiny_graphs("td2-fa18")[0]["subnet1"]
    model = with_pairs(original, {AFTER_LEAKY: 0.05, AFTER_RELU: 0.03})
    before = model.SerializeToString()
    found = unsigned_model(model, original)
    assert model.SerializeToString() == before
    check_int8(found, original)
    values = constants_of(found)
    nodes = {node.name: node for node in found.graph.node}
    for kind in ("q", "dq"):
        scale, zero = nodes[f"{AFTER_LEAKY}/x/{kind}"].input[1:]
        assert values[scale] * 255 == pytest.approx(0.05 * 127)
        assert (values[zero].dtype, values[zero].tolist()) == (np.uint8, 0)
        scale, zero = nodes[f"{AFTER_RELU}/x/{kind}"].input[1:]
        assert (values[scale], values[zero].dtype) == (np.float32(0.03), np.int8)
    assert f"{AFTER_LEAKY}/x/zero" not in values  # nothing is left over


def test_classes_have_fp32_weights_and_read_steps(tiny_graphs):
    original = tiny_graphs("td2-fa18")[0]["apm1"]
    model = with_pairs(original, {CLASSES: 0.05})
    with pytest.raises(ExportError, match=f"'{CLASSES}' has weights in INT8 and must not"):
        check_int8(model, original)
    found = unsigned_model(model, original)
    check_int8(found, original)
    (classes,) = (node for node in found.graph.node if node.name == CLASSES)
    assert [name for name in classes.input if name in quantised_inputs(found.graph)] == [classes.input[0]]
    (plain,) = (node for node in original.graph.node if node.name == CLASSES)
    for name in plain.input[1:]:
        assert np.array_equal(constants_of(found)[name], constants_of(original)[name])


def test_nodes_that_stay_fp32_get_their_inputs_back(tiny_graphs):
    """`fit` takes groups out of the graph that it is given."""
    original = tiny_graphs("td2-fa18")[0]["apm1"]
    found = unsigned_model(with_pairs(original, {CLASSES: 0.05}), original)
    plain = partly_quantised(found, original, keep=lambda node: False)
    assert list(plain.graph.node) == list(original.graph.node)
    assert constants_of(plain).keys() == constants_of(original).keys()
    onnx.checker.check_model(plain, full_check=True)
