"""Engines are run before a bundle holds them; planted wrong ones are refused by export, rebuild and verify.

The GPU is the fake one, and its engines run the bundle's own graphs with ONNX Runtime, so that right ones are right.
"""

import hashlib
import logging
import shutil
import struct
import sys
from types import ModuleType, SimpleNamespace

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper
from tests.runtime.gpu.fake_device import FakeDevice
from tests.runtime.gpu.fake_engine import FakeEngine
from typer.testing import CliRunner

from tdnet_export import pipeline
from tdnet_export.cli import app
from tdnet_export.engines import gate, rebuild, rebuilding, verify
from tdnet_export.options import ExportOptions
from tdnet_export.parity_report import ParityReport
from tdnet_export.pipeline import bundle_from_checkpoint
from tdnet_runtime import Segmenter
from tdnet_runtime.backends import trt_bundle
from tdnet_runtime.bundle import Bundle, write_bundle
from tdnet_runtime.cli.inspect import app as inspect_app
from tdnet_runtime.errors import ExportError, OptionError, ParityError
from tdnet_runtime.manifest import EngineMember, EngineSpec
from tdnet_runtime.preflight import platform_name

VERSION = "1.7.1.116"
HEADER = b"vtrt" + struct.pack("<LQQ", 0, 2, 1000) + bytes((1, 7, 1, 116))
RTX = "tensorrt-rtx"


class Logger:
    """ILogger."""

    Severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, WARNING=2)

    def __init__(self):
        """As the product's."""


class GraphEngine(FakeEngine):
    """Runs a graph of the bundle; `spoil(name, array)` may change each result."""

    def __init__(self, device, spec, path, data, spoil):
        super().__init__(device, spec, path, 256)
        self.session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
        self.spoil = spoil

    def law(self):
        def run(arrays):
            feeds = {each.name: np.array(arrays[each.name]) for each in self.session.get_inputs()}
            names = [each.name for each in self.session.get_outputs()]
            for name, value in zip(names, self.session.run(names, feeds), strict=True):
                arrays[name][...] = value
                self.spoil(f"{self.graph}/{name}", arrays[name], feeds)

        return run


@pytest.fixture
def gpu(monkeypatch):
    """gpu(spoil=…): the stand-in for TensorRT-RTX on a fake GPU of compute capability 9.0."""
    device = FakeDevice()
    known = {}

    def install(manifest, read, spoil=lambda name, array, feeds: None):
        known.clear()
        for graph in manifest.graphs:
            (path,) = (p for p in manifest.paths if graph.name in (p.subnet, p.apm, p.own))
            precision = manifest.engines[0].precision if manifest.engines else "fp32"
            known[HEADER + graph.name.encode()] = (graph, path, read(graph.members[precision]), spoil)
        return device

    class Runtime:
        def __init__(self, logger):
            pass

        def deserialize_cuda_engine(self, data):
            return GraphEngine(device, *known[data])

    module = ModuleType("tensorrt_rtx")
    module.__version__ = VERSION
    module.Builder, module.ILogger, module.Runtime = object, Logger, Runtime
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", module)
    monkeypatch.setattr(trt_bundle, "open_device", lambda: device)
    monkeypatch.setattr(trt_bundle, "no_device", lambda: None)
    monkeypatch.setattr("tdnet_runtime.gpu.trt_engine.TrtEngine", lambda runtime, graph, engine: engine)
    return install


def engines_of(graphs, *, capabilities=("9.0",), precision="fp32"):
    """What `build_engines` gives for these graphs by name, as ONNX bytes."""
    files, built = {}, {}
    for name, data in graphs.items():
        stem = f"engines/{RTX}/key/{name}"
        files |= {f"{stem}.layers": b"{}", f"{stem}.log": b"", f"{stem}.engine": HEADER + name.encode()}
        built[name] = EngineMember(
            engine=f"{stem}.engine",
            layers=f"{stem}.layers",
            log=f"{stem}.log",
            graph_sha256=hashlib.sha256(data).hexdigest(),
            build_seconds=1.0,
            half_share=0.0,
        )
    spec = EngineSpec(
        backend=RTX,
        key="key",
        precision=precision,
        product_version=VERSION,
        compute_capabilities=capabilities,
        platform=platform_name(),
        options={},
        graphs=built,
    )
    return spec, files


@pytest.fixture
def plan(tiny_bundle, tmp_path, gpu):
    """plan(spoil=…, capabilities=…): a bundle with engines that the fake GPU runs."""

    def make(name="td2-psp50", *, capabilities=("9.0",), source=None, **options):
        path = tmp_path / "engines.plan"
        with Bundle.open(source or tiny_bundle(name)) as bundle:
            manifest = bundle.manifest
            members = {member: bundle.read(member) for member in manifest.members}
        graphs = {graph.name: members[graph.members["fp32"]] for graph in manifest.graphs}
        spec, files = engines_of(graphs, capabilities=capabilities)
        gpu(manifest, members.__getitem__, **options)
        write_bundle(path, msgspec.structs.replace(manifest, engines=(spec,), members={}), members | files)
        return path

    return make


def scaled_value(name, array, feeds):
    """5 % too much of V in one sub-network."""
    if name == "subnet2/value":
        array *= 1.05


def stale_key(name, array, feeds):
    """One path's memory has another sign: seen only where a later frame reads it."""
    if name == "subnet1/memory_k":
        array *= -1


def shifted_labels(name, array, feeds):
    """Right tensors, wrong labels, on warm frames only."""
    if name == "apm2/labels" and feeds["warm"][0]:
        array[...] = (array + 1) % 5


def own_labels_off(name, array, feeds):
    if name == "own2/labels":
        array[...] = (array + 1) % 5


def no_class(name, array, feeds):
    """A label that no class has."""
    if name == "apm1/labels":
        array[...] = 200


WRONG = [
    (scaled_value, r"frame 1 \(path 2, warm\) is the first that diverges, in the tensor 'value'"),
    (stale_key, r"frame 0 \(path 1, cold\) is the first that diverges, in the tensor 'slot1_k'"),
    (shifted_labels, r"frame 1 \(path 2, warm\) is the first whose labels differ"),
    (no_class, r"frame 0 \(path 1, cold\) is the first whose labels differ"),
]


def half_sure(name, array, feeds):
    """Right labels and tensors, with half of their confidence."""
    if name == "apm2/confidence":
        array //= 2


@pytest.mark.parametrize("logits", [False, True])
def test_the_confidence_of_engines_is_proven(logits, plan, tiny_checkpoint, tmp_path):
    source = tmp_path / "confident.plan"
    bundle_from_checkpoint(
        ExportOptions(checkpoint=tiny_checkpoint("td2-psp50"), out=source, confidence=True, logits=logits)
    )
    path = plan(source=source)
    verify(path)
    with Bundle.open(path) as bundle:
        (spec,) = bundle.manifest.engines
        report = msgspec.json.decode(bundle.read(spec.proof.report), type=ParityReport)
    assert report.confidence_error == 0
    allowed = 1.25 / 255 if logits else 1.0  # where the logits are known, and equal
    assert {frame.confidence.allowed for frame in report.frames} == {allowed}
    with pytest.raises(ParityError, match=r"frame 1 \(path 2, warm\) is the first whose confidence differs"):
        verify(plan(source=source, spoil=half_sure))


def test_frames_without_attention_are_proven_too(plan, tiny_checkpoint, tmp_path):
    source = tmp_path / "alone.plan"
    bundle_from_checkpoint(ExportOptions(checkpoint=tiny_checkpoint("td2-fa18"), out=source, own_labels=True))
    path, stages = plan(source=source), []
    verify(path, on_progress=lambda stage, done, total: stages.append((stage, done)))
    assert stages == [
        (f"prove {RTX} fp32{kind}", done) for kind in ("", ", no attention") for done in range(9)
    ]
    with Bundle.open(path) as bundle:
        report = msgspec.json.decode(bundle.read(bundle.manifest.engines[0].proof.report), type=ParityReport)
    assert (report.own.label_agreement, len(report.own.frames)) == (1.0, 8)
    path = plan(source=source, spoil=own_labels_off)
    with pytest.raises(
        ParityError, match=r"^without attention the engines .*: frame 1 \(path 2, cold\) .* labels"
    ):
        verify(path)


def test_right_engines_are_proven_and_the_bundle_says_so(plan):
    path = plan()
    with Bundle.open(path) as bundle:
        before = {name: bundle.read(name) for name in bundle.manifest.members}
    stages = []
    summary = verify(path, on_progress=lambda *stage: stages.append(stage))
    assert stages == [(f"prove {RTX} fp32", done, 8) for done in range(9)]
    assert summary.never_run == {}
    with Bundle.open(path) as bundle:
        (spec,) = bundle.manifest.engines
        assert (spec.proof.frames, spec.proof.label_agreement) == (8, 1.0)
        assert (spec.proof.device, spec.proof.compute_capability) == ("fake GPU", "9.0")
        report = msgspec.json.decode(bundle.read(spec.proof.report), type=ParityReport)
        assert {name: bundle.read(name) for name in before} == before
    assert len(report.frames) == 8
    assert set(report.frames[3].errors) == {"query", "value", *(f"slot{p}_{t}" for p in (1, 2) for t in "kv")}
    shown = CliRunner().invoke(inspect_app, [str(path)], env={"COLUMNS": "300"}).stdout
    assert (
        f"Engines {RTX}/key: proven on fake GPU (compute capability 9.0), 8 frames, 100.00% of the" in shown
    )


@pytest.mark.parametrize(("spoil", "message"), WRONG)
def test_wrong_engines_are_refused_by_verify(plan, spoil, message):
    path = plan(spoil=spoil)
    before = path.read_bytes()
    with pytest.raises(
        ParityError, match=rf"engines {RTX}/key do not compute what their graphs do: {message}"
    ):
        verify(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(("spoil", "message"), WRONG)
def test_wrong_engines_are_refused_by_rebuild(tiny_bundle, tmp_path, gpu, monkeypatch, spoil, message):
    path = tmp_path / "own.plan"
    shutil.copy(tiny_bundle("td2-psp50"), path)
    before = path.read_bytes()
    with Bundle.open(path) as bundle:
        members = {name: bundle.read(name) for name in bundle.manifest.members}
        gpu(bundle.manifest, members.__getitem__, spoil)
    monkeypatch.setattr(rebuilding, "require_builder", lambda backend: None)
    monkeypatch.setattr(rebuilding, "build_engines", lambda graphs, **_: engines_of(graphs))
    with pytest.raises(ParityError, match=message):
        rebuild(path, backends=[RTX], precisions=["fp32"])
    assert path.read_bytes() == before


def test_right_engines_are_proven_by_rebuild_and_dropped_with_their_proof(
    tiny_bundle, tmp_path, gpu, monkeypatch
):
    path = tmp_path / "own.plan"
    shutil.copy(tiny_bundle("td2-psp50"), path)
    with Bundle.open(path) as bundle:
        members = {name: bundle.read(name) for name in bundle.manifest.members}
        gpu(bundle.manifest, members.__getitem__)
    monkeypatch.setattr(rebuilding, "require_builder", lambda backend: None)
    monkeypatch.setattr(rebuilding, "build_engines", lambda graphs, **_: engines_of(graphs))
    events = []
    summary = rebuild(path, backends=[RTX], precisions=["fp32"], on_progress=events.append)
    assert summary.never_run == {}
    assert summary.built[0].proof.frames == 8
    assert [event.stage for event in events if event.proof] == [f"prove {RTX} fp32"] * 9
    again = rebuild(path, backends=[RTX], precisions=["fp32"])
    with Bundle.open(path) as bundle:
        assert bundle.manifest.engines == again.built
        assert sum(name.endswith("proof.json") for name in bundle.manifest.members) == 1


@pytest.mark.parametrize("spoil", [None, scaled_value])
def test_an_export_proves_its_engines(tiny_checkpoint, tiny_bundle, tmp_path, gpu, monkeypatch, spoil):
    with Bundle.open(tiny_bundle("td2-psp50")) as bundle:
        members = {name: bundle.read(name) for name in bundle.manifest.members}
        gpu(bundle.manifest, members.__getitem__, *([spoil] if spoil else []))
    monkeypatch.setattr(pipeline, "require_builder", lambda backend: None)
    monkeypatch.setattr(pipeline, "build_engines", lambda graphs, **_: engines_of(graphs))
    options = ExportOptions(
        checkpoint=tiny_checkpoint("td2-psp50"),
        out=tmp_path / "out.plan",
        precisions=("fp32",),
        backends=(RTX,),
    )
    if spoil:
        with pytest.raises(ParityError, match="do not compute what their graphs do"):
            bundle_from_checkpoint(options)
        assert not options.out.exists()
        return
    summary = bundle_from_checkpoint(options)
    assert summary.manifest.engines[0].proof.label_agreement == 1.0
    assert summary.never_run == {}


@pytest.mark.parametrize("spoil", [None, scaled_value])
def test_int8_engines_are_held_against_their_own_graphs(tiny_bundle, tmp_path, gpu, spoil):
    """What INT8 costs was proven at the export, on other footage; FP32's graphs give other labels here."""
    path = tmp_path / "int8.plan"
    with Bundle.open(tiny_bundle("td2-psp50")) as bundle:
        manifest = bundle.manifest
        members = {member: bundle.read(member) for member in manifest.members}
    graphs, own = [], {}
    for graph in manifest.graphs:
        name = f"graphs/int8_fp16/{graph.name}.onnx"
        graphs.append(msgspec.structs.replace(graph, members={**graph.members, "int8_fp16": name}))
        own[name] = shifted_means(members[graph.members["fp32"]])
    spec, files = engines_of({g.name: own[g.members["int8_fp16"]] for g in graphs}, precision="int8_fp16")
    manifest = msgspec.structs.replace(manifest, graphs=tuple(graphs), engines=(spec,), members={})
    members |= own | files
    gpu(manifest, members.__getitem__, *([spoil_a_lot] if spoil else []))
    write_bundle(path, manifest, members)
    if spoil:
        with pytest.raises(ParityError, match=r"frame 1 .* diverges, in the tensor 'value'.*bound is 1"):
            verify(path)
        return
    verify(path)
    with Bundle.open(path) as bundle:
        (proven,) = bundle.manifest.engines
        report = msgspec.json.decode(bundle.read(proven.proof.report), type=ParityReport)
    assert (proven.proof.label_agreement, report.bounds.max_error) == (1.0, 1.0)


def test_int8_that_was_allowed_to_lose_labels_is_held_by_its_tensors(tiny_bundle):
    """Weights that were never trained: two right ways to round gave 61 % equal labels, and tensors 0.3 apart."""
    with Bundle.open(tiny_bundle("td2-psp50")) as bundle:
        manifest, proof = bundle.manifest, bundle.manifest.parity["fp32"]
    usual = gate._bounds(manifest, "int8_fp16")
    assert (usual.min_label_agreement, usual.min_mean_agreement) == (0.96, 0.98)
    for worst, least in ((0.97, 0.96), (0.7, 0.35)):
        changed = msgspec.structs.replace(proof, label_agreement=0.98, worst_frame_agreement=worst)
        own = msgspec.structs.replace(manifest, parity={"int8_fp16": changed, "fp16": changed})
        found = gate._bounds(own, "int8_fp16")
        assert (found.min_label_agreement, found.max_error) == (least, usual.max_error)
        assert gate._bounds(own, "fp16") == gate._BOUNDS["fp16"]


def shifted_means(graph):
    """The graph with other pixels' means: other labels than the original's."""
    model = onnx.load_model_from_string(graph)
    for tensor in model.graph.initializer:
        if tensor.name == "normalise/mean":
            tensor.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(0.2), tensor.name)
            )
    return model.SerializeToString()


def spoil_a_lot(name, array, feeds):
    """One position of V in one sub-network, by more than steps of INT8 could explain."""
    if name == "subnet2/value":
        array[0, 0, 0, 0] += 2 * array.std()


def test_engines_that_cannot_run_here_are_built_and_never_run(plan, caplog):
    """Portable ones on an H100, which TensorRT-RTX 1.7 refuses: nothing is claimed, and opening says so."""
    path = plan(capabilities=())
    before = path.read_bytes()
    with pytest.raises(ExportError, match=r"none of the bundle's engines can be run here.*fake GPU has 9\.0"):
        verify(path)
    assert path.read_bytes() == before
    caplog.set_level(logging.WARNING, "tdnet_runtime")
    with Segmenter.open(plan(), backend=RTX) as segmenter:
        assert segmenter.backend.name == RTX
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.startswith(
        f"the engines {RTX}/key were built and never run: prove them here with: tdnet-export --verify"
    )
    caplog.clear()
    verify(plan())
    caplog.clear()
    with Segmenter.open(path, backend=RTX):
        assert not caplog.records
    shown = CliRunner().invoke(inspect_app, [str(plan())], env={"COLUMNS": "300"}).stdout
    assert f"Engines {RTX}/key: built, never run" in shown


def test_without_a_gpu_the_reason_is_kept(plan, monkeypatch):
    path = plan()
    monkeypatch.setattr(trt_bundle, "no_device", lambda: "no GPU can be used here")
    with Bundle.open(path) as bundle:
        (spec,) = bundle.manifest.engines
        assert gate.facts_or_reason(spec) == "no GPU can be used here"
    with pytest.raises(
        ExportError, match=r"nothing was verified\. tensorrt-rtx/key: no GPU can be used here"
    ):
        verify(path)


def test_a_bundle_without_engines_has_nothing_to_verify(tiny_bundle, tmp_path):
    path = tmp_path / "a.plan"
    shutil.copy(tiny_bundle("psp101"), path)
    with pytest.raises(ExportError, match="there are no engines to verify; build some with --rebuild"):
        verify(path)
    shown = CliRunner().invoke(inspect_app, [str(path)], env={"COLUMNS": "300"}).stdout
    assert "not built" in shown


def test_verify_takes_footage_and_nothing_else(plan):
    path = plan()
    result = CliRunner().invoke(app, ["--verify", str(path), "--precision", "fp16"])
    assert isinstance(result.exception, OptionError)
    assert str(result.exception) == "--verify takes all from the bundle; leave out --precision"
    result = CliRunner().invoke(app, ["--verify", str(path)], env={"COLUMNS": "300"})
    assert result.exit_code == 0, result.exception
    assert "proven on fake GPU beside ONNX Runtime: 8 frames, 100.0000% of the labels equal" in result.stdout


def test_the_report_says_what_was_shown(plan):
    path = plan()

    def footage():
        with Bundle.open(path) as bundle:
            (spec,) = bundle.manifest.engines
            return msgspec.json.decode(bundle.read(spec.proof.report), type=ParityReport).footage

    verify(path)
    assert footage() == "rendered moving scene"
    verify(path, frames=lambda paths, size_hw: [np.full((*size_hw, 3), t, np.uint8) for t in range(8)])
    assert footage() == "user's footage"
