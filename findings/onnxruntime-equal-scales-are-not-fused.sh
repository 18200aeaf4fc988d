#!/usr/bin/env bash
# Two dynamically quantised layers on one input are fused by ONNX Runtime only where their weights' scales differ.
# Seen with onnxruntime 1.32.0 on 2026-11-29.
# Expected: DynamicQuantizeLinear, MatMulInteger, Cast and Mul of each layer become MatMulIntegerToFloat, whatever its scale is.
# Comes: where both weights have one scale, the products of scales are found equal and made once for both before the fusion
# looks, which asks for a product that one layer alone reads; so that each layer stays three nodes and a pass over INT32.
# Here: each part of an attention has a product of scales of its own (runtime/tdnet_runtime/backends/ort_attention.py).
. "$(dirname "$0")/common.bash"
with onnxruntime==1.32.0 onnx==1.22.0 numpy==2.4.6
"$PYTHON" - <<'PY' >out
from collections import Counter

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper


def layers(*scales):
    weights = np.random.default_rng(0).integers(-127, 128, (len(scales), 64, 64)).astype(np.int8)
    nodes = [helper.make_node("DynamicQuantizeLinear", ["x"], ["steps", "scale", "zero"])]
    constants = [numpy_helper.from_array(np.array(0, np.int8), "none")]
    for i, scale in enumerate(scales):
        constants += [
            numpy_helper.from_array(weights[i], f"w{i}"),
            numpy_helper.from_array(np.array(scale, np.float32), f"ws{i}"),
        ]
        nodes += [
            helper.make_node("MatMulInteger", ["steps", f"w{i}", "zero", "none"], [f"sum{i}"]),
            helper.make_node("Cast", [f"sum{i}"], [f"float{i}"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["scale", f"ws{i}"], [f"both{i}"]),
            helper.make_node("Mul", [f"float{i}", f"both{i}"], [f"y{i}"]),
        ]
    outputs = [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, [64, 64]) for i in range(len(scales))]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [64, 64])], outputs, constants
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def optimised(model):
    options = ort.SessionOptions()
    options.optimized_model_filepath = "optimised.onnx"
    options.log_severity_level = 3
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    count = Counter(node.op_type for node in onnx.load("optimised.onnx").graph.node)
    return " ".join(f"{count[name]}x{name}" for name in sorted(count))


print("scales 0.01 and 0.02:", optimised(layers(0.01, 0.02)))
print("scales 0.01 and 0.01:", optimised(layers(0.01, 0.01)))
PY
seen <<'TEXT'
scales 0.01 and 0.02: 1xDynamicQuantizeLinear 2xMatMulIntegerToFloat
scales 0.01 and 0.01: 2xCast 1xDynamicQuantizeLinear 2xMatMulInteger 3xMul
TEXT
