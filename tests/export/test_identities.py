"""Each rewrite of spec §5 is exact: shown in float64, to 1e-12 of the result's scale.

Beside each stands the tempting form that is not the same, so that the comparison is seen to tell them apart.
Functions that write nodes are run by ONNX's own reference evaluator, which rewrites nothing.
"""

import numpy as np
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn
from torch.nn import functional as F

from tdnet_export.apm_graph import write_attention, write_phi_on_memory
from tdnet_export.contract import NetworkContract
from tdnet_export.features import CoarseMap, SplitFeatures, write_projection
from tdnet_export.graphs import graph_jobs
from tdnet_export.identities import attention_scaled, fold_batch_norm, interpolation_matrix, pooling_matrix
from tdnet_export.onnx_writer import GraphWriter
from tdnet_export.ops import sampled, separable
from tdnet_export.psp_graph import write_concatenated_pyramid, write_pooled, write_pyramid
from tdnet_export.weights import Weights
from tdnet_models.attention import Encoding, Propagation
from tdnet_models.psp import POOL_SIZES, PyramidPooling
from tdnet_models.reference import ReferenceStream
from tdnet_models.synthetic import synthetic_network
from tdnet_models.variants import KEY_WIDTH, PUBLISHED
from tdnet_runtime.manifest import TensorSpec
from tdnet_runtime.media.scene import render


def deviation(found, expected):
    """max |Δ| over the expected values' largest magnitude."""
    expected = np.asarray(expected, dtype=np.float64)
    assert found.dtype == np.float64
    assert found.shape == expected.shape
    assert np.abs(expected).max() > 0
    return np.abs(found - expected).max() / np.abs(expected).max()


def equal(found, expected, bound=1e-12):
    return deviation(np.asarray(found), expected) <= bound


def evaluate(write, **inputs):
    """Run what `write(writer)` writes on float64 `inputs`; it returns the names of its results."""
    writer = GraphWriter("identity", dtype=np.float64)
    for name, values in inputs.items():
        writer.input(TensorSpec(name=name, shape=values.shape, dtype="float32"))
    names = write(writer)
    for index, name in enumerate([names] if isinstance(names, str) else names):
        # the evaluator takes the shape as a remark
        result = writer.op("Identity", name, as_output=f"result{index}")
        writer.output(result, TensorSpec(name=result, shape=(1,), dtype="float32"))
    results = ReferenceEvaluator(writer.model()).run(None, inputs)
    return results[0] if isinstance(names, str) else results


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.fixture
def fill():
    """fill(module): the module in float64, evaluation mode, every value random and every variance positive."""
    generator = torch.Generator().manual_seed(0)

    def make(module):
        module = module.double().eval().requires_grad_(False)
        for key, value in module.state_dict().items():
            if value.is_floating_point():
                value.normal_(generator=generator)
            if key.endswith("running_var"):
                value.abs_().add_(0.1)
        return module

    return make


def test_the_comparison_tells_1e_12_from_1e_11():
    values = np.array([1.0, -1000.0])
    assert equal(values * (1 + 5e-13), values)
    assert not equal(np.array([1.0, -1000.0 + 1e-8]), values)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kernel", [1, 3])
def test_batch_norm_folded_into_a_convolution(kernel, bias, fill):
    conv, norm = fill(nn.Conv2d(3, 5, kernel, bias=bias)), fill(nn.BatchNorm2d(5))
    x = torch.randn(1, 3, 6, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weight, shift = fold_batch_norm(
        conv.weight.numpy(),
        conv.bias.numpy() if bias else None,
        gain=norm.weight.numpy(),
        shift=norm.bias.numpy(),
        mean=norm.running_mean.numpy(),
        variance=norm.running_var.numpy(),
    )
    assert weight.shape == conv.weight.shape
    folded = F.conv2d(x, torch.from_numpy(weight), torch.from_numpy(shift))
    assert equal(folded, norm(conv(x)))
    norm.eps = 1e-3
    assert not equal(folded, norm(conv(x)))


def test_an_infinite_variance_leaves_the_shift(fill):
    conv, norm = fill(nn.Conv2d(3, 2, 1)), fill(nn.BatchNorm2d(2))
    norm.running_var[0] = torch.inf
    state = {f"c.{key}": value for key, value in conv.state_dict().items()}
    state |= {f"n.{key}": value for key, value in norm.state_dict().items()}
    weight, shift = Weights(state).conv("c", "n")
    assert not weight[0].any()
    assert shift[0] == norm.bias[0]
    x = torch.randn(1, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert equal(F.conv2d(x, torch.from_numpy(weight), torch.from_numpy(shift)), norm(conv(x)))


SIZES = [(6, 6), (7, 9), (9, 13), (12, 18), (11, 8), (25, 48), (25, 49), (32, 64), (60, 60), (97, 193)]


@pytest.mark.parametrize("bins", POOL_SIZES)
@pytest.mark.parametrize(("h", "w"), SIZES)
def test_pooling_is_a_separable_product(h, w, bins, random):
    x = random.normal(size=(1, 2, h, w))
    expected = F.adaptive_avg_pool2d(torch.from_numpy(x), bins)
    found = pooling_matrix(h, bins) @ x @ pooling_matrix(w, bins).T
    assert equal(found, expected)
    floor = F.avg_pool2d(torch.from_numpy(x), (h // bins, w // bins))[..., :bins, :bins]
    assert equal(floor, expected) == (h % bins == w % bins == 0)


@pytest.mark.parametrize("size", [(7, 9), (9, 13), (12, 18)])
def test_pooled_grids_in_a_graph(size, random):
    x = random.normal(size=(1, 3, *size))
    found = evaluate(lambda writer: write_pooled(writer, "x", size_hw=size), x=x)
    assert len(found) == len(POOL_SIZES)
    for pooled, grid in zip(found, POOL_SIZES, strict=True):
        assert equal(pooled, F.adaptive_avg_pool2d(torch.from_numpy(x), grid))


@pytest.mark.parametrize(
    ("source", "target"),
    [(1, 7), (2, 7), (3, 13), (6, 6), (6, 25), (6, 193), (25, 193), (9, 4), (5, 1), (97, 769)],
)
def test_interpolation_is_a_product(source, target, random):
    x = random.normal(size=(1, 1, source, 3))
    options = {"size": (target, 3), "mode": "bilinear"}
    matrix = interpolation_matrix(source, target)
    assert matrix.shape == (target, source)
    assert np.abs(matrix.sum(axis=1) - 1).max() < 1e-15
    assert equal(matrix @ x, F.interpolate(torch.from_numpy(x), align_corners=True, **options))
    if 1 < source != target > 1:
        assert not equal(matrix @ x, F.interpolate(torch.from_numpy(x), align_corners=False, **options))


def test_separable_upsampling_in_a_graph(random):
    x = random.normal(size=(1, 3, 3, 6))
    rows, columns = interpolation_matrix(3, 9), interpolation_matrix(6, 13)
    found = evaluate(lambda writer: separable(writer, "x", rows, columns, name="up"), x=x)
    expected = F.interpolate(torch.from_numpy(x), size=(9, 13), mode="bilinear", align_corners=True)
    assert equal(found, expected)


@pytest.mark.parametrize("stride", [1, 3, 4])
@pytest.mark.parametrize("size", [(9, 13), (8, 12)])
@pytest.mark.parametrize("fine_first", [True, False], ids=["PSP order", "FANet order"])
def test_a_1x1_convolution_before_the_upsampling(fine_first, size, stride, random):
    """And only at every stride-th position, where the memory is meant."""
    grids = [(1, 1), (2, 2), (3, 3), (6, 6)] if fine_first else [(4, 6)]
    coarse = {f"coarse{index}": random.normal(size=(1, 2, *grid)) for index, grid in enumerate(grids)}
    fine = random.normal(size=(1, 5, *size))
    first = 0 if fine_first else 2
    start = 5 if fine_first else 0
    maps = tuple(
        CoarseMap(name, start + 2 * index, 2, grid)
        for index, (name, grid) in enumerate(zip(coarse, grids, strict=True))
    )
    weight, bias = random.normal(size=(4, 5 + 2 * len(grids), 1, 1)), random.normal(size=4)

    def write(writer):
        features = SplitFeatures("fine", first, 5, maps, size)
        source = features if stride == 1 else features.sampled(writer, stride)
        return write_projection(writer, source, weight, bias, name="projection")

    found = evaluate(write, fine=fine, **coarse)
    options = {"size": size, "mode": "bilinear", "align_corners": True}
    upsampled = [F.interpolate(torch.from_numpy(values), **options) for values in coarse.values()]
    parts = [torch.from_numpy(fine), *upsampled] if fine_first else [*upsampled, torch.from_numpy(fine)]
    expected = F.conv2d(torch.cat(parts, dim=1), torch.from_numpy(weight), torch.from_numpy(bias))
    assert equal(found, expected[:, :, ::stride, ::stride])


@pytest.mark.parametrize("group", [0, 1, None])
def test_pyramid_pooling_in_parts(group, fill, random):
    """Each half of the channels, and all of them, against the module that concatenates."""
    pooling = fill(PyramidPooling(16, group=group))
    spec = synthetic_network(
        "td4-psp18",
        classes=2,
        input_size=(55, 66),
        widths=PUBLISHED["td4-psp18"].widths | {"planes": (4, 8, 8, 16), "stem": 4, "value": 4, "head": 4},
    ).spec
    weights = Weights({f"psp1.{key}": value for key, value in pooling.state_dict().items()})
    x = random.normal(size=(1, 16, 7, 9))

    def write(writer):
        options = {"spec": spec, "weights": weights, "module": "psp1", "group": group}
        return write_concatenated_pyramid(writer, write_pyramid(writer, "x", **options))

    expected = pooling(torch.from_numpy(x))
    assert equal(evaluate(write, x=x), expected)
    if group is not None:
        pooling.group = 1 - group
        assert not equal(evaluate(write, x=x), pooling(torch.from_numpy(x)))


@pytest.mark.parametrize("stride", [1, 3, 4, 5])
def test_memory_entries_are_slices(stride, fill, random):
    """Encoding of the sampled features is the sampled encoding, as all its layers are 1×1."""
    encoding = fill(Encoding(6, 8))
    x = torch.from_numpy(random.normal(size=(1, 6, 9, 13)))
    for layers in (encoding.w_qs, encoding.w_ks, encoding.w_vs):
        full = layers(x).numpy()
        found = evaluate(lambda writer: sampled(writer, "full", stride, name="slim"), full=full)
        assert equal(found, layers(x[:, :, ::stride, ::stride]))
        if stride > 1:
            assert found.shape[2:] == (-(-9 // stride), -(-13 // stride))


@pytest.fixture
def hop(fill, random):
    """A φ, a query over all positions and a memory of few, as arrays [channels, positions]."""
    propagation = fill(Propagation(8))
    arrays = {
        "query": random.normal(size=(KEY_WIDTH, 9 * 13)),
        "key": random.normal(size=(KEY_WIDTH, 12)),
        "value": random.normal(size=(8, 12)),
    }
    weight, bias = (value.numpy() for value in propagation.fc[0].conv.parameters())
    maps = {name: torch.from_numpy(values) for name, values in arrays.items()}
    expected = propagation(
        maps["query"].view(1, KEY_WIDTH, 9, 13),
        maps["key"].view(1, KEY_WIDTH, 3, 4),
        maps["value"].view(1, 8, 3, 4),
    )
    return arrays, weight[:, :, 0, 0], bias, expected.view(8, -1).numpy()


def attended(arrays, weight):
    def write(writer):
        projected = write_phi_on_memory(writer, "value", weight)
        return write_attention(writer, "query", "key", projected)

    scaled = arrays | {"query": arrays["query"] / KEY_WIDTH**0.5}
    return evaluate(write, **scaled)


def test_phi_on_the_memory(hop):
    """fc(A·v) = A·(v·W + b) as the rows of A sum to 1; b and v's mean are the same at all positions."""
    arrays, weight, bias, expected = hop
    found = attended(arrays, weight)
    assert equal(found + weight @ arrays["value"].mean(1, keepdims=True) + bias[:, None], expected)
    assert not equal(found, expected)
    assert not equal(centred(attended(arrays, weight.T)), centred(expected))


def test_what_is_the_same_at_all_positions_is_gone_after_the_layer_norm(hop):
    arrays, weight, _, expected = hop
    own = np.random.default_rng(5).normal(size=expected.shape)
    normed = [
        F.layer_norm(torch.from_numpy(own + x), x.shape[1:]) for x in (attended(arrays, weight), expected)
    ]
    assert equal(*normed)


def centred(maps):
    return maps - maps.mean(tuple(range(1, maps.ndim)), keepdims=True)


def test_the_attentions_scale_in_the_querys_weights(fill, random):
    """softmax(q·kᵀ/√d_k) is that of a query whose last convolution was scaled; 1/8 loses no bit."""
    last = fill(nn.Conv2d(6, KEY_WIDTH, 1))
    x = torch.from_numpy(random.normal(size=(1, 6, 3, 5)))
    key = torch.from_numpy(random.normal(size=(KEY_WIDTH, 4)))
    scaled = attention_scaled(last.weight.numpy(), last.bias.numpy(), key_width=KEY_WIDTH)
    query = F.conv2d(x, *(torch.from_numpy(values) for values in scaled))
    expected = last(x).flatten(2)[0].T @ key / KEY_WIDTH**0.5
    assert equal(query.flatten(2)[0].T @ key, expected)
    assert np.array_equal(scaled[0] * 8, last.weight.numpy())
    assert not equal(last(x).flatten(2)[0].T @ key, expected)


def test_all_propagation_among_past_frames_needs_nothing_of_the_current_one():
    """The nodes before the last hop depend on slots alone."""
    network = narrow("td4-psp18")
    contract = NetworkContract(spec=network.spec, memory_stride=4)
    model = {job.name: job for job in graph_jobs(contract, Weights(network.state_dict()))}["apm2"].write()
    current = {"query", "value", "warm"}
    touched = {}
    for node in model.graph.node:
        touched[node.name] = bool(current & set(node.input))
        if touched[node.name]:
            current.update(node.output)
    assert sum(name.startswith(("hop3/", "hop4/")) for name in touched) > 6
    assert not any(on for name, on in touched.items() if name.startswith(("hop3/", "hop4/")))
    assert touched["hop1/scores"]


ODD_SIZES = [(47, 50), (41, 48), (63, 65), (56, 81), (87, 42)]
"""Features of 6×7, 6×6, 8×9, 7×11 and 11×6: all kinds of remainders of the strides and of the pyramid's grids."""


def narrow(name, size_hw=ODD_SIZES[0]):
    """The smallest network of its design at a size, random weights, float64."""
    tiny = {"stem": 2, "planes": (2, 4, 8, 16), "head": 3, "value": 4, "neck": 3}
    widths = {key: tiny.get(key, 0) if width else 0 for key, width in PUBLISHED[name].widths.items()}
    network = synthetic_network(name, classes=2, input_size=size_hw, widths=widths)
    generator = torch.Generator().manual_seed(0)
    for key, value in network.state_dict().items():
        if key.endswith(("bias", "running_mean")) or key.startswith("layer_norm"):
            value.normal_(generator=generator)
        if key.endswith("running_var"):
            value.uniform_(0.5, 1.5, generator=generator)
    for module in network.modules():  # ONNX's attributes are float32, whatever the tensors are
        if isinstance(module, nn.LeakyReLU):
            module.negative_slope = float(np.float32(module.negative_slope))
        if isinstance(module, nn.LayerNorm):
            module.eps = float(np.float32(module.eps))
        if hasattr(module, "leak"):  # of the trunk
            module.leak = float(np.float32(module.leak))
    return network.double()


@pytest.mark.parametrize("size", ODD_SIZES, ids=str)
@pytest.mark.parametrize("name", ["td2-fa18", "td4-psp18", "td2-psp50"])
def test_whole_graphs_are_the_network(name, size):
    """Written in float64 and run by the reference evaluator, cold and warm, every tensor on the way."""
    network = narrow(name, size)
    spec, stride = network.spec, network.spec.variant.memory_stride
    paths = spec.variant.paths
    contract = NetworkContract(spec=spec, memory_stride=stride, logits=True)
    jobs = {job.name: job for job in graph_jobs(contract, Weights(network.state_dict()))}
    height, width = spec.input_size
    oracle = ReferenceStream(network)
    slots = {
        f"slot{path}_{entry.name}": np.zeros(entry.shape)
        for path in range(1, paths + 1)
        for entry in contract.entry
    }
    for index in range(paths + 1):
        path, cold = index % paths + 1, index < paths - 1
        frame = render(5 * index, height=height, width=width)
        logits = oracle.push(frame)
        entry = oracle.trace.features.entry
        found = run_double(jobs[f"subnet{path}"], {"image": frame[None]})
        assert equal(found["query"] * 8, oracle.trace.features.query, 1e-10)
        assert equal(found["value"], oracle.trace.features.value, 1e-10)
        for leaf in contract.entry:
            values = found[f"memory_{leaf.name}"] * (8 if leaf.name == "q" else 1)
            assert equal(values, getattr(entry, leaf.name).reshape(leaf.shape), 1e-10)
        if index in (0, paths - 1, paths):  # the evaluator's upsampling is slow
            warm = np.array([0.0 if cold else 1.0])
            feeds = {"query": found["query"], "value": found["value"], "warm": warm} | slots
            scores = run_double(jobs[f"apm{path}"], feeds, also=("recomposed",))
            assert equal(centred(scores["recomposed"][0]), centred(oracle.trace.recomposed[0].numpy()), 1e-10)
            assert equal(scores["logits"], logits[None], 1e-10)
            assert np.array_equal(scores["labels"], logits.argmax(0)[None].numpy())
        for leaf in contract.entry:
            slots[f"slot{path}_{leaf.name}"] = found[f"memory_{leaf.name}"]


@pytest.mark.parametrize("size", ODD_SIZES, ids=str)
def test_the_whole_per_frame_graph_is_the_network(size):
    network = narrow("psp101", size)
    (job,) = graph_jobs(
        NetworkContract(spec=network.spec, memory_stride=4, logits=True), Weights(network.state_dict())
    )
    height, width = network.spec.input_size
    frame = render(0, height=height, width=width)
    logits = ReferenceStream(network).push(frame)
    found = run_double(job, {"image": frame[None]})
    assert equal(found["logits"], logits[None], 1e-10)
    assert np.array_equal(found["labels"], logits.argmax(0)[None].numpy())


def run_double(job, feeds, also=()):
    """All outputs, and the inner values `also`, of a graph written in float64."""
    model = job.write(dtype=np.float64)
    for name in also:
        model.graph.output.add(name=name)
    names = [output.name for output in model.graph.output]
    wanted = {value.name for value in model.graph.input}
    feeds = {name: values for name, values in feeds.items() if name in wanted}
    return dict(zip(names, ReferenceEvaluator(model).run(names, feeds), strict=True))
