"""What lies in a bundle's graphs: tensors, operators, versions, and nothing of the machine that wrote them."""

import getpass
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.models.conftest import NETWORKS

from tdnet_export.contract import NetworkContract
from tdnet_export.graphs import graph_jobs, with_outputs
from tdnet_export.options import ExportOptions
from tdnet_export.pipeline import bundle_from_checkpoint
from tdnet_export.weights import Weights
from tdnet_models import ReferenceStream, load_checkpoint
from tdnet_models.tdnet import read_order
from tdnet_runtime import Segmenter
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.media.scene import render

PATHS = {"td2-psp50": 2, "td4-psp18": 4, "td2-fa18": 2, "psp101": 1}
INPUT = {"td2-psp50": (49, 65), "td4-psp18": (65, 97), "td2-fa18": (64, 96), "psp101": (49, 65)}
POSITIONS = {"td2-psp50": 2 * 3, "td4-psp18": 3 * 4, "td2-fa18": 3 * 4}

_TRUNK = {"Cast", "Transpose", "Sub", "Mul", "Conv", "Relu", "MaxPool", "Add"}
_PYRAMID = {"MatMul", "Slice", "Concat"}
_ENCODING = {"LeakyRelu", "Slice", "Reshape", "Add", "MatMul"}
_ATTENTION = {
    "ReduceMean",
    "Sub",
    "MatMul",
    "Add",
    "Gemm",
    "Softmax",
    "Mul",
    "Reshape",
    "LayerNormalization",
    "Conv",
}
_RESULT = {"Resize", "ArgMax", "Cast"}
_NECK = {"Gemm", "MatMul", "Reshape", "ReduceL2", "Max", "Div", "Resize", "LeakyRelu"}
OPERATORS = {
    "td2-psp50": (_TRUNK | _PYRAMID | _ENCODING, _ATTENTION | {"Relu"} | _RESULT),
    "td4-psp18": (_TRUNK | _PYRAMID | _ENCODING, _ATTENTION | {"Relu"} | _RESULT),
    "td2-fa18": (_TRUNK | _NECK | _ENCODING, _ATTENTION | {"LeakyRelu"} | _RESULT),
    "psp101": (_TRUNK | _PYRAMID | _RESULT,),
}


def graphs_of(path):
    """All graphs of a bundle by name, as models."""
    with Bundle.open(path) as bundle:
        return {
            graph.name: onnx.load_from_string(bundle.read(graph.members["fp32"]))
            for graph in bundle.manifest.graphs
        }


def tensors(values):
    """(Name, ONNX type, shape) of graph inputs or outputs, in order."""
    result = []
    for value in values:
        kind = value.type.tensor_type
        shape = tuple(side.dim_value for side in kind.shape.dim)
        result.append((value.name, onnx.TensorProto.DataType.Name(kind.elem_type), shape))
    return result


@pytest.fixture(params=NETWORKS)
def name(request):
    return request.param


@pytest.fixture
def graphs(name, tiny_bundle):
    return graphs_of(tiny_bundle(name))


def test_versions_are_those_that_tensorrt_10_3_reads(graphs):
    for model in graphs.values():
        assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]
        assert model.ir_version == 8  # at most 20 and 10 are read
        onnx.checker.check_model(model, full_check=True)


def test_operators(name, graphs):
    kinds = OPERATORS[name]
    for graph, model in graphs.items():
        found = {node.op_type for node in model.graph.node}
        assert found == kinds[graph.startswith("apm")], graph
        assert {node.domain for node in model.graph.node} == {""}


def test_names_and_shapes_of_inputs_and_outputs(name, graphs):
    height, width = INPUT[name]
    image = [("image", "UINT8", (1, height, width, 3))]
    labels = [("labels", "UINT8", (1, height, width))]
    if name == "psp101":
        assert graphs.keys() == {"psp101"}
        assert tensors(graphs["psp101"].graph.input) == image
        assert tensors(graphs["psp101"].graph.output) == labels
        return
    paths, positions = PATHS[name], POSITIONS[name]
    h, w = (height + 7) // 8, (width + 7) // 8
    features = [("query", "FLOAT", (1, 64, h, w)), ("value", "FLOAT", (1, 16, h, w))]
    entry = [("q", (64, positions)), ("k", (64, positions)), ("v", (16, positions))]
    if paths == 2:  # nobody reads the oldest entry's q
        entry = entry[1:]
    assert graphs.keys() == {f"{kind}{p}" for kind in ("subnet", "apm") for p in range(1, paths + 1)}
    for path in range(1, paths + 1):
        subnet, apm = graphs[f"subnet{path}"].graph, graphs[f"apm{path}"].graph
        assert tensors(subnet.input) == image
        memory = [(f"memory_{leaf}", "FLOAT", shape) for leaf, shape in entry]
        assert tensors(subnet.output) == features + memory
        oldest, *_ = order = read_order(paths, path)
        slots = [
            (f"slot{read}_{leaf}", "FLOAT", shape)
            for read in order
            for leaf, shape in entry
            if (leaf, read) != ("q", oldest)
        ]
        assert tensors(apm.input) == [*features, *slots, ("warm", "FLOAT", (1,))]
        assert tensors(apm.output) == labels


def test_every_input_is_read_and_every_weight_used(graphs):
    for graph, model in graphs.items():
        read = {value for node in model.graph.node for value in node.input}
        assert {value.name for value in model.graph.input} <= read, graph
        assert {weight.name for weight in model.graph.initializer} == read & {
            weight.name for weight in model.graph.initializer
        }
        given = {value for node in model.graph.node for value in node.output}
        assert given - read == {value.name for value in model.graph.output} - read, graph


def test_attention_is_over_the_memory_alone(name, graphs, tiny_checkpoint):
    """m − 1 products with φ for each path, on P positions; no second 1×1 convolution of Q or V."""
    for path in range(1, PATHS[name] + 1 if PATHS[name] > 1 else 0):
        kinds = Counter(node.op_type for node in graphs[f"apm{path}"].graph.node)
        hops = PATHS[name] - 1
        assert (kinds["Softmax"], kinds["Gemm"], kinds["MatMul"]) == (hops, 2 * hops, hops)
        assert kinds["Conv"] == 2  # the head's
        weights = {weight.name: tuple(weight.dims) for weight in graphs[f"apm{path}"].graph.initializer}
        assert sum(shape == (16, 16) for shape in weights.values()) == hops
    if name == "psp101":
        return
    subnet = graphs["subnet1"].graph
    assert not any(node.name.startswith("encode/memory/q") and node.op_type == "Conv" for node in subnet.node)
    assert not any(node.name.startswith("encode/memory/v") and node.op_type == "Conv" for node in subnet.node)
    assert any(node.name.startswith("encode/memory/key1") and node.op_type == "Conv" for node in subnet.node)


def test_names_are_unique_and_tell_the_part(graphs):
    parts = (
        "normalise/",
        "trunk/",
        "neck/",
        "pyramid",
        "encode/",
        "hop",
        "layer_norm/",
        "head/",
        "recomposed",
    )
    last = ("upsample", "argmax", "to_float", "to_uint8")
    for model in graphs.values():
        names = [node.name for node in model.graph.node]
        assert len(set(names)) == len(names)
        assert all(name.startswith((*parts, *last)) for name in names), names


def test_nothing_of_the_machine_is_in_the_files(tiny_bundle, name, graphs, tmp_path_factory):
    """No paths, users, hosts, traces: neither in the whole file nor in the graphs beside their weights."""
    private = {
        str(tmp_path_factory.getbasetemp()),
        str(Path.cwd()),
        str(Path.home()) + os.sep,
        platform.node(),
    }
    private |= {f"/{getpass.getuser()}/", "site-packages"}
    data = tiny_bundle(name).read_bytes()
    assert not [text for text in private if len(text) > 3 and text.encode() in data]
    for model in graphs.values():
        bare = onnx.ModelProto()
        bare.CopyFrom(model)
        for weight in bare.graph.initializer:
            weight.ClearField("raw_data")
        structure = bare.SerializeToString()
        for text in (b"/tmp", b"/home", b".py", b"line ", b"Traceback", b"torch", b"nn.Module"):
            assert text not in structure, text
        assert (model.producer_name, model.producer_version, model.doc_string) == ("tdnet-export", "", "")
        assert not model.metadata_props
        assert not [node.name for node in model.graph.node if node.doc_string or node.metadata_props]


def digests(path):
    with Bundle.open(path) as bundle:
        graphs = [graph.members["fp32"] for graph in bundle.manifest.graphs]
        return {member: spec.sha256 for member, spec in bundle.manifest.members.items() if member in graphs}


def test_another_folder_gives_the_same_bytes(name, tiny_bundle, tiny_checkpoint, tmp_path, monkeypatch):
    """The same checkpoint under another name in another folder: the same graphs.

    The report's last digits depend on PyTorch's number of threads, so the bundle's bytes are not compared.
    """
    folder = tmp_path / "else where"
    folder.mkdir()
    checkpoint = folder / "renamed.pkl"
    shutil.copy(tiny_checkpoint(name), checkpoint)
    monkeypatch.chdir(folder)
    size = INPUT[name] if name == "psp101" else None
    written = bundle_from_checkpoint(ExportOptions(checkpoint=Path("renamed.pkl"), size_hw=size)).path
    assert written == Path(f"{name}.plan")
    assert digests(written) == digests(tiny_bundle(name))


def test_another_process_gives_the_same_graphs(tiny_bundle, tiny_checkpoint, tmp_path):
    """With another order of hashes, which sets and their like would follow."""
    code = (
        "import sys; from pathlib import Path; from tdnet_export.options import ExportOptions; "
        "from tdnet_export.pipeline import bundle_from_checkpoint; "
        "bundle_from_checkpoint(ExportOptions(checkpoint=Path(sys.argv[1]), out=Path('other.plan')))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "77", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(tiny_checkpoint("td2-fa18"))]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=120)
    assert digests(tmp_path / "other.plan") == digests(tiny_bundle("td2-fa18"))


def test_other_weights_give_other_graphs(tiny_checkpoint, tiny_bundle, tmp_path):
    import torch

    state = torch.load(tiny_checkpoint("td2-fa18"), weights_only=True)
    state["atn2.fc.0.conv.weight"] += 1e-3
    torch.save(state, tmp_path / "other.pth")
    options = ExportOptions(checkpoint=tmp_path / "other.pth", out=tmp_path / "other.plan")
    found, before = digests(bundle_from_checkpoint(options).path), digests(tiny_bundle("td2-fa18"))
    changed = {member for member, digest in found.items() if digest != before[member]}
    assert changed == {"graphs/fp32/apm2.onnx"}


def test_probes_leave_the_nodes_as_they_are(name, tiny_checkpoint):
    size = INPUT[name] if name == "psp101" else None
    network = load_checkpoint(tiny_checkpoint(name), size=size)
    contract = NetworkContract(spec=network.spec, memory_stride=network.spec.variant.memory_stride)
    job = graph_jobs(contract, Weights(network.state_dict()))[-1]
    model = job.write()
    before = model.SerializeToString(deterministic=True)
    probed = with_outputs(model, contract.probes)
    assert model.SerializeToString(deterministic=True) == before
    assert list(probed.graph.node) == list(model.graph.node)
    assert list(probed.graph.initializer) == list(model.graph.initializer)
    extra = ["logits"] if name == "psp101" else ["recomposed", "logits"]
    assert [output.name for output in probed.graph.output] == ["labels", *extra]
    onnx.checker.check_model(probed, full_check=True)
    assert with_outputs(probed, contract.probes) == probed


@pytest.mark.parametrize("name", ["td2-fa18", "psp101"])
def test_logits_where_asked_for(name, tiny_checkpoint, tiny_bundle, tmp_path):
    size = INPUT[name] if name == "psp101" else None
    out = tmp_path / "with.plan"
    options = ExportOptions(checkpoint=tiny_checkpoint(name), out=out, size_hw=size, logits=True)
    bundle_from_checkpoint(options)
    height, width = INPUT[name]
    last = "psp101" if name == "psp101" else "apm2"
    model = graphs_of(out)[last]
    assert tensors(model.graph.output)[1] == ("logits", "FLOAT", (1, 5, height, width))
    plain = graphs_of(tiny_bundle(name))[last]
    assert list(model.graph.node) == list(plain.graph.node)
    oracle = ReferenceStream(load_checkpoint(tiny_checkpoint(name), size=size))
    with Segmenter.open(out) as segmenter, Segmenter.open(tiny_bundle(name)) as other:
        stream, bare = segmenter.stream(), other.stream()
        kept = []
        for t in range(3):
            frame = render(t, height=height, width=width)
            result = stream.push(frame)
            kept.append((result.logits, result.logits.copy()))
            expected = oracle.push(frame).numpy()
            assert result.logits.shape == (5, height, width)
            assert np.array_equal(result.logits.argmax(0), result.labels)
            assert np.abs(result.logits - expected).max() < 2e-3 * expected.std()
            without = bare.push(frame)
            assert without.logits is None
            assert (without.labels == result.labels).mean() > 0.999
    assert all(np.array_equal(logits, copy) for logits, copy in kept)


def test_bundle_names_its_checkpoint_by_digest(name, tiny_bundle, tiny_checkpoint):
    with Bundle.open(tiny_bundle(name)) as bundle:
        expected = hashlib.sha256(tiny_checkpoint(name).read_bytes()).hexdigest()
        assert bundle.manifest.checkpoint_sha256 == expected
