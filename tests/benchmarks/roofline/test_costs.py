from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from tdnet_bench.roofline.costs import bundle_costs, graph_cost  # noqa: E402  # after the skip
from tdnet_runtime.bundle import Bundle  # noqa: E402
from tdnet_runtime.errors import BundleError, MissingExtraError  # noqa: E402

Shape = tuple[Any, ...]


def graph(
    nodes: list[Any],
    inputs: dict[str, Shape],
    outputs: dict[str, Shape],
    weights: dict[str, Any] | None = None,
    dtype: str = "float32",
) -> bytes:
    """A serialised model; names of inputs and outputs to shapes, of weights to arrays or shapes of float32."""
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def infos(tensors: dict[str, Shape]) -> list[Any]:
        return [onnx.helper.make_tensor_value_info(name, kind, shape) for name, shape in tensors.items()]

    arrays = {
        name: np.ones(value, dtype) if isinstance(value, tuple) else value
        for name, value in (weights or {}).items()
    }
    stored = [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()]
    made = onnx.helper.make_graph(nodes, "g", infos(inputs), infos(outputs), initializer=stored)
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def node(kind: str, inputs: str, output: str, name: str | None = None, **attributes: Any) -> Any:
    return onnx.helper.make_node(kind, inputs.split(), [output], name=name or output, **attributes)


def whole(data: bytes) -> tuple[int, int]:
    """Matrix FLOPs, and compulsory bytes."""
    cost = graph_cost("g", data)
    assert cost.uncounted == ()
    return cost.flops, cost.compulsory_bytes


def test_convolution_by_hand() -> None:
    conv = node("Conv", "x w b", "y", strides=[2, 2], pads=[1, 1, 1, 1])
    data = graph([conv], {"x": (1, 2, 5, 6)}, {"y": (1, 4, 3, 3)}, {"w": (4, 2, 3, 3), "b": (4,)})
    # 36 results of 2·3·3 multiply-adds; 60 + 72 + 4 + 36 floats
    assert whole(data) == (36 * 18 * 2, (60 + 72 + 4 + 36) * 4)


def test_depth_of_a_grouped_convolution_is_its_groups() -> None:
    conv = node("Conv", "x w", "y", group=2)
    data = graph([conv], {"x": (1, 4, 3, 3)}, {"y": (1, 6, 1, 1)}, {"w": (6, 2, 3, 3)})
    assert whole(data) == (6 * 18 * 2, (36 + 108 + 6) * 4)


def test_a_stride_larger_than_the_kernel_reads_less() -> None:
    conv = node("Conv", "x w", "y", strides=[2, 3])
    data = graph([conv], {"x": (1, 2, 5, 7)}, {"y": (1, 1, 3, 3)}, {"w": (1, 2, 1, 1)})
    assert whole(data) == (9 * 2 * 2, (2 * 3 * 3 + 2 + 9) * 4)  # 3×3 of 5×7 positions


@pytest.mark.parametrize(
    ("first", "second", "attributes"),
    [((5, 3), (3, 7), {}), ((3, 5), (3, 7), {"transA": 1}), ((5, 3), (7, 3), {"transB": 1})],
)
def test_gemm_by_hand(first: Shape, second: Shape, attributes: dict[str, int]) -> None:
    data = graph(
        [node("Gemm", "a b c", "y", **attributes)], {"a": first, "b": second, "c": (7,)}, {"y": (5, 7)}
    )
    assert whole(data) == (2 * 5 * 3 * 7, (15 + 21 + 7 + 35) * 4)


def test_matmul_multiplies_each_matrix_of_a_batch() -> None:
    data = graph([node("MatMul", "a b", "y")], {"a": (4, 5), "b": (1, 6, 5, 3)}, {"y": (1, 6, 4, 3)})
    assert whole(data) == (6 * 2 * 4 * 5 * 3, (20 + 90 + 72) * 4)


@pytest.mark.parametrize(
    "made",
    [
        node("Relu", "x", "y"),
        node("LeakyRelu", "x", "y"),
        node("Softmax", "x", "y", axis=3),
        node("Transpose", "x", "y", perm=[0, 1, 2, 3]),
        node("MaxPool", "x", "y", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    ],
    ids=lambda made: made.op_type,
)
def test_other_arithmetic_is_known_and_not_counted(made: Any) -> None:
    assert whole(graph([made], {"x": (1, 2, 3, 4)}, {"y": (1, 2, 3, 4)})) == (0, 24 * 4 * 2)


def test_interpolation_reads_and_writes() -> None:
    resize = node("Resize", "x   s", "y", mode="linear", coordinate_transformation_mode="align_corners")
    resize.input[:] = ["x", "", "", "s"]
    data = graph([resize], {"x": (1, 1, 2, 2)}, {"y": (1, 1, 3, 5)}, {"s": np.array([1, 1, 3, 5])})
    assert whole(data) == (0, (4 + 15) * 4)


CHAIN = [
    node("MatMul", "x w", "a", "trunk/layer1/0/product"),
    node("Relu", "a", "b", "trunk/layer1/0/relu"),
    node("Reshape", "b shape", "c", "trunk/rows"),
    node("Slice", "c starts ends", "d", "hop2/slice"),
    node("Add", "d d", "y", "hop2/add"),
    node("Add", "c z", "e", "last"),
]


def chain() -> bytes:
    weights = {"w": (3, 8), "shape": np.array([8, 4]), "starts": np.array([0]), "ends": np.array([2])}
    return graph(CHAIN, {"x": (4, 3), "z": (8, 4)}, {"y": (2, 4), "e": (8, 4)}, weights)


def test_traffic_of_an_ideal_fusion() -> None:
    cost = graph_cost("g", chain())
    # x, w, z, and the results y and e
    assert cost.compulsory_bytes == (12 + 24 + 32 + 8 + 32) * 4
    assert cost.flops == 2 * 4 * 3 * 8


def test_of_a_value_that_is_cut_only_what_is_used_is_read() -> None:
    cut = node("Slice", "x starts ends", "y")
    data = graph([cut], {"x": (8, 4)}, {"y": (2, 4)}, {"starts": np.array([0]), "ends": np.array([2])})
    assert whole(data) == (0, (8 + 8) * 4)


def quantised(*, both: bool) -> bytes:
    """One product of quantised activations, with weights that are quantised too or not."""
    nodes = [
        node("QuantizeLinear", "x scale zero", "q", "q1"),
        node("DequantizeLinear", "q scale zero", "dq", "dq1"),
        node("DequantizeLinear", "w scale", "dw", "dq2"),
        node("MatMul", "dq dw" if both else "dq v", "y", "head/product"),
    ]
    weights = {"scale": np.float32(1), "zero": np.uint8(0), "w": np.ones((8, 2), np.int8), "v": (8, 2)}
    weights = {name: np.asarray(value) if name != "v" else value for name, value in weights.items()}
    return graph(nodes if both else [*nodes[:2], nodes[3]], {"x": (4, 8)}, {"y": (4, 2)}, weights)


def test_quantised_factors_are_multiplied_in_int8_and_read_as_stored() -> None:
    cost = graph_cost("g", quantised(both=True))
    assert cost.matrix_flops == {"int8": 2 * 4 * 8 * 2}
    assert cost.compulsory_bytes == 32 * 4 + 16 * 1 + 8 * 4  # x, w in 8 bits, y


def test_a_product_with_one_quantised_factor_is_not_int8() -> None:
    assert graph_cost("g", quantised(both=False)).matrix_flops == {"float32": 128}


def test_types_are_told_apart_and_have_their_size() -> None:
    half = graph([node("MatMul", "a b", "y")], {"a": (2, 3), "b": (3, 4)}, {"y": (2, 4)}, dtype="float16")
    cost = graph_cost("g", half)
    assert cost.matrix_flops == {"float16": 48}
    assert cost.compulsory_bytes == (6 + 12 + 8) * 2


def test_unknown_operators_are_named_not_guessed() -> None:
    cost = graph_cost("g", graph([node("Sin", "x", "y")], {"x": (3,)}, {"y": (3,)}))
    assert (cost.uncounted, cost.flops, cost.compulsory_bytes) == (("Sin",), 0, 24)
    assert graph_cost("g", chain()).uncounted == ()


def test_what_is_no_graph_is_said() -> None:
    with pytest.raises(BundleError, match="graph 'subnet1': it is not valid ONNX"):
        graph_cost("subnet1", b"no graph")


def test_open_shapes_are_refused() -> None:
    data = graph([node("Relu", "x", "y")], {"x": ("n", 3)}, {"y": ("n", 3)})
    with pytest.raises(BundleError, match=r"graph 'apm1': 'x'.* no fixed shape; export it again"):
        graph_cost("apm1", data)


def test_without_onnx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    data = chain()
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"'onnx' is not installed.*tdnet-deploy\[bench\]"):
        graph_cost("g", data)


@pytest.mark.parametrize("name", ["td2-psp50", "td4-psp18", "td2-fa18", "psp101"])
def test_every_graph_of_a_bundle_adds_up(name: str, tiny_bundle: Callable[[str], Path]) -> None:
    pytest.importorskip("torch")
    with Bundle.open(tiny_bundle(name)) as bundle:
        for spec, cost in zip(bundle.manifest.graphs, bundle_costs(bundle, precision="fp32"), strict=True):
            data = bundle.read(spec.members["fp32"])
            weights = sum(
                onnx.numpy_helper.to_array(tensor).nbytes
                for tensor in onnx.load_model_from_string(data).graph.initializer
                if tensor.data_type == onnx.TensorProto.FLOAT
            )
            assert (cost.graph, cost.uncounted) == (spec.name, ())
            assert cost.compulsory_bytes == weights + sum(t.nbytes for t in (*spec.inputs, *spec.outputs))
            assert cost.matrix_flops.keys() == {"float32"}


@pytest.mark.parametrize(("name", "published_gflop"), [("td4-psp18", 515), ("td2-psp50", 1103)])
def test_published_networks_agree_with_pytorchs_own_count(name: str, published_gflop: int) -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    from tdnet_export.contract import NetworkContract
    from tdnet_export.graphs import graph_jobs
    from tdnet_export.weights import Weights
    from tdnet_models.tdnet import TemporalNetwork
    from tdnet_models.variants import PUBLISHED

    spec, stride = PUBLISHED[name], 4
    with torch.device("meta"):
        network = TemporalNetwork(spec).eval()
    image = torch.empty(1, 3, *spec.input_size, device="meta")

    def pytorch(run: Callable[[], Any]) -> int:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            run()
        return int(counter.get_total_flops())

    trunk = pytorch(lambda: network.get_submodule(spec.variant.prefix(1))(image))
    encode = pytorch(lambda: network.encode(1, image, stride))
    features = network.encode(1, image, stride)
    memory = [features.entry] * (spec.variant.paths - 1)
    recompose = pytorch(lambda: network.recompose(1, features, memory))
    classify = pytorch(lambda: network.classify(1, features.value))
    assert (encode + recompose + classify) / 1e9 == pytest.approx(published_gflop, abs=0.5)

    state = network.to_empty(device="cpu").state_dict()
    for values in state.values():
        values.fill_(1)
    jobs = graph_jobs(NetworkContract(spec=spec, memory_stride=stride), Weights(state))[:2]
    counted = sum(graph_cost(job.name, job.write().SerializeToString()).flops for job in jobs)
    h, w = spec.feature_size
    saved_by_phi = 2 * spec.value**2 * (h * w - 25 * 49)  # at the memory's positions instead of all
    of_encoding = counted - trunk - classify - (recompose - saved_by_phi)
    # The encoding meets the pyramid before it is interpolated, and of the memory only k is made anew.
    assert 0.3 * (encode - trunk) < of_encoding < 0.7 * (encode - trunk)
