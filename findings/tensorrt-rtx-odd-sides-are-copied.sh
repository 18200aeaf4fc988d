#!/usr/bin/env bash
# TensorRT-RTX pads FP16 matrix products of odd sides by copies, and writes the scores of an attention in FP32 then.
# Seen with tensorrt-rtx 1.7.1.116 (built on a CPU) on 2026-11-28.
# Expected: q·kᵀ → softmax → ·v is three kernels or fewer whatever the sides are, as it is where they divide by 8.
# Comes: with 1225 keys, six copies more, one of them of all scores, and scores in FP32: twice the memory traffic.
# Here: FP16 graphs have padded, masked products (export/tdnet_export/attention_padding.py).
. "$(dirname "$0")/common.bash"
with tensorrt-rtx==1.7.1.116 onnx==1.23.2 numpy==2.4.6
"$PYTHON" - >out <<'PY'
import re
import tensorrt_rtx as trt
from onnx import TensorProto, helper

class Log(trt.ILogger):
    def __init__(self):
        trt.ILogger.__init__(self)
        self.text = ""

    def log(self, severity, message):
        self.text += message + "\n"

HALF = TensorProto.FLOAT16
for queries, keys in ((18721, 1225), (18728, 1232)):
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["q", "k"], ["scores"], transA=1),
            helper.make_node("Cast", ["scores"], ["wide"], to=TensorProto.FLOAT),
            helper.make_node("Softmax", ["wide"], ["shares"], axis=1),
            helper.make_node("Cast", ["shares"], ["half"], to=HALF),
            helper.make_node("Gemm", ["v", "half"], ["y"], transB=1),
        ],
        "g",
        [helper.make_tensor_value_info(n, HALF, s) for n, s in (("q", [64, queries]), ("k", [64, keys]), ("v", [512, keys]))],
        [helper.make_tensor_value_info("y", HALF, [512, queries])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    log = Log()
    builder = trt.Builder(log)
    network = builder.create_network(0)
    assert trt.OnnxParser(network, log).parse(model.SerializeToString())
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    assert builder.build_serialized_network(network, config) is not None
    lines = [l for l in log.text[log.text.rindex("Layers:") :].split("\n") if l.startswith("Name: ")]
    kinds = [re.search(r"LayerType: (\w+)", line)[1] for line in lines]
    kernels = [kind for kind in kinds if kind not in ("signal", "wait")]
    wide = any(re.search(rf"Outputs: .*\[{queries + queries % 2},{keys + keys % 2}\].*?Datatype: Float", l) for l in lines)
    print(f"{queries} x {keys}: {len(kernels)} kernels, scores in {'FP32' if wide else 'FP16'}")
PY
seen <<'TEXT'
18721 x 1225: 8 kernels, scores in FP32
18728 x 1232: 3 kernels, scores in FP16
TEXT
