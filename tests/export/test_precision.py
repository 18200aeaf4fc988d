"""FP16 graphs: what stays FP32 and why, what is refused, and how near the labels come to FP32's in closed loop."""

import functools
import re
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.conftest import SMALL_SIZE, TINY_FEATURES, small_state, tiny_state
from tests.models.conftest import NETWORKS, SHARED

from tdnet_export.attention_padding import pad_attention
from tdnet_export.classes import class_specs
from tdnet_export.contract import GraphTensors, NetworkContract
from tdnet_export.graph_check import OPERATORS, check_graph
from tdnet_export.graphs import graph_jobs, with_outputs
from tdnet_export.layer_norm import write_out_layer_norms
from tdnet_export.precision import FP32_ISLANDS, Island, half_precision_model, half_tensors
from tdnet_export.precision_check import check_half, half_share, value_types
from tdnet_export.precision_rounding import rounding_model
from tdnet_export.weights import Weights
from tdnet_models import load_checkpoint
from tdnet_models.preprocessing import IMAGENET
from tdnet_runtime import Segmenter
from tdnet_runtime.bundle_writer import write_bundle
from tdnet_runtime.errors import ExportError
from tdnet_runtime.manifest import SCHEMA_VERSION, GraphSpec, InputSpec, Manifest
from tdnet_runtime.media.scene import render
from tdnet_runtime.media.sources import open_source

ZOO = Path(__file__).parents[2] / "models" / "zoo" / "td2-fa18-w32-camvid.pth"
CHECKPOINTS = ("td2-fa18-w32-camvid", "td2-fa18-camvid")
FP16, FP32 = TensorProto.FLOAT16, TensorProto.FLOAT
SHOWN = {
    "normalise/sub",
    "pyramid/pool/grid1/down",
    "neck/ffm_4/query/max",
    "neck/ffm_4/mixed",
    "hop2/centre/mean",
    "hop2/shares",
    "recomposed",
    "layer_norm/layernormalization/mean",
    "to_float",
    "confidence/sum",
}
"""A node of each island; each has a test of the island's reason below, which leaves it out by `without`."""


def without(node):
    """The islands but the one that `node` is on."""
    assert node in SHOWN
    return tuple(island for island in FP32_ISLANDS if not island.covers(node))


@pytest.fixture(scope="session")
def tiny_jobs(tmp_path_factory):
    """tiny_jobs(name, features=…, change=…, stride=…): graph jobs by name; `change` gets the state dict."""
    import torch

    folder = tmp_path_factory.mktemp("precision")

    def make(name, *, features=None, change=lambda state: None, stride=None, confidence=False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(TINY_FEATURES, name, features or TINY_FEATURES[name])
            state = tiny_state(name)
        change(state)
        path = folder / "tiny.pth"
        torch.save(state, path)
        network = load_checkpoint(path, size=(49, 65) if name == "psp101" else None)
        path.unlink()
        contract = NetworkContract(
            spec=network.spec,
            memory_stride=stride or network.spec.variant.memory_stride,
            confidence=confidence,
        )
        return {job.name: job for job in graph_jobs(contract, Weights(network.state_dict()))}

    return make


@pytest.fixture(scope="session")
def plain_jobs(tiny_jobs):
    """plain_jobs(name): those of a tiny network as it is, made once."""
    return functools.cache(tiny_jobs)


@pytest.fixture(params=NETWORKS)
def jobs(request, plain_jobs):
    return plain_jobs(request.param).values()


def shown(model, *names):
    """A copy that gives the named inner values too."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    types = value_types(model)
    result.graph.output.extend(helper.make_tensor_value_info(name, *types[name]) for name in names)
    return result


def run(model, **feeds):
    """All outputs by name, from ONNX Runtime on the CPU."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))


def hand_made(nodes, inputs, outputs, **constants):
    """A model of (operator, inputs, output, attributes) with constants as arrays, FP16 all through."""
    return helper.make_model(
        helper.make_graph(
            [helper.make_node(kind, ins, [out], name=out, **extra) for kind, ins, out, extra in nodes],
            "hand_made",
            [helper.make_tensor_value_info(name, FP16, shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, FP16, shape) for name, shape in outputs.items()],
            [numpy_helper.from_array(values, name) for name, values in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


def constant(model, name):
    """(The constant's tensor, a copy of its values)."""
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
    return tensor, np.array(numpy_helper.to_array(tensor))


def with_constant(model, name, change):
    """`model` itself, its constant `name` replaced by change(values)."""
    tensor, values = constant(model, name)
    tensor.CopyFrom(numpy_helper.from_array(change(values).astype(values.dtype), name))
    return model


# The typed graph.


def test_graphs_are_valid_typed_and_pass_all_checks(jobs):
    for job in jobs:
        model = half_precision_model(job.write())
        check_graph(model, half_tensors(job.tensors))  # full check, operators, tensors, opset, IR version
        check_half(model)
        kinds = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
        assert kinds == {
            name: {"image": TensorProto.UINT8, "warm": FP32}.get(name, FP16) for name in kinds
        }  # query, value and all slots are FP16
        assert {value.type.tensor_type.elem_type for value in model.graph.output} <= {FP16, TensorProto.UINT8}


def test_nodes_keep_names_and_order_and_only_casts_are_added(jobs):
    for job in jobs:
        single = job.write()
        half = half_precision_model(single)
        written = job.write()
        write_out_layer_norms(written)
        pad_attention(written)
        before = [(node.name, node.op_type) for node in written.graph.node]
        names = {name for name, _ in before}
        assert [(node.name, node.op_type) for node in half.graph.node if node.name in names] == before
        assert {node.op_type for node in half.graph.node if node.name not in names} <= {"Cast"}
        assert (half.opset_import, half.ir_version) == (single.opset_import, single.ir_version)
        assert half.SerializeToString(deterministic=True) == half_precision_model(
            job.write()
        ).SerializeToString(deterministic=True)
        assert single.SerializeToString() == job.write().SerializeToString()  # left as it was


def test_casts_stand_only_where_types_meet(jobs):
    for job in jobs:
        graph = half_precision_model(job.write()).graph
        casts = {node.output[0]: node for node in graph.node if node.op_type == "Cast"}
        read = [name for node in graph.node for name in node.input]
        given = {value.name for value in graph.output}
        assert all(name in read or name in given for name in casts)
        own = [node for node in casts.values() if "/to_fp" in node.name]
        assert not any(node.input[0] in casts and "/to_fp" in node.input[0] for node in own)
        asked = [(node.input[0], node.attribute[0].i) for node in own]
        assert len(set(asked)) == len(asked)


def test_constants_of_fp16_nodes_are_stored_as_fp16(jobs):
    for job in jobs:
        half = half_precision_model(job.write())
        for node in half.graph.node:
            kinds = {
                tensor.data_type
                for tensor in half.graph.initializer
                if tensor.name in node.input and tensor.data_type != TensorProto.INT64
            }
            single = any(island.covers(node.name) for island in FP32_ISLANDS)
            assert kinds <= {FP32 if single else FP16}, node.name


def test_probed_values_are_fp32_and_change_no_label(plain_jobs):
    jobs = plain_jobs("td2-psp50")
    job = jobs["apm1"]
    model = job.write()
    probed = half_precision_model(with_outputs(model, job.contract.probes))
    onnx.checker.check_model(probed, full_check=True)
    kinds = {value.name: value.type.tensor_type.elem_type for value in probed.graph.output}
    assert kinds == {"labels": TensorProto.UINT8, "recomposed": FP32, "logits": FP32}
    generator = np.random.default_rng(0)
    feeds = {
        spec.name: generator.normal(size=spec.shape).astype(spec.dtype)
        for spec in half_tensors(job.tensors).inputs
    }
    plain, shows = (run(graph, **feeds) for graph in (half_precision_model(model), probed))
    np.testing.assert_array_equal(plain["labels"], shows["labels"])
    np.testing.assert_array_equal(shows["logits"].argmax(1), shows["labels"])


# The islands, each with the reason that the table gives.


def test_every_island_is_in_a_network_and_has_its_test(plain_jobs):
    nodes = [
        node.name
        for name in NETWORKS
        for job in plain_jobs(name, confidence=True).values()
        for node in job.write().graph.node
    ]
    for island in FP32_ISLANDS:
        assert any(island.covers(node) for node in nodes), f"{island.nodes!r} matches no node of any network"
    assert {island for island in FP32_ISLANDS if any(map(island.covers, SHOWN))} == set(FP32_ISLANDS)
    assert len(SHOWN) == len(FP32_ISLANDS)


def test_fp16_constants_of_the_normalisation_shift_whole_channels(plain_jobs):
    """Averaged over all grey values the error is 2e-4 to 5e-4 of a standard deviation: rounding alone has no mean."""
    model = plain_jobs("td2-psp50")["subnet1"].write()
    height, width = plain_jobs("td2-psp50")["subnet1"].contract.spec.input_size
    grey = np.arange(height * width) % 256
    image = np.repeat(grey.astype(np.uint8), 3).reshape(1, height, width, 3)
    exact = run(shown(model, "normalise/mul"), image=image)["normalise/mul"]

    def shift(half, value):
        found = run(rounding_model(shown(half, value)), image=image)[value]
        return np.abs((found.astype(np.float64) - exact).mean((0, 2, 3)))

    assert shift(half_precision_model(model), "normalise/mul/to_fp16").max() < 4e-5
    halves = half_precision_model(model, islands=without("normalise/sub"))
    assert shift(halves, "normalise/mul").min() > 2e-4


def test_an_fp16_sum_loses_a_percent_of_the_mean_over_all_rows(plain_jobs):
    """The 1×1 bin is one dot product for each channel: 97 equal terms, added up in the type of the node."""
    rows = np.full(97, np.float16(1 / 97))
    total = np.float16(0)
    for weight in rows:
        total += np.float16(10) * weight
    assert abs(float(total) / 10 - 1) > 5e-3
    assert abs(float((rows.astype(np.float32) * 10).sum()) / 10 - 1) < 5e-4  # what the constants alone cost
    model = plain_jobs("td4-psp18")["subnet1"].write()
    for islands, kind in ((FP32_ISLANDS, FP32), (without("pyramid/pool/grid1/down"), FP16)):
        types = value_types(half_precision_model(model, islands=islands))
        assert types["pyramid/pool/grid1/down"][0] == kind
        assert types["pyramid/pool/across"][0] == FP16  # the large map is never cast


def test_unit_vectors_need_their_eps_and_their_squares(tiny_jobs):
    def silence(state):  # queries of level 4 are exactly 0
        for key in state:
            if re.fullmatch(r"ffm_4_1\.w_qs\..*(weight|bias)", key):
                state[key].zero_()

    model = tiny_jobs("td2-fa18", change=silence)["subnet1"].write()
    with pytest.raises(ExportError, match=r"100.0% of the constant 'neck/ffm_4/query/eps' lie below 6.1e-05"):
        half_precision_model(model, islands=without("neck/ffm_4/query/max"))
    (height, width) = (8 * side for side in TINY_FEATURES["td2-fa18"])
    image = render(0, height=height, width=width)[None]
    found = run(shown(rounding_model(half_precision_model(model)), "neck/ffm_4/query/div"), image=image)
    assert not found["neck/ffm_4/query/div"].any()
    assert all(np.all(np.isfinite(values)) for values in found.values())
    with np.errstate(all="ignore"):
        eps = np.float16(1e-12)
        assert np.isnan(np.float16(0) / max(np.float16(0), eps))
        assert np.isinf(np.float16(256) ** 2)


def test_sums_over_all_positions_overflow_at_full_size(tiny_jobs):
    """768×1536 has 18,432 positions in level 4; values up to 20 are then too many for FP16."""

    def louder(state):
        for key in state:
            if re.fullmatch(r"ffm_4_1\.w_vs\.(?!conv).*(weight|bias)", key):
                state[key] *= 6

    model = tiny_jobs("td2-fa18", features=(96, 192), change=louder)["subnet1"].write()
    image = np.random.default_rng(0).integers(0, 256, (1, 768, 1536, 3), dtype=np.uint8)
    name = "neck/ffm_4/value/leakyrelu"
    found = run(rounding_model(shown(half_precision_model(model), name)), image=image)
    assert np.abs(found[name]).max() < 25
    assert all(np.all(np.isfinite(values)) for values in found.values())

    islands = without("neck/ffm_4/mixed")
    with pytest.raises(ExportError, match=r"% of the constant 'neck/ffm_\d+/latlayer3/weight' lie below"):
        half_precision_model(model, islands=islands)
    halves = half_precision_model(model, islands=(*islands, Island(r"neck/ffm_\d+/latlayer3/.*", "weights")))
    found = run(rounding_model(shown(halves, "neck/ffm_4/context")), image=image)
    assert np.isinf(found["neck/ffm_4/context"]).any()
    assert np.isnan(found["value"]).any()


def test_the_mean_is_over_all_positions_of_the_memory(tiny_jobs):
    model = tiny_jobs("td2-psp50", features=(97, 193), stride=1)["apm1"].write()
    check_half(half_precision_model(model))
    with pytest.raises(ExportError, match=r"'hop2/centre/mean' \(ReduceMean\) sums 18,721 elements"):
        check_half(half_precision_model(model, islands=without("hop2/centre/mean")))


def test_softmax_sums_all_positions_of_the_memory(tiny_jobs):
    assert np.float16(2048) + np.float16(1) == np.float16(2048)  # there are 2,048 at 768×1536, n = 3
    model = tiny_jobs("td2-psp50", features=(97, 193), stride=1)["apm1"].write()
    check_half(half_precision_model(model))
    with pytest.raises(ExportError, match=r"'hop2/shares' \(Softmax\) sums 18,728 elements"):
        check_half(half_precision_model(model, islands=without("hop2/shares")))


def test_what_rounding_the_sum_leaves_of_the_recomposed_features(plain_jobs):
    """V and the mixture have a constant in each channel that is large against what the LayerNorm keeps."""
    job = plain_jobs("td2-psp50")["apm1"]
    model = job.write()
    generator = np.random.default_rng(0)
    feeds = {
        spec.name: generator.normal(size=spec.shape).astype(np.float16).astype(np.float32)
        for spec in job.tensors.inputs
    }
    feeds |= {"warm": np.ones(1, np.float32), "value": (40 + feeds["value"]).astype(np.float16)}
    feeds["value"] = feeds["value"].astype(np.float32)
    name = "layer_norm/layernormalization"
    exact = run(shown(model, name), **feeds)[name]

    def error(islands):
        half = rounding_model(shown(half_precision_model(model, islands=islands), name))
        kinds = {spec.name: spec.dtype for spec in half_tensors(job.tensors).inputs}
        found = run(half, **{key: values.astype(kinds[key]) for key, values in feeds.items()})[name]
        return float(np.sqrt(np.mean((found - exact) ** 2)))

    assert error(without("recomposed")) > 3 * error(FP32_ISLANDS)


def test_layer_norm_sums_the_whole_plane(tiny_jobs):
    plane = np.random.default_rng(0).normal(2, 1, 97 * 193)
    assert np.square(plane).sum() > np.finfo(np.float16).max
    model = tiny_jobs("td4-psp18", features=(97, 193))["apm1"].write()
    check_half(half_precision_model(model))
    words = r"'layer_norm/layernormalization/mean' \(ReduceMean\) sums 18,721 elements, the bound is 4,096"
    with pytest.raises(ExportError, match=words):
        check_half(half_precision_model(model, islands=without("layer_norm/layernormalization/mean")))


def test_labels_are_made_of_floats(plain_jobs):
    """TensorRT's header converts to UINT8 from floats only; INT64 and, unasked, FP16 are not what it was tried with."""
    model = plain_jobs("td4-psp18")["apm1"].write()
    for half in (model, half_precision_model(model)):
        (last,) = (node for node in half.graph.node if node.output[0] == "labels")
        assert (last.op_type, value_types(half)[last.input[0]][0]) == ("Cast", FP32)
    other = half_precision_model(model, islands=without("to_float"))
    assert value_types(other)["to_float"][0] == FP16


def test_the_classes_shares_are_summed_in_fp32(plain_jobs):
    """Term by term as an engine may: FP16 adds nothing below 2⁻¹¹ to 1, and 255 classes of that are a share of 0.89."""
    shares = np.array([1.0] + [2.0**-11] * 255, dtype=np.float16)
    total = np.float16(0)
    for share in shares:
        total += share
    assert (total, 1 / shares.astype(np.float32).sum()) == (1, pytest.approx(0.89, abs=0.001))
    model = plain_jobs("td4-psp18", confidence=True)["apm1"].write()
    for islands, kind in ((FP32_ISLANDS, FP32), (without("confidence/sum"), FP16)):
        types = value_types(half_precision_model(model, islands=islands))
        assert types["confidence/sum"][0] == kind
    half = half_precision_model(model)
    check_half(half)
    types = value_types(half)
    assert [types[f"confidence/{name}"][0] for name in ("largest", "below", "parts")] == [FP16] * 3
    (last,) = (node for node in half.graph.node if node.output[0] == "confidence")
    assert (last.op_type, types[last.input[0]][0]) == ("Cast", FP32)


@pytest.mark.parametrize("name", ["td2-psp50", "td2-fa18"])
def test_layer_norm_written_out_is_the_operator(name, plain_jobs):
    model = plain_jobs(name)["apm2"].write()
    written = onnx.ModelProto()
    written.CopyFrom(model)
    write_out_layer_norms(written)
    onnx.checker.check_model(written, full_check=True)
    kinds = {node.op_type for node in written.graph.node}
    assert "LayerNormalization" not in kinds
    assert kinds <= OPERATORS
    generator = np.random.default_rng(0)
    feeds = {
        spec.name: (3 + generator.normal(size=spec.shape)).astype(np.float32)
        for spec in plain_jobs(name)["apm2"].tensors.inputs
    } | {"warm": np.ones(1, np.float32)}
    found, expected = (run(shown(each, "layer_norm/map"), **feeds) for each in (written, model))
    np.testing.assert_allclose(found["layer_norm/map"], expected["layer_norm/map"], atol=1e-4)
    assert (found["labels"] == expected["labels"]).mean() > 0.999


@pytest.mark.parametrize("name", ["td4-psp18", "td2-fa18"])
def test_padded_attention_is_the_attention(name, plain_jobs):
    job = plain_jobs(name)["apm1"]
    model = job.write()
    padded = job.write()
    pad_attention(padded)
    onnx.checker.check_model(padded, full_check=True)
    assert {node.op_type for node in padded.graph.node} <= OPERATORS
    hops = plain_jobs(name)["apm1"].contract.spec.variant.paths
    last = f"hop{hops}"
    types = value_types(padded)
    for node in padded.graph.node:
        if node.op_type == "Gemm":
            sides = [side for name in node.input[:2] for side in types[name][1]]
            assert all(side % 8 == 0 for side in sides), node.name
    generator = np.random.default_rng(0)
    feeds = {
        spec.name: generator.normal(-3, 1, spec.shape).astype(np.float32) for spec in job.tensors.inputs
    } | {"warm": np.ones(1, np.float32)}
    found, expected = (run(shown(each, "recomposed", f"{last}/shares"), **feeds) for each in (padded, model))
    positions = expected[f"{last}/shares"].shape[1]
    assert positions % 8 != 0  # or there is nothing to see here
    assert not found[f"{last}/shares"][:, positions:].any()
    np.testing.assert_allclose(found["recomposed"], expected["recomposed"], atol=1e-4)
    assert (found["labels"] == expected["labels"]).mean() > 0.999


def test_what_divides_by_8_is_left_as_it_is(tiny_jobs):
    model = tiny_jobs("td2-psp50", features=(16, 32), stride=4)["apm1"].write()
    before = model.SerializeToString()
    pad_attention(model)
    assert model.SerializeToString() == before


# What is refused.


def test_an_fp32_graph_is_not_taken_for_fp16(plain_jobs):
    model = plain_jobs("td4-psp18")["subnet1"].write()
    assert half_share(model) == 0
    words = (
        r"graph 'subnet1' in FP16 would be slow or wrong: 0.0% of its multiplications are FP16, expected 95%"
    )
    with pytest.raises(ExportError, match=words):
        check_half(model)


def test_the_share_is_one_of_multiplications():
    model = hand_made(
        [
            ("Conv", ["x", "w"], "a", {"pads": [1, 1, 1, 1]}),  # 4·8·8 results of 3·9 products each
            ("Reshape", ["a", "shape"], "rows", {}),
            ("Cast", ["rows"], "wide", {"to": FP32}),
            ("Gemm", ["wide", "wide"], "scores", {"transA": 1}),  # 64·64 results of 4 products each
            ("Cast", ["scores"], "y", {"to": FP16}),
        ],
        {"x": [1, 3, 8, 8]},
        {"y": [64, 64]},
        w=np.ones((4, 3, 3, 3), np.float16),
        shape=np.array([4, 64], np.int64),
    )
    conv, gemm = 4 * 8 * 8 * 27, 64 * 64 * 4
    assert half_share(model) == pytest.approx(conv / (conv + gemm))


def test_constants_that_overflow_are_named_all_at_once(plain_jobs):
    model = plain_jobs("td2-psp50")["apm1"].write()
    with_constant(model, "head/conv/weight", lambda values: values * 0 + 7e4)
    with_constant(model, "head/classes/bias", lambda values: values * 0 - np.inf)
    words = (
        r"graph 'apm1' cannot be written in FP16: the constant 'head/conv/weight' holds 7e\+04, FP16 ends at "
        r"65504; the constant 'head/classes/bias' holds inf, .*Export this network with --precision fp32."
    )
    with pytest.raises(ExportError, match=words):
        half_precision_model(model)


def test_constants_that_vanish_are_refused_where_they_multiply(plain_jobs):
    model = plain_jobs("td2-psp50")["apm1"].write()
    with_constant(model, "head/classes/bias", lambda values: values * 1e-9)  # added: nothing is lost
    with_constant(model, "head/conv/weight", lambda values: values * 0)  # infinite running variance
    half_precision_model(model)
    with_constant(model, "head/classes/weight", lambda values: values * 1e-6)
    with pytest.raises(ExportError, match=r"100.0% of the constant 'head/classes/weight' lie below 6.1e-05"):
        half_precision_model(model)


def test_a_few_subnormal_weights_are_harmless(plain_jobs):
    """Trained weights have up to 3 % of them; flushed to 0 they would take 0.4 % of the tensor's norm away."""
    model = plain_jobs("td2-psp50")["apm1"].write()
    generator = np.random.default_rng(0)
    with_constant(
        model,
        "head/conv/weight",
        lambda values: values * np.where(generator.random(values.shape) < 0.03, 1e-6, 1),
    )
    check_half(half_precision_model(model))


@pytest.mark.parametrize(
    ("kind", "shape", "longer", "count", "attributes"),
    [
        ("Softmax", [2, 4096], [2, 4097], 4097, {"axis": 1}),
        ("Softmax", [4096, 2], [4097, 2], 4097, {"axis": 0}),
        ("Softmax", [2, 4096], [2, 4097], 4097, {}),
        ("ReduceL2", [4096, 3], [4097, 3], 4097, {"axes": [0]}),
        ("ReduceMean", [2, 64, 64], [2, 64, 65], 4160, {"axes": [1, 2]}),
        ("LayerNormalization", [2, 64, 64], [2, 64, 65], 4160, {"axis": 1}),
    ],
)
def test_reductions_are_counted(kind, shape, longer, count, attributes):
    def model(sides):
        inputs, constants = ["x"], {}
        if kind == "LayerNormalization":
            inputs, constants = ["x", "gain"], {"gain": np.ones(sides[1:], np.float16)}
        axes = attributes.get("axes", [])
        result = [1 if axis in axes else side for axis, side in enumerate(sides)]
        return hand_made([(kind, inputs, "y", attributes)], {"x": sides}, {"y": result}, **constants)

    check_half(model(shape))
    with pytest.raises(ExportError, match=rf"'y' \({kind}\) sums {count:,} elements, the bound is 4,096"):
        check_half(model(longer))


@pytest.mark.parametrize("constant_first", [True, False])
def test_a_mean_in_one_product_is_refused_for_its_length_and_its_constants(constant_first):
    """1/18,721 is below FP16's normal range; 1/193 and 1/97, one after the other, are not."""

    def mean(count):
        matrix = np.full((1, count) if constant_first else (count, 1), 1 / count, np.float16)
        names, shape = (["m", "x"], [count, 5]) if constant_first else (["x", "m"], [5, count])
        result = [1, 5] if constant_first else [5, 1]
        return hand_made([("MatMul", names, "y", {})], {"x": shape}, {"y": result}, m=matrix)

    check_half(mean(193))
    words = r"'y' \(MatMul\) sums 18,721 elements.*; 100.0% of the constant 'm' lie below 6.1e-05"
    with pytest.raises(ExportError, match=words):
        check_half(mean(18721))


def test_products_with_weights_are_no_reductions():
    """They sum in FP32: 3×3 convolutions of 512 channels sum 4,608 products."""
    weights = np.random.default_rng(0).normal(size=(1, 512, 3, 3)).astype(np.float16)
    check_half(
        hand_made([("Conv", ["x", "w"], "y", {})], {"x": [1, 512, 3, 3]}, {"y": [1, 1, 1, 1]}, w=weights)
    )


def test_of_all_operators_it_is_known_whether_they_sum():
    """A new one must be put into its place, and into `precision_check` where it sums."""
    products = {"Conv", "Gemm", "MatMul"}
    reductions = {"LayerNormalization", "ReduceL2", "ReduceMean", "ReduceSum", "Softmax"}
    others = {
        "Add",
        "ArgMax",
        "Cast",
        "Concat",
        "Div",
        "Greater",
        "LeakyRelu",
        "Max",
        "MaxPool",
        "Mul",
        "Relu",
    }
    others |= {"Reshape", "Resize", "Slice", "Sqrt", "Sub", "Transpose"}
    others |= {"Exp", "GatherElements", "Neg", "Round", "Sigmoid", "Where"}
    assert products | reductions | others == OPERATORS


# The rounding twin.


def test_the_twin_rounds_every_result():
    """What ONNX Runtime's own FP16 does not: it leaves out the casts between its FP32 kernels."""
    generator = np.random.default_rng(0)
    weight = generator.normal(size=(8, 8, 1, 1)).astype(np.float16)
    model = hand_made(
        [
            ("Conv", ["x", "w"], "a", {}),
            ("Relu", ["a"], "b", {}),
            ("Conv", ["b", "w"], "c", {}),
            ("Conv", ["c", "w"], "y", {}),
        ],
        {"x": [1, 8, 16, 16]},
        {"y": [1, 8, 16, 16]},
        w=weight,
    )
    x = generator.normal(size=(1, 8, 16, 16)).astype(np.float16)
    expected = x[0].reshape(8, -1)
    for index in range(3):
        exact = weight[:, :, 0, 0].astype(np.float64) @ expected.astype(np.float64)
        expected = exact.astype(np.float16)
        expected = np.maximum(expected, 0) if index == 0 else expected
    twin = rounding_model(model)
    onnx.checker.check_model(twin, full_check=True)
    assert (twin.graph.input, twin.graph.output) == (model.graph.input, model.graph.output)
    found = run(twin, x=x)["y"]
    assert found.dtype == np.float16
    assert (found[0].reshape(8, -1) == expected).mean() > 0.999  # sums in FP32 against FP64


def test_the_twin_overflows_where_fp16_does():
    model = hand_made(
        [("Mul", ["x", "k"], "a", {}), ("Mul", ["a", "s"], "y", {})],
        {"x": [2]},
        {"y": [2]},
        k=np.array([1000], np.float16),
        s=np.array([0.001], np.float16),
    )
    found = run(rounding_model(model), x=np.array([1, 100], np.float16))["y"]
    assert found[0] == pytest.approx(1, rel=1e-2)
    assert np.isinf(found[1])


def test_the_twin_has_the_graphs_own_tensors(jobs):
    for job in jobs:
        half = half_precision_model(job.write())
        twin = rounding_model(half)
        onnx.checker.check_model(twin, full_check=True)
        assert (twin.graph.input, twin.graph.output) == (half.graph.input, half.graph.output)
        names = [node.name for node in twin.graph.node]
        assert len(set(names)) == len(names)


# In closed loop, through the runtime.


class ClosedLoop:
    """One network in FP32, in FP16 as ONNX Runtime's CPU provider runs it, and as its rounding twin."""

    def __init__(self, checkpoint, folder, *, size=None):
        self.network = load_checkpoint(checkpoint, size=size)
        self.folder = folder
        self.contract = NetworkContract(
            spec=self.network.spec, memory_stride=self.network.spec.variant.memory_stride
        )
        jobs = graph_jobs(self.contract, Weights(self.network.state_dict()))
        self.single = {job.name: job.write() for job in jobs}
        self.half = {name: half_precision_model(model) for name, model in self.single.items()}
        for model in self.half.values():
            check_half(model)

    def labels(self, kind, frames):
        """uint8 [T, H, W] of the frames' own size; `kind` is fp32, fp16 or twin."""
        models = {"fp32": self.single, "fp16": self.half}.get(kind)
        models = models or {name: rounding_model(model) for name, model in self.half.items()}
        path = self.folder / f"{kind}.plan"
        members = {f"graphs/{name}.onnx": model.SerializeToString() for name, model in models.items()}
        write_bundle(
            path, self.manifest(half_tensors if kind != "fp32" else lambda tensors: tensors), members
        )
        del models, members
        with Segmenter.open(path, backend="onnxruntime") as segmenter, segmenter.stream() as stream:
            result = np.stack([stream.push(frame).labels for frame in frames])
            slots = {stream.tensor(name).dtype for name in stream.tensor_names if name.startswith("slot")}
            assert slots == {np.dtype("float32" if kind == "fp32" else "float16")}
        path.unlink()
        return result

    def manifest(self, typed):
        """With the tensors' types of the graphs; the member's name says nothing here."""
        contract, spec = self.contract, self.network.spec
        entry = typed(GraphTensors("state", contract.state.entry, ())).inputs
        return Manifest(
            schema_version=SCHEMA_VERSION,
            network=spec.name,
            widths=spec.widths,
            input=InputSpec(
                height=spec.input_size[0], width=spec.input_size[1], mean=IMAGENET.mean, std=IMAGENET.std
            ),
            feature_size=spec.feature_size,
            size_resampled=False,
            classes=class_specs(spec.classes, None),
            paths=contract.paths,
            state=msgspec.structs.replace(contract.state, entry=entry),
            graphs=tuple(
                GraphSpec(
                    name=graph.name,
                    inputs=graph.inputs,
                    outputs=graph.outputs,
                    members={"fp32": f"graphs/{graph.name}.onnx"},
                )
                for graph in map(typed, contract.graphs)
            ),
            checkpoint_sha256="0" * 64,
            tools={},
            parity={},
            members={},
        )


def agreement(found, expected):
    """Share of equal labels, of each frame."""
    return (found == expected).mean((1, 2))


def iou(found, truth, classes):
    """(Intersection over union, share of the truth's pixels) of each class; `truth` beyond them is void."""
    known = truth < classes
    pairs = truth[known].astype(np.int64) * classes + found[known]
    confusion = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    hits = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - hits
    return hits / np.maximum(union, 1), confusion.sum(1) / confusion.sum()


def scene(network):
    """3m + 2 consecutive frames of the network's size."""
    height, width = network.spec.input_size
    return [render(t, height=height, width=width) for t in range(3 * network.spec.variant.paths + 2)]


def test_the_demos_network_keeps_its_labels(tmp_path):
    loop = ClosedLoop(ZOO, tmp_path)
    frames = scene(loop.network)
    expected = loop.labels("fp32", frames)
    for kind in ("fp16", "twin"):
        equal = agreement(loop.labels(kind, frames), expected)
        assert equal.min() > 0.998, (kind, equal)


@pytest.mark.parametrize(
    "name",
    [
        "td2-fa18",
        pytest.param("td2-psp50", marks=pytest.mark.slow),
        pytest.param("td4-psp18", marks=pytest.mark.slow),
    ],
)
def test_weights_that_are_nearly_tied_everywhere(name, tmp_path, all_threads):
    """Deterministic weights: the labels are FP32's in 98 % of the pixels, 96 % of any frame's; classes lose ≤ 6 points."""
    import torch

    torch.save(small_state(name), tmp_path / "small.pth")
    loop = ClosedLoop(tmp_path / "small.pth", tmp_path, size=SMALL_SIZE[name])
    frames = scene(loop.network)
    expected = loop.labels("fp32", frames)
    for kind in ("fp16", "twin"):
        found = loop.labels(kind, frames)
        equal = agreement(found, expected)
        assert equal.mean() >= 0.98, (kind, equal)
        assert equal.min() >= 0.96, (kind, equal)
        kept, share = iou(found, expected, loop.network.spec.classes)
        assert kept[share >= 0.01].min() >= 0.94, (kind, kept)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_camvid_scores_as_in_fp32(name, tmp_path):
    """Labels ≥ 99 % in the mean, classes with ≥ 1 % of the pixels lose ≤ 1 IoU point, mIoU within 0.2."""
    cv2 = pytest.importorskip("cv2")
    checkpoint, camvid = SHARED / "checkpoints" / f"{name}.pth", SHARED / "camvid"
    if not (checkpoint.is_file() and camvid.is_dir()):
        pytest.skip("CamVid and the networks trained on it lie beside the project only where they were put")
    with open_source(str(camvid / "val")) as source:
        frames = {frame.name: frame.image for frame in source}
    truth = np.stack(
        [cv2.imread(str(camvid / "valannot" / f"{frame}.png"), cv2.IMREAD_UNCHANGED) for frame in frames]
    )
    loop = ClosedLoop(checkpoint, tmp_path)
    expected = loop.labels("fp32", frames.values())
    before, share = iou(expected, truth, 11)
    for kind in ("fp16", "twin"):
        found = loop.labels(kind, frames.values())
        after, _ = iou(found, truth, 11)
        assert agreement(found, expected).mean() >= 0.99
        assert (before - after)[share >= 0.01].max() <= 0.01
        assert abs(before.mean() - after.mean()) <= 0.002
