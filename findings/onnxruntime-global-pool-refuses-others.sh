#!/usr/bin/env bash
# Once ONNX Runtime has a global thread pool, every session with default options in that process is refused.
# Seen with onnxruntime 1.32.0 on 2026-11-28.
# Expected: `set_global_thread_pool_sizes` lets sessions that ask for it share a pool; others keep their own, as before.
# Comes: `InferenceSession(model)` raises in any other part of the application until it sets use_per_session_threads=False.
# Here: there is a pool for each graph, and never more threads than can compute at once (docs/adr/0004).
. "$(dirname "$0")/common.bash"
with onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
"$PYTHON" - 2>/dev/null <<'PY' | grep -E '^(shares|default)' >out
import onnxruntime as ort
from onnx import TensorProto, helper

x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 8]) for n in "xy")
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
ort.set_global_thread_pool_sizes(2, 1)
options = ort.SessionOptions()
options.use_per_session_threads = False
ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
print("shares the pool: opened")
try:
    ort.InferenceSession(model, providers=["CPUExecutionProvider"])
except Exception as error:
    print("default options: refused, names use_per_session_threads:", "use_per_session_threads" in str(error).lower())
else:
    print("default options: opened")
PY
seen <<'TEXT'
shares the pool: opened
default options: refused, names use_per_session_threads: True
TEXT
