"""Layers and their types, from logs and inspectors of all spellings; and which share of the work is FP16."""

import json

import pytest

from tdnet_export.engines.half_check import MIN_HALF_SHARE, MIN_INT8_SHARE, Shares, checked_shares
from tdnet_export.engines.layer_sources import layers_from_inspector, layers_from_log
from tdnet_export.engines.layers import EngineLayer, EngineTensor, half_share, int8_share, layers_json
from tdnet_runtime.errors import ExportError


def rtx_tensor(name, dims, dtype):
    sides = ",".join(map(str, dims))
    return (
        f"{{ Name: {name}, Dimensions: [{sides}], Strides: [{sides}], StrideOrder: [1,0], Datatype: {dtype}, "
        "Format: (Arbitrary) Format with stride order = [1,0] }"
    )


def rtx_layer(name, kind, inputs, constants, outputs, nodes=()):
    lists = [", ".join(rtx_tensor(*tensor) for tensor in tensors) for tensors in (inputs, constants, outputs)]
    metadata = "\x1f".join(f"[ONNX Layer: {node}]" for node in nodes)
    return (
        f"Name: {name}, LayerType: {kind}, Inputs: [ {lists[0]}], Constants: [ {lists[1]}], "
        f"Outputs: [ {lists[2]}], TacticName: a_tactic, StreamId: 0, Metadata: {metadata}"
    )


def rtx_log(*layers):
    return "\n".join(
        [
            "Engine generation completed in 0.11 seconds.",
            "Layers:",
            *layers,
            "",
            "I/O Tensors:",
            " Name: x, IOMode: Input",
        ]
    )


X = ("x", (1, 16, 8, 8), "Half")
KERNEL = ("__mye1dconst_myl0", (32, 16, 3, 3), "Half")
BIAS = ("__mye2dconst_myl0", (1, 32, 1, 1), "Float")
ALPHA = ("alpha", (1,), "Float")
Y = ("y", (1, 32, 8, 8), "Half")
CONV = rtx_layer("conv_U1", "correlation", [X], [KERNEL, ALPHA, BIAS], [Y], ["trunk/conv", "trunk/relu"])

TENSORRT_10 = """\
Layers:
Name: Reformatting CopyNode for Input Tensor 0 to stem + relu, LayerType: Reformat, Inputs: [ { Name: image, Location: \
Device, Dimensions: [1,3,8,8], Format/Datatype: Row major linear FP32 }], Outputs: [ { Name: r, Location: Device, \
Dimensions: [1,3,8,8], Format/Datatype: Channel major FP16 format where channel % 4 == 0 }], ParameterType: Reformat, \
Origin: REFORMAT, TacticValue: 0x00000000000003ea, StreamId: 0, Metadata:\x20
Name: stem + relu, LayerType: CaskConvolution, Inputs: [ { Name: r, Location: Device, Dimensions: [1,3,8,8], \
Format/Datatype: Half }], Outputs: [ { Name: s, Location: Device, Dimensions: [1,16,4,4], Format/Datatype: Half }], \
ParameterType: Convolution, Kernel: [3,3], Stride: [2,2], OutMaps: 16, Groups: 1, Weights: {"Type": "Half", "Count": 432}, \
Bias: {"Type": "Half", "Count": 16}, Activation: RELU, TacticName: sm80_xmma_fprop_implicit_gemm_f16f16, TacticValue: \
0x280b0ad3c23d8442, StreamId: 0, Metadata: [ONNX Layer: stem]\x1f[ONNX Layer: relu]
Name: fuse_conv_myl3_7, LayerType: correlation, Inputs: [ { Name: s, Dimensions: [1,16,4,4], Format/Datatype: Half }, \
{ Name: __mye31_dconst, Dimensions: [32,16,3,3], Format/Datatype: Half }, { Name: __mye32_alpha, \
Dimensions: [1], Format/Datatype: Float }, { Name: __mye33_beta, Dimensions: [1], Format/Datatype: Float }, \
{ Name: __mye34_bias, Dimensions: [1,32,1,1], Format/Datatype: Float }, \
{ Name: skip, Dimensions: [1,32,4,4], Format/Datatype: Half }], \
Outputs: [ { Name: c, Dimensions: [1,32,4,4], Format/Datatype: Half }], TacticName: sm80_x, StreamId: 0, \
Metadata: [ONNX Layer: fuse]
Name: classes_myl3_9, LayerType: gemm, Inputs: [ { Name: mean, Dimensions: [1,4096], Format/Datatype: Half }, \
{ Name: __mye51_dconst, Dimensions: [4096,1000], Format/Datatype: Half }, { Name: __mye52_alpha, \
Dimensions: [1], Format/Datatype: Float }, { Name: __mye53_beta, Dimensions: [1], Format/Datatype: Float }, \
{ Name: head_bias, Dimensions: [1,1000], Format/Datatype: Float }], \
Outputs: [ { Name: out, Dimensions: [1,1000], Format/Datatype: Half }], TacticName: gemvx, StreamId: 0, \
Metadata: [ONNX Layer: classes]
Bindings:
image
"""


def inspector_10(dtype, weights):
    layer = {
        "Name": "stem + relu",
        "LayerType": "CaskConvolution",
        "Inputs": [{"Name": "r", "Location": "Device", "Dimensions": [1, 3, 8, 8], "Format/Datatype": dtype}],
        "Outputs": [{"Name": "s", "Dimensions": [1, 16, 4, 4], "Format/Datatype": dtype}],
        "Weights": {"Type": weights, "Count": 432},
        "TacticName": "sm80",
        "Metadata": "[ONNX Layer: stem]\x1f[ONNX Layer: relu]",
    }
    return json.dumps({"Layers": [layer], "Bindings": ["image", "labels"]})


def inspector_11(dtype):
    def tensor(name, dims, dtype=dtype):
        return {"Name": name, "Dimensions": dims, "DataType": dtype, "Format": "Row major linear format"}

    layer = {
        "Name": "conv_U1",
        "LayerType": "correlation",
        "Inputs": [tensor("x", [1, 16, 8, 8])],
        "Constants": [tensor("w", [32, 16, 3, 3])],
        "Outputs": [tensor("y", [1, 32, 8, 8])],
        "TacticName": "t",
        "Metadata": "[ONNX Layer: stem]",
    }
    return json.dumps({"Layers": [layer], "I/O Tensors": []})


def test_a_log_of_tensorrt_rtx():
    first, second = layers_from_log(rtx_log(CONV, rtx_layer("k", "kgen", [Y], [], [("z", (1, 8), "UInt8")])))
    assert (first.name, first.kind, first.tactic) == ("conv_U1", "correlation", "a_tactic")
    assert first.inputs == (EngineTensor("x", (1, 16, 8, 8), "float16"),)
    assert [tensor.dtype for tensor in first.constants] == ["float16", "float32", "float32"]
    assert first.nodes == ("trunk/conv", "trunk/relu")
    assert first.multiplies
    assert first.is_half
    assert first.products == 32 * 8 * 8 * 16 * 9
    assert not second.multiplies
    assert second.outputs[0].dtype == "uint8"


def test_a_log_of_tensorrt_10():
    reformat, conv, *_ = layers_from_log(TENSORRT_10)
    assert [tensor.dtype for tensor in (*reformat.inputs, *reformat.outputs)] == ["float32", "float16"]
    assert not reformat.multiplies
    assert conv.multiplies
    assert conv.is_half
    assert conv.weights == ("float16", 432)
    assert conv.products == 4 * 4 * 432
    assert conv.nodes == ("stem", "relu")


def test_tensorrt_10_lists_a_kernels_constants_under_its_inputs():
    """Factors and biases in FP32 make no FP32 product; the kernel is found there, and decides."""
    *_, fused, product = layers_from_log(TENSORRT_10)
    assert not fused.constants
    assert (fused.is_half, product.is_half) == (True, True)
    assert fused.products == 32 * 4 * 4 * 16 * 9
    assert product.products == pytest.approx(4096 * 1000, rel=0.01)
    single = TENSORRT_10.replace("[32,16,3,3], Format/Datatype: Half", "[32,16,3,3], Format/Datatype: Float")
    single = single.replace("[4096,1000], Format/Datatype: Half", "[4096,1000], Format/Datatype: Float")
    *_, fused, product = layers_from_log(single)
    assert (fused.is_half, product.is_half) == (False, False)


def test_where_all_operands_are_vectors_they_decide():
    vectors = {"inputs": (tensor(1, 8, 1, 1), tensor(8)), "outputs": (tensor(1, 1),)}
    assert layer("gemm", **vectors).is_half
    assert not layer("gemm", **vectors | {"inputs": (tensor(8, dtype="float32"),)}).is_half


@pytest.mark.parametrize("prefix", ["", "[X] ", "[TRT] "])
def test_the_last_block_counts_and_prefixes_do_not_matter(prefix):
    old = rtx_log(rtx_layer("old", "gemm", [X], [], [Y]))
    (layer,) = layers_from_log(f"{old}\n{rtx_log(CONV)}".replace("Layers:", f"{prefix}Layers:"))
    assert layer.name == "conv_U1"


@pytest.mark.parametrize("name", ["a, b + c", "neck/up[0]/conv", "x{1}", "Name: y"])
def test_names_may_hold_commas_and_brackets(name):
    (layer,) = layers_from_log(rtx_log(rtx_layer(name, "gemm", [X], [], [Y])))
    assert (layer.name, layer.kind, len(layer.inputs)) == (name, "gemm", 1)


@pytest.mark.parametrize(
    ("log", "complaint"),
    [
        ("nothing of the kind", "does not list"),
        ("Layers:\n", "not understood"),
        ("Layers:\nconv1\nconv2\n", "not understood"),
        ("Layers:\nName: conv1, Shape: 3\n", "not understood"),
    ],
)
def test_a_log_without_layers_is_an_error(log, complaint):
    with pytest.raises(ExportError, match=complaint):
        layers_from_log(log)


@pytest.mark.parametrize(
    ("text", "half"),
    [
        (inspector_10("Half", "Half"), True),
        (inspector_10("Channel major FP16 format where channel % 8 == 0", "Half"), True),
        (inspector_10("Row major linear FP32", "Float"), False),
        (inspector_10("Half", "Float"), False),
        (inspector_11("Half"), True),
        (inspector_11("Float"), False),
        (inspector_11("BFloat16"), False),
    ],
)
def test_inspectors_of_both_spellings(text, half):
    (layer,) = layers_from_inspector(text)
    assert layer.multiplies
    assert layer.is_half is half
    assert layer.nodes[0] == "stem"
    assert layer.products > 1000


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("not JSON", "not understood"),
        ("[]", "not understood"),
        ('{"Bindings": []}', "not understood"),
        ('{"Layers": ["conv1", "conv2"]}', "names only"),
        ('{"Layers": []}', "0 layers is not understood"),
    ],
)
def test_an_inspector_that_tells_nothing_is_an_error(text, complaint):
    with pytest.raises(ExportError, match=complaint):
        layers_from_inspector(text)


def tensor(*shape, dtype="float16"):
    return EngineTensor("t", shape, dtype)


HALVES, RESULTS = (tensor(4, 8),), (tensor(4, 16),)


def layer(kind, *, name="l", inputs=HALVES, outputs=RESULTS, **others):
    return EngineLayer(name=name, kind=kind, inputs=inputs, outputs=outputs, **others)


@pytest.mark.parametrize(
    ("kind", "name", "multiplies"),
    [
        ("gemm", "scores_U7_myl0_0", True),
        ("correlation", "conv_U1", True),
        ("CaskConvolution", "a + b", True),
        ("CaskGemmMatrixMultiply", "a", True),
        ("MatrixMultiply", "a", True),
        ("Myelin", "{ForeignNode[a...b]}", True),
        ("runtime_fusion", "__myl_FcCast_myl0_2", True),
        ("runtime_fusion", "__myl_CorrMulMaxCastAddAdd_myl0_82", True),
        ("kgen", "__myl_CastFcAdd_myl0_2", True),
        ("kgen", "_gemm_mha_v2_myl0_5", True),
        ("kgen", "__myl_MoveConcConc_myl0_4", False),
        ("runtime_function", "__myl_Conc_myl0_1", False),
        ("kgen", "head/conv_resize", False),
        ("maxpool", "trunk/maxpool_U18_myl0_4", False),
        ("Reformat", "Reformatting CopyNode", False),
        ("signal", "signal^bb^signal^0_myl0_3", False),
    ],
)
def test_which_layers_multiply(kind, name, multiplies):
    assert layer(kind, name=name).multiplies is multiplies


@pytest.mark.parametrize(
    ("others", "half"),
    [
        ({}, True),
        ({"inputs": (tensor(4, 8), tensor(1, dtype="float32"))}, True),  # a scalar
        ({"constants": (tensor(1, 16, 1, 1, dtype="float32"),)}, True),  # a bias
        ({"outputs": (tensor(4, 16, dtype="float32"),)}, True),  # only its result is cast
        ({"inputs": (tensor(4, 8), tensor(8, 16, dtype="float32"))}, False),
        ({"inputs": (tensor(1, 8, 1, 1, dtype="float32"),)}, False),
        ({"constants": (tensor(16, 8, 1, 1, dtype="float32"),)}, False),
        ({"weights": ("float32", 128)}, False),
        ({"inputs": (tensor(4, 8, dtype="uint8"),)}, False),  # nothing is known to be FP16
        ({"inputs": (tensor(4, 8, dtype="bfloat16"),)}, False),
        ({"inputs": ()}, False),
    ],
)
def test_what_counts_as_half(others, half):
    assert layer("gemm", **others).is_half is half


def test_products_of_a_matrix_product_and_of_what_is_not_known():
    product = layer("gemm", inputs=(tensor(4, 8), tensor(8, 16)), outputs=(tensor(4, 16),))
    assert product.products == 4 * 8 * 16
    batched = layer("gemm", inputs=(tensor(3, 4, 8), tensor(8, 16)), outputs=(tensor(3, 4, 16),))
    assert batched.products == 3 * 4 * 8 * 16
    assert layer("Myelin", inputs=(), outputs=()).products == 1


def test_the_share_is_weighted_by_the_work():
    large = layer("gemm", inputs=(tensor(100, 100), tensor(100, 100)), outputs=(tensor(100, 100),))
    small = layer("gemm", inputs=(tensor(10, 10, dtype="float32"), tensor(10, 10)), outputs=(tensor(10, 10),))
    aside = layer("kgen", inputs=(tensor(1000, 1000, dtype="float32"),))
    assert half_share([large, small, aside]) == pytest.approx(1 / 1.001)
    assert half_share([aside]) == 0
    assert half_share([]) == 0


def checked(layers, precision, graph="subnet1"):
    return checked_shares(layers, graph=graph, precision=precision)


def test_fp16_asked_and_fp32_built_is_an_error():
    half = layer("gemm", inputs=(tensor(8, 8), tensor(8, 8)), outputs=(tensor(8, 8),))
    full = layer("gemm", inputs=(tensor(8, 8, dtype="float32"),), outputs=(tensor(8, 8),), nodes=("a/conv",))
    assert checked([half], "fp16") == Shares(1, 0)
    assert checked([full], "fp32") == Shares(0, 0)
    nine_tenths = [half] * 9 + [
        layer("gemm", inputs=(tensor(8, 8, dtype="float32"),) * 2, outputs=(tensor(8, 8),))
    ]
    assert checked(nine_tenths, "fp16").half == pytest.approx(MIN_HALF_SHARE)
    with pytest.raises(ExportError, match=r"FP16 was asked, and 88\.\d%.*FP32 are l"):
        checked(nine_tenths[1:], "fp16")
    with pytest.raises(ExportError, match=r"FP16 was asked, and 0\.0%.*FP32 are a/conv"):
        checked([full], "fp16")
    with pytest.raises(ExportError, match="FP16 was asked"):
        checked([], "fp16")
    with pytest.raises(ExportError, match=r"FP32 was asked, and .*% .*FP16 are l"):
        checked([full, half], "fp32")


def product(*dtypes, outputs=(), **more):
    """A product of 8×8 matrices of these dtypes."""
    return layer("gemm", inputs=tuple(tensor(8, 8, dtype=d) for d in dtypes), outputs=(tensor(8, 8),), **more)


@pytest.mark.parametrize(
    ("found", "int8"),
    [
        (product("int8", "int8"), True),
        (product("int8", "int8", "float32"), True),  # what is added to the result is no factor
        (product("int8", weights=("int8", 64)), True),
        (product("int8", constants=(tensor(16, 8, 3, 3, dtype="int8"),)), True),
        (product("int8", "float16"), False),  # not fused: the weights were made FP16 again
        (product("float32", "int8"), False),
        (product("int8", weights=("float16", 64)), False),
        (product("uint8", "int8"), False),
        (layer("gemm", inputs=(tensor(1, 8, 1, 1, dtype="int8"), tensor(8, 8, dtype="int8"))), False),
        (product("float16", "float16"), False),
    ],
)
def test_what_counts_as_int8(found, int8):
    assert found.is_int8 is int8
    assert int8_share([found]) == int8


def test_int8_asked_and_something_else_built_is_an_error():
    quick, half = product("int8", "int8"), product("float16", "float16", nodes=("a/conv",))
    full = product("float32", "float32", nodes=("b/conv",))
    assert checked([quick], "int8_fp16") == Shares(0, 1)
    assert checked([quick, half], "int8_fp16") == Shares(0.5, 0.5)
    assert checked([quick] * 9 + [full], "int8_fp16").int8 == 0.9
    assert checked([half], "int8_fp16", graph="apm1") == Shares(
        1, 0
    )  # its one convolution may be too sensitive
    assert 1 / 3 < MIN_INT8_SHARE < 1 / 2
    with pytest.raises(ExportError, match=r"INT8 was asked, and 33\.3% .*expected 45%.*; others are a/conv"):
        checked([quick, half, half], "int8_fp16")
    with pytest.raises(ExportError, match=r"INT8 was asked, and 0\.0%"):
        checked([], "int8_fp16")
    with pytest.raises(ExportError, match=r"INT8 with FP16 was asked, and 50\.0% .*FP32 are b/conv"):
        checked([quick, full], "int8_fp16")
    with pytest.raises(ExportError, match=r"INT8 with FP16 was asked, and 50\.0% "):
        checked([half, full], "int8_fp16", graph="apm1")


def test_int8_that_was_not_asked_is_an_error():
    quick, full = product("int8", "int8", nodes=("a/conv",)), product("float32", "float32")
    with pytest.raises(ExportError, match=r"FP32 was asked, and 50\.0% .*are INT8; INT8 are a/conv"):
        checked([quick, full], "fp32")
    with pytest.raises(ExportError, match=r"FP16 was asked, and 0\.0%"):
        checked([quick], "fp16")


def test_what_a_bundle_keeps_of_layers():
    kept = json.loads(layers_json(layers_from_log(rtx_log(CONV, rtx_layer("k", "kgen", [Y], [], [Y])))))
    conv, other = kept["layers"]
    assert conv["inputs"] == [["x", [1, 16, 8, 8], "float16"]]
    assert (conv["half"], conv["products"]) == (True, 32 * 8 * 8 * 16 * 9)
    assert conv["nodes"] == ["trunk/conv", "trunk/relu"]
    assert "half" not in other
    assert json.loads(layers_json(layers_from_log(TENSORRT_10)))["layers"][1]["weights"] == ["float16", 432]
