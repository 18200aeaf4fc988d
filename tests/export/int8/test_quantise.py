"""NNCF's graphs: borders, closed loop, refusals, and that nobody is told of their making."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from tdnet_export.int8 import process, quantised_graphs, unavailable
from tdnet_export.int8 import quantise as orchestrator
from tdnet_export.int8.check import check_int8
from tdnet_export.int8.own import own_model
from tdnet_export.int8.process import Job, quantise
from tdnet_export.int8.quantisers import PAIR, quantised_inputs
from tdnet_export.int8.samples import Sample, load_tensors, place_samples, save_tensors
from tdnet_runtime import Segmenter
from tdnet_runtime.backends.onnxruntime import load_graph
from tdnet_runtime.backends.ort_int8 import UNWANTED_OPTIMIZERS, int8_form
from tdnet_runtime.backends.ort_options import session_options
from tdnet_runtime.bundle import write_bundle
from tdnet_runtime.errors import ExportError, OptionError
from tdnet_runtime.manifest import GraphSpec
from tdnet_runtime.media.scene import render

if reason := unavailable():
    pytest.skip(reason, allow_module_level=True)


@pytest.fixture(scope="session")
def quantised(tiny_graphs, tiny_clips):
    """td2-fa18's graphs in INT8, with the stages that were shown."""
    models, contract, manifest = tiny_graphs("td2-fa18")
    shown = []
    found = quantised_graphs(
        models,
        contract,
        tiny_clips(manifest, 3),
        max_error=0.3,  # networks a few channels wide suffer more
        on_progress=lambda *stage: shown.append(stage),
    )
    return found["int8"], shown


def test_graphs_are_the_fp32_ones_with_pairs(quantised, tiny_graphs):
    models, contract, _ = tiny_graphs("td2-fa18")
    found, _ = quantised
    assert list(found.models) == [graph.name for graph in contract.graphs]
    for name, model in found.models.items():
        check_int8(model, models[name])
        assert list(model.graph.output) == list(models[name].graph.output)
        assert model.ir_version == models[name].ir_version
        pairs = quantised_inputs(model.graph)
        read = {
            node.name
            for node in model.graph.node
            if node.op_type not in PAIR and pairs.keys() & {*node.input}
        }
        expected = "trunk/layer1/0/conv1/conv" if name.startswith("subnet") else "head/conv/conv"
        assert expected in read
        told = [node.name for node in model.graph.node if node.doc_string or node.metadata_props]
        assert told == []
        assert model.doc_string == ""


def test_every_convolution_between_steps_is_int8_in_onnxruntime(quantised, tiny_graphs, tmp_path):
    """From end to end, the first one on the picture's bytes and those before a LeakyReLU; without the form, few are."""
    manifest = tiny_graphs("td2-fa18")[2]
    options = session_options(ort, 1)
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    for graph in manifest.graphs:
        model = quantised[0].models[graph.name]
        names, made = {}, {}
        for form, data, without in (
            ("plain", model.SerializeToString(), ()),
            ("own", int8_form(model.SerializeToString(), graph.inputs, exact=True), UNWANTED_OPTIMIZERS),
        ):
            load_graph(ort, graph.name, data, options, without=without)
            kinds = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
            names[form], made[form] = (
                _between_steps(onnx.load_model_from_string(data).graph),
                kinds.count("QLinearConv"),
            )
        first = {"trunk/stem/conv"} if graph.name.startswith("subnet") else set()  # it reads bytes
        inner = "trunk/layer1/0/conv1/conv" if first else "head/conv/conv"
        assert inner in names["own"]
        assert made["own"] == len(names["own"] | first) > made["plain"]


def _between_steps(graph):
    """Convolutions that read steps, and whose results become steps, by way of an activation or not."""
    pairs = quantised_inputs(graph)
    readers = {name: node for node in graph.node for name in node.input}
    found = set()
    for node in graph.node:
        if node.op_type == "Conv" and {*node.input[:2]} <= pairs.keys():
            reader = readers.get(node.output[0], node)
            if reader.op_type in ("Relu", "LeakyRelu"):
                reader = readers[reader.output[0]]
            if reader.op_type == "QuantizeLinear":
                found.add(node.name)
    return found


def test_the_report(quantised):
    report = quantised[0].report
    assert (report.clips, report.frames, report.max_error) == (3, 6, 0.3)
    assert report.tool.startswith("nncf ")
    assert [loss.samples for loss in report.graphs] == [3] * 4
    for loss in report.graphs:
        assert 0 < max(loss.errors.values()) <= 0.3
        assert ("value" in loss.errors) == loss.graph.startswith("subnet")
        assert ("logits" in loss.errors) == loss.graph.startswith("apm")
        assert 0 < loss.int8_share < 1
    assert msgspec.json.decode(msgspec.json.encode(report), type=type(report)) == report


def test_the_progress(quantised):
    _, shown = quantised
    assert shown == [("quantise", done, 4) for done in range(5)]


def test_results_are_kept_where_a_graph_is_calibrated(tiny_graphs, tiny_clips, tmp_path):
    """A sub-network's, which are what the attention graphs are calibrated with: FP32's own, for each sample."""
    models, contract, manifest = tiny_graphs("td2-fa18")
    samples = place_samples(contract, tiny_clips(manifest, 2), tmp_path)
    subnets = {name: seen for name, seen in samples.items() if name.startswith("subnet")}
    assert [name for name, _ in quantise(models, subnets, tmp_path, stays_single=lambda node: False)] == [
        "subnet1",
        "subnet2",
    ]
    for name, seen in subnets.items():
        session = ort.InferenceSession(models[name].SerializeToString(), providers=["CPUExecutionProvider"])
        for sample in seen:
            names = list(sample.results)
            wanted = session.run(names, load_tensors(sample.inputs))
            found = load_tensors(sample.results)
            for key, value in zip(names, wanted, strict=True):
                assert np.allclose(found[key], value, rtol=1e-4, atol=1e-5), (name, key)
    assert load_tensors(samples["apm2"][1].inputs)["warm"].tolist() == [1.0]


def test_closed_loop(quantised, tiny_graphs, tmp_path):
    """On ONNX Runtime and through the runtime's own schedule, V is as far off as the report says."""
    models, _, manifest = tiny_graphs("td2-fa18")
    members, graphs = {}, []
    for graph in manifest.graphs:
        own = {precision: f"graphs/{precision}/{graph.name}.onnx" for precision in ("fp32", "int8")}
        members[own["fp32"]] = models[graph.name].SerializeToString()
        members[own["int8"]] = quantised[0].models[graph.name].SerializeToString()
        graphs.append(msgspec.structs.replace(graph, members=own))
    path = tmp_path / "both.plan"
    write_bundle(
        path, msgspec.structs.replace(manifest, graphs=tuple(graphs), parity={}, members={}), members
    )
    values = {}
    for precision in ("fp32", "int8"):
        with (
            Segmenter.open(path, backend="onnxruntime", precision=precision, threads=1) as segmenter,
            segmenter.stream() as stream,
        ):
            assert segmenter.backend.precision == precision
            values[precision] = []
            for index in range(8):
                stream.push(render(index, height=manifest.input.height, width=manifest.input.width))
                values[precision].append(stream.tensor("value"))
    expected = np.stack(values["fp32"])
    error = np.linalg.norm(np.stack(values["int8"]) - expected) / np.linalg.norm(expected - expected.mean())
    assert 0 < error <= 0.4


def test_graphs_without_attention_are_cut_out_of_the_apms(
    tiny_graphs, tiny_clips, monkeypatch, quantised_by_hand, tmp_path
):
    """So that INT8's labels of a cold frame are theirs to the bit, and nothing is calibrated twice."""
    models, contract, manifest = tiny_graphs("td2-fa18")
    models = models | {f"own{path}": own_model(models[f"apm{path}"], f"own{path}") for path in (1, 2)}
    contract = dataclasses.replace(contract, own_labels=True)

    def spec(graph):
        members = {precision: f"graphs/{precision}/{graph.name}.onnx" for precision in ("fp32", "int8")}
        return GraphSpec(name=graph.name, inputs=graph.inputs, outputs=graph.outputs, members=members)

    graphs = tuple(map(spec, contract.graphs))
    manifest = msgspec.structs.replace(manifest, paths=contract.paths, graphs=graphs, parity={}, members={})
    asked = []

    def by_hand(models, samples, *args, **options):
        keep_results(models, samples)
        asked.extend(models)
        for name, model in models.items():
            yield name, quantised_by_hand(model, {_conv(model): 0.1})

    monkeypatch.setattr(orchestrator, "quantise", by_hand)
    monkeypatch.setattr(orchestrator, "MIN_SHARE", 0.0)
    clips = tiny_clips(manifest, 1)
    options = {"precisions": ("int8", "int8_fp16"), "max_error": 1e9}
    found = quantised_graphs(models, contract, clips, **options)
    assert asked == ["subnet1", "apm1", "subnet2", "apm2"]
    for each in found.values():
        assert each.models.keys() == models.keys()
        pairs = [node.op_type for node in each.models["own2"].graph.node if node.op_type in PAIR]
        assert pairs == ["QuantizeLinear", "DequantizeLinear", "DequantizeLinear"]
    members = {spec.members["fp32"]: models[spec.name].SerializeToString() for spec in graphs}
    members |= {spec.members["int8"]: found["int8"].models[spec.name].SerializeToString() for spec in graphs}
    write_bundle(tmp_path / "a.plan", manifest, members)
    with (
        Segmenter.open(tmp_path / "a.plan", backend="onnxruntime", precision="int8") as segmenter,
        segmenter.stream() as stream,
    ):
        cold = stream.push(clips[0][0]).labels
        stream.reset()
        assert np.array_equal(stream.push(clips[0][0], attention=False).labels, cold)


@pytest.mark.parametrize(
    ("lengths", "complaint"),
    [([2, 1], "clip 1 of the calibration footage has 1 frames; expected 2, one"), ([], "has no clip")],
)
def test_clips_of_another_length(tiny_graphs, lengths, complaint):
    models, contract, manifest = tiny_graphs("td2-fa18")
    frame = render(0, height=manifest.input.height, width=manifest.input.width)
    with pytest.raises(OptionError, match=complaint):
        quantised_graphs(models, contract, [[frame] * length for length in lengths])


def test_too_little_is_left(tiny_graphs, tiny_clips, monkeypatch, quantised_by_hand):
    """Where the error cannot be held, the export is refused instead of slow."""
    models, contract, manifest = tiny_graphs("td2-fa18")

    def spoilt(models, samples, *args, **options):
        keep_results(models, samples)
        for name, model in models.items():
            yield name, quantised_by_hand(model, {_conv(model): 1000.0})

    monkeypatch.setattr(orchestrator, "quantise", spoilt)
    with pytest.raises(
        ExportError,
        match=r"^graph 'subnet1' in INT8 is off by more than 5% unless 1 parts are not quantised, with 0% .*"
        r"Calibrate with other frames, or export with --precision fp32.$",
    ):
        quantised_graphs(models, contract, tiny_clips(manifest, 1))


def keep_results(models, samples):
    """As NNCF's process does."""
    for name, seen in samples.items():
        session = ort.InferenceSession(models[name].SerializeToString(), providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        for sample in seen:
            found = session.run(names, load_tensors(sample.inputs))
            save_tensors(sample.results, dict(zip(names, found, strict=True)))


def _conv(model):
    names = [node.name for node in model.graph.node if node.op_type == "Conv"]
    return "head/conv/conv" if "head/conv/conv" in names else "trunk/layer1/0/conv1/conv"


def test_what_nncf_gives_is_checked(tiny_graphs, tiny_clips, monkeypatch):
    """A constant that nothing had to touch is another one, by too little to be seen in the errors."""
    models, contract, manifest = tiny_graphs("td2-fa18")

    def touched(models, samples, *args, **options):
        keep_results(models, samples)
        model = onnx.ModelProto.FromString(models["subnet1"].SerializeToString())
        (scale,) = (tensor for tensor in model.graph.initializer if tensor.name == "normalise/scale")
        scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * np.float32(1.001), scale.name))
        yield from (models | {"subnet1": model}).items()

    monkeypatch.setattr(orchestrator, "quantise", touched)
    with pytest.raises(
        ExportError, match=r"is not the FP32 graph with quantisers in it: 'normalise/mul' has another"
    ):
        quantised_graphs(models, contract, tiny_clips(manifest, 1))


def test_a_quantiser_that_fails(tiny_graphs, tmp_path, capfd):
    """One line, with the last thing that it said; nothing of it on the screen."""
    model = tiny_graphs("td2-fa18")[0]["subnet1"]
    np.save(tmp_path / "picture.npy", np.zeros(3))
    with pytest.raises(
        ExportError,
        match=r"^quantising the graphs: nncf [0-9.]+ ended with exit code 1: [^\n]+\. Export with --precision",
    ):
        list(
            quantise(
                {"subnet1": model},
                {"subnet1": [Sample({"picture": str(tmp_path / "picture.npy")}, {})]},
                tmp_path,
                stays_single=lambda node: False,
            )
        )
    assert capfd.readouterr() == ("", "")


def test_where_nncf_is_absent(monkeypatch):
    monkeypatch.setattr(process, "_PACKAGE", "no-such-package")
    assert unavailable().endswith("is not installed; install it with: pip install 'tdnet-deploy[int8]'")


def test_a_network_without_memory(tiny_graphs, tiny_clips):
    """Its pyramid is put together in full, so that NNCF meets matrices with scales for their columns."""
    models, contract, manifest = tiny_graphs("psp101")
    clips = tiny_clips(manifest, 2)
    found = quantised_graphs(models, contract, clips, precisions=("int8", "int8_fp16"), max_error=0.9)
    for precision in ("int8", "int8_fp16"):
        ((name, model),) = found[precision].models.items()
        check_int8(model, models[name])
        (loss,) = found[precision].report.graphs
        assert not loss.left_single
        pairs = quantised_inputs(model.graph)
        assert all(
            pairs.keys().isdisjoint(node.input) for node in model.graph.node if node.op_type == "MatMul"
        )


LISTEN = """
import os, runpy, sys
def refuse(event, args):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "socket.sendto", "urllib.")) or event == "os.fork":
        os.write(2, f"TOLD {event} {args}".encode())
        os._exit(9)
sys.addaudithook(refuse)
sys.argv = ["child", sys.argv[1], str(os.getppid())]
runpy.run_module("tdnet_export.int8.child", run_name="__main__")
"""


def test_nobody_is_told(tiny_graphs, tmp_path):
    """Quantising opens no connection, forks nothing that could, and leaves no number of the user at home."""
    model = tiny_graphs("td2-fa18")[0]["apm1"]
    inputs = {}
    for value in model.graph.input:
        inputs[value.name] = str(tmp_path / f"{value.name}.npy")
        shape = [side.dim_value for side in value.type.tensor_type.shape.dim]
        np.save(inputs[value.name], np.ones(shape, np.float32))
    onnx.save(model, tmp_path / "apm1.onnx")
    jobs = [Job("apm1", [Sample(inputs, {})], [])]
    (tmp_path / "jobs.json").write_bytes(msgspec.json.encode(jobs))
    home = tmp_path / "home"
    home.mkdir()
    own = {key: value for key, value in os.environ.items() if key not in ("CI", "NNCF_CI")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LISTEN, str(tmp_path)],
        env={**own, "HOME": str(home), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "apm1\n"), done.stderr
    assert "TOLD" not in done.stderr
    assert (tmp_path / "apm1.int8.onnx").is_file()
    assert not [file for file in Path(home).rglob("*") if "ga_cid" in file.name or file.name == "stats"]
