#!/usr/bin/env bash
# An ONNX Runtime session made from bytes keeps those bytes for as long as it lives: the weights are in memory twice.
# Seen with onnxruntime 1.32.0 on 2026-11-29.
# Expected: as in C++, and as from a path, the buffer is read while the session is made and may go afterwards.
# Comes: the Python side holds a reference, to load the model again should it fall back to another provider, also with
# enable_fallback=0, and where there is no other provider. td4-psp18's FP32 graphs: 209 MB of 760.
# Here: the reference is dropped when the session is there (tdnet_runtime.backends.ort_session).
. "$(dirname "$0")/common.bash"
with onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
"$PYTHON" - 2>/dev/null <<'PY' | grep -E '^held' >out
import sys

import onnxruntime as ort
from onnx import TensorProto, helper

x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 8]) for n in "xy")
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
open("model.onnx", "wb").write(model)
before = sys.getrefcount(model)
session = ort.InferenceSession(model, providers=["CPUExecutionProvider"], enable_fallback=0)
print("held by a session from bytes:", sys.getrefcount(model) - before)
before = sys.getrefcount(model)
other = ort.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
print("held by one from a path:", sys.getrefcount(model) - before)
PY
seen <<'TEXT'
held by a session from bytes: 1
held by one from a path: 0
TEXT
