#!/usr/bin/env bash
# ONNX Runtime on a CPU leaves a convolution in float whose ReLU's result is quantised to symmetric INT8, as TensorRT wants it.
# Seen with onnxruntime 1.32.0, x86-64, on 2026-11-29.
# Expected: a graph with Q/DQ pairs around all convolutions computes them in 8 bits, whichever of UINT8 and INT8 the pairs are.
# Comes: without a ReLU any two types are fused to a QLinearConv; with one before the quantiser only UINT8 steps are. Into INT8 steps
# around 0 the convolution runs in float between dequantised values, and nothing says so.
# Here: INT8 graphs for CPUs have UINT8 steps behind ReLUs (runtime/tdnet_runtime/backends/ort_int8.py, export/tdnet_export/int8/unsigned.py).
. "$(dirname "$0")/common.bash"
[[ $(uname -m) == x86_64 ]] || skip "its kernels for x86-64"
with onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
"$PYTHON" - <<'PY' >out
import itertools

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def model(relu, before, after):
    values = {
        "scale": np.float32(0.05),
        "before": before(0),
        "after": after(0),
        "w": np.ones((16, 16, 3, 3), np.int8),
        "w_scale": np.float32(0.01),
        "w_zero": np.int8(0),
    }
    last = "r" if relu else "c"
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "before"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "scale", "before"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["wd"]),
        helper.make_node("Conv", ["xd", "wd"], ["c"], pads=[1, 1, 1, 1]),
        *([helper.make_node("Relu", ["c"], ["r"])] if relu else []),
        helper.make_node("QuantizeLinear", [last, "scale", "after"], ["cq"]),
        helper.make_node("DequantizeLinear", ["cq", "scale", "after"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 16, 32, 32]) for name in "xy"]
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


for relu, before, after in itertools.product((False, True), (np.uint8, np.int8), (np.uint8, np.int8)):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = "optimised.onnx"
    options.log_severity_level = 3
    content = model(relu, before, after).SerializeToString()
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (found,) = [node.op_type for node in onnx.load("optimised.onnx").graph.node if "Conv" in node.op_type]
    print(f"{before.__name__} before, {'ReLU, ' * relu}{after.__name__} after: {found}")
PY
seen <<'TEXT'
uint8 before, uint8 after: QLinearConv
uint8 before, int8 after: QLinearConv
int8 before, uint8 after: QLinearConv
int8 before, int8 after: QLinearConv
uint8 before, ReLU, uint8 after: QLinearConv
uint8 before, ReLU, int8 after: FusedConv
int8 before, ReLU, uint8 after: QLinearConv
int8 before, ReLU, int8 after: FusedConv
TEXT
