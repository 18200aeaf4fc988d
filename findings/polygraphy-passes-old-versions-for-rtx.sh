#!/usr/bin/env bash
# Polygraphy before 0.50.3 imports TensorRT-RTX 1.7 without complaint and then cannot build anything with it.
# Seen with polygraphy 0.49.26 and 0.50.3, tensorrt-rtx 1.7.1.116 on 2026-11-28.
# Expected: a tool that offers POLYGRAPHY_USE_TENSORRT_RTX builds, or says which version of itself it takes.
# Comes: an error about `explicit_batch` that names neither.
# Here: an older Polygraphy is refused before anything slow, with the version to install.
. "$(dirname "$0")/common.bash"
cat >build.py <<'PY'
import os

os.environ["POLYGRAPHY_USE_TENSORRT_RTX"] = "1"
os.environ["POLYGRAPHY_AUTOINSTALL_DEPS"] = "0"
import polygraphy
from onnx import TensorProto, helper
from polygraphy.backend.trt import CreateConfig, EngineBytesFromNetwork, NetworkFromOnnxBytes
from polygraphy.logger import G_LOGGER

G_LOGGER.module_severity = G_LOGGER.CRITICAL
x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 8]) for n in "xy")
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
try:
    network = NetworkFromOnnxBytes(model.SerializeToString(), strongly_typed=True)
    EngineBytesFromNetwork(network, CreateConfig())()
except Exception as error:
    print(polygraphy.__version__, "fails:", "explicit_batch" in f"{type(error).__name__}: {error}".lower())
else:
    print(polygraphy.__version__, "builds")
PY
: >out
for version in 0.49.26 0.50.3; do
  with tensorrt-rtx==1.7.1.116 onnx==1.23.2 numpy==2.4.6 polygraphy==$version
  { "$PYTHON" build.py 2>stderr || tail -n 3 stderr; } | grep -v "^\[W\]" >>out
done
seen <<'TEXT'
0.49.26 fails: True
0.50.3 builds
TEXT
