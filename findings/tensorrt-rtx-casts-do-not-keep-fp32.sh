#!/usr/bin/env bash
# TensorRT-RTX computes in FP16 what a strongly typed graph computes in FP32 between two Casts.
# Seen with tensorrt-rtx 1.7.1.116 (built on a CPU) on 2026-11-28.
# Expected: networks are strongly typed, so Cast(FP32) → MatMul(FP32 constant) → Cast(FP16) multiplies in FP32.
# Comes: a product whose operands are both FP16; the constant 1/97 is rounded, and the mean with it.
# Here: an engine's layers are read after the build, FP16 bounds of the proof allow for it (docs/tensorrt-build.md).
. "$(dirname "$0")/common.bash"
with tensorrt-rtx==1.7.1.116 onnx==1.23.2 numpy==2.4.6
"$PYTHON" - >out <<'PY'
import re
import numpy as np
import tensorrt_rtx as trt
from onnx import TensorProto, helper, numpy_helper

class Log(trt.ILogger):
    def __init__(self):
        trt.ILogger.__init__(self)
        self.text = ""

    def log(self, severity, message):
        self.text += message + "\n"

graph = helper.make_graph(
    [
        helper.make_node("Cast", ["x"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["rows", "wide"], ["mean"], name="mean"),
        helper.make_node("Cast", ["mean"], ["y"], to=TensorProto.FLOAT16),
    ],
    "g",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT16, [1, 512, 97, 1])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT16, [1, 512, 1, 1])],
    [numpy_helper.from_array(np.full((1, 97), 1 / 97, np.float32), "rows")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
log = Log()
builder = trt.Builder(log)
network = builder.create_network(0)
assert trt.OnnxParser(network, log).parse(model.SerializeToString())
config = builder.create_builder_config()
config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
assert builder.build_serialized_network(network, config) is not None
for line in log.text[log.text.rindex("Layers:") :].split("\n"):
    if "LayerType: gemm" in line:
        for shape, kind in re.findall(r"Dimensions: \[([\d,]+)\].*?Datatype: (\w+)", line):
            if shape != "1":  # alpha and beta
                print(f"operand or result [{shape}]: {kind}")
PY
seen <<'TEXT'
operand or result [512,98,2]: Half
operand or result [1,1,98]: Half
operand or result [512,1,2]: Half
TEXT
